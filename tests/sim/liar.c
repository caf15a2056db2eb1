/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that lies: in some seeds what one node says to the other is altered before it leaves, with right
 * checksums around it, so that everything behind the checksums gets to see it. A lie is
 *
 *   of form      an element of a message, a record or a part of a delta becomes another number, another type,
 *                longer, shorter, or is missing
 *   of content   a message says what its type can say and its sender never meant: another view, state, echo,
 *                vector, identity, another type altogether
 *
 * Who believes a liar may end in any state, so these seeds are judged by G6 alone: no node breaks an
 * invariant, none waits for ever, and once the lies have ended two processes begin anew and are PROTECTED
 * soon. What lines of the region contain is never altered: that is the memory of the chain itself.
 */
#include "tests/sim/sim.h"

#include "ftcore/delta.h"
#include "ftcore/shape.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define SUM_BYTES 9u /* of a record or part: cf and eight bytes */
#define RUN_HEAD  16u

/* Most lies end the connection, so what a connection is to come to is decided before: or none would last
 * until a record is sent. */
static void change_mood(void)
{
    static const enum sim_lie moods[] = {SIM_LIE_HELLO,  SIM_LIE_HELLO,  SIM_LIE_MESSAGE, SIM_LIE_MESSAGE,
                                         SIM_LIE_FRAME,  SIM_LIE_FRAME,  SIM_LIE_FRAME,   SIM_LIE_RECORD,
                                         SIM_LIE_RECORD, SIM_LIE_RECORD, SIM_LIE_RECORD,  SIM_LIE_RUN};

    sim.mood = moods[sim_draw(&sim.lies, sizeof(moods) / sizeof(moods[0]))];
    if (sim.mood == SIM_LIE_RECORD && sim.plan.mode != ND_MODE_LOG && sim_chance(&sim.lies, 700))
        sim.mood = SIM_LIE_PART;
    sim.mood_until = sim.now + 40 * SIM_MS;
}

bool sim_lies(enum sim_lie kind, unsigned per_mille)
{
    if (!sim.plan.liar || sim.faults_over || !sim_running || sim_running->node > 1 ||
        sim_running->number != SIM_REPLICATOR)
        return false;
    if (sim.now >= sim.mood_until)
        change_mood();
    if (sim.mood != kind || !sim_chance(&sim.lies, per_mille))
        return false;
    change_mood();
    return true;
}

static uint64_t draw(uint64_t below)
{
    return sim_draw(&sim.lies, below);
}

/* ---- lies of form: one msgpack array ------------------------------------------------------------------ */

static uint64_t big_endian(const uint8_t *in, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes--)
        v = v << 8 | *in++;
    return v;
}

/* An element: where its content begins, and its length with what stands before it. 0: none that we write. */
static size_t element(const uint8_t *in, size_t left, size_t *head)
{
    uint8_t b = left ? *in : 0;
    unsigned wide = b >= 0xd9 ? 1u << (b - 0xd9) : 1u << (b - 0xc4);
    size_t len;

    *head = 1;
    if (!left)
        return 0;
    if (b < 0x80)
        return 1;
    if (b >= 0xcc && b <= 0xcf) {
        len = 1 + ((size_t)1 << (b - 0xcc));
    } else if ((b & 0xe0) == 0xa0) {
        len = 1 + (b & 0x1fu);
    } else if ((b >= 0xc4 && b <= 0xc6) || (b >= 0xd9 && b <= 0xdb)) {
        if (left < 1 + wide)
            return 0;
        *head = 1 + wide;
        len = *head + big_endian(in + 1, wide);
    } else if ((b & 0xf0) == 0x90 || b == 0xdc) { /* a vector: numbers */
        unsigned n = b == 0xdc ? (unsigned)big_endian(in + 1, 2) : b & 0x0fu;
        size_t inner;

        len = *head = b == 0xdc ? 3 : 1;
        for (unsigned i = 0; i < n && len < left; i++)
            len += element(in + len, left - len, &inner);
    } else {
        return 0;
    }
    return len <= left ? len : 0;
}

