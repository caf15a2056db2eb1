/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay of records that no lane of ours made: the standby's lane is given well-formed records with any
 * inputs, also such as sessions tell, ports, times and determinants, through the decoder. It replays or says
 * that it diverged; nothing else. After a divergence a snapshot comes, as in a resync, over the same chain.
 * At the end of each input a snapshot and one good record lead to the state that they always lead to,
 * whatever was before.
 */
#include "tests/help/record.h"
#include "ftcore/region/audit.h"
#include "tests/fuzz/stream_parts.h"

#include <stdlib.h>
#include <string.h>

static const char *const commands[] = {"set nat udp=5",      "clear nat", "clear l3",
                                       "set firewall udp=7", "x",         NULL};
static const struct stream_chain chain = {
    .nfs = "    - nat: { outside: 203.0.113.1, ports: 2000-2031, max_flows: 8, max_fragments: 4 }\n"
           "    - firewall: { rules: firewall.rules, max_flows: 8, max_fragments: 4 }\n"
           "    - forward: { read: true }\n",
    .rules = "allow out from any to any\nallow in icmp from any to any\ndefault deny\n",
    .network = "interfaces:\n"
               "  - { name: inside, side: inside, address: 10.0.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
               "  - { name: outside, side: outside, address: 203.0.113.1/24, mac: \"02:00:00:00:00:11\" }\n"
               "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.254 }\nnext_hops: [203.0.113.254]\n",
    .name = "nat",
    .commands = commands,
};

static _Alignas(64) uint8_t room[FT_RECORD_MAX];
static uint8_t *snapshot; /* of the region, as it is when it was made */
static uint64_t good_end;

/* ---- snapshots ------------------------------------------------------------------------------------- */

static void copy_arenas(bool restore)
{
    const struct ft_region *r = s.region;

    for (unsigned i = 0; i <= (unsigned)r->lanes * r->nfs; i++) {
        const struct ft_arena *a = &r->arenas[i];

        memcpy(restore ? r->base + a->offset : snapshot + a->offset,
               restore ? snapshot + a->offset : r->base + a->offset, a->used);
    }
}

static void apply_snapshot(void)
{
    ft_audit_suspend(s.region);
    copy_arenas(true);
    ft_audit_resume(s.region);
    ft_ring_reset(&s.shared.replay);
    lg_replayed_clear(&s.lane.replayed);
    atomic_store(&s.shared.report.diverged, false);
    /* Another order: what was aborted is over. */
    s.lane.seen.order = ft_order_make(FT_LANE_REPLAY, (atomic_load(&s.group.aborted) >> 8) + 1);
    atomic_store(&s.group.published[0].access, nf_chain_state(s.lane.chain)->access - 1);
}

/* ---- records ----------------------------------------------------------------------------------- */

/* By the wire, as they come. False: it diverged. */
static bool replay(struct ft_record *r)
{
    static uint8_t wire[FT_RECORD_MAX];
    struct ft_record *to = ft_ring_reserve(&s.shared.replay, FT_RECORD_MAX);
    struct ft_fault fault;
    long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, wire, sizeof(wire));

    FUZZ_MUST(to && n > 0, "no room for a record");
    FUZZ_MUST(ft_record_decode(wire, (size_t)n, to, FT_RECORD_MAX, &fault) == n, "%s", fault.text);
    ft_ring_publish(&s.shared.replay, to->size);
    bool went = nd_lane_replay(&s.lane, r->burst);
    bool diverged = atomic_load(&s.shared.report.diverged);

    FUZZ_MUST(went != diverged, "it neither replayed nor diverged");
    FUZZ_MUST(diverged || nf_chain_state(s.lane.chain)->burst == r->burst, "burst %lu is not what came of it",
              r->burst);
    return went;
}

static struct ft_record *next_record(void)
{
    const struct nf_lane_state *state = nf_chain_state(s.lane.chain);
    struct ft_record *r = (struct ft_record *)room;

