/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzing targets have in common. A target is one file, or a chain in fuzz_chains.c: it turns bytes
 * into something that a chunk of the product reads, and says with FUZZ_MUST what has to hold whatever the
 * bytes are. It keeps nothing from one input to the next that could change what the next one does.
 *
 * Two programs are made of the targets: main_fuzz.c (libFuzzer chooses the inputs) and main_replay.c (the
 * corpus, as a TAP program).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
    const char *name;
    const char *what; /* is fed */
    uint32_t most;    /* bytes of an input at most */
    void (*run)(const uint8_t *data, size_t size);
    void (*seeds)(void); /* calls fuzz_seed for each */
    struct fuzz_target *next;
};

void fuzz_register(struct fuzz_target *target);
struct fuzz_target *fuzz_first(void);            /* sorted by name */
struct fuzz_target *fuzz_find(const char *name); /* NULL: none */

/* Defines the target `id`, whose functions are run and seeds of its file. */
#define FUZZ_TARGET(id, text, bytes)                                                                         \
    __attribute__((constructor)) static void fuzz_register_##id(void)                                        \
    {                                                                                                        \
        static struct fuzz_target target = {                                                                 \
            .name = #id, .what = (text), .most = (bytes), .run = run, .seeds = seeds};                       \
        fuzz_register(&target);                                                                              \
    }

/* Says where and what, and aborts. */
_Noreturn void fuzz_failed(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define FUZZ_MUST(cond, ...)                                                                                 \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            fuzz_failed(__FILE__, __LINE__, __VA_ARGS__);                                                    \
    } while (0)

/* A synthetic input, written to the directory of the target under way. */
void fuzz_seed(const char *name, const void *bytes, size_t len);

/* ---- bytes, from front to back; behind the end there are zeros ---- */
struct fuzz_input {
    const uint8_t *at, *end;
};
static inline size_t fuzz_left(const struct fuzz_input *in)
{
    return (size_t)(in->end - in->at);
}
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in); /* little-endian, as all of them */
uint32_t fuzz_u32(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* At most `most` bytes; how many in *len. */
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t most, size_t *len);

/* The same for who writes a seed: appends to a buffer that is large enough for any seed. */
struct fuzz_output {
    uint8_t bytes[65536];
    size_t len;
};
void fuzz_put(struct fuzz_output *out, const void *bytes, size_t len);
void fuzz_put_u8(struct fuzz_output *out, uint8_t v);
void fuzz_put_u16(struct fuzz_output *out, uint16_t v);
void fuzz_put_u32(struct fuzz_output *out, uint32_t v);
void fuzz_put_u64(struct fuzz_output *out, uint64_t v);

/* A copy of exactly so many bytes on the heap, so that a step beyond is seen. free() it. */
uint8_t *fuzz_copy(const uint8_t *data, size_t size);

/* Such a copy for a decoder of entries; behind it the checksum of all of it, unless `raw`. */
uint8_t *fuzz_entry(const uint8_t *data, size_t size, bool raw, size_t *len);

/* ---- files ---- */

/* A directory of this process (and its children), made when first asked for and removed at its end. */
const char *fuzz_dir(void);
/* Writes the file `name` in it; its path, valid until the next call. */
const char *fuzz_file(const char *name, const void *bytes, size_t len);

#endif
