/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a forked node a program of its own, as a node of a real pair is: other seeds of libc's random
 * numbers, other addresses of memory, stacks and modules, other contents of modules' variables. Without this
 * an NF that rests on one of those does the same in all processes of the tool. The program's own code and
 * libc's stay where they are. Used in the node's process, before it has threads.
 */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "nflib/module/object.h"
#include "tools/replay/replay.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define PAGE       4096ull
#define HOLE_PAGES (1ull << 24) /* 64 GiB of addresses, at most */
#define HEAP_PAGES (1ull << 12)
#define SMALL_MAX  1024u /* bytes: sizes of which the heap has pieces that were given back */
#define CLOSES     16u   /* a chain names an object so often, at most */

static uint64_t draw(void)
{
    uint64_t value = 0;

    return getrandom(&value, sizeof(value), 0) == (ssize_t)sizeof(value) ? value : 0;
}

/* Addresses that nothing is mapped at any more. Where there is no room nothing is taken. */
static bool take_addresses(void *at, uint64_t bytes, int flags)
{
    return mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0) !=
           MAP_FAILED;
}

/* What is mapped from now on lies below a hole, and the heap goes on behind one. Pieces of the heap that are
 * free are taken, some of each size, and not given back. */
static void move_memory(void)
{
    (void)take_addresses(NULL, (draw() % HOLE_PAGES + 1) * PAGE, 0);
    for (size_t size = 16; size <= SMALL_MAX; size += 16)
        for (uint64_t n = draw() % 16; n > 0; n--) {
            void *volatile taken = malloc(size);

            (void)taken;
        }
    sbrk((intptr_t)((draw() % HEAP_PAGES + 1) * PAGE));
}

/* The object is loaded again with the configuration, elsewhere: its place is taken. One that does not go
 * stays. */
static void unload(const struct nf_object_file *file)
{
    struct nf_segment all = file->all;
    char *path = strdup(file->path);
    void *handle;

    for (unsigned i = 0; path && i < CLOSES && (handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD)); i++) {
        dlclose(handle); /* what this look has opened, and what a chain has */
        dlclose(handle);
    }
    free(path);
    (void)take_addresses(all.base, all.size, MAP_FIXED_NOREPLACE);
}

static void unload_modules(void)
{
    struct nf_object_file file;
    const struct nf_module *module;

    for (unsigned i = 0; (module = nf_module_at(i));) {
        if (!nf_object_file_of(&file, module)) {
            i++;
            continue;
        }
        for (unsigned k = i; (module = nf_module_at(k));) /* of all that the object has */
            if ((const uint8_t *)module - file.all.base < (ptrdiff_t)file.all.size &&
                (const uint8_t *)module >= file.all.base)
                nf_module_forget(module);
            else
                k++;
        unload(&file);
    }
}

void nd_scatter(void)
{
    srandom((unsigned)draw()); /* of rand(), too */
    srand48((long)draw());
    unload_modules();
    move_memory();
}
