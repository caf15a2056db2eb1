/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair's key in etcd: its value as text, what is asked for it and what the answers contain about it, the
 * rule by which it is written, and the thread that asks by it. See arbiter.h.
 */
#include "understudy/arbiter/arbiter.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/seqlock.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"
#include "understudy/etcd/answer.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX  192u
#define CODED_MAX  320u   /* of a key or a value, base64 */
#define BODY_MAX   1536u  /* bytes of a request */
#define REPLY_MAX  16384u /* bytes of an answer that is read */
#define REQUEST_MS 1000L
#define ROUNDS     5u /* in which somebody else changed the key between the look and the put */

/* ---- base64 ------------------------------------------------------------------------------------ */

static void encode(const char *text, char out[CODED_MAX])
{
    nd_etcd_encode(text, strlen(text), out);
}

/* False: it is not base64, has a NUL, or has no room. */
static bool decode(const char *coded, char *out, size_t cap)
{
    char bytes[CODED_MAX];
    size_t len = strlen(coded);
    ssize_t n = len <= sizeof(bytes) ? nd_etcd_decode(coded, len, bytes) : -1;

    if (n < 0 || (size_t)n >= cap || memchr(bytes, '\0', (size_t)n))
        return false;
    memcpy(out, bytes, (size_t)n);
    out[n] = '\0';
    return true;
}

/* ---- the value: one line, "understudy VIEW NUMBER WINNER", without a line end; nobody is "-". Once the
 * shard has a name, " SHARD NODE NODE" behind it: who the members of the view are ---- */

static void write_value(const struct ft_decision *d, char out[VALUE_MAX])
{
    const struct ft_members *m = &d->members;
    char shard[FT_SHARD_TEXT];
    int n = snprintf(out, VALUE_MAX, "understudy %lu %lu %s", d->era.view, d->era.number,
                     d->winner[0] ? d->winner : "-");

    if (m->name[0][0])
        snprintf(out + n, VALUE_MAX - (size_t)n, " %s %s %s", ft_shard_text(shard, m), m->name[0],
                 m->name[1]);
}

/* Digits up to `end`, without a sign or a space. Behind them, or NULL. */
static const char *read_number(const char *at, char end, uint64_t *out)
{
    char *behind;

    if (!isdigit((unsigned char)*at))
        return NULL;
    *out = strtoull(at, &behind, 10);
    return *behind == end && behind - at < 20 ? behind + 1 : NULL;
}

/* Up to `end`, a name of a node. Behind it, or NULL. */
static const char *read_name(const char *at, char end, char out[FT_NAME_MAX])
{
    size_t len = strcspn(at, " ");

    if (len >= FT_NAME_MAX || at[len] != end)
        return NULL;
    memcpy(out, at, len);
    out[len] = '\0';
    return ft_is_name(out, FT_NAME_MAX) ? at + len + 1 : NULL;
}

static bool read_members(const char *at, struct ft_members *out)
{
    if (!ft_shard_read(out, at) || at[FT_SHARD_TEXT - 1] != ' ')
        return false;
    at = read_name(at + FT_SHARD_TEXT, ' ', out->name[0]);
    return at && read_name(at, '\0', out->name[1]) && ft_members_fit(out);
}

bool nd_arbiter_read(const char *text, struct ft_decision *out)
{
    static const char head[] = "understudy ";
    const char *at = strncmp(text, head, sizeof(head) - 1) == 0 ? text + sizeof(head) - 1 : NULL, *end;

    *out = (struct ft_decision){.any = true};
    at = at ? read_number(at, ' ', &out->era.view) : NULL;
    at = at ? read_number(at, ' ', &out->era.number) : NULL;
    end = at && out->era.view <= FT_VIEW_MAX ? at + strcspn(at, " ") : NULL;
    if (!end || (*end && !read_members(end + 1, &out->members)))
        return false;
    return (end - at == 1 && *at == '-') || read_name(at, *end, out->winner);
}

