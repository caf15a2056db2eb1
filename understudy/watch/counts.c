/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of "status" are sums over lanes: counters of NFs, what passed them, tables that can be full,
 * takeovers; and what is logged of them: neighbours that moved, addresses that other hosts have, a table that
 * is nearly full. NFs and chain have registered their tables (nflib/module/module.h). Counts lie in the
 * region, where lanes change them. See counts.h.
 */
#include "understudy/watch/counts.h"
#include "ftcore/base/event_log.h"
#include "nflib/flow/log.h"
#include "nflib/session/session.h"
#include "ftcore/base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEST_NS 2000000000ull  /* a claim of a neighbour's address has been decided on by then */
#define QUIET_NS   30000000000ull /* between two lines of neighbours */
#define HOSTS_NS   1000000000ull  /* between two lines of hosts at their limit */
#define LOST_NS    5000000000ull  /* a loss of events is over when there is room and was none for so long */
#define NEARLY     80u            /* percent at which a table is logged */
#define ROOM       70u            /* below which it is logged that there is room again */

/* A lane may be adding to it. */
static uint64_t load_counter(const struct nd_counts *c, unsigned nf, unsigned counter)
{
    uint64_t sum = 0;

    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        sum += __atomic_load_n(&c->counters[l][nf][counter], __ATOMIC_RELAXED);
    return sum;
}

json_t *nd_counters_status(const struct nd_counts *c, const char *nf)
{
    json_t *o = json_object();

    for (unsigned i = 0; i <= c->config->chain.count && !c->paused; i++) {
        const struct nf_module *module = c->counted[i];
        json_t *of_nf;

        if (!module || !module->counters || (nf && strcmp(module->name, nf) != 0))
            continue;
        of_nf = json_object();
        for (unsigned k = 0; module->counters[k]; k++)
            json_object_set_new(of_nf, module->counters[k], json_integer((json_int_t)load_counter(c, i, k)));
        json_object_set_new(o, module->name, of_nf);
    }
    return o;
}

/* A frame in which another host claimed an address, as text. */
struct claim_text {
    char addr[NF_ADDR_TEXT], mac[18];
    const char *interface;
};

/* The last one of all lanes. A lane that is just writing its own is left out. */
static struct claim_text read_claim(const struct nd_counts *c, enum nf_claimed which)
{
    struct nf_claim last = {0}, claim;
    struct claim_text text = {.interface = ""};

    for (unsigned l = 0; l < c->config->chain.lanes; l++) {
        if (nf_l3_claim(nf_chain_any(c->lanes[l].chain, 0), which, &claim) && claim.at >= last.at)
            last = claim;
    }
    nf_addr_text(&last.addr, text.addr);
    snprintf(text.mac, sizeof(text.mac), "%02x:%02x:%02x:%02x:%02x:%02x", last.mac[0], last.mac[1],
             last.mac[2], last.mac[3], last.mac[4], last.mac[5]);
    if (last.port < c->config->chain.l3->ports)
        text.interface = c->config->chain.l3->port[last.port].name;
    return text;
}

#define CLAIM_FIELDS(claim)                                                                                  \
    ((const struct ft_log_field[]){{.name = "address", .text = (claim).addr},                                \
                                   {.name = "mac", .text = (claim).mac},                                     \
                                   {.name = "interface", .text = (claim).interface},                         \
                                   {.name = NULL}})

/* At once, and then not again for a while. A standby's counters are its peer's. */
static void report_conflicts(struct nd_counts *c, const struct rp_status *s)
{
    struct nd_conflicts_said *said = &c->conflicts_said;
    uint64_t now = ft_now(), frames;
    struct claim_text claim;

    if (!c->config->chain.l3)
        return;
    frames = load_counter(c, 0, NF_L3_ARP_CONFLICT) + load_counter(c, 0, NF_L3_ND_CONFLICT);
    if (!ft_core_primary(&s->core) || frames < said->frames)
        said->frames = frames;
    if (frames == said->frames || (said->last && now - said->last < QUIET_NS))
        return;
    claim = read_claim(c, NF_L3_OWN_CLAIMED);
    ft_log_fields(
        FT_LEVEL_WARNING, FT_SAYS_CONFLICT, CLAIM_FIELDS(claim),
        "%s, another host's, has %s, an address of the chain, on %s: the chain announces its own MAC again "
        "(frames: %lu)",
        claim.mac, claim.addr, claim.interface, frames - said->frames);
    *said = (struct nd_conflicts_said){.frames = frames, .last = now};
}

