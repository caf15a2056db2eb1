/* SPDX-License-Identifier: Apache-2.0 */
/* A shared word: one number, its section before it. Written by every lane, inside the section. */
#include "ftcore/order/section.h"
#include "ftcore/region/audit.h"
#include "nflib/module/content.h"
#include "nflib/module/env.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

struct nf_shared_word {
    struct ft_shared head;
    _Alignas(FT_LINE) uint64_t value;
};

uint64_t nf_shared_word_bytes(void)
{
    return sizeof(struct nf_shared_word);
}

struct nf_shared_word *nf_shared_word_make(struct nf *nf)
{
    struct nf_shared_word *word;
    bool created;

    word = nf_shared_object(nf, NF_SHARED_WORD, sizeof(*word), &created);
    if (!word || !created)
        return word;
    nf_object(nf, &word->head, "word", nf_head_check);
    NF_WATCH(made, nf, NF_WATCH_WORD, &word->value, FT_LINE);
    return word;
}

uint64_t nf_shared_word_get(const struct nf *nf, struct nf_shared_word *word)
{
    uint64_t value;

    ft_section_enter(nf->env->sections, &word->head);
    value = word->value;
    NF_WATCH(read, &word->value);
    ft_section_leave(nf->env->sections, &word->head);
    return value;
}

uint64_t nf_shared_word_add(const struct nf *nf, struct nf_shared_word *word, uint64_t n)
{
    struct ft_sections *sections = nf->env->sections;
    uint64_t sum;

    ft_section_enter(sections, &word->head);
    sum = *NF_EDIT_WORD(nf, &word->value) += n;
    ft_section_leave(sections, &word->head);
    return sum;
}

uint64_t nf_shared_word_peek(const struct nf_shared_word *word)
{
    ft_audit_peeked(word);
    return __atomic_load_n(&word->value, __ATOMIC_RELAXED);
}
