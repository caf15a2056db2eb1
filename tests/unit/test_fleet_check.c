/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fleet's file may not say though each part of it can be read: two shards with one address, MAC or
 * place for metrics, and a node that has no pair file on one of the servers.
 */
#include "fleet/check.h"
#include "fleet/here.h"
#include "understudy/config/options.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <pwd.h>
#include <sys/stat.h>

/* Nine servers: the nodes of eight stand in one pair file, so one is left. */
static const char base[] =
    "fleet: edge\n"
    "arbiter: {etcd: [\"http://192.0.2.99:2379\"]}\n"
    "state: /st\n"
    "run: /rn\n"
    "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}, d: {host: 192.0.2.4},\n"
    "          e: {host: 192.0.2.5}, f: {host: 192.0.2.6}, g: {host: 192.0.2.7}, h: {host: 192.0.2.8},\n"
    "          i: {host: 192.0.2.9}}\n"
    "shards:\n"
    "  south: {port: 4702, with: {name: south, in: 10.2.0.1, six: 2001:db8:2::1, out: 203.0.113.2, own: "
    "203.0.113.12,\n"
    "    mac: 02:00:00:00:00:02, metrics: 9102}}\n"
    "  north: {port: 4701, with: {name: north, in: 10.1.0.1, six: 2001:db8:1::1, out: 203.0.113.1, own: "
    "203.0.113.11,\n"
    "    mac: 02:00:00:00:00:01, metrics: 9101}}\n"
    "pair:\n"
    "  chain: {name: $(name), nfs: [probe: {outside: $(own)}]}\n"
    "  link: {key: $(dir)/fleet.key}\n"
    "  interfaces:\n"
    "    - {name: inside, side: inside, address: $(in)/16, address6: $(six)/64, mac: $(mac)}\n"
    "    - {name: outside, side: outside, address: $(out)/24}\n"
    "node:\n"
    "  ports: {inside: $(name)0, outside: $(name)1}\n"
    "  metrics: $(host):$(metrics)\n";

static char *notes; /* lines of the last check */

/* "" where it is whole; else the text behind the directory. */
static const char *refusal_of(const char *find, const char *replace)
{
    static struct ft_fault fault;
    char *text = help_config_replace(base, find ? find : "", find ? replace : "");
    struct fl_file *file = NULL;
    const char *dir = help_config_dir();
    size_t size;
    FILE *out;
    int error;

    fault.text[0] = 0;
    if (fl_file_read(&file, help_config_file("f.yaml", text, strlen(text)), &fault))
        fail_msg("%s", fault.text);
    free(notes);
    notes = NULL;
    assert_non_null(out = open_memstream(&notes, &size));
    error = fl_check(file, out, &fault);
    fclose(out);
    assert_int_equal(error, fault.text[0] ? FT_EMALFORMED : 0);
    assert_null(strchr(fault.text, '\n'));
    fl_file_free(file);
    return strncmp(fault.text, dir, strlen(dir)) == 0 ? fault.text + strlen(dir) + 1 : fault.text;
}

TEST(a_fleet_in_which_all_differs_is_whole)
{
    assert_string_equal(refusal_of(NULL, NULL), "");
    /* An address may stand twice in one shard: it is answered for once. */
    assert_string_equal(refusal_of("own: 203.0.113.11", "own: 203.0.113.1"), "");
}

/* Of each kind one; not the password of an agent whose file depends on the server. */
TEST(a_file_that_is_not_there_is_named)
{
    static const char with_users[] =
        "https://192.0.2.99:2379\"], ca: /no/ca.pem, user: e-$(server), password_file: $(server).password}\n"
        "shard_etcd: {user: e-$(shard), password_file: /no/$(shard).password}",
                      line[] = "understudy: %s %s is not here: each server needs it%s\n";
    char key[FL_PATH_MAX], expected[1024];
    const char *made = help_config_file("fleet.key", "k", 1);
    int n;

    snprintf(key, sizeof(key), "%s", made);
    assert_string_equal(refusal_of(NULL, NULL), "");
    assert_string_equal(notes, "");
    unlink(key);
    assert_string_equal(refusal_of(NULL, NULL), "");
    snprintf(expected, sizeof(expected), line, "the link's key", key, " (understudy key makes one)");
    assert_string_equal(notes, expected);
    assert_string_equal(refusal_of("http://192.0.2.99:2379\"]}", with_users), "");
    n = snprintf(expected, sizeof(expected), line, "arbiter.ca", "/no/ca.pem", "");
    n += snprintf(expected + n, sizeof(expected) - (size_t)n, line, "the link's key", key,
                  " (understudy key makes one)");
    snprintf(expected + n, sizeof(expected) - (size_t)n, line, "shard_etcd.password_file",
             "/no/north.password", "");
    assert_string_equal(notes, expected);
    help_config_file("fleet.key", "k", 1);
}

