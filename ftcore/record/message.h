/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the two nodes of a pair: their struct form; message.c holds encode and decode side by
 * side, and defines the wire form. Bulk: log records, chunks of deltas, lines. */
#ifndef FTCORE_RECORD_MESSAGE_H
#define FTCORE_RECORD_MESSAGE_H

#include "ftcore/base/error.h"
#include "ftcore/record/format.h"
#include "ftcore/record/members.h"
#include "ftcore/region/region.h"

#include <stdbool.h>
#include <string.h>

#define FT_FRAME_HEAD   8u         /* bytes before a frame's content */
#define FT_MESSAGE_MAX  (4u << 20) /* bytes of a frame's content */
#define FT_BULK_MAX     (2u << 20) /* bytes of bulk before compression */
#define FT_SMALL_MAX    1024u /* of everything but bulk: a hello needs 200 bytes, an ACK of 16 lanes 510 */
#define FT_IDENTITY_MAX 8192u
#define FT_PROGRAM_MAX  32u
#define FT_REASON_MAX   224u
#define FT_VIEW_MAX     (1ull << 62) /* one view a nanosecond for a century; beyond, it is damage or a lie */

/* Of a node, see docs/ARCHITECTURE.md. */
enum ft_state {
    FT_JOINING = 1,
    FT_SYNCING,
    FT_READY,
    FT_SOLO,
    FT_PROTECTED,
    FT_DEGRADED,
    FT_FENCED,
};
const char *ft_state_name(enum ft_state state); /* in capitals: "JOINING" */

enum ft_message_type {
    FT_MSG_HELLO = 1,      /* first on a connection, both ways */
    FT_MSG_HEARTBEAT,      /* nothing but the head */
    FT_MSG_SNAPSHOT_BEGIN, /* primary: a snapshot follows, cut at `burst`, of the chain `number`; forget what
                              you hold */
    FT_MSG_SNAPSHOT,       /* bulk: lines of the snapshot, as runs (ftcore/record/delta.h) */
    FT_MSG_SNAPSHOT_END,   /* primary: that was the last line */
    FT_MSG_LOG,            /* bulk: encoded log records */
    FT_MSG_ACK,            /* standby: `burst` closed set, `replayed`, `taken` */
    FT_MSG_HOLDING,        /* primary: holds everything after `burst` */
    FT_MSG_STEER,   /* primary, planned handover: announce the addresses, keep frames unread. `number` 0: take
                       it back */
    FT_MSG_STEERED, /* standby: done. `number` 1: taken back, nothing is announced here any more */
    FT_MSG_HANDOVER,  /* primary: released nothing after `burst`, and never will in this view */
    FT_MSG_ASK,       /* standby: asks for a planned handover */
    FT_MSG_ABANDON,   /* primary: I must close because of `text`; I hold */
    FT_MSG_ABANDONED, /* standby: understood, I have no right any more */
    FT_MSG_REFUSE,    /* we do not fit together: `text` */
    FT_MSG_VERDICT, /* standby: digest of lane `lane` after `burst[0]`: `number` recorded, `number2` computed.
                       `burst[0]` 0: all `number` slices of a round of that lane's were equal */
    FT_MSG_DRILL,   /* kill yourself as `text` demands, if your file permits it */
    FT_MSG_DELTA,   /* bulk: encoded chunks of deltas */
    FT_MSG_COUNTER, /* both: demotion counter `number`, because of `text`; `maintenance`, since `number2`;
                       `cluster` */
    FT_MSG_PUSH,    /* bulk: files of a chain, whose hash is `number` (replicator/sideband.c) */
    FT_MSG_PUSHED,  /* what became of those of the chain `number2`: `number` 0, or not 0 and why in `text` */
    /* FT_NEXT_TYPES (tests/next.h): message types of the next format; empty in products. */
    FT_NEXT_TYPES FT_MSG_TYPES
};

/* What an operator has ordered of the pair, seen from one node; see understudy/watch/standing.h. */
enum ft_maintenance {
    FT_MAINTENANCE_NONE,
    FT_MAINTENANCE_HOLD,      /* nothing moves the role */
    FT_MAINTENANCE_PIN_OWN,   /* this node is to reign; of a message: the sender */
    FT_MAINTENANCE_PIN_OTHER, /* the other one is to reign */
    FT_MAINTENANCES
};

