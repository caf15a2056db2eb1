/* SPDX-License-Identifier: Apache-2.0 */
/* The chain runner: order of NFs both ways, timers, packets made by NFs, commands, lane state; registry and
 * show. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/unit/help_death.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- an NF that notes what it is given; what it does is told by the frame ---- */

enum { FRAME = 60, ID = 20, DROP_AT = 21, EMIT_AT = 22 }; /* bytes of a frame: its name, an NF's index, … */
enum { SEEN, DROPPED };

struct probe_config {
    uint32_t limit;
    bool loud;
    uint32_t mode;
    const char *file;
    struct nf_prefixes inside;
    struct nf_range ports;
};

struct probe {
    uint64_t packets, limit;
};

static char trace[4096];
static int make_error;

static void note(const char *fmt, unsigned a, unsigned b)
{
    size_t n = strlen(trace);
    snprintf(trace + n, sizeof(trace) - n, fmt, a, b);
}

static const char *traced(void)
{
    static char last[sizeof(trace)];
    memcpy(last, trace, sizeof(trace));
    trace[0] = 0;
    return last;
}

static uint64_t probe_arena(const void *config)
{
    (void)config;
    return sizeof(struct probe);
}

static int probe_make(struct nf *nf, struct ft_fault *fault)
{
    if (make_error)
        return ft_fail(fault, make_error, "will not");
    nf->state = ft_arena_alloc(nf->arena, sizeof(struct probe));
    ((struct probe *)nf->state)->limit = ((const struct probe_config *)nf->config)->limit;
    return nf->state ? FT_OK : FT_EFULL;
}

static void probe_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct probe *edit = nf_edit(nf, nf->state, sizeof(*edit));
    (void)now;
    note("%u:", nf->index, 0);
    edit->packets += n;
    nf_count(nf, SEEN, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *d = packets[i]->data;
        note("%c", d[ID], 0);
        d[12] = (uint8_t)nf_random(nf);
        if (d[EMIT_AT] == nf->index)
            for (unsigned k = 0; k < d[EMIT_AT + 1]; k++)
                nf_emit(nf, packets[i]->in_port, d, FRAME);
        if (d[DROP_AT] == nf->index)
            nf_drop(nf, packets[i], DROPPED);
    }
    note(" ", 0, 0);
}

static void probe_timers(struct nf *nf, uint64_t now)
{
    note("t%u@%u ", nf->index, (unsigned)now);
    if (now == 10)
        nf_wake(nf, 30), nf_wake(nf, 20), nf_wake(nf, 25);
}

static int probe_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    note("set%u@%u ", nf->index, (unsigned)now);
    if (strcmp(key, "limit") != 0)
        return ft_fail(fault, FT_ENOENT, "no %s", key);
    note(value, 0, 0);
    ((struct probe *)nf_edit(nf, nf->state, sizeof(struct probe)))->limit = (uint64_t)value[0];
    return nf_emit(nf, 1, "emitted by command", 18);
}

static int probe_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    (void)now, (void)fault;
    note(key ? key : "all", nf->index, 0);
    return FT_OK;
}

static const char *const probe_counters[] = {"seen", "dropped", NULL};
static const char *const modes[] = {"slow", "fast", NULL};
static const struct nf_param probe_params[] = {
    {.name = "limit", .kind = NF_U32, .offset = offsetof(struct probe_config, limit)},
    {.name = "loud", .kind = NF_BOOL, .offset = offsetof(struct probe_config, loud)},
    {.name = "mode", .kind = NF_CHOICE, .offset = offsetof(struct probe_config, mode), .choices = modes},
    {.name = "file", .kind = NF_FILE, .offset = offsetof(struct probe_config, file)},
    {.name = "inside", .kind = NF_PREFIXES, .offset = offsetof(struct probe_config, inside)},
    {.name = "ports", .kind = NF_RANGE, .offset = offsetof(struct probe_config, ports)},
    {.name = NULL},
};

#define PROBE(id, title)                                                                                     \
    static const struct nf_module id = {                                                                     \
        .name = title,                                                                                       \
        .reads = title[0] == 'c' ? NF_READS_PAYLOAD : NF_READS_HEADERS,                                      \
        .params = probe_params,                                                                              \
        .config_size = sizeof(struct probe_config),                                                          \
        .counters = probe_counters,                                                                          \
        .arena = probe_arena,                                                                                \
        .make = probe_make,                                                                                  \
        .process = probe_process,                                                                            \
        .timers = probe_timers,                                                                              \
        .set = probe_set,                                                                                    \
        .clear = probe_clear,                                                                                \
    }
