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

/* A byte of its content, not within what the region's lines contain: often of the first or the last numbers,
 * which say how the rest is to be read. Sometimes a number that does not end. */
static void change_byte(uint8_t *in, size_t len, uint64_t lines)
{
    static const uint8_t bytes[] = {0x00, 0x0a, 0x1f, 0x20, 0x7f, 0x80, 0x01, 0x02, 0x11, 0xff};
    size_t at = (size_t)draw(len), near = len < 12 ? len : 12;

    if (draw(2) && len > lines)
        at = lines + (size_t)draw(len - lines < 8 ? len - lines : 8);
    else if (draw(3) == 0)
        at = len - 1 - (size_t)draw(near);

    if (lines >= RUN_HEAD && at < lines) {
        sim_lie_run(in);
        return;
    }
    if (draw(6) == 0)
        memset(in + at, 0xff, len - at < 3 ? len - at : 3 + (size_t)draw(len - at < 12 ? len - at - 2 : 10));
    else
        in[at] = draw(3) ? bytes[draw(sizeof(bytes))] : (uint8_t)(in[at] ^ (1u << draw(8)));
}

/* A varint at the bounds that lengths, numbers of outputs and accesses have, in place of what stands there.
 */
static void change_varint(uint8_t *in, size_t len)
{
    static const uint64_t known[] = {0,          1,         9202,       9203,           9204,
                                     9216,       9217,      UINT16_MAX, UINT16_MAX + 1, UINT32_MAX - 14,
                                     UINT32_MAX, 1ull << 40};
    uint64_t v = known[draw(sizeof(known) / sizeof(known[0]))] << (draw(2) ? 4 : draw(2)) | draw(16);

    for (size_t i = 0; i < len; i++, v >>= 7) {
        in[i] = (uint8_t)((v & 0x7f) | (v >> 7 ? 0x80 : 0));
        if (v < 0x80)
            return;
    }
}

/* The length in front of an element's content, `head` bytes with the type, becomes another by `by`. */
static void lengthen(uint8_t *in, size_t head, long by)
{
    long was = (long)big_endian(in + 1, (unsigned)head - 1) + by;

    for (size_t i = head - 1; i > 0; i--, was >>= 8)
        in[i] = (uint8_t)was;
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
            size_t rest = size - head, cut = 1 + (size_t)draw(rest < 8 ? rest : 8);

            if (draw(2) && rest > lines) /* soon after its lines */
                cut = rest - lines - (size_t)draw(rest - lines < 12 ? rest - lines : 12);
            lengthen(in + at, head, -(long)cut);
            return replace(in, len, cap, at + size - cut, cut, text, 0);
        }
        break;
    case 7: /* its length is another; or it is longer */
        if (head > 1 && draw(2) && len + 2 <= cap) {
            lengthen(in + at, head, 2);
            return replace(in, len, cap, at + size, 0, types, 2);
        }
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

/* The last element before the checksum, whose bytes say the most, gets some that say something else. */
static void change_body(uint8_t *in, size_t len, uint64_t lines)
{
    size_t at = in[0] == 0xdc ? 3 : 1, head = 0, size;
    unsigned count = in[0] == 0xdc ? (unsigned)big_endian(in + 1, 2) : in[0] & 0x0fu;

    for (unsigned i = 0; i + 2 < count; i++)
        at += element(in + at, len - at, &head);
    size = element(in + at, len - at, &head);
    if (size <= head)
        return;
    if (draw(2) && size - head > lines)
        change_varint(in + at + head + lines, size - head - lines);
    else
        change_byte(in + at + head, size - head, lines);
}

/* A record, or a part with `lines` bytes of runs. */
long sim_lie_sealed(uint8_t *out, long len, size_t cap, uint32_t lines)
{
    size_t size;
    uint64_t sum;

    if (len <= (long)SUM_BYTES || cap <= SUM_BYTES)
        return len;
    size = (size_t)len - SUM_BYTES;
    if (draw(2))
        change_body(out, size, lines);
    else
        size = alter(out, size, cap - SUM_BYTES, true, lines);
    sum = XXH3_64bits(out, size) + (draw(16) == 0);
    len = (long)(size + put_number(out + size, sum, draw(16) == 0));
    return len;
}

/* ---- lies of shares and records: well-formed in themselves, and not what follows from those before --------
 */

/* A share of several parts is rare here, since little changes between two cuts. So a liar makes one that
 * never ends: what comes next of the lane is told as another part of it, and one thing in it is of another
 * share. */
static struct {
    bool open;
    struct ft_part head;
    struct ft_part_output output;
} told[2][SIM_LANES];

void sim_lies_begin(void)
{
    memset(told, 0, sizeof(told));
}

/* An output that nobody has a byte of. */
static void put_output(struct ft_part *p, uint64_t number, uint64_t burst)
{
    struct ft_part_output *o = (void *)ft_part_held(p);

    *o = (struct ft_part_output){.number = number, .burst = burst, .clock = p->clock, .len = 60};
    p->held = 1;
    p->bytes = sizeof(*o);
    p->size = ft_part_size(p->lines, p->bytes);
}

bool sim_lie_goes_on(unsigned lane)
{
    return sim.plan.liar && !sim.faults_over && sim_running && sim_running->node < 2 &&
           sim_running->number == SIM_REPLICATOR && told[sim_running->node][lane].open;
}

