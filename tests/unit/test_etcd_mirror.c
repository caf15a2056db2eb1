/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror of a real etcd: it has what etcdctl shows, whatever happens to the server; and its own key is
 * there for as long as its lease is kept.
 */
#include "understudy/etcd/mirror.h"
#include "understudy/etcd/store.h"
#include "tests/help/etcd.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#define P   "/understudy/test/"
#define OWN P "servers/s1"
#define S   1000000000ull

static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 20000};
static struct help_real_etcd real;
static struct nd_etcd *writer;
static struct nd_mirror *mirror;
static struct nd_mirror_status status;
static struct ft_fault fault;

#define DONE(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != 0)                                                                                     \
            fail_msg("%s: %s", #call, fault.text);                                                           \
    } while (0)

static int begin(void **state)
{
    fault.text[0] = '\0';
    help_etcd_begin(&real, false);
    return nd_etcd_open(&writer, &real.config, &limits, NULL, NULL, &fault);
}

static int end(void **state)
{
    nd_mirror_stop(mirror, false);
    nd_etcd_close(writer);
    help_etcd_end(&real);
    mirror = NULL;
    writer = NULL;
    return 0;
}

#define REAL(test) TEST_WITH(test, begin, end)

static const struct nd_mirror_status *now(void)
{
    nd_mirror_status(mirror, &status);
    return &status;
}

static void begin_mirror(const char *key)
{
    const struct nd_mirror_config config = {.etcd = &real.config, .prefix = P, .key = key, .ttl_s = 2};

    DONE(nd_mirror_start(&mirror, &config, &fault));
    UNTIL(now()->connected_since) help_sleep_ms(10);
}

static void put(const char *key, const char *value)
{
    DONE(nd_store_put(writer, key, value, strlen(value), 0, &fault));
}

static int64_t newest(void)
{
    struct nd_keys keys = {.at = NULL};
    int64_t revision;

    DONE(nd_store_read(writer, P, &keys, &revision, &fault));
    nd_keys_clear(&keys);
    return revision;
}

static void ctl(const char *arguments)
{
    help_etcdctl(&real, "%s", arguments);
}

/* As etcdctl prints them; the caller frees it. */
static char *shown(void)
{
    const struct nd_keys *keys = nd_mirror_lock(mirror);
    char *out = malloc(keys->size + 2 * keys->count + 1);
    size_t at = 0;

    assert_non_null(out);
    for (size_t i = 0; i < keys->count; i++)
        at += (size_t)sprintf(out + at, "%s\n%s\n", keys->at[i]->key, keys->at[i]->value);
    out[at] = '\0';
    nd_mirror_unlock(mirror);
    return out;
}

/* Once it has heard of all, and its watch stands: what was read is there before that. */
static void is_the_store(void)
{
    char *expected = help_etcdctl(&real, "get --prefix " P), *got = NULL;

    UNTIL(got && strcmp(got, expected) == 0 && now()->connected_since)
    {
        free(got);
        help_sleep_ms(20);
        got = shown();
    }
    free(got);
}

static bool has(const char *key, const char *value)
{
    const struct nd_entry *entry = nd_keys_find(nd_mirror_lock(mirror), key);
    bool same = entry ? value && strcmp(entry->value, value) == 0 : !value;

    nd_mirror_unlock(mirror);
    return same;
}

/* ---- the keys ---- */

/* A transaction of some puts and deletes of keys by chance. */
static unsigned change_some(uint64_t *chance)
{
    struct nd_change changes[8];
    char key[8][64], value[8][300];
    unsigned n = 0, most = 1 + help_below(chance, 8);
    bool done;

    for (unsigned tries = 0; tries < most; tries++) {
        unsigned i = 0;

        snprintf(key[n], sizeof(key[n]), P "k%u", help_below(chance, 300));
        while (i < n && strcmp(key[i], key[n]) != 0)
            i++;
        if (i < n)
            continue;
        memset(value[n], 'a' + (int)help_below(chance, 26), sizeof(value[n]));
        changes[n] = (struct nd_change){
            .key = key[n], .value = help_below(chance, 3) ? value[n] : NULL, .len = help_below(chance, 300)};
        n++;
    }
    DONE(nd_store_txn(writer, NULL, 0, changes, n, &done, NULL, &fault));
    return n;
}

