/* SPDX-License-Identifier: Apache-2.0 */
/* The death notice: encode and decode; see death_notice.h. */
#include "ftcore/record/death_notice.h"

#include "ftcore/base/error.h"
#include "ftcore/record/message.h"

#include <string.h>
#include <xxhash.h>

#define SUM_AT (FT_DEATH_NOTICE_BYTES - 8u)

static const uint8_t magic[16] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u', FT_STREAM_VERSION};

void ft_death_notice_encode(const struct ft_death_notice *notice, uint8_t out[FT_DEATH_NOTICE_BYTES])
{
    memcpy(out, magic, 16);
    memcpy(out + 16, &notice->incarnation, 8);
    memcpy(out + 24, &notice->view, 8);
    uint64_t sum = XXH3_64bits(out, SUM_AT);
    memcpy(out + SUM_AT, &sum, 8);
}

int ft_death_notice_decode(const uint8_t *in, size_t len, struct ft_death_notice *notice)
{
    uint64_t sum;

    if (len != FT_DEATH_NOTICE_BYTES || memcmp(in, magic, 16))
        return FT_EMALFORMED;
    memcpy(&sum, in + SUM_AT, 8);
    if (sum != XXH3_64bits(in, SUM_AT))
        return FT_ECHECKSUM;
    memcpy(&notice->incarnation, in + 16, 8);
    memcpy(&notice->view, in + 24, 8);
    return 0;
}
