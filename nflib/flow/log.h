/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of flows: what NFs report of mappings and flows that begin and end, until it has been exported. It
 * is state as any other: the ring of events lies in the arena of the NF flow_log, each of the lane's bursts
 * fills it in the same way live and in replay, and a snapshot has what waits in it. How far the primary's
 * export has come is a determinant of a burst (nfs/flow_log.c), so a successor goes on from there.
 *
 * Written by the lane's NFs. Read by the lane, which gives the events of stable bursts to the node's exporter
 * (lane/export.c).
 */
#ifndef NFLIB_FLOW_LOG_H
#define NFLIB_FLOW_LOG_H

#include "nflib/module/env.h"

enum nf_log_kind {
    NF_LOG_BEGIN = 1, /* a translation: its first packet has passed the chain */
    NF_LOG_END,       /* that translation is over */
    NF_LOG_FLOW,      /* a flow that monitor counted is over */
};

/* Two lines. Addresses and ports in network order; of an ICMP echo the identifier is the source port, and the
 * destination port is 0. */
struct nf_log_event {
    uint64_t number; /* of the lane's events, those that were lost among them: a gap is a loss */
    uint64_t burst;  /* the event may leave when that is stable */
    uint64_t time;   /* of the burst; of a flow, of its last packet. Wall clock, ns */
    uint64_t first;  /* of a flow, of its first packet */
    uint64_t packets[2], bytes[2]; /* of a flow; 0: in the direction of its first packet */
    uint8_t source[16];            /* the first packet's, before the translation; of IPv4 the first 4 bytes */
    uint8_t destination[16];
    uint32_t to_source, to_destination; /* a translation's, behind it */
    uint16_t sport, dport, to_sport, to_dport;
    uint8_t kind; /* enum nf_log_kind */
    uint8_t proto;
    uint8_t ipv6; /* 1: source and destination are of IPv6 */
    uint8_t why;  /* enum nf_session_why of an end */
    uint8_t unused[8];
};
_Static_assert(sizeof(struct nf_log_event) == 128, "two lines");

/* State of flow_log. Positions count the events that found room, from 0. */
struct nf_log {
    struct nf_log_event *ring; /* constant: [capacity] */
    uint64_t capacity;         /* constant, at least 1 */
    uint64_t lineage;          /* drawn with the state: the upper half of its numbers, 0 in the lower one */
    uint64_t next;             /* number of the next event */
    uint64_t made;             /* position of the next event */
    uint64_t exported;   /* all before this position had been exported, as a burst of the primary records */
    int64_t wall;        /* wall clock less chain time, ns, at the last burst that had events */
    uint64_t wall_burst; /* that burst */
    uint32_t waiting;    /* made - exported, for who shows how full it is */
};

/* Counters of flow_log. */
#define NF_LOG_COUNTERS(X)                                                                                   \
    X(NF_LOG_EVENTS, "events")                                                                               \
    X(NF_LOG_LOST, "lost") /* there was no room */                                                           \
    X(NF_LOG_EXPORTED, "exported")
enum nf_log_counter { NF_LOG_COUNTERS(NF_COUNTER) };

#define NF_LOG_TELL_NS 10000000u /* while events wait, the export's position is recorded so often */

/* Adds an event, whose `time` and `first` are chain time; `number` and `burst` are filled in. Where there is
 * no room it is lost, and counted. To be called in `session_tell`, or where nf->env->log is not NULL. */
void nf_log_add(const struct nf *nf, const struct nf_log_event *event, uint64_t now);

#endif
