/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes of a test have to agree on, and a state that goes from one to the other; see parts.h. */
#include "nftest/parts.h"
#include "node/config/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of an arena, from that node, which the caller frees; NULL: it is gone. */
static uint8_t *arena_of(struct nft *t, unsigned which, unsigned arena, uint64_t *used)
{
    uint8_t *bytes;

    t->request.kind = NFT_GIVE;
    t->request.arena = arena;
    if (!nft_ask(t, which))
        return NULL;
    *used = t->answer[which].number;
    bytes = malloc(*used + 1);
    if (bytes && nft_read(t->node[which].fd, bytes, *used))
        return bytes;
    free(bytes);
    nft_tell_end(t, which);
    return NULL;
}

static const char *name_of(const struct nft *t, unsigned arena)
{
    const struct nf_chain_config *c = &t->config->chain;

    return arena == 0         ? "the lane's own state"
           : arena > c->count ? "the shared objects"
                              : c->nfs[arena - 1].module->name;
}

static void tell_difference(struct nft *t, unsigned arena)
{
    uint64_t used[2] = {0}, at = 0;
    uint8_t *bytes[2] = {arena_of(t, PRIMARY, arena, &used[0]), arena_of(t, STANDBY, arena, &used[1])};

    while (bytes[0] && bytes[1] && at < used[0] && at < used[1] && bytes[0][at] == bytes[1][at])
        at++;
    if (bytes[0] && bytes[1])
        nft_failed(t,
                   "burst %" PRIu64 ": the standby's state differs: %s, byte %" PRIu64
                   " of its arena, expected that of the primary: a value that replay does not know",
                   t->burst, name_of(t, arena), at);
    free(bytes[0]);
    free(bytes[1]);
}

void nft_compare(struct nft *t)
{
    static struct nft_answer kept[2];
    const struct nft_answer *p = &t->answer[PRIMARY], *s = &t->answer[STANDBY];
    uint32_t have = p->have < s->have ? p->have : s->have;

    if (p->drop != s->drop || p->drop_nf != s->drop_nf || p->out_port != s->out_port || p->len != s->len ||
        (!p->drop && memcmp(p->bytes, s->bytes, have) != 0))
        nft_failed(t, "burst %" PRIu64 ": the primary %s the packet, the standby %s%s it", t->burst,
                   p->drop ? "dropped" : "passed", s->drop ? "dropped" : "passed",
                   !s->drop == !p->drop ? " otherwise" : "");
    if (p->made != s->made || p->made_sum != s->made_sum)
        nft_failed(t, "burst %" PRIu64 ": the NFs of the standby made other frames: %u here, %u there",
                   t->burst, p->made, s->made);
    if (p->error != s->error || !s->used)
        nft_failed(t, "burst %" PRIu64 ": the standby answers a command or asks for determinants otherwise",
                   t->burst);
    for (unsigned n = 1; n <= p->arenas;
         n++) { /* the lane's own state, which follows from the others, last */
        unsigned i = n % p->arenas;

        if (p->digest[i] == s->digest[i])
            continue;
        kept[PRIMARY] = *p; /* who asked for the burst looks at them still */
        kept[STANDBY] = *s;
        tell_difference(t, i);
        memcpy(t->answer, kept, sizeof(kept));
        t->diverged = true;
        return;
    }
}

void nft_copy_state(struct nft *t)
{
    unsigned arenas = t->config->chain.count + 2u; /* the lane's, the NFs', the shared one */

    for (unsigned i = 0; i < arenas; i++) {
        uint64_t used = 0;
        uint8_t *bytes = arena_of(t, PRIMARY, i, &used);
        bool whole;

        if (!bytes)
            return;
        t->request.kind = NFT_TAKE;
        t->request.arena = i;
        t->request.used = used;
        whole = nft_write(t->node[STANDBY].fd, &t->request, sizeof(t->request)) &&
                nft_write(t->node[STANDBY].fd, bytes, used) &&
                nft_read(t->node[STANDBY].fd, &t->answer[STANDBY], sizeof(t->answer[STANDBY]));
        free(bytes);
        if (!whole) {
            nft_tell_end(t, STANDBY);
            return;
        }
        if (t->answer[STANDBY].error)
            nft_failed(t, "burst %" PRIu64 ": a standby would refuse this state: %s", t->burst,
                       t->answer[STANDBY].fault.text);
    }
}
