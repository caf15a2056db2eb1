/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy keeper: the process in front of a pair. One thread: it takes frames from its ports, cuts them
 * into bursts and keeps them (understudy/keeper/front.h), exchanges messages with the nodes by one UDP
 * socket, lets outputs leave by its ports, and answers "status" at its control socket, and Prometheus. Of two
 * keepers the one that waits throws away what comes in by its ports, and a guardian beside each notifies the
 * primary when it has died.
 *
 * Outputs that may leave wait here for their port, PENDING for each; what finds no room comes again. Frames
 * wait in the ports when no input can be kept. A thread of its own reads a new key: the disk may stand.
 */
#define _GNU_SOURCE /* recvmmsg, ppoll */
#include "understudy/keeper/front.h"
#include "ftcore/base/check.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"
#include "understudy/base/daemon.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/interface.h"
#include "understudy/base/notify.h"
#include "understudy/base/process.h"
#include "understudy/config/choose.h"
#include "understudy/control/server.h"
#include "understudy/crash/guardian.h"
#include "understudy/metrics/metrics.h"
#include "understudy/ports/datagrams.h"
#include "understudy/ports/ports.h"
#include "understudy/ports/udp.h"

#include <poll.h>
#include <rte_eal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IN_TURN        ND_DATAGRAMS_BATCH /* datagrams of a system call */
#define TURNS          8u                 /* of them in a turn of the loop */
#define PENDING        512u
#define SOCKET_ROOM    (8 << 20)
#define EMPTY_NS       2000000u  /* without a burst until one without inputs lets timers run */
#define SERVE_NS       20000000u /* between two looks at the control socket */
#define SLEEP_NS       500000    /* with nothing to do; less than what is due by itself */
#define DROPPED_BURSTS 64u       /* of a port, in a turn, by who waits */
#define HEARD_NS       1000000000ull
#define STRANGERS_NS   10000000000ull /* between two looks at them */

_Static_assert(ND_NODES <= KP_NODES, "of a file, and of a keeper");

struct keeper {
    struct nd_config *config;
    unsigned place;               /* in the file */
    struct nd_guardian *guardian; /* NULL: there is none */
    int aimed;                    /* the primary that it speaks to */
    struct nd_ports ports;
    struct kp_front front;
    struct nd_server *server;
    struct nd_metrics *metrics;
    struct nd_notify notify;
    struct nd_datagrams socket;
    struct ft_worker reader; /* of keys, once it `reads` */
    bool reads;
    struct sockaddr_in node[KP_NODES];
    size_t room[KP_NODES];          /* of a datagram that inputs share */
    unsigned device;                /* that is received from next */
    uint64_t since, cut_at, served; /* first frame of the burst; the last burst; the control socket */
    int primary;                    /* as last logged */
    uint64_t view, begun;           /* the same: its view, and how often numbers had begun */
    bool takes;                     /* inputs can be kept: else frames wait in the ports */
    bool active;                    /* so it has, since `changed` */
    uint64_t holds, changed;        /* the keeper view of that */
    uint64_t strangers, port_full, no_port, dropped;
    uint64_t looked, told; /* at strangers, ns; how many were logged */
    bool silence_told;     /* the log has that no node is heard */

    struct mmsghdr in[IN_TURN];
    struct iovec in_at[IN_TURN];
    struct sockaddr_in from[IN_TURN];
    uint8_t heard[IN_TURN][KP_HEAD_BYTES + FT_FRAME_MAX];

    struct pending {
        struct ft_held held[PENDING];
        uint32_t count;
    } pending[NF_PORTS_MAX];
};

static const struct nd_node *self_of(const struct keeper *k)
{
    return &k->config->keeper[k->place];
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    struct keeper *k = ctx;

    nd_datagrams_add(&k->socket, &k->node[node], k->room[node], m);
}

