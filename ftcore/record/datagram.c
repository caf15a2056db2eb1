/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams with a tag: encode and decode; see datagram.h. */
#include "ftcore/record/datagram.h"

#include "ftcore/base/check.h"
#include "ftcore/record/message.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#define TAG_BYTES  16u
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

static pthread_key_t mac_contexts;

static void free_mac_context(void *context)
{
    EVP_MAC_CTX_free(context);
}

static void make_key(void)
{
    FT_CHECK(pthread_key_create(&mac_contexts, free_mac_context) == 0, "no key for a thread's own");
}

/* Of this thread, made when it is needed first and kept until the thread ends. OpenSSL allocates for each tag
 * all the same; a node makes and checks a few hundred a second, none of them for a packet. */
static EVP_MAC_CTX *get_mac_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local EVP_MAC_CTX *mine;
    OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac;

    if (mine)
        return mine;
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    mine = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    FT_CHECK(mine && EVP_MAC_CTX_set_params(mine, digest) == 1, "no HMAC-SHA256");
    pthread_once(&once, make_key);
    pthread_setspecific(mac_contexts, mine);
    return mine;
}

static void make_tag(const uint8_t *said, size_t bytes, const struct ft_datagram_key *key,
                     uint8_t tag[TAG_BYTES])
{
    EVP_MAC_CTX *mac = get_mac_context();
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len;

    FT_CHECK(EVP_MAC_init(mac, (const uint8_t *)key->secret, sizeof(key->secret), NULL) == 1 &&
                 EVP_MAC_update(mac, (const uint8_t *)&key->incarnation, sizeof(key->incarnation)) == 1 &&
                 EVP_MAC_update(mac, said, bytes) == 1 &&
                 EVP_MAC_final(mac, digest, &len, sizeof(digest)) == 1,
             "HMAC-SHA256 fails");
    memcpy(tag, digest, TAG_BYTES);
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
    make_tag(out, len, key, out + len);
    return len + TAG_BYTES;
}

size_t ft_datagram_length(const uint8_t *in, size_t len)
{
    uint32_t version;

    if (len < HEAD_BYTES || memcmp(in, magic, 8) != 0)
        return 0;
    memcpy(&version, in + 8, 4);
    return version == FT_FORMAT_NONE || FT_FORMAT_KNOWN(version) ? length_of(version) + TAG_BYTES : 0;
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
    uint8_t tag[TAG_BYTES];

    if (!length)
        return len >= HEAD_BYTES && memcmp(in, magic, 8) == 0 ? FT_EVERSION : FT_EMALFORMED;
    if (len != length)
        return FT_EMALFORMED;
    make_tag(in, len - TAG_BYTES, key, tag);
    if (CRYPTO_memcmp(tag, in + len - TAG_BYTES, TAG_BYTES) != 0)
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
