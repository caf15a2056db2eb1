/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a real etcd: keys below a prefix, transactions, leases, watches. What stands in the store
 * is judged by etcdctl.
 */
#include "understudy/etcd/store.h"
#include "tests/help/etcd.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#define P "/understudy/test/"

static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 20000};
static const struct nd_etcd_limits hasty = {.reply = ND_STORE_REPLY,
                                            .request_ms = 2000}; /* of a server that hangs */
static struct help_real_etcd real;
static struct nd_etcd *etcd;
static struct ft_fault fault;
static struct nd_keys keys;
static int64_t revision;

static int begin(void **state)
{
    fault.text[0] = '\0';
    etcd = NULL;
    help_etcd_begin(&real, false);
    return nd_etcd_open(&etcd, &real.config, &limits, NULL, NULL, &fault);
}

static int end(void **state)
{
    nd_etcd_close(etcd);
    nd_keys_clear(&keys);
    help_etcd_end(&real);
    return 0;
}

#define REAL(test) TEST_WITH(test, begin, end)
#define DONE(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != 0)                                                                                     \
            fail_msg("%s: %s", #call, fault.text);                                                           \
    } while (0)

static void put(const char *key, const char *value)
{
    DONE(nd_store_put(etcd, key, value, strlen(value), 0, &fault));
}

static void read_all(void)
{
    DONE(nd_store_read(etcd, P, &keys, &revision, &fault));
}

static void ctl_says(const char *arguments, const char *expected)
{
    assert_string_equal(help_etcdctl(&real, "%s", arguments), expected);
}

static void ctl(const char *arguments)
{
    help_etcdctl(&real, "%s", arguments);
}

/* ---- keys ---- */

REAL(what_was_put_is_read)
{
    const struct nd_entry *b;

    read_all();
    assert_int_equal(keys.count, 0);
    ctl("put " P "b one");
    ctl("put " P "a ''");
    ctl("put /understudy/tes other");
    ctl("put /understudy/test0 other");
    put(P "b", "two");
    read_all();
    assert_int_equal(keys.count, 2);
    assert_string_equal(keys.at[0]->key, P "a");
    assert_int_equal(keys.at[0]->len, 0);
    b = nd_keys_find(&keys, P "b");
    assert_string_equal(b->value, "two");
    assert_int_equal(b->changed, revision);
    assert_int_equal(b->created, revision - 4);
    assert_int_equal(b->lease, 0);
    ctl_says("get " P "b", P "b\ntwo\n");
}

REAL(any_bytes_may_be_a_value_and_the_longest_too)
{
    static char longest[ND_VALUE_MAX + 1], key[ND_KEY_MAX];

    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = (char)(i * 7 + i / 256);
    memset(key, 'k', sizeof(key) - 1);
    memcpy(key, P, sizeof(P) - 1);
    DONE(nd_store_put(etcd, key, longest, ND_VALUE_MAX, 0, &fault));
    for (unsigned len = 0; len < 9; len++)
        DONE(nd_store_put(etcd, help_print(P "%u", len), longest, len, 0, &fault));
    read_all();
    assert_int_equal(keys.count, 10);
    for (unsigned len = 0; len < 9; len++) {
        assert_int_equal(keys.at[len]->len, len);
        assert_memory_equal(keys.at[len]->value, longest, len);
    }
    assert_string_equal(keys.at[9]->key, key);
    assert_int_equal(keys.at[9]->len, ND_VALUE_MAX);
    assert_memory_equal(keys.at[9]->value, longest, ND_VALUE_MAX);
}

REAL(a_page_of_the_longest_values_is_read)
{
    static char longest[ND_VALUE_MAX];

    for (unsigned i = 0; i < ND_STORE_PAGE + 1; i++)
        DONE(nd_store_put(etcd, help_print(P "%03u", i), longest, sizeof(longest), 0, &fault));
    read_all();
    assert_int_equal(keys.count, ND_STORE_PAGE + 1);
    assert_int_equal(keys.size, keys.count * (sizeof(longest) + sizeof(P) - 1 + 3));
}

