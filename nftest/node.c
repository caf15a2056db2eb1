/* SPDX-License-Identifier: Apache-2.0 */
/* A node of a test: one lane of the chain in a region of its own, in a process of its own; see parts.h. */
#include "ftcore/region/audit.h"
#include "nftest/parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <xxhash.h>

#define SEED      1u /* of a chain that is made: the same for both nodes, as in a pair that has met */
#define REQUEST_S 5  /* of CPU time, for one request: an NF that takes longer does not come to an end */

struct node {
    int fd;
    struct ft_region *region;
    struct nf_chain *chain;
    struct nft_request request;
    struct nft_answer answer;
};

bool nft_write(int fd, const void *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        bytes = (const char *)bytes + sent;
        size -= (size_t)sent;
    }
    return true;
}

bool nft_read(int fd, void *bytes, size_t size)
{
    while (size) {
        ssize_t got = recv(fd, bytes, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes = (char *)bytes + got;
        size -= (size_t)got;
    }
    return true;
}

static void take_digests(struct node *n)
{
    n->answer.arenas = ft_region_arenas(n->region);
    for (unsigned i = 0; i < n->answer.arenas; i++) {
        const struct ft_arena *a = &n->region->arenas[i];

        n->answer.digest[i] = XXH3_64bits(n->region->base + a->offset, a->used);
    }
}

static void sum_made(struct node *n)
{
    const struct nf_emitted *list;
    uint32_t count = nf_chain_emitted(n->chain, &list);

    n->answer.made = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++)
        n->answer.made_sum =
            XXH3_64bits_withSeed(list[i].frame, list[i].len, n->answer.made_sum + list[i].port);
}

static void run(struct node *n)
{
    static const struct ft_dependency none[1];
    const struct nft_request *q = &n->request;
    struct nft_answer *a = &n->answer;
    struct nf_packet p = {.len = q->len, .have = q->have, .side = q->side, .in_port = q->side};
    const void *noted;

    memcpy(a->bytes, q->bytes, q->have);
    p.data = a->bytes;
    if (q->replay) {
        nf_chain_follow(n->chain, none, 0);
        if (q->noted)
            a->error = nf_determinants_supply(nf_chain_determinants(n->chain), q->determinants, q->noted);
    }
    if (q->text[0])
        a->error = nf_chain_command(n->chain, q->text, (uint32_t)strlen(q->text), q->now, &a->fault);
    nf_chain_run(n->chain, q->burst, q->now, &p, q->packets);
    ft_audit_check(n->region, 0);
    if (q->packets && p.data != a->bytes) /* the chain has moved it */
        memmove(a->bytes, p.data, p.have < sizeof(a->bytes) ? p.have : sizeof(a->bytes));
    a->drop = p.drop;
    a->drop_nf = p.drop_nf;
    a->out_port = p.out_port;
    a->len = p.len;
    a->have = p.have;
    sum_made(n);
    if (q->replay) {
        a->used = nf_determinants_used(nf_chain_determinants(n->chain));
    } else {
        a->noted = nf_determinants_noted(nf_chain_determinants(n->chain), &noted);
        memcpy(a->determinants, noted, a->noted);
    }
    take_digests(n);
}

static void find_counter(struct node *n)
{
    const struct nf *nf = nf_chain_find(n->chain, n->request.text);

    n->answer.error = FT_ENOENT;
    for (unsigned i = 0; nf && nf->module->counters && nf->module->counters[i]; i++)
        if (strcmp(nf->module->counters[i], n->request.other) == 0) {
            n->answer.number = nf->counters[i];
            n->answer.error = 0;
        }
}

/* All pages, one JSON array after the other, in `out`, which the answer follows. */
static void show(struct node *n, char *out)
{
    const struct nf *nf = nf_chain_find(n->chain, n->request.text);
    uint64_t cursor = 0;
    bool more = nf && nf->module->show;
    uint32_t at = 0;

    n->answer.error = more ? 0 : FT_ENOENT;
    while (more && at + 16384 < NFT_SHOW_MAX) {
        struct nf_show *page = nf_show_begin(out + at, 16384);

        more = nf->module->show(nf, page, &cursor);
        at += nf_show_end(page);
    }
    out[at++] = '\0';
    n->answer.number = at;
}

/* The state of the other node, arena by arena; behind the last one it is looked at as a peer's would be. */
static bool take_arena(struct node *n)
{
    const struct nft_request *q = &n->request;
    struct ft_arena *a = &n->region->arenas[q->arena];
    bool whole;

    FT_CHECK(a->used == q->used, "arena %u of %lu bytes here, %lu there", q->arena, a->used, q->used);
    ft_audit_suspend(n->region);
    whole = nft_read(n->fd, n->region->base + a->offset, a->used);
    ft_audit_resume(n->region);
    if (whole && q->arena + 1 == ft_region_arenas(n->region))
        n->answer.error = nf_chain_check(n->chain, NULL, NULL, &n->answer.fault);
    return whole;
}

static bool answer(struct node *n, char *text)
{
    const struct ft_arena *a = &n->region->arenas[n->request.arena];
    const void *more = text;

    memset(&n->answer, 0, sizeof(n->answer));
    switch (n->request.kind) {
    case NFT_RUN:
        run(n);
        break;
    case NFT_SHOW:
        show(n, text);
        break;
    case NFT_COUNTER:
        find_counter(n);
        break;
    case NFT_GIVE:
        n->answer.number = a->used;
        more = n->region->base + a->offset;
        break;
    case NFT_TAKE:
        if (!take_arena(n))
            return false;
        break;
    case NFT_WAKE:
        break;
    }
    n->answer.wake = nf_chain_wake(n->chain);
    if (!nft_write(n->fd, &n->answer, sizeof(n->answer)))
        return false;
    return (n->request.kind != NFT_GIVE && n->request.kind != NFT_SHOW) ||
           nft_write(n->fd, more, n->answer.number);
}

void nft_node_serve(int fd, const struct nf_chain_config *config)
{
    static const struct ft_region_config how = {.name = "nftest", .audit = true};
    static const int deadly[] = {SIGSEGV, SIGABRT, SIGILL, SIGBUS, SIGFPE, SIGPROF};
    static const struct itimerval limit = {.it_value = {.tv_sec = REQUEST_S}};
    static struct node n;
    struct ft_fault fault = {""};
    char *text = malloc(NFT_SHOW_MAX);
    int error;

    /* A death is this process's own, whatever the test's framework makes of signals. */
    for (unsigned i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        signal(deadly[i], SIG_DFL);
    /* Else both nodes would draw the same from libc, which two servers do not. */
    srand((unsigned)getpid());
    srandom((unsigned)getpid());
    srand48(getpid());
    n.fd = fd;
    error = text ? nf_chain_region(&n.region, config, &how, &fault) : ft_fail(&fault, FT_ENOMEM, "no memory");
    if (!error) {
        ft_audit_suspend(n.region);
        error = nf_chain_make(&n.chain, config, n.region, 0, SEED, &fault);
        ft_audit_resume(n.region);
    }
    if (error) {
        fprintf(stderr, "nftest: the chain cannot be made: %s\n", fault.text);
        _exit(1);
    }
    while (nft_read(fd, &n.request, sizeof(n.request)) && setitimer(ITIMER_PROF, &limit, NULL) == 0 &&
           answer(&n, text))
        ;
    _exit(0);
}
