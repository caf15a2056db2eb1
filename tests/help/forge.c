/* SPDX-License-Identifier: Apache-2.0 */
/* Put together by hand; see forge.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/forge.h"

#include <msgpack.h>
#include <string.h>
#include <xxhash.h>

struct forge forge;

void forge_begin(const uint64_t numbers[], unsigned count,
                 long (*decode)(const uint8_t *bytes, size_t len, struct ft_fault *fault))
{
    assert_true(count <= FORGE_NUMBERS);
    memcpy(forge.head, numbers, count * sizeof(numbers[0]));
    forge.plain = numbers;
    forge.numbers = count;
    forge.body_len = 0;
    forge.decode = decode;
}

void forge_number_refused(unsigned field, uint64_t value, int error, const char *text)
{
    assert_non_null(forge.plain);
    forge_begin(forge.plain, forge.numbers, forge.decode);
    forge.head[field] = value;
    forge_refused(error, text);
}

void forge_put(const void *bytes, size_t len)
{
    assert_true(forge.body_len + len <= sizeof(forge.body));
    memcpy(forge.body + forge.body_len, bytes, len);
    forge.body_len += len;
}

static long try(struct ft_fault *fault)
{
    msgpack_sbuffer sb;
    msgpack_packer pk;

    msgpack_sbuffer_init(&sb);
    msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, forge.numbers + 2);
    for (unsigned i = 0; i < forge.numbers; i++)
        msgpack_pack_uint64(&pk, forge.head[i]);
    msgpack_pack_bin(&pk, forge.body_len);
    msgpack_pack_bin_body(&pk, forge.body, forge.body_len);
    uint64_t sum = XXH3_64bits(sb.data, sb.size);
    msgpack_pack_fix_uint64(&pk, sum);
    long used = forge.decode((uint8_t *)sb.data, sb.size, fault);
    if (used >= 0)
        assert_int_equal(used, sb.size);
    msgpack_sbuffer_destroy(&sb);
    return used;
}

void forge_refused(int error, const char *text)
{
    struct ft_fault fault = {""};
    long used = try(&fault);

    if (used != error || !strstr(fault.text, text))
        fail_msg("got %ld '%s', expected %d '%s'", used, fault.text, error, text);
}

void forge_good(void)
{
    struct ft_fault fault = {""};

    if (try(&fault) < 0)
        fail_msg("refused: %s", fault.text);
}
