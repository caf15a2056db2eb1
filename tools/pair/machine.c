/* SPDX-License-Identifier: Apache-2.0 */
/* See machine.h. */
#include "tools/pair/machine.h"

#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

const char *nd_machine_text(char out[ND_MACHINE_TEXT])
{
    char line[256], model[128] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    struct utsname name = {.release = ""};

    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(model, sizeof(model), "%.100s", strchr(line, ':') + 2);
            model[strcspn(model, "\n")] = '\0';
            break;
        }
    if (f)
        fclose(f);
    uname(&name);
    snprintf(out, ND_MACHINE_TEXT, "%s, %ld cores, Linux %.60s", model, sysconf(_SC_NPROCESSORS_ONLN),
             name.release);
    return out;
}

void nd_machine_facts(const struct nd_sheet *sheet)
{
    char text[ND_MACHINE_TEXT] = "";
    time_t now = time(NULL);
    struct tm local;

    if (localtime_r(&now, &local))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z (%Z)", &local);
    nd_sheet_fact(sheet, "date", "%s", text);
    nd_sheet_fact(sheet, "program", "understudy %s", UNDERSTUDY_VERSION);
    nd_sheet_fact(sheet, "machine", "%s", nd_machine_text(text));
}