/* What stands at the key. */
struct kept {
    struct ft_decision decision;
    int64_t revision; /* of the key's last change; 0: there is no such key */
    uint64_t cluster; /* that answered; not 0 */
};

/* ---- requests: each fills out[0..BODY_MAX) ---- */

static void make_range(const char *key, char *out)
{
    char coded[CODED_MAX];

    encode(key, coded);
    snprintf(out, BODY_MAX, "{\"key\":\"%s\"}", coded);
}

/* Puts `decision` if the key was not changed since `kept` was read. */
static void make_put(const char *key, const struct kept *kept, const struct ft_decision *decision, char *out)
{
    char coded[CODED_MAX], text[VALUE_MAX], value[CODED_MAX];

    encode(key, coded);
    write_value(decision, text);
    encode(text, value);
    snprintf(
        out, BODY_MAX,
        "{\"compare\":[{\"key\":\"%s\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%ld\"}],"
        "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}]}",
        coded, kept->revision, coded, value);
}

/* ---- answers: 0, or FT_EMALFORMED with a line that names what it is, and what was expected. Whatever etcd
 *      answers is hostile until it is checked here ---- */

static int read_kept(const json_t *kv, const char *key, struct kept *out, struct ft_fault *fault)
{
    const char *name = json_string_value(json_object_get(kv, "key"));
    const char *value = json_string_value(json_object_get(kv, "value"));
    char coded[CODED_MAX], text[VALUE_MAX] = "";

    encode(key, coded);
    if (!name || strcmp(name, coded) != 0)
        return ft_fail(fault, FT_EMALFORMED, "its answer has another key, expected %s", key);
    if (!nd_etcd_number(json_object_get(kv, "mod_revision"), &out->revision))
        return ft_fail(fault, FT_EMALFORMED, "its answer has no mod_revision that is a number");
    if (!value || !decode(value, text, sizeof(text)) || !nd_arbiter_read(text, &out->decision))
        return ft_fail(fault, FT_EMALFORMED,
                       "the value of %s is no pair's, expected \"understudy VIEW NUMBER WINNER\"", key);
    return 0;
}

static int read_range(const char *text, size_t len, const char *key, struct kept *out, struct ft_fault *fault)
{
    json_t *o;
    int error = nd_etcd_load(&o, text, len, false, fault);
    json_t *kvs = json_object_get(o, "kvs");

    *out = (struct kept){.revision = 0};
    if (o && !nd_etcd_read_cluster(o, &out->cluster))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has no cluster_id that is a number");
    else if (o && kvs && (!json_is_array(kvs) || json_array_size(kvs) > 1))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has kvs that are not one key's");
    else if (o && json_array_size(kvs) == 1)
        error = read_kept(json_array_get(kvs, 0), key, out, fault);
    json_decref(o);
    return error;
}

static int read_put(const char *text, size_t len, bool *done, struct ft_fault *fault)
{
    json_t *o;
    int error = nd_etcd_load(&o, text, len, false, fault);
    json_t *succeeded = json_object_get(o, "succeeded");

    *done = json_is_true(succeeded);
    if (o && succeeded && !json_is_boolean(succeeded))
        error = ft_fail(fault, FT_EMALFORMED, "its answer has \"succeeded\" that is not true or false");
    json_decref(o);
    return error;
}

/* ---- the rule ---------------------------------------------------------------------------------- */

/* A question to etcd, and what stands there then. */
struct asking {
    const char *key; /* the pair's */
    const struct ft_question *asked;
    const char *who;
    struct ft_decision *kept;
    char *put; /* VALUE_MAX: the value that was put last for a question, whether or not etcd answered that */
};

static int read_key(struct nd_etcd *e, const char *server, const char *key, struct kept *kept,
                    struct ft_fault *fault)
{
    char body[BODY_MAX];
    struct nd_etcd_reply reply;
    int error;

    make_range(key, body);
    error = nd_etcd_post(e, server, "/v3/kv/range", body, &reply, fault);
    if (error)
        return error;
    error = read_range(reply.text, reply.len, key, kept, fault);
    return error ? nd_etcd_blame(error, server, fault) : nd_etcd_believe(e, server, kept->cluster, fault);
}

