/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate: runs seeds in worker processes, so that a broken invariant ends one seed and not the rest.
 *
 *   simulate [-n SEEDS] [-f FIRST | -r] [-j JOBS] [-l FILE-OF-SEEDS] [-k KIND] [-q] [-x] [-s SEED [-v]]
 *
 *   simulate [-v] SCENARIO...
 *
 * -k liar, alone, stray, narrow, sealed, troubled, arbiter, ways, keeper, port or slow: seeds of that kind
 * alone. -r: fresh seeds, the first drawn at random and told. -x: the first failure ends it. -s runs one
 * seed, twice: the second run must be the first, byte for byte. The last line is 'N passed, M failed'; the
 * exit code is 0 when all passed.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX     64u
#define LISTED       4096u
#define WATCHDOG     120 /* s of a processor for one seed: it does not end */
#define PRINTED_FULL 3u  /* failures whose transcript is printed */

static struct options {
    uint64_t first, count, seed;
    unsigned jobs;
    bool one, aloud, quiet, first_ends;
    const char *list, *kind;
} options = {.first = 1, .count = 100, .jobs = 1};

static uint64_t listed[LISTED];
static uint64_t listed_count;

/* What workers share with their parent. */
static struct shared {
    _Atomic uint64_t next, passed, failed;
    struct sim_counts count;
    _Atomic int lock;
} * shared;

static int noise = -1; /* what the product says on stderr in this seed */

static uint64_t seed_at(uint64_t i)
{
    return i < listed_count ? listed[i] : options.first + (i - listed_count);
}

/* ---- one seed ---------------------------------------------------------------------------------------------
 */

static void print_noise(void)
{
    char text[1024];
    ssize_t n = noise >= 0 ? pread(noise, text, sizeof(text) - 1, 0) : 0;

    if (n > 0)
        printf("%.*s", (int)n, text);
}

static void tell_failure(uint64_t seed, const char *what)
{
    bool full = atomic_fetch_add(&shared->failed, 1) < PRINTED_FULL && !options.quiet;

    if (options.one)
        full = !options.aloud;
    if (full)
        printf("%s", sim_story());
    if (options.first_ends)
        atomic_store(&shared->next, UINT64_MAX / 2);
    printf("seed %lu failed (Understudy %s): %s\n", seed, UNDERSTUDY_VERSION, what);
    print_noise();
    if (full)
        printf("  again: make sim%s%s SEED=%lu VERBOSE=1\n", options.kind ? " KIND=" : "",
               options.kind ? options.kind : "", seed);
    fflush(stdout);
}

/* Where branches are counted: a worker's must not end with it. */
void __gcov_dump(void) __attribute__((weak));

/* What the product has said on stderr. */
static const char *heard(void)
{
    static char text[1024];
    ssize_t n = noise >= 0 ? pread(noise, text, sizeof(text) - 1, 0) : 0;

    text[n > 0 ? n : 0] = '\0';
    for (ssize_t i = 0; i < n; i++) /* it begins with a hole */
        text[i] = text[i] ? text[i] : ' ';
    return text;
}

static bool strays(int number)
{
    return sim_stray_ends(number, noise >= 0 ? heard() : NULL);
}

/*
 * A standby that takes over on a log that no lanes can have made (a liar's) cannot come to the state that it
 * acknowledged. It says so, and dies rather than reign on another one: the product has no better end for
 * that.
 */
static bool dies_of_a_lie(int number)
{
    const char *text = heard();

    return number == SIGABRT && sim.plan.liar && strstr(text, "replay diverged: ") &&
           strstr(text, "broken invariant: nf_chain_state(lane->chain)->burst == upto");
}

/* A broken invariant of the product, or of the world. */
static void on_death(int number)
{
    if (__gcov_dump)
        __gcov_dump();
    if (sim.strayed && strays(number)) {
        if (options.one) {
            printf("1 passed, 0 failed\n");
            fflush(stdout);
            _exit(0);
        }
        atomic_fetch_add(&shared->passed, 1);
        _exit(1);
    }
    if (!options.one && dies_of_a_lie(number)) {
        atomic_fetch_add(&shared->passed, 1);
        _exit(1);
    }
    tell_failure(sim.seed, number == SIGPROF || number == SIGALRM ? "it does not end" : strsignal(number));
    fflush(stdout);
    _exit(1);
}

static bool run(uint64_t seed, bool aloud)
{
    struct sim_plan plan;
    bool passed;

    if (noise >= 0 && lseek(noise, 0, SEEK_CUR) > 0 && (ftruncate(noise, 0) || lseek(noise, 0, SEEK_SET)))
        return false;
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = WATCHDOG}, NULL);
    alarm(10 * WATCHDOG); /* one that waits for ever takes no processor */
    sim_plan_make(&plan, seed, options.kind);
    sim_story_begin(aloud);
    sim_begin(seed, &plan);
    passed = sim_run();
    sim_end();
    return passed;
}

static void add(const struct sim_counts *c)
{
    const uint64_t *from = (const uint64_t *)(const void *)c;
    uint64_t *to = (uint64_t *)(void *)&shared->count;

    while (atomic_exchange(&shared->lock, 1))
        ;
    for (size_t i = 0; i < sizeof(*c) / sizeof(*from); i++)
        to[i] += from[i];
    atomic_store(&shared->lock, 0);
}