/* True: there were datagrams. */
static bool read_socket(struct keeper *k)
{
    int n = (int)IN_TURN;

    for (unsigned turn = 0; turn < TURNS && n == (int)IN_TURN; turn++) {
        for (unsigned i = 0; i < IN_TURN; i++)
            k->in[i].msg_hdr.msg_namelen = sizeof(k->from[i]);
        n = nd_datagrams_receive(&k->socket, k->in, IN_TURN);
        const uint64_t now = ft_now(); /* this process may have stood since the turn began */

        for (int i = 0; i < n; i++) {
            int node = nd_datagrams_place(k->node, k->config->nodes, &k->from[i]);
            struct kp_message m;

            if (node < 0 || kp_decode(k->heard[i], k->in[i].msg_len, &k->socket.keys, &m) != 0 ||
                !kp_is_between(&m, (unsigned)node, KP_NODES + k->place)) {
                k->strangers++;
                continue;
            }
            do
                if (kp_front_take(&k->front, (unsigned)node, &m, now))
                    kp_front_pass_on(&k->front, (unsigned)node, &m);
            while (kp_next(&m));
        }
        if (turn == 0 && n <= 0)
            return false;
    }
    return true;
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* What the port takes of what waits for it. The clock is read right before a few are sent: a process may have
 * stood still, and may stand until the port has them. */
static void send_pending(struct keeper *k, unsigned port)
{
    struct pending *p = &k->pending[port];
    uint32_t sent = 0, n = 1;

    while (sent < p->count && n > 0 && (k->config->keepers == 1 || kp_front_may_leave(&k->front, ft_now()))) {
        uint32_t most = p->count - sent < KP_BURST ? p->count - sent : KP_BURST;

        n = k->ports.io.send(k->ports.io.ctx, 0, port, p->held + sent, most);
        sent += n;
    }
    memmove(p->held, p->held + sent, (p->count - sent) * sizeof(p->held[0]));
    p->count -= sent;
}

static bool leave(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    struct keeper *k = ctx;
    struct pending *p = &k->pending[port];
    void *packet;

    if (port >= k->ports.io.ports) { /* the nodes have another file: it can leave by none of these */
        k->no_port++;
        return true;
    }
    if (p->count == PENDING)
        send_pending(k, port);
    packet = p->count < PENDING ? k->ports.io.make(k->ports.io.ctx, 0, frame, len) : NULL;
    if (!packet) {
        k->port_full++;
        return false;
    }
    p->held[p->count++] = (struct ft_held){.packet = packet, .len = len, .port = (uint16_t)port};
    return true;
}

/* What waits for the ports is sent, as far as they take it. Returns how many wait yet. */
static unsigned send_all_pending(struct keeper *k)
{
    unsigned left = 0;

    for (unsigned port = 0; port < k->ports.io.ports; port++) {
        if (k->pending[port].count)
            send_pending(k, port);
        left += k->pending[port].count;
    }
    return left;
}

/* Who waits takes nothing: what a switch sends to both is the active keeper's. */
static void drop_inputs(const struct keeper *k)
{
    const struct nd_io *io = &k->ports.io;

    for (unsigned d = 0; d < io->devices; d++) {
        struct nd_frame in[KP_BURST];
        uint32_t n = KP_BURST;

        /* More than that are there for the next turn: a flood must not keep it from asking for the word. */
        for (unsigned i = 0; i < DROPPED_BURSTS && n == KP_BURST; i++) {
            n = io->receive(io->ctx, 0, d, in, KP_BURST);
            for (uint32_t f = 0; f < n; f++)
                io->drop(io->ctx, in[f].owner);
        }
    }
}

/* Frames of all devices, up to a burst; the burst is cut when it is whole, or has waited. True: there were
 * frames. */
static bool take_inputs(struct keeper *k, uint64_t now)
{
    const struct nd_io *io = &k->ports.io;
    uint32_t before = k->front.open;

    if (!kp_front_is_active(&k->front))
        drop_inputs(k);
    k->takes = kp_front_has_room(&k->front);
    if (!k->takes)
        return false;
    for (unsigned i = 0; i < io->devices && k->front.open < KP_BURST; i++) {
        struct nd_frame in[KP_BURST];
        uint32_t n = io->receive(io->ctx, 0, k->device, in, KP_BURST - k->front.open);

        k->device = (k->device + 1) % io->devices; /* a busy one does not keep the others out */
        for (uint32_t f = 0; f < n; f++) {
            kp_front_add(&k->front, in[f].port, in[f].data, in[f].len);
            io->drop(io->ctx, in[f].owner);
        }
    }
    if (before == 0)
        k->since = now;
    if (k->front.open == KP_BURST ||
        (k->front.open && now - k->since >= k->config->protect.gather_us * 1000ull) ||
        (!k->front.open && now - k->cut_at >= EMPTY_NS)) {
        kp_front_cut(&k->front, now);
        k->cut_at = now;
    }
    return k->front.open > before || k->front.open > 0;
}

/* ---- status ---------------------------------------------------------------------------------- */

static bool has_heard(const struct keeper *k, unsigned n, uint64_t now)
{
    const struct kp_node *node = &k->front.node[n];

    return node->heard && now < node->heard + HEARD_NS;
}

/* As far as the drivers count that. */
static uint64_t missed(const struct keeper *k)
{
    uint64_t frames = 0;

    for (unsigned d = 0; d < k->ports.io.devices; d++) {
        struct rte_eth_stats s = {0};

        (void)rte_eth_stats_get(k->ports.deal.device[d].id, &s);
        frames += s.imissed + s.ierrors + s.rx_nombuf;
    }
    return frames;
}

/* The fields that are numbers: as status has them, and as Prometheus reads them. */
#define LEVELS(X)                                                                                            \
    X(view, f->view, "View of the primary that is fed")                                                      \
    X(kept_bursts, f->next - f->first, "Bursts that are kept now")                                           \
    X(kept_most, f->config.inputs, "Inputs that can be kept")                                                \
    X(kept_packets, f->seq_next - f->seq_first, "Inputs that are kept now")                                  \
    X(keeper_view, f->word.view, "Of two keepers: the highest keeper view that it knows of")                 \
    X(since_s, (now - k->changed) / 1000000000, "For how long it has been active, or has waited")            \
    X(no_carrier, f->faults, "Of two keepers: its ports without carrier")
#define COUNTS(X)                                                                                            \
    X(received, c->inputs, "Inputs taken")                                                                   \
    X(bursts, c->bursts, "Bursts cut")                                                                       \
    X(empty_bursts, c->empty_bursts, "Bursts cut without an input")                                          \
    X(released, f->outputs.released, "Outputs that left")                                                    \
    X(suppressed, f->outputs.repeated, "Outputs that had left already, and were dropped")                    \
    X(lost, f->outputs.lost, "Outputs that nobody could send any more")                                      \
    X(lost_inputs, c->lost_inputs, "Inputs that were kept when numbers began anew")                          \
    X(incomplete, c->incomplete, "Lost outputs of which the keeper lacked the rest")                         \
    X(takeovers, c->takeovers, "Changes of the primary")                                                     \
    X(begun, c->begun, "Times that numbers began as a primary said")                                         \
    X(gained, c->gained, "Times that it became the active one of two keepers")                               \
    X(sent_again, c->sent_again, "Bursts sent again")                                                        \
    X(asked_again, c->asked_again, "Times that outputs were asked for again")                                \
    X(early, c->early, "Outputs that came before their turn")                                                \
    X(late_view, c->late_view, "Messages of a node that is not the primary any more")                        \
    X(full, c->full, "Turns without room for a burst")                                                       \
    X(rx_missed, missed(k), "Frames that its ports' drivers say they had no room for, or were broken")       \
    X(port_full, k->port_full, "Outputs without room for their port")                                        \
    X(no_port, k->no_port, "Released outputs of a port that the keeper does not have")                       \
    X(dropped, k->dropped, "Released outputs that waited for their port when the keeper's word was gone")    \
    X(strangers, k->strangers, "Datagrams from elsewhere, or without the key")

static json_t *status(const struct keeper *k)
{
    const struct kp_front *f = &k->front;
    const struct kp_front_counts *c = &f->count;
    json_t *nodes = json_array();
    uint64_t now = ft_now();

    for (unsigned n = 0; n < k->config->nodes; n++)
        json_array_append_new(nodes,
                              json_pack("{s:s, s:b, s:b, s:I}", "name", k->config->node[n].name, "heard",
                                        has_heard(k, n, now), "primary", (int)n == k->front.primary, "view",
                                        (json_int_t)k->front.node[n].view));
    json_t *o = json_pack("{s:s, s:i, s:b, s:o, s:b, s:o}", "keeper", self_of(k)->name, "pid", (int)getpid(),
                          "active", kp_front_is_active(f), "primary",
                          f->primary < 0 ? json_null() : json_string(k->config->node[f->primary].name),
                          "feeds", f->follows, "nodes", nodes);

#define FIELD(name, value, help) json_object_set_new(o, #name, json_integer((json_int_t)(value)));
    LEVELS(FIELD)
    COUNTS(FIELD)
#undef FIELD
    return o;
}

#define LEVEL(name, value, help) {.path = #name, "understudy_keeper_" #name, "gauge", help},
#define COUNT(name, value, help) {.path = #name, "understudy_keeper_" #name "_total", "counter", help},
static const struct nd_metric metrics[] = {
    LEVEL(active, , "1: it is the active one of two keepers, or the only one")
        LEVEL(feeds, , "1: some node says that it is primary, and is fed") LEVELS(LEVEL) COUNTS(COUNT)};
static const struct nd_page page = {metrics, sizeof(metrics) / sizeof(metrics[0])};

static bool answer(void *arg, struct nd_exchange *e)
{
    e->answer = e->command == ND_CMD_STATUS
                    ? status(arg)
                    : nd_refuse("unknown", "a keeper answers status alone, expected a node for the rest");
    return true;
}

/* By a socket that is connected, whose path the kernel knows. */
static size_t room_to(const struct keeper *k, unsigned n)
{
    int fd = k->socket.by.ctx ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t room = 0;

    if (k->socket.by.ctx)
        room = nd_datagrams_room(&k->socket, -1, k->config->chain.frame_max);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&k->node[n], sizeof(k->node[n])) == 0)
        room = nd_datagrams_room(&k->socket, fd, k->config->chain.frame_max);
    if (fd >= 0)
        close(fd);
    return room;
}

