/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror: the thread that reads and watches, the thread that keeps the lease, what users see. See
 * mirror.h. */
#include "understudy/etcd/mirror.h"
#include "ftcore/base/check.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"
#include "understudy/etcd/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUEST_MS 1000u
#define RETRY_NS   200000000ull /* behind a failure */
#define SECOND_NS  1000000000ull

struct nd_mirror {
    char prefix[ND_KEY_MAX], key[ND_KEY_MAX];
    int64_t ttl_s;
    int fd;
    _Atomic uint64_t serial;
    _Atomic bool leaves;

    struct ft_worker watcher; /* a thread, and what is its own */
    struct nd_etcd *watches;
    struct nd_watch watch;

    _Atomic bool gone; /* the user's key is: set by the watcher for the keeper */

    struct ft_worker keeper; /* a thread, and what is its own */
    struct nd_etcd *keeps;
    struct nd_lease lease; /* id 0: none */
    uint64_t put;          /* which value is the key's, under the lease; 0: none */
    bool anew;             /* it is put again: the key may be gone, or be one that was put long ago */
    uint64_t unput;        /* since when puts fail, though the lease was kept; 0: they do not */

    pthread_mutex_t keys_lock; /* of `keys`: users and the watcher. The keeper never waits for it */
    struct nd_keys keys;
    pthread_mutex_t lock; /* of what follows; held for a moment */
    struct nd_mirror_status status;
    struct nd_entry *value; /* of the user's key; NULL: none was given */
    uint64_t values;        /* that were given */
};

static void wake_user(struct nd_mirror *m)
{
    const uint64_t one = 1;

    atomic_fetch_add(&m->serial, 1);
    /* It fails where nobody has read it 2^64 - 2 times. */
    FT_CHECK(write(m->fd, &one, sizeof(one)) == sizeof(one), "the eventfd of a mirror");
}

/* ---- the keys ---------------------------------------------------------------------------------- */

static bool watcher_ends(void *mirror)
{
    const struct nd_mirror *m = mirror;

    return ft_worker_ends(&m->watcher);
}

/* Under the lock. */
static void note_answer(struct nd_mirror *m)
{
    struct nd_mirror_status *s = &m->status;

    s->answered = ft_now();
    snprintf(s->server, sizeof(s->server), "%s", nd_etcd_server(m->watches));
}

static void note_silence(struct nd_mirror *m, const char *why)
{
    struct nd_mirror_status *s = &m->status;
    bool news;

    pthread_mutex_lock(&m->lock);
    news = s->connected_since || !s->failures;
    if (s->connected_since)
        s->silent_since = s->answered;
    s->connected_since = 0;
    s->failures++;
    snprintf(s->why, sizeof(s->why), "%s", why);
    pthread_mutex_unlock(&m->lock);
    if (news)
        wake_user(m);
}

/* Somebody deleted the user's key, or its lease is over: the keeper looks which, and puts it again. */
static void note_gone(struct nd_mirror *m)
{
    atomic_store(&m->gone, true);
    ft_worker_wake(&m->keeper);
}

static void apply(struct nd_mirror *m, struct nd_event *event)
{
    if (!event->deleted) {
        nd_keys_put(&m->keys, event->entry);
        event->entry = NULL;
        return;
    }
    nd_keys_remove(&m->keys, event->entry->key);
    if (m->keeps && strcmp(event->entry->key, m->key) == 0)
        note_gone(m);
}

/* What was sent meanwhile lies in the connection, and comes in pieces: who takes some of it has keys of no
 * moment. */
static bool is_late(struct nd_mirror *m)
{
    bool late;

    pthread_mutex_lock(&m->lock);
    late = m->status.connected_since && ft_now() - m->status.answered > ND_MIRROR_GAP_NS;
    pthread_mutex_unlock(&m->lock);
    return late;
}

