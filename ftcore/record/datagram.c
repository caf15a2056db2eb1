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

#define TAG_BYTES 16u
#define TAG_AT    (FT_DATAGRAM_BYTES - TAG_BYTES)

static const uint8_t magic[8] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u'};

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

static void make_tag(const uint8_t said[TAG_AT], const struct ft_datagram_key *key, uint8_t tag[TAG_BYTES])
{
    EVP_MAC_CTX *mac = get_mac_context();
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len;

    FT_CHECK(EVP_MAC_init(mac, (const uint8_t *)key->secret, sizeof(key->secret), NULL) == 1 &&
                 EVP_MAC_update(mac, (const uint8_t *)&key->incarnation, sizeof(key->incarnation)) == 1 &&
                 EVP_MAC_update(mac, said, TAG_AT) == 1 &&
                 EVP_MAC_final(mac, digest, &len, sizeof(digest)) == 1,
             "HMAC-SHA256 fails");
    memcpy(tag, digest, TAG_BYTES);
}

void ft_datagram_encode(const struct ft_datagram *d, const struct ft_datagram_key *key,
                        uint8_t out[FT_DATAGRAM_BYTES])
{
    uint32_t version = FT_STREAM_VERSION;

    memcpy(out, magic, 8);
    memcpy(out + 8, &version, 4);
    memcpy(out + 12, &d->kind, 4);
    memcpy(out + 16, &d->view, 8);
    memcpy(out + 24, &d->sent, 8);
    memcpy(out + 32, &d->port, 4);
    memcpy(out + 36, &d->mtu, 4);
    memcpy(out + 40, d->fault, sizeof(d->fault));
    make_tag(out, key, out + TAG_AT);
}

int ft_datagram_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                       struct ft_datagram *d)
{
    uint32_t version;
    uint8_t tag[TAG_BYTES];

    if (len != FT_DATAGRAM_BYTES || memcmp(in, magic, 8) != 0)
        return FT_EMALFORMED;
    memcpy(&version, in + 8, 4);
    if (version != FT_STREAM_VERSION)
        return FT_EVERSION;
    make_tag(in, key, tag);
    if (CRYPTO_memcmp(tag, in + TAG_AT, TAG_BYTES) != 0)
        return FT_EPERM;
    memcpy(&d->kind, in + 12, 4);
    memcpy(&d->view, in + 16, 8);
    memcpy(&d->sent, in + 24, 8);
    memcpy(&d->port, in + 32, 4);
    memcpy(&d->mtu, in + 36, 4);
    memcpy(d->fault, in + 40, sizeof(d->fault));
    if (d->view > FT_VIEW_MAX || d->port >= FT_DATAGRAM_PORTS)
        return FT_EMALFORMED;
    for (unsigned i = 0; i < FT_DATAGRAM_PORTS; i++)
        if (d->fault[i] >= FT_PORT_FAULTS)
            return FT_EMALFORMED;
    return d->kind == FT_DEATH_NOTICE || d->kind == FT_HEARTBEAT ? 0 : FT_EMALFORMED;
}
