/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that lies: in some seeds what one node says to the other is altered before it leaves, so that
 * everything behind decoder and checksums gets to see it. A lie says what its type can say and its sender
 * never meant: a message another view, state, echo, vector, identity, or it is of another type altogether; a
 * record tells another order between lanes, a delta what it cannot be after those before it (liar_delta.c); a
 * snapshot has other lines, or words in them. What no encoder would write is for the fuzzers of messages,
 * records, deltas, snapshots and of a standby (tests/fuzz).
 *
 * A bold liar, every second, also says its hello again in the midst of a connection, says names as long as
 * they can be, and does not keep to its credit.
 *
 * Who believes a liar may end in any state, so these seeds are judged by one promise alone
 * (docs/guarantees.md, G6): no node breaks an invariant, none waits for ever, and once the lies have ended
 * two processes begin anew and are PROTECTED soon. Words within the lines of a snapshot are altered, too: a
 * node looks at a state before it believes it. Those within the lines of a delta are not: that is the memory
 * of the chain itself.
 */
#include "tests/sim/liar.h"

#include "ftcore/record/shape.h"

#include <stdio.h>
#include <string.h>

/* Most lies end the connection, so what a connection is to come to is decided before: or none would last
 * until a record is sent. */
static void change_mood(void)
{
    static const enum sim_lie moods[] = {SIM_LIE_HELLO,   SIM_LIE_HELLO,  SIM_LIE_MESSAGE,
                                         SIM_LIE_MESSAGE, SIM_LIE_RECORD, SIM_LIE_RECORD,
                                         SIM_LIE_RECORD,  SIM_LIE_RECORD, SIM_LIE_RUN};

    sim.mood = moods[sim_draw(&sim.lies, sizeof(moods) / sizeof(moods[0]))];
    if (sim.mood == SIM_LIE_RECORD && sim.config->protect.deltas && sim_chance(&sim.lies, 700))
        sim.mood = SIM_LIE_CHUNK;
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

/* ---- a bold one --------------------------------------------------------------------------------------- */

bool sim_bold(unsigned per_mille)
{
    return sim.plan.bold && !sim.faults_over && sim_running && sim_running->node < 2 &&
           sim_running->number == SIM_REPLICATOR && sim_chance(&sim.width, per_mille);
}

static struct {
    struct ft_message hello;
    uint8_t identity[FT_IDENTITY_MAX];
    uint64_t seed;
} said[SIM_NODES];

void sim_lie_heard(const struct ft_message *hello)
{
    unsigned node = sim_running->node;

    if (!sim.plan.bold || hello->bulk_len > FT_IDENTITY_MAX)
        return;
    said[node].hello = *hello;
    said[node].seed = sim.seed + 1;
    memcpy(said[node].identity, hello->bulk, hello->bulk_len);
    said[node].hello.bulk = said[node].identity;
}

bool sim_lie_again(struct ft_message *hello)
{
    if (said[sim_running->node].seed != sim.seed + 1)
        return false;
    *hello = said[sim_running->node].hello;
    return true;
}

/* ---- lies of content ------------------------------------------------------------------------------- */

/* Another one: near it, or at a bound that some field has. */
static uint64_t lie_number(uint64_t was)
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

    switch (sim_lie_draw(4)) {
    case 0:
        return was + 1 + sim_lie_draw(3);
    case 1:
        return was - 1 - sim_lie_draw(3);
    default:
        return known[sim_lie_draw(sizeof(known) / sizeof(known[0]))];
    }
}

/* Puts `size` bytes in place of `old` bytes at `at`; nothing if that needs more than `cap`. Returns the new
 * length.
 */
static size_t lie_replace(uint8_t *in, size_t len, size_t cap, size_t at, size_t old, const uint8_t *with,
                          size_t size)
{
    if (len - old + size > cap)
        return len;
    memmove(in + at + size, in + at + old, len - at - old);
    memcpy(in + at, with, size);
    return len - old + size;
}

static void lie_text(char *text, size_t cap)
{
    static const char *const texts[] = {"", "a lie", "kill", "hang", "two\nlines", "caf\xc3\xa9"};

    snprintf(text, cap, "%s", texts[sim_lie_draw(sizeof(texts) / sizeof(texts[0]))]);
}

