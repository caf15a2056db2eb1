/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: the flows of a lane, found once for all NFs of the chain. The chain looks a packet up before any
 * NF's `process`, by its tuple and the side on which it came in. What it finds is one record, with a slot for
 * each NF that keeps state of flows (module->session_size).
 *
 * A session begins when an NF joins the flow of a packet that belongs to none. It has two keys: the tuple
 * with which its first packet came in, and, learned by the chain when that packet leaves, the tuple with
 * which answers will come in. So NFs that translate need no index, and no NF knows of another. A session
 * whose first packets are all dropped ends at once. A session lives as long as the NF in it that wants it
 * longest.
 *
 * Records, index and timers lie in the lane's arena. The lane writes them: NFs their slots, the chain the
 * rest.
 */
#ifndef NFLIB_SESSION_SESSION_H
#define NFLIB_SESSION_SESSION_H

#include "nflib/flow/flow.h"
#include "nflib/module/env.h"

/* A key of a session: both ends of a packet as it comes in on `side`. Network order; of an ICMP echo both
 * ports are its identifier. */
struct nf_tuple {
    uint32_t saddr, daddr; /* of IPv6: a hash of both, which struct nf_addresses has */
    uint16_t sport, dport; /* 0: the protocol has none, or they could not be read */
    uint8_t proto;
    uint8_t side : 1; /* enum nf_side */
    uint8_t ipv6 : 1;
    uint8_t zero : 6;
    uint8_t own[2]; /* 0, and no part of the key; in a record they are used, see below */
};
_Static_assert(sizeof(struct nf_tuple) == 16, "a key is two words");

/* Both addresses of a packet of IPv6, as in its header. */
struct nf_addresses {
    uint8_t source[16], destination[16];
};

/* dport of the keys of ICMP errors, and of ICMPv6 that is no echo; their sport is 0. An echo has its
 * identifier in both. */
#define NF_SESSION_ERROR 0xffff

/* What begins a record; the slots follow. Read by NFs, written by the chain alone. */
struct nf_session {
    struct nf_tuple key[2]; /* of packets in the direction of the first one, and of answers */
    uint64_t seen;          /* chain time of the last packet */
    uint32_t members;       /* bit i: NF i of the chain (from 1) has its slot */
    uint32_t serial;        /* distinguishes sessions that had the same record, one after the other */
};
_Static_assert(sizeof(struct nf_session) == 48, "a line has room for slots");

/*
 * In the bytes own[] of a record's keys lies what the chain knows of the session. key[0].own[0]: the state of
 * TCP (enum nf_tcp_state), or of other protocols but ICMP enum nf_assurance. key[0].own[1]: the class of its
 * timeout (enum nf_timeout). key[1].own[0]: these flags. key[1].own[1]: 0.
 */
enum nf_session_flags {
    NF_SESSION_NEW = 1 << 0, /* no packet of it has passed the chain yet: it has no second key, no timer */
    NF_SESSION_ONE_KEY = 1 << 1, /* both keys are the same one */
    NF_SESSION_TURNED = 1 << 2,  /* of TCP: the connection was begun by an answer, on ports used before */
    NF_SESSION_FLAGS = 7
};
static inline uint8_t nf_session_tcp(const struct nf_session *s)
{
    return s->key[0].own[0];
}
static inline uint8_t nf_session_class(const struct nf_session *s)
{
    return s->key[0].own[1];
}
static inline uint8_t nf_session_flags(const struct nf_session *s)
{
    return s->key[1].own[0];
}

/* Of ICMP errors, or of ICMPv6 that is no echo: nobody answers those. */
static inline bool nf_session_of_errors(const struct nf_session *s)
{
    uint8_t proto = s->key[0].proto;

    return (proto == NF_PROTO_ICMP || proto == NF_PROTO_ICMPV6) && s->key[0].sport != s->key[0].dport;
}

/* p->drop of what sessions drop and no NF counts; p->drop_nf is NF_DROP_SESSIONS. */
enum nf_sessions_drop { NF_SESSIONS_CONFLICT = 1, NF_SESSIONS_HOST_FULL };
static inline const char *nf_sessions_drop_text(unsigned drop)
{
    return drop == NF_SESSIONS_CONFLICT ? "conflict" : drop == NF_SESSIONS_HOST_FULL ? "host_full" : NULL;
}

/* ---- a packet's session ------------------------------------------------------------------------ */

