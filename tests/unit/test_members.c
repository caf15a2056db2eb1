/* SPDX-License-Identifier: Apache-2.0 */
/* What may be the name of a node, who may be the members of a view, and how a shard is written. */
#include "tests/help/test.h"
#include "ftcore/record/members.h"

#define LONGEST  "abcdefghijklmnopqrstuvwxyz01234" /* 31 */
#define TOO_LONG "abcdefghijklmnopqrstuvwxyz012345"

TEST(a_name_has_letters_digits_and_two_signs)
{
    static const char *const good[] = {"a", "Z9", "_", "edge-1_b", "9-", LONGEST};
    static const char *const bad[] = {"", "-", "-a", "a.b", "a b", "a\n", "a/b", "\xc3\xa4", TOO_LONG};

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(ft_is_name(good[i], FT_NAME_MAX));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ft_is_name(bad[i], FT_NAME_MAX));
    assert_false(ft_is_name("abc", 3)); /* no room for its end */
    assert_true(ft_is_name("ab", 3));
}

TEST(members_are_two_in_their_order)
{
    static const struct ft_members good = {{0, 0}, {"a", "b"}},
                                   bad[] = {{{0, 0}, {"b", "a"}}, {{0, 0}, {"a", "a"}},
                                            {{0, 0}, {"a", ""}},  {{0, 0}, {"", "b"}},
                                            {{0, 0}, {"-", "b"}}, {{0, 0}, {"a", "b c"}}};

    assert_true(ft_members_fit(&good));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ft_members_fit(&bad[i]));
}

TEST(a_shard_is_32_hex_digits)
{
    static const char *const bad[] = {
        "",
        "0123456789abcdef00000000000000f",  /* 31 */
        "0123456789ABCDEF00000000000000ff", /* as it is not written */
        "00000000000000000000000000000000", /* none */
        "0x23456789abcdef00000000000000ff",
        "0123456789abcdef 0000000000000ff",
        " 0123456789abcdef00000000000000ff",
    };
    const struct ft_members m = {.shard = {0x0123456789abcdef, 0xff}};
    char text[FT_SHARD_TEXT];
    struct ft_members got;

    assert_string_equal(ft_shard_text(text, &m), "0123456789abcdef00000000000000ff");
    assert_true(ft_shard_read(&got, text));
    assert_true(ft_same_shard(&got, &m));
    assert_true(ft_shard_read(&got, "0123456789abcdef00000000000000ff of a and b"));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ft_shard_read(&got, bad[i]));
}
