/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: one table says what each metric is and where in the answer to "status" it lies. A new field of
 * status becomes a metric by a line here. Rows of one metric stand together. No state.
 */
#include "node/metrics/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    NUMBER,  /* at `path`: a number, or true or false */
    LANE,    /* the same in each lane, with its label */
    PORT,    /* the same of each port, with its name as label */
    CHOICE,  /* `path` is a text: 1 for the one of `names` that it is, 0 for the others */
    EACH,    /* `path` is a map of numbers: one for each key */
    NESTED,  /* `path` is a map of such maps */
    TEXTS,   /* always 1: `names` are the labels and paths of texts */
    BUCKETS, /* `path` is a histogram */
    TABLES,  /* the number at `path` of each table, by lane where it is a lane's */
};

struct metric {
    const char *name, *type, *help;
    enum kind kind;
    const char *path;         /* keys with dots between them */
    double unit;              /* that the number counts in; 0: 1 */
    const char *label;        /* NUMBER, LANE: as it is written; CHOICE, EACH: its name; NESTED: both names */
    const char *const *names; /* NULL at the end */
    const char *absent;       /* NUMBER: what a gauge is without a number; NULL: it is left out */
};

const double nd_takeover_bounds[ND_TAKEOVER_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                        0.025,  0.05,  0.1,    0.25,  1};

#define G          "gauge"
#define C          "counter"
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define STATES     NAMES("JOINING", "SYNCING", "READY", "PROTECTED", "DEGRADED", "SOLO", "FENCED")
#define SPENT      "understudy_thread_seconds_total", C, "How the thread spent its time since it began"
#define WAITS      "understudy_lane_waits_total", C, "Times that the lane or an output waited, by what for"
#define MS         1e-3

