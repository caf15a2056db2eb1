/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of `-i any`, as https://www.tcpdump.org/linktypes has them: who has sent what. */
#include "tools/pair/capture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include <cmocka.h>

#include <pcap/dlt.h>

/* Packet type, ARPHRD, address length, address, protocol; then a byte of IPv4. */
static const uint8_t sll[17] = {0, 4, 0, 1, 0, 6, 2, 3, 4, 5, 6, 7, 0, 0, 8, 0, 0x45};
/* Protocol, reserved, interface, ARPHRD, packet type, address length, address. */
static const uint8_t sll2[21] = {8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 3, 4, 5, 6, 7, 0, 0, 0x45};

static void a_sent_packet_is_told_from_a_received_one(void **state)
{
    uint8_t received[21];

    (void)state;
    assert_true(nd_cooked_sent(DLT_LINUX_SLL, sll, sizeof(sll)));
    assert_true(nd_cooked_sent(DLT_LINUX_SLL2, sll2, sizeof(sll2)));
    for (uint8_t type = 0; type < 4; type++) { /* to us, to all, to some, to others */
        for (unsigned i = 0; i < sizeof(sll); i++)
            received[i] = i == 1 ? type : sll[i];
        assert_false(nd_cooked_sent(DLT_LINUX_SLL, received, sizeof(sll)));
        for (unsigned i = 0; i < sizeof(sll2); i++)
            received[i] = i == 10 ? type : sll2[i];
        assert_false(nd_cooked_sent(DLT_LINUX_SLL2, received, sizeof(sll2)));
    }
    assert_false(nd_cooked_sent(DLT_LINUX_SLL, sll, 1)); /* cut */
    assert_false(nd_cooked_sent(DLT_EN10MB, sll, sizeof(sll)));
}

static void the_header_that_is_put_in_place_has_the_sender(void **state)
{
    static const uint8_t ethernet[ND_COOKED_HEAD] = {2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0};
    uint8_t head[ND_COOKED_HEAD];

    (void)state;
    assert_int_equal(nd_cooked_head(DLT_LINUX_SLL, sll, sizeof(sll), head), 16);
    assert_memory_equal(head, ethernet, sizeof(head));
    assert_int_equal(nd_cooked_head(DLT_LINUX_SLL2, sll2, sizeof(sll2), head), 20);
    assert_memory_equal(head, ethernet, sizeof(head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sent_packet_is_told_from_a_received_one),
        cmocka_unit_test(the_header_that_is_put_in_place_has_the_sender),
    };

    return cmocka_run_group_tests_name("cooked", tests, NULL, NULL);
}
