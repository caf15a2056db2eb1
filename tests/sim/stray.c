/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that does once what no NF may, in some seeds of a node alone, whose audit is on: it writes past an
 * edit, in a constant, behind the region's arenas, through NULL, or touches what it declared not to read. The
 * process must end there, and say by whom and where, or the fault must reach who had asked for faults before
 * the audit did.
 */
#define _GNU_SOURCE /* sigaction */
#include "tests/sim/sim.h"

#include "ftcore/region/audit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

void __real_ft_audit_forbid(const void *snapshot, uint64_t size, void (*on_touch)(void *arg, const void *at),
                            void *arg);
void __wrap_ft_audit_forbid(const void *snapshot, uint64_t size, void (*on_touch)(void *arg, const void *at),
                            void *arg);

static const uint8_t *forbidden; /* the last place that a lane may not touch while its chain runs */

void __wrap_ft_audit_forbid(const void *snapshot, uint64_t size, void (*on_touch)(void *arg, const void *at),
                            void *arg)
{
    forbidden = snapshot;
    __real_ft_audit_forbid(snapshot, size, on_touch, arg);
}

/* ---- who gets faults before and after the audit -------------------------------------------------------- */

static void (*plain)(int number);

static void informed(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    plain(number);
}

/* A library of the process asks for faults, too, and wants to know where they are, or not. */
static void ask_for_faults(bool where)
{
    struct sigaction now, other = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSEGV, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler != SIG_DFL)
        plain = now.sa_handler;
    if (plain && where)
        sigaction(SIGSEGV, &other, NULL);
    else if (plain)
        signal(SIGSEGV, plain);
}

void sim_stray_begin(void)
{
    if (!sim.plan.stray)
        return;
    sim.stray_at = sim_draw(&sim.width, sim.plan.faults_end);
    ask_for_faults(sim_draw(&sim.width, 2));
}

void sim_stray_leaves(void)
{
    if (sim_chance(&sim.width, 600))
        ask_for_faults(sim_draw(&sim.width, 2));
}

/* ---- what it does ----------------------------------------------------------------------------------------
 */

static const char past_edit[] = "changed offset", elsewhere[] = "fault", payload[] = "";

/* Behind all that an arena of its own, or the shared one, has handed out: no edit can excuse it. */
static void write_past_edit(struct ft_region *region, unsigned lane)
{
    unsigned nf = (unsigned)sim_draw(&sim.width, region->nfs + 1u);
    const struct ft_arena *a =
        nf == region->nfs ? ft_region_shared(region) : ft_region_arena(region, lane, nf);

    if (a->used + FT_LINE > a->size)
        return;
    sim.strayed = past_edit;
    sim.strayed_lane = lane;
    region->base[a->offset + a->size - 1 - sim_draw(&sim.width, FT_LINE)]++;
}

void sim_stray_look(const struct nd_lane *lane)
{
    struct ft_region *region = lane->region;
    const struct ft_arena *last = ft_region_shared(region);
    volatile uint8_t *nowhere = NULL, *at;

    if (sim.strayed == past_edit && sim.strayed_lane == lane->index) {
        sim_fail("audit: a write past an edit was not seen at the end of its burst");
        return;
    }
    if (sim.strayed || sim.now < sim.stray_at || sim.faults_over || !region->audit)
        return;
    switch (sim_draw(&sim.width, 5)) {
    case 0:
    case 1:
        write_past_edit(region, lane->index);
        return;
    case 2:
        at = (volatile uint8_t *)(uintptr_t) "a constant";
        break;
    case 3: /* behind the last arena, if there is a page */
        at = region->base + region->size - 1;
        if (last->offset + last->size >= region->size)
            at = nowhere;
        break;
    default:
        at =
            sim_draw(&sim.width, 2) || !forbidden ? nowhere : (volatile uint8_t *)(uintptr_t)forbidden + 8192;
    }
    sim.strayed = forbidden && at == forbidden + 8192 ? payload : elsewhere;
    sim_tell(lane->index, "its chain strays");
    *at = 1;
    sim_fail("audit: a write where nobody may write was let pass");
}

bool sim_stray_ends(int number, const char *said)
{
    if (sim.strayed == elsewhere)
        return number == SIGSEGV;
    return number == SIGABRT && (!said || strstr(said, sim.strayed));
}
