/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the control sockets; see command.h. */
#include "node/control/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOKS false
#define ACTS  true

const struct nd_command_row nd_commands[ND_COMMANDS] = {
    [ND_CMD_STATUS] = {"status", LOOKS},
    [ND_CMD_WATCH] = {"watch", LOOKS},
    [ND_CMD_SHOW] = {"show", LOOKS},
    [ND_CMD_VERIFY] = {"verify", ACTS}, /* all lanes stand while the digest is computed */
    [ND_CMD_SET] = {"set", ACTS},
    [ND_CMD_CLEAR] = {"clear", ACTS},
    [ND_CMD_PROMOTE] = {"promote", ACTS},
    [ND_CMD_DRAIN] = {"drain", ACTS},
    [ND_CMD_FAILBACK] = {"failback", ACTS},
    [ND_CMD_PIN] = {"pin", ACTS},
    [ND_CMD_HOLD] = {"hold", ACTS},
    [ND_CMD_UNPIN] = {"unpin", ACTS},
    [ND_CMD_RESYNC] = {"resync", ACTS},
    [ND_CMD_DRILL] = {"drill", ACTS},
    [ND_CMD_APPLY] = {"apply", ACTS},
    [ND_CMD_PUSH] = {"push", ACTS},
    [ND_CMD_TRACE] = {"trace", ACTS}, /* it shows packets, which not everybody may see */
};

int nd_command_find(const char *name)
{
    for (int i = 0; i < ND_COMMANDS; i++)
        if (strcmp(name, nd_commands[i].name) == 0)
            return i;
    return -1;
}

bool nd_look_path(char out[ND_LOOK_PATH], const char *control)
{
    return snprintf(out, ND_LOOK_PATH, "%s" ND_LOOK_SUFFIX, control) < ND_LOOK_PATH;
}

json_t *nd_refuse(const char *code, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    json_t *o;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    o = json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
    if (o)
        return o;
    for (char *c = text; *c; c++) /* what was quoted has been cut inside a character: that is no JSON */
        if (*c & 0x80)
            *c = '?';
    return json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
}