/* ---- the process ----------------------------------------------------------------------------- */

static int open_socket(void *arg, struct ft_fault *fault)
{
    struct keeper *k = arg;
    int error = 0;

    if (self_of(k)->inputs_devices && !k->socket.by.ctx)
        error = nd_udp_open(&k->socket.by, k->config, self_of(k), fault);
    if (!error)
        error = nd_datagrams_open(&k->socket, "keeper", self_of(k), SOCKET_ROOM, fault);
    if (error)
        return error;
    for (unsigned n = 0; n < k->config->nodes; n++) {
        nd_datagrams_address(&k->config->node[n], &k->node[n]);
        if (k->socket.by.ctx)
            k->socket.by.add_peer(k->socket.by.ctx, &k->node[n]);
        k->room[n] = room_to(k, n);
    }
    for (unsigned i = 0; i < IN_TURN; i++) {
        k->in_at[i] = (struct iovec){.iov_base = k->heard[i], .iov_len = sizeof(k->heard[i])};
        k->in[i].msg_hdr = (struct msghdr){.msg_name = &k->from[i], .msg_iov = &k->in_at[i], .msg_iovlen = 1};
    }
    return 0;
}

static int open_front(struct keeper *k, struct ft_fault *fault)
{
    const struct kp_front_config config = {.inputs = k->config->keeper_packets[k->place],
                                           .bursts = k->config->keeper_packets[k->place],
                                           .frame_max = k->config->chain.frame_max,
                                           .nodes = k->config->nodes,
                                           .keepers = k->config->keepers,
                                           .file = nd_datagrams_file(k->config),
                                           .incarnation = kp_incarnation(ft_wall(), KP_NODES + k->place),
                                           .ctx = k,
                                           .send = send_message,
                                           .leave = leave};

    int error = kp_front_open(&k->front, &config);

    FT_CHECK(error != FT_EINVAL, "a keeper of %u packets, which the file's reader let through",
             config.inputs);
    return error ? ft_fail(fault, FT_ENOMEM, "no memory to keep %u packets", config.inputs) : 0;
}

