/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of ips share: packets and operators' commands (ips.c), and what rules find in them and what
 * a match does (match.c). Rules are read by other files: see rules.h. */
#ifndef NFS_IPS_H
#define NFS_IPS_H

#include "nfs/ips/rules.h"

#define IPS_STEPS_MAX     65536u /* of a packet: a note, a host or a range that is looked at is one */
#define IPS_STEPS_BYTES   65536u /* what fills a hole has as many steps again for each so many bytes of TCP */
#define IPS_NOTES_FLOW    64u    /* notes of a direction at most */
#define IPS_PATTERNS_FLOW 8u     /* patterns among them that are looked for at a time */

struct ips_config {
    struct nf_file rules;
    struct nf_flows_config flows;
    struct nf_streams_config streams;
    uint32_t max_notes, max_tracked, alerts;
    bool checksums;
    uint32_t fragments, unsupported; /* enum nf_policy */
    struct ips_rules *read;          /* made by check from the file */
};

#define IPS_COUNTERS(X)                                                                                      \
    X(IPS_PACKETS, "inspected")   /* packets of TCP and UDP */                                               \
    X(IPS_OTHER, "not_inspected") /* other IP, and ARP: what is neither */                                   \
    X(IPS_CREATED, "flows_created")                                                                          \
    X(IPS_MATCHES, "matches")          /* of rules */                                                        \
    X(IPS_ALERTS, "alerts")            /* of those, reported as alerts */                                    \
    X(IPS_DROPPED, "dropped")          /* packets dropped by a rule */                                       \
    X(IPS_REJECTED, "rejected")        /* the same, both ends notified */                                    \
    X(IPS_BLOCKED, "blocked")          /* later packets of flows in which a rule has dropped one */          \
    X(IPS_MIDSTREAM, "midstream")      /* streams whose beginning was not seen, picked up */                 \
    X(IPS_KEPT, "segments_kept")       /* behind a hole */                                                   \
    X(IPS_OLD, "retransmitted")        /* segments of which nothing was new */                               \
    X(IPS_DIFFERS, "overlap_differs")  /* dropped: contradicts what has passed and is not acknowledged */    \
    X(IPS_UNSEEN, "overlap_unknown")   /* dropped: the same perhaps, of what was not copied */               \
    X(IPS_FULL, "segments_full")       /* dropped: no room to keep it until it is acknowledged */            \
    X(IPS_OUTSIDE, "out_of_window")    /* dropped: too far ahead, or outside of its ends */                  \
    X(IPS_UNKNOWN, "beginning_unseen") /* dropped: loose is false */                                         \
    X(IPS_INVALID, "invalid")     /* dropped: flags or an ACK with which its receiver does not take it */    \
    X(IPS_URGENT, "urgent")       /* made ordinary data */                                                   \
    X(IPS_CHECKSUM, "checksum")   /* dropped: its receiver would drop it */                                  \
    X(IPS_FRAGMENTS, "fragments") /* treated as `fragments` sets */                                          \
    X(IPS_UNSUPPORTED, "unsupported")   /* neither IP nor ARP: `unsupported` decides */                      \
    X(IPS_MALFORMED, "malformed")       /* dropped */                                                        \
    X(IPS_NOTES_FULL, "notes_full")     /* contents of rules with several without room: see match.c */       \
    X(IPS_STEPS_FULL, "steps_full")     /* packets in which contents were found too often */                 \
    X(IPS_TRACKED_FULL, "tracked_full") /* matches that no threshold could count */                          \
    X(IPS_TABLE_FULL, "flows_full")     /* dropped */                                                        \
    X(IPS_IP_CHECKSUM, "ip_checksum")   /* dropped: the next router would drop it */                         \
    X(IPS_HOST_FULL,                                                                                         \
      "host_full") /* dropped: its host has max_flows_per_host, open connections of TCP alone */
enum ips_counter { IPS_COUNTERS(NF_COUNTER) IPS_COUNTERS_COUNT };

enum ips_flow_flags { IPS_FLOW_BLOCKED = 1, IPS_FLOW_ANSWERED = 2, IPS_FLOW_FLAGS = 3 };

