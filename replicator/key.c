/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: read and made. See key.h. */
#define _GNU_SOURCE /* strchrnul */
#include "replicator/key.h"
#include "ftcore/base/trust.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 4096u /* bytes of a key file */
#define DIGITS   (2u * RP_KEY_BYTES)

static int fail_by_errno(struct ft_fault *fault, const char *path)
{
    int error = errno == ENOENT                     ? FT_ENOENT
                : errno == EACCES || errno == EPERM ? FT_EPERM
                : errno == EEXIST                   ? FT_EBUSY
                                                    : FT_EIO;

    return ft_fail(fault, error, "%s: %s", path,
                   errno == ELOOP ? "is a link, expected a file" : strerror(errno));
}

static const struct ft_trust key_file = {.expected = "a key file", .secret = "a key", .no_link = true},
                             secret_file = {.expected = "a key file", .secret = "a key"};

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* A line's end at `end`; what is before it is a key, a comment, or nothing. */
static bool read_line(struct rp_keys *out, const char *line, size_t len)
{
    if (len == 0 || line[0] == '#')
        return true;
    if (len != DIGITS || out->count == RP_KEYS_MAX)
        return false;
    for (unsigned i = 0; i < RP_KEY_BYTES; i++) {
        int high = hex_digit(line[2 * i]), low = hex_digit(line[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out->key[out->count][i] = (uint8_t)(high << 4 | low);
    }
    out->count++;
    return true;
}

static int read_text(struct rp_keys *out, const char *path, const char *text, struct ft_fault *fault)
{
    unsigned number = 1;

    for (const char *line = text, *end; *line; line = *end ? end + 1 : end, number++) {
        end = strchrnul(line, '\n');
        if (!read_line(out, line, (size_t)(end - line)))
            return ft_fail(fault, FT_EMALFORMED, "%s:%u: expected %u hexadecimal digits, on at most %u lines",
                           path, number, DIGITS, RP_KEYS_MAX);
    }
    return out->count ? 0
                      : ft_fail(fault, FT_EMALFORMED, "%s: no key, expected a line of %u hexadecimal digits",
                                path, DIGITS);
}

int rp_keys_read(struct rp_keys *out, const char *path, struct ft_fault *fault)
{
    char text[FILE_MAX + 1];
    int fd = ft_trust_open(path, &key_file, fault), error = fd < 0 ? fd : 0;

    *out = (struct rp_keys){.count = 0};
    if (error)
        return error;
    ssize_t n = read(fd, text, sizeof(text));

    if (n < 0)
        error = fail_by_errno(fault, path);
    else if (n > (ssize_t)FILE_MAX)
        error = ft_fail(fault, FT_EMALFORMED, "%s: more than %u bytes, expected a key file", path, FILE_MAX);
    close(fd);
    if (!error) {
        text[n] = '\0';
        error = read_text(out, path, text, fault);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return error;
}

int rp_key_check(const char *path, struct ft_fault *fault)
{
    int fd = ft_trust_open(path, &secret_file, fault);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int rp_key_make(const char *path, struct ft_fault *fault)
{
    uint8_t key[RP_KEY_BYTES];
    char text[DIGITS + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fail_by_errno(fault, path);
    bool done = RAND_priv_bytes(key, sizeof(key)) == 1;

    for (unsigned i = 0; i < RP_KEY_BYTES; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", key[i]);
    text[DIGITS] = '\n';
    done = done && write(fd, text, DIGITS + 1) == (ssize_t)DIGITS + 1 && fsync(fd) == 0;
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));
    close(fd);
    if (done)
        return 0;
    unlink(path);
    return ft_fail(fault, FT_EIO, "%s: the key could not be written", path);
}
