/* SPDX-License-Identifier: Apache-2.0 */
/* The question to a gateway, byte by byte as RFC 826 and RFC 5227 have it, and which frames are its answer.
 */
#include "lane/frames.h"

#include <arpa/inet.h>
#include "tests/help/test.h"

static const uint8_t own[6] = {2, 0, 0, 0, 0, 0x0a};

/* From 02:00:00:00:00:99, which has 192.0.2.9, to the own MAC and 0.0.0.0. */
static const uint8_t answer[ND_ARP_LEN] = {2,   0, 0, 0, 0, 0x0a, 2, 0, 0, 0,    0, 0x99, 8, 6,
                                           0,   1, 8, 0, 6, 4,    0, 2, 2, 0,    0, 0,    0, 0x99,
                                           192, 0, 2, 9, 2, 0,    0, 0, 0, 0x0a, 0, 0,    0, 0};

TEST(a_question_changes_nobodys_table)
{
    static const uint8_t expected[ND_ARP_LEN] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0, 0, 0, 0, 0x0a, 8, 6, 0, 1, 8, 0,   6, 4, 0,
        1,    2,    0,    0,    0,    0,    0x0a, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 192, 0, 2, 9};
    uint8_t frame[ND_ARP_LEN];

    nd_gateway_write(frame, own, inet_addr("192.0.2.9"));
    assert_memory_equal(frame, expected, ND_ARP_LEN);
}

TEST(only_the_answer_to_it_is_taken)
{
    /* Another station's MAC, as frame and as target; a request; another hardware; an answer to an address,
     * which the chain may have asked for itself. */
    static const unsigned other[] = {5, 37, 21, 15, 41};
    uint8_t frame[ND_ARP_LEN];
    uint32_t address = 0;

    assert_true(nd_gateway_read(answer, ND_ARP_LEN, own, &address));
    assert_int_equal(address, inet_addr("192.0.2.9"));
    assert_false(nd_gateway_read(answer, ND_ARP_LEN - 1, own, &address));
    for (unsigned i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        memcpy(frame, answer, ND_ARP_LEN);
        frame[other[i]] ^= 3;
        assert_false(nd_gateway_read(frame, ND_ARP_LEN, own, &address));
    }
}