/* In a session. Index 0: the direction of its first packet. */
struct ips_flow {
    struct nf_stream stream[2];
    struct nf_list notes[2];
    uint32_t generation;  /* of the rules that states and notes are about */
    uint16_t state[2][2]; /* of the direction, of the automaton */
    uint8_t noted[2];     /* how many notes there are */
    uint8_t flags;        /* enum ips_flow_flags */
    uint8_t zero;
};
_Static_assert(sizeof(struct ips_flow) == 64, "a line");

/* A content of a rule with several has been found in a direction. Positions are modulo 2^32. */
struct ips_note {
    uint32_t content;
    uint32_t first, last;           /* where it ended first and last */
    uint16_t found;                 /* 1: it has been found; else it is a pattern that is looked for */
    uint16_t begins;                /* 1: a pattern that is anchored may begin with the next byte */
    uint64_t state;                 /* of a pattern: the positions that the stream is at */
    uint64_t ends[IPS_WINDOW / 64]; /* a bit for each end in the IPS_WINDOW positions up to `last` */
};

/* A match that is reported as an alert. */
struct ips_alert {
    uint64_t time; /* of the chain */
    uint32_t sid, rev;
    uint8_t action; /* enum ips_action */
    uint8_t proto, ipv6, zero;
    uint16_t port[2];    /* network order */
    uint8_t addr[2][16]; /* IPv4 in IPv6's form */
};

/* Of each rule, by its place. */
struct ips_live {
    uint64_t hits;
    uint32_t sid;
    uint32_t action; /* enum ips_action: the file's, or an operator's */
};

struct ips {
    struct nf_streams *streams;
    struct nf_lists *notes;             /* struct ips_note */
    struct nf_shared_map *tracks;       /* of match.c */
    struct ips_live *live;              /* [IPS_RULES_MAX] */
    struct ips_alert *alert;            /* [config->alerts], a ring */
    uint32_t alerts, unused;            /* all up to here constant */
    _Alignas(FT_LINE) uint64_t alerted; /* ever */
    uint32_t generation;                /* of rules; raised by a change of them */
    uint32_t zero;
    uint64_t errors_paid[2]; /* the allowance of ICMP errors to each side (nf_icmp_pay) */
};

/* Both ends of what is looked at, source first. */
struct ips_ends {
    struct nf_addr addr[2];
    uint16_t port[2]; /* network order */
};

/* A packet, and what comes of it. */
struct ips_look {
    struct nf *nf;
    struct nf_packet *p;
    const struct nf_session *session;
    struct ips_flow *flow; /* to write to; of a datagram, one of its own */
    struct ips_ends ends;  /* of the packet */
    bool reply;            /* the packet's direction */
    uint8_t verdict;       /* enum ips_action: 0, or IPS_DROP, IPS_REJECT */
    uint8_t full;          /* enum ips_counter: the verdict is for want of room, or of time; 0: it is not */
    uint32_t steps;        /* of looking for rules; at IPS_STEPS_MAX it ends */
    uint32_t bytes;        /* of TCP that have been read since `steps` was 0 */
    bool gave_up;          /* at that */
    uint32_t patterns;     /* that are looked for in the direction that is looked through */
    struct ips_note *pattern[IPS_PATTERNS_FLOW]; /* to write to */
    uint64_t now;
    uint32_t next;  /* of TCP, what the receiver expects of the packet's sender */
    uint64_t *sums; /* [IPS_COUNTERS_COUNT], written to the region once a burst */
};

/* match.c: looks through bytes of a direction, and for each rule that matches does what its match does. */
void ips_look_through(struct ips_look *look, const struct nf_stream_bytes *bytes);
void ips_notes_release(struct nf *nf, struct ips_flow *flow, bool reply);
int ips_notes_check(const struct nf *nf, struct nf_check *c);
uint64_t ips_tracks_bytes(uint32_t max_tracked);
struct nf_shared_map *ips_tracks_make(struct nf *nf, uint32_t max_tracked);

#endif
