/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: the model of the closed set. Owns the history. */
#include "tests/help/closed.h"
#include "tests/help/record.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

struct model history;

static bool inside(const unsigned end[], unsigned lane, uint64_t access)
{
    if (access <= history.access[lane])
        return true;
    for (unsigned b = 0; b < end[lane]; b++)
        if (access >= history.burst[lane][b].access &&
            access < history.burst[lane][b].access + history.burst[lane][b].accesses)
            return true;
    return false;
}

static bool has_cut(const unsigned end[], unsigned lane, uint64_t cut)
{
    for (unsigned b = 0; b < end[lane]; b++)
        if (history.burst[lane][b].cut == cut)
            return true;
    return false;
}

static bool burst_may_be_inside(const unsigned end[], const struct model_burst *b)
{
    for (unsigned o = 0; b->cut && o < history.lanes; o++)
        if (!has_cut(end, o, b->cut))
            return false;
    for (unsigned e = 0; e < b->dependencies; e++)
        if (!inside(end, b->dependency[e].lane, b->dependency[e].access))
            return false;
    return true;
}

static bool closed(const unsigned end[])
{
    for (unsigned l = 0; l < history.lanes; l++)
        for (unsigned b = 0; b < end[l]; b++)
            if (!burst_may_be_inside(end, &history.burst[l][b]))
                return false;
    return true;
}

void model_greatest(unsigned best[])
{
    unsigned end[MODEL_LANES] = {0}, l;

    memset(best, 0, sizeof(unsigned) * MODEL_LANES);
    do {
        if (closed(end))
            for (l = 0; l < history.lanes; l++)
                best[l] = end[l] > best[l] ? end[l] : best[l];
        for (l = 0; l < history.lanes && ++end[l] > history.held[l]; l++)
            end[l] = 0;
    } while (l < history.lanes);
    assert_true(closed(best));
}

static void draw_model(void)
{
    memset(&history, 0, sizeof(history));
    history.lanes = 1 + (unsigned)draw_below(MODEL_LANES);
    for (unsigned l = 0; l < history.lanes; l++) {
        history.first[l] = draw_below(2) ? 0 : draw() >> 8;
        history.access[l] = draw_below(2) ? 0 : draw() >> 8;
        history.count[l] = MODEL_BURSTS;
        for (unsigned b = 0; b < MODEL_BURSTS; b++)
            history.burst[l][b].bursts = 1;
    }
}

void model_draw_arbitrary(void)
{
    draw_model();
    for (unsigned l = 0; l < history.lanes; l++) {
        uint64_t access = history.access[l] + 1;

        for (unsigned b = 0; b < MODEL_BURSTS; b++) {
            struct model_burst *burst = &history.burst[l][b];

            burst->access = access;
            burst->accesses = (uint32_t)draw_below(4);
            access += burst->accesses;
            for (unsigned e = 0; history.lanes > 1 && e < burst->accesses; e++) {
                unsigned lane = (l + 1 + (unsigned)draw_below(history.lanes - 1)) % history.lanes;
                uint64_t near = history.access[lane] + b * 2 + draw_below(4);

                if (draw_below(3) == 0)
                    burst->dependency[burst->dependencies++] =
                        (struct model_dependency){lane, draw_below(8)   ? near
                                                        : draw_below(2) ? 0
                                                                        : draw()};
            }
        }
    }
}

void model_draw_run(void)
{
    struct {
        unsigned lane;
        uint64_t access;
    } object[3];
    unsigned burst[MODEL_LANES] = {0};
    uint64_t access[MODEL_LANES];

    draw_model();
    for (unsigned i = 0; i < 3; i++)
        object[i].lane = MODEL_LANES;
    for (unsigned l = 0; l < history.lanes; l++) {
        access[l] = history.access[l];
        history.burst[l][0].access = access[l] + 1;
    }
    for (unsigned steps = 0; steps < 60; steps++) {
        unsigned l = (unsigned)draw_below(history.lanes), o = (unsigned)draw_below(3);
        struct model_burst *b = &history.burst[l][burst[l]];

        if (burst[l] == MODEL_BURSTS - 1)
            continue;
        if (draw_below(3) == 0 || b->dependencies == MODEL_DEPENDENCIES) {
            history.burst[l][++burst[l]].access = access[l] + 1;
            continue;
        }
        access[l]++;
        b->accesses++;
        if (object[o].lane != l && object[o].lane != MODEL_LANES)
            b->dependency[b->dependencies++] = (struct model_dependency){object[o].lane, object[o].access};
        object[o].lane = l;
        object[o].access = access[l];
    }
    for (unsigned l = 0; l < history.lanes; l++)
        while (burst[l] < MODEL_BURSTS - 1)
            history.burst[l][++burst[l]].access = access[l] + 1;
}

/* Near what the other lane's history has, mostly. */
static void draw_dependencies(unsigned lane, struct model_burst *burst, uint64_t steps)
{
    for (unsigned e = 0; history.lanes > 1 && e < burst->accesses; e++) {
        unsigned to = (lane + 1 + (unsigned)draw_below(history.lanes - 1)) % history.lanes;

        if (draw_below(3) == 0)
            burst->dependency[burst->dependencies++] = (struct model_dependency){
                to, history.access[to] + draw_below(steps + 3) + (draw_below(16) ? 0 : draw())};
    }
}

void model_draw_segments(void)
{
    uint64_t access[MODEL_LANES], cut = 0, steps = 0;
    bool room = true, log;

    draw_model();
    log = draw_below(2);
    memcpy(access, history.access, sizeof(access));
    memset(history.count, 0, sizeof(history.count));
    memset(history.burst, 0, sizeof(history.burst));
    while (room) {
        bool delta = !log || draw_below(2);

        cut += delta;
        for (unsigned l = 0; l < history.lanes; l++) {
            unsigned bursts = log ? (unsigned)draw_below(3) : 0;

            for (; bursts && history.count[l] < MODEL_BURSTS - 1; bursts--) {
                struct model_burst *b = &history.burst[l][history.count[l]++];

                *b = (struct model_burst){
                    .access = access[l] + 1, .accesses = (uint32_t)draw_below(4), .bursts = 1};
                access[l] += b->accesses;
                draw_dependencies(l, b, steps + b->accesses);
            }
            if (delta) {
                struct model_burst *b = &history.burst[l][history.count[l]++];

                *b = (struct model_burst){.access = access[l] + 1, .cut = cut};
                b->bursts = log ? 0 : draw_below(4);
                b->accesses = b->bursts ? (uint32_t)draw_below(4) : 0;
                access[l] += b->accesses;
            }
        }
        steps += 3;
        for (unsigned l = 0; l < history.lanes; l++)
            room &= history.count[l] < MODEL_BURSTS - 1;
        room &= draw_below(8) != 0;
    }
}

unsigned model_delta_before(unsigned lane, unsigned n)
{
    while (n && !history.burst[lane][n - 1].cut)
        n--;
    return n;
}
