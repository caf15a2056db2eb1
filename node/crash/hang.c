/* SPDX-License-Identifier: Apache-2.0 */
/* NFs that do not come to an end; see hang.h. */
#include "node/crash/hang.h"
#include "node/crash/handler.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Those that see a call after the first, before its processor time counts. */
#define LOOKS 4u

/* Nothing that an NF does with a burst takes a thousandth of it. Commands read rules, and write tables; so
 * does who makes or checks an NF. */
static const struct limit {
    uint64_t used;  /* ns */
    uint32_t slept; /* looks */
} of_call = {500000000ull, 3000 / ND_HANG_LOOK_MS}, of_command = {10000000000ull, 30000 / ND_HANG_LOOK_MS};

static const struct limit *limit(uint32_t doing)
{
    return doing >= NF_DOING_SHOW ? &of_command : &of_call;
}

static bool same_call(const struct nd_hang_look *a, const struct nd_hang_look *b)
{
    return a->doing == b->doing && a->nf == b->nf && a->burst == b->burst && a->turn == b->turn;
}

bool nd_hang_judge(struct nd_hang *hang, const struct nd_hang_look *look)
{
    const struct limit *most = limit(look->doing);

    if (look->doing == NF_DOING_NOTHING || look->waits || !same_call(&hang->last, look)) {
        hang->from = look->used;
        hang->slept = hang->looks = 0;
    } else {
        hang->slept += look->sleeps;
    }
    hang->last = *look;
    hang->looks++; /* this one, too */
    return (hang->looks > LOOKS && look->used - hang->from >= most->used) || hang->slept >= most->slept;
}

/* The state of a thread of this process, a letter, is behind its name, which may have anything in it. */
static bool thread_sleeps(int thread)
{
    char path[64], text[256];
    const char *end;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    end = strrchr(text, ')');
    return end && end[1] == ' ' && (end[2] == 'S' || end[2] == 'D');
}

static bool waits_for_lane(const struct ft_published *published)
{
    return ft_wait_is_on(published) || atomic_load(&published->locked_out);
}

/* False: the lane has not begun. A thread that has ended in the midst of a call stands there for good. */
static bool look_at(const struct nd_hang_watch *watch, unsigned lane, const struct nd_hang *hang,
                    struct nd_hang_look *look)
{
    const struct nf_mark *mark = &watch->page->lane[lane].mark;
    int thread = atomic_load(&watch->page->lane[lane].thread);
    struct timespec used;

    if (!thread)
        return false;
    bool ended = clock_gettime(atomic_load(&watch->page->lane[lane].clock), &used) != 0;

    *look = (struct nd_hang_look){
        .doing = atomic_load(&mark->doing),
        .nf = atomic_load(&mark->nf),
        .burst = atomic_load(&mark->burst),
        .turn = atomic_load(&watch->shared[lane].count.turn_ns),
        .used = ended ? UINT64_MAX : (uint64_t)used.tv_sec * 1000000000ull + (uint64_t)used.tv_nsec,
        .waits = waits_for_lane(&watch->published[lane])};
    /* The file is asked only of a call that stands. */
    look->sleeps = look->doing != NF_DOING_NOTHING && same_call(look, &hang->last) && thread_sleeps(thread);
    return true;
}

void nd_hang_run(const struct nd_hang_watch *watch)
{
    struct nd_hang hang[FT_LANES_MAX] = {0};
    struct nd_hang_look look;

    while (!atomic_load(&watch->stop)) {
        for (unsigned l = 0; l < watch->lanes; l++)
            if (look_at(watch, l, &hang[l], &look) && nd_hang_judge(&hang[l], &look))
                nd_crash_hangs((int)l);
        nanosleep(&(struct timespec){0, ND_HANG_LOOK_MS * 1000000l}, NULL);
    }
}
