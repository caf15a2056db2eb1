/* SPDX-License-Identifier: Apache-2.0 */
/* What a session's look-up takes for granted of TCP: that a packet which it does not follow changes nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "nflib/net/tcp.h"

static void what_stays_is_followed_to_the_same_state(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++)
        for (uint8_t was = 0; was < NF_TCP_STATES; was++) {
            if (!nf_tcp_stays(was, (uint8_t)flags))
                continue;
            assert_false(nf_tcp_is_request((uint8_t)flags));
            assert_false(nf_tcp_is_impossible((uint8_t)flags));
            assert_int_equal(nf_tcp_next(was, (uint8_t)flags, false), was);
            assert_int_equal(nf_tcp_next(was, (uint8_t)flags, true), was);
        }
}

static void data_stays_and_what_opens_or_ends_does_not(void **state)
{
    (void)state;
    assert_true(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_PSH));
    assert_false(nf_tcp_stays(NF_TCP_SYN_RECV, NF_TCP_ACK));
    assert_false(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_RST));
    assert_false(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_FIN));
    assert_false(nf_tcp_stays(NF_TCP_CLOSED, NF_TCP_SYN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_is_followed_to_the_same_state),
        cmocka_unit_test(data_stays_and_what_opens_or_ends_does_not),
    };

    return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
