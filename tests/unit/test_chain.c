/* SPDX-License-Identifier: Apache-2.0 */
/* The chain runner: order of NFs both ways, timers, packets made by NFs, commands, lane state. */
#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

/*
 * For tests of the chain: three NFs that note what they are given and do what the frame tells them, and a
 * chain of them. One chain at a time; it owns its region.
 */

enum {
    FRAME = 60,
    ID = 20,
    DROP_AT = 21,
    EMIT_AT = 22
}; /* bytes of a frame: its name, the indices of the NFs that drop it and that emit packets */

enum { SEEN, DROPPED };

#define PROBE_SEED 99u /* of the chain */

struct probe_config {
    uint32_t limit;
    bool loud;
    uint32_t mode;
    struct nf_file file;
    struct nf_prefixes inside;
    struct nf_range ports;
};

struct probe {
    uint64_t packets, limit;
};

static char trace[4096];
static uint64_t number_of[4][256]; /* of the packet with that name, as the NF of that index said */

/* What the next NF that is made returns. */
static bool probe_make_fails;

static void add_to_trace(const char *fmt, unsigned a, unsigned b)
{
    size_t n = strlen(trace);
    snprintf(trace + n, sizeof(trace) - n, fmt, a, b);
}

/* What the NFs noted since the last call: "2:ab" is NF 2 with packets a and b, "t2@10" its timers at 10. */
static const char *probe_trace(void)
{
    static char last[sizeof(trace)];
    memcpy(last, trace, sizeof(trace));
    trace[0] = 0;
    return last;
}

static bool probe_make(struct nf *nf)
{
    ((struct probe *)nf->state)->limit = ((const struct probe_config *)nf->config)->limit;
    return !probe_make_fails;
}

static void probe_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct probe *edit = nf_edit(nf, nf->state, sizeof(*edit));
    add_to_trace("%u:", nf->index, 0);
    edit->packets += n;
    nf_count(nf, SEEN, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *d = packets[i]->data;
        add_to_trace("%c", d[ID], 0);
        number_of[nf->index][d[ID]] = nf_clock(nf, packets[i]);
        d[12] = (uint8_t)nf_random(nf);
        if (d[EMIT_AT] == nf->index)
            for (unsigned k = 0; k < d[EMIT_AT + 1]; k++)
                nf_emit(nf, packets[i]->in_port, d, FRAME);
        if (d[DROP_AT] == nf->index)
            nf_drop(nf, packets[i], DROPPED);
    }
    add_to_trace(" ", 0, 0);
}

static void probe_timers(struct nf *nf, uint64_t now)
{
    add_to_trace("t%u@%u ", nf->index, (unsigned)now);
    if (now == 10)
        nf_wake(nf, 30), nf_wake(nf, 20), nf_wake(nf, 25);
}

static int probe_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    add_to_trace("set%u@%u ", nf->index, (unsigned)now);
    if (strcmp(key, "limit") != 0)
        return ft_fail(fault, FT_ENOENT, "no %s", key);
    add_to_trace(value, 0, 0);
    ((struct probe *)nf_edit(nf, nf->state, sizeof(struct probe)))->limit = (uint64_t)value[0];
    return nf_emit(nf, 1, "emitted by command", 18);
}

static int probe_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    add_to_trace(key ? key : "all", nf->index, 0);
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

#define PROBE(title)                                                                                         \
    {                                                                                                        \
        .name = title, .reads = title[0] == 'c' ? NF_READS_PAYLOAD : NF_READS_HEADERS,                       \
        .params = probe_params, .config_size = sizeof(struct probe_config), .counters = probe_counters,      \
        .state_size = sizeof(struct probe), .make = probe_make, .process = probe_process,                    \
        .timers = probe_timers, .set = probe_set, .clear = probe_clear,                                      \
    }

static const struct nf_module probe_a = PROBE("a_probe");
static const struct nf_module probe_b = PROBE("b_probe");
static const struct nf_module probe_c = PROBE("c_probe");
static struct probe_config probe_settings = {.limit = 7, .mode = 1};

