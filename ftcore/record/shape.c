/* SPDX-License-Identifier: Apache-2.0 */
/* What each type of message carries: the table that encode and decode walk. See shape.h; the wire form is in
 * message.c. */
#include "ftcore/record/shape.h"

#define AT(member)   offsetof(struct ft_message, member)
#define WIDE(member) sizeof(((struct ft_message *)0)->member)
#define FIELD(name_, kind_, member, lo, hi)                                                                  \
    .name = (name_), .kind = (kind_), .at = AT(member), .width = WIDE(member), .min = (lo), .max = (hi)
#define N(member, lo, hi)   FIELD(#member, FT_K_NUMBER, member, lo, hi)
#define ANY(member)         N(member, 0, UINT64_MAX)
#define MORE(member)        FIELD(#member, FT_K_RISING, member, 1, UINT32_MAX)
#define STRING(member, lo)  FIELD(#member, FT_K_TEXT, member, lo, WIDE(member) - 1)
#define PER_LANE(member)    FIELD(#member, FT_K_VECTOR, member, 0, UINT64_MAX)
#define PLAIN(name_, kind_) .name = (name_), .kind = (kind_)

#define SHARD(at)                                                                                            \
    {                                                                                                        \
        FIELD("shard", FT_K_NUMBER, members.shard[at], 0, UINT64_MAX), .since = 4                            \
    }
#define MEMBER(at)                                                                                           \
    {                                                                                                        \
        FIELD("member", FT_K_TEXT, members.name[at], 0, FT_NAME_MAX - 1), .since = 4                         \
    }
#define MEMBERS SHARD(0), SHARD(1), MEMBER(0), MEMBER(1)

const struct ft_field ft_head_fields[FT_HEAD_FIELDS] = {
    {N(view, 0, INT64_MAX)},
    {ANY(sent)},
    {ANY(echo)},
    {N(state, FT_JOINING, FT_FENCED)},
};

/* A field that a later version began ends with its number: {ANY(number), .since = 4}; so does a type. */
const struct ft_shape ft_shapes[FT_MSG_TYPES] = {
    [FT_MSG_HELLO] =
        {
            .name = "HELLO",
            .fields =
                {
                    {N(newest, 1, FT_FORMAT_MAX)},
                    {N(oldest, 1, FT_FORMAT_MAX)},
                    {STRING(program, 0)},
                    {STRING(name, 1)},
                    {ANY(incarnation)},
                    {ANY(secret[0])},
                    {ANY(secret[1])},
                    {N(role, 0, 1)},
                    {N(strict, 0, 1)},
                    {N(warm, 0, 1)},
                    {N(lanes, 1, FT_LANES_MAX)},
                    {N(lease_ms, 1, UINT32_MAX)},
                    {MORE(detect_ms)},
                    {MORE(promote_within_ms)},
                    {MORE(solo_after_ms)},
                    {PLAIN("identity", FT_K_IDENTITY)},
                    MEMBERS,
                    {N(joins, 0, 1), .since = 4},
                },
        },
    [FT_MSG_HEARTBEAT] = {.name = "HEARTBEAT", .fields = {FT_NEXT_HEARTBEAT}},
    [FT_MSG_SNAPSHOT_BEGIN] = {.name = "SNAPSHOT_BEGIN",
                               .fields = {{PER_LANE(burst)}, {PER_LANE(access)}, {ANY(number)}, MEMBERS}},
    [FT_MSG_SNAPSHOT] = {.name = "SNAPSHOT", .fields = {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_SNAPSHOT_END] = {.name = "SNAPSHOT_END"},
    [FT_MSG_LOG] = {.name = "LOG", .fields = {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_ACK] = {.name = "ACK", .fields = {{PER_LANE(burst)}, {PER_LANE(replayed)}, {PER_LANE(taken)}}},
    [FT_MSG_HOLDING] = {.name = "HOLDING", .fields = {{PER_LANE(burst)}}},
    [FT_MSG_STEER] = {.name = "STEER", .fields = {{ANY(number)}}},
    [FT_MSG_STEERED] = {.name = "STEERED", .fields = {{ANY(number)}}},
    [FT_MSG_HANDOVER] = {.name = "HANDOVER", .fields = {{PER_LANE(burst)}}},
    [FT_MSG_ASK] = {.name = "ASK"},
    [FT_MSG_ABANDON] = {.name = "ABANDON", .fields = {{STRING(text, 0)}}},
    [FT_MSG_ABANDONED] = {.name = "ABANDONED"},
    [FT_MSG_REFUSE] = {.name = "REFUSE", .fields = {{STRING(text, 0)}}},
    [FT_MSG_VERDICT] =
        {
            .name = "VERDICT",
            .fields =
                {
                    {FIELD("lane", FT_K_LANE, lane, 0, FT_LANES_MAX - 1)},
                    {FIELD("burst", FT_K_NUMBER, burst[0], 0, UINT64_MAX)},
                    {ANY(number)},
                    {ANY(number2)},
                },
        },
    [FT_MSG_DRILL] = {.name = "DRILL", .fields = {{STRING(text, 0)}}},
    [FT_MSG_DELTA] = {.name = "DELTA", .fields = {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_COUNTER] =
        {
            .name = "COUNTER",
            .fields =
                {
                    {N(number, 0, UINT32_MAX)},
                    {N(number2, 0, INT64_MAX)},
                    {N(maintenance, 0, FT_MAINTENANCES - 1)},
                    {ANY(cluster)},
                    {STRING(text, 0)},
                },
        },
    [FT_MSG_PUSH] = {.name = "PUSH", .fields = {{ANY(number)}, {PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_PUSHED] = {.name = "PUSHED", .fields = {{ANY(number)}, {ANY(number2)}, {STRING(text, 0)}}},
    FT_NEXT_SHAPE,
};

const char *ft_state_name(enum ft_state state)
{
    static const char *const names[] = {"?",    "JOINING",   "SYNCING",  "READY",
                                        "SOLO", "PROTECTED", "DEGRADED", "FENCED"};

    return state >= FT_JOINING && state <= FT_FENCED ? names[state] : names[0];
}

unsigned ft_shape_fields(const struct ft_shape *s)
{
    unsigned n = 0;

    while (n < FT_FIELDS_MAX && s->fields[n].name)
        n++;
    return n;
}

void ft_field_range(const struct ft_field *f, unsigned lanes, uint64_t last, uint64_t *lo, uint64_t *hi)
{
    *lo = f->kind == FT_K_RISING && last >= f->min ? last + 1 : f->min;
    *hi = f->kind == FT_K_LANE && lanes ? lanes - 1 : f->max;
}
