/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to etcd about keys, transactions, leases and watches, and how their answers are checked. See
 * store.h. */
#include "understudy/etcd/store.h"
#include "ftcore/base/check.h"
#include "ftcore/base/clock.h"
#include "understudy/base/text.h"
#include "understudy/etcd/answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODED_KEY (ND_ETCD_CODED(ND_KEY_MAX)) /* a key with its NUL, where a page begins behind it */
#define KEY_LEN   (ND_KEY_MAX - 1)
#define TOLD      80u /* bytes of a key in a fault, with the NUL */

_Static_assert(ND_STORE_PAGE *(ND_ETCD_CODED(ND_VALUE_MAX) + CODED_KEY + 256u) + 1024u < ND_STORE_REPLY,
               "a page of the longest values fits an answer");

/* ---- requests: JSON that the caller decrefs; NULL: no memory ---- */

static json_t *coded_bytes(const void *bytes, size_t len)
{
    char *text = malloc(ND_ETCD_CODED(len));
    json_t *o;

    if (!text)
        return NULL;
    nd_etcd_encode(bytes, len, text);
    o = json_string(text);
    free(text);
    return o;
}

static json_t *coded(const char *key)
{
    return coded_bytes(key, strlen(key));
}

/* etcd takes numbers of 64 bits as strings. */
static json_t *number(int64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%ld", n);
    return json_string(text);
}

/* `o` with one more member, unless it is 0. */
static json_t *with_number(json_t *o, const char *name, int64_t n)
{
    if (!n || json_object_set_new(o, name, number(n)) == 0)
        return o;
    json_decref(o);
    return NULL;
}

/* As etcd has it: any bytes. */
struct key {
    char bytes[ND_KEY_MAX]; /* a NUL is behind them */
    size_t len;             /* KEY_LEN at most: of a longer one the first ones */
};

/* The first key that is behind all that begin with these bytes. */
static json_t *coded_behind(const char *bytes, size_t len)
{
    char end[ND_KEY_MAX];

    FT_CHECK(len && len < sizeof(end) && (unsigned char)bytes[len - 1] < 0xff, "a prefix of %zu bytes", len);
    memcpy(end, bytes, len);
    end[len - 1]++;
    return coded_bytes(end, len);
}

static json_t *coded_end(const char *prefix)
{
    return coded_behind(prefix, strlen(prefix));
}

/* The first key behind `last`. Behind one of the greatest length are keys that begin with it, which are too
 * long, and are passed over. */
static json_t *coded_next(const struct key *last)
{
    size_t len = last->len;

    if (len < KEY_LEN)
        return coded_bytes(last->bytes, len + 1);
    while ((unsigned char)last->bytes[len - 1] == 0xff) /* the prefix has others */
        len--;
    return coded_behind(last->bytes, len);
}

/* The keys behind `last`; of no bytes: all of them, of whatever revision is the newest. */
static json_t *make_page(const char *prefix, const struct key *last, unsigned limit, int64_t revision)
{
    json_t *o = json_pack("{s:o, s:o, s:o}", "key", last->len ? coded_next(last) : coded(prefix), "range_end",
                          coded_end(prefix), "limit", number(limit));

    return with_number(o, "revision", revision);
}

static json_t *make_put(const struct nd_change *change)
{
    return with_number(
        json_pack("{s:o, s:o}", "key", coded(change->key), "value", coded_bytes(change->value, change->len)),
        "lease", change->lease);
}

static json_t *make_compare(const struct nd_compare *c)
{
    bool created = c->of == ND_CREATED;

    return json_pack("{s:o, s:s, s:s, s:o}", "key", coded(c->key), "target", created ? "CREATE" : "MOD",
                     "result", "EQUAL", created ? "create_revision" : "mod_revision", number(c->revision));
}

