/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an arbiter is asked, and the whole rule by which it decides: one decision for a pair is kept, and a
 * later era replaces it. Who keeps it is not known here (node/arbiter: a key in etcd). The protocol core asks
 * (arbiter.c), the arbiter's thread answers.
 */
#ifndef FTCORE_PROTOCOL_ARBITER_H
#define FTCORE_PROTOCOL_ARBITER_H

#include "ftcore/record/message.h"

#include <string.h>

/*
 * A time in which a standby may take over from its primary without a new word of it: it begins with a
 * HOLDING, which gives it its number (`sent`), and ends where either has gone on alone or the standby has
 * given up. Era 0 of view 0 is that of a pair that has never been one.
 */
struct ft_era {
    uint64_t view, number;
};

/* The decision that is kept. `winner`: a node's name; "": nobody's yet. */
struct ft_decision {
    bool any; /* false: there is none */
    struct ft_era era;
    char winner[FT_NAME_MAX];
};

enum ft_answer {
    FT_ANSWER_NONE,
    FT_ANSWER_WON,    /* who asks goes on */
    FT_ANSWER_LOST,   /* the other goes on, or a later era has begun */
    FT_ANSWER_SILENT, /* no answer, for now; it is asked again until there is one */
};

static inline int ft_era_compare(const struct ft_era *a, const struct ft_era *b)
{
    if (a->view != b->view)
        return a->view < b->view ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* True: `kept` is to become { asked, who }, if nobody changes it meanwhile, and then the answer is WON. */
static inline bool ft_decides_anew(const struct ft_decision *kept, const struct ft_era *asked)
{
    return !kept->any || ft_era_compare(&kept->era, asked) < 0;
}

/* Of a decision that is not to be replaced. */
static inline enum ft_answer ft_decided(const struct ft_decision *kept, const struct ft_era *asked,
                                        const char *who)
{
    bool same = ft_era_compare(&kept->era, asked) == 0;

    return same && strncmp(kept->winner, who, FT_NAME_MAX) == 0 ? FT_ANSWER_WON : FT_ANSWER_LOST;
}

#endif
