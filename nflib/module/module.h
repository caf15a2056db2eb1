/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules, and their instances: what an NF declares of itself, what it is given, and what it may ask of its
 * lane. Authors write the module and include nflib/nf.h; the chain (nflib/chain/chain.h) makes the instances
 * and calls them.
 */
#ifndef NFLIB_MODULE_MODULE_H
#define NFLIB_MODULE_MODULE_H

#include "ftcore/region/region.h"
#include "nflib/net/packet.h"

#define NF_BURST_MAX 32u           /* packets of a burst at most */
#define NF_SECOND    1000000000ull /* chain time is in nanoseconds */
#define NF_MS        1000000ull

struct nf;
struct nf_module;
struct nf_show;
struct nf_check;        /* nflib/module/content.h */
struct nf_was;          /* below */
struct nf_session;      /* nflib/session/session.h */
struct nf_flows_config; /* nflib/flow/flow.h */

/* ---- parameters -------------------------------------------------------------------------------- */

/* What a parameter is in the configuration file, and the type of its field in the module's config struct. */
enum nf_param_kind {
    NF_U32,      /* uint32_t, min … max */
    NF_U64,      /* uint64_t, min … max */
    NF_BOOL,     /* bool */
    NF_CHOICE,   /* uint32_t, an index into `choices` */
    NF_IPV4,     /* uint32_t, network order */
    NF_PREFIXES, /* struct nf_prefixes: a list of A.B.C.D/N */
    NF_RANGE,    /* struct nf_range: "1024-65535" or one number, min … max */
    NF_STRING,   /* const char *, owned by the configuration */
    NF_FILE,     /* struct nf_file: a readable file, seen from the configuration file's directory */
    NF_SECONDS,  /* uint32_t, min … max */
    NF_NETWORKS, /* struct nf_networks: as NF_PREFIXES, and prefixes of IPv6 */
    NF_HOSTS,    /* struct nf_hosts: A.B.C.D, or a list of them */
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
bool nf_prefixes_has(const struct nf_prefixes *set, uint32_t addr); /* `addr`: network order */
/* Of both families, NF_PREFIXES_MAX together. */
struct nf_networks {
    struct nf_prefixes ipv4;
    uint32_t count; /* of IPv6 */
    struct nf_prefix6 {
        uint8_t addr[16];
        uint32_t bits;
    } ipv6[NF_PREFIXES_MAX];
};
bool nf_networks_has6(const struct nf_networks *set, const uint8_t addr[16]);

/* A number of 13 decimal digits at most. */
bool nf_number64_parse(const char *text, uint64_t least, uint64_t most, uint64_t *out);

/* At least one, in the order of the file. */
#define NF_HOSTS_MAX 8u
struct nf_hosts {
    uint32_t count;
    uint32_t list[NF_HOSTS_MAX]; /* network order */
};

/* A file that a setting names: read once, with the configuration, which owns it. Who wants what is in it
 * takes it from here, since the file may be another one by then. */
#define NF_FILE_MAX (16u << 20) /* bytes at most */
struct nf_file {
    const char *path;  /* as it can be opened; "": none */
    const char *bytes; /* [len], then a 0 of ours; NULL: none */
    uint32_t len;
};

enum nf_param_marks {
    NF_PARAM_OWN = 1, /* NF_IPV4, NF_HOSTS: the chain answers ARP for it on its outside interfaces */
    /* The parameter is newer than release 0.2: what makes two nodes' chains the same does not name it where
     * it has its preset, so a node of the release before takes part. Its preset never changes again. */
    NF_PARAM_ADDED = 2,
    NF_PARAM_LIVE = 4, /* `apply` may change it in a chain that runs (nflib/chain/change.h) */
};

struct nf_param {
    const char *name; /* NULL ends a table */
    enum nf_param_kind kind;
    size_t offset; /* of the field in the module's config struct */
    uint64_t min, max;
    const char *preset;         /* as written in YAML ("a, b" for lists, "" for none); NULL: required */
    const char *const *choices; /* NULL-terminated, for NF_CHOICE */
    const char *help;           /* one line for operators */
    uint8_t marks;              /* enum nf_param_marks */
};

/* Rows of a table of parameters, for the field of `type` that has the parameter's name; NF_PARAM_AT names it.
 * Presets are strings; the other fields of a row follow the help. NF_NUMBER is for NF_U32, NF_U64, NF_SECONDS
 * and NF_RANGE. */
#define NF_PARAM_AT(type, key, field, of_kind, value, text, ...)                                             \
    {                                                                                                        \
        .name = (key), .kind = (of_kind), .offset = offsetof(type, field), .preset = (value),                \
        .help = (text), ##__VA_ARGS__                                                                        \
    }
#define NF_PARAM(type, field, ...) NF_PARAM_AT(type, #field, field, __VA_ARGS__)
#define NF_NUMBER(type, field, of_kind, least, most, value, text, ...)                                       \
    NF_PARAM(type, field, of_kind, value, text, .min = (least), .max = (most), ##__VA_ARGS__)
#define NF_ONE_OF(type, field, list, value, text, ...)                                                       \
    NF_PARAM(type, field, NF_CHOICE, value, text, .choices = (list), ##__VA_ARGS__)
#define NF_YES_NO(type, field, value, text, ...) NF_PARAM(type, field, NF_BOOL, value, text, ##__VA_ARGS__)

/* For a list of counters, LIST(X) = X(FLOWS, "flows") X(FULL, "table_full") and so on: the elements of an
 * enum, `enum counter { LIST(NF_COUNTER) };`, and of the names, `{LIST(NF_COUNTER_NAME) NULL}`. */
#define NF_COUNTER(id, name)      id,
#define NF_COUNTER_NAME(id, name) name,

/* ---- modules ----------------------------------------------------------------------------------- */

enum nf_reads {
    NF_READS_HEADERS = 0, /* nothing behind the L4 header: the payload need not be recorded */
    NF_READS_PAYLOAD = 1,
    /* As NF_READS_HEADERS, and less of a whole packet of TCP or UDP over IPv4 without options or tags: what
     * the NF makes of it, but for the bytes of what it emits, rests on addresses and ports, the side, the
     * lengths of the frame and of the IP packet, DSCP and ECN, and TCP's flags alone. Of a session that is
     * there it is then recorded in 8 bytes. In replay all else of it has other values. */
    NF_READS_FLOW = 2,
};

/* What an NF's state belongs to, beside its sessions and what its lanes share: all packets of that are one
 * lane's. (Gember-Jacobson et al.: OpenNF, SIGCOMM 2014, calls it the scope of state.) */
enum nf_scope {
    NF_OF_FLOW,    /* a flow, both directions */
    NF_OF_INSIDE,  /* an address on the inside: of its packets the source, of those to it the destination */
    NF_OF_OUTSIDE, /* an address on the outside */
    NF_OF_CHAIN,   /* every packet: the chain has one lane */
};

/* Why a session ended. */
enum nf_session_why {
    NF_SESSION_IDLE,      /* its timeout */
    NF_SESSION_CLEARED,   /* an operator, or an NF in it */
    NF_SESSION_REFUSED,   /* its first packets were dropped, all of them */
    NF_SESSION_DISPLACED, /* it was transitory, and a new flow has its place in a full table */
    NF_SESSION_WHYS
};
/* The ends of a flow's first packet that an NF translates; bits. That inside is the source of a packet from
 * there, and the destination of one from outside. NF_SEQUENCE is no end: it moves sequence numbers of TCP, so
 * that connections cannot go on without it. NF_FAMILY, beside both ends: what leaves it is of the other
 * family. Such a module gets packets of IPv4 from outside with NF_HEADROOM bytes in front, and with UDP's
 * checksum, also where the sender made none, but for fragments. */
enum nf_translates { NF_SOURCE = 1, NF_DESTINATION = 2, NF_INSIDE_END = 4, NF_SEQUENCE = 8, NF_FAMILY = 16 };

/*
 * Ports of an address outside at which an NF takes packets. With both `begins` and `given` they are given to
 * flows that begin inside, and flows that begin outside may come to them as well. Refused are, at one
 * address: two NFs that give; one port at which what begins outside is two NFs'; with several lanes, a port
 * that one NF gives and another one takes; and an NF that gives behind one that only takes what begins
 * outside, since packets from outside would reach it first.
 */
enum nf_ports_protos { NF_PORTS_TCP = 1, NF_PORTS_UDP = 2 };
struct nf_ports {
    uint32_t addr;        /* network order */
    uint16_t first, last; /* host order */
    uint8_t protos;       /* enum nf_ports_protos, one or both */
    bool begins;          /* what begins outside at them is this NF's */
    bool given; /* it gives them to flows that begin inside, and drops what comes to the address for no flow
                 * of its own */
};

struct nf_module {
    const char *name;    /* as in the configuration */
    const char *summary; /* one line for operators */
    /* Raised by whatever changes the layout of its state, or what it makes of a packet: two nodes whose NFs
     * have other versions are no pair, since one could not go on from the other's state or replay its log. */
    uint32_t version;
    enum nf_reads reads;
    /* The NF cannot be replayed: recorded inputs, time and determinants do not decide its state and outputs,
     * as when a library inside it reads a clock of its own. A chain with such an NF is protected by deltas,
     * and mode log is refused. */
    bool unreplayable;
    /* By its configuration; a chain of several lanes whose NFs cannot agree is refused. NULL: NF_OF_FLOW. */
    enum nf_scope (*scope)(const void *config);
    const struct nf_param *params;
    size_t config_size;          /* bytes of the config struct */
    const char *const *counters; /* NULL-terminated names; reasons for drops are among them */

    /* Checks what ranges cannot express, once, when the file is read; may read further files into the config.
     * 0, or an error with its text in `fault`. NULL: nothing to check. */
    int (*check)(void *config, struct ft_fault *fault);
    void (*release)(void *config); /* frees what `check` made; NULL: nothing to free */

    size_t state_size; /* bytes of nf->state, the root of an instance's state */
    /* Bytes of arena that an instance needs beside that; a generous bound. NULL: none. */
    uint64_t (*arena)(const void *config);
    /* Bytes of the shared arena that all lanes together need (nflib/shared/shared.h). NULL: none. */
    uint64_t (*shared)(const void *config, unsigned lanes);
    /*
     * Bytes of a heap, for a library in the NF that allocates and writes without edits while packets flow
     * (nflib/module/heap.h). Which of its pages were written is found at each cut. The library keeps there
     * all that it changes, and in it no address but of the region. NULL: none.
     */
    uint64_t (*heap)(const void *config);

    /*
     * Fills nf->state, which is zeroed and may be written to here, with objects that it makes in nf->arena.
     * Runs on every node before any packet; what it makes must depend on config and nf_random alone. On a
     * standby the primary's lines then replace the content. False: something found no room. NULL: zeroes.
     */
    bool (*make)(struct nf *nf);
    /* Gives nf->library back, which `make` has set; also when `make` failed. NULL: nothing to give back. */
    void (*unmake)(struct nf *nf);

    /* n (1 … 32) packets that all came in on the same side; none is dropped yet. nf_drop those that end
     * here. `now`: chain time, in nanoseconds; it never goes back. */
    void (*process)(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now);

    /* Called before the packets of a burst when `now` has reached the time asked for with nf_wake. NULL: no
     * timers. */
    void (*timers)(struct nf *nf, uint64_t now);

    /* Writes rows for an operator, a bounded number in a call; `*cursor` starts at 0. True while there is
     * more. Reads only. NULL: nothing to show. */
    bool (*show)(const struct nf *nf, struct nf_show *out, uint64_t *cursor);
    /* An operator's changes, recorded and replayed. 0, FT_ENOENT for an unknown key, FT_EINVAL for a bad
     * value. clear: `key` NULL is everything. NULL: nothing can be set, or cleared. */
    int (*set)(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
    int (*clear)(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);

    /*
     * For dispatch in software: the lane that has the state of the packet's flow. The packet is as it came
     * in, parsed. False: any lane, by the packet's hash. NULL: always any. Called by any thread, with the
     * instance of any lane, while lanes run: it may read only shared state that can be read without a
     * section. A wrong answer costs the packet, never state.
     */
    bool (*owner)(const struct nf *nf, const struct nf_packet *p, unsigned *lane);

    /*
     * Looks at a state that a peer has written, before it is believed: what lies in the NF's own structs and
     * in values of maps and is used as an index, a length or a number of steps. Constants (nf_constant) and
     * the state types have been checked before. 0, or what nf_check_failed returns. Reads only. NULL: nothing
     * of that kind.
     */
    int (*check_state)(const struct nf *nf, struct nf_check *c);

    /*
     * For NFs that keep state of flows in sessions (nflib/session/session.h). session_size: bytes of its slot
     * in each; 0: none, and the rest but `translates` is not looked at. flows: what the NF's configuration
     * asks for. session_end: a session that the NF is in ends, perhaps in a join of this NF or another
     * (NF_SESSION_DISPLACED); it gives back what it holds for it, and may look at the record; check_state
     * looks at slots, too. NULL: nothing to give back. session_tell: where the chain has a log of
     * flows (nflib/flow/log.h), a session that the NF is in has begun, since its first packet has passed the
     * chain; or it is about to end, and has passed one. NULL: the NF logs neither. session_idle: the NF joins
     * no flow as it is set now, so while there are no sessions, packets need not be looked up for it. NULL:
     * it may always join.
     */
    uint16_t session_size;
    uint8_t translates; /* enum nf_translates */
    /* Whether it joins flows of IPv6, too, NULL: never. Without such an NF the chain looks up none. */
    bool (*ipv6)(const void *config);
    uint8_t fragments_full; /* the counter of datagrams that gave way to a first fragment, + 1; 0: none */
    uint8_t conflict;       /* that of packets whose answers would be another flow's, + 1; 0: none */
    uint8_t host_full;      /* that of packets that its join drops, since their host begins no more, + 1 */
    uint8_t expired;        /* that of its sessions that ended by their time, + 1 */
    uint8_t displaced;      /* that of those that gave way to another, + 1 */
    bool serves_outside;    /* hosts outside are those that it is there for: what they begin is not limited,
                             * but by NFs that limit what they join */
    void (*flows)(const void *config, struct nf_flows_config *flows);
    void (*session_tell)(const struct nf *nf, const struct nf_session *s, bool ends, enum nf_session_why why,
                         uint64_t now);
    void (*session_end)(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now);
    bool (*session_idle)(const struct nf *nf);
    /* Whether it takes packets of IPv4 whose header's checksum is wrong as if it were right (`checksums:
     * false`). Then all NFs of a chain without addresses get them so; L3 drops them, as any router does.
     * NULL: never. */
    bool (*unsummed)(const void *config);

    /*
     * carry, for a chain that is changed while it runs (nflib/chain/change.h): the instance, which is made by
     * the new configuration, has its counters, and where its memory is laid out as before all the rest of its
     * state (nf_was.same); its slots in sessions come behind it. It takes over what is left, and what the
     * configuration sets anew. It enters no section, and lanes come one after the other. False: it has no
     * room for what was there, and `fault` says so. NULL: nothing is left to do; then memory that is laid out
     * in another way is refused.
     */
    const char
        *settings; /* what `set` takes besides timeouts, at most 90 bytes, as people read it; or NULL */
    bool (*carry)(struct nf *nf, const struct nf_was *was, struct ft_fault *fault);

    /* For `check`: shared objects that the module needs and whose state somebody has looked at, a blank
     * before each and behind the last. NULL: none. */
    const char *libraries;
    /* For `check`: as it is configured it drops all packets of IPv6 but neighbours' messages. NULL: never. */
    bool (*drops_ipv6)(const void *config);
    /* Its ports number `i` outside; false: there are no more. Ports that two NFs of a chain take are refused
     * when the file is read. NULL: it takes none. */
    bool (*ports)(const void *config, unsigned i, struct nf_ports *out);

    /* For `trace` and `replay --drops`, of a packet that the NF has just dropped: the detail that its counter
     * does not show, as people read it ("edge.rules:12"). On the lane; it reads only. False: there is nothing
     * to add. NULL: there never is. */
    bool (*why)(const struct nf *nf, const struct nf_packet *p, char *out, size_t size);
};

/* Registers `module` before main, or when the shared object is loaded. */
#define NF_MODULE(module)                                                                                    \
    __attribute__((constructor)) static void nf_register_##module(void)                                      \
    {                                                                                                        \
        nf_module_register(&module);                                                                         \
    }
/*
 * The number of this interface, all that nflib/nf.h includes. It is raised by whatever changes the layout of
 * a struct that a module fills or reads, and by whatever takes away or changes what authors call. A module
 * that was built for another number is not loaded, since the function that registers it has the number in its
 * name. docs/writing-an-nf.md has what each number changed, and how a module is mended.
 */
#define NF_API                 8
#define NF_API_NAME(name, api) name##api
#define NF_API_OF(name, api)   NF_API_NAME(name, api)
#define nf_module_register     NF_API_OF(nf_module_register_, NF_API)
void nf_module_register(const struct nf_module *module);
void nf_module_forget(const struct nf_module *module); /* its shared object is about to be unloaded */
const struct nf_module *nf_module_find(const char *name);
const struct nf_module *nf_module_at(unsigned index); /* sorted by name; NULL beyond the last */

/* ---- instances --------------------------------------------------------------------------------- */

struct nf_env; /* the lane's side, nflib/module/env.h */

struct nf {
    const struct nf_module *module;
    const void *config; /* the module's config struct, filled */
    void *state;        /* root of the state in the arena */
    struct ft_region *region;
    struct ft_arena *arena;
    struct nf_env *env;
    uint64_t *counters;   /* one for each name in module->counters, in the arena */
    struct ft_heap *heap; /* in the arena; NULL: the module wants none */
    /* Of this process, not state: what `make` made of the configuration by a library. Nothing of it changes
     * while packets flow but what is forgotten with the packet. */
    void *library;
    uint16_t lane;
    uint16_t index; /* in the chain, from 1; 0 is the lane's own state */
    uint16_t lanes;
    uint16_t shared;     /* shared objects made so far */
    uint16_t session_at; /* of its slot, in bytes from a session's record; 0: none */
};

/* A writable pointer to exactly the n bytes at `p`, which are about to change. */
static inline void *nf_edit(const struct nf *nf, const void *p, size_t n)
{
    return ft_edit(nf->region, p, n);
}
/* The same for one object, of the type that `p` points to without its const (which the comma takes off). */
#define NF_EDIT(nf, p) ((__typeof__((void)0, *(p)) *)nf_edit((nf), (p), sizeof(*(p))))
/* The same for what changes with every packet, where it lies in one line: a word, and the value of a map's
 * entry with a key of type KEY. */
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

/*
 * In `make`: the n bytes at `p`, which are filled by now, never change again. Every pointer that an NF keeps
 * in the region is one, and every size. A peer that sends something else there is refused.
 */
void nf_constant(const struct nf *nf, const void *p, size_t n);
#define NF_CONSTANT(nf, p) nf_constant((nf), (p), sizeof(*(p)))

/* In `process`: the side (enum nf_side) on which the packet, as it is now, leaves the chain: that of the
 * route to its destination. The other one than it came in on where there is no route, or the chain has no
 * addresses. */
uint8_t nf_out_side(const struct nf *nf, const struct nf_packet *p);

/* In `process`, of a packet that the NF drops and has not changed: its sender gets an ICMP error, from the
 * address of the interface that it came in on, out of that interface's allowance (l3_icmp_sent,
 * l3_icmp_limited). Of IPv4. Nothing is sent where the chain has no addresses. */
void nf_complain(const struct nf *nf, const struct nf_packet *p, uint8_t type, uint8_t code, uint64_t now);

/* Adds to a counter, an index into module->counters. */
static inline void nf_count(const struct nf *nf, unsigned counter, uint64_t add)
{
    *(uint64_t *)ft_edit(nf->region, &nf->counters[counter], sizeof(uint64_t)) += add;
}

/* Adds to all of the NF's counters what a burst has summed up, with one edit for each line of them that
 * changes. */
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

/* Drops the packet and counts it: `reason` is an index into module->counters. */
static inline void nf_drop(const struct nf *nf, struct nf_packet *p, unsigned reason)
{
    p->drop = (uint8_t)(reason + 1);
    p->drop_nf = (uint8_t)nf->index;
    nf_count(nf, reason, 1);
}

/* 64 random bits from the lane's generator, whose state is in the region. */
uint64_t nf_random(const struct nf *nf);
/* SipHash-2-4 (Aumasson, Bernstein) of n bytes, under a key that nobody outside may know. */
uint64_t nf_siphash(const uint64_t key[2], const void *data, uint32_t n);

/*
 * A determinant: a value that NF code learned from something other than its inputs, its state and the time.
 * Live, the `size` bytes are recorded; in replay they are replaced by the recorded ones. Call it once for
 * each value, before its first use. At most 16 KB of them in a burst.
 */
void nf_determinant(const struct nf *nf, void *value, uint16_t size);

/*
 * The number of the input that the packet is, of those that `process` is given: the same for all NFs of the
 * chain, live, in replay and after a takeover. Inputs of a lane have numbers from 1 on, in the order in which
 * they came: to the input keeper where there is one (docs/keeper.md), else to the lane. NFs get what came in
 * outside behind what came inside in the same burst, also where it came before.
 */
uint64_t nf_clock(const struct nf *nf, const struct nf_packet *p);

/*
 * Asks for `timers` to be called when chain time reaches `at`. It only ever brings the wake time forward, so
 * that wheels and the NF itself can share it; the chain sets it to "none" before it calls `timers`. The wake
 * time lies in the region.
 */
void nf_wake(const struct nf *nf, uint64_t at);

/*
 * Sends a packet made here on `port`, after the outputs of the burst; the bytes are copied. It passes the
 * chain's L3 on its way out, but not the other NFs. FT_EFULL (counted): the burst has no room for more;
 * FT_EINVAL: fewer than 14 or more than 1514 bytes.
 */
int nf_emit(const struct nf *nf, uint8_t port, const void *frame, uint32_t len);

/* ---- showing ----------------------------------------------------------------------------------- */

/* A row is a flat object. Field names are C literals; values are escaped as needed. */
void nf_row(struct nf_show *out);
void nf_row_text(struct nf_show *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void nf_row_u64(struct nf_show *out, const char *name, uint64_t value);
void nf_row_ipv4(struct nf_show *out, const char *name, uint32_t addr); /* `addr`: network order */
bool nf_show_full(const struct nf_show *out); /* stop, and return true from `show` */

/* For who calls `show`: rows become a JSON array in out[0..cap). nf_show_begin: NULL when there is no memory,
 * or cap < 4. nf_show_end closes and frees; it returns the text's length. */
struct nf_show *nf_show_begin(char *out, uint32_t cap);
uint32_t nf_show_end(struct nf_show *show);

/* ---- tables that can be full --------------------------------------------------------------------------- */

/*
 * The name of each table, where its count of entries lies in the region, and its limit. Whoever makes a table
 * registers it, once, and goes on counting as before. Noted while the chain is made, in memory of the
 * process; the node reads the counts while lanes run, for operators (understudy/watch/counts.c).
 */

#define NF_TABLES_MAX 128u /* of a lane */

struct nf_table {
    const char *name;      /* of the NF's tables, "clients"; outlives the chain */
    const uint32_t *count; /* in the region; nothing is followed that lies there */
    uint32_t parts;        /* the table is that many, with counts `stride` bytes apart */
    uint32_t limit;        /* entries of all parts */
    uint64_t stride;
    bool free;   /* what is counted are places that are free */
    bool shared; /* by all lanes, each of which registers it */
    uint16_t nf; /* filled in */
    uint32_t
        host; /* network order: one of several tables of the name, that of this address; 0: the only one */
};

/* In `make`. More than NF_TABLES_MAX are a broken invariant. State types have calls of their own. */
void nf_table_add(const struct nf *nf, struct nf_table table);
/* Entries now; a lane may be adding some. */
uint64_t nf_table_entries(const struct nf_table *table);

/* Of a lane. */
struct nf_tables {
    uint32_t count;
    struct nf_table list[NF_TABLES_MAX];
};

/* ---- a chain that is changed while it runs -------------------------------------------------------- */

/* What an NF was before: its old instance, and the old region, which lies at another address meanwhile. Made
 * by the chain (nflib/chain/change.c), read by module->carry. */
struct nf_was {
    const void *config; /* the module's config struct before */
    const void *state;  /* can be read */
    int64_t moved;      /* bytes from where pointers in the old state lead to where that is now */
    bool same;          /* the memory is laid out as before, and all but constants has been copied */
};

/* Where something is now that a pointer in the old state leads to. */
static inline const void *nf_was_at(const struct nf_was *was, const void *p)
{
    return (const uint8_t *)p + was->moved;
}

/* ---- where a module was loaded from ----------------------------------------------------------------- */

/* The shared object that a module was loaded from, as it lies in this process: for who looks into its file,
 * and for who loads it anew. */
struct nf_object_file {
    const char *path; /* as it was loaded by; lives as long as the object is loaded */
    struct nf_segment {
        uint8_t *base; /* whole pages */
        uint64_t size;
    } all; /* from the object's first page to its last */
};

/* False: the module is of the program. */
bool nf_object_file_of(struct nf_object_file *out, const struct nf_module *module);

#endif
