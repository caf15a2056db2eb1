/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's file: what is wrong in it is refused in one line with its position; and the pair file that is
 * made of it says what the fleet's file says, whatever characters that has. What YAML takes a value for is
 * asked of libyaml, and what a node takes it for of the pair file's reader.
 */
#include "fleet/file.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <yaml.h>

static const char base[] = "fleet: edge\n"
                           "arbiter: {etcd: [\"http://192.0.2.9:2379\"]}\n"
                           "state: st\n"
                           "run: /rn\n"
                           "servers:\n"
                           "  s3: {host: 192.0.2.3, nodes: 5, cores: 8, mpps: 3, memory_mb: 4096}\n"
                           "  s2: {host: 192.0.2.2, zone: left}\n"
                           "  a-1: {host: 192.0.2.1, zone: left}\n"
                           "shards:\n"
                           "  south: {port: 4702, with: {in: y0, out: y1}}\n"
                           "  north: {port: 4701, on: [s2, a-1], with: {in: x0, out: x1}}\n"
                           "pair:\n"
                           "  chain: {name: $(shard), nfs: [bare]}\n"
                           "  link: {key: $(dir)/fleet.key}\n"
                           "node:\n"
                           "  ports: {inside: $(in), outside: \"$(out)@$(server)@$(node)@$(host)\"}\n";

/* "" where it was read; else the text behind the directory. */
static const char *refusal_of(const char *text)
{
    static struct ft_fault fault;
    struct fl_file *file = NULL;
    const char *dir = help_config_dir();
    int error;

    fault.text[0] = 0;
    error = fl_file_read(&file, help_config_file("f.yaml", text, strlen(text)), &fault);
    assert_int_equal(!error, file != NULL);
    fl_file_free(file);
    if (error)
        assert_null(strchr(fault.text, '\n'));
    return strncmp(fault.text, dir, strlen(dir)) == 0 ? fault.text + strlen(dir) + 1 : fault.text;
}

static struct fl_file *read_text(const char *text)
{
    struct fl_file *file = NULL;

    help_done(fl_file_read(&file, help_config_file("f.yaml", text, strlen(text)), &help_fault));
    return HELP_OWNED(file, fl_file_free);
}

/* With one place of `base` replaced. */
static struct fl_file *read_changed(const char *find, const char *replace)
{
    return read_text(help_config_replace(base, find, replace));
}

/* ---- refusals ---- */

static void refuse_changes(const struct change *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(refusal_of(help_config_replace(base, all[i].find, all[i].replace)),
                            all[i].expected);
}

#define REFUSE(all) refuse_changes(all, sizeof(all) / sizeof((all)[0]))

