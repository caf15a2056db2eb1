/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test of a chain: the two nodes' processes, each with one lane of the chain in a region of its own, and
 * what they have to agree on; see nftest.h. Between the test and a node a request passes, and an answer to
 * it, through a socket. Both are the same program, so these are structs as they lie in memory.
 */
#include "nftest/nftest.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/unread.h"
#include "understudy/config/config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#define BEGIN        NF_SECOND
#define WAKES_MAX    100000u /* bursts for timers in one wait: more is an NF that asks again and again */
#define SEED         1u      /* of a chain that is made: the same for both nodes, as in a pair that has met */
#define REQUEST_S    5 /* of CPU time, for one request: an NF that takes longer does not come to an end */
#define NFT_TEXT     256u
#define NFT_SHOW_MAX (1u << 20)
#define NFT_ARENAS   (NFT_LANES_MAX * FT_NFS_MAX + 1u) /* of the lanes, and the shared one */

enum nft_kind { NFT_RUN, NFT_FIELDS, NFT_SHOW, NFT_COUNTER, NFT_GIVE, NFT_TAKE, NFT_WAKE };

/* A burst of one packet at most, and of one command. FIELDS: the last one, a replay with a packet, which is
 * executed again. */
struct nft_request {
    enum nft_kind kind;
    bool replay;
    uint64_t now;
    uint32_t lane;    /* which lane's burst it is, but of a packet that comes in live: the node deals it */
    uint32_t packets; /* 0, 1 */
    uint32_t len, have;
    uint8_t side, bytes[NFT_FRAME_MAX];
    char text[NFT_TEXT];  /* RUN: a command, "" for none; else the NF */
    char other[NFT_TEXT]; /* COUNTER: its name */
    uint32_t arena;       /* GIVE, TAKE: its content follows TAKE and the answer to GIVE */
    uint64_t used;        /* bytes of it */
    uint32_t noted;       /* replay: bytes of determinants */
    uint8_t determinants[NF_DETERMINANTS_MAX];
    uint32_t accesses; /* replay: to what lanes share */
};

struct nft_answer {
    int error; /* of a command; of TAKE: of the state's check */
    struct ft_fault fault;
    uint8_t drop, drop_nf, out_port, made;
    uint32_t len, have;
    uint8_t bytes[NFT_FRAME_MAX];
    uint64_t made_sum; /* over what NFs made */
    uint64_t digest[NFT_ARENAS];
    uint32_t arenas;
    uint32_t lane;                /* RUN: whose burst it was */
    uint64_t wake[NFT_LANES_MAX]; /* when timers ask for the next burst */
    uint64_t number; /* COUNTER: its value; GIVE: bytes that follow; SHOW: bytes that follow; FIELDS: bits of
                        enum nf_unread_field */
    uint32_t noted;
    bool used; /* replay: as many accesses, all determinants, and none else */
    uint8_t determinants[NF_DETERMINANTS_MAX];
    uint32_t accesses; /* live */
};

#define PRIMARY 0
#define STANDBY 1

/* ---- a node -------------------------------------------------------------------------------------------- */

struct node {
    int fd;
    struct ft_region *region;
    struct nf_chain *chain[NFT_LANES_MAX];
    struct ft_published published[NFT_LANES_MAX];
    unsigned lanes;
    enum nf_scope scope;
    struct nf_datagrams datagrams;
    bool flows;      /* its NFs read no more than that */
    uint8_t *before; /* then: the region as it was before the last packet that was replayed */
    struct nft_request request;
    struct nft_answer answer;
};

/* All of it; false: the other end is gone. So read_all. */
static bool write_all(int fd, const void *bytes, size_t size)
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

static bool read_all(int fd, void *bytes, size_t size)
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
    n->answer.arenas = n->region->arena_count;
    for (unsigned i = 0; i < n->answer.arenas; i++) {
        const struct ft_arena *a = &n->region->arenas[i];

        n->answer.digest[i] = XXH3_64bits(n->region->base + a->offset, a->used);
    }
}

