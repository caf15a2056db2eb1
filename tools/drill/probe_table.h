/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the prober's sending child writes and its parent reads: one shared mapping. Only tools/drill/probe*.c
 * see it.
 */
#ifndef TOOLS_DRILL_PROBE_TABLE_H
#define TOOLS_DRILL_PROBE_TABLE_H

#include "tools/drill/probe.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define ND_PROBE_BYTES 64u

struct nd_probe_slot {       /* one datagram */
    _Atomic uint64_t sent;   /* ns; 0: not yet */
    _Atomic uint64_t answer; /* ns, when the first one came; 0: none */
    _Atomic uint32_t copies; /* answers seen */
    _Atomic uint32_t odd;    /* 1: came after a later one, 2: other bytes than were sent */
};

struct nd_probe_flow {
    _Atomic uint64_t count; /* arrivals noted */
    _Atomic bool broken;
};

struct nd_probe_table {
    uint64_t run;      /* marks this run's datagrams */
    uint32_t capacity; /* slots */
    uint32_t arrivals_capacity, flow_capacity;
    _Atomic bool stop, serving, sending;
    _Atomic uint64_t next;     /* slots used */
    _Atomic uint64_t arrivals; /* of datagrams */
    _Atomic uint64_t strange;  /* answers that fit no slot */
    _Atomic uint64_t refused;
    _Atomic uint64_t late_ns;
    struct nd_probe_flow flow[ND_PROBE_FLOWS_MAX];
    char fault[256]; /* of a child that could not begin */
};

struct nd_prober {
    struct nd_probe_options options;
    char address[64];
    struct nd_probe_table
        *table; /* then slots, arrivals, arrivals of each flow, in one mapping of `size` bytes */
    size_t size;
    struct nd_probe_slot *slots;
    _Atomic uint64_t *arrivals;
    _Atomic uint64_t *flow_arrivals; /* flow_capacity for each flow */
    pid_t sender, server;
    int socket; /* the sender's, for datagrams */
};

/* The children's work: each returns only with a failure, or after `stop`. */
int nd_probe_send_datagrams(struct nd_prober *prober, struct ft_fault *fault);
int nd_probe_send_flows(struct nd_prober *prober, struct ft_fault *fault); /* starts a thread */

/* A real-time priority where permitted, for the calling thread. */
void nd_probe_hurry(void);

#endif
