/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover drills on a running pair: hurts a node, watches the other one go on, brings the first one back,
 * compares the digests. Looks only at what an outsider can see: both control sockets and, where the pair file
 * configures one, the prober across the chain. Started by `understudy drill`. Times are CLOCK_MONOTONIC of
 * this machine.
 */
#ifndef TOOLS_DRILL_DRILL_H
#define TOOLS_DRILL_DRILL_H

#include "node/config/config.h"
#include "tools/drill/probe.h"

#include <stdbool.h>

enum nd_drill_kind {
    ND_DRILL_KILL,         /* SIGKILL the primary */
    ND_DRILL_SERVER_LOSS,  /* its links first, then the primary and its guardian */
    ND_DRILL_HANG,         /* SIGSTOP the primary, SIGCONT it later */
    ND_DRILL_STANDBY_KILL, /* SIGKILL the standby */
    ND_DRILL_PLANNED,      /* ask for a handover */
    ND_DRILL_KINDS,
};

struct nd_drill_options {
    const struct nd_config *config;
    enum nd_drill_kind kind;
    bool probe;       /* use the configured prober */
    uint32_t flows;   /* TCP flows of the prober */
    uint32_t wait_ms; /* for the pair to be PROTECTED, before and after */
    bool verbose;     /* each step on stderr */
};

/* One run. Times in ms, negative: not known. */
struct nd_drill_run {
    char victim[32], survivor[32], reason[64];
    char failure[160]; /* "": all was as it should be */
    uint64_t at_ns;    /* when the victim was hurt */
    double detect_ms, replay_ms, first_packet_ms, outage_ms, protected_ms;
    uint64_t held;                         /* packets, when it was hurt */
    struct nd_probe_figures seen;          /* by the prober, of the whole run */
    double flow_silence_ms, flow_worst_ms; /* TCP flows, around the takeover */
    double resync_silence_ms;              /* of the probe, from then until PROTECTED */
    uint64_t view_before, view_after, false_takeovers;
    uint64_t decided_ns, tail_emitted, tail_suppressed;
    bool digests_equal;
    /* hang: what the woken node says of its fencing, all against the survivor's decision (docs/guarantees.md,
     * G5) */
    bool was_fenced, released_after; /* released_after: a lease check passed later than that */
    bool burst_in_flight;            /* checked before, the send returned after: the one burst that may be */
    double fenced_before_ms;         /* the last check that passed came so long before; -1: it sent nothing */
    uint64_t fenced_dropped;
};

struct nd_drill;

/* Starts the prober. FT_ENOENT: no node answers, FT_EPERM, FT_EIO. `options->config` stays borrowed. */
int nd_drill_open(struct nd_drill **out, const struct nd_drill_options *options, struct ft_fault *fault);
/* One run; a drill that did not end well is FT_OK with out->failure. FT_ENOENT, FT_EPERM, FT_EIO: it could
 * not begin. */
int nd_drill_once(struct nd_drill *drill, struct nd_drill_run *out, struct ft_fault *fault);
/* Longest silence of the prober outside of all runs so far, ms, and for how long that was looked at; -1
 * without. */
double nd_drill_baseline(const struct nd_drill *drill, double *seconds);
void nd_drill_close(struct nd_drill *drill);

const char *nd_drill_name(enum nd_drill_kind kind);
int nd_drill_kind(const char *name); /* -1: none of that name */

#endif
