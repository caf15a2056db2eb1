/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered datagrams both ways through a chain, and what became of each; a program of the lab's own:
 *
 *   numbered serve ADDRESS PORT FLOWS RATE FILE     answers each flow that comes with datagrams of its own
 *   numbered ask ADDRESS PORT FLOWS RATE FILE       begins them
 *
 * Each sends RATE datagrams a second, of all flows in turn, until SIGUSR1; then it says the end of each flow,
 * again and again, since these may be lost as well. FILE is written when all flows of the other side have
 * ended, behind what was sent before, and once more on SIGTERM, which ends it. It has a JSON object: "sent",
 * how many of each flow, and "got": of each flow the number of different ones, of those that came twice,
 * after a later one, and with other bytes than they were sent with. "sent_marked" and "got_marked" are of
 * those, in all flows, that were sent between one SIGUSR2 and the next. Sizes are from 40 to 1239 bytes. An
 * asking flow that has got nothing sends one datagram in 10 ms, until the first answer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 1024u
#define MOST  (64u << 20) /* datagrams of a flow */
#define HEAD  13u
#define LEAST 40u
#define ENDS  39u /* bytes of what says that a flow has ended: no datagram has so few */
#define ROOM  (16 << 20)
#define MARK  (1ull << 56) /* of a datagram's number: sent between two SIGUSR2 */
#define OVER  0x80         /* of a datagram's first byte: its flow has ended */

struct flow {
    int fd;
    struct sockaddr_in to;
    bool known, over;
    uint64_t sent, got, twice, reordered, altered, highest;
    uint8_t *seen; /* bits, by number */
};

static struct flow flow[FLOWS];
static uint8_t noise[4096];
static uint64_t sent_marked, got_marked;
static volatile sig_atomic_t quiet, marked, ended;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        quiet = 1;
    else if (number == SIGUSR2)
        marked = !marked;
    else
        ended = 1;
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static size_t make(uint8_t *out, uint8_t way, uint32_t f, uint64_t n)
{
    size_t bytes = LEAST - HEAD + n * 37 % 1200;

    out[0] = way;
    memcpy(out + 1, &f, 4);
    memcpy(out + 5, &n, 8);
    memcpy(out + HEAD, noise + (n * 7919 + f * 31 + way * 17u) % 2048, bytes);
    return HEAD + bytes;
}

static void take(struct flow *f, uint8_t way, uint32_t number, const uint8_t *said, size_t len)
{
    uint8_t expected[2048];
    uint64_t n, whole;

    memcpy(&whole, said + 5, 8);
    n = whole & ~MARK;
    if (said[0] == (way | OVER) && len == ENDS) {
        f->over = true;
        return;
    }
    if (said[0] != way || n == 0 || n >= MOST || make(expected, way, number, whole) != len ||
        memcmp(expected, said, len) != 0) {
        f->altered++;
        return;
    }
    if (f->seen[n / 8] >> n % 8 & 1)
        f->twice++;
    else if (n < f->highest)
        f->reordered++;
    if (!(f->seen[n / 8] >> n % 8 & 1)) {
        f->got++;
        got_marked += whole >= MARK;
    }
    f->seen[n / 8] |= (uint8_t)(1 << n % 8);
    f->highest = n > f->highest ? n : f->highest;
}

/* What the socket has; a flow that comes for the first time is known from now on. */
static void read_all(int fd, uint8_t way, unsigned flows)
{
    static uint8_t said[64][2048];
    struct sockaddr_in from[64];
    struct iovec at[64];
    struct mmsghdr in[64];
    int n = 64;

    while (n == 64) {
        for (unsigned i = 0; i < 64; i++) {
            at[i] = (struct iovec){said[i], sizeof(said[i])};
            in[i].msg_hdr = (struct msghdr){
                .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &at[i], .msg_iovlen = 1};
        }
        n = recvmmsg(fd, in, 64, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
            uint32_t number = UINT32_MAX;

            if (in[i].msg_len >= ENDS)
                memcpy(&number, said[i] + 1, 4);
            if (number >= flows)
                continue;
            flow[number].fd = fd;
            flow[number].to = from[i];
            flow[number].known = true;
            take(&flow[number], way, number, said[i], in[i].msg_len);
        }
    }
}

