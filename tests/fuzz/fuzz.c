/* SPDX-License-Identifier: Apache-2.0 */
/* The list of targets, and what they have in common; see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static struct fuzz_target *first;

void fuzz_register(struct fuzz_target *target)
{
    struct fuzz_target **at = &first;

    while (*at && strcmp((*at)->name, target->name) < 0)
        at = &(*at)->next;
    target->next = *at;
    *at = target;
}

struct fuzz_target *fuzz_first(void)
{
    return first;
}

struct fuzz_target *fuzz_find(const char *name)
{
    struct fuzz_target *t = first;

    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    return t;
}

void fuzz_failed(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

/* ---- bytes ------------------------------------------------------------------------------------- */

static uint64_t number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes && in->at < in->end; i++)
        v |= (uint64_t)*in->at++ << 8 * i;
    return v;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
    return (uint8_t)number(in, 1);
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
    return (uint16_t)number(in, 2);
}

uint32_t fuzz_u32(struct fuzz_input *in)
{
    return (uint32_t)number(in, 4);
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
    return number(in, 8);
}

const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t most, size_t *len)
{
    const uint8_t *at = in->at;

    *len = fuzz_left(in) < most ? fuzz_left(in) : most;
    in->at += *len;
    return at;
}

void fuzz_put(struct fuzz_output *out, const void *bytes, size_t len)
{
    FUZZ_MUST(len <= sizeof(out->bytes) - out->len, "a seed of more than %zu bytes", sizeof(out->bytes));
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
}

void fuzz_put_u8(struct fuzz_output *out, uint8_t v)
{
    fuzz_put(out, &v, sizeof(v));
}

void fuzz_put_u16(struct fuzz_output *out, uint16_t v)
{
    fuzz_put(out, &v, sizeof(v));
}

void fuzz_put_u32(struct fuzz_output *out, uint32_t v)
{
    fuzz_put(out, &v, sizeof(v));
}

void fuzz_put_u64(struct fuzz_output *out, uint64_t v)
{
    fuzz_put(out, &v, sizeof(v));
}

uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    FUZZ_MUST(copy, "no memory");
    if (size)
        memcpy(copy, data, size);
    return copy;
}

uint8_t *fuzz_entry(const uint8_t *data, size_t size, bool raw, size_t *len)
{
    uint8_t *with = malloc(size + 9), *exact;
    uint64_t sum = __builtin_bswap64(XXH3_64bits(data, size));

    FUZZ_MUST(with, "no memory");
    memcpy(with, data, size);
    with[size] = 0xcf;
    memcpy(with + size + 1, &sum, sizeof(sum));
    *len = raw ? size : size + 9;
    exact = fuzz_copy(with, *len);
    free(with);
    return exact;
}

/* ---- files ------------------------------------------------------------------------------------- */

static char dir[64];
static pid_t owner;

static void remove_dir(void)
{
    DIR *list = getpid() == owner ? opendir(dir) : NULL;
    char path[512];

    if (!list)
        return;
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    closedir(list);
    rmdir(dir);
}

const char *fuzz_dir(void)
{
    if (dir[0])
        return dir;                      /* perhaps made before a fork: then it is the parent's to remove */
    const char *in = getenv("FUZZ_DIR"); /* of whoever cleans up behind one that crashed */

    if (!in)
        in = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(dir, sizeof(dir), "%.40s/understudy-fuzz.XXXXXX", in);
    FUZZ_MUST(mkdtemp(dir), "cannot make a directory like %s", dir);
    owner = getpid();
    atexit(remove_dir);
    return dir;
}

const char *fuzz_file(const char *name, const void *bytes, size_t len)
{
    static char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", fuzz_dir(), name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "cannot write %s", path);
    close(fd);
    return path;
}