static void sum_made(struct node *n, const struct nf_chain *chain)
{
    const struct nf_emitted *list;
    uint32_t count = nf_chain_emitted(chain, &list);

    n->answer.made = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++)
        n->answer.made_sum =
            XXH3_64bits_withSeed(list[i].frame, list[i].len, n->answer.made_sum + list[i].port);
}

/* The lane that a packet comes to, live. */
static unsigned deal(struct node *n, struct nf_packet *p)
{
    return n->lanes == 1 ? 0 : nf_chain_lane(n->chain[0], p, n->scope, n->lanes, &n->datagrams);
}

/* What a burst has noted, live. */
static void note(struct nft_answer *a, struct nf_chain *chain, uint64_t access)
{
    const void *noted;

    a->noted = nf_determinants_noted(nf_chain_determinants(chain), &noted);
    memcpy(a->determinants, noted, a->noted);
    a->accesses = (uint32_t)(nf_chain_sections(chain)->next - access);
}

/* The request's burst; in a replay without the fields of which there are bits in `hidden`. */
static void run(struct node *n, uint32_t hidden)
{
    static const struct ft_dependency none[1]; /* the order is the live one anyway */
    const struct nft_request *q = &n->request;
    struct nft_answer *a = &n->answer;
    struct nf_packet p = {.len = q->len, .have = q->have, .side = q->side, .in_port = q->side};
    struct nf_unread unread;
    struct nf_chain *chain;
    uint64_t access;

    memcpy(a->bytes, q->bytes, q->have);
    p.data = a->bytes;
    a->lane = q->packets && !q->replay ? deal(n, &p) : q->lane;
    chain = n->chain[a->lane];
    access = nf_chain_state(chain)->access;
    unread.hidden = 0;
    if (q->replay && q->packets && n->flows)
        nf_unread_hide(&p, hidden, &unread);
    if (q->replay) {
        nf_chain_follow(chain, none, 0);
        if (q->noted)
            a->error = nf_determinants_supply(nf_chain_determinants(chain), q->determinants, q->noted);
    }
    if (q->text[0])
        a->error = nf_chain_command(chain, q->text, (uint32_t)strlen(q->text), q->now, &a->fault);
    nf_chain_run(chain, nf_chain_state(chain)->burst + 1, q->now, &p, q->packets);
    ft_audit_check(n->region, a->lane);
    if (q->packets && !p.drop)
        nf_unread_show(&p, &unread);
    if (q->packets && p.data != a->bytes) /* the chain has moved it */
        memmove(a->bytes, p.data, p.have < sizeof(a->bytes) ? p.have : sizeof(a->bytes));
    a->drop = p.drop;
    a->drop_nf = p.drop_nf;
    a->out_port = p.out_port;
    a->len = p.len;
    a->have = p.have;
    sum_made(n, chain);
    if (q->replay)
        a->used = nf_determinants_used(nf_chain_determinants(chain)) &&
                  (n->lanes == 1 || ft_sections_used(nf_chain_sections(chain), access, q->accesses));
    else
        note(a, chain, access);
    take_digests(n);
}

/* ---- what an NF reads and does not declare ------------------------------------------------------------- */

static void copy_arenas(const struct node *n, bool back)
{
    for (unsigned i = 0; i < n->region->arena_count; i++) {
        const struct ft_arena *a = &n->region->arenas[i];
        uint8_t *state = n->region->base + a->offset, *kept = n->before + a->offset;

        memcpy(back ? state : kept, back ? kept : state, a->used);
    }
}

/* The last packet once more, without these fields: the sum of all that came of it. */
static uint64_t run_again(struct node *n, uint32_t hidden)
{
    struct nft_answer *a = &n->answer;

    ft_audit_suspend(n->region);
    copy_arenas(n, true);
    ft_audit_resume(n->region);
    memset(a, 0, sizeof(*a));
    run(n, hidden);
    if (a->drop) /* what was hidden is not put back */
        memset(a->bytes, 0, sizeof(a->bytes));
    return XXH3_64bits(a, sizeof(*a));
}

/* Those fields that NFs with NF_READS_FLOW do not read, of which one alone makes a difference. The state is
 * then again the one that all of them together have made. */
