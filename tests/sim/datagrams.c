/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network between an input keeper and its nodes, in seeds that have one: datagrams that are lost,
 * doubled, late and out of order, in bursts as well, and cut in one direction or both. A node's end is the
 * product's (understudy/ports/fed.c), whose calls of the system come here (seam.h); the keeper's is keeper.c.
 */
#define _GNU_SOURCE /* struct mmsghdr */
#include "tests/sim/keeper.h"

#include "ftcore/base/check.h"
#include "understudy/ports/fed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FD_FIRST 3000
#define PLACES   (SIM_GUARDIAN + 1u)

int sim_socket(int domain, int type, int protocol);
int sim_bind(int fd, const struct sockaddr *at, socklen_t len);
int sim_connect(int fd, const struct sockaddr *to, socklen_t len);
int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int sim_recvmmsg(int fd, struct mmsghdr *to, unsigned n, int flags, struct timespec *time);
int sim_sendmmsg(int fd, struct mmsghdr *from, unsigned n, int flags);
int sim_close_datagrams(int fd);

struct datagram {
    struct datagram *earlier, *later;
    uint64_t at; /* when it arrives */
    unsigned from;
    uint32_t len;
    uint8_t bytes[];
};

static struct place {
    bool open;
    uint64_t since; /* what came before was an earlier socket's */
    struct datagram *first, *last;
    uint32_t count;
} place[PLACES];

static struct {
    uint64_t lossy, late;         /* until */
    unsigned loss;                /* per mille, while lossy */
    uint64_t cut[PLACES][PLACES]; /* from, to: until */
} trouble;

/* ---- under way ------------------------------------------------------------------------------------ */

static void unlink_datagram(struct place *p, struct datagram *d)
{
    *(d->earlier ? &d->earlier->later : &p->first) = d->later;
    *(d->later ? &d->later->earlier : &p->last) = d->earlier;
    p->count--;
}

void sim_datagrams_begin(void)
{
    for (unsigned i = 0; i < PLACES; i++) {
        for (struct datagram *d = place[i].first, *next; d; d = next) {
            next = d->later;
            free(d);
        }
        place[i] = (struct place){.open = false};
    }
    memset(&trouble, 0, sizeof(trouble));
}

static uint64_t delay(void)
{
    uint64_t ns = 10 * SIM_US + sim_draw(&sim.keeper, sim.plan.delay / 2);

    if (sim_chance(&sim.keeper, 30)) /* by another way */
        ns += sim_draw(&sim.keeper, SIM_MS);
    if (sim.now < trouble.late)
        ns += sim_draw(&sim.keeper, 8 * SIM_MS);
    return ns;
}

/* By time: nearly always behind the last one. */
static void post(unsigned from, unsigned to, const void *bytes, uint32_t len)
{
    struct place *p = &place[to];
    struct datagram *d = malloc(sizeof(*d) + len), *at = p->last;

    FT_CHECK(d, "no memory for a datagram of %u bytes", len);
    *d = (struct datagram){.at = sim.now + delay(), .from = from, .len = len};
    memcpy(d->bytes, bytes, len);
    while (at && at->at > d->at)
        at = at->earlier;
    d->earlier = at;
    d->later = at ? at->later : p->first;
    *(at ? &at->later : &p->first) = d;
    *(d->later ? &d->later->earlier : &p->last) = d;
    p->count++;
}

void sim_datagram_send(unsigned from, unsigned to, const void *bytes, uint32_t len)
{
    unsigned loss = sim.now < trouble.lossy ? trouble.loss : sim.plan.loss;
    unsigned copies = sim_chance(&sim.keeper, loss) ? 0 : sim_chance(&sim.keeper, sim.plan.loss) ? 2 : 1;

    if (sim.now < trouble.cut[from][to] || place[to].count >= sim.plan.socket_room)
        return;
    for (; copies > 0; copies--)
        post(from, to, bytes, len);
}

uint32_t sim_datagram_read(unsigned at, void *to, uint32_t size, unsigned *from)
{
    struct place *p = &place[at];
    struct datagram *d;
    uint32_t len = 0;

    while (len == 0 && (d = p->first) && d->at <= sim.now) {
        unlink_datagram(p, d);
        if (d->at >= p->since) {
            len = d->len < size ? d->len : size;
            memcpy(to, d->bytes, len);
            *from = d->from;
        }
        free(d);
    }
    return len;
}

bool sim_datagram_there(unsigned at)
{
    return place[at].first && place[at].first->at <= sim.now;
}

void sim_datagrams_open(unsigned at)
{
    place[at].open = true;
    place[at].since = sim.now;
}

