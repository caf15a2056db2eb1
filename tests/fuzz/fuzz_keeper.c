/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An input keeper's end: what nodes say, with and without its key, between bursts that it takes and turns.
 * Whatever it believes, it keeps to its rings, sends what it took, numbers rise, and what it says can be
 * read.
 */
#include "understudy/keeper/front.h"
#include "tests/fuzz/keeper_message.h"

#define INPUTS 128u
#define BURSTS 32u
#define NODES  2u
#define KEEPER 1000u /* its incarnation */

static struct kp_front front;
static uint64_t ids[INPUTS], next_id; /* what was taken, by sequence number */
static uint64_t leaves, sent, now;
static bool shut;

static uint32_t write_input(uint8_t *frame, uint64_t id)
{
    uint32_t len = 14 + (uint32_t)(id * 7 % 100);

    for (uint32_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(id * 31 + i);
    return len;
}

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    uint8_t frame[FUZZ_FRAME_MAX];

    (void)ctx;
    sent++;
    fuzz_keeper_readable(m);
    FUZZ_MUST(node < NODES && m->from == front.config.incarnation, "to node %u, in the name of %lu", node,
              m->from);
    if (m->kind == KP_INPUT && m->count) {
        uint32_t len = write_input(frame, ids[m->seq % INPUTS]);

        FUZZ_MUST(m->len == len && m->have == len && memcmp(m->frame, frame, len) == 0,
                  "input %lu is another one", m->seq);
    }
}

static bool leave(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    uint32_t sum = 0;

    (void)ctx, (void)port;
    for (uint32_t i = 0; i < len; i++) /* all of it is there */
        sum += frame[i];
    FUZZ_MUST(sum <= len * 255u, "sum %u", sum);
    if (shut)
        return false;
    leaves++;
    return true;
}

static void take_inputs(uint32_t n)
{
    uint8_t frame[FUZZ_FRAME_MAX];

    if (!kp_front_has_room(&front))
        return;
    for (uint32_t i = 0; i < n % (KP_BURST + 1); i++) {
        uint64_t seq = front.seq_next + front.open;

        ids[seq % INPUTS] = ++next_id;
        kp_front_add(&front, (uint8_t)(i % 2), frame, write_input(frame, next_id));
    }
    kp_front_cut(&front, now);
}

static void hear(struct fuzz_input *in)
{
    unsigned node = fuzz_u8(in) % NODES;
    struct kp_message known = {.from = front.node[node].incarnation ? front.node[node].incarnation : 10,
                               .to = front.config.incarnation,
                               .serial = front.node[node].serial,
                               .view = front.view,
                               .burst = front.executed,
                               .number = front.outputs.left,
                               .before = front.first,
                               .seq = front.seq_first,
                               .time = front.time_before,
                               .missing = front.missing,
                               .begins = front.outputs.left};
    uint64_t left = front.outputs.left, begun = front.count.begun, holds = front.word.holds;
    struct kp_message m;
    size_t len;

    if (fuzz_two_keepers && fuzz_u8(in) & 1) { /* near those of a word */
        known.before = front.word.view;
        known.time = now;
    }
    uint8_t *bytes = fuzz_keeper_datagram(in, &known, &len);

    if (fuzz_keeper_decode(bytes, len, &m) == 0) {
        do {
            uint64_t before = leaves;

            if (kp_front_take(&front, node, &m, now))
                kp_front_pass_on(&front, node, &m);
            if (m.kind == KP_OWN) /* of a node's own: no output */
                leaves = before;
        } while (kp_next(&m));
        FUZZ_MUST(front.outputs.left >= left || front.count.begun > begun || front.word.holds != holds,
                  "output %lu has left before %lu", left, front.outputs.left);
    }
    free(bytes);
}

static void look(void)
{
    FUZZ_MUST(front.next - front.first <= BURSTS, "bursts %lu to %lu are kept", front.first, front.next);
    FUZZ_MUST(front.seq_next - front.seq_first + front.open <= INPUTS, "inputs %lu to %lu are kept",
              front.seq_first, front.seq_next);
    FUZZ_MUST(leaves == front.outputs.released, "%lu outputs left, and %lu are counted", leaves,
              front.outputs.released);
}

