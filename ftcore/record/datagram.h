/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node sends outside of the replication link, in 64 bytes that only its peer can verify: the death
 * notice, which its guardian sends when its process is dead, and the heartbeat, which lane 0 sends on the
 * data ports. Death notices are encoded when a node starts and decoded by the peer's link; heartbeats are
 * encoded and decoded by lanes.
 *
 *     "understu" | u32 version | u32 kind | u64 view | u64 sent | u32 port | u32 mtu | 8 bytes, one for
 *     each of the sender's ports: its fault | 16 bytes of tag; little endian
 *
 * A later version appends fields before the tag. A heartbeat has the version that the two nodes speak. The
 * death notice has none, 0, and no field of a later version: it is encoded before the peer is known.
 *
 * The tag is the first half of HMAC-SHA256 over the sender's incarnation and the 48 bytes before it. Its key
 * is the sender's secret. Secret and incarnation are random, of one process, and sent in its hello alone,
 * which a sealed link carries; neither is in a datagram.
 */
#ifndef FTCORE_RECORD_DATAGRAM_H
#define FTCORE_RECORD_DATAGRAM_H

#include "ftcore/base/error.h"
#include "ftcore/record/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FT_DATAGRAM_BYTES (64u + FT_NEXT_DATAGRAM_BYTES) /* of the newest version */
#define FT_DATAGRAM_PORTS 8u

enum ft_datagram_kind {
    FT_DEATH_NOTICE = 1,
    FT_HEARTBEAT,
    FT_CRASH_NOTICE = 4 /* crash_notice.h; 3 was an older one */
};

/* What keeps a data port from carrying traffic, as its own node finds it (understudy/track/rules.h). */
enum ft_port_fault {
    FT_PORT_WHOLE,
    FT_PORT_NO_CARRIER,
    FT_PORT_CROSSED,   /* the peer's heartbeats of another port come in by it */
    FT_PORT_SMALL_MTU, /* smaller than that of the peer's port */
    FT_PORT_UNHEARD,   /* no heartbeat of the peer's comes in by it */
    FT_PORT_FAULTS
};

struct ft_datagram {
    uint32_t version; /* to encode, 0 is the newest; of a death notice 0 */
    uint32_t kind;    /* enum ft_datagram_kind */
    uint64_t view;    /* heartbeat: the sender's; death notice: 0 */
    uint64_t sent;    /* heartbeat: when, by the sender's monotonic clock, ns; death notice: 0 */

    /* Heartbeat: the port that it left by, that port's MTU (0: not known), and the sender's ports. */
    uint32_t port, mtu;
    uint8_t fault[FT_DATAGRAM_PORTS]; /* enum ft_port_fault; ports that do not exist are FT_PORT_WHOLE */
    FT_NEXT_DATAGRAM_MEMBERS
};

/* With which a process authenticates its datagrams, and by which its peer knows them. */
struct ft_datagram_key {
    uint64_t incarnation, secret[2];
};

/* Both take no lock and allocate nothing: a signal handler may call them. */
#define FT_TAG_BYTES 16u
/* The tag of said[0..bytes). */
void ft_datagram_tag(const uint8_t *said, size_t bytes, const struct ft_datagram_key *key,
                     uint8_t tag[FT_TAG_BYTES]);
/* True: in[0..len), at least FT_TAG_BYTES long, ends with its own tag. */
bool ft_datagram_tagged(const uint8_t *in, size_t len, const struct ft_datagram_key *key);

/* Returns its length, FT_DATAGRAM_BYTES at most. */
size_t ft_datagram_encode(const struct ft_datagram *d, const struct ft_datagram_key *key,
                          uint8_t out[FT_DATAGRAM_BYTES]);
/* The length of the datagram that begins at in[0..len), of which there may be less; 0: there is none that
 * this program reads. */
size_t ft_datagram_length(const uint8_t *in, size_t len);
/* 0; FT_EMALFORMED: no such datagram, or a view above FT_VIEW_MAX, a port or a fault that there is not;
 * FT_EVERSION; FT_EPERM: not this sender's. */
int ft_datagram_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                       struct ft_datagram *d);

#endif
