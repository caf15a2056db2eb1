/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control sockets: what a client writes, to a running node's answers. The server, the answers, the lane's
 * thread and the replicator are the real ones; the node stands alone (mode off), its ports give nothing.
 * Every line gets one line back, a JSON object, until the node closes, from the socket that looks as from the
 * one that acts; and afterwards the node still answers "status".
 */
#include "understudy/control/server.c"
#include "understudy/node/running.h"
#include "tests/fuzz/fuzz.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ROWS    (256u << 10)
#define ANSWERS (8u << 20)
#define TURNS   100000u   /* of the server, for all requests of an input */
#define TURN_NS 20000000u /* by the server's clock; by ours 50 us, in which the lane works */

static struct nd_running node;
static struct nd_lane lane;
static struct nd_io io;
static pid_t owner;
static char path[2][ND_SOCKET_PATH]; /* the socket that acts, the one that looks */

static uint32_t io_receive(void *ctx, unsigned l, unsigned port, struct nd_frame frames[], uint32_t max)
{
    (void)ctx, (void)l, (void)port, (void)frames, (void)max;
    return 0;
}
static uint32_t io_send(void *ctx, unsigned l, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx, (void)l, (void)port;
    for (uint32_t i = 0; i < n; i++)
        free(held[i].packet);
    return n;
}
static void *io_make(void *ctx, unsigned l, const void *frame, uint32_t len)
{
    (void)ctx, (void)l;
    return fuzz_copy(frame, len);
}
static uint8_t *io_data(void *packet)
{
    return packet;
}
static void io_drop(void *ctx, void *packet)
{
    (void)ctx;
    free(packet);
}

static void must(int error, const struct ft_fault *fault)
{
    FUZZ_MUST(error == 0, "%s", fault->text);
}

static void open_chain(void)
{
    static const char rules[] = "allow out from any to any\n";
    static const char chain[] =
        "chain:\n  name: fuzz\n  nfs:\n    - nat: { outside: 203.0.113.1, max_flows: 64 }\n"
        "    - firewall: { rules: firewall.rules, max_flows: 64 }\n    - monitor: { max_flows: 64 }\n"
        "    - load_balancer: { vip: 203.0.113.10, backends: \"172.16.0.11 172.16.0.12\", max_flows: 64 }\n"
        "    - rate_limiter: { pps: 5, max_clients: 64, max_flows: 64 }\n"
        "interfaces:\n  - { name: inside, side: inside, address: 10.0.0.1/24 }\n"
        "  - { name: outside, side: outside, address: 203.0.113.1/24 }\n"
        "protect: { mode: off }\n"
        "nodes:\n"
        "  a: { role: primary, replication: \"127.0.0.1:4700\", control: /tmp/a, ports: { inside: p0, "
        "outside: p1 } }\n"
        "  b: { role: standby, replication: \"127.0.0.2:4700\", control: /tmp/b, ports: { inside: p0, "
        "outside: p1 } }\n";
    static const struct ft_region_config how = {.name = "fuzz", .shared_size = FT_ARENA_MIN};
    struct ft_fault fault = {""};

    fuzz_file("firewall.rules", rules, sizeof(rules) - 1);
    must(nd_config_read(&node.config, fuzz_file("pair.yaml", chain, sizeof(chain) - 1), ND_CONFIG_NODES,
                        &fault),
         &fault);
    must(nf_chain_region(&node.region, &node.config->chain, &how, &fault), &fault);
}

static void open_lane(void)
{
    struct ft_fault fault = {""};
    pthread_t thread;

    io = (struct nd_io){.ports = 2,
                        .devices = 2,
                        .side = {NF_INSIDE, NF_OUTSIDE},
                        .buffers = 4096,
                        .receive = io_receive,
                        .send = io_send,
                        .make = io_make,
                        .data = io_data,
                        .drop = io_drop};
    node.shared = aligned_alloc(64, sizeof(*node.shared));
    node.answers.question.out = malloc(ROWS);
    node.answers.question.cap = ROWS;
    FUZZ_MUST(node.shared && node.answers.question.out, "no memory");
    must(ft_lane_init(node.shared, 2 * FT_RECORD_MAX, 2 * FT_RECORD_MAX), &fault);
    nd_group_init(&node.group, &lane, 1);
    node.lanes = &lane;
    node.counts.config = node.changing.config = node.config;
    node.counts.lanes = &lane;
    node.counts.shared = node.changing.shared = node.shared;
    node.changing.group = &node.group;
    node.changing.counts = &node.counts;
    node.standing.config = node.config;
    node.standing.health = &node.port_watch.health;
    lane = (struct nd_lane){.config = &node.config->chain,
                            .protect = &node.config->protect,
                            .setup.heartbeat_ms = node.config->timing.heartbeat_ms,
                            .io = &io,
                            .region = node.region,
                            .shared = node.shared,
                            .group = &node.group,
                            .setup.question = &node.answers.question,
                            .setup.seed = 7,
                            .setup.view = &node.view,
                            .setup.stop = &node.lanes_stop};
    must(nd_lane_make(&lane, &fault), &fault);
    struct rp_config config = {.core = {.name = "a",
                                        .lanes = 1,
                                        .incarnation = 1,
                                        .heartbeat_ms = 5,
                                        .lease_ms = 20,
                                        .detect_ms = 50,
                                        .promote_within_ms = 100,
                                        .solo_after_ms = 200},
                               .region = node.region,
                               .lanes = node.shared,
                               .pending_bytes = 1 << 20,
                               .protect = false};

    must(rp_open(&node.replicator, &config, &fault), &fault);
    node.changing.replicator = node.standing.replicator = node.replicator;
    FUZZ_MUST(pthread_create(&thread, NULL, (void *(*)(void *))(void *)nd_lane_run, &lane) == 0, "no thread");
    pthread_detach(thread);
}