/* Of the watch. All of its events or none. */
static int take(void *mirror, struct nd_event *events, size_t count, struct ft_fault *fault)
{
    struct nd_mirror *m = mirror;
    struct nd_mirror_status *s = &m->status;
    int64_t revision = count ? events[count - 1].entry->changed : 0;
    size_t size = 0;
    int error;

    if (is_late(m))
        return ft_fail(fault, FT_EIO, "%s: not heard for %llu ms: all is read anew",
                       nd_etcd_server(m->watches), ND_MIRROR_GAP_NS / 1000000);
    for (size_t i = 0; i < count; i++)
        size += strlen(events[i].entry->key) + events[i].entry->len;
    pthread_mutex_lock(&m->keys_lock);
    error = nd_keys_reserve(&m->keys, count, size, fault);
    for (size_t i = 0; !error && i < count; i++)
        apply(m, &events[i]);
    pthread_mutex_unlock(&m->keys_lock);

    pthread_mutex_lock(&m->lock);
    bool news = !error && (count || !s->connected_since);

    note_answer(m);
    if (!error && count)
        s->revision = revision;
    if (!error && !s->connected_since) {
        s->connected_since = s->answered;
        s->silent_since = 0;
        s->why[0] = '\0';
    }
    pthread_mutex_unlock(&m->lock);
    if (news)
        wake_user(m);
    return error;
}

static int read_all(struct nd_mirror *m, struct ft_fault *fault)
{
    struct nd_keys keys = {.at = NULL}, old;
    int64_t revision;
    uint64_t passed;
    bool gone;
    int error = nd_store_read(m->watches, m->prefix, &keys, &revision, fault);

    if (error)
        return error;
    pthread_mutex_lock(&m->keys_lock);
    old = m->keys;
    m->keys = keys;
    passed = keys.passed;
    atomic_store(&m->watch.passed, 0);
    gone = !nd_keys_find(&m->keys, m->key);
    pthread_mutex_unlock(&m->keys_lock);
    nd_keys_clear(&old);

    pthread_mutex_lock(&m->lock);
    m->status.whole = true;
    m->status.passed = passed;
    m->status.revision = revision;
    m->status.reads++;
    note_answer(m);
    gone &= m->status.lease != 0;
    pthread_mutex_unlock(&m->lock);
    if (gone)
        note_gone(m);
    m->watch.next = revision + 1;
    wake_user(m);
    return 0;
}

/* All is read before each watch. A store that was restored, or has lost what it wrote last, may have come to
 * the revision that was read before: by its revision alone it cannot be distinguished from the one that was
 * read. */
static void *run_watcher(void *mirror)
{
    struct nd_mirror *m = mirror;

    ft_thread_begin("us-mirror");
    while (!ft_worker_ends(&m->watcher)) {
        struct ft_fault fault = {""};
        int error = read_all(m, &fault);

        if (!error)
            error = nd_store_watch(m->watches, &m->watch, &fault);
        if (error == FT_EBUSY)
            continue;
        note_silence(m, fault.text);
        ft_worker_wait(&m->watcher, ft_now() + RETRY_NS);
    }
    return NULL;
}

/* ---- the lease --------------------------------------------------------------------------------- */

static bool keeper_ends(void *mirror)
{
    const struct nd_mirror *m = mirror;

    return ft_worker_ends(&m->keeper) && !atomic_load(&m->leaves);
}

/* What is shown to people, by what the keeper has now. */
static void note_lease(struct nd_mirror *m, const char *why)
{
    struct nd_mirror_status *s = &m->status;
    int64_t lease = m->put ? m->lease.id : 0;
    bool news;

    pthread_mutex_lock(&m->lock);
    news = s->lease != lease;
    s->lease = lease;
    s->lease_until = m->lease.id ? m->lease.until : 0;
    if (m->values && !m->put && !s->unsaid_since)
        s->unsaid_since = ft_now();
    snprintf(s->lease_why, sizeof(s->lease_why), "%s", why);
    pthread_mutex_unlock(&m->lock);
    if (news)
        wake_user(m);
}

/* When the lease is to be kept: a third of its time behind the request that was answered last. */
static uint64_t keep_at(const struct nd_lease *lease)
{
    return lease->until - (uint64_t)lease->ttl_s * SECOND_NS / 3 * 2;
}

