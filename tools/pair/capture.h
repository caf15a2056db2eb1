/* SPDX-License-Identifier: Apache-2.0 */
/* A capture file that the replay tool writes (-w): what left the chain. Used by the tool's main thread. */
#ifndef TOOLS_PAIR_CAPTURE_H
#define TOOLS_PAIR_CAPTURE_H

#include "ftcore/base/error.h"

#include <pcap/pcap.h>
#include <stdint.h>

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