static int put_key(struct nd_etcd *e, const char *server, const char *key, const struct kept *kept,
                   const struct ft_decision *d, bool *done, struct ft_fault *fault)
{
    char body[BODY_MAX];
    struct nd_etcd_reply reply;
    int error;

    make_put(key, kept, d, body);
    error = nd_etcd_post(e, server, "/v3/kv/txn", body, &reply, fault);
    if (error)
        return error;
    error = read_put(reply.text, reply.len, done, fault);
    return error ? nd_etcd_blame(error, server, fault) : 0;
}

/* A put without an answer may have been made: the next look shows it. */
static int decide_at(struct nd_etcd *e, const char *server, void *asking, struct ft_fault *fault)
{
    const struct asking *a = asking;
    struct kept kept;
    struct ft_decision wanted;

    for (unsigned round = 0; round < ROUNDS; round++) {
        bool done = false;
        int error = read_key(e, server, a->key, &kept, fault);

        *a->kept = kept.decision;
        if (error || !a->asked || !ft_decides_anew(&kept.decision, a->asked))
            return error;
        wanted = ft_decision_of(&kept.decision, a->asked, a->who);
        write_value(&wanted, a->put);
        error = put_key(e, server, a->key, &kept, &wanted, &done, fault);
        if (error)
            return error;
        if (done) {
            *a->kept = wanted;
            return 0;
        }
    }
    return ft_fail(fault, FT_EIO, "%s: %s was changed by others %u times while it was read", server, a->key,
                   ROUNDS);
}

/*
 * The rule of ftcore/protocol/core.h for { asked, who }: *kept is the decision that stands then. `who` "":
 * the era is known to have begun, and has no winner yet. `asked` NULL: looks, and changes nothing. FT_EBUSY:
 * it was given up; FT_EIO: no server answered; FT_EMALFORMED: an answer cannot be read; the password's file
 * may give FT_EPERM, FT_EMALFORMED or FT_EIO. put[0..VALUE_MAX): what was put, if anything was.
 */
static int decide(struct nd_etcd *e, const char *key, const struct ft_question *asked, const char *who,
                  struct ft_decision *kept, char *put, struct ft_fault *fault)
{
    struct asking asking = {key, asked, who, kept, put};

    return nd_etcd_ask(e, decide_at, &asking, fault);
}

static int open_etcd(struct nd_etcd **out, const struct nd_arbiter_config *config, bool (*stops)(void *),
                     void *arg, struct ft_fault *fault)
{
    const struct nd_etcd_limits limits = {.reply = REPLY_MAX, .request_ms = REQUEST_MS};

    return nd_etcd_open(out, &config->etcd, &limits, stops, arg, fault);
}

/* ---- who asks ---------------------------------------------------------------------------------- */

#define LOOK_NS  5000000000ull /* between two looks while nothing is asked */
#define RETRY_NS 300000000ull  /* between two rounds of servers that did not answer a question */

/* Written by the replicator, under `serial`. */
struct told {
    _Atomic uint64_t serial;
    struct said {
        bool any;
        struct ft_question question;
    } said;
};

struct nd_arbiter {
    const char *name, *key;
    struct nd_etcd *etcd;
    struct ft_worker worker;
    uint64_t at,
        answered; /* the thread's: serials of the question that it is at, 0: it looks; and of the last */

    struct told asked;      /* what is asked */
    struct told serves;     /* the view, and its members, that this node releases in */
    _Atomic uint64_t reply; /* by the thread: serial of the question, times 4, and the answer */
    char put[VALUE_MAX];    /* the thread's: the value that this process put last for a question of its own */
    uint64_t won; /* the thread's: the view of this node's last question that it won, which it may not serve
                     in yet */
    uint64_t looked; /* the thread's: the view that the arbiter kept at the last look that was reported */
    struct ft_decision reply_kept; /* with it, before it */
    uint64_t reply_taken;          /* the replicator's */