static json_t *make_txn(const struct nd_compare *compares, size_t compare_count,
                        const struct nd_change *changes, size_t change_count)
{
    json_t *compare = json_array(), *success = json_array();
    int failed = 0;

    for (size_t i = 0; i < compare_count; i++)
        failed |= json_array_append_new(compare, make_compare(&compares[i]));
    for (size_t i = 0; i < change_count; i++)
        failed |= json_array_append_new(
            success, changes[i].value
                         ? json_pack("{s:o}", "request_put", make_put(&changes[i]))
                         : json_pack("{s:{s:o}}", "request_delete_range", "key", coded(changes[i].key)));
    if (failed) {
        json_decref(compare);
        json_decref(success);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "compare", compare, "success", success);
}

static json_t *make_watch(const char *prefix, int64_t next)
{
    return json_pack("{s:{s:o, s:o, s:o}}", "create_request", "key", coded(prefix), "range_end",
                     coded_end(prefix), "start_revision", number(next));
}

/* ---- answers: 0, or an error with a line that names what it is ---- */

static int malformed(struct ft_fault *fault, const char *what)
{
    return ft_fail(fault, FT_EMALFORMED, "its answer has %s", what);
}

/* UTF-8 without a NUL. */
static bool is_utf8(const char *bytes, size_t len)
{
    json_t *o = memchr(bytes, '\0', len) ? NULL : json_stringn(bytes, len);

    json_decref(o);
    return o != NULL;
}

/* *passed: it is too long or no text. */
static int read_key(const json_t *kv, const char *prefix, struct key *out, bool *passed,
                    struct ft_fault *fault)
{
    const json_t *o = json_object_get(kv, "key");
    const char *text = json_string_value(o);
    size_t len = json_string_length(o);
    char bytes[CODED_KEY], told[TOLD];
    ssize_t n = text ? nd_etcd_decode(text, len < sizeof(bytes) ? len : sizeof(bytes) - 1, bytes) : -1;

    if (n < 1)
        return ft_fail(fault, FT_EMALFORMED, "its answer has a key that is not in base64");
    out->len = n > (ssize_t)KEY_LEN ? KEY_LEN : (size_t)n;
    memcpy(out->bytes, bytes, out->len);
    out->bytes[out->len] = '\0';
    *passed = n > (ssize_t)KEY_LEN || !is_utf8(out->bytes, out->len);
    if (strncmp(out->bytes, prefix, strlen(prefix)) != 0)
        return ft_fail(fault, FT_EMALFORMED, "its answer has the key %s, expected one below %.80s",
                       nd_printable(out->bytes, told, sizeof(told)), prefix);
    return 0;
}

/* One value that is too long, of whoever may write one key, keeps nobody from the others. */
static int make_entry(const char *key, const json_t *value, struct nd_entry **out, struct ft_fault *fault)
{
    const char *text = value ? json_string_value(value) : "";
    size_t len = json_string_length(value);
    bool cut = text && len >= ND_ETCD_CODED(ND_VALUE_MAX);
    char told[TOLD], *bytes = text && !cut ? malloc(len + 1) : NULL;
    ssize_t n = bytes ? nd_etcd_decode(text, len, bytes) : cut ? 0 : -1;

    if (n > (ssize_t)ND_VALUE_MAX) {
        cut = true;
        n = 0;
    }
    *out = n >= 0 ? nd_entry_make(key, bytes, (size_t)n) : NULL;
    free(bytes);
    if (!*out)
        return ft_fail(fault, FT_EMALFORMED, "the value of %s is not in base64",
                       nd_printable(key, told, sizeof(told)));
    (*out)->cut = cut;
    return 0;
}

/* A key as it is in revision `revision`; `deleted`: its deletion. The caller frees *out. *passed: whoever
 * may write below one key keeps nobody from the others by one that is too long or no text, so it is passed
 * over. */
static int read_entry(const json_t *kv, const char *prefix, int64_t revision, bool deleted, struct key *key,
                      struct nd_entry **out, bool *passed, struct ft_fault *fault)
{
    const json_t *lease = json_object_get(kv, "lease");
    struct nd_entry as = {.created = 0};
    int error = read_key(kv, prefix, key, passed, fault);

