/* SPDX-License-Identifier: Apache-2.0 */
/* The socket to one or two keepers, and what the lane calls in place of ports; see fed.h. */
#define _GNU_SOURCE /* recvmmsg */
#include "understudy/ports/fed.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "understudy/keeper/port.h"
#include "ftcore/base/clock.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_TURN     ND_DATAGRAMS_BATCH /* datagrams of a system call */
#define TURNS       8u                 /* of them that are read at once */
#define OWNS        8u                 /* frames of the other node's own that wait to be received */
#define RESERVE     (NF_EMIT_MAX + 2 * NF_BURST_MAX)
#define SOCKET_ROOM (4 << 20) /* bytes */
#define HEARD_NS    1000000000ull

/* The frame lies where its cache line begins, as in a buffer of DPDK's. */
struct buffer {
    uint16_t have; /* bytes of the frame that are there, as it was made */
    uint8_t part;  /* whether it is of an output, whose rest the keeper has */
    uint8_t reserved;
    uint8_t bytes[];
};
_Static_assert(offsetof(struct buffer, bytes) + KP_HEAD_BYTES == 128, "as in a buffer of DPDK's");
_Static_assert(ND_KEEPERS == KP_KEEPERS, "of a file, and of a primary");

struct nd_fed {
    struct nd_datagrams socket;
    struct kp_port port;
    struct sockaddr_in keeper[KP_KEEPERS]; /* where each is; the socket is connected to the only one */
    uint64_t moved;                        /* as last reported to the lane */
    const struct ft_lane_shared *lane;
    bool told;      /* the lane has reported its progress since it last received: it is live */
    bool read;      /* the socket was read in this turn */
    unsigned place; /* of this node in the file */
    uint64_t file;  /* its digest */
    char name[KP_KEEPERS][sizeof(((struct nd_node *)0)->name)];
    uint64_t told_of[KP_KEEPERS]; /* the process of which it was logged that its file is another one */
    uint32_t frame_max, buffer_bytes, buffers;
    size_t room; /* of a datagram that outputs share */

    uint8_t *pool;
    size_t pool_bytes;
    struct buffer **free;
    uint32_t frees;

    struct mmsghdr in[IN_TURN];
    struct iovec in_at[IN_TURN];
    struct sockaddr_in from[IN_TURN];
    struct buffer *into[IN_TURN];

    struct buffer *own[OWNS];
    struct nd_frame own_frame[OWNS];
    unsigned owns;

    _Atomic uint64_t heard[KP_KEEPERS], strangers, refused, crowded;
    _Atomic uint64_t active, keeper_view; /* active: a keeper's place and one */
};

/* ---- buffers --------------------------------------------------------------------------------- */

static struct buffer *take_buffer(struct nd_fed *k)
{
    return k->frees ? k->free[--k->frees] : NULL;
}

static void give_buffer(void *ctx, void *owner)
{
    struct nd_fed *k = ctx;

    k->free[k->frees++] = owner;
}

static uint8_t *frame_of(void *owner)
{
    return ((struct buffer *)owner)->bytes + KP_HEAD_BYTES;
}

static const uint8_t *bytes_of(void *ctx, void *owner)
{
    (void)ctx;
    return frame_of(owner);
}

static void *make_part(struct nd_fed *k, const void *frame, uint32_t have, uint32_t len)
{
    struct buffer *b = len <= k->frame_max ? take_buffer(k) : NULL;

    if (b) {
        b->have = (uint16_t)have;
        b->part = have < len;
        memcpy(frame_of(b), frame, have);
    }
    return b;
}

static void *make_buffer(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)lane;
    return make_part(ctx, frame, len, len);
}

