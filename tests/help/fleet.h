/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fleet that a test makes, and what becomes of it: servers die and return, orders are carried out. And what
 * is asked of it the plain way, by looking at every shard: what a server carries if another one dies. Tests
 * of the planner share it with the simulated day.
 */
#ifndef TESTS_HELP_FLEET_H
#define TESTS_HELP_FLEET_H

#include "fleet/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct help_fleet {
    struct fl_fleet fleet; /* points to what follows */
    struct fl_server *server;
    struct fl_shard *shard;
    char (*names)[32];
};

/* Servers s0 …, zone i % zones, room for 1024 nodes, leases held; shards n0 …, without a key; usual settings;
 * now is 1000. */
void help_fleet_make(struct help_fleet *of, uint32_t servers, uint32_t shards, uint32_t zones);
void help_fleet_free(struct help_fleet *of);

/* The shard has a key, and is protected. */
void help_fleet_set(struct help_fleet *of, uint32_t shard, uint32_t primary, uint32_t standby);
void help_fleet_load(struct help_fleet *of, uint32_t shard, double primary,
                     double standby); /* of processor */
/* The server with all its nodes: their peers are alone, or the shard is silent. */
void help_fleet_kill(struct help_fleet *of, uint32_t server);
/* It is back, and what it had is a standby again where the peer is alone. */
void help_fleet_return(struct help_fleet *of, uint32_t server);
/* Carries every order out, at once. */
void help_fleet_apply(struct help_fleet *of, const struct fl_plan *plan);

/* Where the standby and the primary are; FL_NONE: nowhere, as far as is said. */
uint32_t help_fleet_primary(const struct fl_shard *shard);
bool help_fleet_protected(const struct fl_shard *shard);
/* What a server carries, if `dead` dies; a number that is no server's: nobody does. */
double help_fleet_carries(const struct help_fleet *of, uint32_t server, uint32_t dead,
                          enum fl_measure measure);
/* Is it within its capacities, now or, with `deaths`, whichever other server dies? `left`: of each, beside.
 */
bool help_fleet_within(const struct help_fleet *of, uint32_t server, double left, bool deaths);

#endif
