/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a silence of the primary has to be until this standby takes over: for status, and for the log when
 * it has changed by much; and that it is doubled, since a primary that was alive was taken over from. The
 * core decides it (ftcore/protocol/standby.c). All of it is the main thread's.
 */
#include "node/running.h"
#include "ftcore/base/event_log.h"

#define AGAIN_NS 60000000000ull /* between two lines on how long it has become */

static double to_ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

json_t *nd_detection_status(const struct ft_core *c)
{
    json_t *o;

    if (c->state != FT_READY)
        return json_null();
    o = json_object();
    json_object_set_new(o, "ms", json_real(to_ms(ft_core_detects(c))));
    json_object_set_new(o, "measured", json_boolean(ft_core_listened(c)));
    json_object_set_new(o, "longest_silence_ms", json_real(to_ms(c->silence.longest)));
    return o;
}

json_t *nd_damping_status(const struct ft_core *c)
{
    unsigned doubled = ft_core_doubled(c);
    uint64_t until = doubled ? c->silence.doubled_at + FT_DOUBLED_NS : 0;
    json_t *o = json_object();

    json_object_set_new(o, "doubled", json_integer((json_int_t)doubled));
    json_object_set_new(o, "left_s", json_real(until > c->now ? (double)(until - c->now) / 1e9 : 0));
    json_object_set_new(o, "longest_stall_ms", json_real(to_ms(c->silence.longest_stall)));
    return o;
}

/* On the node that took over, and on the one that was taken over from. */
static void log_false_takeover(struct nd_detection *d, const struct ft_core *c)
{
    bool own = c->silence.false_takeovers != d->false_takeovers;
    const char *who = own ? "the takeover was a false alarm: the old primary was alive"
                          : "taken over from while it was alive: a false alarm of the other node";

    if (!own && (c->silence.doubled_at == d->doubled_at || !ft_core_doubled(c)))
        return;
    d->false_takeovers = c->silence.false_takeovers;
    d->doubled_at = c->silence.doubled_at;
    if (ft_core_doubled(c))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_DETECTION,
                     "%s; for an hour the shortest silence that counts here is %u times as long", who,
                     1u << ft_core_doubled(c));
    else
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_DETECTION, "%s", who);
}

void nd_detection_turn(struct nd_running *r, const struct rp_status *s)
{
    const struct ft_core *c = &s->core;
    struct nd_detection *d = &r->detection;
    uint64_t ns = ft_core_detects(c);

    log_false_takeover(d, c);
    if (!ft_core_listened(c) || (2 * ns < 3 * d->said && 3 * ns > 2 * d->said) ||
        (d->said && s->at < d->said_at + AGAIN_NS))
        return;
    d->said = ns;
    d->said_at = s->at;
    ft_log_fields(FT_LEVEL_INFO, FT_SAYS_DETECTION,
                  (struct ft_log_field[]){{"detect_us", .number = ns / 1000},
                                          {"longest_silence_us", .number = c->silence.longest / 1000},
                                          {0}},
                  "a primary that is silent for %.1f ms is taken over from: the longest silence measured is "
                  "%.1f ms",
                  to_ms(ns), to_ms(c->silence.longest));
}
