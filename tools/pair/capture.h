/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures as files: the link types that can be read, and a file that the replay tool writes (-w), of what
 * left the chain. A capture of Linux's `-i any` has "cooked" headers (LINUX_SLL, LINUX_SLL2), since its
 * interfaces may be of any kind; a synthetic Ethernet header takes their place. Used by the tool's main
 * thread.
 */
#ifndef TOOLS_PAIR_CAPTURE_H
#define TOOLS_PAIR_CAPTURE_H

#include "ftcore/base/error.h"

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

#define ND_COOKED_HEAD 14u /* bytes of the header that is put in place */

/* A capture of this link type (DLT_…) can be read. */
bool nd_cooked_reads(int link);

/*
 * What Ethernet begins the frame with of whose `have` bytes the link type's own header is the first. How many
 * bytes of those it replaces: 0 for Ethernet itself, whose frames stay as they are and whose `head` is not
 * written. Negative: neither IP nor ARP, or the header is not whole.
 */
int nd_cooked_head(int link, const uint8_t *data, uint32_t have, uint8_t head[ND_COOKED_HEAD]);

/* The machine that captured has sent the packet. One that it forwards is in a cooked capture twice: as it
 * came in, and as it was sent. */
bool nd_cooked_sent(int link, const uint8_t *data, uint32_t have);

struct nd_capture_file {
    const char *file;
    pcap_dumper_t *dump; /* NULL: not open */
    char *part;          /* the name it has until it is whole; NULL: its own, it being no regular file */
};

/* FT_EIO. `file` stays borrowed. */
int nd_capture_open(struct nd_capture_file *capture, const char *file, struct ft_fault *fault);
/* A frame of `len` bytes of which `have` are there, stamped with ns since 1970. */
void nd_capture_put(struct nd_capture_file *capture, uint64_t stamp, const void *frame, uint32_t have,
                    uint32_t len);
/* All of it is in the file. FT_EIO: it is not. Nothing to do when it is not open. */
int nd_capture_finish(struct nd_capture_file *capture, struct ft_fault *fault);
/* Gives up what was not finished. */
void nd_capture_close(struct nd_capture_file *capture);

#endif