PROBE(probe_b, "b_probe");
PROBE(probe_a, "a_probe");
PROBE(probe_c, "c_probe");
NF_MODULE(probe_b)
NF_MODULE(probe_c)
NF_MODULE(probe_a)

/* ---- a chain of three of them ---- */

static struct probe_config settings = {.limit = 7, .mode = 1};
static struct nf_chain_config three = {
    .name = "three",
    .lanes = 1,
    .count = 3,
    .nfs = {{&probe_a, &settings}, {&probe_b, &settings}, {&probe_c, &settings}}};
static struct ft_region *region;
static struct nf_chain *chain;

static void open_region(const struct nf_chain_config *config)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 65536, .audit = true};
    struct ft_fault fault = {""};
    if (nf_chain_region(&region, config, &how, &fault))
        fail_msg("%s", fault.text);
}

static void end(void)
{
    nf_chain_free(chain);
    chain = NULL;
    ft_region_close(region);
    region = NULL;
}

/* Called inside the tests: audit and cmocka both want SIGSEGV, and the later one has it. */
static void begin(void)
{
    struct ft_fault fault = {""};
    if (region) /* left by a test that failed */
        end();
    trace[0] = 0;
    make_error = 0;
    open_region(&three);
    if (nf_chain_make(&chain, &three, region, 0, 99, &fault))
        fail_msg("%s", fault.text);
    ft_audit_check(region, 0);
}

static uint8_t frames[NF_BURST_MAX][FRAME];

/* Packets named by letters: lower case from inside (port 0), upper case from outside (port 1). */
static uint32_t burst_of(const char *ids, struct nf_packet packets[])
{
    uint32_t n = 0;
    memset(frames, 0, sizeof(frames));
    for (; ids[n]; n++) {
        uint8_t outside = ids[n] < 'a';
        frames[n][ID] = (uint8_t)ids[n];
        packets[n] = (struct nf_packet){
            .data = frames[n], .len = FRAME, .have = FRAME, .in_port = outside, .side = outside, .drop = 9};
    }
    return n;
}

static void run(uint64_t burst, uint64_t now, struct nf_packet packets[], uint32_t n)
{
    nf_chain_run(chain, burst, now, packets, n);
    ft_audit_check(region, 0);
}

/* ---- tests ---- */

static void test_order_both_ways(void **state)
{
    (void)state;
    begin();
    struct nf_packet p[NF_BURST_MAX];
    uint32_t n = burst_of("aXbYc", p);
    frames[2][DROP_AT] = 2; /* b ends in NF 2 */
    frames[1][DROP_AT] = 3; /* X in NF 3, its first */
    run(1, 5, p, n);
    assert_string_equal(traced(), "1:abc 2:abc 3:ac 3:XY 2:Y 1:Y ");
    static const uint8_t drop[] = {0, 2, 2, 0, 0}, drop_nf[] = {0, 3, 2, 0, 0}, out[] = {1, 0, 1, 0, 1};
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(p[i].drop, drop[i]);
        assert_int_equal(p[i].drop_nf, drop_nf[i]);
        assert_int_equal(p[i].out_port, out[i]);
    }
    const struct nf_lane_state *s = nf_chain_state(chain);
    assert_int_equal(s->burst, 1);
    assert_int_equal(s->seq, 6);
    assert_int_equal(s->time, 5);
    assert_int_equal(s->outputs, 3);
    assert_int_equal(nf_chain_nf(chain, 2)->counters[SEEN], 4);
    assert_int_equal(nf_chain_nf(chain, 2)->counters[DROPPED], 1);
    run(2, 5, NULL, 0);
    assert_string_equal(traced(), "");
    assert_int_equal(s->seq, 6);
    assert_int_equal(s->outputs, 3);
    end();
}