static uint32_t find_undeclared(struct node *n)
{
    uint64_t whole = run_again(n, 0);
    uint32_t found = 0;

    for (unsigned f = 0; f < NF_UNREAD_COUNT; f++)
        if (run_again(n, 1u << f) != whole)
            found |= 1u << f;
    run_again(n, NF_UNREAD_ALL);
    return found;
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static void find_counter(struct node *n)
{
    n->answer.error = FT_ENOENT;
    for (unsigned lane = 0; lane < n->lanes; lane++) {
        const struct nf *nf = nf_chain_find(n->chain[lane], n->request.text);

        for (unsigned i = 0; nf && nf->module->counters && nf->module->counters[i]; i++)
            if (strcmp(nf->module->counters[i], n->request.other) == 0) {
                n->answer.number += nf->counters[i];
                n->answer.error = 0;
            }
    }
}

/* All pages, one JSON array after the other, in `out`, which the answer follows. */
static void show(struct node *n, char *out)
{
    uint32_t at = 0;

    n->answer.error = FT_ENOENT;
    for (unsigned lane = 0; lane < n->lanes; lane++) {
        const struct nf *nf = nf_chain_find(n->chain[lane], n->request.text);
        uint64_t cursor = 0;

        for (bool more = nf && nf->module->show; more && at + 16384 < NFT_SHOW_MAX;) {
            struct nf_show *page = nf_show_begin(out + at, 16384);

            more = nf->module->show(nf, page, &cursor);
            at += nf_show_end(page);
            n->answer.error = 0;
        }
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
    whole = read_all(n->fd, n->region->base + a->offset, a->used);
    ft_audit_resume(n->region);
    for (unsigned lane = 0; whole && q->arena + 1 == n->region->arena_count && lane < n->lanes; lane++)
        if (!n->answer.error)
            n->answer.error = nf_chain_check(n->chain[lane], NULL, NULL, &n->answer.fault);
    return whole;
}

static bool answer(struct node *n, char *text)
{
    const struct ft_arena *a = &n->region->arenas[n->request.arena];
    const void *more = text;

    memset(&n->answer, 0, sizeof(n->answer));
    switch (n->request.kind) {
    case NFT_RUN:
        if (n->before && n->request.replay && n->request.packets)
            copy_arenas(n, false);
        run(n, NF_UNREAD_ALL);
        break;
    case NFT_FIELDS:
        n->answer.number = find_undeclared(n);
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
    for (unsigned lane = 0; lane < n->lanes; lane++)
        n->answer.wake[lane] = nf_chain_wake(n->chain[lane]);
    if (!write_all(n->fd, &n->answer, sizeof(n->answer)))
        return false;
    return (n->request.kind != NFT_GIVE && n->request.kind != NFT_SHOW) ||
           write_all(n->fd, more, n->answer.number);
}

/* The node's process: answers until the socket ends. */
static _Noreturn void serve_node(int fd, const struct nf_chain_config *config)
{
    static const struct ft_region_config how = {.name = "nftest", .audit = true, .poison = true};
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
    n.lanes = config->lanes;
    if (!error)
        error = nf_chain_scope(config, n.lanes, &n.scope, &fault);
    if (!error) {
        ft_audit_suspend(n.region);
        for (unsigned lane = 0; lane < n.lanes && !error; lane++) {
            error = nf_chain_make(&n.chain[lane], config, n.region, lane, SEED, &fault);
            if (!error && n.lanes > 1)
                nf_chain_share(n.chain[lane], n.published);
        }
        n.flows = nf_chain_reads(config) == NF_READS_FLOW;
        ft_audit_resume(n.region);
    }
    if (!error && n.flows && !(n.before = malloc(n.region->size)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory for the state before a packet");
    if (error) {
        fprintf(stderr, "nftest: the chain cannot be made: %s\n", fault.text);
        _exit(1);
    }
    while (read_all(fd, &n.request, sizeof(n.request)) && setitimer(ITIMER_PROF, &limit, NULL) == 0 &&
           answer(&n, text))
        ;
    _exit(0);
}

/* ---- a test -------------------------------------------------------------------------------------------- */

struct node_process {
    pid_t pid; /* 0: it is gone */
    int fd;
};

struct nft {
    struct nd_config *config;
    struct node_process node[2];
    unsigned lanes;
    uint64_t burst, now, wake[NFT_LANES_MAX]; /* burst: of all lanes, for what is told */
    unsigned failures;
    bool payload;  /* records have whole frames */
    bool diverged; /* the states differ, which has been told: until the next kill nothing is compared */
    FILE *capture; /* NULL: there is none */
    char last[512];
    struct nft_request request;
    struct nft_answer answer[2];
    char show[NFT_SHOW_MAX];
};

/* ---- failures ---------------------------------------------------------------------------------- */

/* A failure: one line, and the test goes on. */
__attribute__((format(printf, 2, 3))) static void tell_failure(struct nft *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(t->last, sizeof(t->last), fmt, args);
    va_end(args);
    t->failures++;
    fprintf(stderr, "FAILED: %s\n", t->last);
}

unsigned nft_failures(const struct nft *t, const char **last)
{
    if (last)
        *last = t->last;
    return t->failures;
}

bool nft_true(struct nft *t, bool is, const char *file, int line, const char *what)
{
    if (!is)
        tell_failure(t, "%s:%d: %s: expected it to be true", file, line, what);
    return is;
}

bool nft_equal(struct nft *t, uint64_t got, uint64_t wanted, const char *file, int line, const char *what)
{
    if (got != wanted)
        tell_failure(t, "%s:%d: %s is %" PRIu64 ", expected %" PRIu64, file, line, what, got, wanted);
    return got == wanted;
}

bool nft_shows(struct nft *t, const char *nf, const char *text, const char *file, int line)
{
    bool there = strstr(nft_show(t, nf), text) != NULL;

    if (!there)
        tell_failure(t, "%s:%d: no %s in what %s shows: %.200s", file, line, text, nf, t->show);
    return there;
}

/* ---- processes --------------------------------------------------------------------------------- */

static void start_node(struct nft *t, unsigned which)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || (t->node[which].pid = fork()) < 0) {
        perror("nftest: no process for a node");
        exit(1);
    }
    if (t->node[which].pid == 0) {
        close(ends[0]);
        if (t->node[!which].pid > 0)
            close(t->node[!which].fd);
        serve_node(ends[1], &t->config->chain);
    }
    close(ends[1]);
    t->node[which].fd = ends[0];
}

/* How it ended; it is gone then. */
static int end_node(struct node_process *node, int number)
{
    int status = 0;

    if (node->pid <= 0)
        return 0;
    close(node->fd);
    if (number)
        kill(node->pid, number);
    waitpid(node->pid, &status, 0);
    node->pid = 0;
    return status;
}

/* A node's process has ended by itself: how. */
static void tell_end(struct nft *t, unsigned which)
{
    int status = end_node(&t->node[which], 0), number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    tell_failure(t, "burst %" PRIu64 ": the %s %s%s%s", t->burst, which == PRIMARY ? "primary" : "standby",
                 number == SIGPROF ? "does not come to an end: killed"
                 : number          ? "died: "
                                   : "ended",
                 number && number != SIGPROF ? strsignal(number) : "",
                 t->request.packets ? ", with a packet" : "");
}

/* The request to one node, and its answer; false: the node is gone, which has been told. */
static bool ask_node(struct nft *t, unsigned which)
{
    struct node_process *node = &t->node[which];

    if (node->pid <= 0)
        return false;
    if (write_all(node->fd, &t->request, sizeof(t->request)) &&
        read_all(node->fd, &t->answer[which], sizeof(t->answer[which])))
        return true;
    tell_end(t, which);
    return false;
}

static void set_text(char out[NFT_TEXT], const char *text)
{
    snprintf(out, NFT_TEXT, "%s", text);
}

/* ---- what the nodes have to agree on ------------------------------------------------------------- */

/* Of an arena, from that node, which the caller frees; NULL: it is gone. */
static uint8_t *arena_of(struct nft *t, unsigned which, unsigned arena, uint64_t *used)
{
    uint8_t *bytes;

    t->request.kind = NFT_GIVE;
    t->request.arena = arena;
    if (!ask_node(t, which))
        return NULL;
    *used = t->answer[which].number;
    bytes = malloc(*used + 1);
    if (bytes && read_all(t->node[which].fd, bytes, *used))
        return bytes;
    free(bytes);
    tell_end(t, which);
    return NULL;
}

static const char *name_of(const struct nft *t, unsigned arena)
{
    const struct nf_chain_config *c = &t->config->chain;
    unsigned nf = arena % (c->count + 1);

    return arena == t->lanes * (c->count + 1) ? "the shared objects"
           : nf == 0                          ? "the lane's own state"
                                              : c->nfs[nf - 1].module->name;
}

static void tell_difference(struct nft *t, unsigned arena, const char *reads)
{
    unsigned nfs = t->config->chain.count + 1;
    const char *reader = arena % nfs == 0 || arena == t->lanes * nfs ? "an NF" : name_of(t, arena);
    uint64_t used[2] = {0}, at = 0;
    uint8_t *bytes[2] = {arena_of(t, PRIMARY, arena, &used[0]), arena_of(t, STANDBY, arena, &used[1])};

    while (bytes[0] && bytes[1] && at < used[0] && at < used[1] && bytes[0][at] == bytes[1][at])
        at++;
    if (bytes[0] && bytes[1])
        tell_failure(t,
                     "burst %" PRIu64 ": the standby's state differs: %s, byte %" PRIu64
                     " of its arena, expected that of the primary: %s%s",
                     t->burst, name_of(t, arena), at, reads[0] ? reader : "a value that replay does not know",
                     reads);
    free(bytes[0]);
    free(bytes[1]);
}

static bool is_same_output(const struct nft_answer *p, const struct nft_answer *s)
{
    uint32_t have = p->have < s->have ? p->have : s->have;

    return p->drop == s->drop && p->drop_nf == s->drop_nf && p->out_port == s->out_port && p->len == s->len &&
           (p->drop || memcmp(p->bytes, s->bytes, have) == 0);
}

/* The standby has made something else of a packet: what an NF reads though it declares NF_READS_FLOW, as the
 * end of a sentence in `reads`, "" if nothing. Who asked for the burst looks at both answers still. */
static void name_undeclared(struct nft *t, char reads[NFT_TEXT])
{
    static struct nft_answer kept;
    char names[NFT_TEXT - 64];

    reads[0] = '\0';
    if (nf_chain_reads(&t->config->chain) != NF_READS_FLOW || !t->request.packets)
        return;
    kept = t->answer[STANDBY];
    t->request.kind = NFT_FIELDS;
    if (ask_node(t, STANDBY) && t->answer[STANDBY].number) {
        nf_unread_names((uint32_t)t->answer[STANDBY].number, names, sizeof(names));
        snprintf(reads, NFT_TEXT, " reads %s, and declares NF_READS_FLOW", names);
    }
    t->answer[STANDBY] = kept;
}

/* Both answers to a burst, and both states. */
static void compare_nodes(struct nft *t)
{
    static struct nft_answer kept[2];
    const struct nft_answer *p = &t->answer[PRIMARY], *s = &t->answer[STANDBY];
    bool passed = is_same_output(p, s);
    char reads[NFT_TEXT] = "";

    if (!passed || memcmp(p->digest, s->digest, sizeof(p->digest)) != 0)
        name_undeclared(t, reads);
    if (!passed)
        tell_failure(t, "burst %" PRIu64 ": the primary %s the packet, the standby %s%s it%s%s", t->burst,
                     p->drop ? "dropped" : "passed", s->drop ? "dropped" : "passed",
                     !s->drop == !p->drop ? " otherwise" : "", reads[0] ? ": an NF" : "", reads);
    if (p->made != s->made || p->made_sum != s->made_sum)
        tell_failure(t, "burst %" PRIu64 ": the NFs of the standby made other frames: %u here, %u there",
                     t->burst, p->made, s->made);
    if (p->error != s->error || !s->used)
        tell_failure(t, "burst %" PRIu64 ": the standby answers a command or asks for determinants otherwise",
                     t->burst);
    for (unsigned n = 1; n <= p->arenas;
         n++) { /* the first lane's own state, which follows from the others, last */
        unsigned i = n % p->arenas;

        if (p->digest[i] == s->digest[i])
            continue;
        kept[PRIMARY] = *p; /* who asked for the burst looks at them still */
        kept[STANDBY] = *s;
        tell_difference(t, i, reads);
        memcpy(t->answer, kept, sizeof(kept));
        t->diverged = true;
        return;
    }
}

/* The primary's state to the new standby, as a snapshot is. */
static void copy_state(struct nft *t)
{
    unsigned arenas =
        t->lanes * (t->config->chain.count + 1u) + 1u; /* each lane's and its NFs', the shared one */

    for (unsigned i = 0; i < arenas; i++) {
        uint64_t used = 0;
        uint8_t *bytes = arena_of(t, PRIMARY, i, &used);
        bool whole;

        if (!bytes)
            return;
        t->request.kind = NFT_TAKE;
        t->request.arena = i;
        t->request.used = used;
        whole = write_all(t->node[STANDBY].fd, &t->request, sizeof(t->request)) &&
                write_all(t->node[STANDBY].fd, bytes, used) &&
                read_all(t->node[STANDBY].fd, &t->answer[STANDBY], sizeof(t->answer[STANDBY]));
        free(bytes);
        if (!whole) {
            tell_end(t, STANDBY);
            return;
        }
        if (t->answer[STANDBY].error)
            tell_failure(t, "burst %" PRIu64 ": a standby would refuse this state: %s", t->burst,
                         t->answer[STANDBY].fault.text);
    }
}

/* ---- bursts ------------------------------------------------------------------------------------ */

/* What a record has of the frame. */
static uint32_t recorded_bytes(const struct nft *t)
{
    struct nf_packet p = {.data = (uint8_t *)(uintptr_t)t->request.bytes,
                          .len = t->request.len,
                          .have = t->request.have,
                          .side = t->request.side};
    uint32_t bytes;

    if (t->payload)
        return p.have;
    nf_packet_parse(&p);
    bytes = nf_packet_header_bytes(&p);
    return bytes < p.have ? bytes : p.have;
}

/* The request's packet or command, at the primary and then, as recorded, at the standby. */
static bool run_burst(struct nft *t)
{
    struct nft_request *q = &t->request;

    q->kind = NFT_RUN;
    q->replay = false;
    t->burst++;
    q->now = t->now;
    q->noted = 0;
    if (!ask_node(t, PRIMARY))
        return false;
    q->replay = true;
    q->have = q->packets ? recorded_bytes(t) : 0;
    q->noted = t->answer[PRIMARY].noted;
    memcpy(q->determinants, t->answer[PRIMARY].determinants, q->noted);
    q->lane = t->answer[PRIMARY].lane;
    q->accesses = t->answer[PRIMARY].accesses;
    if (ask_node(t, STANDBY) && !t->diverged)
        compare_nodes(t);
    memcpy(t->wake, t->answer[PRIMARY].wake, sizeof(t->wake));
    return true;
}

static bool run_idle(struct nft *t, unsigned lane)
{
    t->request.packets = t->request.len = t->request.have = 0;
    t->request.text[0] = '\0';
    t->request.lane = lane;
    return run_burst(t);
}

/* The lane whose timers are due first. */
static unsigned first_due(const struct nft *t)
{
    unsigned first = 0;

    for (unsigned lane = 1; lane < t->lanes; lane++)
        if (t->wake[lane] < t->wake[first])
            first = lane;
    return first;
}

void nft_capture(struct nft *t, const char *file)
{
    static const uint32_t head[] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, NFT_FRAME_MAX, 1}; /* pcap, ns, Ethernet */

    t->capture = fopen(file, "we");
    if (!t->capture || fwrite(head, sizeof(head), 1, t->capture) != 1)
        tell_failure(t, "%s: %s", file, strerror(errno));
}

static void write_frame(struct nft *t, const uint8_t *bytes, uint32_t len)
{
    const uint32_t head[] = {(uint32_t)(t->now / NF_SECOND), (uint32_t)(t->now % NF_SECOND), len, len};

    if (t->capture &&
        (fwrite(head, sizeof(head), 1, t->capture) != 1 || fwrite(bytes, len, 1, t->capture) != 1))
        tell_failure(t, "the capture: %s", strerror(errno));
}

bool nft_raw(struct nft *t, uint8_t side, uint8_t *bytes, uint32_t len)
{
    struct nft_request *q = &t->request;
    const char *wrong;
    bool was_right;

    if (len > NFT_FRAME_MAX) {
        tell_failure(t, "a frame of %u bytes, expected %u at most", len, NFT_FRAME_MAX);
        return false;
    }
    q->packets = 1;
    q->side = side;
    q->len = q->have = len;
    q->text[0] = '\0';
    memcpy(q->bytes, bytes, len);
    write_frame(t, bytes, len);
    was_right = !nft_checksums(bytes, len);
    if (!run_burst(t) || t->answer[PRIMARY].drop)
        return false;
    memcpy(bytes, t->answer[PRIMARY].bytes, len);
    wrong = nft_checksums(bytes, len);
    if (wrong && was_right)
        tell_failure(t, "burst %" PRIu64 ": the packet leaves with a wrong checksum: %s", t->burst, wrong);
    return true;
}

bool nft_send(struct nft *t, uint8_t side, const struct nft_spec *frame, struct nft_seen *out)
{
    uint8_t bytes[NFT_FRAME_MAX];
    uint32_t len = nft_frame(frame, bytes);
    bool passed = len && nft_raw(t, side, bytes, len);

    if (!len)
        tell_failure(
            t,
            "a frame of %u tags, %u words of options, a payload of %u bytes and %u quoted, expected 2, 10, "
            "and %u bytes in all at most",
            frame->tags, frame->options, frame->payload, frame->inner ? frame->inner_len : 0u, NFT_FRAME_MAX);
    if (out)
        nft_see(bytes, len, out);
    return passed;
}

/* ---- a connection of TCP ------------------------------------------------------------------------ */

/* What `who` sends next, with these flags; the other end then knows what comes next, and where from. */
static bool send_segment(struct nft *t, struct nft_tcp *c, unsigned who, uint8_t flags, const char *text)
{
    struct nft_spec *from = &c->end[who], *to = &c->end[!who];
    uint32_t n = (text ? (uint32_t)strlen(text) : 0) + ((flags & (NFT_SYN | NFT_FIN)) != 0);
    struct nft_seen seen;

    from->tcp = flags;
    from->text = text;
    if (!nft_send(t, who == NFT_CLIENT ? c->side : !c->side, from, &seen))
        return false;
    from->seq += n;
    to->src = seen.dst;
    to->dst = seen.src;
    to->sport = seen.dport;
    to->dport = seen.sport;
    to->ack = seen.seq + n;
    return true;
}

bool nft_tcp_open(struct nft *t, struct nft_tcp *c, uint8_t side, const struct nft_spec *client)
{
    *c = (struct nft_tcp){.side = side, .end = {*client, *client}};
    c->end[NFT_CLIENT].proto = c->end[NFT_SERVER].proto = NF_PROTO_TCP;
    c->end[NFT_CLIENT].seq = 1000;
    c->end[NFT_SERVER].seq = 5000000;
    return send_segment(t, c, NFT_CLIENT, NFT_SYN, NULL) &&
           send_segment(t, c, NFT_SERVER, NFT_SYN | NFT_ACK, NULL) &&
           send_segment(t, c, NFT_CLIENT, NFT_ACK, NULL);
}

bool nft_tcp_say(struct nft *t, struct nft_tcp *c, unsigned who, const char *text)
{
    return send_segment(t, c, who, NFT_PSH | NFT_ACK, text) && send_segment(t, c, !who, NFT_ACK, NULL);
}

bool nft_tcp_end(struct nft *t, struct nft_tcp *c)
{
    return send_segment(t, c, NFT_CLIENT, NFT_FIN | NFT_ACK, NULL) &&
           send_segment(t, c, NFT_SERVER, NFT_FIN | NFT_ACK, NULL) &&
           send_segment(t, c, NFT_CLIENT, NFT_ACK, NULL);
}

/* ---- time and commands -------------------------------------------------------------------------- */

void nft_wait(struct nft *t, double seconds)
{
    uint64_t until = t->now + (uint64_t)(seconds * (double)NF_SECOND);
    unsigned bursts = 0, lane;

    while (t->wake[lane = first_due(t)] <= until && bursts++ < WAKES_MAX) {
        t->now = t->wake[lane] > t->now ? t->wake[lane] : t->now;
        if (!run_idle(t, lane))
            return;
    }
    if (bursts > WAKES_MAX)
        tell_failure(t, "timers asked for more than %u bursts in %g s", WAKES_MAX, seconds);
    t->now = until;
    for (lane = 0; lane < t->lanes; lane++)
        run_idle(t, lane);
}

int nft_command(struct nft *t, const char *text)
{
    int error = FT_OK, done = FT_EPEER;

    /* Of every lane, one after the other: it is done when one of them has done it. */
    for (unsigned lane = 0; lane < t->lanes; lane++) {
        t->request.packets = t->request.len = t->request.have = 0;
        set_text(t->request.text, text);
        t->request.lane = lane;
        error = run_burst(t) ? t->answer[PRIMARY].error : FT_EPEER;
        done = lane == 0 || error == FT_OK ? error : done;
    }
    return done;
}

/* ---- looking ----------------------------------------------------------------------------------- */

uint64_t nft_counter(struct nft *t, const char *nf, const char *counter)
{
    t->request.kind = NFT_COUNTER;
    set_text(t->request.text, nf);
    set_text(t->request.other, counter);
    if (!ask_node(t, PRIMARY))
        return 0;
    if (t->answer[PRIMARY].error)
        tell_failure(t, "no counter %s of an NF %s in this chain", counter, nf);
    return t->answer[PRIMARY].number;
}

const char *nft_show(struct nft *t, const char *nf)
{
    t->request.kind = NFT_SHOW;
    t->show[0] = '\0';
    set_text(t->request.text, nf);
    if (ask_node(t, PRIMARY) && !read_all(t->node[PRIMARY].fd, t->show, t->answer[PRIMARY].number))
        tell_end(t, PRIMARY);
    return t->show;
}

/* ---- kills ------------------------------------------------------------------------------------- */

void nft_kill(struct nft *t)
{
    end_node(&t->node[PRIMARY], SIGKILL);
    t->node[PRIMARY] = t->node[STANDBY];
    t->node[STANDBY] = (struct node_process){.pid = 0};
    if (t->node[PRIMARY].pid <= 0)
        return; /* it was lost before, which has been told */
    start_node(t, STANDBY);
    t->diverged = false;
    copy_state(t);
}

/* ---- the test ---------------------------------------------------------------------------------- */

struct nft *nft_open(const char *chain_file)
{
    return nft_open_lanes(chain_file, 1);
}

struct nft *nft_open_lanes(const char *chain_file, unsigned lanes)
{
    struct nft *t = calloc(1, sizeof(*t));
    struct ft_fault fault = {"no memory"};

    if (lanes == 0 || lanes > NFT_LANES_MAX || !t || nd_config_read(&t->config, chain_file, 0, &fault) != 0) {
        fprintf(stderr, "nftest: %s\n", lanes - 1 < NFT_LANES_MAX ? fault.text : "expected 1 to 4 lanes");
        exit(1);
    }
    t->config->chain.lanes = t->lanes = lanes;
    t->payload = nf_chain_reads(&t->config->chain) == NF_READS_PAYLOAD;
    t->now = BEGIN;
    start_node(t, PRIMARY);
    start_node(t, STANDBY);
    t->request.kind = NFT_WAKE;
    if (!ask_node(t, PRIMARY))
        exit(1);
    memcpy(t->wake, t->answer[PRIMARY].wake, sizeof(t->wake));
    return t;
}

int nft_close(struct nft *t)
{
    int code;

    if (!t)
        return 0;
    if (t->capture && fclose(t->capture) != 0)
        tell_failure(t, "the capture: %s", strerror(errno));
    code = t->failures > 0;
    end_node(&t->node[PRIMARY], SIGKILL);
    end_node(&t->node[STANDBY], SIGKILL);
    nd_config_free(t->config);
    free(t);
    return code;
}