static int grant(struct nd_mirror *m, struct ft_fault *fault)
{
    int error = nd_store_grant(m->keeps, m->ttl_s, &m->lease, fault);

    m->put = 0;
    if (error)
        return error;
    pthread_mutex_lock(&m->lock);
    m->status.leases++;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* A put of the value with that number was begun at that time. */
static void note_put(struct nd_mirror *m, uint64_t given, uint64_t began, bool done)
{
    struct nd_mirror_status *s = &m->status;

    pthread_mutex_lock(&m->lock);
    if (done)
        s->unsaid_since = m->values == given ? 0 : began;
    else if (!s->unsaid_since)
        s->unsaid_since = began;
    pthread_mutex_unlock(&m->lock);
    if (done)
        m->unput = 0;
    else if (!m->unput)
        m->unput = ft_now();
}

/* Puts the value that was given last, if it is not the key's, as far as is known. */
static int put(struct nd_mirror *m, struct ft_fault *fault)
{
    struct nd_entry *value = NULL;
    uint64_t given, began = ft_now();
    int error;

    pthread_mutex_lock(&m->lock);
    given = m->values;
    if (given != m->put || m->anew)
        value = nd_entry_make(m->key, m->value->value, m->value->len);
    pthread_mutex_unlock(&m->lock);
    if (given == m->put && !m->anew)
        return 0;
    if (!value)
        return ft_fail(fault, FT_ENOMEM, "no memory for a value of %s", m->key);
    error = nd_store_put(m->keeps, m->key, value->value, value->len, m->lease.id, fault);
    nd_entry_free(value);
    if (error != FT_EBUSY)
        note_put(m, given, began, !error);
    m->put = error ? m->put : given;
    m->anew &= error != 0;
    return error;
}

/* The key has had a value of before for as long as the lease lasts. */
static bool is_stale(const struct nd_mirror *m)
{
    return m->unput && ft_now() - m->unput > (uint64_t)m->ttl_s * SECOND_NS;
}

static void lose_lease(struct nd_mirror *m, const char *why)
{
    m->lease.id = 0;
    m->put = 0;
    note_lease(m, why);
}

static int keep(struct nd_mirror *m, struct ft_fault *fault)
{
    int error = nd_store_keep(m->keeps, &m->lease, fault);

    if (error == FT_ENOENT) {
        lose_lease(m, "the lease was lost");
        return 0;
    }
    m->unput = error ? 0 : m->unput; /* nobody answers, which is no verdict on the value */
    return error;
}

/* Does what is due. A lease that was lost is granted again, and the key is put again. */
static int tend(struct nd_mirror *m, struct ft_fault *fault)
{
    bool any, gone = atomic_exchange(&m->gone, false);
    int error = 0;

    pthread_mutex_lock(&m->lock);
    any = m->value != NULL;
    pthread_mutex_unlock(&m->lock);
    if (!any)
        return 0;
    m->anew |= gone;
    if (m->lease.id && is_stale(m)) {
        if (ft_now() >= m->lease.until)
            lose_lease(m, "the value is refused");
    } else if (m->lease.id && (gone || ft_now() >= keep_at(&m->lease))) {
        error = keep(m, fault);
    }
    if (!error && !m->lease.id)
        error = grant(m, fault);
    return error ? error : put(m, fault);
}

static void *run_keeper(void *mirror)
{
    struct nd_mirror *m = mirror;
    struct ft_fault fault;

    ft_thread_begin("us-lease");
    while (!ft_worker_ends(&m->keeper)) {
        fault.text[0] = '\0';
        int error = tend(m, &fault);

        if (error == FT_EBUSY)
            continue;
        m->anew |= error != 0; /* it may be another store that answers next: one restored from a backup */
        note_lease(m, error ? fault.text : "");
        ft_worker_wait(&m->keeper, error         ? ft_now() + (is_stale(m) ? SECOND_NS : RETRY_NS)
                                   : m->lease.id ? keep_at(&m->lease)
                                                 : UINT64_MAX);
    }
    if (atomic_load(&m->leaves) && m->lease.id)
        nd_store_revoke(m->keeps, m->lease.id, &fault); /* else its time goes by */
    return NULL;
}

/* ---- users ------------------------------------------------------------------------------------- */

int nd_mirror_say(struct nd_mirror *m, const void *value, size_t len, struct ft_fault *fault)
{
    struct nd_entry *entry, *old;

    FT_CHECK(m->keeps, "a value for a mirror without a key");
    if (len > ND_VALUE_MAX)
        return ft_fail(fault, FT_EINVAL, "a value of %zu bytes for %s, expected at most %u", len, m->key,
                       ND_VALUE_MAX);
    entry = nd_entry_make(m->key, value, len);
    if (!entry)
        return ft_fail(fault, FT_ENOMEM, "no memory for a value of %s", m->key);
    pthread_mutex_lock(&m->lock);
    old = m->value;
    m->value = entry;
    m->values++;
    if (!m->status.unsaid_since)
        m->status.unsaid_since = ft_now();
    pthread_mutex_unlock(&m->lock);
    nd_entry_free(old);
    ft_worker_wake(&m->keeper);
    return 0;
}

uint64_t nd_mirror_serial(const struct nd_mirror *m)
{
    return atomic_load(&m->serial);
}

int nd_mirror_fd(const struct nd_mirror *m)
{
    return m->fd;
}

const struct nd_keys *nd_mirror_lock(struct nd_mirror *m)
{
    pthread_mutex_lock(&m->keys_lock);
    return &m->keys;
}

void nd_mirror_unlock(struct nd_mirror *m)
{
    pthread_mutex_unlock(&m->keys_lock);
}

void nd_mirror_status(struct nd_mirror *m, struct nd_mirror_status *out)
{
    pthread_mutex_lock(&m->lock);
    *out = m->status;
    pthread_mutex_unlock(&m->lock);
    out->passed += atomic_load(&m->watch.passed);
}

/* ---- begin and end ----------------------------------------------------------------------------- */

/* Its threads have ended. */
static void free_mirror(struct nd_mirror *m)
{
    nd_etcd_close(m->keeps);
    nd_etcd_close(m->watches);
    if (m->fd >= 0)
        close(m->fd);
    nd_keys_clear(&m->keys);
    nd_entry_free(m->value);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->keys_lock);
    free(m);
}