/* The NFs a_probe, b_probe and c_probe, in this order. */
static struct nf_chain_config probe_chain_config = {
    .name = "three",
    .lanes = 1,
    .count = 3,
    .nfs = {{&probe_a, &probe_settings}, {&probe_b, &probe_settings}, {&probe_c, &probe_settings}}};

static struct ft_region *probe_region;
static struct nf_chain *probe_chain;

static void probe_open_region(const struct nf_chain_config *config)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 65536, .audit = true};
    help_done(nf_chain_region(&probe_region, config, &how, &help_fault));
}

static int probe_end(void **state)
{
    nf_chain_free(probe_chain);
    probe_chain = NULL;
    ft_region_close(probe_region);
    return 0;
}

#define PROBE_TEST(name) TEST_WITH(name, NULL, probe_end)

/* Called inside the tests: audit and cmocka both want SIGSEGV, and the later one has it. */
static void probe_begin(void)
{
    trace[0] = 0;
    probe_make_fails = false;
    probe_open_region(&probe_chain_config);
    help_done(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 0, PROBE_SEED, &help_fault));
    ft_audit_check(probe_region, 0);
}

/* The frames of the last burst. */
static uint8_t probe_frames[NF_BURST_MAX][FRAME];

/* Packets named by letters: lower case from inside (port 0), upper case from outside (port 1). */
static uint32_t probe_burst(const char *ids, struct nf_packet packets[])
{
    uint32_t n = 0;
    memset(probe_frames, 0, sizeof(probe_frames));
    for (; ids[n]; n++) {
        uint8_t outside = ids[n] < 'a';
        probe_frames[n][ID] = (uint8_t)ids[n];
        packets[n] = (struct nf_packet){.data = probe_frames[n],
                                        .len = FRAME,
                                        .have = FRAME,
                                        .in_port = outside,
                                        .side = outside,
                                        .drop = 9};
    }
    return n;
}

static void probe_run(uint64_t burst, uint64_t now, struct nf_packet packets[], uint32_t n)
{
    nf_chain_run(probe_chain, burst, now, packets, n);
    ft_audit_check(probe_region, 0);
}

PROBE_TEST(nfs_run_in_order_from_inside_and_in_reverse_from_outside)
{
    probe_begin();
    struct nf_packet p[NF_BURST_MAX];
    uint32_t n = probe_burst("aXbYc", p);
    probe_frames[2][DROP_AT] = 2; /* b ends in NF 2 */
    probe_frames[1][DROP_AT] = 3; /* X in NF 3, its first */
    probe_run(1, 5, p, n);
    assert_string_equal(probe_trace(), "1:abc 2:abc 3:ac 3:XY 2:Y 1:Y ");
    static const uint8_t drop[] = {0, 2, 2, 0, 0}, drop_nf[] = {0, 3, 2, 0, 0}, out[] = {1, 0, 1, 0, 1};
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(p[i].drop, drop[i]);
        assert_int_equal(p[i].drop_nf, drop_nf[i]);
        assert_int_equal(p[i].out_port, out[i]);
    }
    const struct nf_lane_state *s = nf_chain_state(probe_chain);
    assert_int_equal(s->burst, 1);
    assert_int_equal(s->seq, 6);
    assert_int_equal(s->time, 5);
    assert_int_equal(s->outputs, 3);
    assert_int_equal(nf_chain_nf(probe_chain, 2)->counters[SEEN], 4);
    assert_int_equal(nf_chain_nf(probe_chain, 2)->counters[DROPPED], 1);
    probe_run(2, 5, NULL, 0);
    assert_string_equal(probe_trace(), "");
    assert_int_equal(s->seq, 6);
    assert_int_equal(s->outputs, 3);
}