TEST(sections_are_refused_by_position)
{
    static const struct change all[] = {
        {"fleet: edge\n", "",
         "f.yaml:1: fleet is missing, expected a name of at most 31 letters, digits, - and _"},
        {"edge", "a/b", "f.yaml:1: fleet is a/b, expected a name of at most 31 letters, digits, - and _"},
        {"edge", "abcdefghijklmnopqrstuvwxyz012345",
         "f.yaml:1: fleet is abcdefghijklmnopqrstuvwxyz012345, expected a name of at most 31 letters, "
         "digits, - and _"},
        {"edge\n", "edge\nheal: 3\n", "f.yaml:2: unknown key \"heal\" in the file, expected \"heals\"?"},
        {"edge\n", "edge\nheals: 0\n", "f.yaml:2: heals is 0, expected a number from 1 to 1000"},
        {"edge\n", "edge\nheals: 1001\n", "f.yaml:2: heals is 1001, expected a number from 1 to 1000"},
        {"edge\n", "edge\nheals: \"4\"\n", "f.yaml:2: heals is \"4\", expected a number from 1 to 1000"},
        {"edge\n", "edge\nhold_down_s: 86401\n",
         "f.yaml:2: hold_down_s is 86401, expected a number from 1 to 86400"},
        {"edge\n", "edge\nuser: []\n", "f.yaml:2: user is a list, expected text of 1 to 32 characters"},
        {"edge\n", "edge\nfleet: again\n",
         "f.yaml:2: duplicate key \"fleet\", expected once (first on line 1)"},
        {"{etcd: [\"http://192.0.2.9:2379\"]}", "{etcd: []}",
         "f.yaml:2: arbiter etcd is empty, expected 1 to 5 URLs"},
        {"{etcd: [", "{key: mine, etcd: [",
         "f.yaml:2: arbiter has a key, expected none: each shard gets its own"},
        {"{etcd: [", "{cert: c, etcd: [",
         "f.yaml:2: arbiter has one of cert and cert_key, expected both or none"},
        {"state: st", "state: []", "f.yaml:3: state is a list, expected text of 1 to 191 characters"},
        {"servers:\n", "servers: &all\n", "f.yaml:5: an anchor, alias or tag, expected a plain value"},
        {"[bare]", "*all", "f.yaml:13: an anchor, alias or tag, expected a plain value"},
        {"[bare]", "!!seq [bare]", "f.yaml:13: an anchor, alias or tag, expected a plain value"},
        {"  chain: {name", "  nodes: {}\n  chain: {name",
         "f.yaml:13: pair has nodes, expected none: the fleet writes it"},
        {"  link: ", "  arbiter: {}\n  link: ",
         "f.yaml:14: pair has arbiter, expected none: the fleet writes it"},
        {"  link: ", "  prefer: $(shard)-s2\n  link: ",
         "f.yaml:14: pair has prefer, expected none: `fleet pin` says where a primary is to be"},
        {"  link: ", "  failback: never\n  link: ",
         "f.yaml:14: pair has failback, expected none: `fleet pin` says where a primary is to be"},
        {"  ports: ", "  role: primary\n  ports: ",
         "f.yaml:16: node has role, expected none: the fleet writes it"},
        {"  ports: ", "  state: /x\n  ports: ",
         "f.yaml:16: node has state, expected none: the fleet writes it"},
        {"node:\n  ports: ", "node: 7\n# ", "f.yaml:15: node is 7, expected a map of settings"},
    };

    REFUSE(all);
}

TEST(servers_are_refused_by_position)
{
    static const struct change all[] = {
        {"  s2: {host", "  s.2: {host",
         "f.yaml:7: server \"s.2\", expected at most 31 letters, digits, - and _"},
        {"  s2: {host", "  -2: {host",
         "f.yaml:7: server \"-2\", expected at most 31 letters, digits, - and _"},
        {"host: 192.0.2.2, ", "", "f.yaml:7: server s2 host is missing, expected an address A.B.C.D"},
        {"192.0.2.2", "rack2", "f.yaml:7: server s2 host is rack2, expected an address A.B.C.D"},
        {"192.0.2.2", "0.0.0.0",
         "f.yaml:7: server s2 host is 0.0.0.0, expected its address, to which nodes of others connect"},
        {"192.0.2.2", "224.0.0.1",
         "f.yaml:7: server s2 host is 224.0.0.1, expected its address, to which nodes of others connect"},
        {"192.0.2.2", "192.0.2.3", "f.yaml:7: servers s3 and s2 have one host, expected two"},
        {"zone: left}\n  a", "zone: a b}\n  a",
         "f.yaml:7: server s2 zone is a b, expected a name of at most 31 letters, digits, - and _"},
        {"nodes: 5", "nodes: 0", "f.yaml:6: server s3 nodes is 0, expected a number from 1 to 190"},
        {"nodes: 5", "nodes: 191", "f.yaml:6: server s3 nodes is 191, expected a number from 1 to 190"},
        {"cores: 8", "cores: -1", "f.yaml:6: server s3 cores is -1, expected a number from 0 to 4096"},
        {"mpps: 3", "mpps: 1e3", "f.yaml:6: server s3 mpps is 1e3, expected a number from 0 to 100000"},
        {"cores: 8", "core: 8", "f.yaml:6: unknown key \"core\" in server s3, expected \"cores\"?"},
    };

    REFUSE(all);
    assert_string_equal(refusal_of("fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\n"
                                   "servers: {a: {host: 192.0.2.1}}\nshards: {}\npair: {}\nnode: {}\n"),
                        "f.yaml:3: 1 servers, expected two or more");
}