/* clang-format off */
static const struct metric table[] = {
    {"understudy_build_info", G, "The program", TEXTS, .names = NAMES("version")},
    {"understudy_node_info", G, "The node, and how its chain is protected", TEXTS, .names = NAMES("node", "mode")},
    {"understudy_role", G, "1 for the role that the node has", CHOICE, .path = "role", .label = "role", .names = NAMES("primary", "standby", "none")},
    {"understudy_state", G, "1 for the state that the node is in", CHOICE, .path = "state", .label = "state", .names = STATES},
    {"understudy_protection", G, "1 for what the node says of its protection; STALE: a thread of it stands", CHOICE, .path = "protection", .label = "protection", .names = NAMES("PROTECTED", "UNPROTECTED", "STALE")},
    {"understudy_state_age_seconds", G, "For how long the node has been in its state", NUMBER, .path = "since_s"},
    {"understudy_view", G, "The number of the primary's term", NUMBER, .path = "view"},
    {"understudy_view_unwritten_seconds", G, "For how long the newest view has not been on the disk, 0: it is", NUMBER, .path = "view_unwritten_ms", .unit = MS},
    {"understudy_degradations_total", C, "Times that the node became DEGRADED", NUMBER, .path = "degradations"},
    {"understudy_solos_total", C, "Times that the node became SOLO", NUMBER, .path = "solos"},
    {"understudy_false_alarms_total", C, "Leases that ran out and came back", NUMBER, .path = "false_alarms"},
    {"understudy_false_takeovers_total", C, "Takeovers because of silence from a primary that was alive", NUMBER, .path = "false_takeovers"},
    {"understudy_detection_seconds", G, "READY standby: a silence of the primary after which it takes over", NUMBER, .path = "detection.ms", .unit = MS},
    {"understudy_longest_silence_seconds", G, "READY standby: the longest silence of its primary in ten minutes", NUMBER, .path = "detection.longest_silence_ms", .unit = MS},
    {"understudy_longest_stall_seconds", G, "The longest time in ten minutes that the replicator waited for its processor", NUMBER, .path = "damping.longest_stall_ms", .unit = MS},
    {"understudy_detection_doubled", G, "How often the shortest silence that counts is doubled, for an hour after a takeover from a living primary", NUMBER, .path = "damping.doubled"},
    {"understudy_takeover_seconds", "histogram", "Takeovers and planned handovers to this node, from the decision to the end of the replay", BUCKETS, .path = "takeovers"},
    {"understudy_fenced_total", C, "Times that the node learned that another one had replaced it", NUMBER, .path = "fenced.count"},
    {"understudy_fenced_dropped_packets_total", C, "Outputs held when the node was replaced, dropped", NUMBER, .path = "fenced.dropped"},
    {"understudy_peer_connected", G, "1: the link to the peer stands", NUMBER, .path = "peer.connected"},
    {"understudy_peer_silence_seconds", G, "Age of the peer's last message", NUMBER, .path = "peer.silent_ms", .unit = MS},
    {"understudy_peer_state", G, "1 for the state that the peer was in when it was heard last", CHOICE, .path = "peer.state", .label = "state", .names = STATES},

    {"understudy_received_packets_total", C, "Packets received as the primary", LANE, .path = "received"},
    {"understudy_dropped_packets_total", C, "Packets dropped live by NFs and L3; by NF and reason: understudy_nf_events_total", LANE, .path = "dropped"},
    {"understudy_made_packets_total", C, "Packets made live by NFs and L3", LANE, .path = "made"},
    {"understudy_released_packets_total", C, "Outputs that left, over the life of the state: a takeover goes on from the other node's", LANE, .path = "released"},
    {"understudy_replayed_packets_total", C, "Packets replayed as the standby", LANE, .path = "replayed"},
    {"understudy_held_packets", G, "Outputs held now", LANE, .path = "held"},
    {WAITS, LANE, .path = "ring_full", .label = "reason=\"ring_full\""},
    {WAITS, LANE, .path = "hold_full", .label = "reason=\"hold_full\""},
    {WAITS, LANE, .path = "lag_full", .label = "reason=\"lag_full\""},
    {WAITS, LANE, .path = "lease_held", .label = "reason=\"lease_held\""},
    {"understudy_waiting_dropped_packets_total", C, "Frames dropped while the lane had no room and no lease", LANE, .path = "waiting_full"},
    {"understudy_fragments_without_first_packets_total", C, "Later fragments that went on alone: their first one did not come in time, or too many waited", LANE, .path = "fragments_without_first"},
    {"understudy_quarantined_packets_total", C, "Frames dropped that the peer had crashed on", LANE, .path = "quarantined"},
    {"understudy_bypassed_nfs", G, "NFs that packets pass by, since a node died of their state, or by an operator", NUMBER, .path = "bypassed_nfs"},
    {"understudy_tx_refused_total", C, "Times that a port did not take an output", LANE, .path = "tx_refused"},
    {"understudy_no_buffer_total", C, "Times that there was no packet buffer", LANE, .path = "no_buffer"},
    {"understudy_claims_total", C, "Frames from the chain's own MAC: another node claims the addresses", LANE, .path = "claims"},
    {"understudy_heartbeats_refused_total", C, "Heartbeats on data ports that were not believed", LANE, .path = "heartbeats_refused"},
    {"understudy_empty_bursts_total", C, "Bursts without a packet", LANE, .path = "empty_bursts"},
    {"understudy_nf_events_total", C, "Counters of NFs and L3, drops by reason among them: part of the chain's state, so the standby has the primary's", NESTED, .path = "nfs", .names = NAMES("nf", "counter")},
    {"understudy_table_entries", G, "Entries of the table: flows of an NF, ports that are taken, clients, neighbours", TABLES, .path = "entries"},
    {"understudy_table_limit", G, "Entries that the table has room for", TABLES, .path = "limit"},

    {"understudy_thread_turn_age_seconds", G, "Age of the thread's last turn", NUMBER, .path = "replicator_turn_ms", .unit = MS, .label = "thread=\"replicator\""},
    {"understudy_thread_turn_age_seconds", G, "Age of the thread's last turn", LANE, .path = "turn_ms", .unit = MS, .label = "thread=\"lane\""},
    {SPENT, NUMBER, .path = "replicator_turns.useful_s", .label = "thread=\"replicator\",spent=\"useful\""},
    {SPENT, NUMBER, .path = "replicator_turns.empty_s", .label = "thread=\"replicator\",spent=\"empty\""},
    {SPENT, NUMBER, .path = "replicator_turns.asleep_s", .label = "thread=\"replicator\",spent=\"asleep\""},
    {SPENT, LANE, .path = "turns.useful_s", .label = "thread=\"lane\",spent=\"useful\""},
    {SPENT, LANE, .path = "turns.empty_s", .label = "thread=\"lane\",spent=\"empty\""},
    {SPENT, LANE, .path = "turns.asleep_s", .label = "thread=\"lane\",spent=\"asleep\""},
    {"understudy_thread_long_turns_total", C, "Turns longer than 1 ms", NUMBER, .path = "replicator_turns.long_turns", .label = "thread=\"replicator\""},
    {"understudy_thread_long_turns_total", C, "Turns longer than 1 ms", LANE, .path = "turns.long_turns", .label = "thread=\"lane\""},

    {"understudy_lag_packets", G, "Primary: packets recorded and not yet known to be replayed", NUMBER, .path = "lag_packets"},
    {"understudy_records_total", C, "Log records sent or stored", NUMBER, .path = "records"},
    {"understudy_log_bytes_total", C, "Log records on the link", NUMBER, .path = "log_bytes"},
    {"understudy_deltas_total", C, "Deltas made or applied", NUMBER, .path = "deltas"},
    {"understudy_delta_bytes_total", C, "Deltas on the link", NUMBER, .path = "delta_bytes"},
    {"understudy_delta_overruns_total", C, "Resyncs because a delta would have been too large", NUMBER, .path = "overruns"},
    {"understudy_link_sent_bytes_total", C, "Sent on the link", NUMBER, .path = "link.bytes_out"},
    {"understudy_link_received_bytes_total", C, "Received on the link", NUMBER, .path = "link.bytes_in"},
    {"understudy_link_connects_total", C, "Connections of the link that were made", NUMBER, .path = "link.connects"},
    {"understudy_link_credit_waits_total", C, "Batches that waited for the standby's credit", NUMBER, .path = "link.credit_waits"},
    {"understudy_link_compressing", G, "1: messages are compressed, since the link is the limit", NUMBER, .path = "link.compressing"},
    {"understudy_link_refused_total", C, "Messages of the peer that were malformed or impossible", NUMBER, .path = "link.refused"},
    {"understudy_link_turned_away_total", C, "Connections, datagrams and frames that were not the peer's, by reason", EACH, .path = "link.turned_away", .label = "reason"},

    {"understudy_resync_phase", G, "1 for the phase that the resync is in", CHOICE, .path = "resync.phase", .label = "phase", .names = NAMES("none", "cut", "snapshot", "catch-up", "switch", "hold")},
    {"understudy_resyncs_total", C, "Resyncs that ended, by how", NUMBER, .path = "resync.done", .label = "outcome=\"done\""},
    {"understudy_resyncs_total", C, "Resyncs that ended, by how", NUMBER, .path = "resync.failed", .label = "outcome=\"failed\""},
    {"understudy_resync_left_lines", G, "Lines of 64 bytes that the resync has still to send", NUMBER, .path = "resync.lines_left"},
    {"understudy_resync_snapshot_bytes_total", C, "Snapshots sent, before compression", NUMBER, .path = "resync.snapshot_bytes"},
    {"understudy_verified_age_seconds", G, "How long ago all of the state was found equal; +Inf: not since the standby got it", NUMBER, .path = "verified.age_s", .absent = "+Inf"},
    {"understudy_verified_slices_total", C, "Slices of the state compared, by outcome", NUMBER, .path = "verified.equal", .label = "outcome=\"equal\""},
    {"understudy_verified_slices_total", C, "Slices of the state compared, by outcome", NUMBER, .path = "verified.different", .label = "outcome=\"different\""},
    {"understudy_divergences_total", C, "Times that replay or a digest differed from the peer's", NUMBER, .path = "diverged.count"},

    {"understudy_arbiter_answers", G, "1: the arbiter answered when it was last asked or looked at; absent: the file has none", NUMBER, .path = "arbiter.answers"},
    {"understudy_arbiter_age_seconds", G, "Since the arbiter's last answer", NUMBER, .path = "arbiter.answered_ms", .unit = MS},
    {"understudy_arbiter_failures_total", C, "Times that no server of the arbiter answered", NUMBER, .path = "arbiter.failures"},
    {"understudy_arbiter_asking", G, "1: the node has lost its peer, asks who goes on, and holds", NUMBER, .path = "arbiter.asking"},
    {"understudy_arbiter_later", G, "1: the arbiter keeps a later view than the pair is in, so it will let neither node go on", NUMBER, .path = "arbiter.later"},
    {"understudy_recorder_files_total", C, "Files that the flight recorder began", NUMBER, .path = "recorder.files"},
    {"understudy_recorder_records_total", C, "Records that it wrote", NUMBER, .path = "recorder.records"},
    {"understudy_recorder_bytes_total", C, "Bytes that it wrote", NUMBER, .path = "recorder.bytes"},
    {"understudy_recorder_gaps_total", C, "Times that its queue was full", NUMBER, .path = "recorder.gaps"},
    {"understudy_recorder_failures_total", C, "Times that a file could not be written", NUMBER, .path = "recorder.failures"},

    {"understudy_guardian_pid", G, "The guardian's process; 0: it is dead, and this node's end will not be told", NUMBER, .path = "guardian_pid"},
    {"understudy_runner_pid", G, "The process of checks and hooks; 0: it is dead, and checks stand as they were", NUMBER, .path = "runner_pid"},
    {"understudy_demotion", G, "Sum of the weights of what fails on this node; a data port without carrier is 1000", NUMBER, .path = "authority.counter"},
    {"understudy_peer_demotion", G, "The same of the peer, as it says; absent: it is not connected", NUMBER, .path = "authority.peer_counter"},
    {"understudy_maintenance", G, "1 for what an operator has ordered: the role is held, pinned, or free", CHOICE, .path = "authority.maintenance", .label = "maintenance", .names = NAMES("free", "held", "pinned")},
    {"understudy_hook_lost_events_total", C, "Events that hooks did not take", NUMBER, .path = "hooks_lost"},
    {"understudy_realtime", G, "1: the replicator has a real-time priority", NUMBER, .path = "realtime"},
    {"understudy_region_bytes", G, "Size of the replicated state", NUMBER, .path = "region_bytes"},
    {"understudy_log_lost_lines_total", C, "Lines of the event log that nobody will read", NUMBER, .path = "log_lost"},
    {"understudy_port_whole", G, "1: the port of this node and that of its peer can carry traffic, as far as this node knows", PORT, .path = "whole"},
    {"understudy_port_up", G, "1: the port has carrier", PORT, .path = "up"},
    {"understudy_port_peer_heard", G, "1: heartbeats of the peer's port of the same number come in by it", PORT, .path = "peer_heard"},
    {"understudy_port_mtu_bytes", G, "MTU of the port", PORT, .path = "mtu"},
    {"understudy_port_tx_lost_frames_total", C, "Frames that the port took and its interface has not sent", PORT, .path = "tx_lost"},
    {"understudy_port_rx_missed_frames_total", C, "Frames that came and that the driver could not take", PORT, .path = "rx_missed"},
    {"understudy_port_refused_frames_total", C, "Frames dropped at the port: too short, or larger than a buffer", NUMBER, .path = "frames_refused"},
    {"understudy_port_unknown_vlan_frames_total", C, "Frames dropped at the port: no interface has their VLAN tags", NUMBER, .path = "frames_unknown_vlan"},
    {"understudy_port_not_dealt_frames_total", C, "Frames whose lane had no room in its ring", NUMBER, .path = "frames_not_dealt"},
};
/* clang-format on */