static void end_watcher(struct nd_mirror *m)
{
    ft_worker_ask_end(&m->watcher);
    nd_etcd_wake(m->watches);
    ft_worker_end(&m->watcher, UINT64_MAX);
}

static int open_handles(struct nd_mirror *m, const struct nd_mirror_config *config, struct ft_fault *fault)
{
    struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = REQUEST_MS};
    uint64_t third_ms = (uint64_t)config->ttl_s * 1000 / 3;
    int error = nd_etcd_open(&m->watches, config->etcd, &limits, watcher_ends, m, fault);

    if (!error && config->name)
        nd_etcd_begin_at(m->watches, config->name);
    if (error || !config->key)
        return error;
    limits.request_ms = third_ms < REQUEST_MS ? (long)third_ms : (long)REQUEST_MS;
    error = nd_etcd_open(&m->keeps, config->etcd, &limits, keeper_ends, m, fault);
    if (error)
        return error;
    if (config->name)
        nd_etcd_begin_at(m->keeps, config->name);
    nd_etcd_join(m->keeps, m->watches);
    return 0;
}

int nd_mirror_start(struct nd_mirror **out, const struct nd_mirror_config *config, struct ft_fault *fault)
{
    const char *key = config->key ? config->key : "";
    struct nd_mirror *m;
    int error;

    *out = NULL;
    FT_CHECK(config->prefix[0] && (!config->key || (key[0] && config->ttl_s)), "what is to be mirrored");
    if (strlen(config->prefix) >= ND_KEY_MAX || strlen(key) >= ND_KEY_MAX)
        return ft_fail(fault, FT_EINVAL, "%.80s: a key of more than %u bytes", config->prefix,
                       ND_KEY_MAX - 1);
    m = calloc(1, sizeof(*m));
    if (!m)
        return ft_fail(fault, FT_ENOMEM, "no memory for a mirror");
    snprintf(m->prefix, sizeof(m->prefix), "%s", config->prefix);
    snprintf(m->key, sizeof(m->key), "%s", key);
    m->ttl_s = config->ttl_s;
    m->watch = (struct nd_watch){.prefix = m->prefix, .take = take, .arg = m};
    m->status.silent_since = ft_now();
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->keys_lock, NULL);
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = m->fd < 0 ? ft_fail(fault, FT_ENOMEM, "no eventfd for a mirror") : open_handles(m, config, fault);
    if (!error)
        error = ft_worker_start(&m->watcher, run_watcher, m, "a mirror", fault);
    if (!error && m->keeps) {
        error = ft_worker_start(&m->keeper, run_keeper, m, "a lease", fault);
        if (error)
            end_watcher(m);
    }
    if (error) {
        free_mirror(m);
        return error;
    }
    *out = m;
    return 0;
}

void nd_mirror_stop(struct nd_mirror *m, bool leaves)
{
    if (!m)
        return;
    atomic_store(&m->leaves, leaves);
    if (m->keeps) {
        ft_worker_ask_end(&m->keeper);
        nd_etcd_wake(m->keeps);
    }
    end_watcher(m);
    if (m->keeps)
        ft_worker_end(&m->keeper, UINT64_MAX);
    free_mirror(m);
}
