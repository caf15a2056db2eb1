/* SPDX-License-Identifier: Apache-2.0 */
/* The table of message types. Constant; read by encode and decode. */
#include "ftcore/record/shape.h"

#define AT(member)         offsetof(struct ft_message, member)
#define WIDE(member)       sizeof(((struct ft_message *)0)->member)
#define N(member, lo, hi)  #member, FT_K_NUMBER, AT(member), WIDE(member), lo, hi
#define ANY(member)        N(member, 0, UINT64_MAX)
#define MORE(member)       #member, FT_K_RISING, AT(member), WIDE(member), 1, UINT32_MAX
#define STRING(member, lo) #member, FT_K_TEXT, AT(member), WIDE(member), lo, WIDE(member) - 1
#define PER_LANE(member)   #member, FT_K_VECTOR, AT(member), WIDE(member), 0, UINT64_MAX
#define PLAIN(name, kind)  name, kind, 0, 0, 0, 0

const struct ft_field ft_head_fields[FT_HEAD_FIELDS] = {
    {N(view, 0, INT64_MAX)},
    {ANY(sent)},
    {ANY(echo)},
    {N(state, FT_JOINING, FT_FENCED)},
};

const struct ft_shape ft_shapes[FT_MSG_TYPES] = {
    [FT_MSG_HELLO] =
        {
            "HELLO",
            {
                {ANY(incarnation)},
                {STRING(name, 1)},
                {N(role, 0, 1)},
                {N(strict, 0, 1)},
                {N(warm, 0, 1)},
                {N(lanes, 1, FT_LANES_MAX)},
                {N(lease_ms, 1, UINT32_MAX)},
                {MORE(detect_ms)},
                {MORE(promote_within_ms)},
                {MORE(solo_after_ms)},
                {PLAIN("identity", FT_K_IDENTITY)},
            },
        },
    [FT_MSG_BEAT] = {"BEAT", {{0}}},
    [FT_MSG_SNAPSHOT_BEGIN] = {"SNAPSHOT_BEGIN", {{PER_LANE(burst)}, {PER_LANE(access)}}},
    [FT_MSG_SNAPSHOT] = {"BASE", {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_SNAPSHOT_END] = {"SNAPSHOT_END", {{0}}},
    [FT_MSG_LOG] = {"LOG", {{PLAIN("bulk", FT_K_BULK)}}},
    [FT_MSG_ACK] = {"ACK", {{PER_LANE(burst)}, {PER_LANE(replayed)}, {PER_LANE(taken)}}},
    [FT_MSG_HOLDING] = {"HOLDING", {{PER_LANE(burst)}}},
    [FT_MSG_STEER] = {"STEER", {{ANY(number)}}},
    [FT_MSG_STEERED] = {"STEERED", {{ANY(number)}}},
    [FT_MSG_HANDOVER] = {"HANDOVER", {{PER_LANE(burst)}}},
    [FT_MSG_ASK] = {"ASK", {{0}}},
    [FT_MSG_ABANDON] = {"ABANDON", {{STRING(text, 0)}}},
    [FT_MSG_ABANDONED] = {"ABANDONED", {{0}}},
    [FT_MSG_REFUSE] = {"REFUSE", {{STRING(text, 0)}}},
    [FT_MSG_VERDICT] =
        {
            "VERDICT",
            {
                {"lane", FT_K_LANE, AT(lane), WIDE(lane), 0, FT_LANES_MAX - 1},
                {"burst", FT_K_NUMBER, AT(burst), sizeof(uint64_t), 0, UINT64_MAX},
                {ANY(number)},
                {ANY(number2)},
            },
        },
    [FT_MSG_DRILL] = {"DRILL", {{STRING(text, 0)}}},
    [FT_MSG_DELTA] = {"DELTA", {{PLAIN("bulk", FT_K_BULK)}}},
};

unsigned ft_shape_fields(const struct ft_shape *s)
{
    unsigned n = 0;

    while (n < FT_FIELDS_MAX && s->fields[n].name)
        n++;
    return n;
}

unsigned ft_shape_elements(const struct ft_shape *s)
{
    unsigned fields = ft_shape_fields(s), n = 2 + FT_HEAD_FIELDS + fields;

    for (unsigned i = 0; i < fields; i++)
        n += s->fields[i].kind == FT_K_BULK;
    return n;
}

void ft_field_range(const struct ft_field *f, unsigned lanes, uint64_t last, uint64_t *lo, uint64_t *hi)
{
    *lo = f->kind == FT_K_RISING && last >= f->min ? last + 1 : f->min;
    *hi = f->kind == FT_K_LANE && lanes ? lanes - 1 : f->max;
}