/* Another word, a line more, a line less, a word more; long ones, too. */
static void lie_identity(struct ft_message *m)
{
    static uint8_t text[FT_IDENTITY_MAX + 256];
    static const char *const words[] = {" ", "\n", " more", "key=", "\nnf 7: other a=1 b=2\n", ":", "="};
    uint32_t len = m->bulk_len, at = len ? (uint32_t)sim_lie_draw(len) : 0;

    memcpy(text, m->bulk, len);
    switch (sim_lie_draw(6)) {
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
        len =
            (uint32_t)lie_replace(text, len, FT_IDENTITY_MAX, at, 0,
                                  (const uint8_t *)"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk"
                                                   "lmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
                                  60 + (size_t)sim_lie_draw(40));
        break;
    default: {
        const char *word = words[sim_lie_draw(sizeof(words) / sizeof(words[0]))];

        len = (uint32_t)lie_replace(text, len, FT_IDENTITY_MAX, at, 0, (const uint8_t *)word, strlen(word));
    }
    }
    m->bulk = text;
    m->bulk_len = m->identity_len = len;
}

static void lie_hello(struct ft_message *m)
{
    switch (sim_lie_draw(9)) {
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
        m->lanes = (uint16_t)(1 + sim_lie_draw(FT_LANES_MAX));
        break;
    case 5:
        m->incarnation = sim_lie_draw(3);
        break;
    case 6:
        if (sim_lie_draw(2)) { /* too patient for ours, or not patient enough */
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
    for (uint32_t i = 0; i < m->bulk_len && sim_lie_draw(2); i++)
        text[i] = text[i] == ' ' ? '_' : text[i];
    text[0] ^= (uint8_t)sim_lie_draw(2);
    m->bulk = text;
}

/* What no encoder takes becomes what one takes. */
static void mend(struct ft_message *m, unsigned lanes)
{
    const struct ft_shape *s = &ft_shapes[m->type];
    uint64_t last = 0, lo, hi, v;

    if (m->version && s->since > m->version) {
        m->type = FT_MSG_HEARTBEAT;
        s = &ft_shapes[m->type];
    }

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
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_SNAPSHOT;
    unsigned lane = (unsigned)sim_lie_draw(sim.plan.lanes);

    if (m->type == FT_MSG_HELLO && sim_lie_draw(8)) {
        if (sim_bold(200))
            lie_long(m);
        else
            lie_hello(m);
        mend(m, lanes);
        return;
    }
    switch (sim_lie_draw(8)) {
    case 0:
        m->view = lie_number(m->view);
        break;
    case 1:
        m->state = (uint8_t)(FT_JOINING + sim_lie_draw(FT_FENCED));
        break;
    case 2:
        m->echo = sim_lie_draw(2) ? m->sent + sim_lie_draw(SIM_MS) : lie_number(m->echo);
        break;
    case 3:
        m->burst[lane] = lie_number(m->burst[lane]);
        break;
    case 4:
        m->replayed[lane] = lie_number(m->replayed[lane]);
        m->taken[lane] = lie_number(m->taken[lane]);
        break;
    default: /* something else altogether; with the lines of a snapshot nobody plays */
        if (m->type == FT_MSG_HELLO)
            break;
        m->type = (uint8_t)(FT_MSG_HEARTBEAT + sim_lie_draw(FT_MSG_TYPES - FT_MSG_HEARTBEAT));
        if (m->type == FT_MSG_SNAPSHOT || !(m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA) || !bulk)
            m->bulk_len = 0;
        m->lane = (uint16_t)lane;
        m->number = sim_lie_draw(4);
        lie_text(m->text, sizeof(m->text));
        if (sim_bold(200))
            memset(m->text, 0x7f, 2);
        if (sim_lie_draw(2))
            m->state = (uint8_t)(FT_JOINING + sim_lie_draw(FT_FENCED));
    }
    mend(m, lanes);
}

/* ---- lines of a snapshot ----------------------------------------------------------------------------- */

/* Nowhere, too many lines or none, or of an unknown kind. Never lines that exist: a snapshot that puts good
 * lines in the wrong place is another chain's memory, which nobody can tell. */
void sim_lie_run(uint8_t head[])
{
    static const uint8_t at[] = {4, 5, 6, 7, 10, 11, 12, 13, 14, 15};

    if (sim_lie_draw(4))
        head[at[sim_lie_draw(sizeof(at))]] |= (uint8_t)(2u << sim_lie_draw(6));
    else
        memset(head + 8, 0, 4);
}

/* What indices, counts and lists would least like. */
void sim_lie_lines(uint8_t lines[], uint32_t len)
{
    for (uint64_t n = 1 + sim_lie_draw(3); n; n--) {
        uint8_t *at = lines + sim_lie_draw(len / 4) * 4;
        uint32_t value = 0;

        memcpy(&value, at, sizeof(value));
        switch (sim_lie_draw(4)) {
        case 0:
            value ^= 1u << sim_lie_draw(32);
            break;
        case 1:
            value = UINT32_MAX - (uint32_t)sim_lie_draw(2);
            break;
        case 2:
            value += (uint32_t)sim_lie_draw(5) - 2;
            break;
        default:
            value = (uint32_t)sim_lie_draw(64);
        }
        memcpy(at, &value, sizeof(value));
    }
}