/* The keeper has the rest, and the output names the input whose end it is. */
static void *make_rest(void *ctx, unsigned lane, uint64_t seq, const void *head, uint32_t have, uint32_t len)
{
    (void)lane;
    (void)seq;
    return make_part(ctx, head, have, len);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void send_message(void *ctx, unsigned keeper, const struct kp_message *m)
{
    struct nd_fed *k = ctx;

    nd_datagrams_add(&k->socket, k->port.keepers == 1 && !k->socket.by.ctx ? NULL : &k->keeper[keeper],
                     k->room, m);
}

static void keep_own(struct nd_fed *k, const struct kp_message *m)
{
    struct buffer *b = k->owns < OWNS ? make_part(k, m->frame, m->have, m->have) : NULL;

    if (!b)
        return;
    k->own_frame[k->owns++] =
        (struct nd_frame){.data = frame_of(b), .len = m->have, .port = m->port, .owner = b};
}

/* A new buffer takes the place of one that is kept. */
static bool has_buffer_for(struct nd_fed *k, const struct kp_message *m)
{
    bool room = k->frees > k->buffers / 4 || (k->frees > RESERVE && m->burst == k->port.missing);

    if (m->kind == KP_INPUT && m->count && !room) {
        atomic_fetch_add_explicit(&k->crowded, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

/* Those that share a datagram with the first lie in no buffer of their own. */
static void take_next(struct nd_fed *k, unsigned keeper, const struct kp_message *m, uint64_t now)
{
    struct buffer *b;

    if (!has_buffer_for(k, m) || !(b = make_part(k, m->frame, m->have, m->have)))
        return;
    if (kp_port_take(&k->port, keeper, m, b, now) != KP_KEPT)
        give_buffer(k, b);
}

/* It would feed what this node cannot take, for ever. */
static void refuse_file(struct nd_fed *k, unsigned keeper, uint64_t process)
{
    k->port.refused++;
    if (k->told_of[keeper] == process)
        return;
    k->told_of[keeper] = process;
    ft_log_event(
        FT_LEVEL_ERROR, FT_SAYS_PORT,
        "keeper %s has another file, expected the same ports in the same order, interfaces with the "
        "same vlan, pcp, side and mac, chain.frame_max and number of keepers: nothing is taken from it",
        k->name[keeper]);
}

static void take_datagram(struct nd_fed *k, unsigned i, uint64_t now)
{
    int keeper = k->port.keepers == 1 ? 0 : nd_datagrams_place(k->keeper, k->port.keepers, &k->from[i]);
    struct buffer *b = k->into[i];
    struct kp_message m, next;
    int error = kp_decode(b->bytes, k->in[i].msg_len, &k->socket.keys, &m);

    if (!error && m.kind == KP_ENDED) { /* of a guardian, which has a socket of its own */
        kp_port_ended(&k->port, m.seq, now);
        return;
    }
    if (error || keeper < 0 || m.len > k->frame_max ||
        !kp_is_between(&m, KP_NODES + (unsigned)keeper, k->place)) {
        atomic_fetch_add_explicit(&k->strangers, 1, memory_order_relaxed);
        return;
    }
    if (m.kind == KP_ASK && m.begins != k->file) {
        refuse_file(k, (unsigned)keeper, m.from);
        return;
    }
    next = m;
    while (kp_next(&next))
        take_next(k, (unsigned)keeper, &next, now);
    if (!has_buffer_for(k, &m))
        return;
    b->part = false;
    switch (kp_port_take(&k->port, (unsigned)keeper, &m, b, now)) {
    case KP_KEPT:
        k->into[i] = take_buffer(k);
        k->in_at[i].iov_base = k->into[i]->bytes;
        break;
    case KP_OWNS:
        keep_own(k, &m);
        break;
    case KP_DONE:
        break;
    }
    atomic_store_explicit(&k->heard[keeper], k->port.peer[keeper].heard, memory_order_relaxed);
}

/* Whether the lane's outputs may leave, as reported to the keepers. */
static void look_at_lease(struct nd_fed *k, uint64_t now)
{
    k->port.open = k->lane && now < FT_ORDER_GET(k->lane, lease_until);
}

/* Datagrams of the only keeper's address alone come in by a socket that is connected. True: there were any.
 */
static bool read_socket(struct nd_fed *k)
{
    bool any = false;
    int n = (int)IN_TURN;

    if (ft_unlikely(nd_datagrams_is_renewed(&k->socket)))
        nd_datagrams_take_renewed(&k->socket);
    for (unsigned turn = 0; turn < TURNS && n == (int)IN_TURN; turn++) {
        n = nd_datagrams_receive(&k->socket, k->in, IN_TURN);
        uint64_t now = n > 0 ? ft_now() : 0;

        if (n > 0)
            look_at_lease(k, now);
        for (int i = 0; i < n; i++)
            take_datagram(k, (unsigned)i, now);
        any |= n > 0;
        nd_datagrams_flush(&k->socket);
    }
    if (k->port.keepers > 1) {
        bool fed = k->port.view && k->port.keeper;

        atomic_store_explicit(&k->keeper_view, fed ? k->port.fed_view : 0, memory_order_relaxed);
        atomic_store_explicit(&k->active, fed ? k->port.active + 1 : 0, memory_order_relaxed);
    }
    atomic_store_explicit(&k->refused, k->port.refused, memory_order_relaxed);
    return any;
}

/* ---- what the lane calls --------------------------------------------------------------------- */

static bool read_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    struct nd_fed *k = ctx;
    const struct kp_slot *slot;

    (void)lane;
    if (!k->port.view || k->port.given != last) /* it first gets how far the lane is */
        return false;
    if (k->frees < NF_EMIT_MAX) /* what NFs make in it would be lost; outputs that leave give some back */
        return false;
    slot = kp_port_give(&k->port);
    if (!slot) {
        read_socket(k);
        k->read = true;
        slot = kp_port_give(&k->port);
    }
    if (!slot)
        return false;
    for (uint32_t i = 0; i < slot->count; i++) {
        struct buffer *b = slot->frame[i].owner;

        frames[i] = (struct nd_frame){
            .data = frame_of(b), .len = slot->frame[i].len, .port = slot->frame[i].port, .owner = b};
    }
    *n = slot->count;
    *time = slot->time;
    return true;
}

/* Those of the other node's own: heartbeats. A live lane reports its progress between two calls. */
static uint32_t receive_owns(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[],
                             uint32_t max)
{
    struct nd_fed *k = ctx;
    uint32_t n;

    (void)lane;
    (void)device;
    if (!k->told) {
        if (k->port.view)
            kp_port_end(&k->port);
        read_socket(k);
        kp_port_answer(&k->port);
        nd_datagrams_flush(&k->socket);
    }
    k->told = false;
    n = k->owns < max ? k->owns : max;
    memcpy(frames, k->own_frame, n * sizeof(frames[0]));
    memmove(k->own_frame, k->own_frame + n, (k->owns - n) * sizeof(frames[0]));
    k->owns -= n;
    return n;
}

/* The node's own: a heartbeat is for the other node; claims of addresses leave by the keeper that feeds it:
 * the switches may have learned them at the ports of a node, or of another keeper. */
static void send_own(struct nd_fed *k, unsigned port, struct buffer *b)
{
    const uint8_t *frame = frame_of(b);
    bool heartbeat = b->have >= ND_HEARTBEAT_HEAD && nf_get16(frame + 12) == htobe16(ND_HEARTBEAT_TYPE);

    kp_port_own(&k->port, (uint8_t)port, frame, b->have, !heartbeat);
    nd_datagrams_flush(&k->socket);
    give_buffer(k, b);
}

static uint32_t send_outputs(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    struct nd_fed *k = ctx;
    uint32_t sent = 0;

    (void)lane;
    for (; sent < n; sent++) {
        struct buffer *b = held[sent].packet;

        if (held[sent].number == 0) {
            send_own(k, port, b);
            continue;
        }
        /* Of a successor's tail the lane first reports where it begins. */
        if (!k->port.view ||
            !kp_port_hand(&k->port, &(struct kp_output){.number = held[sent].number,
                                                        .burst = held[sent].burst,
                                                        .seq = held[sent].seq,
                                                        .owner = b,
                                                        .len = held[sent].len,
                                                        .have = b->part ? b->have : held[sent].len,
                                                        .port = (uint8_t)port}))
            break;
    }
    return sent;
}

static uint32_t report_progress(void *ctx, unsigned lane, struct nd_progress *p)
{
    struct nd_fed *k = ctx;
    const struct kp_progress progress = {
        .burst = p->burst, .seq = p->seq, .time = p->time, .outputs = p->outputs, .settled = p->settled};
    uint64_t view = FT_ORDER_GET(k->lane, live_view);
    uint32_t unconfirmed;

    (void)lane;
    if (k->port.view != view)
        kp_port_begin(&k->port, view, &progress, ft_now());
    if (!k->read)
        read_socket(k);
    k->read = false;
    k->told = true;
    look_at_lease(k, ft_now()); /* this process may have stood since */
    unconfirmed = kp_port_report(&k->port, &progress);
    nd_datagrams_flush(&k->socket);
    p->moved = k->moved != k->port.moved;
    k->moved = k->port.moved;
    return unconfirmed;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_pool(struct nd_fed *k, struct ft_fault *fault)
{
    uint32_t all = k->buffers + IN_TURN;

    k->buffer_bytes = (uint32_t)(128 + k->frame_max + 63) & ~63u;
    k->pool_bytes = (size_t)all * k->buffer_bytes;
    k->free = malloc(all * sizeof(*k->free));
    k->pool = mmap(NULL, k->pool_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!k->free || k->pool == MAP_FAILED)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u packet buffers", all);
    for (uint32_t i = all; i-- > 0;)
        k->free[k->frees++] = (struct buffer *)(k->pool + (size_t)i * k->buffer_bytes);
    for (unsigned i = 0; i < IN_TURN; i++) {
        k->into[i] = take_buffer(k);
        k->in_at[i] = (struct iovec){.iov_base = k->into[i]->bytes, .iov_len = KP_HEAD_BYTES + k->frame_max};
        k->in[i].msg_hdr = (struct msghdr){.msg_name = &k->from[i],
                                           .msg_namelen = sizeof(k->from[i]),
                                           .msg_iov = &k->in_at[i],
                                           .msg_iovlen = 1};
    }
    return 0;
}

static int open_socket(struct nd_fed *k, const struct nd_config *config, const struct nd_node *node,
                       struct ft_fault *fault)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int error = nd_datagrams_open(&k->socket, "node", node, SOCKET_ROOM, fault);
    int failed = 0;

    k->room = SIZE_MAX;
    for (unsigned i = 0; i < config->keepers && !error && !failed; i++) {
        size_t room;

        nd_datagrams_address(&config->keeper[i], &k->keeper[i]);
        if (k->socket.by.ctx)
            k->socket.by.add_peer(k->socket.by.ctx, &k->keeper[i]);
        else
            failed = connect(k->socket.fd, (struct sockaddr *)&k->keeper[i], sizeof(k->keeper[i]));
        room = nd_datagrams_room(&k->socket, k->socket.fd, k->frame_max);
        k->room = room < k->room ? room : k->room;
    }
    if (!error && !failed && config->keepers > 1 && !k->socket.by.ctx) /* it stays bound, and hears both */
        failed = connect(k->socket.fd, &nobody, sizeof(nobody));
    return !failed ? error
                   : ft_fail(fault, FT_EIO, "node %s: inputs %s:%u: %s", node->name, node->inputs_host,
                             node->inputs_port, strerror(errno));
}

int nd_fed_open(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                const struct nd_carrier *by, struct ft_fault *fault)
{
    struct nd_fed *k = calloc(1, sizeof(*k));
    struct nd_io *io = &ports->io;
    int error;

    if (!k && by->ctx)
        by->close(by->ctx);
    if (!k)
        return ft_fail(fault, FT_ENOMEM, "no memory for the socket to the keeper");
    ports->fed = k;
    k->socket.fd = -1;
    k->socket.by = *by;
    k->pool = MAP_FAILED;
    k->place = (unsigned)nd_config_node(config, node->name);
    FT_CHECK(k->place < KP_NODES, "node %s is not in the file", node->name);
    k->file = nd_datagrams_file(config);
    for (unsigned i = 0; i < config->keepers; i++)
        memcpy(k->name[i], config->keeper[i].name, sizeof(k->name[i]));
    k->frame_max = config->chain.frame_max;
    k->buffers = node->mbufs;
    k->port = (struct kp_port){.ctx = k,
                               .keepers = config->keepers,
                               .ports = io->ports,
                               .send = send_message,
                               .bytes = bytes_of,
                               .drop = give_buffer};
    if ((error = open_pool(k, fault)) || (error = nd_datagrams_keys(&k->socket.keys, config, fault)) ||
        (error = open_socket(k, config, node, fault)))
        return error;
    if (kp_port_open(&k->port, kp_incarnation(ft_wall(), k->place)) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for what lies between keeper and node");
    io->ctx = k;
    io->buffers = node->mbufs;
    io->devices = 1;
    io->descriptor[0] = nd_datagrams_descriptor(&k->socket);
    io->waits = io->descriptor[0] >= 0;
    io->receive = receive_owns;
    io->send = send_outputs;
    io->make = make_buffer;
    io->data = frame_of;
    io->drop = give_buffer;
    io->burst = read_burst;
    io->rest = make_rest;
    io->tell = report_progress;
    io->frame_max = k->frame_max;
    return 0;
}

void nd_fed_close(struct nd_ports *ports)
{
    struct nd_fed *k = ports->fed;

    ports->fed = NULL;
    kp_port_close(&k->port);
    nd_datagrams_close(&k->socket);
    if (k->pool != MAP_FAILED)
        munmap(k->pool, k->pool_bytes);
    free(k->free);
    free(k);
}

void nd_fed_serve(struct nd_ports *ports, const struct ft_lane_shared *lane)
{
    ports->fed->lane = lane;
}

/* Keepers, as bits. */
static unsigned keepers_heard(const struct nd_fed *k, uint64_t now)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < k->port.keepers; i++) {
        uint64_t heard = atomic_load_explicit(&k->heard[i], memory_order_relaxed);

        bits |= (heard && now < heard + HEARD_NS ? 1u : 0) << i;
    }
    return bits;
}

bool nd_fed_is_heard(const struct nd_ports *ports, uint64_t now)
{
    return keepers_heard(ports->fed, now) != 0;
}

int nd_fed_renew(struct nd_ports *ports, const struct nd_config *config, struct ft_fault *fault)
{
    return nd_datagrams_renew(&ports->fed->socket, config, fault);
}

void nd_fed_counts(const struct nd_ports *ports, struct nd_fed_counts *out)
{
    *out = (struct nd_fed_counts){.active = -1};
    if (!ports->fed)
        return;
    *out = (struct nd_fed_counts){
        .keepers = ports->fed->port.keepers,
        .heard = keepers_heard(ports->fed, ft_now()),
        .active = (int)atomic_load_explicit(&ports->fed->active, memory_order_relaxed) - 1,
        .keeper_view = atomic_load_explicit(&ports->fed->keeper_view, memory_order_relaxed),
        .strangers = atomic_load_explicit(&ports->fed->strangers, memory_order_relaxed),
        .refused = atomic_load_explicit(&ports->fed->refused, memory_order_relaxed),
        .crowded = atomic_load_explicit(&ports->fed->crowded, memory_order_relaxed)};
}
