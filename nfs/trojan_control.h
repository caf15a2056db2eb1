/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control connections of FTP, as trojan follows them: which files a client asks for (RETR, RFC 959), in the
 * order of its sequence numbers, each once, however its segments were cut, doubled or reordered. Written by
 * trojan's lane.
 */
#ifndef NFS_TROJAN_CONTROL_H
#define NFS_TROJAN_CONTROL_H

#include "nflib/nf.h"

#define TJ_PORT_FTP    21u
#define TJ_FLOW_PIECES 154u /* of a connection: as far ahead as a stream keeps anything */

enum tj_file { TJ_HTML = 1, TJ_ZIP, TJ_EXE };

/* In a session. */
struct tj_control {
    struct nf_stream stream[2]; /* of the first, what the host inside sends; nothing of the other */
    uint64_t waited;            /* number of the first packet behind a gap that is open; 0: none is */
    uint64_t tail;              /* the last five bytes of the line's word, in lower case */
    uint32_t end;               /* of what waits */
    uint8_t matched; /* bytes of "RETR " that the line begins with; TJ_OTHER: it begins otherwise */
    uint8_t blank;   /* 1: a blank is behind the word */
    uint16_t zero;
};
_Static_assert(sizeof(struct tj_control) == 64, "a line");

/* A packet of such a connection, and who is told of the files that it asks for. */
struct tj_commands {
    const struct nf *nf;
    const struct nf_packet *p;
    uint64_t number; /* of the packet; of what has waited, of an earlier one */
    uint64_t now;
    struct tj_control *control;
    void (*file)(const struct tj_commands *commands, enum tj_file file);
};

/* Returns how many gaps have been given up, as there was no room for what waits. */
uint32_t tj_control_take(struct tj_commands *commands, struct nf_streams *streams);
/* All that was of an earlier connection is forgotten. */
void tj_control_begin(const struct nf *nf, struct nf_streams *streams, struct tj_control *control);
/* One that a peer sent, but for its streams. */
bool tj_control_is_sound(const struct tj_control *control);

#endif
