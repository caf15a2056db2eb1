/* SPDX-License-Identifier: Apache-2.0 */
/* See capture.h. */
#define _GNU_SOURCE
#include "tools/pair/capture.h"
#include "nflib/net/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <pcap/dlt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ==== link types that are read ====================================================================== */

/* Where the fields of a cooked header lie. */
struct cooked {
    int link;
    int bytes;
    uint32_t type;    /* two bytes: what it carries, as in Ethernet */
    uint32_t address; /* eight bytes: the sender's */
    uint32_t length;  /* the last byte of the field: how many of those count */
    uint32_t way;     /* the last byte of the field: PACKET_HOST and the others of the kernel */
};

static const struct cooked kinds[] = {
    {.link = DLT_LINUX_SLL, .bytes = 16, .type = 14, .address = 6, .length = 5, .way = 1},
    {.link = DLT_LINUX_SLL2, .bytes = 20, .type = 0, .address = 12, .length = 11, .way = 10},
};

static const struct cooked *kind_of(int link)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].link == link)
            return &kinds[i];
    return NULL;
}

bool nd_cooked_reads(int link)
{
    return link == DLT_EN10MB || kind_of(link);
}

bool nd_cooked_sent(int link, const uint8_t *data, uint32_t have)
{
    const struct cooked *kind = kind_of(link);

    return kind && have > (uint32_t)kind->bytes && data[kind->way] == PACKET_OUTGOING;
}

/* The receiver's address is in no cooked header: it is made up, and the same for all. */
int nd_cooked_head(int link, const uint8_t *data, uint32_t have, uint8_t head[ND_COOKED_HEAD])
{
    static const uint8_t receiver[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 1}, sender[ETHER_ADDR_LEN] = {2};
    const struct cooked *kind = kind_of(link);
    uint16_t type;

    if (!kind)
        return 0;
    if (have <= (uint32_t)kind->bytes)
        return -1;
    type = ntohs(nf_get16(data + kind->type));
    if (type != ETHERTYPE_IP && type != ETHERTYPE_IPV6 && type != ETHERTYPE_ARP)
        return -1;
    memcpy(head, receiver, ETHER_ADDR_LEN);
    memcpy(head + ETHER_ADDR_LEN, data[kind->length] == ETHER_ADDR_LEN ? data + kind->address : sender,
           ETHER_ADDR_LEN);
    memcpy(head + 2 * ETHER_ADDR_LEN, data + kind->type, sizeof(type));
    return kind->bytes;
}

/* ==== a file that is written ======================================================================== */

#define SNAP_MAX 262144
#define SECOND   1000000000ull

/* Beside the file, to become it when it is whole. A link is followed, and its file written to as it is. */
static char *part_of(const char *file)
{
    struct stat is;
    char *part;

    if (lstat(file, &is) == 0 && !S_ISREG(is.st_mode))
        return NULL;
    return asprintf(&part, "%s.part", file) < 0 ? NULL : part;
}

/* A part that a killed run left goes; whatever else has its name is not written to. */
static FILE *make_file(const char *part, const char *file)
{
    if (part)
        unlink(part);
    int fd = part ? open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)
                  : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "wb");

    if (fd >= 0 && !to)
        close(fd);
    return to;
}

int nd_capture_open(struct nd_capture_file *c, const char *file, struct ft_fault *fault)
{
    struct stat is;

    *c = (struct nd_capture_file){.file = NULL};
    if (stat(file, &is) == 0 && !S_ISREG(is.st_mode)) /* a pipe without a reader would hold us up */
        return ft_fail(fault, FT_EIO, "%.200s: not a regular file, expected a file to write to", file);
    pcap_t *pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAP_MAX, PCAP_TSTAMP_PRECISION_NANO);

    *c = (struct nd_capture_file){.file = file, .part = part_of(file)};
    FILE *to = make_file(c->part, file);

    if (pcap && to)
        c->dump = pcap_dump_fopen(pcap, to);
    if (!c->dump)
        ft_fail(fault, FT_EIO, "%.200s: %s, expected a file to write to", file,
                !to    ? strerror(errno)
                : pcap ? pcap_geterr(pcap)
                       : "no memory");
    if (to && !c->dump)
        fclose(to);
    if (pcap)
        pcap_close(pcap);
    return c->dump ? 0 : FT_EIO;
}

void nd_capture_put(struct nd_capture_file *c, uint64_t stamp, const void *frame, uint32_t have, uint32_t len)
{
    struct pcap_pkthdr head = {.caplen = have, .len = len};

    head.ts.tv_sec = (time_t)(stamp / SECOND);
    head.ts.tv_usec = (suseconds_t)(stamp % SECOND);
    pcap_dump((u_char *)c->dump, &head, frame);
}

int nd_capture_finish(struct nd_capture_file *c, struct ft_fault *fault)
{
    if (!c->dump)
        return 0;
    if (pcap_dump_flush(c->dump) != 0 || ferror(pcap_dump_file(c->dump)) ||
        (c->part && rename(c->part, c->file) != 0))
        return ft_fail(fault, FT_EIO, "%.150s: cannot be written: %s", c->file, strerror(errno));
    free(c->part);
    c->part = NULL;
    nd_capture_close(c);
    return 0;
}

void nd_capture_close(struct nd_capture_file *c)
{
    if (c->dump)
        pcap_dump_close(c->dump);
    if (c->part)
        unlink(c->part);
    free(c->part);
    *c = (struct nd_capture_file){.file = NULL};
}