/* Whoever may write one key alone keeps nobody from the others by it. */
REAL(a_value_that_is_too_long_is_left_out)
{
    put(P "a", "1");
    ctl("put " P "long \"$(head -c 65537 /dev/zero | tr '\\0' x)\" >/dev/null");
    ctl("put " P "longer \"$(head -c 120000 /dev/zero | tr '\\0' x)\" >/dev/null");
    put(P "z", "2");
    read_all();
    assert_int_equal(keys.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(keys.at[i]->cut, i == 1 || i == 2);
        assert_int_equal(keys.at[i]->len, i == 0 || i == 3);
    }
}

/* Nor do some of whom each may write one key, of what etcd takes in one request. */
REAL(values_that_are_longer_than_an_answer_together_are_left_out)
{
    char file[] = "/tmp/etcd-value.XXXXXX", command[128];
    int fd = mkstemp(file);

    assert_int_equal(ftruncate(fd, 1000000), 0);
    put(P "a", "1");
    for (int i = 10; i < 22; i++) {
        snprintf(command, sizeof(command), "put " P "long%d <%s >/dev/null", i, file);
        ctl(command);
    }
    put(P "z", "2");
    unlink(file);
    close(fd);
    read_all();
    assert_int_equal(keys.count, 14);
    for (size_t i = 0; i < 14; i++)
        assert_int_equal(keys.at[i]->cut, i != 0 && i != 13);
    assert_string_equal(keys.at[13]->value, "2");
}

/* Pages of them as well, whose first 255 bytes are the same. */
REAL(a_key_that_is_too_long_is_passed_over)
{
    put(P "a", "1");
    ctl("put " P "\"$(head -c 1000 /dev/zero | tr '\\0' f)\" 1 >/dev/null");
    put(P "z", "2");
    read_all();
    assert_int_equal(keys.count, 2);
    assert_string_equal(keys.at[0]->key, P "a");
    assert_string_equal(keys.at[1]->key, P "z");
}

/* By transactions of 50. */
static void fill(unsigned count)
{
    struct nd_change changes[50];
    char name[50][64];
    bool done;

    for (unsigned i = 0; i < count;) {
        unsigned n = 0;

        for (; n < 50 && i < count; n++, i++) {
            snprintf(name[n], sizeof(name[n]), P "shards/n%05u", i);
            changes[n] = (struct nd_change){.key = name[n], .value = name[n], .len = strlen(name[n])};
        }
        DONE(nd_store_txn(etcd, NULL, 0, changes, n, &done, NULL, &fault));
        assert_true(done);
    }
}

REAL(twenty_thousand_keys_are_read)
{
    uint64_t began;

    fill(20000);
    began = ft_now();
    read_all();
    print_message("# 20,000 keys in %lu ms\n", (ft_now() - began) / 1000000);
    assert_int_equal(keys.count, 20000);
    for (unsigned i = 0; i < keys.count; i++) {
        const char *name = help_print(P "shards/n%05u", i);
        assert_string_equal(keys.at[i]->key, name);
        assert_string_equal(keys.at[i]->value, name);
    }
}

/* ---- transactions ---- */

static bool txn(const char *key, enum nd_compared of, int64_t of_revision, const char *value)
{
    const struct nd_compare compare = {key, of, of_revision};
    const struct nd_change change = {.key = key, .value = value, .len = value ? strlen(value) : 0};
    bool done;

    DONE(nd_store_txn(etcd, &compare, 1, &change, 1, &done, &revision, &fault));
    return done;
}

REAL(a_transaction_that_compares_loses_when_the_key_changed)
{
    int64_t created, changed;

    assert_true(txn(P "k", ND_CREATED, 0, "one"));
    created = changed = revision;
    assert_false(txn(P "k", ND_CREATED, 0, "two"));
    ctl_says("get " P "k", P "k\none\n");
    assert_true(txn(P "k", ND_CHANGED, changed, "two"));
    assert_false(txn(P "k", ND_CHANGED, changed, "three"));
    assert_true(txn(P "k", ND_CREATED, created, "three"));
    ctl_says("get " P "k", P "k\nthree\n");
    changed = revision;
    ctl("put " P "k three");
    assert_false(txn(P "k", ND_CHANGED, changed, NULL));
    assert_true(txn(P "k", ND_CREATED, created, NULL));
    ctl_says("get --prefix " P, "");
    assert_true(txn(P "k", ND_CHANGED, 0, "four"));
    assert_false(txn(P "k", ND_CREATED, created, "five"));
}