    *r = (struct ft_record){
        .burst = state->burst + 1, .seq = state->seq, .time = state->time, .access = state->access};
    return r;
}

static void put_value(struct ft_record *r, const void *bytes, uint32_t len)
{
    uint8_t *at = room + ft_record_determinants_at(r) + r->determinants;

    memcpy(at, &len, sizeof(len));
    memcpy(at + sizeof(len), bytes, len);
    r->determinants += (uint32_t)sizeof(len) + len;
}

/* One good record: a command and nothing else. The digest, 0: it diverged. */
static uint64_t good_record(void)
{
    static const char command[] = "set nat udp=5";
    struct ft_record *r = next_record();

    put_value(r, command, sizeof(command) - 1);
    r->size = (uint32_t)ft_record_size(r);
    return replay(r) ? ft_region_digest(s.lane.region) : 0;
}

static void open_once(void)
{
    stream_open(&chain);
    stream_live(NULL);
    if (!snapshot)
        snapshot = malloc(s.region->size);
    FUZZ_MUST(snapshot, "no memory");
    copy_arenas(false);
    apply_snapshot();
    if (good_end)
        return;
    good_end = good_record();
    FUZZ_MUST(good_end, "the good record is none");
    apply_snapshot();
}

/* ---- the input --------------------------------------------------------------------------------- */

/* A packet told by its session: by a number that there may be, or by any. The input; its bytes at `to`. */
static struct ft_input make_told(struct fuzz_input *in, uint8_t how, void *to)
{
    uint8_t side = how & 1;
    struct nf_session_input told = {.key = how & 128 ? fuzz_u32(in) : fuzz_u8(in) & 31};
    uint32_t wire;

    told.ip_bytes = (uint16_t)(how & 2 ? fuzz_u16(in) : 20 + (fuzz_u8(in) & 63));
    told.tcp_flags = fuzz_u8(in);
    told.tos = fuzz_u8(in);
    wire = 14u + told.ip_bytes + (how & 16 ? fuzz_u8(in) : 0) - (how & 32 ? fuzz_u8(in) & 15 : 0);
    memcpy(to, &told, FT_SESSION_BYTES);
    return (struct ft_input){.wire = wire,
                             .taken = FT_SESSION_BYTES,
                             .port = how & 8 ? fuzz_u8(in) : side,
                             .flags = FT_IN_SESSION | side};
}

/* Frames go behind all inputs, so they are made aside first. */
static void add_inputs(struct fuzz_input *in, struct ft_record *r, unsigned count)
{
    static uint8_t bytes[NF_BURST_MAX * STREAM_FRAME_MAX];
    struct ft_input *list = (struct ft_input *)(r + 1);

    for (unsigned i = 0; i < count; i++) {
        uint8_t how = fuzz_u8(in), side = how & 1, frame[STREAM_FRAME_MAX];

        if (how & 64) {
            list[i] = make_told(in, how, bytes + r->bytes);
            r->bytes += FT_SESSION_BYTES;
            r->inputs++;
            continue;
        }

        uint32_t len = how & 2 ? stream_make_arp(in, side, frame) : stream_make(in, side, frame);
        uint32_t taken = how & 4 ? fuzz_u8(in) % (len + 1) : len;

        list[i] = (struct ft_input){.wire = len, .taken = (uint16_t)taken, .port = side, .flags = side};
        if (how & 8)
            list[i].port = fuzz_u8(in);
        if (how & 16)
            list[i].wire = len + fuzz_u8(in);
        if (how & 32)
            frame[fuzz_u8(in) % len] = fuzz_u8(in);
        memcpy(bytes + r->bytes, frame, taken);
        r->bytes += taken;
        r->inputs++;
    }
    memcpy(list + count, bytes, r->bytes);
    memset(room + ft_record_bytes_at(r) + r->bytes, 0, 8);
}