void sim_datagrams_trouble(void)
{
    uint64_t most = sim.config->timing.detect_ms * SIM_MS * 3;
    uint64_t until = sim.now + SIM_MS / 2 + sim_draw(&sim.keeper, most);
    unsigned node = (unsigned)sim_draw(&sim.keeper, sim.nodes);
    unsigned keeper = SIM_KEEPER + (sim.plan.keepers == 1 ? 0 : (unsigned)sim_draw(&sim.keeper, 2));

    if (sim.plan.keepers > 1) { /* to be without a word, the cut has to last */
        struct sim_node *p = sim_protected();

        until += sim_draw(&sim.keeper, 200 * SIM_MS);
        if (p && sim_chance(&sim.keeper, 500))
            node = p->index;
    }
    sim_keeper_silent(until);

    switch (sim_draw(&sim.keeper, 5)) {
    case 0:
        trouble.lossy = until;
        trouble.loss = 100 + (unsigned)sim_draw(&sim.keeper, 901);
        sim_tell(SIM_NOBODY, "%u of 1000 datagrams of the keeper's and to it are lost until %.3f ms",
                 trouble.loss, (double)until / 1e6);
        break;
    case 1:
        trouble.late = until;
        sim_tell(SIM_NOBODY, "datagrams of the keeper's and to it are late until %.3f ms",
                 (double)until / 1e6);
        break;
    case 2:
        trouble.cut[keeper][node] = until;
        sim_tell(node, "does not hear keeper %u until %.3f ms", keeper - SIM_KEEPER, (double)until / 1e6);
        break;
    case 3:
        trouble.cut[node][keeper] = until;
        sim_tell(node, "is not heard by keeper %u until %.3f ms", keeper - SIM_KEEPER, (double)until / 1e6);
        break;
    default:
        trouble.cut[keeper][node] = trouble.cut[node][keeper] = until;
        sim_tell(node, "has no way to keeper %u until %.3f ms", keeper - SIM_KEEPER, (double)until / 1e6);
    }
}

void sim_datagrams_heal(void)
{
    memset(&trouble, 0, sizeof(trouble));
}

/* ---- what the node's end asks of the system ------------------------------------------------------- */

static unsigned place_of(int fd)
{
    FT_CHECK(fd >= FD_FIRST && fd < FD_FIRST + (int)SIM_NODES && place[fd - FD_FIRST].open,
             "descriptor %d is no node's socket to its keeper", fd);
    return (unsigned)(fd - FD_FIRST);
}

int sim_socket(int domain, int type, int protocol)
{
    (void)domain, (void)type, (void)protocol;
    FT_CHECK(sim.opening, "a socket to the keeper, and no node is being opened");
    sim_datagrams_open(sim.opening->index);
    return FD_FIRST + (int)sim.opening->index;
}

int sim_bind(int fd, const struct sockaddr *at, socklen_t len)
{
    (void)at, (void)len;
    (void)place_of(fd);
    return 0;
}

int sim_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    (void)to, (void)len;
    (void)place_of(fd);
    return 0;
}

int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    (void)level, (void)name, (void)value, (void)len;
    (void)place_of(fd);
    return 0;
}

int sim_close_datagrams(int fd)
{
    place[place_of(fd)].open = false;
    return 0;
}

/* Where a place is, for who is not connected; a guardian is nowhere that is known. */
static void write_address(unsigned at, struct sockaddr_in *out)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    if (at >= SIM_KEEPER && at < SIM_GUARDIAN)
        nd_datagrams_address(&sim.config->keeper[at - SIM_KEEPER], out);
}

static unsigned keeper_at(const struct sockaddr_in *to)
{
    struct sockaddr_in at;

    for (unsigned k = 0; to && k < SIM_KEEPERS; k++) {
        write_address(SIM_KEEPER + k, &at);
        if (at.sin_addr.s_addr == to->sin_addr.s_addr)
            return SIM_KEEPER + k;
    }
    return SIM_KEEPER;
}

int sim_recvmmsg(int fd, struct mmsghdr *to, unsigned n, int flags, struct timespec *time)
{
    unsigned count = 0, from;

    (void)flags, (void)time;
    while (count < n &&
           (to[count].msg_len = sim_datagram_read(place_of(fd), to[count].msg_hdr.msg_iov->iov_base,
                                                  (uint32_t)to[count].msg_hdr.msg_iov->iov_len, &from))) {
        write_address(from, to[count].msg_hdr.msg_name);
        count++;
    }
    if (count)
        return (int)count;
    errno = EAGAIN;
    return -1;
}

/* Now and then the kernel takes only some of them. */
int sim_sendmmsg(int fd, struct mmsghdr *from, unsigned n, int flags)
{
    (void)flags;
    if (sim_chance(&sim.keeper, 5))
        n = (unsigned)sim_draw(&sim.keeper, n);
    for (unsigned i = 0; i < n; i++)
        sim_datagram_send(place_of(fd), keeper_at(from[i].msg_hdr.msg_name),
                          from[i].msg_hdr.msg_iov->iov_base, (uint32_t)from[i].msg_hdr.msg_iov->iov_len);
    if (n)
        return (int)n;
    errno = EAGAIN;
    return -1;
}
