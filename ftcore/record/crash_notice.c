/* SPDX-License-Identifier: Apache-2.0 */
/* Crash notices: encode and decode; see crash_notice.h. No state. */
#include "ftcore/record/crash_notice.h"
#include "ftcore/record/record.h"
#include "ftcore/region/region.h"

#include <string.h>

#define SIGNALS 64u

static const uint8_t magic[16] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u', 0, 0, 0, 0, FT_CRASH_NOTICE};

/* Behind `magic`, in this order. */
#define FIELD(member) offsetof(struct ft_crash_notice, member), sizeof(((struct ft_crash_notice *)0)->member)
static const struct {
    size_t at, width;
} fields[] = {{FIELD(signal)}, {FIELD(lane)},   {FIELD(burst)},        {FIELD(packet)}, {FIELD(doing)},
              {FIELD(nf)},     {FIELD(before)}, {FIELD(fingerprints)}, {FIELD(hung)}};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

size_t ft_crash_notice_encode(const struct ft_crash_notice *notice, const struct ft_datagram_key *key,
                              uint8_t out[FT_CRASH_BYTES])
{
    size_t len = sizeof(magic), bytes = notice->fingerprints * sizeof(notice->fingerprint[0]);

    memset(out, 0, FT_CRASH_HEAD_BYTES);
    memcpy(out, magic, sizeof(magic));
    for (size_t i = 0; i < FIELDS; i++) {
        memcpy(out + len, (const uint8_t *)notice + fields[i].at, fields[i].width);
        len += fields[i].width;
    }
    memcpy(out + FT_CRASH_HEAD_BYTES, notice->fingerprint, bytes);
    len = FT_CRASH_HEAD_BYTES + bytes;
    ft_datagram_tag(out, len, key, out + len);
    return len + FT_TAG_BYTES;
}

/* Of characters that can be printed, and nothing behind its end. */
static bool is_name(const char name[FT_CRASH_NAME])
{
    size_t len = strnlen(name, FT_CRASH_NAME);

    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    for (size_t i = len; i < FT_CRASH_NAME; i++)
        if (name[i])
            return false;
    return len < FT_CRASH_NAME;
}

static bool is_sound(const struct ft_crash_notice *n)
{
    for (uint32_t i = 0; i < n->fingerprints; i++)
        if (n->fingerprint[i].suspect > FT_BESIDE || n->fingerprint[i].zero)
            return false;
    if (!n->signal)
        return n->lane == FT_CRASH_NO_LANE && n->packet && !n->doing && !n->nf[0] && !n->hung &&
               is_name(n->nf) && is_name(n->before) && (n->before[0] || !n->fingerprints);
    return n->signal <= SIGNALS && (n->lane < FT_LANES_MAX || n->lane == FT_CRASH_NO_LANE) &&
           n->packet <= FT_BURST_MAX && n->doing < FT_CRASH_DOINGS && n->hung <= 1 && is_name(n->nf) &&
           is_name(n->before);
}

int ft_crash_notice_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                           struct ft_crash_notice *notice)
{
    size_t at = sizeof(magic);

    if (len < FT_CRASH_HEAD_BYTES + FT_TAG_BYTES || len > FT_CRASH_BYTES || memcmp(in, magic, at) != 0)
        return FT_EMALFORMED;
    *notice = (struct ft_crash_notice){0};
    for (size_t i = 0; i < FIELDS; i++) {
        memcpy((uint8_t *)notice + fields[i].at, in + at, fields[i].width);
        at += fields[i].width;
    }
    if (notice->fingerprints > FT_CRASH_FINGERPRINTS ||
        len != FT_CRASH_HEAD_BYTES + notice->fingerprints * sizeof(notice->fingerprint[0]) + FT_TAG_BYTES)
        return FT_EMALFORMED;
    if (!ft_datagram_tagged(in, len, key))
        return FT_EPERM;
    memcpy(notice->fingerprint, in + FT_CRASH_HEAD_BYTES,
           notice->fingerprints * sizeof(notice->fingerprint[0]));
    return is_sound(notice) ? 0 : FT_EMALFORMED;
}