static void test_made_packets(void **state)
{
    (void)state;
    begin();
    struct nf_packet p[NF_BURST_MAX];
    const struct nf_emitted *made;
    uint32_t n = burst_of("aX", p);
    frames[0][EMIT_AT] = 2, frames[0][EMIT_AT + 1] = 1, frames[0][DROP_AT] = 2;
    frames[1][EMIT_AT] = 1, frames[1][EMIT_AT + 1] = 2;
    run(1, 5, p, n);
    assert_string_equal(traced(), "1:a 2:a 3:X 2:X 1:X ");
    assert_int_equal(nf_chain_emitted(chain, &made), 3);
    static const uint8_t port[] = {0, 1, 1}, id[] = {'a', 'X', 'X'};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(made[i].port, port[i]);
        assert_int_equal(made[i].frame[ID], id[i]);
        assert_int_equal(made[i].len, FRAME);
    }
    assert_int_equal(nf_chain_state(chain)->outputs, 4);
    run(2, 6, NULL, 0);
    assert_int_equal(nf_chain_emitted(chain, &made), 0);

    n = burst_of("a", p);
    frames[0][EMIT_AT] = 1, frames[0][EMIT_AT + 1] = NF_EMIT_MAX + 3;
    run(3, 7, p, n);
    assert_int_equal(nf_chain_emitted(chain, &made), NF_EMIT_MAX);
    assert_int_equal(nf_chain_state(chain)->unmade, 3);
    struct nf *nf = nf_chain_nf(chain, 1);
    assert_int_equal(nf_emit(nf, 0, frames, 13), FT_EINVAL);
    assert_int_equal(nf_emit(nf, 0, frames, NF_EMIT_LEN + 1), FT_EINVAL);
    assert_int_equal(nf_emit(nf, 0, frames, 60), FT_EFULL);
    end();
}

static void test_timers(void **state)
{
    (void)state;
    begin();
    struct nf_packet p[NF_BURST_MAX];
    assert_int_equal(nf_chain_wake(chain), UINT64_MAX);
    assert_false(nf_chain_due(chain, UINT64_MAX));
    nf_wake(nf_chain_nf(chain, 2), 10);
    nf_wake(nf_chain_nf(chain, 2), 40); /* never later than asked for before */
    nf_wake(nf_chain_nf(chain, 1), 11);
    assert_int_equal(nf_chain_wake(chain), 10);
    assert_false(nf_chain_due(chain, 9));
    assert_true(nf_chain_due(chain, 10));
    run(1, 9, NULL, 0);
    assert_string_equal(traced(), "");
    run(2, 10, p, burst_of("a", p));
    assert_string_equal(traced(), "t2@10 1:a 2:a 3:a ");
    assert_int_equal(nf_chain_wake(chain), 11);
    run(3, 22, NULL, 0);
    assert_string_equal(traced(), "t1@22 t2@22 ");
    assert_int_equal(nf_chain_wake(chain), UINT64_MAX);
    end();
}

static int command(const char *text, uint64_t burst, struct ft_fault *fault)
{
    char exact[200]; /* not terminated */
    memcpy(exact, text, strlen(text));
    int error = nf_chain_command(chain, exact, (uint32_t)strlen(text), burst * 10, fault);
    run(burst, burst * 10, NULL, 0);
    return error;
}

static void test_commands(void **state)
{
    (void)state;
    begin();
    struct ft_fault fault = {""};
    const struct nf_emitted *made;
    assert_int_equal(command("set b_probe limit=5 and = more", 1, &fault), FT_OK);
    assert_string_equal(traced(), "set2@10 5 and = more");
    assert_int_equal(nf_chain_emitted(chain, &made), 1);
    assert_memory_equal(made[0].frame, "emitted by command", 18);
    assert_int_equal(((struct probe *)nf_chain_nf(chain, 2)->state)->limit, '5');
    assert_int_equal(command("set b_probe other=5", 2, &fault), FT_ENOENT);
    assert_int_equal(nf_chain_emitted(chain, &made), 0);
    traced();
    assert_int_equal(command("clear c_probe", 3, &fault), FT_OK);
    assert_string_equal(traced(), "all");
    assert_int_equal(command("clear  a_probe  flows ", 4, &fault), FT_OK);
    assert_string_equal(traced(), "flows");
    assert_int_equal(command("clear a_probe flows all", 5, &fault), FT_EINVAL);
    assert_int_equal(command("set a_probe limit", 6, &fault), FT_EINVAL);
    assert_int_equal(command("set a_probe =1", 7, &fault), FT_EINVAL);
    assert_int_equal(command("set nobody limit=1", 8, &fault), FT_ENOENT);
    assert_string_equal(fault.text, "no NF \"nobody\" in this chain");
    assert_int_equal(command("get a_probe", 9, &fault), FT_EINVAL);
    assert_int_equal(command("", 10, &fault), FT_EINVAL);
    assert_int_equal(command("set l3 a=1", 11, &fault), FT_ENOENT);
    assert_int_equal(nf_chain_command(chain, "clear a_probe\0x", 15, 200, &fault), FT_EINVAL);
    assert_int_equal(nf_chain_command(chain, (const char *)frames, 5000, 200, &fault), FT_EINVAL);
    assert_string_equal(traced(), "");
    end();
}