REAL(a_mirror_is_the_store_after_thousands_of_changes)
{
    uint64_t chance = 7;
    unsigned changes = 0;

    for (; changes < 200;)
        changes += change_some(&chance);
    begin_mirror(NULL);
    is_the_store();
    for (; changes < 2200;)
        changes += change_some(&chance);
    is_the_store();
    assert_int_equal(now()->reads, 1);
    assert_int_equal(now()->failures, 0);
    assert_int_equal(now()->revision, newest());
    assert_true(now()->whole);
    assert_int_equal(now()->silent_since, 0);
    assert_string_equal(now()->server, real.config.url[0]);
    assert_int_equal(now()->lease, 0);
}

REAL(a_mirror_has_twenty_thousand_keys)
{
    struct nd_change changes[50];
    char name[50][64];
    bool done;
    uint64_t began;

    begin_mirror(NULL);
    for (unsigned i = 0; i < 20000;) {
        unsigned n = 0;

        for (; n < 50; n++, i++) {
            snprintf(name[n], sizeof(name[n]), P "shards/n%05u", i * 7919 % 20000);
            changes[n] = (struct nd_change){.key = name[n], .value = name[n], .len = strlen(name[n])};
        }
        DONE(nd_store_txn(writer, NULL, 0, changes, n, &done, NULL, &fault));
    }
    is_the_store(); /* by the watch */
    assert_int_equal(now()->reads, 1);
    nd_mirror_stop(mirror, false);
    began = ft_now();
    begin_mirror(NULL);
    print_message("# 20,000 keys in %lu ms\n", (ft_now() - began) / 1000000);
    is_the_store(); /* by reading */
}

