/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plain model of the chain's sessions, for fuzz_sessions.c and tests/nf/test_sessions.c: an array that is
 * searched from front to back, ends that are computed and not timed. It knows the rules of
 * nflib/session/session.h and the two NFs of that target, of which the first translates sources. An address
 * of IPv6 is that of IPv4 behind 2001:db8::, so that flows of both families differ in nothing else.
 */
#ifndef TESTS_FUZZ_SESSIONS_MODEL_H
#define TESTS_FUZZ_SESSIONS_MODEL_H

#include "nflib/nf.h"
#include "tests/fuzz/fuzz.h"
#include "nftest/frames.h"

#define SM_FLOWS 48u /* at most */
#define SM_NFS   2u
#define SM_SITE  NFT_IP(203, 0, 113, 1) /* what sources are translated to, with a number of 1024 and more */

/* What is done with a packet. */
enum {
    SM_NUMBER = 3 << 2, /* the session that it begins is translated; 0: it is not */
    SM_REFUSE_1 = 1 << 4,
    SM_JOIN_2 = 1 << 5,
    SM_REFUSE_2 = 1 << 6,
    SM_LEAVE_2 = 1 << 7
};

struct sm_key {
    uint32_t saddr, daddr;
    uint16_t sport, dport;
    uint8_t proto, side;
    bool ipv6, error; /* error: of ICMP */
};

struct sm_packet {
    const struct nf_packet *real;
    struct sm_key key; /* as it came in */
    uint32_t id;       /* of a fragment's datagram */
    struct sm_session *session;
    bool reply, again, dropped;
    bool later; /* a later fragment, whose first one has passed */
};

struct sm_session {
    bool live, fresh, two_keys, turned;
    struct sm_key key[2];
    uint32_t members, serial; /* members: bit of each NF's number */
    uint64_t seen;
    uint64_t transitory;              /* number of the moment at which it became so; 0: it is not */
    uint64_t assured;                 /* the same */
    uint8_t tcp;                      /* of UDP 1: answered, 2: and its beginner has sent again */
    uint16_t number;                  /* that NF 1 translates to; 0: it does not */
    uint32_t packets[SM_NFS + 1];     /* that an NF in it saw */
    const struct sm_packet *beginner; /* the packet that began it, in this burst */
};

/* Of datagrams whose first fragment has passed. */
#define SM_DATAGRAMS 1024u
struct sm_datagram {
    struct sm_key key; /* without ports */
    uint32_t id, serial;
    struct sm_session *session;
    bool reply;
    uint64_t until; /* 0: none */
};

/* How many flows NF 1, and so the table, has room for, and how many NF 2; before a chain is made. */
extern uint32_t sm_flows, sm_few;

struct sm {
    struct sm_session list[SM_FLOWS];
    struct sm_datagram datagrams[SM_DATAGRAMS];
    uint64_t now;
    uint32_t serial;
    uint32_t timeouts[SM_NFS + 1][NF_TIMEOUT_COUNT]; /* seconds */
    uint32_t in_use[SM_NFS + 1], live, fresh;
    uint64_t moments;
    struct sm_session *hand;                     /* NULL: the one assured first */
    uint64_t ended[SM_NFS + 1][NF_SESSION_WHYS]; /* by enum nf_session_why */
    uint64_t turns, conflicts, laters; /* assured ones that gave way, packets that did, later fragments */
};
extern struct sm sm;

void sm_begin(void);
/* Where a packet that leaves goes to. */
uint8_t sm_out_side(const void *arg, const struct nf_packet *p);
struct sm_key sm_key_of(const struct nf_packet *p);
/* Before the NFs; then, for NF `nf`, the packet's session, NULL: none; one that it has joined; leaving it. */
void sm_look(struct sm_packet *p);
struct sm_session *sm_of(struct sm_packet *p, unsigned nf);
struct sm_session *sm_join(struct sm_packet *p, unsigned nf);
void sm_leave(struct sm_session *s, unsigned nf);
void sm_settle(struct sm_packet packets[], uint32_t n);
/* An operator's clear by an NF; what is idle at sm.now ends. */
void sm_clear(unsigned nf, bool whole);
void sm_expire(void);

/* A packet, of three bytes: its length, side and what is done with it. From inside to a remote, to another
 * host, or to the site; and what may be answers to these. Only what is `alone` in its burst is a fragment. */
uint32_t sm_make_frame(struct fuzz_input *in, bool alone, uint8_t *frame, uint8_t *side, uint8_t *say);

#endif