static void send_one(unsigned number, uint8_t way)
{
    struct flow *f = &flow[number];
    uint8_t said[2048];
    uint64_t mark = marked ? MARK : 0;
    size_t len = make(said, way, number, mark | (f->sent + 1));

    if (sendto(f->fd, said, len, 0, (struct sockaddr *)&f->to, sizeof(f->to)) != (ssize_t)len)
        return;
    f->sent++;
    sent_marked += mark != 0;
}

static void send_over(unsigned number, uint8_t way)
{
    uint8_t said[ENDS] = {way | OVER};

    memcpy(said + 1, &number, 4);
    sendto(flow[number].fd, said, sizeof(said), 0, (struct sockaddr *)&flow[number].to,
           sizeof(flow[number].to));
}

static bool are_over(unsigned flows)
{
    for (unsigned f = 0; f < flows; f++)
        if (!flow[f].over)
            return false;
    return true;
}

static void write_file(const char *path, unsigned flows)
{
    FILE *out = fopen(path, "w");

    if (!out)
        exit(1);
    fprintf(out, "{\"sent_marked\": %lu, \"got_marked\": %lu, ", sent_marked, got_marked);
    fputs("\"sent\": [", out);
    for (unsigned f = 0; f < flows; f++)
        fprintf(out, "%s%lu", f ? ", " : "", flow[f].sent);
    fputs("], \"got\": [", out);
    for (unsigned f = 0; f < flows; f++)
        fprintf(out, "%s[%lu, %lu, %lu, %lu]", f ? ", " : "", flow[f].got, flow[f].twice, flow[f].reordered,
                flow[f].altered);
    fputs("]}\n", out);
    fclose(out);
}

int main(int argc, char **argv)
{
    const struct sigaction act = {.sa_handler = on_signal};
    struct sockaddr_in address = {.sin_family = AF_INET};
    bool asks = argc == 7 && strcmp(argv[1], "ask") == 0;
    unsigned flows = argc == 7 ? (unsigned)strtoul(argv[4], NULL, 10) : 0, next = 0;
    struct pollfd at[FLOWS];
    uint64_t rate, begun = 0, count = 0, first = 0, behind = 0;
    bool written = false;
    int room = ROOM;

    if (flows == 0 || flows > FLOWS || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
        return fputs("usage: numbered serve|ask ADDRESS PORT FLOWS RATE FILE\n", stderr), 64;
    address.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
    rate = strtoul(argv[5], NULL, 10);
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    for (unsigned i = 0, x = 1; i < sizeof(noise); i++, x = x * 1664525 + 1013904223)
        noise[i] = (uint8_t)(x >> 24);
    for (unsigned f = 0; f < flows; f++) {
        flow[f].seen = calloc(MOST / 8, 1); /* address space: few pages are touched */
        if (f == 0 || asks) {
            at[f] = (struct pollfd){socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0};
            setsockopt(at[f].fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
            if (!asks && bind(at[0].fd, (struct sockaddr *)&address, sizeof(address)) != 0)
                return perror("numbered"), 1;
        }
        flow[f].fd = at[asks ? f : 0].fd;
        flow[f].to = address;
    }
    while (!ended) {
        uint64_t t = now(), due;

        poll(at, asks ? flows : 1, behind ? 0 : 1);
        for (unsigned f = 0; f < (asks ? flows : 1); f++)
            if (at[f].revents)
                read_all(at[f].fd, asks ? 1 : 0, flows);
        if (quiet) {
            if (t - first >= 10000000) {
                for (unsigned f = 0; f < flows; f++)
                    if (asks || flow[f].known)
                        send_over(f, asks ? 0 : 1);
                first = t;
            }
            if (!written && are_over(flows)) {
                write_file(argv[6], flows);
                written = true;
            }
            behind = 0;
            continue;
        }
        if (asks && t - first >= 10000000) {
            for (unsigned f = 0; f < flows; f++)
                if (!flow[f].known)
                    send_one(f, 0);
            first = t;
        }
        if (!begun) {
            bool all = true;

            for (unsigned f = 0; f < flows; f++)
                all &= flow[f].known;
            if (asks && !all)
                continue;
            begun = t;
        }
        due = (t - begun) * rate / 1000000000;
        for (unsigned turn = 0; count < due && turn < 64; next = (next + 1) % flows, turn++)
            if (flow[next].known) {
                send_one(next, asks ? 0 : 1);
                count++;
            }
        behind = due - count;
    }
    write_file(argv[6], flows);
    return 0;
}
