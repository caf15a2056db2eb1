/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a TCP connection, from flags and direction alone: sequence numbers are not followed, so a
 * state is what the packets claim. Used by NFs that keep connections; the state is one byte of their values.
 */
#ifndef NFLIB_NET_TCP_H
#define NFLIB_NET_TCP_H

#include <stdbool.h>
#include <stdint.h>

enum nf_tcp_flag {
    NF_TCP_FIN = 0x01,
    NF_TCP_SYN = 0x02,
    NF_TCP_RST = 0x04,
    NF_TCP_PSH = 0x08,
    NF_TCP_ACK = 0x10,
    NF_TCP_URG = 0x20,
};

/* "Originator" is the side that sent the connection's first packet seen here. */
enum nf_tcp_state {
    NF_TCP_NONE,
    NF_TCP_SYN_SENT,    /* the originator's SYN */
    NF_TCP_SYN_RECV,    /* both SYNs */
    NF_TCP_ESTABLISHED, /* both SYNs and the originator's ACK, or picked up in the middle */
    NF_TCP_FIN_WAIT,    /* the originator's FIN alone: half closed */
    NF_TCP_CLOSE_WAIT,  /* the other side's FIN alone: half closed */
    NF_TCP_LAST_ACK,    /* both FINs */
    NF_TCP_TIME_WAIT,   /* both FINs and an ACK after them */
    NF_TCP_CLOSED,      /* reset before both SYNs were seen */
    NF_TCP_RESET,       /* reset later, by the originator */
    NF_TCP_RESET_BACK,  /* by the other side */
    NF_TCP_RESET_BOTH,  /* by each of them */
    NF_TCP_STATES
};

/* State after a connection's first packet seen; a SYN or, in the middle of a connection, anything else. */
uint8_t nf_tcp_first(uint8_t flags);
/* State after one more packet; `reply`: it came from the side that is not the originator. An end that sends
 * on after a reset of its own did not send that reset: once that is so of each reset, the connection is open
 * as before. An end that sends data after both have finished did not send its FIN. */
uint8_t nf_tcp_next(uint8_t state, uint8_t flags, bool reply);

/* Both sides have finished or one has reset: a SYN begins a new connection (RFC 7857, 2.2). */
static inline bool nf_tcp_is_over(uint8_t state)
{
    return state >= NF_TCP_LAST_ACK;
}
/* Open to data in at least one direction: the long timeout holds (RFC 5382, REQ-5). */
static inline bool nf_tcp_is_open(uint8_t state)
{
    return state == NF_TCP_ESTABLISHED || state == NF_TCP_FIN_WAIT || state == NF_TCP_CLOSE_WAIT;
}
/* A SYN that asks for a connection. */
static inline bool nf_tcp_is_request(uint8_t flags)
{
    return (flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST | NF_TCP_FIN)) == NF_TCP_SYN;
}
/* An ACK without SYN, FIN and RST, as most packets are, in a state that it leaves as it is. `reply`: it came
 * from the side that is not the originator, whose ACK alone opens what the originator has asked for. */
static inline bool nf_tcp_stays(uint8_t state, uint8_t flags, bool reply)
{
    const uint32_t moves = 1u << NF_TCP_SYN_RECV | 1u << NF_TCP_LAST_ACK | 1u << NF_TCP_TIME_WAIT |
                           1u << NF_TCP_RESET | 1u << NF_TCP_RESET_BACK | 1u << NF_TCP_RESET_BOTH;
    const uint32_t asked = 1u << NF_TCP_SYN_SENT | 1u << NF_TCP_CLOSED;

    return (flags & (NF_TCP_FIN | NF_TCP_SYN | NF_TCP_RST | NF_TCP_ACK)) == NF_TCP_ACK &&
           !((reply ? moves | asked : moves) >> (state & 31) & 1);
}
/* Flags that no TCP sends: none at all, or two of SYN, FIN and RST together. */
bool nf_tcp_is_impossible(uint8_t flags);

/* Lower case, "syn-sent"; "none" for anything unknown. */
const char *nf_tcp_state_name(uint8_t state);

#endif