REAL(a_transaction_is_made_whole_or_not_at_all)
{
    const struct nd_compare compares[] = {{P "a", ND_CREATED, 0}, {P "b", ND_CREATED, 0}};
    const struct nd_change changes[] = {
        {P "a", "1", 1, 0}, {P "c", NULL, 0, 0}, {P "d", "4", 1, 0}, {P "d", "5", 1, 0}};
    bool done = true;

    put(P "b", "2");
    put(P "c", "3");
    DONE(nd_store_txn(etcd, compares, 2, changes, 3, &done, NULL, &fault));
    assert_false(done);
    ctl_says("get --prefix " P, P "b\n2\n" P "c\n3\n");
    DONE(nd_store_txn(etcd, compares, 1, changes, 3, &done, NULL, &fault));
    assert_true(done);
    ctl_says("get --prefix " P, P "a\n1\n" P "b\n2\n" P "d\n4\n");
    assert_int_equal(nd_store_txn(etcd, NULL, 0, changes, 4, &done, NULL, &fault), FT_EINVAL);
    assert_int_equal(nd_store_txn(etcd, NULL, 0, changes, 0, &done, NULL, &fault), FT_EINVAL);
    assert_false(done);
}

/* The server that is asked first takes the transaction, and never answers: it may have been made. */
REAL(a_transaction_is_sent_once)
{
    const struct nd_change change = {P "a", "1", 1, 0};
    struct nd_etcd_config two = real.config;
    struct pollfd second = {.events = POLLIN};
    bool done = true;

    two.urls = 2;
    second.fd = help_etcd_listen(two.url[1]);
    nd_etcd_close(etcd);
    DONE(nd_etcd_open(&etcd, &two, &hasty, NULL, NULL, &fault));
    help_etcd_stop(&real);
    assert_int_equal(nd_store_txn(etcd, NULL, 0, &change, 1, &done, NULL, &fault), FT_EIO);
    assert_false(done);
    assert_int_equal(poll(&second, 1, 0), 0);
    nd_etcd_close(etcd); /* it would begin with the other one */
    DONE(nd_etcd_open(&etcd, &two, &hasty, NULL, NULL, &fault));
    assert_int_equal(nd_store_put(etcd, P "a", "2", 1, 0, &fault), FT_EIO);
    assert_int_equal(poll(&second, 1, 0), 1); /* a put is sent to both */
    close(second.fd);
    kill(real.pid, SIGCONT);
    snprintf(two.url[0], sizeof(two.url[0]), "http://127.0.0.1:1"); /* which never hears it */
    snprintf(two.url[1], sizeof(two.url[1]), "http://127.0.0.1:1");
    snprintf(two.url[strcmp(nd_etcd_server(etcd), two.url[0]) == 0], sizeof(two.url[0]), "%s",
             real.config.url[0]);
    DONE(nd_store_txn(etcd, NULL, 0, &change, 1, &done, NULL, &fault));
    assert_true(done);
}

/* Else of 40,000 nodes and their agents all ask the first server as long as it lives. */
TEST(servers_are_shared_out_by_names)
{
    struct nd_etcd_config three = {.urls = 3};
    unsigned count[3] = {0};
    struct nd_etcd *e;
    char name[16], was;

    for (unsigned i = 0; i < 3; i++)
        snprintf(three.url[i], sizeof(three.url[i]), "%u", i);
    DONE(nd_etcd_open(&e, &three, &limits, NULL, NULL, &fault));
    assert_string_equal(nd_etcd_server(e), "0");
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "n%u-s1", i);
        nd_etcd_begin_at(e, name);
        was = nd_etcd_server(e)[0];
        count[was - '0']++;
        nd_etcd_begin_at(e, name);
        assert_int_equal(nd_etcd_server(e)[0], was);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(count[i], 70, 130);
    nd_etcd_close(e);
}

/* ---- leases ---- */

static size_t count_keys(void)
{
    read_all();
    return keys.count;
}