/* The generator's first numbers from state 1, 2, 3, 4, as its authors' C code gives them. */
static void test_random_numbers(void **state)
{
    (void)state;
    begin();
    static const uint64_t start[4] = {1, 2, 3, 4};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
    const struct nf_lane_state *s = nf_chain_state(chain);
    memcpy(ft_edit(region, s->random, sizeof(start)), start, sizeof(start));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(nf_random(nf_chain_nf(chain, 1 + i % 3)), want[i]);
    ft_audit_check(region, 0);
    end();
}

/* Bytes of the region depend on seed, lane, inputs and times alone. */
static uint64_t digest_of_run(uint64_t seed)
{
    struct nf_packet p[NF_BURST_MAX];
    nf_chain_free(chain);
    ft_audit_suspend(region);
    ft_region_wipe(region);
    ft_audit_resume(region);
    assert_int_equal(nf_chain_make(&chain, &three, region, 0, seed, NULL), FT_OK);
    nf_wake(nf_chain_nf(chain, 2), 10);
    for (uint64_t b = 1; b < 20; b++)
        run(b, b * 3, p, burst_of("aXbYc", p));
    return ft_region_digest(region);
}

static void test_runs_repeat(void **state)
{
    (void)state;
    begin();
    uint64_t first = digest_of_run(4711);
    assert_true(first == digest_of_run(4711));
    assert_true(first != digest_of_run(4712));
    end();
}

static void test_lanes_differ(void **state)
{
    (void)state;
    begin();
    end();
    struct nf_chain_config config = three;
    struct nf_chain *other;
    config.lanes = 2;
    open_region(&config);
    assert_int_equal(nf_chain_make(&chain, &config, region, 0, 1, NULL), FT_OK);
    assert_int_equal(nf_chain_make(&other, &config, region, 1, 1, NULL), FT_OK);
    assert_memory_not_equal(nf_chain_state(chain)->random, nf_chain_state(other)->random, 32);
    assert_int_equal(nf_chain_nf(other, 3)->lane, 1);
    assert_ptr_equal(nf_chain_nf(other, 3)->arena, ft_region_arena(region, 1, 3));
    nf_chain_free(other);
    end();
}

static void burst_again(void *now)
{
    nf_chain_run(chain, 1, *(uint64_t *)now, NULL, 0);
}
static void burst_back(void *now)
{
    nf_chain_run(chain, 2, *(uint64_t *)now - 1, NULL, 0);
}

static void test_broken_invariants(void **state)
{
    (void)state;
    begin();
    uint64_t now = 100;
    run(1, now, NULL, 0);
    assert_dies(burst_again, &now, "burst 1 after 1");
    assert_dies(burst_back, &now, "time 99 after 100");
    end();
}

static void test_looking(void **state)
{
    (void)state;
    begin();
    assert_ptr_equal(nf_chain_find(chain, "b_probe"), nf_chain_nf(chain, 2));
    assert_null(nf_chain_find(chain, "l3"));
    assert_null(nf_chain_l3(chain));
    assert_null(nf_chain_nf(chain, 0));
    assert_null(nf_chain_nf(chain, 4));
    assert_true(nf_chain_reads_payload(&three));
    struct nf_chain_config two = three;
    two.count = 2;
    assert_false(nf_chain_reads_payload(&two));
    assert_ptr_equal(nf_module_find("c_probe"), &probe_c);
    assert_null(nf_module_find("d_probe"));
    const struct nf_module *last = NULL, *m;
    for (unsigned i = 0; (m = nf_module_at(i)); last = m, i++)
        assert_true(!last || strcmp(last->name, m->name) < 0);
    assert_non_null(last);
    end();
}