static void begin(void)
{
    static struct kp_front whole; /* its memory is made once */
    const struct kp_front_config config = {.inputs = INPUTS,
                                           .bursts = BURSTS,
                                           .frame_max = FUZZ_FRAME_MAX,
                                           .nodes = NODES,
                                           .incarnation = KEEPER,
                                           .send = send_message,
                                           .leave = leave};

    if (!whole.burst)
        FUZZ_MUST(kp_front_open(&whole, &config) == 0, "no memory");
    front = whole;
    front.config.keepers = 1 + fuzz_two_keepers;
    memset(front.burst, 0, BURSTS * sizeof(front.burst[0]));
    memset(front.input, 0, INPUTS * sizeof(front.input[0]));
    memset(ids, 0, sizeof(ids));
    next_id = leaves = 0;
    now = 1000000000;
    shut = false;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};

    fuzz_two_keepers = size & 1;
    begin();
    while (fuzz_left(&in)) {
        switch (fuzz_u8(&in) % 4) {
        case 0:
            now += fuzz_u8(&in) * 50000ull;
            sent = 0;
            kp_front_turn(&front, now);
            FUZZ_MUST(sent <= (KP_WINDOW + KP_AGAIN_MAX) * KP_BURST + NODES + 4, "%lu datagrams in a turn",
                      sent);
            break;
        case 1:
            take_inputs(fuzz_u8(&in));
            break;
        case 2:
            shut = fuzz_u8(&in) & 1;
            if (fuzz_two_keepers && fuzz_u8(&in) & 1)
                kp_front_move(&front, now);
            break;
        default:
            hear(&in);
        }
        look();
    }
}

/* ---- seeds: serial, view, burst and so on are near what the front knows -------------------------- */

enum { TURN, TAKE, SHUT, HEAR };

static void put_hear(struct fuzz_output *out, uint8_t node, uint8_t kind, const int8_t near[11], uint8_t have)
{
    fuzz_put_u8(out, HEAR);
    fuzz_put_u8(out, node);
    fuzz_keeper_put(out, kind, 0, 0, near, have);
}

static void put_two(struct fuzz_output *out, uint8_t what, uint8_t value)
{
    fuzz_put_u8(out, what);
    fuzz_put_u8(out, value);
}

static void seeds(void)
{
    /* from to serial view burst number before seq time missing begins */
    static const int8_t primary[11] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 0}, goes_on[11] = {0, 0, 1, 0, 1, 1},
                        output[11] = {0, 0, 1, 0, 0, 1}, early[11] = {0, 0, 1, 0, 0, 3, 2},
                        standby[11] = {0, 0, 1, 1, 0, 0, -1}, word[11] = {0, 0, 1, 0, 0, 0, 1};
    struct fuzz_output out = {.len = 0};

    put_hear(&out, 0, KP_STATE, primary, 0);
    put_two(&out, TAKE, 5);
    put_two(&out, TURN, 1);
    put_two(&out, TAKE, 0);
    put_two(&out, TURN, 1);
    put_hear(&out, 0, KP_OUTPUT, early, 40);
    put_hear(&out, 0, KP_OUTPUT, output, 60);
    put_hear(&out, 0, KP_STATE, goes_on, 0);
    put_two(&out, TURN, 30);
    put_two(&out, TURN, 200);
    fuzz_seed("fed", out.bytes, out.len);
    put_hear(&out, 1, KP_STATE, standby, 0);
    put_hear(&out, 0, KP_OUTPUT, output, 60);
    put_hear(&out, 1, KP_OUTPUT, output, 30);
    put_hear(&out, 1, KP_OWN, output, 30);
    put_two(&out, TURN, 30);
    fuzz_seed("takeover", out.bytes, out.len);
    out.len = 0;
    fuzz_two_keepers = true;
    for (unsigned i = 0; i < 2; i++) { /* a primary, its word, its numbers; the other keeper's word */
        fuzz_put_u8(&out, HEAR);
        fuzz_put_u8(&out, 0);
        fuzz_put_u8(&out, 0);
        fuzz_keeper_put(&out, KP_STATE, 0, 0, primary, 0);
        fuzz_put_u8(&out, HEAR);
        fuzz_put_u8(&out, 0);
        fuzz_put_u8(&out, 1);
        fuzz_keeper_put_flags(&out, KP_WORD, 0, 0, KP_YOURS, word, 0);
        fuzz_put_u8(&out, HEAR);
        fuzz_put_u8(&out, 0);
        fuzz_put_u8(&out, 0);
        fuzz_keeper_put(&out, KP_STATE, 0, 0, goes_on, 0);
        put_two(&out, TAKE, 5);
        put_two(&out, TURN, 200);
        fuzz_put_u8(&out, HEAR);
        fuzz_put_u8(&out, 0);
        fuzz_put_u8(&out, 1);
        fuzz_keeper_put_flags(&out, KP_WORD, 0, 0, i ? KP_YOURS | KP_GO : 0, word, 0);
        put_two(&out, TURN, 200);
    }
    if (out.len % 2 == 0)
        fuzz_put_u8(&out, HEAR);
    fuzz_seed("two-keepers", out.bytes, out.len);
    fuzz_two_keepers = false;
}

FUZZ_TARGET(keeper, "an input keeper: what nodes say", 4096)