REAL(a_lease_lasts_while_it_is_kept)
{
    struct nd_lease lease, kept;
    uint64_t before = ft_now();

    DONE(nd_store_grant(etcd, 3, &lease, &fault));
    assert_int_equal(lease.ttl_s, 3);
    assert_in_range(lease.until, before + 3000000000ull, ft_now() + 3000000000ull);
    DONE(nd_store_put(etcd, P "servers/s1", "here", 4, lease.id, &fault));
    while (ft_now() < before + 4000000000ull) {
        help_sleep_ms(250);
        kept = lease;
        DONE(nd_store_keep(etcd, &lease, &fault));
        assert_true(lease.until > kept.until + 200000000ull);
    }
    assert_int_equal(count_keys(), 1);
    assert_int_equal(keys.at[0]->lease, lease.id);
    UNTIL(count_keys() == 0) help_sleep_ms(20);
    assert_true(ft_now() >= lease.until);
    assert_int_equal(nd_store_keep(etcd, &lease, &fault), FT_ENOENT);
}

/* Bytes that are in sockets of etcd's, and that etcd has not read: by the kernel's table of connections. */
static uint64_t unread_bytes(void)
{
    FILE *table = fopen("/proc/net/tcp", "r");
    unsigned port, connection, unread;
    uint64_t sum = 0;
    char line[256];

    assert_non_null(table);
    while (fgets(line, sizeof(line), table))
        if (sscanf(line, " %*u: %*x:%x %*x:%*x %x %*x:%x", &port, &connection, &unread) == 3 &&
            port == real.port && connection == 1) // NOLINT(cert-err34-c): the kernel's numbers
            sum += unread;
    fclose(table);
    return sum;
}

/* What etcd says to itself may wait there as well since it was stopped. */
struct stopped {
    uint64_t unread, went_on;
};

/* Lets etcd go on once a request waits for it; notes when that was. */
static void *go_on(void *arg)
{
    struct stopped *s = arg;

    while (unread_bytes() <= s->unread)
        help_sleep_ms(10);
    s->went_on = ft_now();
    kill(real.pid, SIGCONT);
    return NULL;
}

/* The server may have heard a request at any moment before it answered. */
REAL(a_lease_counts_from_before_the_request)
{
    struct stopped stopped = {.went_on = 0};
    struct nd_lease lease;
    pthread_t thread;
    uint64_t began;

    DONE(nd_store_grant(etcd, 600, &lease, &fault));
    help_etcd_stop(&real);
    stopped.unread = unread_bytes();
    assert_int_equal(pthread_create(&thread, NULL, go_on, &stopped), 0);
    began = ft_now();
    DONE(nd_store_keep(etcd, &lease, &fault));
    pthread_join(thread, NULL);
    assert_in_range(lease.until - 600000000000ull, began, stopped.went_on);
}

REAL(a_lease_that_is_revoked_takes_its_keys_along)
{
    struct nd_lease lease;

    DONE(nd_store_grant(etcd, 600, &lease, &fault));
    DONE(nd_store_put(etcd, P "a", "1", 1, lease.id, &fault));
    put(P "b", "2");
    DONE(nd_store_revoke(etcd, lease.id, &fault));
    ctl_says("get --prefix " P, P "b\n2\n");
    assert_int_equal(nd_store_put(etcd, P "a", "1", 1, lease.id, &fault), FT_EIO);
    assert_non_null(strstr(fault.text, "requested lease not found"));
}

/* ---- a watch ---- */

#define SEEN_MAX 4096u

static struct seen {
    pthread_t thread;
    struct nd_etcd *etcd;
    struct nd_watch watch;
    struct ft_fault fault;
    _Atomic int result; /* 1: it has none */
    _Atomic unsigned beats, events;
    _Atomic bool enough; /* it ends with the next word */
    char text[SEEN_MAX]; /* "KEY=VALUE@REVISION " and "-KEY@REVISION " */
} seen;

static int see(void *arg, struct nd_event *events, size_t count, struct ft_fault *why)
{
    struct seen *s = arg;

    for (size_t i = 0; i < count; i++) {
        const struct nd_entry *entry = events[i].entry;
        size_t at = strlen(s->text);

        snprintf(s->text + at, sizeof(s->text) - at, events[i].deleted ? "-%s%s@%ld " : "%s=%s@%ld ",
                 entry->key + sizeof(P) - 1, entry->value, entry->changed);
    }
    s->beats += !count;
    s->events += (unsigned)count;
    return s->enough ? ft_fail(why, FT_EORDER, "enough") : 0;
}

