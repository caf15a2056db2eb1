/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober: what a client on one side of the chain sees of a takeover. A forked child sends numbered
 * 64-byte datagrams on an absolute schedule to an echo server in another child, and keeps some TCP flows busy
 * beside them; each child may live in a network namespace of its own. Arrivals are noted in memory shared
 * with the parent, which can ask for the figures of any span of time, also while the probe runs. Times are
 * CLOCK_MONOTONIC in ns. Started by `understudy drill` and by the lab's `probe` program. Knows no DPDK.
 */
#ifndef TOOLS_DRILL_PROBE_H
#define TOOLS_DRILL_PROBE_H

#include "ftcore/base/error.h"

#include <stdint.h>

#define ND_PROBE_FLOWS_MAX 64u

struct nd_probe_options {
    const char *from, *to; /* namespaces by name; "": stay. `to` NULL: no echo server of our own */
    const char *address;   /* of the echo server, numeric IPv4 */
    uint16_t port;
    uint32_t interval_us;      /* between datagrams, 100 … 1000000 */
    uint32_t flows;            /* TCP flows, 0 … ND_PROBE_FLOWS_MAX, one message each flow_interval_us */
    uint32_t flow_interval_us; /* 1000 … 1000000 */
    uint32_t seconds;          /* room for so many seconds, 1 … 7200; sending ends there */
};

struct nd_probe_figures {
    uint64_t asked_ns;                     /* when this was asked for */
    uint64_t sent, received, lost;         /* lost: sent in the span and not answered up to then */
    uint64_t duplicated, reordered;        /* answers that came again; that came after a later one */
    uint64_t contradicted;                 /* answers whose bytes are not the ones sent */
    uint64_t refused;                      /* ICMP errors instead of an answer */
    double silence_ms;                     /* longest time without any arrival that touches the span */
    double late_ms;                        /* how late the prober itself was at worst (whole run) */
    uint64_t flows, flows_broken;          /* TCP flows; reset or ended by the other side (whole run) */
    double flow_silence_ms, flow_worst_ms; /* longest silence of the median flow, of the worst flow */
};

struct nd_prober;

/* Starts the children and returns when the echo server listens and the sender is about to send. */
int nd_probe_start(struct nd_prober **out, const struct nd_probe_options *options, struct ft_fault *fault);

/* Until a datagram that was sent after `end` is answered, and 300 ms: what was sent before it and has no
 * answer by then is lost, however slow the machine is. 5 s at most, where none is answered. The prober goes
 * on sending. */
void nd_probe_await_answers(const struct nd_prober *prober, uint64_t end);

/* Figures of the span [t0, t1]. Ask for a span whose answers were awaited, or `lost` counts what is under
 * way. */
void nd_probe_figures(const struct nd_prober *prober, uint64_t t0, uint64_t t1, struct nd_probe_figures *out);

/* Calls `each` for every datagram sent in [t0, t1], in order; answered_ns: first, 0: not up to now. */
void nd_probe_sends(const struct nd_prober *prober, uint64_t t0, uint64_t t1,
                    void (*each)(void *ctx, uint64_t sent_ns, uint64_t answered_ns), void *ctx);

/* Calls `each` for every arrival in [t0, t1] that was noted, in order; flow -1: of datagrams, else of that
 * TCP flow. */
void nd_probe_arrivals(const struct nd_prober *prober, int flow, uint64_t t0, uint64_t t1,
                       void (*each)(void *ctx, uint64_t at_ns), void *ctx);

/* The longest time without any arrival that touches [t0, t1], in ns, and when it began; flow as above. */
uint64_t nd_probe_silence(const struct nd_prober *prober, int flow, uint64_t t0, uint64_t t1,
                          uint64_t *begin_ns);

/* Ends the children. NULL is fine. */
void nd_probe_free(struct nd_prober *prober);

#endif
