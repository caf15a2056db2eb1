/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams with a tag: encode and decode; see datagram.h. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and those after it: the others allocate */
#include "ftcore/record/datagram.h"

#include "ftcore/record/message.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#define HEAD_BYTES 12u /* magic and version */

static const uint8_t magic[8] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u'};

/* What follows the version, in this order. */
#define FIELD(member) offsetof(struct ft_datagram, member), sizeof(((struct ft_datagram *)0)->member)
static const struct {
    size_t at, width;
    unsigned since; /* the version of the format that began it; 0: the first */
} fields[] = {{FIELD(kind), 0}, {FIELD(view), 0},  {FIELD(sent), 0},       {FIELD(port), 0},
              {FIELD(mtu), 0},  {FIELD(fault), 0}, FT_NEXT_DATAGRAM_FIELDS};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* HMAC-SHA256 (RFC 2104) of a key that is shorter than a block. */
void ft_datagram_tag(const uint8_t *said, size_t bytes, const struct ft_datagram_key *key,
                     uint8_t tag[FT_TAG_BYTES])
{
    uint8_t inner[SHA256_CBLOCK], outer[SHA256_CBLOCK], digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX sha;

    memset(inner, 0x36, sizeof(inner));
    memset(outer, 0x5c, sizeof(outer));
    for (size_t i = 0; i < sizeof(key->secret); i++) {
        inner[i] ^= ((const uint8_t *)key->secret)[i];
        outer[i] ^= ((const uint8_t *)key->secret)[i];
    }
    SHA256_Init(&sha);
    SHA256_Update(&sha, inner, sizeof(inner));
    SHA256_Update(&sha, &key->incarnation, sizeof(key->incarnation));
    SHA256_Update(&sha, said, bytes);
    SHA256_Final(digest, &sha);
    SHA256_Init(&sha);
    SHA256_Update(&sha, outer, sizeof(outer));
    SHA256_Update(&sha, digest, sizeof(digest));
    SHA256_Final(digest, &sha);
    memcpy(tag, digest, FT_TAG_BYTES);
}

bool ft_datagram_tagged(const uint8_t *in, size_t len, const struct ft_datagram_key *key)
{
    uint8_t tag[FT_TAG_BYTES];

    ft_datagram_tag(in, len - FT_TAG_BYTES, key, tag);
    return CRYPTO_memcmp(tag, in + len - FT_TAG_BYTES, FT_TAG_BYTES) == 0;
}

/* Up to the tag. */
static size_t length_of(unsigned version)
{
    size_t len = HEAD_BYTES;

    for (size_t i = 0; i < FIELDS; i++)
        len += fields[i].since <= version ? fields[i].width : 0;
    return len;
}

size_t ft_datagram_encode(const struct ft_datagram *d, const struct ft_datagram_key *key,
                          uint8_t out[FT_DATAGRAM_BYTES])
{
    uint32_t version = d->kind == FT_DEATH_NOTICE ? FT_FORMAT_NONE
                       : d->version               ? d->version
                                                  : FT_FORMAT_NEWEST;
    size_t len = HEAD_BYTES;

    memcpy(out, magic, 8);
    memcpy(out + 8, &version, 4);
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].since <= version) {
            memcpy(out + len, (const uint8_t *)d + fields[i].at, fields[i].width);
            len += fields[i].width;
        }
    ft_datagram_tag(out, len, key, out + len);
    return len + FT_TAG_BYTES;
}

size_t ft_datagram_length(const uint8_t *in, size_t len)
{
    uint32_t version;

    if (len < HEAD_BYTES || memcmp(in, magic, 8) != 0)
        return 0;
    memcpy(&version, in + 8, 4);
    return version == FT_FORMAT_NONE || FT_FORMAT_KNOWN(version) ? length_of(version) + FT_TAG_BYTES : 0;
}

/* Of one that is the peer's. */
static int check_fields(const struct ft_datagram *d)
{
    if (d->view > FT_VIEW_MAX || d->port >= FT_DATAGRAM_PORTS)
        return FT_EMALFORMED;
    for (unsigned i = 0; i < FT_DATAGRAM_PORTS; i++)
        if (d->fault[i] >= FT_PORT_FAULTS)
            return FT_EMALFORMED;
    return d->kind == (d->version == FT_FORMAT_NONE ? FT_DEATH_NOTICE : FT_HEARTBEAT) ? 0 : FT_EMALFORMED;
}

int ft_datagram_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                       struct ft_datagram *d)
{
    size_t length = ft_datagram_length(in, len), at = HEAD_BYTES;

    if (!length)
        return len >= HEAD_BYTES && memcmp(in, magic, 8) == 0 ? FT_EVERSION : FT_EMALFORMED;
    if (len != length)
        return FT_EMALFORMED;
    if (!ft_datagram_tagged(in, len, key))
        return FT_EPERM;
    *d = (struct ft_datagram){0};
    memcpy(&d->version, in + 8, 4);
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].since <= d->version) {
            memcpy((uint8_t *)d + fields[i].at, in + at, fields[i].width);
            at += fields[i].width;
        }
    return check_fields(d);
}
