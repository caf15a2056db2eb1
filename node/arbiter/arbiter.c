/* SPDX-License-Identifier: Apache-2.0 */
/* See arbiter.h. */
#include "node/arbiter/arbiter.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "node/base/clock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS  5000000000ull /* between two looks while nothing is asked */
#define RETRY_NS 300000000ull  /* between two rounds of servers that did not answer a question */

struct nd_arbiter {
    const char *name;
    struct nd_etcd *etcd;
    struct ft_worker worker;
    uint64_t at,
        answered; /* the thread's: serials of the question that it is at, 0: it looks; and of the last */

    /* The question: written by the replicator. `serial` is odd while it writes. */
    _Atomic uint64_t serial, view, number;
    _Atomic bool asked;
    _Atomic uint64_t reply; /* by the thread: serial of the question, times 4, and the answer */
    uint64_t reply_taken;   /* the replicator's */
    _Atomic uint64_t serves;

    pthread_mutex_t lock; /* of `status`: the thread and the main thread */
    struct nd_arbiter_status status;
};

/* ---- the replicator's side --------------------------------------------------------------------- */

void nd_arbiter_ask(void *arbiter, const struct ft_era *era)
{
    struct nd_arbiter *a = arbiter;

    atomic_fetch_add(&a->serial, 1);
    atomic_store(&a->asked, era != NULL);
    atomic_store(&a->view, era ? era->view : 0);
    atomic_store(&a->number, era ? era->number : 0);
    atomic_fetch_add(&a->serial, 1);
    if (era) {
        ft_worker_wake(&a->worker);
        nd_etcd_wake(a->etcd);
    }
}

bool nd_arbiter_answer(void *arbiter, struct ft_era *era, enum ft_answer *answer)
{
    struct nd_arbiter *a = arbiter;
    uint64_t reply = atomic_load(&a->reply);

    if (reply == a->reply_taken)
        return false;
    a->reply_taken = reply;
    if (reply >> 2 != atomic_load(&a->serial) || !atomic_load(&a->asked))
        return false;
    *era = (struct ft_era){atomic_load(&a->view), atomic_load(&a->number)};
    *answer = (enum ft_answer)(reply & 3);
    return true;
}

void nd_arbiter_serves(void *arbiter, uint64_t view)
{
    struct nd_arbiter *a = arbiter;

    atomic_store_explicit(&a->serves, view, memory_order_relaxed);
}

/* ---- the main thread's side -------------------------------------------------------------------- */

uint64_t nd_arbiter_cluster(const struct nd_arbiter *a)
{
    return a ? nd_etcd_cluster(a->etcd) : 0;
}

void nd_arbiter_expect(struct nd_arbiter *a, uint64_t cluster)
{
    if (!a || nd_etcd_cluster(a->etcd) == cluster)
        return;
    nd_etcd_expect(a->etcd, cluster);
    if (cluster)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER,
                     "the primary's arbiter is the cluster %lx: no other one is believed", cluster);
}

/* ---- the thread -------------------------------------------------------------------------------- */

/* The question as it stands; 0: nothing is asked. */
static uint64_t take_question(struct nd_arbiter *a, struct ft_era *era)
{
    for (;;) {
        uint64_t serial = atomic_load(&a->serial);
        bool asked = atomic_load(&a->asked);

        *era = (struct ft_era){atomic_load(&a->view), atomic_load(&a->number)};
        if (serial % 2 == 0 && serial == atomic_load(&a->serial))
            return asked ? serial : 0;
        sched_yield();
    }
}

/* A question goes before a look, and before one that it has taken the place of. */
static bool is_of_no_use(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_era era;
    uint64_t serial = take_question(a, &era);

    return ft_worker_ends(&a->worker) || (serial && serial != a->at && serial != a->answered);
}

/* One line when it stops answering, one when it answers again; one when what it keeps cannot be this pair's.
 */
