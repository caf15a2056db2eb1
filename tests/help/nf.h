/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of state types: a region with a chain of one NF that makes nothing by itself. */
#ifndef TESTS_HELP_NF_H
#define TESTS_HELP_NF_H

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/help/program.h"

struct help_nf {
    struct ft_region *region;
    struct nf_chain *chain;
    struct nf *nf;
};

/* The NF's `timers` goes here, when it is set. */
extern void (*help_nf_timers)(struct nf *nf, uint64_t now);

/* Opens a region with audit on and makes the chain. `arena`: bytes the NF may allocate. Fails the test. */
void help_nf_open(struct help_nf *h, uint64_t arena, uint64_t seed);
/* The same without audit, which looks at each stay in a section. */
void help_nf_open_fast(struct help_nf *h, uint64_t arena, uint64_t seed);
void help_nf_close(struct help_nf *h);
/* Aborts when anything was changed without an edit since the last call. */
void help_nf_audit(const struct help_nf *h);
/* The NF's wake time, and what the runner does to it before `timers`. */
uint64_t help_nf_wake(const struct help_nf *h);
void help_nf_wake_none(const struct help_nf *h);

/* Of a model test: operations that it does, and the seed of its sequence, which the environment's MODEL_SEED
 * replaces. */
#define HELP_MODEL_STEPS 1000000u
uint64_t help_model_seed(void);
/* Behind operation i: audits the first ones each by itself, which takes long, and then many together. */
static inline void help_model_audit(const struct help_nf *h, uint32_t i)
{
    if (i < 5000 || i % 256 == 0)
        help_nf_audit(h);
}

/* An object that is made when the chain is made already: as `make` would have. */
#define HELP_NF_MAKE(h, object)                                                                              \
    ({                                                                                                       \
        ft_audit_suspend((h)->region);                                                                       \
        __typeof__(object) help_nf_made = (object);                                                          \
        ft_audit_resume((h)->region);                                                                        \
        help_nf_made;                                                                                        \
    })

#endif