    *out = NULL;
    if (error)
        return error;
    if (!nd_etcd_number(json_object_get(kv, "mod_revision"), &as.changed) || as.changed > revision)
        return malformed(fault, "no mod_revision that is a number up to its header's revision");
    if (!deleted &&
        (!nd_etcd_number(json_object_get(kv, "create_revision"), &as.created) || as.created > as.changed))
        return malformed(fault, "no create_revision that is a number up to mod_revision");
    if (!deleted && lease && !nd_etcd_number(lease, &as.lease))
        return malformed(fault, "a lease that is no number");
    error = make_entry(key->bytes, deleted ? NULL : json_object_get(kv, "value"), out, fault);
    if (error)
        return error;
    (*out)->created = as.created;
    (*out)->changed = as.changed;
    (*out)->lease = as.lease;
    return 0;
}

static int read_revision(const json_t *answer, int64_t *out, struct ft_fault *fault)
{
    if (!nd_etcd_number(json_object_get(json_object_get(answer, "header"), "revision"), out) ||
        *out == INT64_MAX)
        return malformed(fault, "no revision that is a number");
    return 0;
}

static int order_of(const struct key *a, const struct key *b)
{
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

    return order ? order : a->len < b->len ? -1 : a->len > b->len;
}

/* Adds a page to *keys, whose keys are before it. `last`: the last one of the page before. *revision 0: this
 * is the first page, and sets it. */
static int read_page(const json_t *answer, const char *prefix, struct nd_keys *keys, struct key *last,
                     int64_t *revision, bool *more, struct ft_fault *fault)
{
    const json_t *kvs = json_object_get(answer, "kvs"), *goes_on = json_object_get(answer, "more");
    size_t count = json_array_size(kvs);
    int64_t now;
    int error = read_revision(answer, &now, fault);

    if (error)
        return error;
    *revision = *revision ? *revision : now;
    *more = json_is_true(goes_on);
    if ((kvs && !json_is_array(kvs)) || count > ND_STORE_PAGE)
        return ft_fail(fault, FT_EMALFORMED, "its answer has kvs that are not up to %u keys", ND_STORE_PAGE);
    if ((goes_on && !json_is_boolean(goes_on)) || (*more && !count))
        return malformed(fault, "\"more\" that is not true or false, or true without a key");
    for (size_t i = 0; i < count; i++) {
        struct nd_entry *entry;
        struct key key;
        bool passed;

        error = read_entry(json_array_get(kvs, i), prefix, *revision, false, &key, &entry, &passed, fault);
        if (error)
            return error;
        if (order_of(last, &key) >= (key.len == KEY_LEN && passed)) /* those that are cut may be alike */
            error = malformed(fault, "keys that are not in their order");
        else if (!passed)
            error = nd_keys_reserve(keys, 1, strlen(entry->key) + entry->len, fault);
        *last = key;
        keys->passed += !error && passed;
        if (error || passed)
            nd_entry_free(entry);
        else
            nd_keys_put(keys, entry);
        if (error)
            return error;
    }
    return 0;
}

static int read_done(const json_t *answer, bool *done, int64_t *revision, struct ft_fault *fault)
{
    const json_t *succeeded = json_object_get(answer, "succeeded");

    if (succeeded && !json_is_boolean(succeeded))
        return malformed(fault, "\"succeeded\" that is not true or false");
    *done = json_is_true(succeeded);
    return read_revision(answer, revision, fault);
}

#define TTL_MAX 1000000 /* s */

