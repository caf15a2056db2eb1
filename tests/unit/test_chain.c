/* SPDX-License-Identifier: Apache-2.0 */
/* The chain runner: order of NFs both ways, timers, packets made by NFs, commands, lane state. */
#include "tests/help/probe.h"
#include "tests/help/death.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void nfs_run_in_order_from_inside_and_in_reverse_from_outside(void **state)
{
    (void)state;
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
    probe_end();
}

static void packets_that_nfs_make_go_out_with_the_burst(void **state)
{
    (void)state;
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
    probe_end();
}

static void timers_run_once_when_they_are_due(void **state)
{
    (void)state;
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
    probe_end();
}

static int run_command(const char *text, uint64_t burst, struct ft_fault *fault)
{
    char exact[200]; /* not terminated */
    memcpy(exact, text, strlen(text));
    int error = nf_chain_command(probe_chain, exact, (uint32_t)strlen(text), burst * 10, fault);
    probe_run(burst, burst * 10, NULL, 0);
    return error;
}

static void commands_reach_the_nf_they_name(void **state)
{
    (void)state;
    probe_begin();
    struct ft_fault fault = {""};
    const struct nf_emitted *made;
    assert_int_equal(run_command("set b_probe limit=5 and = more", 1, &fault), FT_OK);
    assert_string_equal(probe_trace(), "set2@10 5 and = more");
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 1);
    assert_memory_equal(made[0].frame, "emitted by command", 18);
    assert_int_equal(((struct probe *)nf_chain_nf(probe_chain, 2)->state)->limit, '5');
    assert_int_equal(run_command("set b_probe other=5", 2, &fault), FT_ENOENT);
    assert_int_equal(nf_chain_emitted(probe_chain, &made), 0);
    probe_trace();
    assert_int_equal(run_command("clear c_probe", 3, &fault), FT_OK);
    assert_string_equal(probe_trace(), "all");
    assert_int_equal(run_command("clear  a_probe  flows ", 4, &fault), FT_OK);
    assert_string_equal(probe_trace(), "flows");
    assert_int_equal(run_command("clear a_probe flows all", 5, &fault), FT_EINVAL);
    assert_int_equal(run_command("set a_probe limit", 6, &fault), FT_EINVAL);
    assert_int_equal(run_command("set a_probe =1", 7, &fault), FT_EINVAL);
    assert_int_equal(run_command("set nobody limit=1", 8, &fault), FT_ENOENT);
    assert_string_equal(fault.text,
                        "no NF \"nobody\" in this chain, expected one of a_probe, b_probe, c_probe");
    assert_int_equal(run_command("get a_probe", 9, &fault), FT_EINVAL);
    assert_int_equal(run_command("", 10, &fault), FT_EINVAL);
    assert_int_equal(run_command("set l3 a=1", 11, &fault), FT_ENOENT);
    assert_int_equal(nf_chain_command(probe_chain, "clear a_probe\0x", 15, 200, &fault), FT_EINVAL);
    assert_int_equal(nf_chain_command(probe_chain, (const char *)probe_frames, 5000, 200, &fault), FT_EINVAL);
    assert_string_equal(probe_trace(), "");
    probe_end();
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
static void random_numbers_are_those_of_the_published_generator(void **state)
{
    static const uint64_t known[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint64_t key[2], seed = PROBE_SEED ^ 0xd1342543de82ef95ull;

    (void)state;
    /* The authors' vector for the bytes 0 to 7. */
    assert_true(published(known, 0x0706050403020100u) == 0x93f5f5799a932462u);
    probe_begin();
    for (unsigned i = 0; i < 2; i++)
        key[i] = ft_draw(&seed);
    for (unsigned i = 0; i < 12; i++)
        assert_true(nf_random(nf_chain_nf(probe_chain, 1 + i % 3)) == published(key, i));
    ft_audit_check(probe_region, 0);
    probe_end();
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

static void the_same_seed_and_inputs_give_the_same_bytes(void **state)
{
    (void)state;
    probe_begin();
    uint64_t first = digest_of_run(4711);
    assert_true(first == digest_of_run(4711));
    assert_true(first != digest_of_run(4712));
    probe_end();
}

static void lanes_have_states_and_random_numbers_of_their_own(void **state)
{
    (void)state;
    probe_begin();
    probe_end();
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
    probe_end();
}

static void burst_again(void *now)
{
    nf_chain_run(probe_chain, 1, *(uint64_t *)now, NULL, 0);
}

static void burst_back(void *now)
{
    nf_chain_run(probe_chain, 2, *(uint64_t *)now - 1, NULL, 0);
}

static void bursts_and_times_that_do_not_go_on_abort(void **state)
{
    (void)state;
    probe_begin();
    uint64_t now = 100;
    probe_run(1, now, NULL, 0);
    assert_dies(burst_again, &now, "burst 1 after 1");
    assert_dies(burst_back, &now, "time 99 after 100");
    probe_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nfs_run_in_order_from_inside_and_in_reverse_from_outside),
        cmocka_unit_test(packets_that_nfs_make_go_out_with_the_burst),
        cmocka_unit_test(timers_run_once_when_they_are_due),
        cmocka_unit_test(commands_reach_the_nf_they_name),
        cmocka_unit_test(random_numbers_are_those_of_the_published_generator),
        cmocka_unit_test(the_same_seed_and_inputs_give_the_same_bytes),
        cmocka_unit_test(lanes_have_states_and_random_numbers_of_their_own),
        cmocka_unit_test(bursts_and_times_that_do_not_go_on_abort),
    };

    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