    pthread_mutex_t lock; /* of `status`: the thread and the main thread */
    struct nd_arbiter_status status;
};

/* ---- the replicator's side --------------------------------------------------------------------- */

/* `question` NULL: nothing any more. */
static void put_question(struct told *told, const struct ft_question *question)
{
    ft_seqlock_begin(&told->serial);
    told->said.any = question != NULL;
    told->said.question = question ? *question : (struct ft_question){.era = {0, 0}};
    ft_seqlock_end(&told->serial);
}

/* By the thread. As it stands: its serial number, 0: nothing is asked. */
static uint64_t take_question(const struct told *told, struct ft_question *question)
{
    struct said said;
    uint64_t serial;

    while (!ft_seqlock_copy(&told->serial, &serial, &said, &told->said, sizeof(said)))
        sched_yield();
    *question = said.question;
    return said.any ? serial : 0;
}

static void ask(void *arbiter, const struct ft_question *question)
{
    struct nd_arbiter *a = arbiter;

    put_question(&a->asked, question);
    if (question) {
        ft_worker_wake(&a->worker);
        nd_etcd_wake(a->etcd);
    }
}

/* After an answer that is not FT_ANSWER_SILENT the thread writes no other one to that question, so
 * `reply_kept` stays as it is until something else is asked. */
static bool take_answer(void *arbiter, struct ft_era *era, enum ft_answer *answer, struct ft_decision *kept)
{
    struct nd_arbiter *a = arbiter;
    uint64_t reply = atomic_load(&a->reply);

    if (reply == a->reply_taken)
        return false;
    a->reply_taken = reply;
    if (reply >> 2 != atomic_load(&a->asked.serial) || !a->asked.said.any)
        return false;
    *era = a->asked.said.question.era;
    *answer = (enum ft_answer)(reply & 3);
    if (*answer != FT_ANSWER_SILENT)
        *kept = a->reply_kept;
    return true;
}

static void note_view(void *arbiter, uint64_t view, const struct ft_members *members)
{
    struct nd_arbiter *a = arbiter;
    const struct ft_question *now = &a->serves.said.question;
    struct ft_question next = {.era = {view, 0}};

    if (view && ft_has_shard(members))
        next.members = *members;
    if (now->era.view != view || memcmp(&now->members, &next.members, sizeof(next.members)) != 0)
        put_question(&a->serves, view ? &next : NULL);
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

/* A question goes before a look, and before one that it has taken the place of. */
static bool is_of_no_use(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_question question;
    uint64_t serial = take_question(&a->asked, &question);

    return ft_worker_ends(&a->worker) || (serial && serial != a->at && serial != a->answered);
}

/* One line when it stops answering, one when it answers again; one when what it keeps cannot be this pair's.
 */
static void note(struct nd_arbiter *a, const struct ft_decision *kept, uint64_t began, const char *why)
{
    struct nd_arbiter_status *s = &a->status;
    bool first = s->answered == 0 && s->failures == 0;
    struct ft_question served;
    uint64_t serves = take_question(&a->serves, &served) ? served.era.view : 0;
    bool other = ft_asks_for_another(kept, &served);
    bool later =
             !why && kept->any && serves && (other || (kept->era.view > serves && kept->era.view > a->won)),
         was_later = s->later;

    pthread_mutex_lock(&a->lock);
    bool before = s->answers;

    s->answers = !why;
    s->failures += why != NULL;
    snprintf(s->why, sizeof(s->why), "%.191s", why ? why : "");
    if (!why) {
        s->later = later;
        s->kept = *kept;
        s->answered = ft_now();
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
            "the arbiter keeps view %lu%s, and this pair is in view %lu: it will let neither node go on",
            kept->era.view, other ? " of another shard" : "", serves);
}

static bool answer_question(struct nd_arbiter *a, uint64_t serial, const struct ft_question *asked)
{
    static const char *const says[] = {"", "goes on", "does not go on"};
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    uint64_t began = ft_now();
    int error = decide(a->etcd, a->key, asked, a->name, &kept, a->put, &fault);
    char stands[VALUE_MAX];

    write_value(&kept, stands);

    enum ft_answer answer =
        error ? FT_ANSWER_SILENT : ft_decided(&kept, asked, a->name, strcmp(stands, a->put) == 0);

    a->won = answer == FT_ANSWER_WON ? asked->era.view : a->won;
    if (error == FT_EBUSY)
        return true;
    note(a, &kept, began, error ? fault.text : NULL);
    if (!error) {
        pthread_mutex_lock(&a->lock);
        a->status.decided = ft_wall();
        pthread_mutex_unlock(&a->lock);
        /* A node that meets nobody looks every two seconds for as long as it is alone. */
        if (!asked->look || kept.era.view != a->looked)
            ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_ARBITER,
                         "the arbiter was asked for view %lu, era %lu: %s %s", asked->era.view,
                         asked->era.number, a->name, says[answer]);
        a->looked = asked->look ? kept.era.view : 0;
    }
    a->reply_kept = kept;
    atomic_store(&a->reply, serial << 2 | (uint64_t)answer);
    return !error;
}