/* `began`: before it was asked for. */
static int read_lease(const json_t *answer, uint64_t began, struct nd_lease *out, struct ft_fault *fault)
{
    const json_t *ttl = json_object_get(answer, "TTL"), *why = json_object_get(answer, "error");
    struct nd_lease lease;

    if (!nd_etcd_number(json_object_get(answer, "ID"), &lease.id))
        return malformed(fault, "no lease's ID that is a number");
    if (json_string_length(why))
        return malformed(fault, "an error in place of a lease");
    if (!ttl || (json_is_string(ttl) && strcmp(json_string_value(ttl), "0") == 0))
        return ft_fail(fault, FT_ENOENT, "there is no lease %lx any more", lease.id);
    if (!nd_etcd_number(ttl, &lease.ttl_s) || lease.ttl_s > TTL_MAX)
        return ft_fail(fault, FT_EMALFORMED, "its answer has no TTL that is a number up to %d", TTL_MAX);
    lease.until = began + (uint64_t)lease.ttl_s * 1000000000ull;
    *out = lease;
    return 0;
}

/* ---- asking ------------------------------------------------------------------------------------ */

static int check_header(struct nd_etcd *e, const char *server, const json_t *answer, struct ft_fault *fault)
{
    uint64_t cluster;

    if (nd_etcd_read_cluster(answer, &cluster))
        return nd_etcd_believe(e, server, cluster, fault);
    return nd_etcd_blame(malformed(fault, "no cluster_id that is a number"), server, fault);
}

/* Posts `body`, which it takes over. *out: the answer, of the cluster that counts; the caller decrefs it. */
static int exchange(struct nd_etcd *e, const char *server, const char *path, json_t *body, bool streamed,
                    json_t **out, struct ft_fault *fault)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct nd_etcd_reply reply;
    int error;

    *out = NULL;
    json_decref(body);
    if (!text)
        return ft_fail(fault, FT_ENOMEM, "no memory for a request to etcd");
    error = nd_etcd_post(e, server, path, text, &reply, fault);
    free(text);
    if (error)
        return error;
    error = nd_etcd_load(out, reply.text, reply.len, streamed, fault);
    if (error)
        return nd_etcd_blame(error, server, fault);
    error = check_header(e, server, *out, fault);
    if (error) {
        json_decref(*out);
        *out = NULL;
    }
    return error;
}

/* ---- keys ---- */

struct looking {
    const char *prefix;
    int64_t revision;
};

static int look_at(struct nd_etcd *e, const char *server, void *looking, struct ft_fault *fault)
{
    struct looking *l = looking;
    json_t *answer, *body = json_pack("{s:o, s:b}", "key", coded(l->prefix), "count_only", 1);
    int error = exchange(e, server, "/v3/kv/range", body, false, &answer, fault);

    if (error)
        return error;
    error = read_revision(answer, &l->revision, fault);
    json_decref(answer);
    return error ? nd_etcd_blame(error, server, fault) : 0;
}

struct reading {
    const char *prefix;
    struct nd_keys *keys;
    int64_t revision;
};

static int read_at(struct nd_etcd *e, const char *server, void *reading, struct ft_fault *fault)
{
    struct reading *r = reading;
    struct key last = {.len = 0};
    unsigned limit = ND_STORE_PAGE;
    bool more = true;

    nd_keys_clear(r->keys);
    r->revision = 0;
    while (more) {
        json_t *answer, *body = make_page(r->prefix, &last, limit, r->revision);
        int error = exchange(e, server, "/v3/kv/range", body, false, &answer, fault);

        if (error && nd_etcd_too_long(e) &&
            limit > 1) { /* long values are among them, of whoever may write one */
            limit /= 2;
            continue;
        }
        if (error)
            return error;
        error = read_page(answer, r->prefix, r->keys, &last, &r->revision, &more, fault);
        json_decref(answer);
        if (error)
            return nd_etcd_blame(error, server, fault);
    }
    return 0;
}

int nd_store_read(struct nd_etcd *e, const char *prefix, struct nd_keys *keys, int64_t *revision,
                  struct ft_fault *fault)
{
    struct reading r = {.prefix = prefix, .keys = keys};
    int error = nd_etcd_ask(e, read_at, &r, fault);

