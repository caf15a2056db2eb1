/* SPDX-License-Identifier: Apache-2.0 */
/* Looks of the runner at tracked interfaces, routes and scripts; see parts.h. */
#include "node/base/interface.h"
#include "node/track/parts.h"

#include <signal.h>
#include <sys/wait.h>

static void note_finding(struct nd_check *check, struct nd_runner_page *page, unsigned index,
                         enum nd_finding finding, int number)
{
    atomic_store(&page->check[index].finding, finding);
    atomic_store(&page->check[index].number, number);
    nd_tracked_note(&check->tracked, finding == ND_FOUND_GOOD);
    atomic_store(&page->check[index].failed, check->tracked.failed);
}

static enum nd_finding look_at_interface(const struct nd_track *track)
{
    struct nd_interface_now now;

    if (!nd_interface_named(track->what, &now))
        return ND_FOUND_NO_INTERFACE;
    return now.carrier ? ND_FOUND_GOOD : ND_FOUND_NO_CARRIER;
}

/* A script that has not ended when its next run is due is killed, and was no good. */
static void turn_script(struct nd_check *check, const struct nd_track *track, const char *node,
                        struct nd_runner_page *page, unsigned index, uint64_t now)
{
    bool killed = check->child.killed;
    int status, error;

    if (nd_program_ended(&check->child, &status) && !killed) {
        if (WIFSIGNALED(status))
            note_finding(check, page, index, ND_FOUND_SIGNAL, WTERMSIG(status));
        else
            note_finding(check, page, index, WEXITSTATUS(status) ? ND_FOUND_EXIT : ND_FOUND_GOOD,
                         WEXITSTATUS(status));
    }
    if (now < check->due)
        return;
    if (check->child.pid) {
        nd_program_kill(&check->child);
        check->due = now + track->every_ms * 1000000ull;
        note_finding(check, page, index, ND_FOUND_LATE, (int)track->every_ms);
        return;
    }
    check->due = now + track->every_ms * 1000000ull;
    error = nd_program_start(&check->child, track->what, node, -1, now);
    if (error)
        note_finding(check, page, index, ND_FOUND_ERROR, error);
}

void nd_check_turn(struct nd_check *check, const struct nd_track *track, const char *node,
                   struct nd_runner_page *page, unsigned index, uint64_t now)
{
    if (track->kind == ND_TRACK_SCRIPT) {
        turn_script(check, track, node, page, index, now);
        return;
    }
    if (track->kind == ND_TRACK_GATEWAY || now < check->due)
        return;
    check->due = now + track->every_ms * 1000000ull;
    note_finding(check, page, index,
                 track->kind == ND_TRACK_INTERFACE                      ? look_at_interface(track)
                 : nd_route_there(track->route.addr, track->route.mask) ? ND_FOUND_GOOD
                                                                        : ND_FOUND_NO_ROUTE,
                 0);
}
