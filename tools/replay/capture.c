/* SPDX-License-Identifier: Apache-2.0 */
/* See capture.h. */
#define _GNU_SOURCE /* asprintf */
#include "tools/replay/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAP_MAX 262144
#define SECOND   1000000000ull

/* Beside the file, to become it when it is whole. A device, a pipe or a link is written to as it is. */
static char *part_of(const char *file)
{
    struct stat is;
    char *part;

    if (lstat(file, &is) == 0 && !S_ISREG(is.st_mode))
        return NULL;
    return asprintf(&part, "%s.part", file) < 0 ? NULL : part;
}

int nd_capture_open(struct nd_capture_file *c, const char *file, struct ft_fault *fault)
{
    pcap_t *pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAP_MAX, PCAP_TSTAMP_PRECISION_NANO);

    *c = (struct nd_capture_file){.file = file, .part = part_of(file)};
    if (pcap)
        c->dump = pcap_dump_open(pcap, c->part ? c->part : file);
    if (!c->dump)
        ft_fail(fault, FT_EIO, "%.200s, expected a file to write to", pcap ? pcap_geterr(pcap) : "no memory");
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
