/* SPDX-License-Identifier: Apache-2.0 */
/* What show is made of: rows as JSON, in whatever room there is. */
#include "tests/help/probe.h"
#include "nflib/chain/chain.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void rows_are_json(void **state)
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
static void rows_stay_whole_in_little_room(void **state)
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
        cmocka_unit_test(rows_are_json),
        cmocka_unit_test(rows_stay_whole_in_little_room),
    };

    return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
