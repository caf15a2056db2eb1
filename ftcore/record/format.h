/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of the formats: one number for messages, datagrams, log records, chunks and recordings. A
 * program speaks its own and the one before, and two nodes speak the lower of their newest ones.
 *
 * A row of a table of fields may state since which version its field exists (`since`; without one, since the
 * first). Encoders leave out the fields of later versions than they are to write, decoders find them missing
 * by the version that the bytes carry, and set them to 0. So a release that changes a format adds rows with a
 * `since`, raises FT_FORMAT_NEWEST, and has FT_FORMAT_OLDEST follow.
 *
 * Three things have no version, since they come before one is agreed on: HELLO, REFUSE, the death notice.
 * Every program reads those of every other.
 */
#ifndef FTCORE_RECORD_FORMAT_H
#define FTCORE_RECORD_FORMAT_H

#include <stdint.h>

#ifndef FT_FORMAT_NEXT      /* tests/next.h makes the next version, with a new field in each table */
#define FT_FORMAT_NEWEST 4u /* that of release 0.2 was 3 */
#define FT_FORMAT_OLDEST 3u
#define FT_NEXT_OLDEST   FT_FORMAT_OLDEST
#define FT_NEXT_TYPES
#define FT_NEXT_MEMBERS
#define FT_NEXT_HEARTBEAT
#define FT_NEXT_SHAPE [0] = {.name = NULL}
#define FT_NEXT_HEAD(m)
#define FT_NEXT_SAY(core, actions)
#define FT_NEXT_RECORD_MEMBERS
#define FT_NEXT_RECORD_NUMBERS(NUMBER)
#define FT_NEXT_RECORD(r)
#define FT_NEXT_DATAGRAM_BYTES 0u
#define FT_NEXT_DATAGRAM_MEMBERS
#define FT_NEXT_DATAGRAM_FIELDS
#endif
#define FT_FORMAT_MEMBERS  4u /* the first whose hello has the members of its view */
#define FT_FORMAT_SESSIONS 4u /* the first with inputs encoded by session, or set aside (FT_IN_ASIDE) */
#define FT_FORMAT_NONE     0u /* of what has no version */
#define FT_FORMAT_MAX      UINT16_MAX
#define FT_FORMAT_KNOWN(v) ((v) >= FT_FORMAT_OLDEST && (v) <= FT_FORMAT_NEWEST)

/* The version that two nodes speak, by the newest and the oldest one of each; 0: they have none in common. */
static inline unsigned ft_format_common(unsigned newest, unsigned oldest, unsigned peer_newest,
                                        unsigned peer_oldest)
{
    unsigned lower = newest < peer_newest ? newest : peer_newest;

    return lower >= oldest && lower >= peer_oldest ? lower : 0;
}

#endif