static void add_values(struct fuzz_input *in, struct ft_record *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t how = fuzz_u8(in);
        uint8_t block[64] = {0};
        size_t len;

        if (how < 8) {
            put_value(r, commands[how % 5], (uint32_t)strlen(commands[how % 5]));
        } else if (how < 128) { /* a value that the forwarder reads: a number of eight bytes */
            block[1] = 8;
            memcpy(block + 3, fuzz_bytes(in, 8, &len), len);
            put_value(r, block, 11);
        } else {
            const uint8_t *bytes = fuzz_bytes(in, how & 63, &len);

            put_value(r, bytes, (uint32_t)len);
        }
    }
}

static bool one_record(struct fuzz_input *in)
{
    struct ft_record *r = next_record();
    uint8_t how = fuzz_u8(in), numbers = fuzz_u8(in);
    struct ft_fault fault;

    if (how & 0x40)
        r->flags |= FT_REC_BY_SEQ;
    else
        add_inputs(in, r, how & 7);
    add_values(in, r, how >> 3 & 3);
    memset(room + ft_record_determinants_at(r) + r->determinants, 0, 8);
    r->accesses = numbers & 15;
    r->time += (uint64_t)(numbers & 0x30) << 26;
    if (how & 0x80) {
        r->digest = fuzz_u8(in);
        r->flags |= r->digest & 1 ? FT_REC_SLICE : FT_REC_DIGEST;
        r->slice = r->digest & 1 ? r->digest >> 1 : 0;
    }
    if (numbers & 0x80)
        *(numbers & 0x40 ? &r->seq : &r->time) += (uint64_t)(int8_t)fuzz_u8(in);
    else if (numbers & 0x40)
        r->burst += (uint64_t)(int8_t)fuzz_u8(in);
    r->size = (uint32_t)ft_record_size(r);
    return record_check(r, r->size, &fault) != 0 || replay(r);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};

    open_once();
    while (fuzz_left(&in))
        if (!one_record(&in))
            apply_snapshot();
    apply_snapshot();
    FUZZ_MUST(good_record() == good_end, "what came before shows in a state that a snapshot began");
}

static void seeds(void)
{
    static const uint8_t empty[] = {0, 0, 0, 0x10, 8, 0, 0, 1, 0, 0, 0, 0, 4, 2};
    static const uint8_t ports[] = {2, 0, 8, 0, 0, 4, 2, 200, 10, 0x0b, 1, 255};
    static const uint8_t twice[] = {0x10, 0, 0, 1, 0, 0, 8, 0, 0};
    static const uint8_t values[] = {0x18, 3, 9,   1,   2, 3, 4, 5, 6, 7, 8,
                                     0x90, 0, 255, 255, 1, 0, 0, 0, 0, 0, 0};

    /* A flow begins; then a packet of it, an answer, and one of a session that there is not. The second
     * number is of the accesses that the forwarder makes. */
    static const uint8_t told[] = {1, 3, 0,    0, 4,  0x10, 2, 1, 2, 0x40, 0, 40, 0x10, 0xb8,
                                   1, 2, 0x41, 1, 40, 0x12, 0, 1, 1, 0x40, 9, 40, 0x10, 0};
    static const uint8_t any[] = {1, 2,    0xc0, 0xfe, 0xff, 0xff, 0xff, 40, 0x10, 0, 1,
                                  2, 0xc3, 1,    0,    0,    0,    0,    32, 0x10, 0};

    fuzz_seed("told", told, sizeof(told));
    fuzz_seed("told-any", any, sizeof(any));
    fuzz_seed("empty", empty, sizeof(empty));
    fuzz_seed("ports", ports, sizeof(ports));
    fuzz_seed("two-commands", twice, sizeof(twice));
    fuzz_seed("values", values, sizeof(values));
}

FUZZ_TARGET(standby, "records that no lane made, to a standby's lane", 256)
