/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control connections of FTP, as trojan follows them: which files a client asks for (RETR, RFC 959), in the
 * order of its sequence numbers. A command that is not whole in one segment is not seen.
 */
#ifndef NFS_TROJAN_CONTROL_H
#define NFS_TROJAN_CONTROL_H

#include "nflib/nf.h"

#define TJ_PORT_FTP  21u
#define TJ_HELD      3u /* segments behind a gap; with one more it is given up */
#define TJ_FILE_BITS 2u
#define TJ_FILES_MAX 8u /* of a segment; what it asks for beyond is not seen */

enum tj_file { TJ_HTML = 1, TJ_ZIP, TJ_EXE };

struct tj_segment {
    uint64_t number; /* of the packet that brought it, or that of a later part which came before it */
    uint32_t seq;
    uint16_t len;
    uint16_t files; /* enum tj_file each, the first one in the lowest bits */
};
/* In a session. */
struct tj_control {
    uint32_t next; /* sequence number of what has not come yet */
    uint32_t count;
    struct tj_segment held[TJ_HELD]; /* behind it, in no order */
};

/* Bytes of data on the wire. */
static inline uint32_t tj_payload(const struct nf_packet *p)
{
    uint32_t end = p->l4 + p->l4_len;

    return end > p->payload ? end - p->payload : 0;
}
/* The connection's SYN. */
void tj_control_begin(struct tj_control *control, const struct nf_packet *p);
/* A segment with data: done[TJ_HELD + 1] gets those that are in order now, *n of them. True: a gap has been
 * given up. */
bool tj_control_take(struct tj_control *control, const struct nf_packet *p, uint64_t number,
                     struct tj_segment done[], uint32_t *n);
/* One that a peer sent: its lists end where they do, and name files that there are. */
bool tj_control_is_sound(const struct tj_control *control);

#endif