static int open_server(void *arg, struct ft_fault *fault)
{
    struct keeper *k = arg;
    return nd_server_open(&k->server, self_of(k)->control, "", fault);
}

static int open_metrics(void *arg, struct ft_fault *fault)
{
    struct keeper *k = arg;
    const struct nd_node *self = self_of(k);

    return nd_metrics_open(&k->metrics, self->metrics_host, self->metrics_port, fault);
}

/* What the guardian sends when this process has died. */
static void write_notice(struct keeper *k)
{
    const struct kp_message m = {
        .kind = KP_ENDED, .from = k->front.word.process, .seq = k->front.word.process};
    uint8_t notice[KP_HEAD_BYTES];

    if (k->guardian)
        nd_guardian_notice(k->guardian, notice, kp_encode(&m, &k->socket.keys, notice));
}

/* By a socket of the kernel's, which has no address where devices carry the messages. */
static int start_guardian(struct keeper *k, struct ft_fault *fault)
{
    return k->config->keepers == 1 || self_of(k)->inputs_devices
               ? 0
               : nd_guardian_start(&k->guardian, 1, self_of(k)->inputs_host, NULL, NULL, NULL, fault);
}

/* The reader's thread. What cannot be read leaves the keys as they were. */
static void *read_keys(void *arg)
{
    struct keeper *k = arg;

    ft_disk_thread_begin("us-keys", k->config->link.key);
    for (;;) {
        struct ft_fault fault = {""};

        ft_worker_wait(&k->reader, UINT64_MAX);
        if (ft_worker_ends(&k->reader))
            return NULL;
        if (nd_datagrams_renew(&k->socket, k->config, &fault) != 0)
            ft_log_event(FT_LEVEL_ERROR, FT_SAYS_SEAL, "%s; the keys stay as they were", fault.text);
    }
}

