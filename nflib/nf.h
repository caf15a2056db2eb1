/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header NF authors include.
 *
 * An NF is a module: a table of parameters, a `make` that creates its state in the arena, a `process` that is
 * given packets and the time, and what operators need (show, set, clear). It keeps all state that outlives a
 * packet in the region, changes it only through nf_edit or the state types, and takes time, randomness and
 * determinants only from its arguments. Then it is replicated, and does not know.
 *
 * One instance per lane; an instance is never entered by two threads.
 */
#ifndef NFLIB_NF_H
#define NFLIB_NF_H

#include "ftcore/region/region.h"
#include "nflib/net/packet.h"

#define NF_BURST_MAX 32u
#define NF_SECOND    1000000000ull /* chain time is in ns */
#define NF_MS        1000000ull

struct nf;
struct nf_module;
struct nf_show;

/* ---- parameters -------------------------------------------------------------------------------- */

enum nf_param_kind {
    NF_U32,      /* uint32_t, min … max */
    NF_U64,      /* uint64_t, min … max */
    NF_BOOL,     /* bool */
    NF_CHOICE,   /* uint32_t, index into `choices` */
    NF_IPV4,     /* uint32_t, network order */
    NF_PREFIXES, /* struct nf_prefixes: list of A.B.C.D/N */
    NF_RANGE,    /* struct nf_range: "1024-65535" or one number, min … max */
    NF_STRING,   /* const char *, owned by the configuration */
    NF_FILE, /* const char *: a path, made relative to the configuration file's directory; must be readable */
    NF_SECONDS, /* uint32_t, min … max */
};

struct nf_range {
    uint32_t first, last;
};
struct nf_prefix {
    uint32_t addr, mask; /* network order */
};
#define NF_PREFIXES_MAX 16u
struct nf_prefixes {
    uint32_t count;
    struct nf_prefix list[NF_PREFIXES_MAX];
};
bool nf_prefixes_has(const struct nf_prefixes *set, uint32_t addr);

struct nf_param {
    const char *name; /* NULL ends a table */
    enum nf_param_kind kind;
    size_t offset; /* in the module's config struct */
    uint64_t min, max;
    const char *preset;         /* as written in YAML ("a, b" for lists, "" for none); NULL: required */
    const char *const *choices; /* NULL-terminated, for NF_CHOICE */
    const char *help;
    bool own; /* NF_IPV4: the chain answers for this address on its outside interfaces (a NAT's outside
                 address) */
};

/* ---- modules ----------------------------------------------------------------------------------- */

enum nf_reads {
    NF_READS_HEADERS = 0, /* nothing behind the L4 header: payload need not be captured */
    NF_READS_PAYLOAD = 1,
};

struct nf_module {
    const char *name;    /* as in the configuration */
    const char *summary; /* one line */
    enum nf_reads reads;
    /* The NF cannot be replayed: the recorded inputs, time and determinants do not decide its state and its
     * outputs, as when a library that it is made of reads a clock of its own. A chain with such an NF is
     * protected by deltas, and mode log is refused. */
    bool unreplayable;
    const struct nf_param *params;
    size_t config_size;
    const char *const *counters; /* NULL-terminated names, drop reasons among them */

    /* Finer checks than ranges, once, when the file is read; may read files into the config. NULL: none. 0 or
     * an error. */
    int (*check)(void *config, struct ft_fault *fault);
    void (*release)(void *config); /* of what check made; NULL: nothing */

    /* Bytes of arena an instance needs; a generous bound. */
    uint64_t (*arena)(const void *config);
    /* Bytes of the shared arena that all lanes together need (nflib/shared/shared.h). NULL: none. */
    uint64_t (*shared)(const void *config, unsigned lanes);

    /*
     * Creates the instance's state: allocates from nf->arena and sets nf->state. Runs on every node before
     * any packet, on a zeroed arena; all that it makes must depend on config and nf_random only. On a standby
     * the primary's lines then replace the content.
     */
    int (*make)(struct nf *nf, struct ft_fault *fault);

    /* n (1 … 32) packets that all came in on the same side, none dropped yet. nf_drop those that end here. */
    void (*process)(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now);

    /* Called at burst boundaries when `now` has reached the time that nf->wake said. NULL: no timers. */
    void (*timers)(struct nf *nf, uint64_t now);

