/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions lie in memory, and what the parts of nflib/session have in common; for the chain, which calls
 * them. See session.h, and table.c for what is where.
 */
#ifndef NFLIB_SESSION_TABLE_H
#define NFLIB_SESSION_TABLE_H

#include "nflib/flow/flow.h"
#include "nflib/module/content.h"
#include "nflib/net/tcp.h"
#include "nflib/session/session.h"
#include "nflib/state/state.h"

#define NF_SESSION_PLACES 8u    /* in a bucket */
#define NF_SESSION_DUE    64u   /* timers that are taken from the wheel at a time */
#define NF_SESSION_ROUNDS 16u   /* how often in one burst; what is left is due in the next */
#define NF_SESSION_LOOKS  4096u /* sessions looked at for an operator's change in one burst, at most */
#define NF_SESSION_VICTIMS                                                                                   \
    (NF_BURST_MAX + 1u) /* looked at, since a burst's packets keep that many less one from being displaced   \
                         */
#define NF_SESSION_IN_TURN 16u /* assured ones of which the one that has been idle longest gives way */
#define NF_SESSION_GREEDY_PART                                                                               \
    16u /* a host with more than this part of the table, or of what is short, makes room first */

/* A reference is the number of a record, doubled, and which of its keys it is. */
struct nf_session_bucket {
    uint16_t tag[NF_SESSION_PLACES]; /* 0: empty */
    uint32_t ref[NF_SESSION_PLACES];
    uint32_t passed; /* references that wanted this bucket or an earlier one and lie behind it */
    uint32_t unused[3];
};
_Static_assert(sizeof(struct nf_session_bucket) == FT_LINE, "a bucket is one line");

/* An operator's change under way, of one NF: sessions that it is in, from record `at` on, are still to get
 * it. */
enum nf_session_change {
    NF_SESSION_RETIME = 1 << 0, /* a timer by the timeouts as they are now */
    NF_SESSION_LEAVE = 1 << 1,  /* those begun before the change: the NF leaves them */
    NF_SESSION_END = 1 << 2,    /* or they end for all */
    NF_SESSION_CHANGES = 7
};
struct nf_session_walk {
    uint32_t what; /* enum nf_session_change; 0: none is under way */
    uint32_t at;
    uint32_t serial; /* of the session begun last when the operator cleared */
};

/* A host that began sessions. */
struct nf_session_host {
    uint32_t flows;
    uint32_t listed;     /* of those, in its list: that may be displaced */
    struct nf_list list; /* oldest first */
    uint32_t noted; /* its flows when it was found at its limit; 0: not since it had less than half of them */
};
/* The /64 of hosts of IPv6. */
struct nf_session_network {
    uint32_t flows, noted; /* as of a host */
};
/* Ranks of hosts, by powers of two: of none listed, 1, 2 and 3, 4 to 7 and so on. */
#define NF_SESSION_RANKS 33u
static inline uint32_t nf_session_rank(uint32_t listed)
{
    return listed ? 32u - (uint32_t)__builtin_clz(listed) : 0;
}

/* Sessions that may give way, in the order in which they became so: those that are transitory, and those
 * of other protocols than TCP that are assured. Records + 1; 0: there are none. */
enum nf_session_orders { NF_SESSION_TRANSITORY, NF_SESSION_ASSURED, NF_SESSION_ORDERS };
struct nf_session_order {
    uint32_t oldest, youngest;
};

