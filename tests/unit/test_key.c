/* SPDX-License-Identifier: Apache-2.0 */
/* The file with the pair's keys: what is read of it, and what is refused, with its line. */
#include "replicator/key.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <sys/stat.h>

#define ONE "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define TWO "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static struct rp_keys keys;
static struct ft_fault fault;

static const char *write_file(const char *text, mode_t mode)
{
    const char *path = help_config_file("pair.key", text, strlen(text));

    assert_int_equal(chmod(path, mode), 0);
    return path;
}

TEST(a_key_is_a_line_beside_comments_and_empty_lines)
{
    static const char *const files[] = {ONE, ONE "\n", "# ours\n\n" ONE "\n#" TWO "\n"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        assert_int_equal(rp_keys_read(&keys, write_file(files[i], 0600), &fault), 0);
        assert_int_equal(keys.count, 1);
        for (uint8_t byte = 0; byte < RP_KEY_BYTES; byte++)
            assert_int_equal(keys.key[0][byte], byte);
    }
    assert_int_equal(rp_keys_read(&keys, write_file(ONE "\n" TWO "\n", 0400), &fault), 0);
    assert_int_equal(keys.count, 2);
    assert_memory_equal(keys.key[1], "\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66", 10);
}

TEST(what_is_no_key_is_refused_with_its_line)
{
    static const struct {
        const char *text, *said;
    } rows[] = {{"", "no key, expected a line of 64 hexadecimal digits"},
                {"#\n\n", "no key, expected a line of 64 hexadecimal digits"},
                {ONE "0\n", "1: expected 64 hexadecimal digits, on at most 2 lines"},
                {"#\n" ONE "\n0" ONE, "3: expected 64 hexadecimal digits, on at most 2 lines"},
                {"g" TWO "\n", "1: expected 64 hexadecimal digits, on at most 2 lines"},
                {ONE "\n" TWO "\n" ONE, "3: expected 64 hexadecimal digits, on at most 2 lines"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rp_keys_read(&keys, write_file(rows[i].text, 0600), &fault), FT_EMALFORMED);
        assert_non_null(strstr(fault.text, rows[i].said));
    }
    char digit[] = ONE;

    for (unsigned at = 0; at < sizeof(digit) - 1; at += 9) {
        char was = digit[at];

        digit[at] = "g/:@G`\x80 "[at % 8];
        assert_int_equal(rp_keys_read(&keys, write_file(digit, 0600), &fault), FT_EMALFORMED);
        digit[at] = was;
    }
}

TEST(a_file_of_4096_bytes_is_the_longest)
{
    char text[4098];

    memset(text, '#', sizeof(text) - 1);
    memcpy(text, ONE "\n", sizeof(ONE));
    text[4096] = '\0';
    assert_int_equal(rp_keys_read(&keys, write_file(text, 0600), &fault), 0);
    text[4096] = '#';
    text[4097] = '\0';
    assert_int_equal(rp_keys_read(&keys, write_file(text, 0600), &fault), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, "more than 4096 bytes"));
}

TEST(nobody_else_may_read_it)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0601};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        assert_int_equal(rp_keys_read(&keys, write_file(ONE, modes[i]), &fault), FT_EPERM);
    assert_int_equal(rp_keys_read(&keys, "/nowhere/pair.key", &fault), FT_ENOENT);
}

TEST(a_key_that_is_made_is_of_chance_and_takes_no_place)
{
    struct rp_keys another;
    struct stat s;

    const char *path = help_print("%s/made.key", help_config_dir());
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rp_key_make(path, &fault), 0);
        assert_int_equal(rp_keys_read(i ? &another : &keys, path, &fault), 0);
        assert_int_equal(rp_key_make(path, &fault), FT_EBUSY);
        assert_int_equal(stat(path, &s), 0);
        assert_int_equal(s.st_mode & 07777, 0600);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(another.count, 1);
    assert_memory_not_equal(keys.key[0], another.key[0], RP_KEY_BYTES);
}

TESTS_SHARE(NULL, help_config_clean)