/* Of a packet that an NF gets, in p->flow. */
enum nf_flow_bits {
    NF_FLOW_REPLY = 1 << 0, /* it goes against the session's first packet */
    NF_FLOW_AGAIN = 1 << 1, /* of TCP: asks for a connection where the session's last one is over */
    NF_FLOW_LATER = 1 << 2, /* for the chain; NFs ask nf_session_later */
    NF_FLOW_KEYED = 1 << 3, /* has a key: nf_session_join can take it in */
    /* A whole packet of TCP or UDP, IPv4, of a session that began in an earlier burst, and TCP's state does
     * not change. */
    NF_FLOW_SETTLED = 1 << 4,
};

/* What a lane knows of its sessions outside the region; see nflib/session/look_up.c. */
struct nf_sessions_burst {
    const struct nf_sessions *table;
    uint32_t fresh; /* sessions begun by packets of this side and this burst */
    /* before[i][side][end], a bit for each NF: those that a packet from `side` passes before NF i and that
     * translate its source (end 0) or destination (1). */
    uint32_t before[FT_NFS_MAX][2][2];
    uint32_t stateless; /* NFs that are in no session */
    uint32_t family;    /* a bit: the NF that makes a packet one of the other family; 0: none does */
};

/* For nf_session_of: sets p->session if an earlier packet of the burst has begun it since the look-up. */
void nf_session_again(const struct nf *nf, struct nf_packet *p);

/* The session of the packet's flow; NULL: none yet. An earlier packet of the burst may just have begun it. */
static inline const struct nf_session *nf_session_of(const struct nf *nf, struct nf_packet *p)
{
    if (ft_unlikely(!p->session && nf->env->sessions->fresh))
        nf_session_again(nf, p);
    return p->session;
}
/* The same, if this NF has joined it. */
static inline bool nf_session_has(const struct nf *nf, const struct nf_session *s)
{
    return s->members >> nf->index & 1;
}
static inline const struct nf_session *nf_session_mine(const struct nf *nf, struct nf_packet *p)
{
    const struct nf_session *s = nf_session_of(nf, p);

    return s && nf_session_has(nf, s) ? s : NULL;
}

/* A settled packet's session, if this NF has joined it; NULL: look closely. */
static inline const struct nf_session *nf_session_settled(const struct nf *nf, const struct nf_packet *p)
{
    return p->flow & NF_FLOW_SETTLED && nf_session_has(nf, p->session) ? p->session : NULL;
}

/* The NF's slot, module->session_size bytes at a multiple of 8. Its content means something once the NF has
 * joined. */
static inline const void *nf_session_slot(const struct nf *nf, const struct nf_session *s)
{
    return (const uint8_t *)s + nf->session_at;
}
/* The same to write to: a slot of up to a line lies in one. */
#define NF_SESSION_EDIT(nf, s, type)                                                                         \
    ({                                                                                                       \
        _Static_assert(sizeof(type) <= FT_LINE, "a slot of one line");                                       \
        (type *)ft_edit_in_line((nf)->region, nf_session_slot((nf), (s)), sizeof(type));                     \
    })

/*
 * Takes the NF, which is not in it so far, into the packet's flow, with a slot of zeros. Begins the flow's
 * session when there is none. NULL: the NF has max_flows already, the table is full, or the packet has no key
 * (NF_FLOW_KEYED). A session that begins here ends behind the NFs, if all of its packets in this burst are
 * dropped.
 *
 * Where the NF has max_flows, or the table is full, another session ends, without a packet in this burst: the
 * one that has been transitory longest (of TCP, being opened or over; ICMP; of others, not assured), or else
 * of 16 in turn that are no TCP the one that has been idle longest. Where an NF of the chain limits flows of
 * a host, and one has more than a sixteenth of the table that are no open connections of TCP, it is the
 * oldest of those; and the same of the packet's own host where that has as many as this NF lets it have. Its
 * NFs hear of it in here (NF_SESSION_DISPLACED), and may enter sections: join outside of any, and enter 32 at
 * most since nf_session_room.
 *
 * Where the packet would begin its session and its host has as many as it may (nf_session_host_full), the
 * packet is dropped in here, as module->host_full or as no NF's, whatever the NF does with what finds no
 * room: passed, its answer would begin the session, as another host's.
 */