static void look(struct nd_arbiter *a)
{
    struct ft_question served;
    bool serves = take_question(&a->serves, &served);
    uint64_t began = ft_now();
    struct ft_decision kept = {.any = false};
    struct ft_fault fault = {""};
    char put[VALUE_MAX];
    int error = decide(a->etcd, a->key, serves ? &served : NULL, "", &kept, put, &fault);

    if (error != FT_EBUSY)
        note(a, &kept, began, error ? fault.text : NULL);
}

static void *run(void *arbiter)
{
    struct nd_arbiter *a = arbiter;
    struct ft_question question;

    ft_thread_begin("us-arbiter");
    while (!ft_worker_ends(&a->worker)) {
        uint64_t serial = take_question(&a->asked, &question);
        bool again = false;

        a->at = serial && serial != a->answered ? serial : 0;
        if (a->at) {
            again = !answer_question(a, serial, &question);
            a->answered = again ? a->answered : serial;
        } else {
            look(a);
        }
        ft_worker_wait(&a->worker, ft_now() + (again ? RETRY_NS : LOOK_NS));
    }
    return NULL;
}

int nd_arbiter_start(struct nd_arbiter **out, struct rp_arbiter *calls,
                     const struct nd_arbiter_config *config, const char *name, struct ft_fault *fault)
{
    struct nd_arbiter *a = calloc(1, sizeof(*a));
    int error = a ? open_etcd(&a->etcd, config, is_of_no_use, a, fault)
                  : ft_fail(fault, FT_ENOMEM, "no memory for the arbiter's thread");

    *out = NULL;
    if (error) {
        free(a);
        return error;
    }
    nd_etcd_begin_at(a->etcd, name);
    a->name = name;
    a->key = config->key;
    pthread_mutex_init(&a->lock, NULL);
    error = ft_worker_start(&a->worker, run, a, "the arbiter", fault);
    if (error) {
        nd_etcd_close(a->etcd);
        free(a);
        return error;
    }
    *out = a;
    *calls = (struct rp_arbiter){.arg = a, .ask = ask, .answer = take_answer, .serves = note_view};
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

void nd_arbiter_wake(struct nd_arbiter *a)
{
    if (a)
        ft_worker_wake(&a->worker);
}

void nd_arbiter_status(struct nd_arbiter *a, struct nd_arbiter_status *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->status;
    pthread_mutex_unlock(&a->lock);
}

int nd_arbiter_look(const struct nd_arbiter_config *config, struct ft_fault *fault)
{
    struct ft_decision kept;
    struct nd_etcd *etcd;
    int error = open_etcd(&etcd, config, NULL, NULL, fault);

    if (!error)
        error = decide(etcd, config->key, NULL, "", &kept, NULL, fault);
    nd_etcd_close(etcd);
    return error;
}