static void note(struct nd_arbiter *a, const struct ft_decision *kept, uint64_t began, const char *why)
{
    struct nd_arbiter_status *s = &a->status;
    bool first = s->answered == 0 && s->failures == 0;
    uint64_t serves = atomic_load(&a->serves);
    bool later = !why && kept->any && serves && kept->era.view > serves, was_later = s->later;

    pthread_mutex_lock(&a->lock);
    bool before = s->answers;

    s->answers = !why;
    s->failures += why != NULL;
    snprintf(s->why, sizeof(s->why), "%.191s", why ? why : "");
    if (!why) {
        s->later = later;
        s->kept = *kept;
        s->answered = nd_now();
        s->took = s->answered - began;
        snprintf(s->server, sizeof(s->server), "%s", nd_etcd_server(a->etcd));
    }
    pthread_mutex_unlock(&a->lock);
    if (why && (before || first))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_ARBITER, "the arbiter does not answer: %s", why);
    else if (!why && !before)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER, "the arbiter answers: %s", s->server);
    if (later && !was_later)
        ft_log_event(
            FT_LEVEL_WARNING, FT_SAYS_ARBITER,
            "the arbiter keeps view %lu, and this pair is in view %lu: it will let neither node go on",
            kept->era.view, serves);
}

static bool answer_question(struct nd_arbiter *a, uint64_t serial, const struct ft_era *era)
{
    static const char *const says[] = {"", "goes on", "does not go on"};
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    uint64_t began = nd_now();
    int error = nd_etcd_decide(a->etcd, era, a->name, &kept, &fault);
    enum ft_answer answer = error ? FT_ANSWER_SILENT : ft_decided(&kept, era, a->name);

    if (error == FT_EBUSY)
        return true;
    note(a, &kept, began, error ? fault.text : NULL);
    if (!error) {
        pthread_mutex_lock(&a->lock);
        a->status.decided = nd_wall();
        pthread_mutex_unlock(&a->lock);
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER, "the arbiter was asked for view %lu, era %lu: %s %s",
                     era->view, era->number, a->name, says[answer]);
    }
    atomic_store(&a->reply, serial << 2 | (uint64_t)answer);
    return !error;
}

static void look(struct nd_arbiter *a)
{
    uint64_t view = atomic_load(&a->serves), began = nd_now();
    const struct ft_era era = {view, 0};
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    int error = nd_etcd_decide(a->etcd, view ? &era : NULL, "", &kept, &fault);

    if (error != FT_EBUSY)
        note(a, &kept, began, error ? fault.text : NULL);
}

static void *run(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_era era;

    ft_thread_begin("us-arbiter");
    while (!ft_worker_ends(&a->worker)) {
        uint64_t serial = take_question(a, &era);
        bool again = false;

        a->at = serial && serial != a->answered ? serial : 0;
        if (a->at) {
            again = !answer_question(a, serial, &era);
            a->answered = again ? a->answered : serial;
        } else {
            look(a);
        }
        ft_worker_wait(&a->worker, nd_now() + (again ? RETRY_NS : LOOK_NS));
    }
    return NULL;
}

int nd_arbiter_start(struct nd_arbiter **out, const struct nd_etcd_config *config, const char *name,
                     struct ft_fault *fault)
{
    struct nd_arbiter *a = calloc(1, sizeof(*a));
    int error = a ? nd_etcd_open(&a->etcd, config, is_of_no_use, a, fault)
                  : ft_fail(fault, FT_ENOMEM, "no memory for the arbiter's thread");

    *out = NULL;
    if (error) {
        free(a);
        return error;
    }
    a->name = name;
    pthread_mutex_init(&a->lock, NULL);
    error = ft_worker_start(&a->worker, run, a, "the arbiter", fault);
    if (error) {
        nd_etcd_close(a->etcd);
        free(a);
        return error;
    }
    *out = a;
    return 0;
}

void nd_arbiter_stop(struct nd_arbiter *a)
{
    if (!a)
        return;
    ft_worker_ask_end(&a->worker);
    nd_etcd_wake(a->etcd);
    ft_worker_end(&a->worker, UINT64_MAX);
    nd_etcd_close(a->etcd);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void nd_arbiter_status(struct nd_arbiter *a, struct nd_arbiter_status *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->status;
    pthread_mutex_unlock(&a->lock);
}