/* When a contest is over, and then not again for a while. A standby's counters are its peer's. */
static void report_neighbours(struct nd_counts *c, const struct rp_status *s)
{
    struct nd_neighbours_said *said = &c->neighbours_said;
    uint64_t now = ft_now(), contested, moved;
    struct claim_text claim;

    if (!c->config->chain.l3)
        return;
    contested = load_counter(c, 0, NF_L3_CONTESTED);
    moved = load_counter(c, 0, NF_L3_MOVED);
    if (!ft_core_primary(&s->core) || contested < said->contested || moved < said->moved) {
        *said = (struct nd_neighbours_said){.contested = contested, .moved = moved};
        return;
    }
    if (contested == said->contested && moved == said->moved)
        return;
    if (!said->due)
        said->due = now - said->last < QUIET_NS ? said->last + QUIET_NS : now + CONTEST_NS;
    if (now < said->due)
        return;
    claim = read_claim(c, NF_L3_NEIGHBOUR_CLAIMED);
    ft_log_fields(
        FT_LEVEL_WARNING, FT_SAYS_NEIGHBOUR, CLAIM_FIELDS(claim),
        "frames that named another MAC for a known neighbour: %lu, the last one %s for %s on %s; %lu "
        "neighbours did not answer at their own, and moved (show l3)",
        contested - said->contested, claim.mac, claim.addr, claim.interface, moved - said->moved);
    *said = (struct nd_neighbours_said){.contested = contested, .moved = moved, .last = now};
}

/* At once, and then not again for a second. A standby's counts are its peer's, and those of a chain that was
 * changed begin anew. */
static void report_hosts(struct nd_counts *c, const struct rp_status *s)
{
    struct nd_hosts_said *said = &c->hosts_said;
    struct nf_host_full last = {0}, full;
    uint64_t now = ft_now(), hosts = 0;
    char addr[INET6_ADDRSTRLEN];

    for (unsigned l = 0; l < c->config->chain.lanes; l++) {
        if (!nf_session_last_full(nf_chain_any(c->lanes[l].chain, 0), &full))
            return;
        hosts += full.hosts;
        if (full.at >= last.at)
            last = full;
    }
    if (!ft_core_primary(&s->core) || hosts < said->hosts)
        said->hosts = hosts;
    if (hosts == said->hosts || (said->last && now - said->last < HOSTS_NS) || !c->counted[last.nf])
        return;
    inet_ntop(last.ipv6 ? AF_INET6 : AF_INET, last.addr, addr, sizeof(addr));
    ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_HOST,
                  (const struct ft_log_field[]){{.name = "address", .text = addr},
                                                {.name = "nf", .text = c->counted[last.nf]->name},
                                                {.name = "limit", .number = last.limit},
                                                {.name = "hosts", .number = hosts - said->hosts},
                                                {.name = NULL}},
                  "%s%s begun %u flows, as many as a %s may (%s): new ones take the place of its own, or are "
                  "dropped (hosts since the last such line: %lu)",
                  addr, last.network ? "/64 has" : " has", last.limit, last.network ? "network" : "host",
                  c->counted[last.nf]->name, hosts - said->hosts);
    *said = (struct nd_hosts_said){.hosts = hosts, .last = now};
}

json_t *nd_passing_status(const struct nd_counts *c)
{
    json_t *o = json_object();

    for (unsigned i = 1; i <= c->config->chain.count && !c->paused; i++) {
        json_t *packets, *dropped;

        if (!c->counted[i])
            continue;
        packets = json_array();
        dropped = json_array();
        for (unsigned l = 0; l < c->config->chain.lanes; l++) {
            struct nf_tally tally = nf_tally_read(&c->lanes[l].tally[i]);

            json_array_append_new(packets, json_integer((json_int_t)tally.packets));
            json_array_append_new(dropped, json_integer((json_int_t)tally.dropped));
        }
        json_object_set_new(o, c->counted[i]->name,
                            json_pack("{s:o,s:o}", "packets", packets, "dropped", dropped));
    }
    return o;
}

/* ---- takeovers --------------------------------------------------------------------------------- */

/* When the last lane had replayed what it held; 0: one has not since `decided`. */
static uint64_t replay_done(const struct nd_counts *c, uint64_t decided)
{
    uint64_t last = 0;

    for (unsigned l = 0; l < c->config->chain.lanes; l++) {
        uint64_t done = atomic_load_explicit(&c->shared[l].count.replay_done_ns, memory_order_relaxed);

        if (done < decided)
            return 0;
        last = done > last ? done : last;
    }
    return last;
}