static bool is_readable(void)
{
    struct pollfd fd = {.fd = nd_mirror_fd(mirror), .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

REAL(what_changes_is_told)
{
    uint64_t serial, count, told = 0;

    begin_mirror(NULL);
    UNTIL(told >= 2 && told == nd_mirror_serial(mirror)) /* that all was read, and that its watch stands */
    {
        if (read(nd_mirror_fd(mirror), &count, sizeof(count)) == sizeof(count))
            told += count;
        help_sleep_ms(1);
    }
    serial = told;
    help_sleep_ms(2200); /* two beats: they change nothing */
    assert_int_equal(nd_mirror_serial(mirror), serial);
    assert_false(is_readable());
    put(P "a", "1");
    UNTIL(is_readable()) help_sleep_ms(5);
    assert_true(has(P "a", "1"));
    assert_int_equal(nd_mirror_serial(mirror), serial + 1);
    put("/other", "1");
    help_sleep_ms(200);
    assert_int_equal(nd_mirror_serial(mirror), serial + 1);
}

REAL(a_mirror_outlives_the_server)
{
    uint64_t serial, answered;

    put(P "a", "1");
    begin_mirror(NULL);
    is_the_store();
    serial = nd_mirror_serial(mirror);
    help_etcd_kill(&real);
    UNTIL(now()->silent_since) help_sleep_ms(10);
    answered = now()->answered;
    assert_int_equal(now()->silent_since, answered);
    assert_int_equal(now()->connected_since, 0);
    assert_non_null(strstr(now()->why, real.config.url[0]));
    UNTIL(nd_mirror_serial(mirror) > serial) help_sleep_ms(1); /* that it is silent is told behind that */
    assert_true(has(P "a", "1"));                              /* it stays */
    help_etcd_again(&real, real.port);
    put(P "a", "2");
    ctl("put " P "b 3");
    is_the_store();
    assert_true(now()->connected_since > answered);
    assert_string_equal(now()->why, "");
    assert_int_equal(now()->reads, 2); /* who knows what server that is */
}

/* While the mirror does not hear it: the server answers elsewhere. */
REAL(a_mirror_outlives_a_compaction)
{
    uint16_t port = real.port;
    int64_t revision;

    put(P "gone", "1");
    begin_mirror(NULL);
    is_the_store();
    help_etcd_kill(&real);
    struct help_real_etcd elsewhere = real; /* the mirror reads real.config */

    help_etcd_again(&elsewhere, help_free_port("127.0.0.1"));
    help_etcdctl(&elsewhere, "put " P "a 1");
    help_etcdctl(&elsewhere, "del " P "gone");
    help_etcdctl(&elsewhere, "put " P "a 2");
    revision = now()->revision;
    help_etcdctl(&elsewhere, "compact %ld", revision + 3);
    help_etcd_kill(&elsewhere);
    help_etcd_again(&real, port);
    is_the_store();
    assert_int_equal(now()->reads, 2);
    assert_true(has(P "gone", NULL));
    put(P "a", "3");
    is_the_store();
}

/* As after a restore from a backup that knows less. */
REAL(a_mirror_outlives_a_store_that_has_gone_back)
{
    put(P "a", "1");
    put(P "a", "2");
    put(P "b", "2");
    begin_mirror(NULL);
    is_the_store();
    help_etcd_kill(&real);
    UNTIL(now()->silent_since) help_sleep_ms(5);
    help_etcd_forget(&real);
    help_etcd_again(&real, real.port);
    UNTIL(now()->connected_since) help_sleep_ms(1);
    assert_true(has(P "a", NULL)); /* never were the old keys taken for the new store's */
    put(P "c", "3");
    is_the_store();
    assert_int_equal(now()->reads, 2);
}

/* And was written to since, by those who came back sooner: its revision tells nothing. */
REAL(a_mirror_outlives_a_store_that_has_gone_back_and_on)
{
    uint16_t port = real.port;
    int64_t revision;

    put(P "a", "1");
    put(P "a", "2");
    begin_mirror(NULL);
    is_the_store();
    revision = now()->revision;
    help_etcd_kill(&real);
    UNTIL(now()->silent_since) help_sleep_ms(5);
    help_etcd_forget(&real);
    struct help_real_etcd elsewhere = real;

    help_etcd_again(&elsewhere, help_free_port("127.0.0.1"));
    for (int64_t i = 0; i < revision + 3; i++)
        help_etcdctl(&elsewhere, "put " P "b %ld", i);
    help_etcd_kill(&elsewhere);
    help_etcd_again(&real, port);
    UNTIL(now()->connected_since) help_sleep_ms(1);
    assert_true(has(P "a", NULL));
    is_the_store();
    put(P "c", "3");
    is_the_store();
}

/* The others are heard, of the stream and where it begins. */
REAL(a_value_that_is_too_long_is_empty)
{
    ctl("put " P "long \"$(head -c 65537 /dev/zero | tr '\\0' x)\" >/dev/null");
    put(P "a", "1");
    begin_mirror(NULL);
    ctl("put " P "longer \"$(head -c 120000 /dev/zero | tr '\\0' x)\" >/dev/null");
    put(P "a", "2");
    UNTIL(has(P "a", "2")) help_sleep_ms(10);
    assert_true(has(P "long", ""));
    assert_true(has(P "longer", ""));
    ctl("del " P "long");
    ctl("del " P "longer");
    UNTIL(has(P "longer", NULL)) help_sleep_ms(10);
    is_the_store();
}

/* ---- the lease ---- */

static bool is_held(void)
{
    return now()->lease && status.lease_until > ft_now();
}

static bool is_there(const char *value)
{
    char *said = help_etcdctl(&real, "get --print-value-only " OWN);

    return strlen(said) == strlen(value) + (*value != 0) && strncmp(said, value, strlen(value)) == 0;
}

static void say(const char *value)
{
    DONE(nd_mirror_say(mirror, value, strlen(value), &fault));
}

REAL(a_key_is_there_while_its_lease_is_kept)
{
    int64_t lease;

    begin_mirror(OWN);
    help_sleep_ms(300);
    assert_false(is_held()); /* nothing was said */
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    lease = now()->lease;
    assert_true(is_there("one"));
    UNTIL(has(OWN, "one")) help_sleep_ms(5);
    assert_int_equal(nd_keys_find(nd_mirror_lock(mirror), OWN)->lease, lease);
    nd_mirror_unlock(mirror);
    say("two");
    say("three");
    UNTIL(!now()->unsaid_since) help_sleep_ms(5);
    assert_true(is_there("three"));
    for (unsigned i = 0; i < 300; i++) { /* half again as long as it lasts */
        if (!is_held())
            fail_msg("not held after %u0 ms: %s", i, status.lease_why);
        assert_true(status.lease_until <= ft_now() + 2 * S);
        help_sleep_ms(10);
    }
    assert_true(is_there("three"));
    assert_int_equal(now()->lease, lease);
    assert_int_equal(now()->leases, 1);
}

/* Whoever looks at the keys may take longer than the lease lasts. */
REAL(a_lease_is_kept_while_the_mirror_waits)
{
    begin_mirror(OWN);
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    nd_mirror_lock(mirror);
    put(P "a", "1");
    for (unsigned i = 0; i < 30; i++) {
        assert_true(is_held());
        help_sleep_ms(100);
    }
    assert_int_equal(status.leases, 1);
    nd_mirror_unlock(mirror);
    UNTIL(has(P "a", "1")) help_sleep_ms(5);
}

/* The first server hangs before anything was asked, or later: the other one is asked. */
REAL(another_server_is_asked)
{
    struct nd_etcd_config two = real.config;
    const struct nd_mirror_config config = {.etcd = &two, .prefix = P, .key = OWN, .ttl_s = 4};
    int fd = help_etcd_listen(two.url[0]); /* takes connections, and never answers */

    two.urls = 2;
    snprintf(two.url[1], sizeof(two.url[1]), "%s", real.config.url[0]);
    DONE(nd_mirror_start(&mirror, &config, &fault));
    say("one");
    UNTIL(now()->connected_since && is_held()) help_sleep_ms(5);
    put(P "a", "1");
    is_the_store();
    assert_string_equal(now()->server, real.config.url[0]);
    help_sleep_ms(4300); /* longer than the lease */
    assert_true(is_held());
    assert_int_equal(now()->leases, 1);
    assert_int_equal(now()->failures, 0);
    nd_mirror_stop(mirror, false);
    mirror = NULL;
    close(fd);
}

REAL(a_lease_that_was_lost_is_granted_again)
{
    int64_t lease;

    begin_mirror(OWN);
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    lease = now()->lease;
    help_etcdctl(&real, "lease revoke %lx", lease);
    UNTIL(is_held() && now()->leases == 2) help_sleep_ms(5);
    assert_true(now()->lease != lease);
    assert_true(is_there("one"));
    is_the_store();
}

REAL(a_key_that_was_deleted_is_put_again)
{
    begin_mirror(OWN);
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    is_the_store();
    ctl("del " OWN);
    UNTIL(is_there("one")) help_sleep_ms(20);
    assert_int_equal(now()->leases, 1);
}

/* As etcd does by itself when its quota is full. */
static int fill(struct nd_etcd *e, const char *server, void *arg, struct ft_fault *why)
{
    struct nd_etcd_reply reply;

    return nd_etcd_post(e, server, "/v3/maintenance/alarm", "{\"action\":\"ACTIVATE\",\"alarm\":\"NOSPACE\"}",
                        &reply, why);
}

/* A store that is full keeps leases and takes no value: what stands at the key is of before, and people and
 * programs would go by it for as long as the lease is kept. */
REAL(a_key_whose_value_is_refused_goes)
{
    begin_mirror(OWN);
    say("one");
    UNTIL(is_held() && !now()->unsaid_since) help_sleep_ms(5);
    DONE(nd_etcd_ask(writer, fill, NULL, &fault));
    help_sleep_ms(2300);
    assert_true(is_held()); /* there is nothing new */
    assert_int_equal(now()->unsaid_since, 0);
    uint64_t began = ft_now();

    say("two");
    UNTIL(now()->lease_why[0]) help_sleep_ms(5);
    assert_non_null(strstr(status.lease_why, "space"));
    assert_in_range(status.unsaid_since, began, ft_now());
    assert_true(is_there("one"));
    UNTIL(is_there("")) help_sleep_ms(20);
    assert_true(ft_now() - began >= 2 * S);
    assert_false(is_held());
    assert_true(now()->connected_since);
    ctl("alarm disarm");
    UNTIL(is_there("two")) help_sleep_ms(20);
    UNTIL(is_held()) help_sleep_ms(5);
    assert_int_equal(now()->unsaid_since, 0);
}

/* A backup has the lease, which lasts for as long as its user, and what was said when it was taken. */
REAL(what_a_backup_says_is_put_again)
{
    uint16_t port = real.port;

    begin_mirror(OWN);
    say("now");
    UNTIL(is_held()) help_sleep_ms(5);
    is_the_store();
    help_etcd_kill(&real);
    UNTIL(now()->lease_why[0]) help_sleep_ms(5);
    struct help_real_etcd elsewhere = real;

    help_etcd_again(&elsewhere, help_free_port("127.0.0.1"));
    help_etcdctl(&elsewhere, "put --lease=%lx " OWN " then", now()->lease);
    help_etcd_kill(&elsewhere);
    help_etcd_again(&real, port);
    UNTIL(is_there("now")) help_sleep_ms(20);
    UNTIL(is_held()) help_sleep_ms(5);
    is_the_store();
    assert_int_equal(now()->leases, 1);
}

/* It knows by its own clock, from before the last request, that others may not see the key any more. */
REAL(a_lease_runs_out_while_the_server_is_silent)
{
    uint64_t began, until;

    begin_mirror(OWN);
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    help_etcd_stop(&real);
    began = ft_now();
    until = now()->lease_until;
    UNTIL(!is_held()) help_sleep_ms(5);
    assert_true(status.lease_until <= began + 2 * S); /* whenever this thread looks */
    assert_true(status.lease_until < until + S);
    UNTIL(now()->lease_why[0]) help_sleep_ms(5);
    UNTIL(now()->silent_since) help_sleep_ms(5);
    kill(real.pid, SIGCONT);
    UNTIL(is_held()) help_sleep_ms(5);
    is_the_store();
    assert_true(is_there("one"));
    assert_string_equal(now()->lease_why, "");
}

REAL(who_leaves_takes_the_key_along)
{
    begin_mirror(OWN);
    say("one");
    UNTIL(is_held()) help_sleep_ms(5);
    nd_mirror_stop(mirror, false);
    assert_true(is_there("one"));
    begin_mirror(OWN);
    say("two");
    UNTIL(is_held()) help_sleep_ms(5);
    assert_true(is_there("two"));
    help_sleep_ms(2500); /* the first lease is over, and the key is the second one's */
    assert_true(is_there("two"));
    nd_mirror_stop(mirror, true);
    mirror = NULL;
    assert_true(is_there(""));
}

TEST_WITH(nobody_answers, NULL, end)
{
    struct nd_etcd_config none = {.url = {"http://127.0.0.1:1", "http://127.0.0.1:2"}, .urls = 2};
    const struct nd_mirror_config config = {.etcd = &none, .prefix = P, .key = OWN, .ttl_s = 2};
    uint64_t began = ft_now();

    DONE(nd_mirror_start(&mirror, &config, &fault));
    say("one");
    UNTIL(now()->failures > 1 && now()->lease_why[0]) help_sleep_ms(5);
    assert_false(now()->whole);
    assert_in_range(now()->silent_since, began, ft_now());
    assert_false(is_held());
    assert_non_null(strstr(now()->why, "http://127.0.0.1:"));
    nd_mirror_stop(mirror, true);
    mirror = NULL;
}

/* ---- TLS and users ---- */

static int begin_secure(void **state)
{
    FILE *out;

    help_etcd_begin(&real, true);
    ctl("user add root:root");
    ctl("user grant-role root root");
    ctl("role add fleet");
    ctl("role grant-permission --prefix=true fleet readwrite " P);
    ctl("user add fleet:secret");
    ctl("user grant-role fleet fleet");
    ctl("auth enable");
    snprintf(real.config.user, sizeof(real.config.user), "fleet");
    snprintf(real.config.password_file, sizeof(real.config.password_file), "%s/password", real.dir);
    umask(077);
    out = fopen(real.config.password_file, "w");
    assert_non_null(out);
    fputs("secret\n", out);
    fclose(out);
    return 0;
}

/* Tokens last for two seconds here, and none outlives the server. */
TEST_WITH(a_user_mirrors_by_tls, begin_secure, end)
{
    begin_mirror(OWN);
    say("one");
    UNTIL(is_held() && has(OWN, "one")) help_sleep_ms(5);
    help_sleep_ms(2300);
    help_etcdctl(&real, "--user root:root put " P "a 1");
    UNTIL(has(P "a", "1")) help_sleep_ms(5);
    assert_int_equal(now()->failures, 0);
    help_etcd_kill(&real);
    UNTIL(now()->silent_since) help_sleep_ms(5);
    help_etcd_again(&real, real.port);
    help_etcdctl(&real, "--user root:root put " P "a 2");
    UNTIL(has(P "a", "2")) help_sleep_ms(5);
    assert_int_equal(now()->reads, 2);
    UNTIL(is_held()) help_sleep_ms(5);
    help_etcdctl(&real, "--user root:root role revoke-permission --prefix=true fleet " P);
    UNTIL(strstr(now()->why, "permission denied")) help_sleep_ms(20);
    assert_null(strstr(now()->why, "secret"));
}