    if (error)
        nd_keys_clear(keys);
    *revision = error ? 0 : r.revision;
    return error;
}

static int put_at(struct nd_etcd *e, const char *server, void *change, struct ft_fault *fault)
{
    json_t *answer;
    int error = exchange(e, server, "/v3/kv/put", make_put(change), false, &answer, fault);

    json_decref(answer);
    return error;
}

int nd_store_put(struct nd_etcd *e, const char *key, const void *value, size_t len, int64_t lease,
                 struct ft_fault *fault)
{
    struct nd_change change = {key, value, len, lease};

    FT_CHECK(*key && strlen(key) < ND_KEY_MAX && len <= ND_VALUE_MAX, "a put of %zu bytes", len);
    return nd_etcd_ask(e, put_at, &change, fault);
}

/* ---- transactions ---- */

struct txn {
    const struct nd_compare *compares;
    const struct nd_change *changes;
    size_t compare_count, change_count;
    bool done;
    int64_t revision;
};

static int txn_at(struct nd_etcd *e, const char *server, void *txn, struct ft_fault *fault)
{
    struct txn *t = txn;
    json_t *answer, *body = make_txn(t->compares, t->compare_count, t->changes, t->change_count);
    int error = exchange(e, server, "/v3/kv/txn", body, false, &answer, fault);

    if (error)
        return error;
    error = read_done(answer, &t->done, &t->revision, fault);
    json_decref(answer);
    return error ? nd_etcd_blame(error, server, fault) : 0;
}

static bool is_key(const char *key)
{
    size_t len = strlen(key);

    return len && len < ND_KEY_MAX;
}

static bool is_txn(const struct txn *t)
{
    if (t->compare_count > ND_STORE_TXN || !t->change_count || t->change_count > ND_STORE_TXN)
        return false;
    for (size_t i = 0; i < t->compare_count; i++)
        if (!is_key(t->compares[i].key) || t->compares[i].revision < 0)
            return false;
    for (size_t i = 0; i < t->change_count; i++) {
        if (!is_key(t->changes[i].key) || t->changes[i].len > ND_VALUE_MAX || t->changes[i].lease < 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(t->changes[i].key, t->changes[j].key) == 0)
                return false;
    }
    return true;
}

int nd_store_txn(struct nd_etcd *e, const struct nd_compare *compares, size_t compare_count,
                 const struct nd_change *changes, size_t change_count, bool *done, int64_t *revision,
                 struct ft_fault *fault)
{
    struct txn t = {compares, changes, compare_count, change_count, false, 0};
    int error = is_txn(&t)
                    ? nd_etcd_ask_once(e, txn_at, &t, fault)
                    : ft_fail(fault, FT_EINVAL,
                              "a transaction of %zu compares and %zu changes, expected at most %u and 1 "
                              "to %u, each of another key",
                              compare_count, change_count, ND_STORE_TXN, ND_STORE_TXN);

    *done = !error && t.done;
    if (revision)
        *revision = error ? 0 : t.revision;
    return error;
}

/* ---- leases ---- */

static int ask_lease(struct nd_etcd *e, const char *server, const char *path, json_t *body, bool streamed,
                     struct nd_lease *out, struct ft_fault *fault)
{
    uint64_t began = ft_now();
    json_t *answer;
    int error = exchange(e, server, path, body, streamed, &answer, fault);

    if (error)
        return error;
    error = read_lease(answer, began, out, fault);
    json_decref(answer);
    return error ? nd_etcd_blame(error, server, fault) : 0;
}

static int grant_at(struct nd_etcd *e, const char *server, void *lease, struct ft_fault *fault)
{
    struct nd_lease *l = lease;
    int error =
        ask_lease(e, server, "/v3/lease/grant", json_pack("{s:o}", "TTL", number(l->ttl_s)), false, l, fault);

    return error == FT_ENOENT ? FT_EMALFORMED : error;
}

