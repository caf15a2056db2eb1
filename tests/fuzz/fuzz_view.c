/* SPDX-License-Identifier: Apache-2.0 */
/* The view file. What is read is written again as the same bytes; what is refused is view 0 and has a line.
 */
#include "replicator/replicator.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static void run(const uint8_t *data, size_t size)
{
    char path[128], back[256];
    struct ft_fault fault = {""};
    struct rp_view view = {.number = 7};

    snprintf(path, sizeof(path), "%s", fuzz_file("view", data, size));
    int error = rp_view_load(path, &view, &fault);

    if (error) {
        FUZZ_MUST(view.number == 0 && fault.text[0] && !strchr(fault.text, '\n'), "refused: view %lu, '%s'",
                  view.number, fault.text);
        return;
    }
    FUZZ_MUST(rp_view_store(path, &view, &fault) == 0, "%s", fault.text);
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(back, 1, sizeof(back), f) : 0;

    if (f)
        fclose(f);
    FUZZ_MUST(size == 0 || (len == size && memcmp(back, data, size) == 0),
              "other bytes are written than were read");
}

static void seeds(void)
{
    fuzz_seed("one", "understudy view 1\n", 18);
    fuzz_seed("large", "understudy view 4611686018427387904\n", 36);
    fuzz_seed("signed", "understudy view -1\n", 19);
    fuzz_seed("shard", "understudy view 7\nshard 00112233445566778899aabbccddeeff of a and c\n", 68);
}

FUZZ_TARGET(view, "the view file", 192)