const struct nf_session *nf_session_join(const struct nf *nf, struct nf_packet *p, uint64_t now);
/* The NF has made the packet one that asks for a connection (it set p->tcp_flags), where the session's last
 * one is over: as with a SYN that came, NFs behind this one see NF_FLOW_AGAIN, and if the packet passes, the
 * session begins again. */
void nf_session_asks_again(const struct nf *nf, struct nf_packet *p);
/* The NF drops a packet of TCP that is not of its session's connection, as its numbers show: what its flags
 * have done to the session's state is undone, for all NFs. */
void nf_session_disbelieve(const struct nf *nf, const struct nf_packet *p);
/* Of TCP, in `process`: the NF follows sequence numbers and knows that the reset which came is none, so the
 * session is of an open connection as before. */
void nf_session_stays_open(const struct nf *nf, const struct nf_session *s, uint64_t now);
/* True: a join would find room. */
bool nf_session_room(const struct nf *nf, const struct nf_packet *p);
/* True: the host that sent the packet has as many flows as the NF lets it have, or, where the NF has no limit
 * of its own and would begin the session, as any NF of the chain does; or the hosts of its /64 have seven
 * eighths of all that there is room for. Gives the reason why there is no room. */
bool nf_session_host_full(const struct nf *nf, const struct nf_packet *p);
/* The last host that was found at its limit. Once, until it has had less than half of its flows. */
struct nf_host_full {
    uint64_t at;      /* chain time; 0: there was none */
    uint64_t hosts;   /* how many have been, with this one */
    uint8_t addr[16]; /* of IPv4 its first 4 bytes */
    uint32_t limit;
    uint16_t nf;     /* of the chain, which asked */
    uint8_t ipv6;    /* 1: all of addr */
    uint8_t network; /* 1: it is a /64, for all of its hosts */
};
_Static_assert(sizeof(struct nf_host_full) == 40, "whole words");
/* Of the lane that `nf` is of. Any thread, while the region is there. False: nothing limits hosts, or the
 * lane is writing it. */
bool nf_session_last_full(const struct nf *nf, struct nf_host_full *out);
/* What a new flow needs beside its place in the table, and the NF has none left of, such as a port. */
enum nf_session_frees {
    NF_FREES,           /* the session gives one back when it ends */
    NF_FREES_NONE,      /* it does not */
    NF_HOST_FREES_NONE, /* nor does any that its host has begun */
};
struct nf_session_need {
    uint32_t kind;  /* 0 … 31, the same for the same need of the NF: a burst looks in vain for it once */
    uint32_t limit; /* as many there are for the lane in all */
    enum nf_session_frees (*frees)(const struct nf *nf, const struct nf_session *s, /* the NF is in it */
                                   const void *arg);
    const void *arg;
};
/* Between nf_session_room, which returned true, and the join, or right behind it: another session ends, by
 * the rule of a full table, where a host that has more than a sixteenth of the limit is greedy, so that one
 * is free. False: no session ends. The join finds room as before. */
bool nf_session_displace(const struct nf *nf, const struct nf_packet *p, const struct nf_session_need *need,
                         uint64_t now);
/* The NF has nothing more to do with the flow; the others in it go on. session_end is not called for it. */
void nf_session_leave(const struct nf *nf, const struct nf_session *s, uint64_t now);
/* The flow ends for all NFs. May be called in `timers`, `set` and `clear` alone. */
void nf_session_end(const struct nf *nf, const struct nf_session *s, uint64_t now);

/* Of a later fragment: the first one of its datagram has passed the NFs; if both are in this burst, those
 * before this NF. */
bool nf_session_later(const struct nf *nf, const struct nf_packet *p);
/* An ICMP error: the session of the packet that it quotes, NULL: none, or the error does not go to that
 * packet's source, so it is not about it. *reply: answers to the quoted packet would go against the session's
 * first packet. Not to be asked of a packet that an NF has made. */
const struct nf_session *nf_session_quoted(const struct nf *nf, const struct nf_packet *p, bool *reply);

/*
 * The ends of the session's first packet as this NF sees them, before it translates any itself: what NFs that
 * come before it in that direction translate (module->translates) is as they left it. `s` has been confirmed:
 * it is not NF_SESSION_NEW.
 */
void nf_session_view_changed(const struct nf *nf, const struct nf_session *s, struct nf_tuple *out);
static inline void nf_session_view(const struct nf *nf, const struct nf_session *s, struct nf_tuple *out)
{
    const uint32_t *before = nf->env->sessions->before[nf->index][s->key[0].side];

    *out = s->key[0];
    out->own[0] = out->own[1] = 0;
    if (ft_unlikely((s->members | nf->env->sessions->family) & (before[0] | before[1])))
        nf_session_view_changed(nf, s, out);
}

