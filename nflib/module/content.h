/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the state of a lane must be, whoever wrote it. A standby's region is written by its peer, and from
 * then on the lane follows the pointers and indices in it. So a node that has made its chain remembers,
 * outside of the region,
 *
 * - the constants: bytes that nobody changes once the chain is made, such as pointers, capacities, masks,
 * rules;
 * - the objects, each with a function that checks the rest of it.
 *
 * The chain checks all of both when a snapshot is whole (nf_chain_check), and the constants in the lines of
 * each delta (nf_chain_keeps). Written while the chain is made, by its lane; read by whoever checks, while no
 * lane runs.
 */
#ifndef NFLIB_MODULE_CONTENT_H
#define NFLIB_MODULE_CONTENT_H

#include "nflib/module/module.h"

/* A check under way. */
struct nf_check {
    const struct nf *nf; /* whose state it is */
    uint64_t time;       /* the chain's, at the end of its last burst */
    const char *kind;    /* of the object, "map"; NULL: none */
    const void *object;
    /* Called now and then, so that who checks can do something else that is urgent; NULL: nothing is. */
    void (*pulse)(void *arg);
    void *arg;
    uint32_t steps;
    void *memory[2]; /* for checks, one after the other */
    struct ft_fault *fault;
};

/* While the chain is made. Registers an object of the NF; objects are checked in the order of registration:
 * `kind` and `check` are the program's. `check` returns 0, or what nf_check_failed does. */
void nf_object(const struct nf *nf, const void *object, const char *kind,
               int (*check)(struct nf_check *c, const void *object));

/* The state is not what it must be: one line that begins with lane, NF and object. Returns FT_EMALFORMED. */
int nf_check_failed(struct nf_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory for the check of an object, one of two; good until the check after it. NULL: there is none
 * (the fault says so, and the check is to return FT_ENOMEM). */
void *nf_check_memory(struct nf_check *c, unsigned which, uint64_t bytes);

/* One step of a long check: an entry, a timer. */
#define NF_CHECK_PULSE 16384u /* steps; a step takes less than 100 ns */
static inline void nf_check_step(struct nf_check *c)
{
    if (ft_unlikely(++c->steps % NF_CHECK_PULSE == 0) && c->pulse)
        c->pulse(c->arg);
}

/* ---- of the chain ------------------------------------------------------------------------------ */

struct nf_kept {
    const uint8_t *at; /* in the region */
    uint8_t *bytes;    /* what is there, always */
    uint32_t n;
    uint16_t nf;
};
struct nf_object {
    const void *at;
    const char *kind;
    int (*check)(struct nf_check *c, const void *object);
    uint16_t nf;
};
/* Of a lane. The first lane also has what lies in the shared arena. */
struct nf_content {
    struct nf_kept *kept; /* by address */
    struct nf_object *objects;
    uint32_t kepts, kepts_room, count, room;
    bool failed; /* there was no memory */
};

void nf_content_free(struct nf_content *content);
void nf_check_end(struct nf_check *c); /* gives the memory back */
/* The first constant that ends behind `at`, an index into kept[]. */
uint32_t nf_content_from(const struct nf_content *content, const uint8_t *at);

#endif