static const json_t *find(const json_t *at, const char *path)
{
    while (at && path) {
        const char *dot = strchr(path, '.');

        at = json_object_getn(at, path, dot ? (size_t)(dot - path) : strlen(path));
        path = dot ? dot + 1 : NULL;
    }
    return at;
}

/* A label's value, with what the format wants escaped. */
static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    fputc('"', out);
}

/* Behind the labels. */
static void write_value(FILE *out, const struct metric *m, const json_t *value)
{
    double number = json_is_true(value) ? 1 : json_number_value(value);

    if (json_is_integer(value) && !m->unit)
        fprintf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else
        fprintf(out, " %.15g\n", m->unit ? number * m->unit : number);
}

static bool is_left_out(const struct metric *m, const json_t *value)
{
    return strcmp(m->type, C) != 0 && !json_is_number(value) && !json_is_boolean(value);
}

static void write_number(FILE *out, const struct metric *m, const json_t *value)
{
    if (is_left_out(m, value)) {
        if (m->absent)
            fprintf(out, "%s %s\n", m->name, m->absent);
        return;
    }
    fprintf(out, m->label ? "%s{%s}" : "%s", m->name, m->label);
    write_value(out, m, value);
}

/* Of each lane, by its number, or of each port, by its name. */
static void write_list(FILE *out, const struct metric *m, const json_t *list)
{
    const json_t *one, *value;
    size_t i;

    json_array_foreach(list, i, one)
    {
        value = find(one, m->path);
        if (is_left_out(m, value))
            continue;
        fprintf(out, "%s{", m->name);
        if (m->kind == PORT)
            write_label(out, "port", json_string_value(find(one, "port")));
        else
            fprintf(out, "lane=\"%zu\"%s%s", i, m->label ? "," : "", m->label ? m->label : "");
        fputc('}', out);
        write_value(out, m, value);
    }
}