static size_t put_number(uint8_t *out, uint64_t v, bool shortest)
{
    if (shortest && v < 0x80) {
        *out = (uint8_t)v;
        return 1;
    }
    *out = 0xcf;
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(v >> (56 - 8 * i));
    return 9;
}

static uint64_t number(uint64_t was)
{
    static const uint64_t known[] = {0,          1,
                                     2,          3,
                                     7,          8,
                                     15,         16,
                                     17,         63,
                                     255,        256,
                                     0xffff,     0x10000,
                                     UINT32_MAX, 1ull << 61,
                                     INT64_MAX,  (1ull << 61) + 1,
                                     UINT64_MAX, UINT64_MAX - 1};

    switch (draw(4)) {
    case 0:
        return was + 1 + draw(3);
    case 1:
        return was - 1 - draw(3);
    default:
        return known[draw(sizeof(known) / sizeof(known[0]))];
    }
}

static uint64_t value_of(const uint8_t *in)
{
    return *in < 0x80 ? *in : *in >= 0xcc && *in <= 0xcf ? big_endian(in + 1, 1u << (*in - 0xcc)) : 0;
}

/* Puts `size` bytes in place of `old` bytes at `at`. */
static size_t replace(uint8_t *in, size_t len, size_t cap, size_t at, size_t old, const uint8_t *with,
                      size_t size)
{
    if (len - old + size > cap)
        return len;
    memmove(in + at + size, in + at + old, len - at - old);
    memcpy(in + at, with, size);
    return len - old + size;
}

/* Nowhere, too many lines or none, or of an unknown kind. Never lines that exist: a base that puts good lines
 * in the wrong place is another chain's memory, which nobody can tell. */
void sim_lie_run(uint8_t head[])
{
    static const uint8_t at[] = {4, 5, 6, 7, 10, 11, 12, 13, 14, 15};

    if (draw(4))
        head[at[draw(sizeof(at))]] |= (uint8_t)(2u << draw(6));
    else
        memset(head + 8, 0, 4);
}

/* A byte of its content, not within what the region's lines contain. */
static void change_byte(uint8_t *in, size_t len, uint64_t lines)
{
    static const uint8_t bytes[] = {0x00, 0x0a, 0x1f, 0x20, 0x7f, 0x80, 0x01, 0x02, 0x11, 0xff};
    size_t at = (size_t)draw(len);

    if (lines >= RUN_HEAD && at < lines) {
        sim_lie_run(in);
        return;
    }
    in[at] = draw(3) ? bytes[draw(sizeof(bytes))] : (uint8_t)(in[at] ^ (1u << draw(8)));
}

/* `in` is an array with one element that follows `len` when `sealed`. `lines`: bytes of its body that are
 * runs. Returns the new length, at most `cap`. */