TEST(shards_are_refused_by_position)
{
    static const struct change all[] = {
        {"  north: ", "  nor-th: ", "f.yaml:11: shard \"nor-th\", expected at most 31 letters, digits and _"},
        {"port: 4701", "port: 0", "f.yaml:11: shard north port is 0, expected a number from 1 to 65535"},
        {"port: 4701", "port: 65536",
         "f.yaml:11: shard north port is 65536, expected a number from 1 to 65535"},
        {"port: 4701", "port: 4702", "f.yaml:11: shards south and north have one port, expected two"},
        {"port: 4701", "port: 0x10",
         "f.yaml:11: shard north port is 0x10, expected a number from 1 to 65535"},
        {"[s2, a-1]", "[s2, s4]", "f.yaml:11: shard north is on \"s4\", expected a server of this file"},
        {"[s2, a-1]", "[s2, [a-1]]", "f.yaml:11: shard north is on \"\", expected a server of this file"},
        {"[s2, a-1]", "[s2, s2]",
         "f.yaml:11: shard north is on one server twice, expected two servers, that of the primary first"},
        {"[s2, a-1]", "[s2]",
         "f.yaml:11: shard north is on one server, expected two servers, that of the primary first"},
        {"[s2, a-1]", "[]",
         "f.yaml:11: shard north is on none, expected two servers, that of the primary first"},
        {"[s2, a-1]", "[s2, a-1, s3]",
         "f.yaml:11: shard north on is a list, expected a list of at most 2 entries"},
        {"{in: x0", "{in: [x0]", "f.yaml:11: shard north with in is no text, expected one"},
        {"{in: x0", "{shard: x0",
         "f.yaml:11: shard north with shard, which every shard has, expected another name"},
        {"{in: x0", "{host: x0",
         "f.yaml:11: shard north with host, which every shard has, expected another name"},
        {"{in: x0", "{a)b: x0",
         "f.yaml:11: shard north with \"a)b\", expected at most 31 letters, digits, - and _"},
        {"{in: x0", "{a1234567890123456789012345678901: x0",
         "f.yaml:11: shard north with \"a1234567890123456789012345678901\", expected at most 31 letters, "
         "digits, - and _"},
        /* With a-1 it is 28 + 1 + 3 characters; with 27 it is 31. */
        {"  north: ", "  n123456789012345678901234567: ",
         "f.yaml:11: its node on server a-1 would be called n123456789012345678901234567-a-1, expected at "
         "most 31 characters"},
        {"  north: ", "  n12345678901234567890123456: ", ""},
    };

    REFUSE(all);
}

TEST(a_file_that_is_not_there_is_refused)
{
    struct fl_file *file;

    assert_int_equal(fl_file_read(&file, "/nowhere/fleet.yaml", &help_fault), FT_ENOENT);
    assert_null(file);
    assert_string_equal(
        help_fault.text,
        "/nowhere/fleet.yaml: cannot be opened (No such file or directory), expected a readable file");
    assert_string_equal(refusal_of(""), "f.yaml:1: empty file, expected a configuration");
    fl_file_free(NULL);
}

/* ---- what is read ---- */