/* Takes turns until the node reigns; nobody is there. */
static void begin(void)
{
    struct rp_status s;

    for (unsigned i = 0; i < 5000; i++) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        rp_turn(node.replicator, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
        rp_status(node.replicator, &s);
        if (s.core.state == FT_SOLO && ft_order_kind(atomic_load(&node.shared->report.done)) == FT_LANE_FRESH)
            return;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    FUZZ_MUST(false, "the node does not begin: %s", s.core.why);
}

/* Of this process: threads do not survive a fork. */
static void open_once(void)
{
    struct ft_fault fault = {""};

    if (owner == getpid())
        return;
    owner = getpid();
    open_chain();
    open_lane();
    begin();
    FUZZ_MUST(snprintf(path[0], sizeof(path[0]), "%s/control", fuzz_dir()) < (int)sizeof(path[0]) &&
                  nd_socket_path(path[1], path[0], ND_LOOKS),
              "%s: too long", fuzz_dir());
    must(nd_server_open(&node.server, path[0], "", &fault), &fault);
}

static void turn_once(void)
{
    static uint64_t now;

    now += TURN_NS;
    take_turn(node.server, now, nd_answer, &node);
}

static int connect_to(const char *to)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", to);
    FUZZ_MUST(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "cannot connect to %s", to);
    turn_once(); /* takes it in */
    return fd;
}

/* Reads what is there into `all`. False: the node has closed. */
static bool drain(int fd, char *all, size_t *len)
{
    for (;;) {
        ssize_t n = recv(fd, all + *len, ANSWERS - *len, 0);

        if (n <= 0)
            return n < 0;
        *len += (size_t)n;
        FUZZ_MUST(*len < ANSWERS, "answers without end");
    }
}

/* How many lines, each an object. */
static unsigned check_answers(const char *all, size_t len)
{
    unsigned lines = 0;

    while (len) {
        const char *end = memchr(all, '\n', len);

        FUZZ_MUST(end, "an answer without an end: '%.*s'", (int)(len < 80 ? len : 80), all);
        json_t *o = json_loadb(all, (size_t)(end - all), 0, NULL);

        FUZZ_MUST(json_is_object(o), "no object: '%.*s'", (int)(end - all), all);
        json_decref(o);
        len -= (size_t)(end + 1 - all);
        all = end + 1;
        lines++;
    }
    return lines;
}

/* All of it in one go, and as often as needed: a socket holds more than an input. */
static unsigned talk(const char *to, const uint8_t *data, size_t size, char *all)
{
    int fd = connect_to(to);
    size_t len = 0;
    bool open = true;

    FUZZ_MUST(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size, "cannot send %zu bytes", size);
    shutdown(fd, SHUT_WR);
    for (unsigned i = 0; open && i < TURNS; i++) {
        turn_once();
        nanosleep(&(struct timespec){0, 50000}, NULL);
        open = drain(fd, all, &len);
    }
    FUZZ_MUST(!open, "the node does not close");
    close(fd);
    return check_answers(all, len);
}

static void run(const uint8_t *data, size_t size)
{
    static const char status[] = "{\"cmd\":\"status\"}\n";
    static char *all;
    unsigned lines = 0, answers;

    open_once();
    if (!all)
        all = malloc(ANSWERS);
    FUZZ_MUST(all, "no memory");
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    for (unsigned i = 0; size && i < 2; i++) {
        answers = talk(path[i], data, size, all);
        FUZZ_MUST(answers == lines, "%u lines, %u answers", lines, answers);
    }
    FUZZ_MUST(talk(path[0], (const uint8_t *)status, sizeof(status) - 1, all) == 1 && strstr(all, "\"SOLO\""),
              "status says '%.80s'", all);
}

static void seeds(void)
{
    static const char *const lines[] = {
        "{\"cmd\":\"status\"}\n{\"cmd\":\"verify\"}\n",
        "{\"cmd\":\"show\",\"nf\":\"nat\"}\n{\"cmd\":\"show\",\"nf\":\"l3\",\"cursor\":1}\n",
        "{\"cmd\":\"set\",\"nf\":\"nat\",\"key\":\"udp\",\"value\":\"5\"}\n",
        "{\"cmd\":\"clear\",\"nf\":\"monitor\",\"key\":\"10.0.0.2\"}\n{\"cmd\":\"clear\",\"nf\":\"nat\"}\n",
        "{\"cmd\":\"promote\"}\n{\"cmd\":\"drain\"}\n{\"cmd\":\"failback\"}\n{\"cmd\":\"resync\"}\n",
        "{\"cmd\":\"drill\",\"kind\":\"kill\"}\n[1]\nx\n\n{\"cmd\":7}\n",
        "{\"cmd\":\"set\",\"nf\":\"load_balancer\",\"key\":\"172.16.0.11\",\"value\":\"down\"}\n",
    };
    char name[16];

    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(name, sizeof(name), "%u", i);
        fuzz_seed(name, lines[i], strlen(lines[i]));
    }
}

FUZZ_TARGET(control, "requests on the control socket", 1024)