PROBE_TEST(packets_that_nfs_make_go_out_with_the_burst)
{
    probe_begin();
    struct nf_packet p[NF_BURST_MAX];
    const struct nf_emitted *made;
    uint32_t n = probe_burst("aX", p);
    probe_frames[0][EMIT_AT] = 2, probe_frames[0][EMIT_AT + 1] = 1, probe_frames[0][DROP_AT] = 2;
    probe_frames[1][EMIT_AT] = 1, probe_frames[1][EMIT_AT + 1] = 2;
    probe_run(1, 5, p, n);
    assert_string_equal(probe_trace(), "1:a 2:a 3:X 2:X 1:X ");
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 3);
    static const uint8_t port[] = {0, 1, 1}, id[] = {'a', 'X', 'X'};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(made[i].port, port[i]);
        assert_int_equal(made[i].frame[ID], id[i]);
        assert_int_equal(made[i].len, FRAME);
    }
    assert_int_equal(nf_chain_state(probe_chain)->outputs, 4);
    probe_run(2, 6, NULL, 0);
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 0);

    n = probe_burst("a", p);
    probe_frames[0][EMIT_AT] = 1, probe_frames[0][EMIT_AT + 1] = NF_EMIT_MAX + 3;
    probe_run(3, 7, p, n);
    assert_int_equal(nf_chain_emitted(probe_chain, &made), NF_EMIT_MAX);
    assert_int_equal(nf_chain_state(probe_chain)->unmade, 3);
    struct nf *nf = nf_chain_nf(probe_chain, 1);
    assert_int_equal(nf_emit(nf, 0, probe_frames, 13), FT_EINVAL);
    assert_int_equal(nf_emit(nf, 0, probe_frames, NF_EMIT_LEN + 1), FT_EINVAL);
    assert_int_equal(nf_emit(nf, 0, probe_frames, 60), FT_EFULL);
}

/* NFs get what came in outside behind what came in inside, and the numbers say which was first. What is set
 * aside has one, and no NF gets it. */
PROBE_TEST(inputs_have_numbers_for_all_nfs)
{
    static const char first[] = "aXbYc";
    struct nf_packet p[NF_BURST_MAX];
    uint32_t n;

    probe_begin();
    probe_run(1, 5, p, probe_burst(first, p));
    assert_string_equal(probe_trace(), "1:abc 2:abc 3:abc 3:XY 2:XY 1:XY ");
    for (unsigned i = 0; i < 15; i++)
        assert_int_equal(number_of[1 + i / 5][(uint8_t)first[i % 5]], i % 5 + 1);
    n = probe_burst("dEfGh", p);
    p[1].have = p[2].have = 0;
    nf_chain_set_aside(probe_chain, 1u << 1 | 1u << 2);
    probe_run(2, 6, p, n);
    assert_string_equal(probe_trace(), "1:dh 2:dh 3:dh 3:G 2:G 1:G ");
    assert_int_equal(number_of[2]['d'], 6);
    assert_int_equal(number_of[1]['G'], 9);
    assert_int_equal(number_of[3]['h'], 10);
    assert_int_equal(p[1].drop, NF_SET_ASIDE);
    assert_int_equal(p[2].drop, NF_SET_ASIDE);
    assert_int_equal(nf_chain_state(probe_chain)->seq, 11);
    assert_int_equal(nf_chain_state(probe_chain)->outputs, 8);
    probe_run(3, 7, p, probe_burst("iJ", p)); /* of that burst alone */
    assert_string_equal(probe_trace(), "1:i 2:i 3:i 3:J 2:J 1:J ");
    assert_int_equal(number_of[1]['J'], 12);
}

PROBE_TEST(timers_run_once_when_they_are_due)
{
    probe_begin();
    struct nf_packet p[NF_BURST_MAX];
    assert_int_equal(nf_chain_wake(probe_chain), UINT64_MAX);
    assert_false(nf_chain_due(probe_chain, UINT64_MAX));
    nf_wake(nf_chain_nf(probe_chain, 2), 10);
    nf_wake(nf_chain_nf(probe_chain, 2), 40); /* never later than asked for before */
    nf_wake(nf_chain_nf(probe_chain, 1), 11);
    assert_int_equal(nf_chain_wake(probe_chain), 10);
    assert_false(nf_chain_due(probe_chain, 9));
    assert_true(nf_chain_due(probe_chain, 10));
    probe_run(1, 9, NULL, 0);
    assert_string_equal(probe_trace(), "");
    probe_run(2, 10, p, probe_burst("a", p));
    assert_string_equal(probe_trace(), "t2@10 1:a 2:a 3:a ");
    assert_int_equal(nf_chain_wake(probe_chain), 11);
    probe_run(3, 22, NULL, 0);
    assert_string_equal(probe_trace(), "t1@22 t2@22 ");
    assert_int_equal(nf_chain_wake(probe_chain), UINT64_MAX);
}