TEST(servers_and_shards_are_in_the_order_of_their_names)
{
    struct fl_file *file = read_text(base);

    assert_string_equal(file->name, "edge");
    assert_int_equal(file->heals, 4);
    assert_int_equal(file->hold_down_s, 60);
    assert_string_equal(file->user, "");
    assert_string_equal(file->etcd.owner, "");
    assert_int_equal(file->servers, 3);
    assert_string_equal(file->server[0].name, "a-1");
    assert_string_equal(file->server[1].name, "s2");
    assert_string_equal(file->server[2].name, "s3");
    assert_string_equal(file->server[0].zone, "left");
    assert_string_equal(file->server[2].zone, "");
    assert_string_equal(file->server[2].host, "192.0.2.3");
    assert_int_equal(file->server[2].nodes, 5);
    assert_int_equal(file->server[0].nodes, 64);
    assert_true(file->server[2].cores == 8 && file->server[2].mpps == 3 && file->server[2].memory_mb == 4096);
    assert_int_equal(file->shards, 2);
    assert_string_equal(file->shard[0].name, "north");
    assert_int_equal(file->shard[0].port, 4701);
    assert_int_equal(file->shard[0].on[0], 1);
    assert_int_equal(file->shard[0].on[1], 0);
    assert_int_equal(file->shard[1].on[0], FL_NONE);
    assert_int_equal(file->shard[1].on[1], FL_NONE);
    assert_int_equal(fl_file_server(file, "s3"), 2);
    assert_int_equal(fl_file_server(file, "s"), FL_NONE);
    assert_int_equal(fl_file_shard(file, "south"), 1);
    assert_int_equal(fl_file_shard(file, ""), FL_NONE);
}

TEST(a_node_is_called_by_shard_and_server)
{
    struct fl_file *file = read_text(base);
    char name[FL_NAME_MAX], path[FL_PATH_MAX];

    assert_string_equal(fl_node_name(name, file, 0, 0), "north-a-1");
    assert_string_equal(fl_node_socket(path, file, 0, 0), "/rn/north-a-1.sock");
    assert_int_equal(fl_node_server(file, 0, "north-a-1"), 0);
    assert_int_equal(fl_node_server(file, 0, "north-s3"), 2);
    /* Servers that the file does not have are known by their names from then on. */
    assert_int_equal(fl_node_server(file, 0, "north-a"), 3);
    assert_int_equal(fl_node_server(file, 0, "north-s33"), 4);
    assert_int_equal(fl_node_server(file, 1, "south-a"), 3);
    assert_int_equal(fl_file_all(file), 5);
    assert_int_equal(fl_node_server(file, 0, "south-s3"), FL_NONE);
    assert_int_equal(fl_node_server(file, 0, "north"), FL_NONE);
    assert_int_equal(fl_node_server(file, 0, "north-"), FL_NONE);
    assert_int_equal(fl_node_server(file, 0, ""), FL_NONE);
}

TEST(the_longest_name_of_a_node_is_one)
{
    struct fl_file *file = read_changed("  north: ", "  n12345678901234567890123456: ");
    char name[FL_NAME_MAX];

    assert_string_equal(fl_node_name(name, file, 0, 0), "n12345678901234567890123456-a-1");
    assert_int_equal(fl_node_server(file, 0, name), 0);
}

/* Where the file lies goes for its paths, from wherever it is read. */
TEST(paths_do_not_depend_on_where_it_is_read)
{
    struct fl_file *file;
    char expected[256], was[512], *text, *pair;
    const uint32_t on[] = {0, 1};

    text = help_config_replace(base, "{etcd:", "{ca: tls/ca.pem, etcd:");
    help_config_file("f.yaml", text, strlen(text));
    assert_non_null(getcwd(was, sizeof(was)));
    assert_int_equal(chdir(help_config_dir()), 0);
    assert_int_equal(fl_file_read(&file, "f.yaml", &help_fault), 0);
    assert_int_equal(chdir(was), 0);
    assert_string_equal(file->dir, help_config_dir());
    snprintf(expected, sizeof(expected), "%s/st", help_config_dir());
    assert_string_equal(file->state, expected);
    assert_string_equal(file->run, "/rn");
    snprintf(expected, sizeof(expected), "%s/tls/ca.pem", help_config_dir());
    assert_string_equal(file->etcd.ca, expected);
    assert_int_equal(fl_file_render(file, 0, on, 2, &pair, &help_fault), 0);
    assert_non_null(strstr(pair, expected));
    free(pair);
    fl_file_free(file);
}