int nd_store_grant(struct nd_etcd *e, int64_t ttl_s, struct nd_lease *out, struct ft_fault *fault)
{
    struct nd_lease l = {.ttl_s = ttl_s};
    int error = nd_etcd_ask(e, grant_at, &l, fault);

    *out = error ? (struct nd_lease){.id = 0} : l;
    return error;
}

struct keeping {
    int64_t id;
    struct nd_lease now; /* id 0: it is no more */
};

static int keep_at(struct nd_etcd *e, const char *server, void *keeping, struct ft_fault *fault)
{
    struct keeping *k = keeping;
    int error = ask_lease(e, server, "/v3/lease/keepalive", json_pack("{s:o}", "ID", number(k->id)), true,
                          &k->now, fault);

    if (!error && k->now.id != k->id)
        error = nd_etcd_blame(malformed(fault, "another lease"), server, fault);
    if (error != FT_ENOENT)
        return error;
    k->now.id = 0; /* which is an answer: no other server is asked */
    return 0;
}

int nd_store_keep(struct nd_etcd *e, struct nd_lease *lease, struct ft_fault *fault)
{
    struct keeping k = {.id = lease->id};
    int error = nd_etcd_ask(e, keep_at, &k, fault);

    if (!error && !k.now.id)
        return FT_ENOENT;
    if (!error)
        *lease = k.now;
    return error;
}

static int revoke_at(struct nd_etcd *e, const char *server, void *id, struct ft_fault *fault)
{
    const int64_t *lease = id;
    json_t *answer;
    int error = exchange(e, server, "/v3/lease/revoke", json_pack("{s:o}", "ID", number(*lease)), false,
                         &answer, fault);

    json_decref(answer);
    return error;
}

int nd_store_revoke(struct nd_etcd *e, int64_t id, struct ft_fault *fault)
{
    return nd_etcd_ask(e, revoke_at, &id, fault);
}

/* ---- a watch ---- */

struct watching {
    struct nd_etcd *e;
    const char *server;
    struct nd_watch *watch;
    bool created; /* the server reported so */
};

struct events {
    struct nd_event *at;
    size_t count, passed;
    int64_t last; /* revision */
};

static void free_events(struct events *events)
{
    for (size_t i = 0; i < events->count; i++)
        nd_entry_free(events->at[i].entry);
    free(events->at);
}

/* One event; `first`: the revision before which there is none. */
static int read_event(const json_t *o, const char *prefix, int64_t first, int64_t revision,
                      struct nd_event *out, bool *passed, struct ft_fault *fault)
{
    const json_t *type = json_object_get(o, "type");
    const char *name = type ? json_string_value(type) : "PUT";
    struct key key;
    int error;

    if (!name || (strcmp(name, "PUT") != 0 && strcmp(name, "DELETE") != 0))
        return malformed(fault, "an event that is not PUT or DELETE");
    out->deleted = name[0] == 'D';
    error = read_entry(json_object_get(o, "kv"), prefix, revision, out->deleted, &key, &out->entry, passed,
                       fault);
    if (error || out->entry->changed >= first)
        return error;
    nd_entry_free(out->entry);
    return malformed(fault, "an event of an earlier revision");
}

/* `next`: the first revision that may come. The caller frees them. */
static int read_events(const json_t *answer, const char *prefix, int64_t next, struct events *out,
                       struct ft_fault *fault)
{
    const json_t *events = json_object_get(answer, "events");
    size_t count = json_array_size(events);
    int64_t revision;
    int error = read_revision(answer, &revision, fault);

    *out = (struct events){.last = next - 1};
    if (!error && events && !json_is_array(events))
        error = malformed(fault, "events that are no list");
    if (error || !count)
        return error;
    out->at = calloc(count, sizeof(*out->at));
    if (!out->at)
        return ft_fail(fault, FT_ENOMEM, "no memory for %zu events", count);
    out->last = next;
    for (size_t i = 0; !error && i < count; i++) {
        struct nd_event *event = &out->at[out->count];
        bool passed;

        error = read_event(json_array_get(events, i), prefix, out->last, revision, event, &passed, fault);
        if (error)
            continue;
        out->last = event->entry->changed;
        if (passed)
            nd_entry_free(event->entry);
        out->passed += passed && !event->deleted;
        out->count += !passed;
    }
    if (error) {
        free_events(out);
        *out = (struct events){.last = next - 1};
    }
    return error;
}