static void write_choice(FILE *out, const struct metric *m, const char *chosen)
{
    for (const char *const *name = m->names; *name; name++) {
        fprintf(out, "%s{", m->name);
        write_label(out, m->label, *name);
        fprintf(out, "} %d\n", chosen && strcmp(*name, chosen) == 0);
    }
}

static void write_each(FILE *out, const struct metric *m, const json_t *map)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        fprintf(out, "%s{", m->name);
        write_label(out, m->label, key);
        fputc('}', out);
        write_value(out, m, value);
    }
}

static void write_nested(FILE *out, const struct metric *m, const json_t *maps)
{
    const char *outer, *inner;
    json_t *map, *value;

    json_object_foreach((json_t *)(uintptr_t)maps, outer, map) json_object_foreach(map, inner, value)
    {
        fprintf(out, "%s{", m->name);
        write_label(out, m->names[0], outer);
        fputc(',', out);
        write_label(out, m->names[1], inner);
        fputc('}', out);
        write_value(out, m, value);
    }
}

static void write_tables(FILE *out, const struct metric *m, const json_t *tables)
{
    const char *name;
    json_t *one, *lane;
    size_t l;

    json_object_foreach((json_t *)(uintptr_t)tables, name, one)
    {
        json_array_foreach(json_object_get(one, "lanes"), l, lane)
        {
            fprintf(out, "%s{", m->name);
            write_label(out, "table", name);
            fprintf(out, ",lane=\"%zu\"}", l);
            write_value(out, m, find(lane, m->path));
        }
        if (json_object_get(one, "lanes"))
            continue;
        fprintf(out, "%s{", m->name);
        write_label(out, "table", name);
        fputc('}', out);
        write_value(out, m, find(one, m->path));
    }
}