static void count_takeovers(struct nd_counts *c, const struct rp_status *s)
{
    struct nd_takeovers *t = &c->takeovers;
    uint64_t done = s->core.takeover.view == t->view ? 0 : replay_done(c, s->core.takeover.decided);

    if (!done)
        return;
    ft_histogram_add(&t->took, done - s->core.takeover.decided);
    t->view = s->core.takeover.view;
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void note_table(struct nd_counts *c, const struct nf_table *table, unsigned lane)
{
    struct nd_table *t = &c->tables[c->table_count++];
    const struct nf_module *module = nf_chain_any(c->lanes[lane].chain, table->nf)->module;
    char host[INET_ADDRSTRLEN];

    *t = (struct nd_table){.table = *table, .lane = (uint16_t)lane};
    if (table->nf)
        snprintf(t->name, sizeof(t->name), "%s.%s", module->name, table->name);
    else
        snprintf(t->name, sizeof(t->name), "%s", table->name);
    if (table->host) {
        size_t len = strlen(t->name);

        snprintf(t->name + len, sizeof(t->name) - len, "/%s",
                 inet_ntop(AF_INET, &table->host, host, sizeof(host)));
    }
}

/* Every lane registers the same tables, in the same order. */
static int find_tables(struct nd_counts *c, struct ft_fault *fault)
{
    unsigned lanes = c->config->chain.lanes;
    const struct nf_tables *tables = nf_chain_tables(c->lanes[0].chain);

    free(c->tables);
    c->table_count = 0;
    c->tables = calloc((size_t)tables->count * lanes + 1, sizeof(*c->tables));
    if (!c->tables)
        return ft_fail(fault, FT_ENOMEM, "no memory for a list of tables");
    for (uint32_t i = 0; i < tables->count; i++)
        for (unsigned l = 0; l < (tables->list[i].shared ? 1 : lanes); l++)
            note_table(c, &nf_chain_tables(c->lanes[l].chain)->list[i], l);
    return 0;
}

/*
 * A lane that was ordered to wait, and has not followed the next order, has no state to count in: what lies
 * in the region is being filled by the peer, or wiped and made anew, with no place free in any pool.
 */
static bool is_state_there(const struct nd_counts *c)
{
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        if (ft_order_kind(FT_REPORT_GET(&c->shared[l], done)) == FT_LANE_WAIT)
            return false;
    return true;
}

/* ---- tables in the log ---------------------------------------------------------------- */

static void report_table(const struct nd_counts *c, const struct nd_table *t, enum ft_level level,
                         uint64_t entries, const char *what)
{
    char lane[24] = "";

    if (!t->table.shared && c->config->chain.lanes > 1)
        snprintf(lane, sizeof(lane), ", lane %u", t->lane);
    ft_log_fields(level, FT_SAYS_TABLE,
                  (const struct ft_log_field[]){{.name = "table", .text = t->name},
                                                {.name = "entries", .number = entries},
                                                {.name = "limit", .number = t->table.limit},
                                                {.name = NULL}},
                  "table %s%s: %s: %lu of %u", t->name, lane, what, entries, t->table.limit);
}

static void look_at_table(const struct nd_counts *c, struct nd_table *t)
{
    uint64_t entries = nf_table_entries(&t->table), percent = entries * 100 / t->table.limit;

    if (percent >= 100 && t->told < 100) {
        report_table(c, t, FT_LEVEL_WARNING, entries, "full");
        t->told = 100;
    } else if (percent >= NEARLY && t->told < NEARLY) {
        report_table(c, t, FT_LEVEL_WARNING, entries, "80 % full");
        t->told = NEARLY;
    } else if (percent < ROOM && t->told) {
        report_table(c, t, FT_LEVEL_NOTICE, entries, "has room again");
        t->told = 0;
    }
}

static void report_tables(struct nd_counts *c, const struct rp_status *s)
{
    if (!ft_core_primary(&s->core) || !is_state_there(c))
        return;
    for (unsigned i = 0; i < c->table_count; i++)
        look_at_table(c, &c->tables[i]);
}

/* ---- tables in status ----------------------------------------------------------------- */

static void add_to(json_t *sum, const char *name, const json_t *part)
{
    json_int_t value = json_integer_value(json_object_get(part, name));

    json_object_set_new(sum, name, json_integer(json_integer_value(json_object_get(sum, name)) + value));
}

json_t *nd_tables_status(const struct nd_counts *c, const char *nf)
{
    bool there = is_state_there(c);
    json_t *all = json_object();

    for (unsigned i = 0; i < c->table_count && !c->paused; i++) {
        const struct nd_table *t = &c->tables[i];
        const struct nf_module *module = c->counted[t->table.nf];
        json_t *sum = json_object_get(all, t->name),
               *part = json_pack("{s:I,s:I}", "entries", there ? (json_int_t)nf_table_entries(&t->table) : 0,
                                 "limit", (json_int_t)t->table.limit);

        if (nf && !(module && strcmp(module->name, nf) == 0)) {
            json_decref(part);
            continue;
        }
        if (!sum) {
            sum = json_object();
            json_object_set_new(all, t->name, sum);
        }
        add_to(sum, "entries", part);
        add_to(sum, "limit", part);
        if (t->table.shared)
            json_decref(part);
        else if (json_object_get(sum, "lanes"))
            json_array_append_new(json_object_get(sum, "lanes"), part);
        else
            json_object_set_new(sum, "lanes", json_pack("[o]", part));
    }
    return all;
}

json_t *nd_timeouts_status(const struct nd_counts *c, const char *nf)
{
    bool there = !c->paused && is_state_there(c);
    const struct nf *of = there ? nf_chain_find(c->lanes[0].chain, nf) : NULL;
    json_t *all = json_object();

    for (unsigned class = 0; of && class < NF_TIMEOUT_COUNT; class ++) {
        uint32_t seconds = nf_sessions_timeout(of, class);

        if (seconds)
            json_object_set_new(all, nf_timeout_names[class], json_integer(seconds));
    }
    return all;
}

/* ---- events of the log of flows ------------------------------------------------------------------ */

static uint64_t count_lost_events(const struct nd_counts *c)
{
    for (unsigned i = 1; i <= c->config->chain.count; i++)
        if (c->counted[i] && strcmp(c->counted[i]->name, "flow_log") == 0)
            return load_counter(c, i, NF_LOG_LOST);
    return 0;
}

static bool is_log_full(const struct nd_counts *c)
{
    for (unsigned i = 0; i < c->table_count; i++)
        if (strcmp(c->tables[i].name, "flow_log.events") == 0 &&
            nf_table_entries(&c->tables[i].table) >= c->tables[i].table.limit)
            return true;
    return false;
}

/* When a loss begins and when it has ended, which `show` and numbers alone do not show. A standby's counts
 * are its peer's, and those of a chain that was changed begin anew. */
static void report_lost_events(struct nd_counts *c, const struct rp_status *s)
{
    struct nd_log_said *said = &c->log_said;
    uint64_t now = ft_now(), lost = count_lost_events(c);
    bool begins = !said->loses && lost > said->lost;

    if (!ft_core_primary(&s->core) || lost < said->lost) {
        *said = (struct nd_log_said){.lost = lost};
        return;
    }
    if (begins) {
        said->loses = true;
        said->before = said->lost;
        ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_EXPORT,
                      (const struct ft_log_field[]){{.name = "lost", .number = lost - said->before}, {0}},
                      "the log of flows is full: events are lost from now on, %lu so far",
                      lost - said->before);
    }
    if (lost > said->lost)
        said->at = now;
    said->lost = lost;
    if (!said->loses || now - said->at < LOST_NS || is_log_full(c))
        return;
    said->loses = false;
    ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_EXPORT,
                  (const struct ft_log_field[]){{.name = "lost", .number = lost - said->before}, {0}},
                  "the log of flows has room again: %lu events were lost", lost - said->before);
}

/* ---- the whole --------------------------------------------------------------------------------- */

int nd_counts_find(struct nd_counts *c, struct ft_fault *fault)
{
    c->paused = false;
    /* Where the counters are, before a lane has begun: a chain that is made anew has them at the same place.
     */
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        for (unsigned i = 0; i <= c->config->chain.count; i++)
            c->counters[l][i] = nf_chain_any(c->lanes[l].chain, i)->counters;
    for (unsigned i = 0; i <= c->config->chain.count; i++)
        c->counted[i] = nf_chain_any(c->lanes[0].chain, i)->module;
    return find_tables(c, fault);
}

void nd_counts_turn(struct nd_counts *c, const struct rp_status *s)
{
    count_takeovers(c, s);
    if (c->paused)
        return;
    report_tables(c, s);
    if (is_state_there(c)) {
        report_hosts(c, s);
        report_lost_events(c, s);
    }
    report_neighbours(c, s);
    report_conflicts(c, s);
}