struct ft_message {
    uint8_t type;  /* enum ft_message_type */
    uint8_t state; /* sender's, enum ft_state */
    uint64_t view; /* sender's */
    uint64_t sent; /* sender's monotonic clock, ns */
    uint64_t echo; /* newest `sent` it has had from us; 0: none */
    /* Of the format, FT_FORMAT_OLDEST to FT_FORMAT_NEWEST. To encode, 0 is the newest. HELLO and REFUSE have
     * none: 0 on the wire too. */
    uint16_t version;

    /* HELLO. The first four are all that is read of a program that speaks no version of ours. */
    uint16_t newest, oldest;      /* versions of the format that the program speaks */
    char program[FT_PROGRAM_MAX]; /* its release, "0.2.0" */
    char name[FT_NAME_MAX];       /* of the node */
    uint64_t incarnation;         /* random, of this process */
    uint64_t secret[2]; /* random, of this process: the key of its datagrams (ftcore/record/datagram.h) */
    uint8_t role;       /* the file's: 0 primary, 1 standby */
    uint8_t strict;
    uint8_t warm; /* the standby of this pair stores and replays only at takeover */
    uint16_t lanes;
    uint32_t lease_ms, detect_ms, promote_within_ms, solo_after_ms;
    struct ft_members members; /* of its view; SNAPSHOT_BEGIN too */
    uint8_t
        joins; /* it is no member, or has no view on its disk where others may know better: it sends view 0 */
    uint32_t identity_len; /* of `bulk`: the chain's identity, lines of text */
    FT_NEXT_MEMBERS

    /* vectors, [lanes] */
    uint64_t burst[FT_LANES_MAX], replayed[FT_LANES_MAX], taken[FT_LANES_MAX];
    uint64_t access[FT_LANES_MAX]; /* numbers given so far */

    uint64_t number, number2;
    uint64_t
        cluster; /* of the arbiter, as its servers call themselves; 0: there is none, or none has answered */
    uint16_t lane;
    uint8_t maintenance; /* enum ft_maintenance */
    char text[FT_REASON_MAX];

    /* bulk: LOG, DELTA, SNAPSHOT, PUSH, HELLO's identity. Borrowed when encoding; points into the caller's
     * buffer after decoding. */
    const uint8_t *bulk;
    uint32_t bulk_len;
};

/* Measures whether compression pays, per kind of bulk. Zeroed to begin with. One per direction, one thread.
 */
struct ft_compressor {
    uint64_t skip;            /* bytes of bulk left to send raw before trying again; a larger bulk is tried */
    uint64_t raw, compressed; /* bytes in, bytes out, ever */
};

/* Bytes an encoded frame can need at most. */
static inline size_t ft_message_bound(const struct ft_message *m)
{
    return FT_SMALL_MAX + m->bulk_len;
}

/* Whole frame into out[0..cap). Returns its length, FT_EFULL. `compressor` NULL: no compression. `summed`:
 * with a checksum; without one something else must check the bytes, as the seal of a link does. */
long ft_message_encode(const struct ft_message *m, unsigned lanes, struct ft_compressor *compressor,
                       bool summed, uint8_t *out, size_t cap);

/* Where in its frame the bulk of a LOG, DELTA or SNAPSHOT begins that is not compressed, however large it is:
 * encoding copies no bulk that lies there already. */
size_t ft_message_ahead(const struct ft_message *m, unsigned lanes);

/*
 * Reads a frame from in[0..len). Returns the bytes consumed, 0 when more bytes are needed, or a named error:
 * FT_EMALFORMED, FT_ECHECKSUM (of a frame that has one), FT_EVERSION (a version that this program does not
 * speak). `bulk` (cap FT_BULK_MAX bytes) takes
 * decompressed bulk; m->bulk points there or into `in`. Checks all ranges; `lanes` as agreed (0 before the
 * hello: any up to FT_LANES_MAX).
 */
long ft_message_decode(const uint8_t *in, size_t len, unsigned lanes, struct ft_message *m, uint8_t *bulk,
                       struct ft_fault *fault);

#endif
