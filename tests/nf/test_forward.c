/* SPDX-License-Identifier: Apache-2.0 */
/* forward: everything passes, unchanged, and is counted in both numbers. */
#include "tests/nf/help_chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static struct help_chain h;

static void has(const char *text)
{
    char all[16384];
    help_chain_show(&h, "forward", all, sizeof(all));
    if (!strstr(all, text))
        fail_msg("no %s in %s", text, all);
}

static void test_counts(void)
{
    uint8_t frame[64] = {[12] = 0x88, [13] = 0x47}, before[64];
    struct help_spec spec = {.src = HELP_IP(10, 0, 0, 1),
                             .dst = HELP_IP(10, 0, 0, 2),
                             .sport = 1,
                             .dport = 2,
                             .proto = 17,
                             .payload = 100};
    help_chain_open(&h, "    - forward: { read: true }\n", NULL, 1);
    memcpy(before, frame, sizeof(frame));
    assert_false(help_chain_send(&h, NF_INSIDE, frame, sizeof(frame)).drop);
    assert_memory_equal(frame, before, sizeof(frame));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, NULL));
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    has("{\"lane\":0,\"packets\":3,\"bytes\":348,\"shared\":3,\"merged\":3,\"last_shared\":3,"
        "\"last_merged\":3}");
}

static void test_switches(void)
{
    struct help_spec spec = {.src = 1, .dst = 2, .proto = 17, .payload = 100};
    help_chain_open(&h, "    - forward: { shared: false, merged: false }\n", NULL, 1);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    has("\"packets\":1,\"bytes\":142,\"shared\":0,\"merged\":0,");
}

/* The last merged number has its line to itself when nothing else is noted: audit sees a write that is not
 * marked. */
static void test_reads(void)
{
    struct help_spec spec = {.src = 1, .dst = 2, .proto = 17, .payload = 100};
    help_chain_open(&h, "    - forward: { shared: false, read: true }\n", NULL, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    has("\"shared\":0,\"merged\":3,\"last_shared\":0,\"last_merged\":3}");
}

static void test_captures(void)
{
    help_chain_open_file(&h, "nfs/chains/forward.yaml", 3);
    help_chain_same(&h, "mixed.pcap", false);
    help_chain_same(&h, "badpackets.pcap", false);
    help_chain_same(&h, "ip_fragmented_garbage.pcap", false);
}

/* The audit's handler must be set inside the test: cmocka sets its own before each. */
static void in_forward(void **test)
{
    ((void (*)(void)) * test)();
}
static int close_forward(void **test)
{
    (void)test;
    help_chain_close(&h);
    return 0;
}

/* clang-format off */
#define CASE(f) {#f, in_forward, NULL, close_forward, (void *)f}
/* clang-format on */
int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_counts), CASE(test_switches), CASE(test_reads),
                                       CASE(test_captures)};
    return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
