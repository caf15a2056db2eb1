/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The corpus as a TAP program: each target, in a process of its own, is given every file of its directory, in
 * the order of their names. Files named finding-… were found to break something once.
 *
 *     replay [TARGET…]            the corpus of these targets, or of all
 *     replay --list               the targets, and how long their inputs may be
 *     replay --seeds DIR          writes the synthetic inputs to DIR/TARGET/
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CORPUS "tests/fuzz/corpus"

/* What the child is at. */
struct progress {
    char file[512];
    unsigned done;
};

static const char *seed_dir, *seed_target;

void fuzz_seed(const char *name, const void *bytes, size_t len)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s/seed-%s", seed_dir, seed_target, name);
    f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(70);
    }
}

static int write_seeds(const char *dir)
{
    char path[512];

    seed_dir = dir;
    mkdir(dir, 0777);
    for (const struct fuzz_target *t = fuzz_first(); t; t = t->next) {
        snprintf(path, sizeof(path), "%s/%s", dir, t->name);
        mkdir(path, 0777);
        seed_target = t->name;
        t->seeds();
    }
    return 0;
}

static void run_file(const struct fuzz_target *t, const char *path)
{
    FILE *f = fopen(path, "r");
    struct stat s;
    uint8_t *data;

    if (!f || fstat(fileno(f), &s) != 0) {
        perror(path);
        exit(70);
    }
    data = malloc(s.st_size ? (size_t)s.st_size : 1);
    FUZZ_MUST(data && fread(data, 1, (size_t)s.st_size, f) == (size_t)s.st_size, "cannot read %s", path);
    fclose(f);
    t->run(data, (size_t)s.st_size);
    free(data);
}

static void run_corpus(const struct fuzz_target *t, struct progress *p)
{
    struct dirent **list;
    char path[256];
    int n;

    snprintf(path, sizeof(path), CORPUS "/%s", t->name);
    n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.') {
            snprintf(p->file, sizeof(p->file), "%s/%s", path, list[i]->d_name);
            run_file(t, p->file);
            p->done++;
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    snprintf(p->file, sizeof(p->file), "the end");
}

/* True: all of it went by. */
static bool passes(const struct fuzz_target *t, struct progress *p)
{
    int status = 0;
    pid_t child;

    memset(p, 0, sizeof(*p));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        run_corpus(t, p);
        exit(0); /* what was not given back is found here */
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0 && p->done > 0;
}

static bool wanted(const struct fuzz_target *t, char *const names[])
{
    for (char *const *name = names; *name; name++)
        if (strcmp(*name, t->name) == 0)
            return true;
    return !*names;
}

int main(int argc, char *argv[])
{
    struct progress *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned count = 0;
    bool failed = false, list = argc == 2 && strcmp(argv[1], "--list") == 0;

    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    if (p == MAP_FAILED)
        return 70;
    fuzz_dir(); /* here, so that it is removed whatever becomes of the children */
    for (const struct fuzz_target *t = fuzz_first(); t; t = t->next) {
        if (list)
            printf("%s %u\n", t->name, t->most);
        else if (wanted(t, argv + 1)) {
            bool ok = passes(t, p);

            printf("%sok %u - %s: %s, %u inputs\n", ok ? "" : "not ", ++count, t->name, t->what, p->done);
            if (!ok)
                printf("# at %s\n", p->file[0] ? p->file : "the beginning");
            failed |= !ok;
        }
    }
    if (!list)
        printf("1..%u\n", count);
    return failed;
}