    /* Rows for an operator, a bounded number per call; `*cursor` starts at 0. True while there is more. Read
     * only. */
    bool (*show)(const struct nf *nf, struct nf_show *out, uint64_t *cursor);
    /* An operator's change, recorded and replayed. FT_ENOENT for an unknown key, FT_EINVAL for a bad value.
     */
    int (*set)(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
    int (*clear)(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault); /* key NULL: all */

    /*
     * For dispatch in software: the lane that a packet as it came in (parsed) must go to because state that
     * belongs to its flow is there. False: any, by its hash. NULL: always any. Called by any thread, with the
     * instance of any lane, while lanes run: reads shared state only, of the kind that may be read without a
     * section. A wrong answer costs the packet, never state.
     */
    bool (*owner)(const struct nf *nf, const struct nf_packet *p, unsigned *lane);
};

/* Registers `module` before main (or when the shared object is loaded). */
#define NF_MODULE(module)                                                                                    \
    __attribute__((constructor)) static void nf_register_##module(void)                                      \
    {                                                                                                        \
        nf_module_register(&module);                                                                         \
    }
void nf_module_register(const struct nf_module *module);
const struct nf_module *nf_module_find(const char *name);
const struct nf_module *nf_module_at(unsigned index); /* NULL beyond the last; sorted by name */

/* ---- instances --------------------------------------------------------------------------------- */

struct nf_env; /* the lane's side: random generator, emit; nflib/chain/chain.h */

struct nf {
    const struct nf_module *module;
    const void *config;
    void *state; /* root of the state in the arena */
    struct ft_region *region;
    struct ft_arena *arena;
    struct nf_env *env;
    uint64_t *counters;   /* [number of names], in the arena */
    uint16_t lane, index; /* index in the chain from 1; 0 is the lane's own state */
    uint16_t lanes;
    uint16_t shared; /* shared objects made so far */
};

/* A writable pointer to exactly the bytes about to change. */
static inline void *nf_edit(const struct nf *nf, const void *p, size_t n)
{
    return ft_edit(nf->region, p, n);
}
/* The same for one object, of the type `p` points to without its const (which the comma takes off). */
#define NF_EDIT(nf, p) ((__typeof__((void)0, *(p)) *)nf_edit((nf), (p), sizeof(*(p))))
/* The same for what is changed with every packet: a word, and the value of a map's entry, of keys of type
 * KEY; where both fit, the entry lies in one line. */
#define NF_EDIT_WORD(nf, p)                                                                                  \
    ({                                                                                                       \
        _Static_assert(sizeof(*(p)) <= sizeof(uint64_t) && sizeof(*(p)) <= __alignof__(*(p)), "a word");     \
        (__typeof__((void)0, *(p)) *)ft_edit_in_line((nf)->region, (p), sizeof(*(p)));                       \
    })
#define NF_EDIT_VALUE(nf, KEY, value)                                                                        \
    ({                                                                                                       \
        _Static_assert(((sizeof(KEY) + 7) & -8) + sizeof(*(value)) <= FT_LINE, "an entry of one line");      \
        (__typeof__((void)0, *(value)) *)ft_edit_in_line((nf)->region, (value), sizeof(*(value)));           \
    })

static inline void nf_count(const struct nf *nf, unsigned counter, uint64_t add)
{
    *(uint64_t *)ft_edit(nf->region, &nf->counters[counter], sizeof(uint64_t)) += add;
}

/* Adds to all of the NF's counters what a burst has summed up: one edit for each line of them that changes.
 */
#define NF_LINE_COUNTERS (FT_LINE / sizeof(uint64_t))
static inline __attribute__((always_inline)) void nf_count_all(const struct nf *nf, const uint64_t sums[],
                                                               unsigned counters)
{
#pragma GCC unroll 8
    for (unsigned at = 0; at < counters; at += NF_LINE_COUNTERS) {
        unsigned n = counters - at < NF_LINE_COUNTERS ? counters - at : NF_LINE_COUNTERS;
        uint64_t any = 0, *to;
#pragma GCC unroll 8
        for (unsigned i = 0; i < n; i++)
            any |= sums[at + i];
        if (!any)
            continue;
        to = ft_edit_in_line(nf->region, &nf->counters[at], n * sizeof(*to));
#pragma GCC unroll 8
        for (unsigned i = 0; i < n; i++)
            to[i] += sums[at + i];
    }
}

/* Drops and counts: `reason` indexes module->counters. */
static inline void nf_drop(const struct nf *nf, struct nf_packet *p, unsigned reason)
{
    p->drop = (uint8_t)(reason + 1);
    p->drop_nf = (uint8_t)nf->index;
    nf_count(nf, reason, 1);
}

/* 64 random bits from the lane's generator, whose state is in the region. */
uint64_t nf_random(const struct nf *nf);

/*
 * An determinant: what NF code learned of something that is no input, no state and no time. Live, the bytes
 * are recorded; in replay they are replaced by the recorded ones. Call it once for each value, before its
 * first use.
 */
void nf_determinant(const struct nf *nf, void *value, uint16_t size);

/*
 * Asks for `timers` to run when chain time reaches `at`. Only ever brings the wake time forward, so that
 * wheels and the NF itself can share it; the runner puts it to "none" before it calls `timers`. Lives in the
 * region.
 */
void nf_wake(const struct nf *nf, uint64_t at);

/*
 * A packet made here: leaves on `port` after the outputs of the burst; the bytes are copied. It passes the
 * chain's L3 on its way out, not the other NFs. FT_EFULL (counted) when the burst has no room for more.
 */
int nf_emit(const struct nf *nf, uint8_t port, const void *frame, uint32_t len);

/* ---- showing ----------------------------------------------------------------------------------- */

/* A row is a flat object; field names are C literals. Values are escaped as needed. */
void nf_row(struct nf_show *out);
void nf_row_text(struct nf_show *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void nf_row_u64(struct nf_show *out, const char *name, uint64_t value);
void nf_row_ipv4(struct nf_show *out, const char *name, uint32_t addr);
bool nf_show_full(const struct nf_show *out); /* stop and return true from show */

#include "nflib/state/state.h"

#endif