static void write_texts(FILE *out, const struct metric *m, const json_t *status)
{
    for (const char *const *name = m->names; *name; name++) {
        const char *text = json_string_value(find(status, *name));

        fputs(name == m->names ? m->name : "", out);
        fputc(name == m->names ? '{' : ',', out);
        write_label(out, *name, text ? text : "");
    }
    fputs("} 1\n", out);
}

/* Status has how many fell in each bucket; the format has how many were no longer. */
static void write_buckets(FILE *out, const struct metric *m, const json_t *histogram)
{
    json_int_t below = 0, count = json_integer_value(find(histogram, "count"));

    for (unsigned i = 0; i < ND_TAKEOVER_BUCKETS; i++) {
        below += json_integer_value(json_array_get(find(histogram, "buckets"), i));
        fprintf(out, "%s_bucket{le=\"%g\"} %" JSON_INTEGER_FORMAT "\n", m->name, nd_takeover_bounds[i],
                below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" JSON_INTEGER_FORMAT "\n", m->name, count);
    fprintf(out, "%s_sum %.15g\n", m->name, json_number_value(find(histogram, "sum_s")));
    fprintf(out, "%s_count %" JSON_INTEGER_FORMAT "\n", m->name, count);
}

static void write_metric(FILE *out, const struct metric *m, const json_t *status)
{
    const json_t *at = m->path ? find(status, m->path) : NULL;

    switch (m->kind) {
    case NUMBER:
        write_number(out, m, at);
        break;
    case LANE:
        write_list(out, m, json_object_get(status, "lanes"));
        break;
    case PORT:
        write_list(out, m, json_object_get(status, "ports"));
        break;
    case CHOICE:
        write_choice(out, m, json_string_value(at));
        break;
    case EACH:
        write_each(out, m, at);
        break;
    case NESTED:
        write_nested(out, m, at);
        break;
    case TEXTS:
        write_texts(out, m, status);
        break;
    case BUCKETS:
        write_buckets(out, m, at);
        break;
    case TABLES:
        write_tables(out, m, json_object_get(status, "tables"));
        break;
    }
}

char *nd_metrics_page(const json_t *status, size_t *size)
{
    char *page = NULL;
    FILE *out = open_memstream(&page, size);

    if (!out)
        return NULL;
    for (const struct metric *m = table; m < table + sizeof(table) / sizeof(table[0]); m++) {
        if (m == table || strcmp(m->name, m[-1].name) != 0)
            fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
        write_metric(out, m, status);
    }
    if (fclose(out) == 0)
        return page;
    free(page);
    return NULL;
}