static void *watch(void *arg)
{
    struct seen *s = arg;
    int result = nd_store_watch(s->etcd, &s->watch, &s->fault);

    s->result = result;
    return NULL;
}

static void begin_watch_within(int64_t next, const struct nd_etcd_limits *bounds)
{
    memset(&seen, 0, sizeof(seen));
    seen.watch = (struct nd_watch){.prefix = P, .next = next, .take = see, .arg = &seen};
    seen.result = 1;
    DONE(nd_etcd_open(&seen.etcd, &real.config, bounds, NULL, NULL, &fault));
    assert_int_equal(pthread_create(&seen.thread, NULL, watch, &seen), 0);
}

static void begin_watch(int64_t next)
{
    begin_watch_within(next, &limits);
}

static void end_watch(int expected)
{
    UNTIL(seen.result <= 0) help_sleep_ms(10);
    pthread_join(seen.thread, NULL);
    nd_etcd_close(seen.etcd);
    if (seen.result != expected)
        fail_msg("%d, expected %d: %s", seen.result, expected, seen.fault.text);
}

REAL(a_watch_sees_puts_and_deletes_in_order)
{
    int64_t r;

    put(P "a", "1");
    read_all();
    r = revision;
    put(P "a", "2"); /* before the watch begins */
    begin_watch(r + 1);
    UNTIL(seen.beats) help_sleep_ms(10);
    put(P "b", "3");
    ctl("del " P "a");
    put("/other", "x");
    ctl("put " P "\"$(head -c 300 /dev/zero | tr '\\0' x)\" 1 >/dev/null"); /* too long: passed over */
    put(P "a", "");
    assert_true(txn(P "c", ND_CREATED, 0, "5"));
    ctl("del --prefix " P);
    UNTIL(seen.events == 8) help_sleep_ms(10); /* or the next word may be of an earlier one */
    seen.enough = true;
    end_watch(FT_EORDER);
    assert_string_equal(seen.text, help_print("a=2@%ld b=3@%ld -a@%ld a=@%ld c=5@%ld -a@%ld -b@%ld -c@%ld ",
                                              r + 1, r + 2, r + 3, r + 6, r + 7, r + 8, r + 8, r + 8));
}

/* The event that it ended with is not taken, and comes again. */
REAL(a_watch_goes_on_where_it_broke)
{
    int64_t r;

    read_all();
    r = revision;
    begin_watch(r + 1);
    UNTIL(seen.beats) help_sleep_ms(10);
    put(P "a", "1");
    UNTIL(seen.events) help_sleep_ms(10);
    help_etcd_kill(&real);
    end_watch(FT_EIO);
    assert_int_equal(seen.watch.next, r + 2);
    help_etcd_again(&real, real.port);
    put(P "a", "2");
    begin_watch(seen.watch.next);
    UNTIL(seen.events) help_sleep_ms(10);
    seen.enough = true;
    end_watch(FT_EORDER);
    assert_string_equal(seen.text, help_print("a=2@%ld ", r + 2));
}

REAL(a_watch_of_what_was_compacted_says_so)
{
    put(P "a", "1");
    put(P "a", "2");
    put(P "a", "3");
    read_all();
    ctl(help_print("compact %ld", revision));
    begin_watch(revision - 1);
    end_watch(FT_ENOENT);
    assert_string_equal(seen.fault.text,
                        help_print("%s: revision %ld was compacted: it has those from %ld on",
                                   real.config.url[0], revision - 1, revision));
    assert_int_equal(seen.events, 0);
}

REAL(a_server_that_hangs_is_found_by_a_watch)
{
    begin_watch_within(1, &hasty);
    UNTIL(seen.beats > 1) help_sleep_ms(10);
    uint64_t began = ft_now();

    help_etcd_stop(&real);
    end_watch(FT_EIO);
    print_message("# found after %lu ms\n", (ft_now() - began) / 1000000);
    kill(real.pid, SIGCONT);
}

/* Of a store that was restored from a backup, of the same cluster. */
REAL(a_store_that_has_gone_back_is_found_by_a_watch)
{
    begin_watch(1000);
    end_watch(FT_ENOENT);
    assert_non_null(strstr(seen.fault.text, ", expected 999 or later"));
}
