/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's end of an input keeper: what keepers say, with and without its key, to a lane that comes and goes,
 * takes bursts and makes outputs. Bursts come whole and in order, no buffer is lost or given back twice, and
 * what it says can be read.
 */
#include "understudy/keeper/port.h"
#include "tests/fuzz/keeper_message.h"

#define NODE 500u /* incarnation */

struct owner {
    size_t len;
    uint8_t *bytes;
};

static struct kp_port port;
static struct kp_progress at; /* the lane's */
static uint64_t now;
static long owners;

static struct owner *new_owner(uint8_t *bytes, size_t len)
{
    struct owner *o = malloc(sizeof(*o));

    FUZZ_MUST(o, "no memory");
    *o = (struct owner){.len = len, .bytes = bytes};
    owners++;
    return o;
}

static void drop(void *ctx, void *owner)
{
    struct owner *o = owner;

    (void)ctx;
    FUZZ_MUST(owners > 0, "a buffer that was never taken");
    owners--;
    free(o->bytes);
    free(o);
}

static const uint8_t *bytes_of(void *ctx, void *owner)
{
    (void)ctx;
    return ((struct owner *)owner)->bytes;
}

static void send_message(void *ctx, unsigned keeper, const struct kp_message *m)
{
    (void)ctx;
    FUZZ_MUST(keeper < port.keepers, "to keeper %u", keeper);
    fuzz_keeper_readable(m);
}

static void hear(struct fuzz_input *in)
{
    unsigned keeper = fuzz_two_keepers ? fuzz_u8(in) % 4 : 0;
    bool asks = keeper & 2; /* with numbers near those of a question for the word */
    const struct kp_peer *peer = &port.peer[keeper &= 1];
    struct kp_message known = {.from = peer->incarnation ? peer->incarnation : 10,
                               .to = port.self,
                               .view = port.view,
                               .burst = port.given + 1,
                               .number = port.out < port.in ? port.sent[port.out % KP_SENT].output.number
                                                            : port.handed,
                               .seq = at.seq,
                               .time = at.time};
    struct kp_message m, next;
    size_t len;

    if (asks) {
        known.burst = known.before = port.giver.view;
        known.seq = port.giver.of[keeper].process ? port.giver.of[keeper].process : 7;
        known.time = now;
    }
    uint8_t *bytes = fuzz_keeper_datagram(in, &known, &len);
    struct owner *o = new_owner(bytes, len);

    if (fuzz_keeper_decode(bytes, len, &m) != 0) {
        drop(NULL, o);
        return;
    }
    next = m;
    while (kp_next(&next)) { /* each in a buffer of its own, before the first is given back */
        struct owner *copy = new_owner(fuzz_copy(next.frame, next.have), next.have);

        if (kp_port_take(&port, keeper, &next, copy, now) != KP_KEPT)
            drop(NULL, copy);
    }
    if (kp_port_take(&port, keeper, &m, o, now) != KP_KEPT)
        drop(NULL, o);
}

/* As the lane would; each input becomes an output, or none. */
static void execute(uint8_t outputs)
{
    const struct kp_slot *slot = kp_port_give(&port);

    if (!slot)
        return;
    FUZZ_MUST(port.given == at.burst + 1, "burst %lu comes after burst %lu", port.given, at.burst);
    FUZZ_MUST(slot->seq == at.seq && slot->count <= KP_BURST, "%u inputs from %lu, after %lu", slot->count,
              slot->seq, at.seq);
    at.burst++;
    at.seq += slot->count;
    at.time = slot->time;
    for (uint32_t i = 0; i < slot->count; i++) {
        struct owner *o = slot->frame[i].owner;

        FUZZ_MUST(o && slot->frame[i].len + KP_HEAD_BYTES == o->len, "input %u of %u is not there", i,
                  slot->count);
        FUZZ_MUST(slot->frame[i].port < port.ports, "an input of port %u", slot->frame[i].port);
        if (!(outputs & 1u << i % 8) ||
            !kp_port_hand(&port, &(struct kp_output){.number = ++at.outputs,
                                                     .burst = at.burst,
                                                     .seq = at.seq - slot->count + i,
                                                     .owner = o,
                                                     .len = slot->frame[i].len,
                                                     .have = slot->frame[i].len,
                                                     .port = slot->frame[i].port}))
            drop(NULL, o);
    }
    at.settled = at.burst;
}

static void begin_view(struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);

    if (how & 1) /* another state than that of before */
        at = (struct kp_progress){.burst = fuzz_u8(in), .seq = fuzz_u8(in) + 1u, .outputs = fuzz_u8(in)};
    if (how & 2)
        kp_port_end(&port);
    kp_port_begin(&port, port.view + 1 + (how >> 2 & 3), &at, now);
}