static int open_keeper(struct keeper *k, struct ft_fault *fault)
{
    const struct nd_node *self = self_of(k);
    const struct nd_privilege privilege = nd_ports_privilege(self);
    const struct nd_event_writer_config writer = {.node = self->name, .json = k->config->log_json};
    int error = nd_privilege_check_files(fault);

    umask(027);
    if (error || (error = start_guardian(k, fault)) || (error = nd_privilege_limit(&privilege, fault)) ||
        (error = nd_config_find_link_files(k->config, fault)) ||
        (error = nd_datagrams_keys(&k->socket.keys, k->config, fault)) ||
        (error = nd_daemon_open(open_server, k, fault)) || (error = open_front(k, fault)) ||
        (error = nd_ports_open(&k->ports, k->config, self, fault)) ||
        (error = nd_daemon_open(open_socket, k, fault)) || (error = nd_daemon_open(open_metrics, k, fault)))
        return error;
    write_notice(k);
    if ((error = nd_event_writer_start(&writer, fault)) == 0 &&
        (error = ft_worker_start(&k->reader, read_keys, k, "keys that are read again", fault)) == 0)
        k->reads = true;
    return error;
}

static void close_keeper(struct keeper *k)
{
    k->reads = k->reads && !ft_worker_end(&k->reader, ft_now() + FT_WORKER_DISK_NS);
    nd_guardian_stop(k->guardian);
    nd_datagrams_close(&k->socket);
    if (k->ports.io.ports)
        nd_ports_close(&k->ports);
    nd_server_close(k->server);
    nd_metrics_close(k->metrics);
    kp_front_close(&k->front);
}