/* Begins the table, in the lane's arena. Constant but for what is live. */
struct nf_sessions {
    struct nf_wheel *wheel;       /* records by number, then fragments */
    struct nf_map *fragments;     /* struct nf_datagram to struct nf_noted; NULL: no NF looks at fragments */
    struct nf_lists *by_arrival;  /* slots of fragments, in `arrived` */
    uint64_t used_at, records_at; /* bytes from here */
    uint64_t addresses_at;        /* the same; 0: the chain looks up no IPv6 */
    uint64_t links_at;            /* the same */
    uint64_t host_of_at;          /* the same; 0: no NF limits flows of a host */
    struct nf_map *hosts;         /* addresses to struct nf_session_host; NULL: the same */
    struct nf_map *networks;      /* 8 bytes to struct nf_session_network; NULL: that, or no IPv6 */
    struct nf_lists *of_hosts;    /* records, in a list for each host */
    struct nf_lists *ranks;       /* hosts by their slots, in by_rank[] */
    uint32_t capacity, buckets, stride;
    uint16_t nfs;                   /* in the chain */
    uint16_t family;                /* the NF that makes a packet one of the other family; 0: none does */
    uint32_t max_flows[FT_NFS_MAX]; /* by NF; 0: keeps no flows */
    uint32_t max_flows_per_host[FT_NFS_MAX]; /* 0: as many as there is room for */
    uint32_t host_limit[2]; /* by the host's side, of what an NF begins that has none of its own; the same */
    uint16_t slot_at[FT_NFS_MAX]; /* in a record */
    uint16_t slot_size[FT_NFS_MAX];
    /* Live. */
    _Alignas(FT_LINE) uint64_t seed;
    uint32_t timeouts[FT_NFS_MAX][NF_TIMEOUT_COUNT]; /* seconds; 0: the NF has no such flows */
    _Alignas(FT_LINE) uint32_t count;
    uint32_t touched; /* records from here on were never used */
    uint32_t free;    /* record last freed + 1; 0: none */
    uint32_t serial;  /* of the session begun last */
    struct nf_session_order order[NF_SESSION_ORDERS];
    uint32_t hand; /* record of the assured session that is the first to be looked at, + 1; 0: the oldest */
    uint64_t conflicts;          /* packets dropped since the second key of their session was another's */
    uint32_t in_use[FT_NFS_MAX]; /* sessions that each NF is in */
    struct nf_session_walk walks[FT_NFS_MAX];
    struct nf_list by_rank[NF_SESSION_RANKS];          /* of hosts */
    struct nf_list arrived;                            /* fragments, oldest first */
    uint64_t full[NF_NOTE_WORDS(struct nf_host_full)]; /* a note */
};

/* A session's addresses by its keys, of IPv6. One line for each record, beside them: sessions of IPv4 do not
 * touch it. */
struct nf_session_addresses {
    struct nf_addresses key[2];
};
_Static_assert(sizeof(struct nf_session_addresses) == FT_LINE, "a record's addresses are one line");

/* Records + 1 of the sessions that come before and after one in its order; 0: none. Of one that is in no
 * order, no matter. */
struct nf_session_link {
    uint32_t older, younger;
};

/* What a datagram's fragments have in common as they come in, and what is noted of them. No padding. */
struct nf_datagram {
    uint32_t saddr, daddr; /* 0 for IPv6, as `id` */
    uint16_t id;
    uint8_t proto, side;
    uint32_t id_ipv6; /* what follows is there where the chain looks up IPv6 */
    struct nf_addresses addresses;
};
static inline uint32_t nf_datagram_bytes(bool ipv6)
{
    return ipv6 ? sizeof(struct nf_datagram) : offsetof(struct nf_datagram, id_ipv6);
}
struct nf_noted {
    uint32_t record; /* NF_NONE: the first fragment belonged to no session, and quoted none */
    uint32_t serial; /* of the session that was there; another one has no part in the datagram */
    uint32_t reply;  /* 1: the first fragment went against the session's first packet */
};

/* What the chain knows of a packet of the burst that has a key. */
struct nf_session_look {
    struct nf_tuple key;
    uint64_t hash;
    const struct nf_session_bucket *bucket;
    const struct nf_session *guess; /* where the first tag that is the key's leads to; NULL: there is none */
    uint32_t ref;                   /* which `guess` is from: its record times 2, plus which key */
    uint8_t tcp_was;                /* the session's state of TCP before the packet */
    bool tcp_changed;               /* which the packet has changed */
    bool quoted_reply;              /* as *reply of nf_session_quoted */
    uint8_t unused;
    const struct nf_session *quoted; /* of an ICMP error: the session of what it quotes; NULL: none */
    const struct nf_packet *first;   /* of a later fragment: the first one, when it is in this burst */
};
_Static_assert(sizeof(struct nf_session_look) == FT_LINE, "a line");