/* ---- the pair file, as a node reads it ---- */

static char *render(const struct fl_file *file, uint32_t shard, const uint32_t on[], unsigned count)
{
    char *text;

    help_done(fl_file_render(file, shard, on, count, &text, &help_fault));
    return HELP_OWNED(text, free);
}

TEST(a_node_reads_who_is_in_the_pair)
{
    static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
    static const uint32_t on[] = {1, 2, 0};
    struct fl_file *file;
    struct nd_config *config = NULL;
    char *text;

    chmod(help_config_file("fleet.key", key, sizeof(key) - 1), 0600);
    file = read_text(base);
    text = render(file, 0, on, 3);
    if (nd_config_read(&config, help_config_file("p.yaml", text, strlen(text)), ND_CONFIG_NODES, &help_fault))
        fail_msg("%s\n%s", help_fault.text, text);
    assert_string_equal(config->chain.name, "north");
    assert_string_equal(config->arbiter.key, "understudy/edge/arbiter/north");
    assert_int_equal(config->arbiter.etcd.urls, 1);
    assert_int_equal(config->nodes, 3);
    assert_string_equal(config->node[0].name, "north-s2");
    assert_string_equal(config->node[1].name, "north-s3");
    assert_string_equal(config->node[2].name, "north-a-1");
    assert_int_equal(config->node[0].role, ND_ROLE_PRIMARY);
    assert_int_equal(config->node[1].role, ND_ROLE_STANDBY);
    assert_int_equal(config->node[2].role, ND_ROLE_SPARE);
    assert_string_equal(config->node[0].host, "192.0.2.2");
    assert_string_equal(config->node[2].host, "192.0.2.1");
    assert_int_equal(config->node[0].tcp_port, 4701);
    assert_int_equal(config->node[2].tcp_port, 4701);
    assert_string_equal(config->node[1].control, "/rn/north-s3.sock");
    assert_string_equal(config->node[1].state, help_print("%s/st/north-s3", help_config_dir()));
    assert_string_equal(config->node[1].port[0], "x0");
    assert_string_equal(config->node[1].port[1], "x1@s3@north-s3@192.0.2.3");
    assert_string_equal(config->node[2].port[1], "x1@a-1@north-a-1@192.0.2.1");
    nd_config_free(config);
}

/* ---- what libyaml makes of it ---- */

/* Texts in quotes stand in '' where quotes change what the pair file's reader takes them for. */
static void describe(yaml_document_t *of, yaml_node_t *node, char *out, size_t cap)
{
    size_t at = strlen(out);

#define ADD(...) at += (size_t)snprintf(out + at, cap - at, __VA_ARGS__)
    if (node->type == YAML_SCALAR_NODE) {
        bool quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;

        ADD("%s%s%s", quoted ? "'" : "", (const char *)node->data.scalar.value, quoted ? "'" : "");
    } else if (node->type == YAML_SEQUENCE_NODE) {
        ADD("[");
        for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
            ADD("%s", i == node->data.sequence.items.start ? "" : ", ");
            describe(of, yaml_document_get_node(of, *i), out, cap);
            at = strlen(out);
        }
        ADD("]");
    } else {
        ADD("{");
        for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top; i++) {
            ADD("%s%s: ", i == node->data.mapping.pairs.start ? "" : ", ",
                (const char *)yaml_document_get_node(of, i->key)->data.scalar.value);
            describe(of, yaml_document_get_node(of, i->value), out, cap);
            at = strlen(out);
        }
        ADD("}");
    }
#undef ADD
}