/* Whose frames both nodes would get where both run. */
TEST(a_port_of_two_shards_is_named)
{
    static const char expected[] = "understudy: shards north and south have one interface, %s on server a: "
                                   "each gets the other's frames\n";

    assert_string_equal(refusal_of("inside: $(name)0", "inside: \"net_af_packet0,iface=eth7\""), "");
    assert_string_equal(notes, help_print(expected, "eth7"));
    assert_string_equal(refusal_of("inside: $(name)0", "inside: \"0000:01:00.0,a=1\""), "");
    assert_string_equal(notes, help_print(expected, "0000:01:00.0"));
    assert_string_equal(refusal_of("inside: $(name)0", "inside: net_null0"), "");
    assert_string_equal(notes, "");
}

#define SHARED(what) "f.yaml:9: shards north and south have one " what ", expected two"

TEST(what_two_shards_have_in_common_is_refused)
{
    static const struct {
        const char *find, *replace, *expected;
    } rows[] = {
        {"in: 10.1.0.1", "in: 10.2.0.1", SHARED("address, 10.2.0.1")},
        {"six: 2001:db8:1::1", "six: 2001:db8:2::1", SHARED("address, 2001:db8:2::1")},
        {"out: 203.0.113.1,", "out: 203.0.113.2,", SHARED("address, 203.0.113.2")},
        /* What an NF answers for, beside another's own, or the address of another's interface. */
        {"own: 203.0.113.11", "own: 203.0.113.12", SHARED("address, 203.0.113.12")},
        {"own: 203.0.113.11", "own: 203.0.113.2", SHARED("address, 203.0.113.2")},
        {"mac: 02:00:00:00:00:01", "mac: 02:00:00:00:00:02", SHARED("MAC, 02:00:00:00:00:02")},
        /* A MAC is made of the chain's name: FNV-1a of "south", and the second interface. */
        {"name: north,", "name: south,", SHARED("MAC, 02:0e:27:2d:7a:02")},
        {"metrics: 9101", "metrics: 9102", SHARED("metrics address, 192.0.2.1:9102 on server a")},
        {"{host: 192.0.2.2}", "{host: 192.0.2.2, metrics: 192.0.2.2:9102}",
         "f.yaml:9: shard south and an agent have one metrics address, 192.0.2.2:9102 on server b, expected "
         "two"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(refusal_of(rows[i].find, rows[i].replace), rows[i].expected);
}

/* Told as of the file that the agent would write. The last server's node alone is wrong in the second one. */
TEST(a_node_that_cannot_be_read_on_one_server_is_refused)
{
    assert_string_equal(refusal_of("metrics: $(host):$(metrics)", "metrics: $(host):x"),
                        "f.yaml: the pair file of shard north: /st/north-a.yaml:7: node north-a metrics is "
                        "\"192.0.2.1:x\", expected A.B.C.D:PORT");
    assert_string_equal(
        refusal_of("metrics: $(host):$(metrics)", "metrics: 192.0.2.9:4701"),
        "f.yaml: the pair file of shard north: /st/north-h.yaml:8: node north-i metrics is its "
        "replication address, expected another port");
}

static char *judged; /* lines of it */
static struct {
    const char *find, *replace; /* in the file; NULL: nothing */
    const char *agent;          /* its user; NULL: who asks */
} other;

/* On a server of the fleet, or, with `replace` NULL, on no such machine. Returns the exit code. */
static int judge_here(const char *replace)
{
    static const char with_users[] =
        "https://192.0.2.99:2379\"], user: e-$(server), password_file: $(server).password}\n"
        "shard_etcd: {user: e-$(shard), password_file: $(dir)/$(shard).password}";
    char *users = help_config_replace(base, "http://192.0.2.99:2379\"]}", with_users),
         *whole = other.find ? help_config_replace(users, other.find, other.replace) : users,
         *text = help_config_replace(whole, "{host: 192.0.2.2}", replace ? replace : "{host: 192.0.2.22}");
    struct fl_file *file = NULL;
    size_t size;
    FILE *out;

    help_done(fl_file_read(&file, help_config_file("f.yaml", text, strlen(text)), &help_fault));
    assert_int_equal(fl_here(file), replace ? 1 : FL_NONE);
    file->self = fl_here(file);
    assert_int_equal(fl_file_speak_as(file, replace ? "b" : FL_OPERATOR, &help_fault), 0);
    free(judged);
    assert_non_null(out = open_memstream(&judged, &size));
    int code = fl_here_judge(file, other.agent ? other.agent : "", out);

    fclose(out);
    fl_file_free(file);
    return code;
}

static void make_secret(const char *name, const char *text)
{
    assert_int_equal(chmod(help_config_file(name, text, strlen(text)), 0600), 0);
}

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"

/* By the functions that agent and nodes read them by. */
TEST(what_a_server_has_beside_the_file_is_judged)
{
    static const char here[] = "{host: 127.0.0.1}";
    const char *dir = help_config_dir();
    char expected[1024];

    make_secret("fleet.key", KEY);
    assert_int_equal(judge_here(here), ND_DATA);
    snprintf(expected, sizeof(expected),
             "understudy: the agent of server b is not heard by etcd: %s/b.password: No such file or "
             "directory\n"
             "understudy: nodes of shard north and of 1 more have no arbiter here: %s/north.password: No "
             "such file or directory\n",
             dir, dir);
    assert_string_equal(judged, expected);
    make_secret("b.password", "x\n");
    make_secret("north.password", "x\n");
    make_secret("south.password", "x\n");
    assert_int_equal(judge_here(here), ND_DONE);
    assert_string_equal(judged, "");
    make_secret("south.password", "");
    assert_int_equal(judge_here(here), ND_DATA);
    snprintf(expected, sizeof(expected),
             "understudy: nodes of shard south have no arbiter here: %s/south.password: no password, "
             "expected one line of 1 to 254 bytes\n",
             dir);
    assert_string_equal(judged, expected);
    make_secret("south.password", "x\n");
    make_secret("fleet.key", "k");
    assert_int_equal(judge_here(here), ND_DATA);
    snprintf(expected, sizeof(expected),
             "understudy: nodes of shard north and of 1 more do not start here: %s/fleet.key:1: expected 64 "
             "hexadecimal digits, on at most 2 lines\n",
             dir);
    assert_string_equal(judged, expected);
}

/* By the functions that a node's start judges them by, and who may act on the nodes. */
TEST(what_a_server_lacks_is_judged)
{
    static const struct {
        const char *find, *replace, *host, *agent, *expected;
        int code;
    } rows[] = {
        {"ports: {inside: $(name)0", "ports: {inside: \"net_af_packet0,iface=nosuch$(name)\"",
         "{host: 127.0.0.1}", NULL,
         "understudy: nodes of shard north and of 1 more do not start here: port inside: "
         "'net_af_packet0,iface=nosuchnorth' cannot be opened: No such device\n",
         ND_DATA},
        {"ports: {inside: $(name)0", "ports: {inside: \"net_af_packet0,ifcae=lo\"", "{host: 127.0.0.1}", NULL,
         "understudy: nodes of shard north and of 1 more do not start here: port inside: "
         "'net_af_packet0,ifcae=lo' cannot be opened: \"ifcae=lo\" is no argument of net_af_packet, which "
         "has iface qpairs blocksz framesz framecnt qdisc_bypass fanout_mode\n",
         ND_DATA},
        {NULL, NULL, "{host: 127.0.0.1, metrics: 192.0.2.77:9469}", NULL,
         "understudy: the agent of server b does not start here: metrics 192.0.2.77:9469: expected an "
         "address of this host\n",
         ND_NO_ANSWER},
        {"state: /st\n", "state: /st\nuser: nobody\n", "{host: 127.0.0.1, metrics: 192.0.2.77:9469}",
         "daemon",
         "understudy: the agent of server b is not heard by nodes: user daemon is not in group nogroup, "
         "expected it there: the control sockets of user nobody are that group's\n"
         "understudy: the agent of server b does not start here: metrics 192.0.2.77:9469: expected an "
         "address of this host\n",
         ND_NO_PERMISSION},
    };

    make_secret("fleet.key", KEY);
    make_secret("b.password", "x\n");
    make_secret("north.password", "x\n");
    make_secret("south.password", "x\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].agent && geteuid() != 0) /* nobody else becomes another user */
            continue;
        if (rows[i].agent)
            assert_int_equal(chmod(help_config_dir(), 0755), 0);
        for (int k = 0; rows[i].agent && k < 4; k++) {
            static const char *const names[] = {"fleet.key", "north.password", "south.password",
                                                "b.password"};
            char path[200];

            snprintf(path, sizeof(path), "%s/%s", help_config_dir(), names[k]);
            assert_int_equal(chown(path, getpwnam(k < 3 ? "nobody" : "daemon")->pw_uid, 0), 0);
        }
        other.find = rows[i].find;
        other.replace = rows[i].replace;
        other.agent = rows[i].agent;
        assert_int_equal(judge_here(rows[i].host), rows[i].code);
        assert_string_equal(judged, rows[i].expected);
        other.find = other.agent = NULL;
    }
}

/* Where commands are given there need be no key of a shard. */
TEST(where_no_server_is_the_password_of_commands_is_judged)
{
    const char *dir = help_config_dir();
    char expected[512];

    assert_int_equal(judge_here(NULL), ND_DATA);
    snprintf(expected, sizeof(expected),
             "understudy: commands that are given here are not heard by etcd: %s/operator.password: No such "
             "file or directory\n",
             dir);
    assert_string_equal(judged, expected);
    make_secret("operator.password", "x\n");
    assert_int_equal(judge_here(NULL), ND_DONE);
    assert_string_equal(judged, "");
}

TESTS_SHARE(NULL, help_config_clean)