static int run_command(const char *text, uint64_t burst, struct ft_fault *fault)
{
    char exact[200]; /* not terminated */
    memcpy(exact, text, strlen(text));
    int error = nf_chain_command(probe_chain, exact, (uint32_t)strlen(text), burst * 10, fault);
    probe_run(burst, burst * 10, NULL, 0);
    return error;
}

PROBE_TEST(commands_reach_the_nf_they_name)
{
    probe_begin();
    const struct nf_emitted *made;
    assert_int_equal(run_command("set b_probe limit=5 and = more", 1, &help_fault), FT_OK);
    assert_string_equal(probe_trace(), "set2@10 5 and = more");
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 1);
    assert_memory_equal(made[0].frame, "emitted by command", 18);
    assert_int_equal(((struct probe *)nf_chain_nf(probe_chain, 2)->state)->limit, '5');
    assert_int_equal(run_command("set b_probe other=5", 2, &help_fault), FT_ENOENT);
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 0);
    probe_trace();
    assert_int_equal(run_command("clear c_probe", 3, &help_fault), FT_OK);
    assert_string_equal(probe_trace(), "all");
    assert_int_equal(run_command("clear  a_probe  flows ", 4, &help_fault), FT_OK);
    assert_string_equal(probe_trace(), "flows");
    assert_int_equal(run_command("clear a_probe flows all", 5, &help_fault), FT_EINVAL);
    assert_int_equal(run_command("set a_probe limit", 6, &help_fault), FT_EINVAL);
    assert_int_equal(run_command("set a_probe =1", 7, &help_fault), FT_EINVAL);
    assert_int_equal(run_command("set nobody limit=1", 8, &help_fault), FT_ENOENT);
    assert_string_equal(help_fault.text,
                        "no NF \"nobody\" in this chain, expected one of a_probe, b_probe, c_probe");
    assert_int_equal(run_command("get a_probe", 9, &help_fault), FT_EINVAL);
    assert_int_equal(run_command("", 10, &help_fault), FT_EINVAL);
    assert_int_equal(run_command("set l3 a=1", 11, &help_fault), FT_ENOENT);
    assert_int_equal(nf_chain_command(probe_chain, "clear a_probe\0x", 15, 200, &help_fault), FT_EINVAL);
    assert_int_equal(nf_chain_command(probe_chain, (const char *)probe_frames, 5000, 200, &help_fault),
                     FT_EINVAL);
    assert_string_equal(probe_trace(), "");
}

static uint64_t rotate(uint64_t x, unsigned left)
{
    return x << left | x >> (64 - left);
}

/* SipHash-2-4 of a message of eight bytes, as its authors' paper has it: one round, step by step. */
static uint64_t published(const uint64_t key[2], uint64_t message)
{
    uint64_t v0 = key[0] ^ 0x736f6d6570736575u, v1 = key[1] ^ 0x646f72616e646f6du,
             v2 = key[0] ^ 0x6c7967656e657261u, v3 = key[1] ^ 0x7465646279746573u;
    const uint64_t words[2] = {message, 8ull << 56};

    for (unsigned i = 0; i < 8; i++) { /* two rounds for each word, four at the end */
        if (i < 4 && i % 2 == 0)
            v3 ^= words[i / 2];
        if (i == 4)
            v2 ^= 0xff;
        v0 += v1;
        v1 = rotate(v1, 13);
        v1 ^= v0;
        v0 = rotate(v0, 32);
        v2 += v3;
        v3 = rotate(v3, 16);
        v3 ^= v2;
        v0 += v3;
        v3 = rotate(v3, 21);
        v3 ^= v0;
        v2 += v1;
        v1 = rotate(v1, 17);
        v1 ^= v2;
        v2 = rotate(v2, 32);
        if (i < 4 && i % 2 == 1)
            v0 ^= words[i / 2];
    }
    return v0 ^ v1 ^ v2 ^ v3;
}