struct nf_sessions_lane {
    struct nf_sessions_burst burst; /* what inline functions of NFs look at */
    struct nf *nfs;                 /* [nfs + 1], 0: the lane's own */
    /* For the report of a crash: index of the NF that runs; the packet whose session ends, from 1, or 0. */
    _Atomic uint32_t *running, *ends;
    /* The side by which a packet will leave, by the chain's routes; NULL: not the one it came in on. */
    uint8_t (*out_side)(const void *arg, const struct nf_packet *p);
    const void *out_arg;
    const struct nf_packet *packets; /* of the burst */
    uint64_t now;                    /* chain time */
    uint32_t host;                   /* the slot of one that was found last, perhaps no more its own */
    uint32_t vain;                   /* bits: nf_session_need.kind of which this burst has found none */
    uint32_t vain_nf;                /* for that NF */
    bool noted;                      /* some packet is a fragment, or begins a connection again */
    bool changed;                    /* a key has come or gone since nf_sessions_prepare */
    uint32_t begun[NF_BURST_MAX];    /* records of those that are fresh */
    const struct nf_packet
        *beginner[NF_BURST_MAX]; /* the packet that has begun each; until they are confirmed */
    _Alignas(FT_LINE) struct nf_session_look look[NF_BURST_MAX];
    struct nf_datagram datagram[NF_BURST_MAX];   /* of fragments */
    struct nf_addresses addresses[NF_BURST_MAX]; /* of packets of IPv6, as they came in */
};

static inline const struct nf_session_bucket *nf_session_bucket_at(const struct nf_sessions *t, uint32_t b)
{
    return (const struct nf_session_bucket *)(const void *)(t + 1) + b;
}
static inline const struct nf_session *nf_session_at(const struct nf_sessions *t, uint32_t record)
{
    return (const struct nf_session *)(const void *)((const uint8_t *)t + t->records_at +
                                                     (uint64_t)record * t->stride);
}
static inline uint32_t nf_session_number(const struct nf_sessions *t, const struct nf_session *s)
{
    return (uint32_t)(((uint64_t)((const uint8_t *)s - (const uint8_t *)t) - t->records_at) / t->stride);
}
static inline const struct nf_session_addresses *nf_session_addresses(const struct nf_sessions *t,
                                                                      uint32_t record)
{
    return (const struct nf_session_addresses *)(const void *)((const uint8_t *)t + t->addresses_at) + record;
}
static inline const struct nf_session_link *nf_session_link(const struct nf_sessions *t, uint32_t record)
{
    return (const struct nf_session_link *)(const void *)((const uint8_t *)t + t->links_at) + record;
}
/* Its slot in t->hosts. */
static inline const uint32_t *nf_session_host_of(const struct nf_sessions *t, uint32_t record)
{
    return (const uint32_t *)(const void *)((const uint8_t *)t + t->host_of_at) + record;
}
static inline const uint64_t *nf_sessions_used(const struct nf_sessions *t)
{
    return (const uint64_t *)(const void *)((const uint8_t *)t + t->used_at);
}
static inline bool nf_session_is_used(const struct nf_sessions *t, uint32_t record)
{
    return record < t->capacity && nf_sessions_used(t)[record / 64] >> record % 64 & 1;
}
static inline struct nf_sessions_lane *nf_sessions_lane(const struct nf *nf)
{
    return (struct nf_sessions_lane *)(void *)nf->env->sessions;
}

/* The first fragment of a datagram, whose others will belong to its session. */
static inline bool nf_session_is_first(const struct nf_packet *p)
{
    return p->flow & NF_FLOW_KEYED && (p->flags & (NF_P_FRAGMENT | NF_P_LATER)) == NF_P_FRAGMENT;
}

/* look_up.c: the session of a datagram's later fragments, by its first one: the session that an ICMP error
 * quotes, where that is known, else the first fragment's own. */
const struct nf_session *nf_session_of_rest(const struct nf_sessions_lane *lane,
                                            const struct nf_packet *first, bool *reply);

/* ---- index.c. A key's own[] are not looked at. A reference: see struct nf_session_bucket. ---- */

/* The session that has this key, whose hash is nf_session_hash's; NULL: none. *which: 0 or 1, which of its
 * keys it is. `addresses`: those of a key of IPv6; NULL: the key is of IPv4. */
const struct nf_session *nf_session_find(const struct nf_sessions *t, const struct nf_tuple *key,
                                         const struct nf_addresses *addresses, uint64_t hash,
                                         uint32_t *which);
