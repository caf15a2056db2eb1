/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that outlives a node, and the reporter's process as the node sees it; see crash.h. */
#include "understudy/crash/crash.h"
#include "logger/recorder/recorder.h"
#include "nflib/module/module.h"
#include "ftcore/base/clock.h"
#include "understudy/config/setup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_MS      1000        /* for the reporter to write what a quarantine kept */
#define QUEUE_BYTES (16u << 20) /* between each lane and the flight recorder */

static void *share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static int make_memory(struct nd_crash *c, const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_protect *p = &config->protect;
    unsigned lanes = config->chain.lanes;
    int error = 0;

    c->page = share(sizeof(*c->page));
    c->shared = share(lanes * sizeof(*c->shared));
    if (!c->page || !c->shared)
        return ft_fail(fault, FT_ENOMEM, "no memory for what %u lanes share", lanes);
    for (unsigned l = 0; l < lanes && !error; l++)
        error = nd_setup_rings(&c->shared[l], (uint64_t)p->log_mb << 20, (uint64_t)p->pending_mb << 20,
                               p->stores, fault);
    if (!error && config->record.dir[0])
        error = lg_recorder_make(&c->recorder, lanes, QUEUE_BYTES, fault);
    return error;
}

static int start_reporter(struct nd_crash *c, const struct nd_config *config, unsigned self,
                          struct ft_fault *fault)
{
    struct nd_crash_case node = {.page = c->page,
                                 .shared = c->shared,
                                 .recorder = c->recorder,
                                 .config = config,
                                 .self = self,
                                 .pid = getpid()};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return ft_fail(fault, FT_EIO, "no socket to the reporter: %s", strerror(errno));
    c->pid = fork();
    if (c->pid == 0) {
        close(ends[0]);
        nd_crash_run_reporter(&node, ends[1]);
    }
    int why = errno;

    close(ends[1]);
    c->feed = ends[0];
    return c->pid < 0 ? ft_fail(fault, FT_EIO, "no process for the reporter: %s", strerror(why)) : 0;
}

int nd_crash_open(struct nd_crash **out, const struct nd_config *config, unsigned self,
                  struct ft_fault *fault)
{
    struct nd_crash *c = calloc(1, sizeof(*c));
    int error;

    *out = c;
    if (!c)
        return ft_fail(fault, FT_ENOMEM, "no memory for the reporter");
    c->feed = -1;
    error = make_memory(c, config, fault);
    if (error)
        return error;
    nd_crash_name_chain(c->page, &config->chain);
    return start_reporter(c, config, self, fault);
}

void nd_crash_add_modules(struct nd_crash_page *page, const struct nf_chain_config *chain)
{
    for (unsigned i = 0; i < chain->count; i++) {
        uint32_t n = atomic_load(&page->modules);
        struct nd_crash_module *m = &page->module[n];
        struct nf_object_file file;
        bool known = n == ND_CRASH_MODULES || !nf_object_file_of(&file, chain->nfs[i].module);

        for (uint32_t k = 0; k < n && !known; k++)
            known = page->module[k].base == (uint64_t)(uintptr_t)file.all.base;
        if (known)
            continue;
        m->base = (uint64_t)(uintptr_t)file.all.base;
        m->size = file.all.size;
        snprintf(m->path, sizeof(m->path), "%s", file.path);
        atomic_store_explicit(&page->modules, n + 1, memory_order_release);
    }
}

void nd_crash_name_chain(struct nd_crash_page *page, const struct nf_chain_config *chain)
{
    for (unsigned i = 0; page && i < FT_NFS_MAX; i++) {
        char *name = page->nf[i];
        const char *is = i == 0 ? "l3" : i <= chain->count ? chain->nfs[i - 1].module->name : "";

        memset(name, 0, FT_CRASH_NAME);
        memcpy(name, is, strnlen(is, FT_CRASH_NAME - 1));
    }
    for (unsigned i = 0; page && i < NF_PORTS_MAX; i++)
        snprintf(page->interface[i], sizeof(page->interface[i]), "%s",
                 chain->l3 ? (i < chain->l3->ports ? chain->l3->port[i].name : "")
                 : i < 2   ? (i ? "outside" : "inside")
                           : "");
}

bool nd_crash_turn(struct nd_crash *crash, int state, uint64_t view, uint64_t chain)
{
    atomic_store(&crash->page->state, state);
    atomic_store(&crash->page->view, view);
    atomic_store(&crash->page->chain, chain);
    if (crash->ended || waitpid(crash->pid, NULL, WNOHANG) == 0)
        return true;
    crash->ended = true;
    return false;
}

void nd_crash_save_quarantine(struct nd_crash *crash)
{
    send(crash->feed, "q", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void nd_crash_close(struct nd_crash *crash)
{
    uint64_t until = ft_now() + END_MS * 1000000ull;

    if (!crash)
        return;
    if (crash->page)
        atomic_store(&crash->page->stopped, true);
    if (crash->feed >= 0)
        close(crash->feed);
    while (crash->pid > 0 && !crash->ended && ft_now() < until) {
        crash->ended = waitpid(crash->pid, NULL, WNOHANG) != 0;
        if (!crash->ended)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    if (crash->pid > 0 && !crash->ended)
        kill(crash->pid, SIGKILL); /* and no longer: it may hang in a disk */
    lg_recorder_free(crash->recorder);
    /* Page, words and rings stay mapped: a handler of a signal may look at them until the process has ended.
     */
    free(crash);
}