static size_t alter(uint8_t *in, size_t len, size_t cap, bool sealed, uint64_t lines)
{
    static const uint8_t types[] = {0xc0, 0xc2, 0x93, 0x80, 0xc1, 0xd0, 0xa1, 0xc4, 0xcb, 0xff, 0xdc, 0xdd};
    size_t start = in[0] == 0xdc ? 3 : 1, at = start, head = 0, size = 0;
    unsigned count = in[0] == 0xdc ? (unsigned)big_endian(in + 1, 2) : in[0] & 0x0fu;
    unsigned chosen = (unsigned)draw(count - sealed), of = 0;
    uint8_t text[16];

    if (draw(2)) /* the last one is where the most is */
        chosen = count - sealed - 1;
    for (; of <= chosen; of++) {
        at += size;
        if ((size = element(in + at, len - at, &head)) == 0)
            return len;
    }
    switch (draw(10)) {
    case 0: /* another type */
        in[at] = types[draw(sizeof(types))];
        return len;
    case 1: /* the input ends in the midst of it, or before it */
        return at + (draw(2) ? size / 2 : 0);
    case 2: /* more elements than are there, or fewer, or none */
        if (start == 3)
            in[2] = draw(4) ? (uint8_t)(in[2] + (draw(2) ? 1 : -1)) : 0;
        else
            in[0] = draw(4) ? (uint8_t)(0x90 | ((in[0] + (draw(2) ? 1 : -1)) & 0x0f)) : 0x90;
        return len;
    case 3: /* something behind it */
        return replace(in, len, cap, len, 0, types, 1 + (size_t)draw(3));
    case 4: /* no array */
        in[0] = types[draw(sizeof(types))];
        return len;
    case 5: /* the same number in its longest form */
        if (in[at] < 0x80 || (in[at] >= 0xcc && in[at] <= 0xcf))
            return replace(in, len, cap, at, size, text, put_number(text, value_of(in + at), false));
        break;
    case 6: /* its content ends early */
        if (head > 1 && size > head) {
            size_t cut = 1 + (size_t)draw(size - head < 8 ? size - head : 8);

            for (unsigned i = 1, borrow = (unsigned)cut; i < head && borrow; i++) {
                unsigned digit = in[at + head - i];

                in[at + head - i] = (uint8_t)(digit - borrow);
                borrow = digit < (borrow & 0xff);
            }
            return replace(in, len, cap, at + size - cut, cut, text, 0);
        }
        break;
    case 7: /* its length is another */
        if (head > 1)
            in[at + head - 1] = (uint8_t)(in[at + head - 1] + (draw(2) ? 1 : -1));
        else if (in[at] >= 0x90 && in[at] < 0xc0)
            in[at] ^= 1;
        return len;
    default:
        break;
    }
    if (in[at] < 0x80 || (in[at] >= 0xcc && in[at] <= 0xcf))
        return replace(in, len, cap, at, size, text, put_number(text, number(value_of(in + at)), draw(2)));
    if (size > head)
        change_byte(in + at + head, size - head, lines);
    return len;
}

long sim_lie_frame(uint8_t *out, long len, size_t cap)
{
    uint32_t size, sum;

    if (len <= (long)FT_FRAME_HEAD)
        return len;
    size = (uint32_t)alter(out + FT_FRAME_HEAD, (size_t)len - FT_FRAME_HEAD, cap - FT_FRAME_HEAD, false,
                           UINT64_MAX);
    sum = (uint32_t)XXH3_64bits(out + FT_FRAME_HEAD, size) + (draw(16) == 0);
    len = (long)(size + FT_FRAME_HEAD);
    if (draw(20) == 0)
        size = draw(2) ? 0 : FT_MESSAGE_MAX + 1;
    memcpy(out, &size, sizeof(size));
    memcpy(out + 4, &sum, sizeof(sum));
    return len;
}

/* A record, or a part with `lines` bytes of runs. */
long sim_lie_sealed(uint8_t *out, long len, size_t cap, uint32_t lines)
{
    size_t size;
    uint64_t sum;

    if (len <= (long)SUM_BYTES || cap <= SUM_BYTES)
        return len;
    size = alter(out, (size_t)len - SUM_BYTES, cap - SUM_BYTES, true, lines);
    sum = XXH3_64bits(out, size) + (draw(16) == 0);
    len = (long)(size + put_number(out + size, sum, draw(16) == 0));
    return len;
}

/* ---- lies of content ------------------------------------------------------------------------------- */

static void lie_text(char *text, size_t cap)
{
    static const char *const texts[] = {"", "a lie", "kill", "hang", "two\nlines", "caf\xc3\xa9"};

    snprintf(text, cap, "%s", texts[draw(sizeof(texts) / sizeof(texts[0]))]);
}

