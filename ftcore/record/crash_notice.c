/* SPDX-License-Identifier: Apache-2.0 */
/* Crash notices: encode and decode; see crash_notice.h. No state. */
#include "ftcore/record/crash_notice.h"
#include "ftcore/region/region.h"

#include <string.h>
#include <xxhash.h>

#define SIGNALS    64u
#define IPV4_BYTES 20u
#define IPV6_BYTES 40u

static const uint8_t magic[16] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u', 0, 0, 0, 0, FT_CRASH_NOTICE};

/* Behind `magic`, in this order. */
#define FIELD(member) offsetof(struct ft_crash_notice, member), sizeof(((struct ft_crash_notice *)0)->member)
static const struct {
    size_t at, width;
} fields[] = {{FIELD(signal)}, {FIELD(lane)}, {FIELD(burst)},  {FIELD(packet)},
              {FIELD(doing)},  {FIELD(nf)},   {FIELD(before)}, {FIELD(fingerprints)}};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* Sets to 0 what is another one each time that a host sends the same again, or each time by another way: the
 * addresses of Ethernet; of IPv4 the identification, the time to live and the checksum; IPv6's hop limit. */
static void mask_head(uint8_t *head, uint32_t n)
{
    uint32_t at = 12;

    memset(head, 0, n < 12 ? n : 12);
    while (at + 2 <= n &&
           ((head[at] == 0x81 && head[at + 1] == 0) || (head[at] == 0x88 && head[at + 1] == 0xa8)))
        at += 4;
    if (at + 2 + IPV4_BYTES <= n && head[at] == 8 && head[at + 1] == 0) {
        memset(head + at + 2 + 4, 0, 2);
        head[at + 2 + 8] = 0;
        memset(head + at + 2 + 10, 0, 2);
    } else if (at + 2 + IPV6_BYTES <= n && head[at] == 0x86 && head[at + 1] == 0xdd) {
        head[at + 2 + 7] = 0;
    }
}

struct ft_fingerprint ft_fingerprint(const void *frame, uint32_t taken, uint32_t wire)
{
    uint8_t head[FT_FINGERPRINT_BYTES]; /* all that is masked lies there */
    uint32_t n = taken < sizeof(head) ? taken : sizeof(head);
    XXH128_hash_t hash;

    memcpy(head, frame, n);
    mask_head(head, n);
    hash = XXH3_128bits_withSeed(head, n, wire);
    return (struct ft_fingerprint){hash.low64, hash.high64};
}

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
    return n->signal >= 1 && n->signal <= SIGNALS &&
           (n->lane < FT_LANES_MAX || n->lane == FT_CRASH_NO_LANE) && n->packet <= FT_CRASH_FINGERPRINTS &&
           n->doing < FT_CRASH_DOINGS && is_name(n->nf) && is_name(n->before);
}

int ft_crash_notice_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                           struct ft_crash_notice *notice)
{
    size_t at = sizeof(magic);
    uint32_t zero;

    if (len < FT_CRASH_HEAD_BYTES + FT_TAG_BYTES || len > FT_CRASH_BYTES || memcmp(in, magic, at) != 0)
        return FT_EMALFORMED;
    *notice = (struct ft_crash_notice){0};
    for (size_t i = 0; i < FIELDS; i++) {
        memcpy((uint8_t *)notice + fields[i].at, in + at, fields[i].width);
        at += fields[i].width;
    }
    memcpy(&zero, in + at, sizeof(zero));
    if (zero || notice->fingerprints > FT_CRASH_FINGERPRINTS ||
        len != FT_CRASH_HEAD_BYTES + notice->fingerprints * sizeof(notice->fingerprint[0]) + FT_TAG_BYTES)
        return FT_EMALFORMED;
    if (!ft_datagram_tagged(in, len, key))
        return FT_EPERM;
    memcpy(notice->fingerprint, in + FT_CRASH_HEAD_BYTES,
           notice->fingerprints * sizeof(notice->fingerprint[0]));
    return is_sound(notice) ? 0 : FT_EMALFORMED;
}