/* Of which family it is as this NF sees it: one that translates may come before it, and change that. */
static inline bool nf_session_sees_ipv6(const struct nf *nf, const struct nf_session *s)
{
    const struct nf_sessions_burst *burst = nf->env->sessions;
    uint32_t before = burst->family & burst->before[nf->index][s->key[0].side][0];

    if (nf_session_flags(s) & NF_SESSION_NEW)
        return s->key[0].ipv6 ^ ((s->members & before) != 0);
    return s->key[before != 0].ipv6;
}

/* And of which protocol: ICMP is another one in IPv6. */
static inline uint8_t nf_session_proto(const struct nf *nf, const struct nf_session *s)
{
    uint8_t proto = s->key[0].proto;
    bool changed = nf_session_sees_ipv6(nf, s) != s->key[0].ipv6;

    return !changed                   ? proto
           : proto == NF_PROTO_ICMP   ? NF_PROTO_ICMPV6
           : proto == NF_PROTO_ICMPV6 ? NF_PROTO_ICMP
                                      : proto;
}

/* The addresses that go with it, of a session that the NF sees as one of IPv6. */
void nf_session_view_ipv6(const struct nf *nf, const struct nf_session *s, struct nf_addresses *out);

/* The addresses of a key of its own, 0 or 1, of a session of IPv6 that has that key. */
void nf_session_key_ipv6(const struct nf *nf, const struct nf_session *s, unsigned which,
                         struct nf_addresses *out);

/* True: this tuple, of IPv4, is a key of some session, to which answers that come in with it would belong. */
bool nf_session_known(const struct nf *nf, const struct nf_tuple *tuple);
/* The same of IPv6, whose addresses stand beside the tuple. */
bool nf_session_known_ipv6(const struct nf *nf, const struct nf_tuple *tuple,
                           const struct nf_addresses *addresses);

/* ---- for operators ----------------------------------------------------------------------------- */

/* Sessions that the NF is in. */
uint32_t nf_sessions_count(const struct nf *nf);
uint32_t nf_sessions_max(const struct nf *nf); /* its max_flows */
/* A walk over them, in the order of their records: the first one from number *at on, which it sets. */
const struct nf_session *nf_sessions_next(const struct nf *nf, uint32_t *at);
/* The same, but it looks at *left sessions at most, the NF's or not, which it counts down: for a part of the
 * walk in each burst. NULL: at the end, *at is NF_NONE, or *left is 0. */
const struct nf_session *nf_sessions_next_near(const struct nf *nf, uint32_t *at, uint32_t *left);
/* As nf_show_slots, for the sessions that the NF is in. */
bool nf_sessions_show(const struct nf *nf, uint64_t first, struct nf_show *out, uint64_t *cursor,
                      void (*row)(const struct nf *nf, struct nf_show *out, const struct nf_session *s));
/* Both ends of the session's first packet as this NF sees them, "A.B.C.D:PORT" or "[IPV6]:PORT". */
void nf_session_row_ends(const struct nf *nf, struct nf_show *out, const struct nf_session *s,
                         const char *source, const char *destination);
/* An operator's new timeout of a class, "udp" = "120", or, "timeout" = "120", of all. Flows with a packet
 * from now on have it at once, those without as the change reaches them: a bounded number in each burst, this
 * one first. As nf_timeout_set, but 0 for success; a module whose `set` takes nothing else names one as that.
 */
int nf_sessions_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int nf_sessions_set_all(struct nf *nf, const char *key, const char *value, uint64_t now,
                        struct ft_fault *fault);
/* Seconds of a class as they are now. 0: the NF has no such flows, or keeps none. */
uint32_t nf_sessions_timeout(const struct nf *nf, enum nf_timeout class);
/* An operator's clear: the NF leaves the sessions that it is in and that have begun by now, or ends them for
 * all; a bounded number in each burst, this one first, in the lane's timers. session_end of this NF is called
 * for each. */
void nf_sessions_clear(const struct nf *nf, bool end, uint64_t now);
/* A module's `clear` without keys: the NF leaves all of them. FT_ENOENT: a key. */
int nf_sessions_clear_all(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);

#endif