/* Another word, a line more, a line less, a word more; long ones, too. */
static void lie_identity(struct ft_message *m)
{
    static uint8_t text[FT_IDENTITY_MAX + 256];
    static const char *const words[] = {" ", "\n", " more", "key=", "\nnf 7: other a=1 b=2\n", ":", "="};
    uint32_t len = m->bulk_len, at = len ? (uint32_t)draw(len) : 0;

    memcpy(text, m->bulk, len);
    switch (draw(6)) {
    case 0:
        text[at] = (uint8_t)(text[at] == '\n' ? ' ' : text[at] + 1);
        break;
    case 1:
        len = at;
        break;
    case 2:
        len = 0;
        break;
    case 3: { /* without a line */
        uint8_t *line = memchr(text + at, '\n', len - at), *end;

        if (line && (end = memchr(line + 1, '\n', len - (size_t)(line + 1 - text)))) {
            memmove(line, end, len - (size_t)(end - text));
            len -= (uint32_t)(end - line);
        }
        break;
    }
    case 4: /* a word that is longer than what a line can show */
        len = (uint32_t)replace(text, len, FT_IDENTITY_MAX, at, 0,
                                (const uint8_t *)"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk"
                                                 "lmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
                                60 + (size_t)draw(40));
        break;
    default: {
        const char *word = words[draw(sizeof(words) / sizeof(words[0]))];

        len = (uint32_t)replace(text, len, FT_IDENTITY_MAX, at, 0, (const uint8_t *)word, strlen(word));
    }
    }
    m->bulk = text;
    m->bulk_len = m->identity_len = len;
}

static void lie_hello(struct ft_message *m)
{
    switch (draw(9)) {
    case 0:
        m->name[0] ^= 'a' ^ 'b'; /* called as the other one is */
        break;
    case 1:
        m->role ^= 1;
        break;
    case 2:
        m->strict ^= 1;
        break;
    case 3:
        m->warm ^= 1;
        break;
    case 4:
        m->lanes = (uint16_t)(1 + draw(FT_LANES_MAX));
        break;
    case 5:
        m->incarnation = draw(3);
        break;
    case 6:
        m->promote_within_ms = m->detect_ms + 1000;
        m->solo_after_ms = m->promote_within_ms + 1;
        break;
    default:
        lie_identity(m);
    }
}

/* What no encoder takes becomes what one takes. */
static void mend(struct ft_message *m, unsigned lanes)
{
    const struct ft_shape *s = &ft_shapes[m->type];
    uint64_t last = 0, lo, hi, v;

    for (unsigned i = 0; i < FT_HEAD_FIELDS + ft_shape_fields(s); i++) {
        const struct ft_field *f = i < FT_HEAD_FIELDS ? &ft_head_fields[i] : &s->fields[i - FT_HEAD_FIELDS];
        uint8_t *at = (uint8_t *)m + f->at;

        if (f->kind == FT_K_TEXT && f->min && !*at)
            *at = '?';
        if (f->kind != FT_K_NUMBER && f->kind != FT_K_RISING && f->kind != FT_K_LANE)
            continue;
        v = 0;
        memcpy(&v, at, f->width);
        ft_field_range(f, lanes, last, &lo, &hi);
        v = v < lo ? lo : v > hi ? hi : v;
        memcpy(at, &v, f->width);
        last = v;
    }
}

void sim_lie_message(struct ft_message *m, unsigned lanes)
{
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_BASE;
    unsigned lane = (unsigned)draw(sim.plan.lanes);

    if (m->type == FT_MSG_HELLO && draw(8)) {
        lie_hello(m);
        mend(m, lanes);
        return;
    }
    switch (draw(8)) {
    case 0:
        m->view = number(m->view);
        break;
    case 1:
        m->state = (uint8_t)(FT_JOINING + draw(FT_FENCED));
        break;
    case 2:
        m->echo = draw(2) ? m->sent + draw(SIM_MS) : number(m->echo);
        break;
    case 3:
        m->burst[lane] = number(m->burst[lane]);
        break;
    case 4:
        m->replayed[lane] = number(m->replayed[lane]);
        m->taken[lane] = number(m->taken[lane]);
        break;
    default: /* something else altogether; with the lines of a base nobody plays */
        if (m->type == FT_MSG_HELLO)
            break;
        m->type = (uint8_t)(FT_MSG_BEAT + draw(FT_MSG_TYPES - FT_MSG_BEAT));
        if (m->type == FT_MSG_BASE || !(m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA) || !bulk)
            m->bulk_len = 0;
        m->lane = (uint16_t)lane;
        m->number = draw(4);
        lie_text(m->text, sizeof(m->text));
        if (draw(2))
            m->state = (uint8_t)(FT_JOINING + draw(FT_FENCED));
    }
    mend(m, lanes);
}
