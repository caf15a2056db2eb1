/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that want one and the same key: of first packets of one flow that come in on one side in one
 * burst, in opposite directions, and of packets whose answers would be another session's. No state of its
 * own.
 */
#include "nflib/session/index.h"

#include <string.h>

/* `p` is what answers to `q` come in with, if it leaves as it is now. */
static bool is_answer(const struct nf_sessions_lane *lane, const struct nf_packet *p,
                      const struct nf_packet *q)
{
    const struct nf_tuple *key = &lane->look[p - lane->packets].key;
    struct nf_addresses addresses;
    struct nf_tuple answers;

    if (key->proto != q->proto || key->dport != q->sport)
        return false;
    answers = nf_session_answers(lane, q, &addresses);
    return nf_session_same(key, &answers) &&
           (!key->ipv6 || memcmp(&lane->addresses[p - lane->packets], &addresses, sizeof(addresses)) == 0);
}

/*
 * Answers are found by the key with which the first packet leaves, and that is not known before it has. But
 * as soon as no NF that translates is still to come, it will leave as it is.
 */
const struct nf_session *nf_session_crossed(const struct nf *nf, const struct nf_packet *p)
{
    const struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const uint32_t *ahead = lane->burst.before[nf->index][!p->side];

    if (!lane->out_side || ahead[0] | ahead[1])
        return NULL;
    for (uint32_t i = 0; i < lane->burst.fresh; i++)
        if (!lane->beginner[i]->drop && is_answer(lane, p, lane->beginner[i]))
            return lane->beginner[i]->session;
    return NULL;
}

/* ---- behind the NFs ---- */

void nf_session_refuse(struct nf_sessions_lane *lane, struct nf_packet *p)
{
    (*NF_EDIT(&lane->nfs[0], &lane->burst.table->conflicts))++;
    p->drop = NF_SESSIONS_CONFLICT;
    p->drop_nf = 0;
    for (uint32_t left = p->session->members; left; left &= left - 1) {
        const struct nf *nf = &lane->nfs[__builtin_ctz(left)];

        if (nf->module->conflict) {
            nf_drop(nf, p, nf->module->conflict - 1u);
            return;
        }
    }
}

void nf_session_give_way(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         const struct nf_session *s, uint64_t now)
{
    uint32_t record = nf_session_number(lane->burst.table, s), i = 0;

    for (uint32_t k = 0; k < n; k++)
        if (packets[k]->session == s && !packets[k]->drop)
            nf_session_refuse(lane, packets[k]);
    while (lane->begun[i] != record)
        i++;
    lane->begun[i] = lane->begun[--lane->burst.fresh];
    lane->beginner[i] = lane->beginner[lane->burst.fresh];
    nf_session_finish(&lane->nfs[0], record, NF_SESSION_REFUSED, now);
}
