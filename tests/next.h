/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every source (-include) it makes the program of the next format: version 5, with a field more in
 * HEARTBEAT, in log records and in the heartbeats of data ports, and a message more, NEXT. The new fields
 * hold one number, which decoders insist on: one that is left out, or read where it is not, is refused.
 *
 * With UNDERSTUDY_ONLY_NEXT in its environment a program speaks version 5 alone, as the one after the next.
 *
 * Read by ftcore/record/format.h, where each of these is empty otherwise. A program speaks its own
 * version and the one before: when the tree has version 5, this becomes version 6.
 */
#ifndef TESTS_NEXT_H
#define TESTS_NEXT_H

/* No header is included here: the source that follows may say first what it wants of them. */
char *getenv(const char *name);

#define FT_FORMAT_NEXT
#define FT_FORMAT_NEWEST 5u
#define FT_FORMAT_OLDEST 4u
#define FT_NEXT_OLDEST   (getenv("UNDERSTUDY_ONLY_NEXT") ? 5u : FT_FORMAT_OLDEST)
#define FT_NEXT_NUMBER   4711

#define FT_NEXT_TYPES   FT_MSG_NEXT,
#define FT_NEXT_MEMBERS uint64_t next;
#define FT_NEXT_HEARTBEAT                                                                                    \
    {                                                                                                        \
        N(next, FT_NEXT_NUMBER, FT_NEXT_NUMBER), .since = 5                                                  \
    }
#define FT_NEXT_SHAPE   [FT_MSG_NEXT] = {.name = "NEXT", .fields = {FT_NEXT_HEARTBEAT}, .since = 5}
#define FT_NEXT_HEAD(m) (m)->next = FT_NEXT_NUMBER;
#define FT_NEXT_SAY(core, actions)                                                                           \
    if ((core)->peer.version >= 5)                                                                           \
        ft_say(core, actions, FT_MSG_NEXT);

#define FT_NEXT_RECORD_MEMBERS uint64_t next;
#define FT_NEXT_RECORD_NUMBERS(NUMBER)                                                                       \
    NUMBER(struct ft_record, next, "next", FT_NEXT_NUMBER, FT_NEXT_NUMBER, 5)
#define FT_NEXT_RECORD(r) (r).next = FT_NEXT_NUMBER;

#define FT_NEXT_DATAGRAM_BYTES   8u
#define FT_NEXT_DATAGRAM_MEMBERS uint64_t next;
#define FT_NEXT_DATAGRAM_FIELDS  {FIELD(next), 5},

#endif
