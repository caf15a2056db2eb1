/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transitory sessions: connections of TCP that are being opened, or are over, and UDP without an answer. They
 * lie in a list in the order in which they became so, and in a full table a new flow takes the place of the
 * oldest. Owns the links of the list (table.c says where they lie) and its two ends; the lane writes and
 * reads them.
 */
#include "nflib/session/table.h"

void nf_session_add_transitory(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    *NF_EDIT(nf, nf_session_link(t, record)) = (struct nf_session_link){.older = t->youngest};
    if (t->youngest)
        NF_EDIT(nf, nf_session_link(t, t->youngest - 1))->younger = record + 1;
    else
        *NF_EDIT(nf, &t->oldest) = record + 1;
    *NF_EDIT(nf, &t->youngest) = record + 1;
}

void nf_session_remove_transitory(const struct nf *nf, const struct nf_sessions *t, uint32_t record)
{
    struct nf_session_link link = *nf_session_link(t, record);

    if (link.older)
        NF_EDIT(nf, nf_session_link(t, link.older - 1))->younger = link.younger;
    else
        *NF_EDIT(nf, &t->oldest) = link.younger;
    if (link.younger)
        NF_EDIT(nf, nf_session_link(t, link.younger - 1))->older = link.older;
    else
        *NF_EDIT(nf, &t->youngest) = link.older;
}

/* From one transitory class to another it keeps its place. */
void nf_session_reclass(const struct nf *nf, const struct nf_sessions *t, struct nf_session *s, uint8_t class,
                        uint64_t now)
{
    uint32_t record = nf_session_number(t, s);
    bool was = nf_session_is_transitory(s), was_listed = nf_session_is_listed(s);

    s->key[0].own[1] = class;
    if (nf_session_flags(s) & NF_SESSION_NEW)
        return;
    nf_wheel_set(nf, t->wheel, record, now + nf_session_timeout(t, s));
    if (was && !nf_session_is_transitory(s))
        nf_session_remove_transitory(nf, t, record);
    else if (!was && nf_session_is_transitory(s))
        nf_session_add_transitory(nf, t, record);
    if (was_listed && !nf_session_is_listed(s))
        nf_session_host_unlist(nf, t, record);
    else if (!was_listed && nf_session_is_listed(s))
        nf_session_host_list(nf, t, record);
}

uint32_t nf_session_displaceable(const struct nf *nf, const struct nf_session_choice *choice)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t greedys = nf_session_of_greedy(nf, choice), at = t->oldest;

    if (greedys != NF_NONE)
        return greedys;
    for (uint32_t looks = 0; at && looks < choice->looks; looks++) {
        if (nf_session_chosen(nf, nf_session_at(t, at - 1), choice) == NF_FREES)
            return at - 1;
        at = nf_session_link(t, at - 1)->younger;
    }
    return NF_NONE;
}
