/* SPDX-License-Identifier: Apache-2.0 */
/* Reads numbers, names of classes and DSCPs; see qos.h. */
#include "nfs/qos/qos.h"

#include <string.h>

int qos_read_number(struct fw_words *w, uint64_t least, uint64_t most, const char *what, uint64_t *out)
{
    if (!w->word || !nf_number64_parse(w->word, least, most, out))
        return fw_words_fail(w, what);
    fw_words_next(w);
    return FT_OK;
}

int qos_read_name(struct fw_words *w, char out[QOS_NAME_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t n = w->word ? strlen(w->word) : 0;

    if (!n || n >= QOS_NAME_BYTES || strspn(w->word, letters) != n)
        return fw_words_fail(w, "a class's name, at most 15 letters, digits, _ and -");
    memcpy(out, w->word, n + 1);
    fw_words_next(w);
    return FT_OK;
}

/* 0 to 63, cs0 to cs7 (RFC 2474), af11 to af43 (RFC 2597), ef (RFC 3246); -1: nothing of those. */
static int parse_dscp(const char *text)
{
    size_t n = strlen(text);
    uint64_t value;

    if (strcmp(text, "ef") == 0)
        return 46;
    if (n == 3 && strncmp(text, "cs", 2) == 0 && text[2] >= '0' && text[2] <= '7')
        return (text[2] - '0') * 8;
    if (n == 4 && strncmp(text, "af", 2) == 0 && text[2] >= '1' && text[2] <= '4' && text[3] >= '1' &&
        text[3] <= '3')
        return (text[2] - '0') * 8 + (text[3] - '0') * 2;
    return n <= 2 && nf_number64_parse(text, 0, NF_DSCPS - 1, &value) ? (int)value : -1;
}

int qos_read_dscp(struct fw_words *w, uint8_t *out)
{
    int dscp = w->word ? parse_dscp(w->word) : -1;

    if (dscp < 0)
        return fw_words_fail(w, "a DSCP: 0 to 63, cs0 to cs7, af11 to af43, ef");
    *out = (uint8_t)dscp;
    fw_words_next(w);
    return FT_OK;
}

int qos_read_dscps(struct fw_words *w, uint64_t *set)
{
    char *rest, *one;

    *set = 0;
    if (fw_words_take(w, "any")) {
        *set = QOS_ANY_DSCP;
        return FT_OK;
    }
    for (rest = w->word; (one = rest ? strsep(&rest, ",") : NULL);) {
        int dscp = parse_dscp(one);

        if (dscp < 0) {
            w->word = one;
            return fw_words_fail(w, "DSCPs such as ef,af41,0, or any");
        }
        *set |= 1ull << dscp;
    }
    if (!*set)
        return fw_words_fail(w, "DSCPs such as ef,af41,0, or any");
    fw_words_next(w);
    return FT_OK;
}
