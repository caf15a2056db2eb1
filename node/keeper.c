/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy keeper: the process in front of a pair. One thread: it takes frames from its ports, cuts them
 * into bursts and keeps them (keeper/front.h), speaks to the nodes by one UDP socket, lets outputs leave by
 * its ports, and answers "status" at its control socket, and Prometheus.
 *
 * Outputs that may leave wait here for their port, PENDING for each; what finds no room comes again. Frames
 * wait in the ports when no input can be kept.
 */
#define _GNU_SOURCE /* recvmmsg, ppoll */
#include "keeper/front.h"
#include "cli/options.h"
#include "ftcore/base/event_log.h"
#include "node/base/clock.h"
#include "node/base/event_writer.h"
#include "node/base/notify.h"
#include "node/base/process.h"
#include "node/control/server.h"
#include "node/metrics/metrics.h"
#include "node/ports/fed.h"
#include "node/ports/ports.h"
#include "node/ports/udp.h"

#include <errno.h>
#include <poll.h>
#include <rte_eal.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IN_TURN     ND_FED_BATCH /* datagrams of a system call */
#define TURNS       8u           /* of them in a turn of the loop */
#define PENDING     512u
#define SOCKET_ROOM (8 << 20)
#define EMPTY_NS    2000000u  /* without a burst until one without inputs lets timers run */
#define SERVE_NS    20000000u /* between two looks at the control socket */
#define SLEEP_NS    500000    /* with nothing to do; less than what is due by itself */
#define HEARD_NS    1000000000ull
#define TAKEN_MS    2000 /* for what a killed process holds */

struct keeper {
    struct nd_config *config;
    struct nd_ports ports;
    struct kp_front front;
    struct nd_server *server;
    struct nd_metrics *metrics;
    struct nd_notify notify;
    struct nd_fed_socket socket;
    struct sockaddr_in node[KP_NODES];
    size_t room[KP_NODES];          /* of a datagram that inputs share */
    unsigned device;                /* that is received from next */
    uint64_t since, cut_at, served; /* first frame of the burst; the last burst; the control socket */
    int primary;                    /* that the log has told of */
    uint64_t strangers, port_full;

    struct mmsghdr in[IN_TURN];
    struct iovec in_at[IN_TURN];
    struct sockaddr_in from[IN_TURN];
    uint8_t heard[IN_TURN][KP_HEAD_BYTES + FT_FRAME_MAX];

    struct pending {
        struct ft_held held[PENDING];
        uint32_t count;
    } pending[NF_PORTS_MAX];
};

static volatile sig_atomic_t stopped, reload;

static void note(int number)
{
    if (number == SIGHUP)
        reload = 1;
    else
        stopped = 1;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    struct keeper *k = ctx;

    nd_fed_socket_add(&k->socket, &k->node[node], k->room[node], m);
}

/* The node with this address; -1: none. */
static int node_of(const struct keeper *k, const struct sockaddr_in *from)
{
    for (unsigned n = 0; n < k->config->nodes; n++)
        if (from->sin_addr.s_addr == k->node[n].sin_addr.s_addr && from->sin_port == k->node[n].sin_port)
            return (int)n;
    return -1;
}