static void run(const uint8_t *data, size_t size)
{
    static const uint8_t heartbeat[64];
    struct fuzz_input in = {data, data + size};

    owners = 0;
    at = (struct kp_progress){.seq = 1};
    now = 1000000000;
    fuzz_two_keepers = size & 1;
    port = (struct kp_port){.keepers = 1 + (size & 1),
                            .ports = 2,
                            .open = true,
                            .send = send_message,
                            .bytes = bytes_of,
                            .drop = drop};
    FUZZ_MUST(kp_port_open(&port, NODE) == 0, "no memory");
    while (fuzz_left(&in))
        switch (fuzz_u8(&in) % 8) {
        case 0:
            begin_view(&in);
            break;
        case 1:
            kp_port_end(&port);
            break;
        case 2:
            execute(fuzz_u8(&in));
            break;
        case 3:
            if (port.view)
                FUZZ_MUST(kp_port_report(&port, &at) == port.in - port.out, "another number of outputs");
            else
                kp_port_answer(&port);
            break;
        case 4:
            kp_port_own(&port, 1, heartbeat, sizeof(heartbeat), fuzz_two_keepers && fuzz_u8(&in) & 1);
            if (fuzz_two_keepers) {
                now += fuzz_u8(&in) * 1000000ull;
                kp_port_ended(&port, 7, now);
            }
            break;
        default:
            hear(&in);
        }
    kp_port_close(&port);
    FUZZ_MUST(owners == 0, "%ld buffers are lost", owners);
}

/* ---- seeds --------------------------------------------------------------------------------------- */

enum { VIEW, END, EXECUTE, TELL, OWN, HEAR };

static void seeds(void)
{
    /* from to serial view burst number before seq time missing begins */
    static const int8_t as_known[11] = {0}, second[11] = {0, 0, 0, 0, 0, 0, 0, 1}, next[11] = {1};
    struct fuzz_output out = {.len = 0};

    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_ASK, 0, 0, as_known, 0);
    fuzz_put_u8(&out, VIEW);
    fuzz_put_u8(&out, 0);
    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_INPUT, 1, 2, second, 60);
    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_INPUT, 0, 2, as_known, 60);
    fuzz_put_u8(&out, EXECUTE);
    fuzz_put_u8(&out, 3);
    fuzz_put_u8(&out, TELL);
    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_INPUT, 0, 0, as_known, 0);
    fuzz_put_u8(&out, EXECUTE);
    fuzz_put_u8(&out, 0);
    fuzz_put_u8(&out, TELL);
    fuzz_put_u8(&out, OWN);
    fuzz_seed("fed", out.bytes, out.len);
    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_ASK, 0, 0, next, 0);
    fuzz_put_u8(&out, HEAR);
    fuzz_keeper_put(&out, KP_OWN, 0, 0, as_known, 30);
    fuzz_put_u8(&out, VIEW);
    fuzz_put_u8(&out, 1);
    fuzz_put_u8(&out, 7);
    fuzz_put_u8(&out, 9);
    fuzz_put_u8(&out, 3);
    fuzz_put_u8(&out, TELL);
    fuzz_seed("next-keeper", out.bytes, out.len);
    out.len = 0;
    fuzz_two_keepers = true;
    fuzz_put_u8(&out, VIEW);
    fuzz_put_u8(&out, 0);
    for (unsigned i = 0; i < 6; i++) { /* both ask, and the one that gets the word says that it has it */
        fuzz_put_u8(&out, HEAR);
        fuzz_put_u8(&out, i % 2 ? 2 : 3);
        fuzz_keeper_put_flags(&out, KP_ASK, 0, 0, KP_WANTS | (i > 2 ? KP_RUNS : 0), as_known, 0);
    }
    fuzz_put_u8(&out, HEAR);
    fuzz_put_u8(&out, 0);
    fuzz_keeper_put(&out, KP_INPUT, 0, 1, as_known, 60);
    fuzz_put_u8(&out, EXECUTE);
    fuzz_put_u8(&out, 3);
    fuzz_put_u8(&out, OWN);
    fuzz_put_u8(&out, 1);
    fuzz_put_u8(&out, 120);
    fuzz_put_u8(&out, HEAR);
    fuzz_put_u8(&out, 2);
    fuzz_keeper_put_flags(&out, KP_ASK, 0, 0, KP_RETURNS, as_known, 0);
    if (out.len % 2 == 0)
        fuzz_put_u8(&out, END);
    fuzz_seed("two-keepers", out.bytes, out.len);
    fuzz_two_keepers = false;
}

FUZZ_TARGET(keeper_node, "a node behind an input keeper: what keepers say", 4096)