static void test_make_fails_by_name(void **state)
{
    (void)state;
    begin();
    struct ft_fault fault = {""};
    nf_chain_free(chain);
    ft_audit_suspend(region);
    ft_region_wipe(region);
    ft_audit_resume(region);
    make_error = FT_EINVAL;
    assert_int_equal(nf_chain_make(&chain, &three, region, 0, 1, &fault), FT_EINVAL);
    assert_string_equal(fault.text, "nf 1: a_probe: will not");
    assert_null(chain);
    assert_int_equal(nf_chain_make(&chain, &three, region, 1, 1, &fault), FT_EINVAL);
    end();
}

static void test_prefixes(void **state)
{
    (void)state;
    struct nf_prefixes set = {
        .count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}}; /* 10/8, 192.168.0.1 */
    assert_true(nf_prefixes_has(&set, 0x0403020a));
    assert_true(nf_prefixes_has(&set, 0x0100a8c0));
    assert_false(nf_prefixes_has(&set, 0x0200a8c0));
    set.count = 0;
    assert_false(nf_prefixes_has(&set, 0x0403020a));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_identity(void **state)
{
    (void)state;
    char a[2000], b[2000], path[] = "/tmp/test_chain.XXXXXX";
    close(mkstemp(path));
    write_file(path, "rules");
    struct probe_config mine = {.limit = 12, .loud = true, .mode = 0, .file = path, .ports = {1, 9}};
    mine.inside =
        (struct nf_prefixes){.count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}};
    struct nf_chain_config one = {.name = "one", .lanes = 2, .count = 1, .nfs = {{&probe_b, &mine}}};
    uint32_t len = nf_chain_identity(&one, a, sizeof(a));
    assert_int_equal(len, strlen(a));
    assert_ptr_equal(strstr(a, "lanes 2\n"), a);
    assert_non_null(strstr(a, "nf 1: b_probe limit=12 loud=true mode=slow file="));
    assert_non_null(strstr(a, " inside=10.0.0.0/8,192.168.0.1/32 ports=1-9 "));
    assert_null(strstr(a, path)); /* the same file may lie elsewhere on the other node */
    write_file(path, "other rules");
    nf_chain_identity(&one, b, sizeof(b));
    assert_string_not_equal(a, b);
    assert_int_equal(nf_chain_identity(&one, b, 10), 9);
    assert_memory_equal(a, b, 9);
    unlink(path);
}

static void test_show(void **state)
{
    (void)state;
    char out[400];
    struct nf_show *show = nf_show_begin(out, sizeof(out));
    nf_row(show);
    nf_row_text(show, "name", "a\"b\\c\n%c", 0xe9);
    nf_row_u64(show, "n", UINT64_MAX);
    nf_row(show);
    nf_row_ipv4(show, "addr", 0x0100a8c0);
    uint32_t len = nf_show_end(show);
    assert_string_equal(out, "[{\"name\":\"a\\\"b\\\\c\\u000a\\u00e9\",\"n\":18446744073709551615},"
                             "{\"addr\":\"192.168.0.1\"}]");
    assert_int_equal(len, strlen(out));
    show = nf_show_begin(out, sizeof(out));
    assert_int_equal(nf_show_end(show), 2);
    assert_string_equal(out, "[]");
    assert_null(nf_show_begin(out, 3));
}

/* Whatever the room, the text is whole rows; and it tells that it is full before it loses one. */
static void test_show_in_little_room(void **state)
{
    (void)state;
    for (uint32_t cap = 4; cap < 300; cap++) {
        char out[301];
        memset(out, '#', sizeof(out));
        struct nf_show *show = nf_show_begin(out, cap);
        for (unsigned row = 0; row < 20 && !nf_show_full(show); row++) {
            nf_row(show);
            nf_row_u64(show, "n", 10 + row);
        }
        uint32_t len = nf_show_end(show);
        assert_true(len < cap && out[len] == 0 && out[cap] == '#');
        assert_int_equal(out[0], '[');
        assert_int_equal(out[len - 1], ']');
        assert_int_equal((len - 1) % 9, len == 2 ? 1 : 0); /* {"n":10} and a comma or bracket */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_both_ways),
        cmocka_unit_test(test_made_packets),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_runs_repeat),
        cmocka_unit_test(test_lanes_differ),
        cmocka_unit_test(test_broken_invariants),
        cmocka_unit_test(test_looking),
        cmocka_unit_test(test_make_fails_by_name),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_show_in_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