/* True: there were datagrams. */
static bool read_socket(struct keeper *k, uint64_t now)
{
    int n = (int)IN_TURN;

    for (unsigned turn = 0; turn < TURNS && n == (int)IN_TURN; turn++) {
        for (unsigned i = 0; i < IN_TURN; i++)
            k->in[i].msg_hdr.msg_namelen = sizeof(k->from[i]);
        n = nd_fed_socket_receive(&k->socket, k->in, IN_TURN);
        for (int i = 0; i < n; i++) {
            int node = node_of(k, &k->from[i]);
            struct kp_message m;

            if (node < 0 || kp_decode(k->heard[i], k->in[i].msg_len, &k->socket.keys, &m) != 0) {
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

/* What the port takes of what waits for it. */
static void send_pending(struct keeper *k, unsigned port)
{
    struct pending *p = &k->pending[port];
    uint32_t sent = 0, n = 1;

    while (sent < p->count && n > 0) {
        n = k->ports.io.send(k->ports.io.ctx, 0, port, p->held + sent, p->count - sent);
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

    if (port >= k->ports.io.ports || len > k->config->chain.frame_max)
        return true; /* the nodes have other ports: it can leave by none of ours */
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

/* Frames of all devices, up to a burst; the burst is cut when it is whole, or has waited. True: there were
 * frames. */
static bool take_inputs(struct keeper *k, uint64_t now)
{
    const struct nd_io *io = &k->ports.io;
    uint32_t before = k->front.open;

    if (!kp_front_has_room(&k->front))
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

static json_t *node_status(const struct keeper *k, unsigned n, uint64_t now)
{
    const struct kp_node *node = &k->front.node[n];

    return json_pack("{s:s, s:b, s:b, s:I}", "name", k->config->node[n].name, "heard",
                     node->heard && now < node->heard + HEARD_NS, "primary", (int)n == k->front.primary,
                     "view", (json_int_t)node->view);
}

/* The fields that are numbers: as status has them, and as Prometheus reads them. */
#define LEVELS(X)                                                                                            \
    X(view, f->view, "View of the primary that is fed")                                                      \
    X(kept_bursts, f->next - f->first, "Bursts that are kept now")                                           \
    X(kept_packets, f->seq_next - f->seq_first, "Inputs that are kept now")
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
    X(sent_again, c->sent_again, "Bursts sent again")                                                        \
    X(asked_again, c->asked_again, "Times that outputs were asked for again")                                \
    X(early, c->early, "Outputs that came before their turn")                                                \
    X(late_view, c->late_view, "Messages of a node that is not the primary any more")                        \
    X(full, c->full, "Turns without room for a burst")                                                       \
    X(port_full, k->port_full, "Outputs without room for their port")                                        \
    X(strangers, k->strangers, "Datagrams from elsewhere, or without the key")

static json_t *status(const struct keeper *k)
{
    const struct kp_front *f = &k->front;
    const struct kp_front_counts *c = &f->count;
    json_t *nodes = json_array();
    uint64_t now = nd_now();

    for (unsigned n = 0; n < k->config->nodes; n++)
        json_array_append_new(nodes, node_status(k, n, now));
    json_t *o = json_pack("{s:s, s:o, s:b, s:o}", "keeper", k->config->keeper.name, "primary",
                          f->primary < 0 ? json_null() : json_string(k->config->node[f->primary].name),
                          "feeds", f->primary >= 0, "nodes", nodes);

#define FIELD(name, value, help) json_object_set_new(o, #name, json_integer((json_int_t)(value)));
    LEVELS(FIELD)
    COUNTS(FIELD)
#undef FIELD
    return o;
}

#define LEVEL(name, value, help) {.path = #name, "understudy_keeper_" #name, "gauge", help},
#define COUNT(name, value, help) {.path = #name, "understudy_keeper_" #name "_total", "counter", help},
static const struct nd_metric metrics[] = {LEVEL(feeds, , "1: some node says that it is primary, and is fed")
                                               LEVELS(LEVEL) COUNTS(COUNT)};
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
    int fd = k->socket.udp ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t room = 0;

    if (k->socket.udp)
        room = nd_fed_room(&k->socket, -1, k->config->chain.frame_max);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&k->node[n], sizeof(k->node[n])) == 0)
        room = nd_fed_room(&k->socket, fd, k->config->chain.frame_max);
    if (fd >= 0)
        close(fd);
    return room;
}

/* ---- the process ----------------------------------------------------------------------------- */

static int open_socket(struct keeper *k, struct ft_fault *fault)
{
    int error = nd_fed_socket_open(&k->socket, k->config, "keeper", &k->config->keeper, SOCKET_ROOM, fault);

    if (error)
        return error;
    for (unsigned n = 0; n < k->config->nodes; n++) {
        nd_fed_address(&k->config->node[n], &k->node[n]);
        if (k->socket.udp)
            nd_udp_add_peer(k->socket.udp, &k->node[n]);
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
    const struct kp_front_config config = {.inputs = k->config->keeper_packets,
                                           .bursts = k->config->keeper_packets,
                                           .frame_max = k->config->chain.frame_max,
                                           .nodes = k->config->nodes,
                                           .incarnation = nd_wall(),
                                           .ctx = k,
                                           .send = send_message,
                                           .leave = leave};

    return kp_front_open(&k->front, &config) == 0
               ? 0
               : ft_fail(fault, FT_ENOMEM, "no memory to keep %u packets", config.inputs);
}

static int open_server(struct keeper *k, struct ft_fault *fault)
{
    return nd_server_open(&k->server, k->config->keeper.control, "", fault);
}

static int open_metrics(struct keeper *k, struct ft_fault *fault)
{
    const struct nd_node *self = &k->config->keeper;

    return self->metrics_port ? nd_metrics_open(&k->metrics, self->metrics_host, self->metrics_port, fault)
                              : 0;
}

/* A killed process holds its sockets until its memory is gone; its successor may be back before that. */
static int open_patiently(struct keeper *k, int (*open)(struct keeper *, struct ft_fault *),
                          struct ft_fault *fault)
{
    int error = open(k, fault);

    for (int i = 0; error == FT_EBUSY && i < TAKEN_MS / 10 && !stopped; i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        error = open(k, fault);
    }
    return error;
}

static int open_keeper(struct keeper *k, struct ft_fault *fault)
{
    const struct nd_node *self = &k->config->keeper;
    const struct nd_privilege privilege = nd_ports_privilege(self);
    const struct nd_event_writer_config writer = {.node = self->name, .json = k->config->log_json};
    int error = nd_privilege_check_files(fault);

    umask(027);
    if (error || (error = nd_privilege_limit(&privilege, fault)) ||
        (error = nd_config_find_link_files(k->config, fault)) ||
        (error = nd_fed_keys(&k->socket.keys, k->config, fault)) ||
        (error = open_patiently(k, open_server, fault)) || (error = open_front(k, fault)) ||
        (error = nd_ports_open(&k->ports, k->config, self, fault)) ||
        (error = open_patiently(k, open_socket, fault)) || (error = open_patiently(k, open_metrics, fault)))
        return error;
    return nd_event_writer_start(&writer, fault);
}

static void close_keeper(struct keeper *k)
{
    nd_fed_socket_close(&k->socket);
    if (k->ports.io.ports)
        nd_ports_close(&k->ports);
    nd_server_close(k->server);
    nd_metrics_close(k->metrics);
    kp_front_close(&k->front);
}

/* Until something comes, or is due. */
static void sleep_until(const struct keeper *k)
{
    struct pollfd at[1 + NF_PORTS_MAX] = {{nd_fed_socket_descriptor(&k->socket), POLLIN, 0}};
    const bool told = k->ports.io.waits && at[0].fd >= 0; /* of all that comes */
    const struct timespec time = {0, told ? SLEEP_NS : SLEEP_NS / 10};
    unsigned n = 1;

    for (unsigned d = 0; k->ports.io.waits && k->front.begun && d < k->ports.io.devices; d++)
        at[n++] = (struct pollfd){k->ports.io.descriptor[d], POLLIN, 0};
    ppoll(at, n, &time, NULL);
}

static void tell_primary(struct keeper *k)
{
    if (k->front.primary == k->primary)
        return;
    k->primary = k->front.primary;
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_STATE, "node %s is primary, view %lu: fed from burst %lu on",
                 k->config->node[k->primary].name, k->front.view, k->front.executed + 1);
}

/* What cannot be read leaves the keys as they were. */
static void read_keys_again(struct keeper *k)
{
    struct ft_fault fault = {""};
    struct kp_keys keys;

    if (nd_fed_keys(&keys, k->config, &fault) == 0)
        k->socket.keys = keys;
    explicit_bzero(&keys, sizeof(keys));
    ft_log_event(fault.text[0] ? FT_LEVEL_ERROR : FT_LEVEL_NOTICE, FT_SAYS_SEAL,
                 fault.text[0] ? "%s; the keys stay as they were" : "datagrams are known by %s as it is now",
                 fault.text[0] ? fault.text : k->config->link.key);
}

static void turn(struct keeper *k)
{
    uint64_t now = nd_now();
    bool worked = take_inputs(k, now);

    worked |= read_socket(k, now);
    kp_front_turn(&k->front, now);
    nd_fed_socket_flush(&k->socket);
    for (unsigned port = 0; port < k->ports.io.ports; port++)
        if (k->pending[port].count) {
            send_pending(k, port);
            worked = true;
        }
    tell_primary(k);
    if (now - k->served >= SERVE_NS) {
        const uint64_t turns[] = {now};

        nd_server_serve(k->server, 0, answer, k);
        if (nd_metrics_asked(k->metrics)) {
            json_t *o = status(k);

            nd_metrics_answer(k->metrics, &page, o);
            json_decref(o);
        }
        if (reload) {
            reload = 0;
            read_keys_again(k);
        }
        nd_notify_status(&k->notify, k->primary < 0 ? "no node says that it is primary" : "feeding");
        nd_notify_watchdog(&k->notify, now, turns, 1);
        k->served = now;
    }
    if (!worked)
        sleep_until(k);
}

/* 0, or an exit code with its line. */
static int read_file(struct nd_config **config, const struct nd_options *o)
{
    struct ft_fault fault;
    int error = nd_config_read(config, o->file, ND_CONFIG_NODES | (o->argc ? ND_CONFIG_QUIET : 0), &fault);

    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return nd_exit_of_file(error);
    }
    if ((*config)->keeper.name[0] && (!o->node || strcmp((*config)->keeper.name, o->node) == 0))
        return 0;
    if ((*config)->keeper.name[0])
        error = nd_usage("keeper", "no keeper %.31s in %s, expected %s", o->node, o->file,
                         (*config)->keeper.name);
    else
        error = nd_usage("keeper", "%s has no keepers, expected keepers: { NAME: … }", o->file);
    nd_config_free(*config);
    return error;
}

static int run(struct keeper *k)
{
    const struct sigaction end = {.sa_handler = note};
    struct ft_fault fault = {""};
    int error;

    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
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
                     k->config->keeper_packets, k->config->nodes);
    while (!error && !stopped)
        turn(k);
    nd_notify_close(&k->notify);
    close_keeper(k);
    (void)nd_event_writer_stop();
    return error ? nd_exit_of(error) : ND_DONE;
}

int nd_cmd_keeper(int argc, char **argv)
{
    static struct keeper keeper = {.socket.fd = -1, .primary = -1};
    struct nd_options options;
    struct ft_fault fault;
    int code = nd_options_read(&options, argc, argv);

    if (code)
        return code;
    if (options.argc && strcmp(options.argv[0], "status") != 0)
        return nd_usage("keeper", "\"%.40s\", expected status, or nothing", options.argv[0]);
    if (!options.argc && nd_privilege_drop_inherited(&fault)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return ND_SOFTWARE;
    }
    code = read_file(&keeper.config, &options);
    if (code)
        return code;
    code = options.argc ? nd_keeper_status(keeper.config->keeper.control, options.json) : run(&keeper);
    nd_config_free(keeper.config);
    return code;
}