/* Until something comes, or is due. */
static void sleep_until(const struct keeper *k)
{
    struct pollfd at[1 + NF_PORTS_MAX] = {{nd_datagrams_descriptor(&k->socket), POLLIN, 0}};
    const bool told = k->ports.io.waits && at[0].fd >= 0; /* of all that comes */
    const struct timespec time = {0, !kp_front_is_active(&k->front) ? 4 * SLEEP_NS
                                     : told                         ? SLEEP_NS
                                                                    : SLEEP_NS / 10};
    unsigned n = 1;

    for (unsigned d = 0; k->ports.io.waits && k->takes && d < k->ports.io.devices; d++)
        at[n++] = (struct pollfd){k->ports.io.descriptor[d], POLLIN, 0};
    ppoll(at, n, &time, NULL);
}

/* Who is primary, and whether the numbers go on. */
static void report_primary(struct keeper *k)
{
    const struct kp_front *f = &k->front;
    bool waits = !kp_front_is_active(f), same = f->primary == k->primary && f->view == k->view;

    if ((same && f->count.begun == k->begun) || f->primary < 0 || (!waits && !f->follows))
        return;
    if (k->begun && f->count.begun != k->begun)
        ft_log_event(
            FT_LEVEL_WARNING, FT_SAYS_STATE,
            "numbers begin anew, as node %s says, behind burst %lu; %lu inputs that were kept have been "
            "lost by now",
            k->config->node[f->primary].name, f->executed, f->count.lost_inputs);
    k->primary = f->primary;
    k->view = f->view;
    k->begun = f->count.begun;
    if (!waits)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_STATE, "node %s is primary, view %lu: fed from burst %lu on",
                     k->config->node[k->primary].name, f->view, f->executed + 1);
    else
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_STATE, "node %s is primary, view %lu",
                     k->config->node[k->primary].name, f->view);
}

/* The guardian speaks to the present primary. */
static void aim_guardian(struct keeper *k)
{
    const struct nd_node *primary;

    if (!k->guardian || k->front.primary == k->aimed)
        return;
    k->aimed = k->front.primary;
    primary = &k->config->node[k->aimed];
    nd_guardian_aim(k->guardian, 0, primary->inputs_host, primary->inputs_port, NULL);
}

/* Of two keepers: whether it is the active one. */
static void report_active(struct keeper *k, uint64_t now)
{
    const struct kp_word *word = &k->front.word;

    if (k->config->keepers == 1 || word->holds == k->holds)
        return;
    k->holds = word->holds;
    k->changed = now;
    for (unsigned port = 0; port < k->ports.io.ports; port++) {
        struct pending *p = &k->pending[port];

        for (; p->count; k->dropped++)
            k->ports.io.drop(k->ports.io.ctx, p->held[--p->count].packet);
    }
    if (word->holds)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_STATE, "this keeper is active, keeper view %lu", word->holds);
    else
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_STATE, "this keeper waits; keeper view %lu", word->view);
}

/* The nodes have another key or file, most likely, or are not there. */
static void report_strangers(struct keeper *k, uint64_t now)
{
    bool heard = false;

    if (now - k->looked < STRANGERS_NS)
        return;
    k->looked = now;
    for (unsigned n = 0; n < k->config->nodes; n++)
        heard |= has_heard(k, n, now);
    if (!heard && (k->strangers > k->told || !k->silence_told))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_SEAL,
                     "no node is heard; %lu datagrams came from elsewhere, without a key of %s, or by a file "
                     "that lists nodes or keepers otherwise",
                     k->strangers - k->told, k->config->link.key);
    k->silence_told = !heard;
    k->told = k->strangers;
}

