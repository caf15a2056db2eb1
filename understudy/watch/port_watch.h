/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a running node's data ports are: their carrier and MTU, the heartbeats that lanes hear by them, the
 * frames that they lost. Written by the main thread; lanes read `told`, and no lane waits for it.
 */
#ifndef NODE_WATCH_PORT_WATCH_H
#define NODE_WATCH_PORT_WATCH_H

#include "understudy/config/config.h"
#include "understudy/track/rules.h"
#include "lane/lane.h"
#include "understudy/ports/ports.h"
#include "replicator/replicator.h"

struct nd_port_watch {
    const struct nd_config *config;
    unsigned self; /* index of this node in the file */
    const struct nd_ports *ports;
    const struct nd_lane *lanes;
    struct nd_ports_told told; /* to lanes */
    struct nd_health health;
    uint64_t turn, awake; /* ns: the last turn; since when there was no turn that came late */
    uint64_t look_at;     /* ns: when interfaces are looked at next */
    uint64_t count_at;    /* and their counters */
    uint64_t changed;     /* ns: since when `faults` is what it is */
    uint64_t keeper_view; /* that the log has, where there are two keepers */
    unsigned keepers;     /* of them, heard, as bits: as the log has it */
    uint64_t silent;      /* when a keeper was heard last, or the watch began, ns */
    bool silence_told;    /* the log has that none is */
    char faults[ND_HEALTH_TEXT], logged[ND_HEALTH_TEXT]; /* in words, "": none; now, and as the log has it */
    struct {
        int index;                 /* of the interface, when the node began */
        uint64_t sent;             /* frames that it had sent then */
        uint64_t tx_lost;          /* taken since and not sent */
        uint64_t rx_missed;        /* that came and found no room */
    } frames[NF_PORTS_MAX];        /* by the number of the port */
    unsigned device[NF_PORTS_MAX]; /* that number, by interface */
};

/* Before lanes begin, with the first four members set; in each turn of the main thread. */
void nd_port_watch_begin(struct nd_port_watch *watch);
/* The chain's interfaces are others than before. */
void nd_port_watch_name(struct nd_port_watch *watch);
void nd_port_watch_turn(struct nd_port_watch *watch, const struct rp_status *s);

#endif