/* The watch is over: why. */
static int read_end(const json_t *answer, int64_t next, struct ft_fault *fault)
{
    const char *reason = json_string_value(json_object_get(answer, "cancel_reason"));
    char words[ND_ETCD_WORDS_MAX] = "";
    int64_t compacted;

    if (nd_etcd_number(json_object_get(answer, "compact_revision"), &compacted))
        return ft_fail(fault, FT_ENOENT, "revision %ld was compacted: it has those from %ld on", next,
                       compacted);
    if (reason)
        nd_etcd_words(reason, strlen(reason), words);
    return ft_fail(fault, FT_EIO, "it ended the watch%s%s%s", words[0] ? " (" : "", words,
                   words[0] ? ")" : "");
}

static int take_answer(struct watching *w, const json_t *answer, struct ft_fault *fault)
{
    struct nd_watch *watch = w->watch;
    struct events events;
    int result;

    if (json_is_true(json_object_get(answer, "canceled")))
        return nd_etcd_blame(read_end(answer, watch->next, fault), w->server, fault);
    result = read_events(answer, watch->prefix, watch->next, &events, fault);
    if (result)
        return nd_etcd_blame(result, w->server, fault);
    w->created |= json_is_true(json_object_get(answer, "created"));
    result = watch->take(watch->arg, events.at, events.count, fault);
    if (!result)
        watch->next = events.last + 1;
    if (!result)
        atomic_fetch_add(&watch->passed, events.passed);
    free_events(&events);
    return result;
}

static int take_line(void *watching, const char *line, size_t len, struct ft_fault *fault)
{
    struct watching *w = watching;
    json_t *answer;
    int result = nd_etcd_load(&answer, line, len, true, fault);

    if (result)
        return nd_etcd_blame(result, w->server, fault);
    result = check_header(w->e, w->server, answer, fault);
    if (!result)
        result = take_answer(w, answer, fault);
    json_decref(answer);
    return result;
}

static int beat(void *watching, struct ft_fault *fault)
{
    struct watching *w = watching;
    struct looking l = {.prefix = w->watch->prefix};
    int error;

    if (!w->created)
        return ft_fail(fault, FT_EIO, "%s: no word of the watch after %llu ms", w->server,
                       ND_STORE_BEAT_NS / 1000000u);
    error = look_at(w->e, w->server, &l, fault);
    if (error)
        return error;
    if (l.revision < w->watch->next - 1)
        return ft_fail(fault, FT_ENOENT, "%s: its revision is %ld, expected %ld or later", w->server,
                       l.revision, w->watch->next - 1);
    return w->watch->take(w->watch->arg, NULL, 0, fault);
}

int nd_store_watch(struct nd_etcd *e, struct nd_watch *w, struct ft_fault *fault)
{
    struct watching watching = {.e = e, .server = nd_etcd_server(e), .watch = w};
    struct nd_etcd_stream stream = {.path = "/v3/watch",
                                    .held = ND_STORE_HELD,
                                    .beat_ns = ND_STORE_BEAT_NS,
                                    .take = take_line,
                                    .beat = beat,
                                    .arg = &watching};
    json_t *body = make_watch(w->prefix, w->next);
    char *text = json_dumps(body, JSON_COMPACT);
    int result;

    json_decref(body);
    if (!text)
        return ft_fail(fault, FT_ENOMEM, "no memory for a request to etcd");
    stream.body = text;
    result = nd_etcd_stream(e, watching.server, &stream, fault);
    free(text);
    return result;
}