static _Noreturn void work(void)
{
    noise = memfd_create("stderr", 0);
    dup2(noise, 2);
    lseek(noise, 1, SEEK_SET);
    signal(SIGABRT, on_death);
    signal(SIGSEGV, on_death);
    signal(SIGBUS, on_death);
    signal(SIGFPE, on_death);
    signal(SIGPROF, on_death);
    signal(SIGALRM, on_death);
    for (uint64_t i; (i = atomic_fetch_add(&shared->next, 1)) < options.count + listed_count;) {
        if (run(seed_at(i), false))
            atomic_fetch_add(&shared->passed, 1);
        else
            tell_failure(sim.seed, sim.failed);
        add(&sim.count);
    }
    if (__gcov_dump)
        __gcov_dump();
    _exit(0);
}

/* ---- many
 * -------------------------------------------------------------------------------------------------- */

static void start_worker(void)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid == 0)
        work();
    FT_CHECK(pid > 0, "no process: %s", strerror(errno));
}

static void report(void)
{
    const struct sim_counts *c = &shared->count;

    if (options.quiet)
        return;
    printf("%lu kills, %lu takeovers, %lu times protected, %lu snapshots, %lu splits, %lu released of %lu "
           "bursts, "
           "%lu twice, %lu dependencies, %lu packets told by their sessions, %lu answers, %lu views "
           "forgotten, %lu decisions, %lu refused, %lu times records by a lane's port, %lu slow standbys\n",
           c->kills, c->takeovers, c->protections, c->resyncs, c->splits, c->released, c->bursts,
           c->duplicates, c->dependencies, c->told, c->replies, c->forgotten, c->decisions, c->refused,
           c->by_port, c->slow);
    for (unsigned s = 0; s < SIM_STEPS; s++)
        if (c->caught[s] == 0)
            printf("nobody was caught %s\n", sim_step_text[s]);
}

static int many(void)
{
    uint64_t passed, failed;
    int status;

    printf("seeds %lu to %lu%s%s, Understudy %s\n", options.first, options.first + options.count - 1,
           options.list ? ", and those of " : "", options.list ? options.list : "", UNDERSTUDY_VERSION);
    for (unsigned j = 0; j < options.jobs; j++)
        start_worker();
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            start_worker(); /* the seed has been told */
    report();
    passed = atomic_load(&shared->passed);
    failed = atomic_load(&shared->failed);
    if (passed + failed != options.count + listed_count) /* killed, or ended by a sanitizer: -s SEED tells */
        printf("%lu ended without a word\n", options.count + listed_count - passed - failed);
    printf("%lu passed, %lu failed\n", passed, failed);
    return passed != options.count + listed_count;
}

static int one(void)
{
    uint64_t hash;
    bool passed;

    signal(SIGABRT, on_death);
    signal(SIGSEGV, on_death);
    passed = run(options.seed, options.aloud);
    if (!passed)
        tell_failure(options.seed, sim.failed);
    hash = sim.hash;
    if (passed != run(options.seed, false) || hash != sim.hash) {
        printf("seed %lu: two runs differ: %016lx, %016lx\n", options.seed, hash, sim.hash);
        passed = false;
    }
    printf("%d passed, %d failed\n", passed, !passed);
    return !passed;
}

static void read_list(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256];

    if (!f) {
        fprintf(stderr, "simulate: %s: %s\n", path, strerror(errno));
        exit(65);
    }
    while (listed_count < LISTED && fgets(line, sizeof(line), f))
        if (line[0] != '#' && line[0] != '\n')
            listed[listed_count++] = strtoull(line, NULL, 0);
    fclose(f);
}

static uint64_t fresh(void)
{
    uint64_t first;

    FT_CHECK(getrandom(&first, sizeof(first), 0) == sizeof(first), "no random numbers");
    return first >> 16;
}

static bool read_options(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "n:f:j:l:s:k:rvqx")) != -1)
        switch (c) {
        case 'n':
            options.count = strtoull(optarg, NULL, 0);
            break;
        case 'f':
            options.first = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            options.first = fresh();
            break;
        case 'j':
            options.jobs = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'l':
            options.list = optarg;
            break;
        case 's':
            options.one = true;
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'k':
            options.kind = optarg;
            break;
        case 'v':
            options.aloud = true;
            break;
        case 'x':
            options.first_ends = true;
            break;
        case 'q':
            options.quiet = true;
            break;
        default:
            return false;
        }
    return true;
}

/* Scenarios from files, as TAP. */
static int scenarios(char *const paths[], int count)
{
    int failed = 0;

    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        int error = sim_scenario(paths[i], options.aloud);

        if (error == 1 && !options.aloud)
            printf("%s", sim_story());
        printf("%sok %d - %s%s%s\n", error ? "not " : "", i + 1, paths[i], error == 1 ? ": " : "",
               error == 1 ? sim.failed : "");
        failed |= error;
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct ft_fault fault;

    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: simulate [-n SEEDS] [-f FIRST | -r] [-j JOBS] [-l FILE] [-k KIND] [-q] "
                        "[-x] [-s SEED [-v]]\n");
        return 64;
    }
    mallopt(M_MMAP_THRESHOLD,
            128 << 10); /* fixed: large and hardly touched blocks come from the system, zeroed */
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (sim_configs("tests/sim/chains", &fault)) {
        fprintf(stderr, "simulate: %s\n", fault.text);
        return 65;
    }
    if (options.list)
        read_list(options.list);
    if (optind < argc)
        return scenarios(argv + optind, argc - optind);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FT_CHECK(shared != MAP_FAILED && options.jobs >= 1 && options.jobs <= JOBS_MAX, "%u jobs", options.jobs);
    return options.one ? one() : many();
}
