/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover drills on a running pair: hurts a node, watches the other one go on, brings the first one back,
 * compares the digests. Looks only at what an outsider can see: both control sockets and, where the pair file
 * configures one, the prober across the chain. Started by `understudy drill`. Times are CLOCK_MONOTONIC of
 * this machine.
 */
#ifndef TOOLS_DRILL_DRILL_H
#define TOOLS_DRILL_DRILL_H

#include "understudy/base/given.h"
#include "understudy/config/config.h"
#include "understudy/cli/pair.h"
#include "understudy/drill/probe.h"
#include "understudy/pair/report.h"

#include <stdbool.h>
#include <sys/types.h>

#define ND_MS        1000000ull /* ns */
#define ND_BEFORE_MS 50         /* of the prober's figures of a run, before the victim is hurt */
#define ND_AFTER_MS  100        /* a silence that begins so long after the takeover is not the takeover's */

enum nd_drill_kind {
    ND_DRILL_KILL,         /* SIGKILL the primary */
    ND_DRILL_SERVER_LOSS,  /* its links first, then the primary and its guardian */
    ND_DRILL_HANG,         /* SIGSTOP the primary, SIGCONT it later */
    ND_DRILL_STANDBY_KILL, /* SIGKILL the standby */
    ND_DRILL_PLANNED,      /* ask for a handover */
    ND_DRILL_KINDS,
};

enum nd_digests { ND_DIGESTS_NOT_COMPARED, ND_DIGESTS_EQUAL, ND_DIGESTS_DIFFERENT };

struct nd_drill_options {
    const char *file, *report; /* report: a page is written there; NULL: none */
    bool json, no_probe;       /* no_probe: do without the configured prober */
    bool verbose;              /* each step on stderr */
    uint32_t repeat;
    uint32_t flows; /* TCP flows of the prober */
};

/* One run. Times in ms, negative: not known. */
struct nd_drill_run {
    char victim[32], survivor[32], reason[64];
    char failure[480]; /* "": all was as it should be */
    uint64_t at_ns;    /* when the victim was hurt; on another server: when it was asked to end itself */
    bool asked;        /* the latter */
    double detect_ms, replay_ms, first_packet_ms, outage_ms, protected_ms;
    double back_ms;               /* when the victim was woken, or was there again after it was killed */
    uint64_t over_ns, ended_ns;   /* when the survivor went on; when all was done */
    double held;                  /* packets, when it was hurt */
    struct nd_probe_figures seen; /* by the prober, of the whole run */
    double flow_silence_ms, flow_worst_ms; /* TCP flows, around the takeover */
    double resync_silence_ms;              /* of the probe, from then until PROTECTED */
    uint64_t view_before, view_after, false_takeovers;
    uint64_t incarnation; /* of the survivor, before */
    uint64_t decided_ns, tail_emitted, tail_suppressed;
    enum nd_digests digests;
    char digest[ND_PAIR][24]; /* by the file's order; "": not known */
    char not_compared[200];   /* why nothing was compared */
    /* hang: what the woken node reports of its fencing, all against the survivor's decision
     * (docs/guarantees.md, G5) */
    bool was_fenced, released_after; /* released_after: a lease check passed later than that */
    bool burst_in_flight;            /* checked before, the send returned after: the one burst that may be */
    double fenced_before_ms;         /* the last check that passed came so long before; -1: it sent nothing */
    uint64_t fenced_dropped;
};

struct nd_drill {
    struct nd_drill_options options;
    enum nd_drill_kind kind;
    struct nd_config *config;
    uint32_t wait_ms;         /* for the pair to be PROTECTED, before and after */
    struct nd_prober *prober; /* NULL: none */
    uint64_t began;
    struct nd_given given;
    bool hurt;                      /* a run is under way: it is not interrupted */
    uint64_t quiet_since;           /* no drill since */
    double baseline_ms, baseline_s; /* the prober's longest silence outside of all runs, in so many seconds */
    struct nd_report report;        /* with options.report */
};

extern const char *const nd_drill_kinds[ND_DRILL_KINDS];

/* ── report.c ── */

/* The figures of `count` runs on stdout, as a table or, with options.json, as JSON. An exit code. */
int nd_drill_print(const struct nd_drill *drill, const struct nd_drill_run *runs, unsigned count);
/* Their report; `fault`: why there are no more, "": there should not be. 0, or an exit code with its line. */
int nd_drill_report(struct nd_drill *drill, const struct nd_drill_run *runs, unsigned count,
                    const char *fault);

#endif