/* The NFs of a lane draw from one generator, whose key is the next numbers of ft_draw. */
PROBE_TEST(random_numbers_are_those_of_the_published_generator)
{
    static const uint64_t known[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint64_t key[2], seed = PROBE_SEED ^ 0xd1342543de82ef95ull;

    /* The authors' vector for the bytes 0 to 7. */
    assert_true(published(known, 0x0706050403020100u) == 0x93f5f5799a932462u);
    probe_begin();
    for (unsigned i = 0; i < 2; i++)
        key[i] = ft_draw(&seed);
    for (unsigned i = 0; i < 12; i++)
        assert_true(nf_random(nf_chain_nf(probe_chain, 1 + i % 3)) == published(key, i));
    ft_audit_check(probe_region, 0);
}

/* Bytes of the region depend on seed, lane, inputs and times alone. */
static uint64_t digest_of_run(uint64_t seed)
{
    struct nf_packet p[NF_BURST_MAX];
    nf_chain_free(probe_chain);
    ft_audit_suspend(probe_region);
    ft_region_wipe(probe_region);
    ft_audit_resume(probe_region);
    assert_int_equal(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 0, seed, NULL), FT_OK);
    nf_wake(nf_chain_nf(probe_chain, 2), 10);
    for (uint64_t b = 1; b < 20; b++)
        probe_run(b, b * 3, p, probe_burst("aXbYc", p));
    return ft_region_digest(probe_region);
}

PROBE_TEST(the_same_seed_and_inputs_give_the_same_bytes)
{
    probe_begin();
    uint64_t first = digest_of_run(4711);
    assert_true(first == digest_of_run(4711));
    assert_true(first != digest_of_run(4712));
}

PROBE_TEST(lanes_have_states_and_random_numbers_of_their_own)
{
    probe_begin();
    probe_end(NULL);
    struct nf_chain_config config = probe_chain_config;
    struct nf_chain *other;
    config.lanes = 2;
    probe_open_region(&config);
    assert_int_equal(nf_chain_make(&probe_chain, &config, probe_region, 0, 1, NULL), FT_OK);
    assert_int_equal(nf_chain_make(&other, &config, probe_region, 1, 1, NULL), FT_OK);
    assert_int_not_equal(nf_random(nf_chain_nf(probe_chain, 1)), nf_random(nf_chain_nf(other, 1)));
    assert_int_equal(nf_chain_nf(other, 3)->lane, 1);
    assert_ptr_equal(nf_chain_nf(other, 3)->arena, ft_region_arena(probe_region, 1, 3));
    nf_chain_free(other);
}

static void burst_again(void *now)
{
    nf_chain_run(probe_chain, 1, *(uint64_t *)now, NULL, 0);
}

static void burst_back(void *now)
{
    nf_chain_run(probe_chain, 2, *(uint64_t *)now - 1, NULL, 0);
}

PROBE_TEST(bursts_and_times_that_do_not_go_on_abort)
{
    probe_begin();
    uint64_t now = 100;
    probe_run(1, now, NULL, 0);
    assert_dies(burst_again, &now, "burst 1 after 1");
    assert_dies(burst_back, &now, "time 99 after 100");
}

/* How NFs and their parameters are found and named: the registry, the chain, its identity. */

NF_MODULE(probe_b)
NF_MODULE(probe_c)
NF_MODULE(probe_a)

