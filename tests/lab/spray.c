/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of many flows, one after the other, at a rate; a program of long/resync.t:
 *
 *   spray ADDRESS PORT FLOWS RATE     until SIGTERM
 *
 * A flow is a source in 10.128.0.0/9, a thousand to a host. Each datagram has 18 bytes behind UDP's header.
 * What the kernel does not take at once waits, so the rate may be less.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST    32u
#define PER_HOST 1000u

struct datagram {
    struct iphdr ip;
    struct udphdr udp;
    uint8_t more[18];
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

int main(int argc, char **argv)
{
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    struct sockaddr_in to = {.sin_family = AF_INET};
    uint32_t flows = argc == 5 ? (uint32_t)atoi(argv[3]) : 0, rate = argc == 5 ? (uint32_t)atoi(argv[4]) : 0;
    struct timespec next;

    if (fd < 0 || !flows || !rate || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: spray ADDRESS PORT FLOWS RATE, as root\n");
        return 2;
    }
    signal(SIGTERM, on_signal);
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint32_t flow = 0; !ended;) {
        for (uint32_t i = 0; i < BURST; i++, flow = (flow + 1) % flows) {
            struct datagram d = {.ip = {.version = 4,
                                        .ihl = 5,
                                        .ttl = 64,
                                        .protocol = IPPROTO_UDP,
                                        .daddr = to.sin_addr.s_addr},
                                 .udp = {.len = htons(sizeof(d) - sizeof(d.ip))}}; /* without a checksum */

            d.ip.tot_len = htons(sizeof(d));
            d.ip.saddr = htonl(0x0a800000u + flow / PER_HOST);
            d.udp.source = htons((uint16_t)(10000 + flow % PER_HOST));
            d.udp.dest = htons((uint16_t)atoi(argv[2]));
            while (sendto(fd, &d, sizeof(d), 0, (struct sockaddr *)&to, sizeof(to)) < 0 && !ended)
                usleep(100);
        }
        next.tv_nsec += (long)(BURST * 1000000000ull / rate);
        for (; next.tv_nsec >= 1000000000; next.tv_nsec -= 1000000000)
            next.tv_sec++;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return 0;
}
