/* SPDX-License-Identifier: Apache-2.0 */
/* The view file. What is read is written again as the same line; what is refused is view 0 and has a line. */
#include "replicator/replicator.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static void run(const uint8_t *data, size_t size)
{
    char path[128], line[64];
    struct ft_fault fault = {""};
    uint64_t view = 7, again = 7;

    snprintf(path, sizeof(path), "%s", fuzz_file("view", data, size));
    int error = rp_view_load(path, &view, &fault);

    if (error) {
        FUZZ_MUST(view == 0 && fault.text[0] && !strchr(fault.text, '\n'), "refused: view %lu, '%s'", view,
                  fault.text);
        return;
    }
    FUZZ_MUST(rp_view_store(path, view, &fault) == 0, "%s", fault.text);
    FUZZ_MUST(rp_view_load(path, &again, &fault) == 0 && again == view, "view %lu became %lu", view, again);
    FUZZ_MUST(size < sizeof(line) && memchr(data, '\n', size) == data + size - 1,
              "more than a line was read");
}

static void seeds(void)
{
    fuzz_seed("one", "understudy view 1\n", 18);
    fuzz_seed("large", "understudy view 4611686018427387904\n", 36);
    fuzz_seed("signed", "understudy view -1\n", 19);
}

FUZZ_TARGET(view, "the view file", 96)