/* Puts a reference where its key leads to, and takes it away. No other reference has that key. */
void nf_session_enter(const struct nf *nf, const struct nf_sessions *t, uint32_t ref,
                      const struct nf_tuple *key);
void nf_session_forget(const struct nf *nf, const struct nf_sessions *t, uint32_t ref,
                       const struct nf_tuple *key);
/* A free record; NF_NONE: there is none. It is marked as used (nf_session_use) once it is filled, and given
 * back (nf_session_give) when its keys are in the index no more. */
uint32_t nf_session_take(const struct nf *nf, const struct nf_sessions *t);
void nf_session_use(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
void nf_session_give(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
uint64_t nf_session_timeout(const struct nf_sessions *t, const struct nf_session *s); /* ns */

/* The first used record from `record` on; NF_NONE at the end. */
uint32_t nf_session_next(const struct nf_sessions *t, uint32_t record);

/* hosts.c: sessions in the order in which they became what they are. Which order; NF_SESSION_ORDERS: none, it
 * has not begun yet, or is an open connection of TCP. */
static inline uint32_t nf_session_order(const struct nf_session *s)
{
    uint8_t class = nf_session_class(s);

    return class == NF_TIMEOUT_TCP_ESTABLISHED || nf_session_flags(s) & NF_SESSION_NEW ? NF_SESSION_ORDERS
           : nf_timeout_is_transitory(class)                                           ? NF_SESSION_TRANSITORY
                                                                                       : NF_SESSION_ASSURED;
}
/* The session of a record comes last in its order, if it is in one, and is taken from the one it is in. */
void nf_session_put_in_order(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
void nf_session_take_from_order(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
/* It gives way: assured ones behind it are the next to be looked at. */
void nf_session_pass_on(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
/* Its class has changed, to `class`: it has the timer that goes with it. */
void nf_session_reclass(const struct nf *nf, const struct nf_sessions *t, struct nf_session *s, uint8_t class,
                        uint64_t now);
/* The session that may give way to one of the NF's that `p` begins: the table, or the NF, or its host has as
 * many as it may. `need`: one that frees that; NULL: any. NF_NONE: there is none among those looked at. */
uint32_t nf_session_displaceable(const struct nf *nf, const struct nf_packet *p,
                                 const struct nf_session_need *need);

/* Of hosts; nothing is done where no NF limits flows of a host. */
/* May be displaced for its host's sake, and lies in its list. */
static inline bool nf_session_is_listed(const struct nf_session *s)
{
    return nf_session_class(s) != NF_TIMEOUT_TCP_ESTABLISHED && !(nf_session_flags(s) & NF_SESSION_NEW);
}
/* The session of a record that has its first key begins, and ends, when it is in no list. */
void nf_session_host_begin(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
void nf_session_host_end(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
void nf_session_host_list(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
void nf_session_host_unlist(const struct nf *nf, const struct nf_sessions *t, uint32_t record);
int nf_session_hosts_check(struct nf_check *c, const struct nf_sessions *t);

/* fragments.c. The datagram is the newest now. True: the oldest gave way to it. */
bool nf_fragments_note(const struct nf *nf, const struct nf_sessions *t, const struct nf_datagram *datagram,
                       struct nf_noted noted, uint64_t now);
void nf_fragments_remove(const struct nf *nf, const struct nf_sessions *t, uint32_t slot);
int nf_fragments_check(struct nf_check *c, const struct nf_sessions *t);

/* session.c: ends a session for all NFs, which hear of it by session_end. `nf`: the lane's own instance. */
void nf_session_finish(const struct nf *nf, uint32_t record, enum nf_session_why why, uint64_t now);

/* The NF is in no session any more, and gets no session_end: its own state begins anew. Sessions that it
 * translates end for the others. Between bursts. */
void nf_sessions_leave(struct nf_sessions_lane *lane, const struct nf *nf, uint64_t now);

/* burst.c: a session begun in this burst by a packet that has not left the NFs, to which `p` is an answer.
 * NULL: there is none, or an NF that translates is still to come, so that it is not known. */
const struct nf_session *nf_session_crossed(const struct nf *nf, const struct nf_packet *p);

/* check.c, for nf_object. */
int nf_sessions_check(struct nf_check *c, const void *table);

/* ---- for the chain ----------------------------------------------------------------------------- */

/* What the chain's NFs want of the table, together. All zero at first. */
struct nf_sessions_wants {
    uint32_t nfs;                               /* in the chain */
    uint32_t capacity;                          /* sessions: the largest max_flows */
    uint32_t fragments;                         /* datagrams: the largest max_fragments */
    bool ipv6;                                  /* some NF joins flows of IPv6 */
    bool hosts;                                 /* some NF limits flows of a host */
    const struct nf_module *module[FT_NFS_MAX]; /* from 1 */
    struct nf_flows_config flows[FT_NFS_MAX];
};
/* Adds what NF `index` wants, by its module and its config. In the order of the chain, from 1. */
void nf_sessions_want(struct nf_sessions_wants *wants, uint32_t index, const struct nf_module *module,
                      const void *config);
uint64_t nf_sessions_bytes(const struct nf_sessions_wants *wants); /* of arena; 0: no NF keeps flows */
/* `lane`: [nfs + 1] instances and out_side are filled. False: the arena has no room. */
bool nf_sessions_make(struct nf_sessions_lane *lane, const struct nf_sessions_wants *wants);
/* What goes on in a table that was just made, which is empty: the sessions of another one, whose pointers
 * lead nowhere. */
struct nf_sessions_carry {
    const struct nf_sessions *old;
    const struct nf_map *old_fragments;   /* NULL: it had none */
    const struct nf_lists *old_arrival;   /* of those */
    const struct nf_sessions_wants *from; /* by which it was made */
    const uint16_t *was;                  /* [nfs + 1] the NFs' places in its chain; 0: not there */
};
/* No lane runs. FT_EFULL: more sessions than the table, or an NF, may have; FT_ENOMEM. Then the table is
 * void. */
int nf_sessions_carry(const struct nf_sessions_lane *to, const struct nf_sessions_carry *how, uint64_t now,
                      struct ft_fault *fault);
/*
 * Hashes the packets' keys and follows them to where their sessions should lie. Of all packets of a burst,
 * before any NF gets one; writes nothing but what the lane knows of them. `restored`: there may be some that
 * nf_session_restore made, whose sessions are known.
 */
void nf_sessions_prepare(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         bool restored);
/* Finds the sessions of a side's packets, which are prepared, before the NFs get them: p->session and
 * p->flow. */
void nf_sessions_look_up(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         uint64_t now);
/* Confirms what they have begun, behind the NFs; session.h says what then ends. True: it may have dropped
 * packets. */
bool nf_sessions_confirm(struct nf_sessions_lane *lane, struct nf_packet *const packets[], uint32_t n,
                         uint64_t now);
/*
 * A packet identified by the session that it comes with: all that an NF with NF_READS_FLOW reads of a whole
 * packet of TCP or UDP over IPv4. The same bytes are recorded, and come from a peer.
 */
struct nf_session_input {
    uint32_t key; /* the session's number times 2, plus which of its keys the packet has; NF_NONE: none */
    uint16_t ip_bytes; /* of its IP packet, host order */
    uint8_t tcp_flags; /* 0 of UDP */
    uint8_t tos;       /* DSCP and ECN */
};
_Static_assert(sizeof(struct nf_session_input) == 8, "without padding");
#define NF_RESTORED_BYTES 64u /* room for the headers of a packet that is made of such an input */

/* Asks for the lines of the session that an input names, if it names any: nf_session_restore is about to read
 * them. */
void nf_session_expect(const struct nf_sessions_lane *lane, const struct nf_session_input *in);
/*
 * Makes the packet again, before nf_sessions_prepare, of p->len, p->in_port and p->side: its headers in
 * frame[NF_RESTORED_BYTES], and what parse would find in them; MAC addresses and what the input does not have
 * are other than they were. False: the input names no session whose packet could be so.
 */
bool nf_session_restore(struct nf_sessions_lane *lane, const struct nf_session_input *in, struct nf_packet *p,
                        uint8_t frame[NF_RESTORED_BYTES]);
/* The same where the packet is only reported: flags, protocol, addresses and ports; nothing else is written.
 */
bool nf_session_ends(const struct nf_sessions_lane *lane, const struct nf_session_input *in,
                     struct nf_packet *p);
/* Before a burst: ends sessions whose time is over, and goes on with operators' changes; a bounded number. */
void nf_sessions_timers(struct nf_sessions_lane *lane, uint64_t now);

#endif