/* What stands below `section`, and the key `last` of it, if that is given. */
static const char *by_libyaml(const char *text, const char *section, const char *last)
{
    static char out[8192];
    yaml_parser_t parser;
    yaml_document_t document;
    yaml_node_t *node;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &document))
        fail_msg("%s in\n%s", parser.problem, text);
    node = yaml_document_get_root_node(&document);
    for (const char *key = section; key; key = key == section ? last : NULL) {
        yaml_node_pair_t *i = node->data.mapping.pairs.start;

        while (i < node->data.mapping.pairs.top &&
               strcmp((const char *)yaml_document_get_node(&document, i->key)->data.scalar.value, key) != 0)
            i++;
        if (i == node->data.mapping.pairs.top)
            fail_msg("no %s in\n%s", key, text);
        node = yaml_document_get_node(&document, i->value);
    }
    out[0] = '\0';
    describe(&document, node, out, sizeof(out));
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return out;
}

/* `value` in the place of a chain's NFs: what libyaml finds there in the pair file. */
static void expect_yaml(const char *value, const char *expected)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file = read_changed("[bare]", value);
    char *text = render(file, 0, on, 2);

    assert_string_equal(by_libyaml(text, "chain", "nfs"), expected);
}

TEST(values_come_back_as_they_were)
{
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"a", "a"},
        {"[1, 0x10, 1e3, 007, yes, true, null_, 10.0.0.0/8]",
         "[1, 0x10, 1e3, 007, yes, true, null_, 10.0.0.0/8]"},
        {"[\"1\", '0x10', \"true\", \"yes\", \"null\", \"~\", \"\"]",
         "['1', '0x10', 'true', 'yes', 'null', '~', '']"},
        /* Nothing, in each way to say it, is nothing, and counts as an entry. */
        {"[~, a, null, ]", "[~, a, ~]"},
        {"[a, ~]", "[a, ~]"},
        {"{monitor: , nat: ~, bare: null}", "{monitor: ~, nat: ~, bare: ~}"},
        {"{}", "{}"},
        {"[]", "[]"},
        {"[[], {}, [[a, [b]], {c: {d: [{e: f}]}}]]", "[[], {}, [[a, [b]], {c: {d: [{e: f}]}}]]"},
        /* What would be something else, or nothing, for YAML in a flow. */
        {"\"a \\\" b\"", "'a \" b'"},
        {"'a \\ b'", "'a \\ b'"},
        {"[\"{a: b}\", \"[c]\", \"a, b\", \"a: b\", \"a #b\", \"#\", \"%d\", \"@\", \"`\", \"!x\", \"&x\", "
         "\"*x\", \"|\", \">\", \"? a\", \"- a\", \"-\", \"---\", \"...\", \"'\", \" a \"]",
         "['{a: b}', '[c]', 'a, b', 'a: b', 'a #b', '#', '%d', '@', '`', '!x', '&x', '*x', '|', '>', '? a', "
         "'- a', '-', '---', '...', ''', ' a ']"},
        {"{\"a: b\": 1, \"{\": 2, \"#c\": 3, \"null\": 4, \"\\\"\": 5}",
         "{a: b: 1, {: 2, #c: 3, null: 4, \": 5}"},
        {"\"$\"", "'$'"},
        {"\"$5 (a) $a)\"", "'$5 (a) $a)'"},
        /* Some of these end a line for YAML, or may not stand in a file. */
        {"\"\\u00e4\\u20ac\\U0001f600\"", "'\u00e4\u20ac\U0001f600'"},
        {"\"a\\Nb\\Lc\\Pd\\_e\\ufefff\"", "'a\xc2\x85"
                                          "b\u2028c\u2029d\u00a0e\ufefff'"},
        {"\"\\x80\"", "'\xc2\x80'"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_yaml(rows[i].value, rows[i].expected);
}