/* Keys that have been read again. */
static void take_keys(struct keeper *k)
{
    if (!nd_datagrams_is_renewed(&k->socket))
        return;
    nd_datagrams_take_renewed(&k->socket);
    write_notice(k);
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_SEAL, "datagrams are known by %s as it is now",
                 k->config->link.key);
}

static void turn(struct keeper *k)
{
    uint64_t now = ft_now();
    bool worked = take_inputs(k, now);

    worked |= read_socket(k);
    now = ft_now();
    report_active(k, now);
    k->front.waiting = send_all_pending(k);
    worked |= k->front.waiting > 0;
    kp_front_turn(&k->front, now);
    nd_datagrams_flush(&k->socket);
    report_active(k, now);
    report_primary(k);
    aim_guardian(k);
    if (now - k->served >= SERVE_NS) {
        const uint64_t turns[] = {now};

        nd_server_serve(k->server, 0, answer, k);
        if (nd_metrics_asked(k->metrics)) {
            json_t *o = status(k);

            nd_metrics_answer(k->metrics, &page, o);
            json_decref(o);
        }
        if (atomic_exchange(&nd_daemon_reads, false))
            ft_worker_wake(&k->reader);
        take_keys(k);
        /* Ports whose interface reports that it has no carrier. */
        if (k->config->keepers > 1) {
            struct nd_interface_now port_now;

            k->front.faults = 0;
            for (unsigned port = 0; port < k->ports.io.ports; port++)
                k->front.faults +=
                    nd_interface_ask(self_of(k)->port[port], false, &port_now) && !port_now.carrier;
        }
        report_strangers(k, now);
        nd_notify_status(&k->notify, k->front.primary < 0 ? "no node says that it is primary"
                                     : k->front.follows   ? "feeding"
                                                          : "waiting");
        nd_notify_watchdog(&k->notify, now, turns, 1);
        k->served = now;
    }
    if (!worked)
        sleep_until(k);
}

static int run(struct keeper *k)
{
    struct ft_fault fault = {""};
    int error;

    nd_daemon_begin(true);
    nd_notify_open(&k->notify);
    error = open_keeper(k, &fault);
    if (!error)
        (void)nd_priority_raise(); /* as the lanes behind it; its other threads are there */
    if (!error && (error = nd_privilege_drop(&fault)) == 0)
        error = nd_privilege_refuse_calls(&fault);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    if (error)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
    else
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_START, "keeping %u packets at most for %u nodes",
                     k->config->keeper_packets[k->place], k->config->nodes);
    k->changed = k->looked = ft_now();
    if (!error && k->guardian)
        nd_guardian_hold(k->guardian, 0);
    while (!error && !atomic_load(&nd_daemon_ends))
        turn(k);
    k->front.unfit = true; /* of two keepers the other one is to go on with all that this one has */
    kp_front_move(&k->front, ft_now());
    while (!error && k->front.leaves)
        turn(k);
    if (!error)
        (void)send_all_pending(k);
    nd_notify_close(&k->notify);
    close_keeper(k);
    (void)nd_event_writer_stop();
    return error ? nd_exit_of_start(error) : ND_DONE;
}

int nd_keeper_run(const struct nd_options *options)
{
    static struct keeper keeper = {.socket.fd = -1, .primary = -1, .aimed = -1};
    struct ft_fault fault;
    int code;

    if (nd_privilege_drop_inherited(&fault)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return ND_SOFTWARE;
    }
    code = nd_choose_keeper(&keeper.config, &keeper.place, options);
    if (code)
        return code;
    code = run(&keeper);
    if (!keeper.reads) /* else it is in a disk yet, and has the file's name */
        nd_config_free(keeper.config);
    return code;
}