PROBE_TEST(nfs_are_found_by_name_and_number)
{
    probe_begin();
    assert_ptr_equal(nf_chain_find(probe_chain, "b_probe"), nf_chain_nf(probe_chain, 2));
    assert_null(nf_chain_find(probe_chain, "l3"));
    assert_null(nf_chain_nf(probe_chain, 0));
    assert_null(nf_chain_nf(probe_chain, 4));
    assert_int_equal(nf_chain_reads(&probe_chain_config), NF_READS_PAYLOAD);
    struct nf_chain_config two = probe_chain_config;
    two.count = 2;
    assert_int_not_equal(nf_chain_reads(&two), NF_READS_PAYLOAD);
    assert_ptr_equal(nf_module_find("c_probe"), &probe_c);
    assert_null(nf_module_find("d_probe"));
    const struct nf_module *last = NULL, *m;
    for (unsigned i = 0; (m = nf_module_at(i)); last = m, i++)
        assert_true(!last || strcmp(last->name, m->name) < 0);
    assert_non_null(last);
}

PROBE_TEST(an_nf_that_cannot_be_made_is_named)
{
    probe_begin();
    nf_chain_free(probe_chain);
    ft_audit_suspend(probe_region);
    ft_region_wipe(probe_region);
    ft_audit_resume(probe_region);
    probe_make_fails = true;
    assert_int_equal(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 0, 1, &help_fault),
                     FT_EFULL);
    assert_non_null(strstr(help_fault.text, "nf 1: a_probe: the arena of "));
    assert_null(probe_chain);
    assert_int_equal(nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 1, 1, &help_fault),
                     FT_EINVAL);
}

TEST(prefixes_hold_their_addresses)
{
    struct nf_prefixes set = {
        .count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}}; /* 10/8, 192.168.0.1 */
    assert_true(nf_prefixes_has(&set, 0x0403020a));
    assert_true(nf_prefixes_has(&set, 0x0100a8c0));
    assert_false(nf_prefixes_has(&set, 0x0200a8c0));
    set.count = 0;
    assert_false(nf_prefixes_has(&set, 0x0403020a));
}

TEST(identity_covers_parameters_and_contents_of_files)
{
    char a[2000], b[2000];
    const char path[] = "some/where.rules";
    struct probe_config mine = {
        .limit = 12, .loud = true, .mode = 0, .file = {path, "rules", 5}, .ports = {1, 9}};
    mine.inside =
        (struct nf_prefixes){.count = 2, .list = {{0x0000000a, 0x000000ff}, {0x0100a8c0, 0xffffffff}}};
    struct nf_chain_config one = {.name = "one", .lanes = 2, .count = 1, .nfs = {{&probe_b, &mine}}};
    uint32_t len = nf_chain_identity(&one, a, sizeof(a));
    assert_int_equal(len, strlen(a));
    assert_ptr_equal(strstr(a, "lanes 2\n"), a);
    assert_non_null(strstr(a, "nf 1: b_probe version=0 limit=12 loud=true mode=slow file="));
    assert_non_null(strstr(a, " inside=10.0.0.0/8,192.168.0.1/32 ports=1-9 "));
    assert_null(strstr(a, path)); /* the same file may lie elsewhere on the other node */
    mine.file = (struct nf_file){path, "other rules", 11};
    nf_chain_identity(&one, b, sizeof(b));
    assert_string_not_equal(a, b);
    assert_int_equal(nf_chain_identity(&one, b, 10), 9);
    assert_memory_equal(a, b, 9);
}

/* A release that adds a parameter pairs with the one before, as long as nobody uses it. */
TEST(a_newer_parameter_is_named_where_it_is_set)
{
    static const struct nf_param params[] = {
        {"fresh", NF_BOOL, 0, 0, 0, "false", NULL, "newer than the release before", .marks = NF_PARAM_ADDED},
        {0}};
    static const struct nf_module newer = {.name = "newer", .params = params};
    bool fresh = false;
    struct nf_chain_config one = {.name = "one", .lanes = 1, .count = 1, .nfs = {{&newer, &fresh}}};
    char text[2000];

    nf_chain_identity(&one, text, sizeof(text));
    assert_non_null(strstr(text, "nf 1: newer version=0 arena=0\n"));
    fresh = true;
    nf_chain_identity(&one, text, sizeof(text));
    assert_non_null(strstr(text, "nf 1: newer version=0 fresh=true arena=0\n"));
}

/* What show is made of: rows as JSON, in whatever room there is. */

TEST(rows_are_json)
{
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
TEST(rows_stay_whole_in_little_room)
{
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
