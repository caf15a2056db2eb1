/* SPDX-License-Identifier: Apache-2.0 */
/* The death notice: a datagram as it is, or (first byte 1) with its checksum made right. */
#include "ftcore/record/death_notice.h"
#include "ftcore/record/message.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void run(const uint8_t *data, size_t size)
{
    size_t len = size ? size - 1 : 0;
    uint8_t *in = fuzz_copy(data + (size > 0), len), back[FT_DEATH_NOTICE_BYTES];
    struct ft_death_notice word = {0, 0};

    if (size && data[0] == 1 && len == FT_DEATH_NOTICE_BYTES) {
        uint64_t sum = XXH3_64bits(in, FT_DEATH_NOTICE_BYTES - 8);

        memcpy(in + FT_DEATH_NOTICE_BYTES - 8, &sum, sizeof(sum));
    }
    int error = ft_death_notice_decode(in, len, &word);

    if (error) {
        FUZZ_MUST(error == FT_EMALFORMED || error == FT_ECHECKSUM, "error %d", error);
        FUZZ_MUST(word.incarnation == 0 && word.view == 0, "a word that was refused says something");
    } else {
        ft_death_notice_encode(&word, back);
        FUZZ_MUST(len == FT_DEATH_NOTICE_BYTES && memcmp(in, back, len) == 0, "its encoding has other bytes");
    }
    free(in);
}

static void seeds(void)
{
    uint8_t bytes[1 + FT_DEATH_NOTICE_BYTES] = {1};

    ft_death_notice_encode(&(struct ft_death_notice){.incarnation = 0x1122334455667788, .view = 9},
                           bytes + 1);
    fuzz_seed("whole", bytes, sizeof(bytes));
    fuzz_seed("short", bytes, sizeof(bytes) - 1);
}

FUZZ_TARGET(death_notice, "the death notice", 64)