TEST(keys_of_sections_come_back_as_they_were)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file = read_changed("  link: {key: $(dir)/fleet.key}", "  \"link: {key: x} #\": $(in)");
    char *text = render(file, 0, on, 2);

    assert_string_equal(by_libyaml(text, "link: {key: x} #", NULL), "x0");
}

TEST(names_of_paths_come_back_as_they_were)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file = read_changed("run: /rn", "run: '/r\"n\\$(shard)'");
    char *text = render(file, 0, on, 2);

    assert_non_null(
        strstr(by_libyaml(text, "nodes", "north-s2"), "control: '/r\"n\\$(shard)/north-s2.sock'"));
}

/* ---- $(NAME) ---- */

TEST(names_stand_for_what_the_shard_has)
{
    expect_yaml("$(in)", "x0");
    expect_yaml("[a$(in)b$(out), $(shard)$(shard), '$(in)']", "[ax0bx1, northnorth, 'x0']");
    expect_yaml("{$(in): {a: [$(out)]}}", "{x0: {a: [x1]}}");
    expect_yaml("$(dir)/x", help_print("%s/x", help_config_dir()));
}

/* The shard's `with` has `in`, of which the chain is made. */
static void expect_given(const char *given, const char *value, const char *expected)
{
    static const uint32_t on[] = {0, 1};
    char *first = help_config_replace(base, "{in: x0", given),
         *second = help_config_replace(first, "[bare]", value), *text;
    struct fl_file *file = read_text(second);

    text = render(file, 0, on, 2);
    assert_string_equal(by_libyaml(text, "chain", "nfs"), expected);
}

TEST(what_a_shard_gives_is_put_in_as_text)
{
    /* Whether it is a number is said where it is used. */
    expect_given("{in: \"7\"", "$(in)", "7");
    expect_given("{in: 7", "\"$(in)\"", "'7'");
    expect_given("{in: \"null\"", "$(in)", "'null'");
    expect_given("{in: \"~\"", "$(in)", "'~'");
    expect_given("{in: \"\"", "[$(in), a]", "['', a]");
    expect_given("{in: ", "[$(in), a]", "['', a]");
    expect_given("{in: \"a, b: {\"", "$(in)", "'a, b: {'");
    /* What is put in is not looked at again. */
    expect_given("{in: \"$(out)\"", "$(in)", "'$(out)'");
    /* Of a pair there is no server. */
    expect_given("{in: a, long123456789012345678901234567: b", "$(long123456789012345678901234567)", "b");
}

static void refuse_render(const char *find, const char *replace, const char *expected)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file = read_changed(find, replace);
    struct ft_fault fault = {""};
    char *text = (char *)1;

    assert_int_equal(fl_file_render(file, 0, on, 2, &text, &fault), FT_EMALFORMED);
    assert_null(text);
    assert_string_equal(fault.text + strlen(help_config_dir()) + 1, expected);
}

TEST(a_name_that_the_shard_does_not_have_is_refused)
{
    static char text[5000];

    refuse_render("[bare]", "[$(inn)]",
                  "f.yaml:13: $(inn) is nothing that shard north has, expected a key of its with");
    refuse_render("[bare]", "[\"$()\"]",
                  "f.yaml:13: $() is nothing that shard north has, expected a key of its with");
    refuse_render("[bare]", "{\"$(x)\": 1}",
                  "f.yaml:13: $(x) is nothing that shard north has, expected a key of its with");
    refuse_render("  link: ", "  $(x): ",
                  "f.yaml:14: $(x) is nothing that shard north has, expected a key of its with");
    /* Not the key that it begins with. */
    refuse_render(
        "[bare]", "[$(in12345678901234567890123456789012)]",
        "f.yaml:13: $(in12345678901234567890123456789012) is nothing that shard north has, expected a key "
        "of its with");
    refuse_render("[bare]", "[\"a$(in\"]", "f.yaml:13: $(in has no end, expected $(NAME)");
    refuse_render("$(dir)/fleet.key", "$(server)",
                  "f.yaml:14: $(server) is nothing that shard north has, expected a key of its with");
    refuse_render("inside: $(in)", "inside: $(inn)",
                  "f.yaml:16: $(inn) is nothing that shard north has, expected a key of its with");
    memset(text, 'a', 4096);
    refuse_render("[bare]", text, "f.yaml:13: a text of more than 4095 bytes, expected fewer");
    text[4095] = '\0';
    expect_yaml(text, text);
}