/* A base begins: what it follows is told of nothing any more. */
void sim_lies_forget(unsigned node)
{
    memset(told[node], 0, sizeof(told[node]));
}

/* True: it is refused. */
static bool other_share(struct ft_part *p)
{
    switch (draw(10)) {
    case 0:
        p->cut++;
        break;
    case 1:
        p->burst++;
        p->from++;
        break;
    case 2:
        p->burst++;
        break;
    case 3:
        p->clock++;
        break;
    case 4:
        p->access++;
        break;
    case 5:
        p->outputs++;
        break;
    case 6:
        p->number += 1 + (uint32_t)draw(3);
        break;
    default:
        return false;
    }
    return true;
}

const struct ft_part *sim_lie_part(const struct ft_part *was)
{
    static union {
        struct ft_part part;
        uint8_t room[FT_RECORD_MAX];
    } lie;
    struct ft_part *p = &lie.part;
    unsigned lane = was->lane, node = sim_running->node;
    bool refused = false, goes_on = told[node][lane].open && draw(8),
         outputs = was->outputs > 1 && was->burst > was->from + 1;

    memcpy(p, was, sizeof(*p));
    p->lines = draw(2) ? was->lines : 0;
    memcpy(ft_part_lines(p), ft_part_lines(was), p->lines);
    p->flags = FT_REC_DELTA;
    p->digest = 0;
    p->held = p->bytes = 0;
    p->size = ft_part_size(p->lines, 0);
    if (goes_on) {
        const struct ft_part *head = &told[node][lane].head;
        const struct ft_part_output *o = &told[node][lane].output;

        p->cut = head->cut;
        p->from = head->from;
        p->burst = head->burst;
        p->clock = head->clock;
        p->access = head->access;
        p->outputs = head->outputs;
        p->number = head->number + 1;
        refused = other_share(p);
        if (o->number && o->burst > p->from + 1) /* once more; or a later one of an earlier burst */
            put_output(p, o->number + (o->number < p->outputs && draw(2)), o->burst - draw(2));
    } else if (outputs && draw(2)) {
        put_output(p, p->outputs - 1, p->burst);
    }
    told[node][lane].open = !refused;
    told[node][lane].head = *p;
    told[node][lane].output =
        p->held ? *(const struct ft_part_output *)(const void *)ft_part_held(p) : (struct ft_part_output){0};
    return p;
}

/* Another order between lanes, which may be a circle, or name an access or a lane that will never be; or
 * values that are none. */
const struct ft_record *sim_lie_record(const struct ft_record *was)
{
    static union {
        struct ft_record record;
        uint8_t room[2 * FT_RECORD_MAX];
    } lie;
    struct ft_record *r = &lie.record;
    struct ft_edge *edge;

    memcpy(r, was, was->size);
    edge = (void *)((uint8_t *)r + ft_record_edges_at(r));
    if (r->values == 0 && (draw(4) == 0 || r->accesses == 0 || sim.plan.lanes == 1)) {
        uint8_t *values = (uint8_t *)r + ft_record_values_at(r);

        r->values = 3 + (uint32_t)draw(4);
        memset(values, draw(2) ? 0xff : 0, 8);
    } else if (r->accesses && sim.plan.lanes > 1) {
        unsigned i = r->edges ? (unsigned)draw(r->edges) : 0;

        if (!r->edges) {
            if (r->values)
                return was;
            r->edges = 1;
            *edge = (struct ft_edge){.own = r->access + draw(r->accesses), .access = r->access};
            edge->lane = (uint16_t)((r->lane + 1) % sim.plan.lanes);
        }
        if (draw(6) == 0)
            edge[i].lane = (uint16_t)(r->lane == FT_LANES_MAX - 1 ? 0 : FT_LANES_MAX - 1);
        else
            edge[i].access +=
                draw(8) + (draw(4) ? 0 : 1000); /* a weaker order would be no order: replay takes no locks */
    }
    r->size = (uint32_t)ft_record_size(r);
    return r;
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
        if (draw(2)) { /* too patient for ours, or not patient enough */
            m->promote_within_ms = m->detect_ms + 1000;
        } else {
            m->detect_ms = m->lease_ms + 1;
            m->promote_within_ms = m->detect_ms + 1;
        }
        m->solo_after_ms = m->promote_within_ms + 1;
        break;
    default:
        lie_identity(m);
    }
}

/* A name as long as names can be; settings that differ from the first byte on, or have no space. */
static void lie_long(struct ft_message *m)
{
    static uint8_t text[FT_IDENTITY_MAX];

    memset(m->name, 'x', sizeof(m->name) - 1);
    memcpy(text, m->bulk, m->bulk_len);
    for (uint32_t i = 0; i < m->bulk_len && draw(2); i++)
        text[i] = text[i] == ' ' ? '_' : text[i];
    text[0] ^= (uint8_t)draw(2);
    m->bulk = text;
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
        if (sim_bold(200))
            lie_long(m);
        else
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
        if (sim_bold(200))
            memset(m->text, 0x7f, 2);
        if (draw(2))
            m->state = (uint8_t)(FT_JOINING + draw(FT_FENCED));
    }
    mend(m, lanes);
}
