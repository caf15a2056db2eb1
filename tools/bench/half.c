/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the peer and the feeder have in common: a process with a node's protocol core and link, whose turns
 * are those of a replicator without lanes. What the core wants of lanes and disks nobody does; it is not told
 * otherwise. When the link ends, it stays silent: the bench looks at the real node.
 */
#define _GNU_SOURCE /* affinity */
#include "tools/bench/half.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define WAIT_NS 200000u
#define SHOW_NS 2000000u

static struct nd_bench_half half;

static void carry_out(struct nd_bench_half *h, const struct ft_action *a)
{
    if (a->kind == FT_ACT_SEND) {
        rp_link_send(h->link, &a->send, 1, NULL);
    } else if (a->kind == FT_ACT_CLOSE) {
        rp_link_flush(h->link);
        rp_link_drop(h->link);
        h->lost = true;
    } else if (a->kind == FT_ACT_CUT) {
        h->cut_wanted = true;
    } else if (a->kind == FT_ACT_GATE) {
        h->guard_wanted = a->gate == FT_GATE_GUARDED && h->core.resync == FT_RESYNC_SWITCH;
    } else if (a->kind == FT_ACT_STATE) {
        snprintf(h->slot->status.why, sizeof(h->slot->status.why), "%s", a->send.text);
        atomic_store(&h->slot->status.state, a->send.state);
    }
}

void nd_bench_half_step(struct nd_bench_half *h, struct ft_event *event)
{
    static struct ft_actions actions;

    event->now = h->now;
    ft_step(&h->core, event, &actions);
    for (uint32_t i = 0; i < actions.count; i++)
        carry_out(h, &actions.list[i]);
}

int nd_bench_half_send(struct nd_bench_half *h, enum ft_message_type type, const uint8_t *bulk, uint32_t len,
                       struct ft_fault *fault)
{
    struct ft_message m;

    ft_core_head(&h->core, type, h->now, &m);
    m.bulk = bulk;
    m.bulk_len = len;
    int error = rp_link_send(h->link, &m, 1, NULL);

    return error ? ft_fail(fault, FT_EIO, "the link takes no message of %u bytes", len) : 0;
}

/* ---- turns ------------------------------------------------------------------------------------- */

static int take_messages(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE};
    struct ft_message m;
    int got, error = 0;

    while (!error && !h->lost && (got = rp_link_next(h->link, h->core.peer.known ? 1 : 0, &m, fault)) != 0) {
        *worked = true;
        error = got < 0 ? got : h->number ? nd_bench_peer_take(h, &m, fault) : 0;
        event.message = &m;
        if (!error)
            nd_bench_half_step(h, &event);
    }
    return error;
}

static int take_turn(struct nd_bench_half *h, bool *worked, struct ft_fault *fault)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED}, time = {.kind = FT_EV_TIME};
    struct ft_fault why = {""};
    int error;

    h->now = nd_now();
    if (rp_link_poll(h->link, h->now)) {
        event.greeted = rp_link_greeted(h->link);
        nd_bench_half_step(h, &event);
    }
    error = take_messages(h, worked, fault);
    h->lost |= rp_link_lost(h->link, &why) != RP_LOST_NONE;
    if (error || h->lost)
        return error;
    if (h->number)
        nd_bench_peer_turn(h);
    else
        error = nd_bench_feeder_turn(h, worked, fault);
    if (h->now >= ft_core_due(&h->core))
        nd_bench_half_step(h, &time);
    rp_link_flush(h->link);
    return error;
}

/* As a node does, for whoever reads both alike. */
static void show_figures(struct nd_bench_half *h)
{
    if (h->now - h->shown_at < SHOW_NS)
        return;
    h->shown_at = h->now;
    atomic_store(&h->slot->cpu_replicator, nd_cpu_time(CLOCK_THREAD_CPUTIME_ID));
    atomic_store(&h->slot->link_bytes, rp_link_stats(h->link)->bytes_out);
    atomic_store(&h->slot->shown_at, nd_now());
}

static int run_half(void *arg, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    struct nd_bench_half *h = arg;
    const struct nd_bench_plan *plan = h->all->plan;
    struct nd_member_config how = {.config = plan->config,
                                   .place = &h->all->place,
                                   .number = h->number,
                                   .timing = nd_bench_timing(),
                                   .datagram_key.incarnation = nd_now() ^ (uint64_t)h->number << 63};
    struct ft_actions begin;
    cpu_set_t cores, rest;
    int rest_core, error;

    if (nd_bench_cores(1, &cores, &rest_core) > 0) {
        CPU_ZERO(&rest);
        CPU_SET((unsigned)rest_core, &rest);
        sched_setaffinity(0, sizeof(rest), &rest);
    }
    prctl(PR_SET_NAME, h->number ? "us-peer" : "us-feeder");
    nd_member_network(&h->config, &how, identity);
    error = rp_link_open(&h->link, &h->config.link, fault);
    ft_core_init(&h->core, &h->config.core, nd_now(), &begin);
    for (uint32_t i = 0; i < begin.count && !error; i++)
        carry_out(h, &begin.list[i]);
    while (!error && atomic_load(&h->slot->status.wish) != ND_MEMBER_END) {
        bool worked = false;

        if (h->lost) {
            h->now = nd_now();
            nd_sleep(SHOW_NS);
        } else {
            error = take_turn(h, &worked, fault);
        }
        show_figures(h);
        if (worked)
            sched_yield();
        else if (!h->lost && !error)
            rp_link_wait(h->link, WAIT_NS);
    }
    return error;
}

int nd_bench_start_half(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault)
{
    half = (struct nd_bench_half){.all = all, .tape = all->plan->tape, .number = n, .slot = all->slot[n]};
    return nd_member_fork(&all->pid[n], &all->slot[n]->status, run_half, &half, fault);
}
