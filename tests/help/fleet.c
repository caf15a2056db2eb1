/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fleet for tests of the planner. It owns the fleet's arrays; tests write into them. All questions are
 * answered by going through all shards, with nothing kept in between.
 */
#include "tests/help/fleet.h"

#include "ftcore/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void help_fleet_make(struct help_fleet *of, uint32_t servers, uint32_t shards, uint32_t zones)
{
    *of = (struct help_fleet){.server = calloc(servers, sizeof(*of->server)),
                              .shard = calloc(shards, sizeof(*of->shard)),
                              .names = calloc(servers + shards, sizeof(*of->names))};
    FT_CHECK(of->server && of->shard && of->names, "no memory for a fleet");
    for (uint32_t i = 0; i < servers; i++) {
        snprintf(of->names[i], sizeof(of->names[i]), "s%u", i);
        of->server[i] = (struct fl_server){
            .name = of->names[i], .zone = i % zones, .capacity = {{[FL_NODES] = 1024}}, .lease = true};
    }
    for (uint32_t i = 0; i < shards; i++) {
        snprintf(of->names[servers + i], sizeof(of->names[0]), "n%u", i);
        of->shard[i] = (struct fl_shard){.name = of->names[servers + i],
                                         .found = FL_NONE,
                                         .primary = FL_NONE,
                                         .pin = FL_NONE,
                                         .failed = {.to = FL_NONE}};
    }
    of->fleet = (struct fl_fleet){.server = of->server,
                                  .servers = servers,
                                  .shard = of->shard,
                                  .shards = shards,
                                  .settings = fl_settings_usual(),
                                  .now = 1000};
}

void help_fleet_free(struct help_fleet *of)
{
    free(of->server);
    free(of->shard);
    free(of->names);
}

static void take_roles(struct fl_shard *shard, uint32_t primary, uint32_t standby, uint64_t now)
{
    shard->known = true;
    shard->view++;
    shard->member[0] = primary;
    shard->member[1] = standby;
    shard->says[0] = FL_SAYS_PROTECTED;
    shard->says[1] = FL_SAYS_READY;
    shard->primary = 0;
    shard->moved = now;
    shard->alone = 0;
    shard->order.kind = FL_LEAVE;
    shard->failed.count = 0;
}

void help_fleet_set(struct help_fleet *of, uint32_t shard, uint32_t primary, uint32_t standby)
{
    take_roles(&of->shard[shard], primary, standby, 1);
}

void help_fleet_load(struct help_fleet *of, uint32_t shard, double primary, double standby)
{
    of->shard[shard].measured[0] = of->shard[shard].measured[1] = true;
    of->shard[shard].load[0].of[FL_PROCESSOR] = primary;
    of->shard[shard].load[1].of[FL_PROCESSOR] = standby;
}

void help_fleet_kill(struct help_fleet *of, uint32_t server)
{
    of->server[server].lease = false;
    of->server[server].gone = of->fleet.now;
    for (uint32_t i = 0; i < of->fleet.shards; i++) {
        struct fl_shard *shard = &of->shard[i];
        for (uint32_t k = 0; k < 2 && shard->known; k++)
            if (shard->member[k] == server && shard->says[k] != FL_SAYS_NOTHING) {
                shard->says[k] = FL_SAYS_NOTHING;
                if (shard->says[!k] == FL_SAYS_NOTHING)
                    continue;
                shard->says[!k] = FL_SAYS_SOLO;
                shard->alone = of->fleet.now;
                if (shard->primary != k)
                    continue;
                shard->primary = !k; /* a takeover begins a view, and an order of the one before is over */
                shard->view++;
                shard->order.kind = FL_LEAVE;
            }
    }
}

void help_fleet_return(struct help_fleet *of, uint32_t server)
{
    of->server[server].lease = true;
    of->server[server].gone = 0;
    for (uint32_t i = 0; i < of->fleet.shards; i++) {
        struct fl_shard *shard = &of->shard[i];
        for (uint32_t k = 0; k < 2 && shard->known; k++)
            if (shard->member[k] == server && shard->says[!k] == FL_SAYS_SOLO) {
                shard->says[k] = FL_SAYS_READY;
                shard->says[!k] = FL_SAYS_PROTECTED;
                shard->alone = 0;
            }
    }
}

void help_fleet_apply(struct help_fleet *of, const struct fl_plan *plan)
{
    for (uint32_t i = 0; i < plan->orders; i++) {
        struct fl_shard *shard = &of->shard[plan->order[i]];
        const struct fl_step *step = &plan->step[plan->order[i]];
        uint32_t primary = help_fleet_primary(shard);
        switch (step->kind) {
        case FL_CREATE:
            take_roles(shard, step->to[0], step->to[1], of->fleet.now);
            break;
        case FL_REPAIR: {
            bool old = shard->old[shard->member[1] == primary];

            take_roles(shard, primary, step->to[0], of->fleet.now);
            shard->old[0] = old;
            shard->old[1] = false;
            break;
        }
        case FL_HANDOVER: {
            uint32_t at = shard->member[0] == primary ? 0 : 1;
            bool was = shard->old[at], other = shard->old[!at];

            take_roles(shard, step->to[0], primary, of->fleet.now);
            shard->old[0] = other;
            shard->old[1] = was;
            break;
        }
        case FL_RESTART:
            shard->old[shard->member[1] == step->to[0]] = false;
            shard->order.kind = FL_LEAVE;
            break;
        default:
            shard->order.kind = FL_LEAVE;
            break;
        }
    }
}

uint32_t help_fleet_primary(const struct fl_shard *shard)
{
    for (int k = 0; k < 2 && shard->known; k++)
        if (shard->says[k] == FL_SAYS_SOLO || shard->says[k] == FL_SAYS_PROTECTED)
            return shard->member[k];
    return FL_NONE;
}

bool help_fleet_protected(const struct fl_shard *shard)
{
    return shard->known && (shard->says[0] == FL_SAYS_PROTECTED || shard->says[1] == FL_SAYS_PROTECTED);
}

double help_fleet_carries(const struct help_fleet *of, uint32_t server, uint32_t dead,
                          enum fl_measure measure)
{
    double sum = 0;

    for (uint32_t i = 0; i < of->fleet.shards; i++) {
        const struct fl_shard *shard = &of->shard[i];
        uint32_t primary = help_fleet_primary(shard);
        bool alone = primary != FL_NONE && !help_fleet_protected(shard);
        if (!shard->known)
            continue;
        if (primary == FL_NONE) /* silent, and may come back as it was */
            primary = shard->member[shard->primary];
        for (int k = 0; k < 2; k++) {
            bool leads = primary == server || primary == dead;
            if (shard->member[k] == server && (primary == server || !alone || of->server[server].lease))
                sum += measure == FL_NODES ? 1 : shard->load[leads ? 0 : 1].of[measure];
        }
    }
    return sum;
}

bool help_fleet_within(const struct help_fleet *of, uint32_t server, double left, bool deaths)
{
    for (int k = 0; k < FL_MEASURES; k++) {
        double capacity = of->server[server].capacity.of[k];
        for (uint32_t dead = deaths ? 0 : of->fleet.servers; dead <= of->fleet.servers; dead++)
            if (dead != server && capacity > 0 &&
                help_fleet_carries(of, server, dead, (enum fl_measure)k) > capacity * (1 - left) + 1e-6)
                return false;
    }
    return true;
}
