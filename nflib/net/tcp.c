/* SPDX-License-Identifier: Apache-2.0 */
/* TCP states from flags and direction; see tcp.h. Pure functions, no state of their own. */
#include "nflib/net/tcp.h"

bool nf_tcp_is_impossible(uint8_t flags)
{
    uint8_t f = flags & (NF_TCP_SYN | NF_TCP_FIN | NF_TCP_RST);
    if ((f & (f - 1)) != 0)
        return true;
    return (flags & (NF_TCP_SYN | NF_TCP_FIN | NF_TCP_RST | NF_TCP_ACK)) == 0;
}

uint8_t nf_tcp_first(uint8_t flags)
{
    if (flags & NF_TCP_RST)
        return NF_TCP_RESET;
    if (flags & NF_TCP_SYN)
        return flags & NF_TCP_ACK ? NF_TCP_SYN_RECV : NF_TCP_SYN_SENT;
    return flags & NF_TCP_FIN ? NF_TCP_FIN_WAIT : NF_TCP_ESTABLISHED;
}

/* A SYN of the originator has come, perhaps a reset after it, and nothing else. */
static uint8_t next_asked(uint8_t state, uint8_t flags, bool reply)
{
    if (!reply || !(flags & (NF_TCP_SYN | NF_TCP_ACK)))
        return state;
    if (flags & NF_TCP_SYN)
        return state == NF_TCP_SYN_SENT || flags & NF_TCP_ACK ? NF_TCP_SYN_RECV : state;
    return flags & NF_TCP_FIN ? NF_TCP_CLOSE_WAIT : NF_TCP_ESTABLISHED;
}

/* Connections being opened. A SYN from both sides is a simultaneous open: the first ACK completes it. Where
 * the other side sends an ACK without a SYN, it has a connection that is open: the SYN was forged or late. */
static uint8_t next_opening(uint8_t state, uint8_t flags, bool reply)
{
    if (state == NF_TCP_SYN_SENT)
        return next_asked(state, flags, reply);
    if (flags & NF_TCP_FIN)
        return reply ? NF_TCP_CLOSE_WAIT : NF_TCP_FIN_WAIT;
    /* A pick-up at the SYN+ACK has the responder as originator: the ACK then comes from the other side. */
    if ((flags & NF_TCP_ACK) && (!reply || !(flags & NF_TCP_SYN)))
        return NF_TCP_ESTABLISHED;
    return state;
}

/* A packet after a reset, which is no reset and no request: an ACK takes back the reset of its own end. */
static uint8_t next_reset(uint8_t state, uint8_t flags, bool reply)
{
    if (!(flags & NF_TCP_ACK) || state == (reply ? NF_TCP_RESET : NF_TCP_RESET_BACK))
        return state;
    if (state == NF_TCP_RESET_BOTH)
        return reply ? NF_TCP_RESET : NF_TCP_RESET_BACK;
    return flags & NF_TCP_FIN && reply ? NF_TCP_CLOSE_WAIT : nf_tcp_first(flags);
}

static uint8_t reset(uint8_t state, bool reply)
{
    switch (state) {
    case NF_TCP_SYN_SENT:
        return NF_TCP_CLOSED;
    case NF_TCP_LAST_ACK:
    case NF_TCP_TIME_WAIT:
    case NF_TCP_CLOSED:
        return state;
    case NF_TCP_RESET:
        return reply ? NF_TCP_RESET_BOTH : state;
    case NF_TCP_RESET_BACK:
        return reply ? state : NF_TCP_RESET_BOTH;
    case NF_TCP_RESET_BOTH:
        return state;
    default:
        return reply ? NF_TCP_RESET_BACK : NF_TCP_RESET;
    }
}

/* A packet after both FINs, which is no reset and no request: data takes back the FIN of its own end. That it
 * is data is seen by PSH, which the last segment of what is to be sent has (RFC 9293, 3.9.1.2). */
static uint8_t next_finished(uint8_t state, uint8_t flags, bool reply)
{
    if (flags & (NF_TCP_FIN | NF_TCP_SYN) || !(flags & NF_TCP_ACK))
        return state;
    if (flags & NF_TCP_PSH)
        return reply ? NF_TCP_FIN_WAIT : NF_TCP_CLOSE_WAIT;
    return NF_TCP_TIME_WAIT;
}

uint8_t nf_tcp_next(uint8_t state, uint8_t flags, bool reply)
{
    if (flags & NF_TCP_RST)
        return reset(state, reply);
    if (nf_tcp_is_over(state) && !reply && nf_tcp_is_request(flags))
        return NF_TCP_SYN_SENT;
    switch (state) {
    case NF_TCP_SYN_SENT:
    case NF_TCP_SYN_RECV:
        return next_opening(state, flags, reply);
    case NF_TCP_ESTABLISHED:
        if (flags & NF_TCP_FIN)
            return reply ? NF_TCP_CLOSE_WAIT : NF_TCP_FIN_WAIT;
        return state;
    case NF_TCP_FIN_WAIT:
        return reply && (flags & NF_TCP_FIN) ? NF_TCP_LAST_ACK : state;
    case NF_TCP_CLOSE_WAIT:
        return !reply && (flags & NF_TCP_FIN) ? NF_TCP_LAST_ACK : state;
    case NF_TCP_LAST_ACK:
    case NF_TCP_TIME_WAIT:
        return next_finished(state, flags, reply);
    case NF_TCP_CLOSED:
        return next_asked(state, flags, reply);
    case NF_TCP_RESET:
    case NF_TCP_RESET_BACK:
    case NF_TCP_RESET_BOTH:
        return next_reset(state, flags, reply);
    default:
        return state;
    }
}

const char *nf_tcp_state_name(uint8_t state)
{
    static const char *const names[NF_TCP_STATES] = {
        "none",     "syn-sent",  "syn-recv", "established", "fin-wait", "close-wait",
        "last-ack", "time-wait", "closed",   "reset",       "reset",    "reset",
    };
    return state < NF_TCP_STATES ? names[state] : names[NF_TCP_NONE];
}