TEST(the_nodes_user_may_own_what_the_agent_reads)
{
    struct fl_file *file = read_changed("edge\n", "edge\nuser: nobody\n");

    assert_string_equal(file->user, "nobody");
    assert_string_equal(file->etcd.owner, "nobody");
}

TEST(the_arbiter_is_not_replaced_in)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file =
        read_changed("{etcd: [\"http:", "{user: u$(in), password_file: /p, etcd: [\"https:");
    char *text = render(file, 0, on, 2);

    assert_string_equal(by_libyaml(text, "arbiter", NULL),
                        "{key: 'understudy/edge/arbiter/north', user: 'u$(in)', password_file: '/p', "
                        "etcd: ['https://192.0.2.9:2379']}");
}

/* 4,000 times 1,500 bytes, of a file of 30 KB. */
TEST(a_pair_file_that_is_too_long_is_refused)
{
    char *text = malloc(200000), long_text[1500];
    const uint32_t on[] = {0, 1};
    char *pair;

    memset(long_text, 'x', sizeof(long_text));
    char *grown = help_config_replace(base, "in: y0", "in: y0, l: LONG"), name[1600];

    snprintf(name, sizeof(name), "l: %.*s", (int)sizeof(long_text), long_text);
    char *with = help_config_replace(grown, "l: LONG", name);
    char *both = help_config_replace(with, "in: x0", "in: x0, l: short");
    size_t at = (size_t)sprintf(text, "%s  more: [", both);

    for (unsigned i = 0; i < 4000; i++)
        at += (size_t)sprintf(text + at, "%s$(l)", i ? ", " : "");
    sprintf(text + at, "]\n");
    struct fl_file *file = read_text(text);

    assert_int_equal(fl_file_render(file, 1, on, 2, &pair, &help_fault), FT_EMALFORMED);
    assert_null(pair);
    assert_non_null(strstr(help_fault.text, "shard south has a pair file of more than 4194303 bytes"));
    assert_int_equal(fl_file_render(file, 0, on, 2, &pair, &help_fault), 0);
    free(pair);
    free(text);
}

#ifndef __SANITIZE_ADDRESS__
/* Whoever has the reader's user may set its limits (prlimit(2)). A text of which pieces are missing would be
 * another pair file. */
TEST(a_pair_file_is_whole_or_refused_where_memory_ends)
{
    struct fl_file *file = NULL;
    struct ft_fault fault = {""};
    const uint32_t on[] = {0, 1};
    char *whole = NULL, *text = malloc(700000), line[300];
    int status;

    size_t at = (size_t)sprintf(text, "%s  more: [", base);

    memset(line, 'x', sizeof(line));
    for (unsigned i = 0; i < 2000; i++)
        at += (size_t)sprintf(text + at, "%s\"%u%.*s\"", i ? ", " : "", i, (int)sizeof(line), line);
    sprintf(text + at, "]\n");
    file = read_text(text);
    free(text);
    assert_int_equal(fl_file_render(file, 0, on, 2, &whole, &fault), 0);
    pid_t pid = fork();

    if (pid == 0) {
        const struct rlimit none = {4096, RLIM_INFINITY};
        char *torn = NULL;

        setrlimit(RLIMIT_AS, &none);
        int error = fl_file_render(file, 0, on, 2, &torn, &fault);

        _exit(error == FT_ENOMEM || (!error && strcmp(torn, whole) == 0) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(whole);
}
#endif

TESTS_SHARE(NULL, help_config_clean)
