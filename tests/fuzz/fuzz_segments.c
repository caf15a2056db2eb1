/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: segments of one connection, cut, doubled, overlapped, out of order, with other bytes, ends, resets
 * and acknowledgements of any kind. What is handed over is in order, without a byte that was not sent in that
 * place; until a byte is acknowledged no other one is taken in its place; what is kept stays within its
 * bounds and is given back. Then the input may damage the pool, as a peer could that sends one: the check
 * refuses it, or the chain runs on it, and what it leaves passes the check.
 */
#include "nflib/chain/chain.h"
#include "nflib/module/env.h"
#include "nflib/net/packet.h"
#include "nflib/net/tcp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/help/frame.h"

#include <arpa/inet.h>
#include <string.h>

#define PIECES 8u
#define FIRST  0xfffffe00u /* sequence numbers wrap soon */

static struct ft_region *region;
static struct nf_chain *chain;
static uint64_t now, position[2]; /* of the next byte */
static bool honest;               /* no other bytes were ever sent */
static bool ends;                 /* an end was, which other bytes or ends may contradict */
static uint32_t kept;             /* more than the pool may have, when it is wrong */

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 31 + (seq >> 8));
}

/* ---- the NF --------------------------------------------------------------------------------------- */

struct slot {
    struct nf_stream pair[2];
};
struct taker {
    struct nf_streams *streams;
};
struct reading {
    const struct nf_stream *pair;
};

static void read_bytes(void *arg, const struct nf_stream_bytes *bytes)
{
    const struct reading *r = arg;
    uint32_t first = r->pair[bytes->reply].start + (uint32_t)bytes->at;

    if (bytes->at == 0)
        position[bytes->reply] = 0; /* the stream begins anew */
    FUZZ_MUST(bytes->at == position[bytes->reply], "bytes at %lu, expected %lu", bytes->at,
              position[bytes->reply]);
    position[bytes->reply] = bytes->at + bytes->len;
    for (uint32_t i = 0; i < bytes->len && honest; i++)
        FUZZ_MUST(bytes->bytes[i] == byte_at(first + i), "byte %lu is 0x%02x, expected 0x%02x", bytes->at + i,
                  bytes->bytes[i], byte_at(first + i));
}

/* ---- what has passed ------------------------------------------------------------------------------ */

#define PASSED 8192u

static bool damaged;               /* then streams are other ones than what has passed */
static uint16_t passed[2][PASSED]; /* by sequence number: the byte + 1, until it is acknowledged */
static uint32_t claimed[2];        /* the highest acknowledgement that came, from FIRST - 1 */

/* `acked`: of the packet's stream. What its receiver has, as it has said itself, it does not take once more.
 */
static void note_passed(const struct nf_packet *p, bool reply, enum nf_stream_taken taken, uint32_t acked)
{
    uint32_t n, seq = ntohl(nf_get32(p->data + p->l4 + 4)), ack = ntohl(nf_get32(p->data + p->l4 + 8)), has;
    const uint8_t *bytes = nf_packet_payload(p, &n);

    if (p->tcp_flags & NF_TCP_SYN) /* it may be of another connection */
        memset(passed, 0, sizeof(passed));
    if (p->tcp_flags & NF_TCP_RST || damaged)
        return;
    if (p->tcp_flags & NF_TCP_ACK && taken != NF_STREAM_WRONG) { /* also where its bytes are not taken */
        for (uint32_t at = FIRST - 1; at != ack && at - FIRST + 1 < PASSED; at++)
            passed[!reply][at % PASSED] = 0;
        if (ack - (FIRST - 1) > claimed[!reply])
            claimed[!reply] = ack - (FIRST - 1);
    }
    if (taken >= NF_STREAM_DIFFERS)
        return;
    has = acked - (FIRST - 1) < claimed[reply] ? acked - (FIRST - 1) : claimed[reply];
    for (uint32_t i = 0; i < n && !(p->tcp_flags & NF_TCP_SYN); i++) {
        uint16_t *was = &passed[reply][(seq + i) % PASSED];

        FUZZ_MUST(!*was || *was == bytes[i] + 1, "byte %u of %u passes as 0x%02x, and has as 0x%02x", i, seq,
                  bytes[i], *was - 1);
        /* All of what is old has passed, or was acknowledged before a SYN. */
        if (taken != NF_STREAM_OLD && seq + i - (FIRST - 1) >= has)
            *was = (uint16_t)(bytes[i] + 1);
    }
}

/* Of the pool, by what the NF tells of its tables. */
static uint32_t pieces_used(const struct nf *nf)
{
    const struct nf_table *table = nf->env->tables.list;

    while (table->nf != nf->index || strcmp(table->name, "stream_pieces") != 0)
        table++;
    return (uint32_t)nf_table_entries(table);
}

static void take(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t at)
{
    const struct taker *taker = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct nf_session *s = nf_session_mine(nf, p);
        struct reading reading;
        const struct nf_stream_reader reader = {read_bytes, &reading};
        struct nf_stream *pair;
        enum nf_stream_taken taken;
        bool reply = p->flow & NF_FLOW_REPLY;

        if (!s && !(s = nf_session_join(nf, p, at)))
            continue;
        pair = NF_SESSION_EDIT(nf, s, struct slot)->pair;
        reading.pair = pair;
        if (nf_tcp_is_request(p->tcp_flags) && nf_stream_is_over(pair))
            nf_stream_renew(nf, taker->streams, pair);
        taken = nf_stream_take(nf, taker->streams, pair, p, reply, &reader);
        note_passed(p, reply, taken, pair[reply].acked);
        FUZZ_MUST(taken != NF_STREAM_DIFFERS || !honest || ends, "bytes differ that were sent once");
        FUZZ_MUST(pair[reply].pieces <= PIECES / 2, "%u pieces are kept", pair[reply].pieces);
        kept = pieces_used(nf);
        FUZZ_MUST(kept <= PIECES && kept == (uint32_t)pair[0].pieces + pair[1].pieces, "%u pieces are used",
                  kept);
    }
}

static const struct nf_streams_config streams = {.pieces = PIECES, .flow_pieces = PIECES / 2, .loose = true};

static uint64_t arena(const void *config)
{
    (void)config;
    return nf_streams_bytes(&streams);
}

static bool make(struct nf *nf)
{
    struct taker *taker = nf->state;

    taker->streams = nf_streams_make(nf, &streams);
    NF_CONSTANT(nf, taker);
    return taker->streams;
}

static void ended(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t at)
{
    const struct taker *taker = nf->state;

    (void)why;
    (void)at;
    nf_stream_release(nf, taker->streams, NF_SESSION_EDIT(nf, s, struct slot)->pair);
    kept = pieces_used(nf);
}

static void flows(const void *config, struct nf_flows_config *wants)
{
    (void)config;
    wants->max_flows = 4;
    nf_timeouts_fill(wants->timeouts, 60);
}

static int check_state(const struct nf *nf, struct nf_check *c)
{
    return nf_streams_check(nf, c, ((const struct taker *)nf->state)->streams, 0);
}

static const struct nf_module module = {.name = "taker",
                                        .reads = NF_READS_PAYLOAD,
                                        .state_size = sizeof(struct taker),
                                        .arena = arena,
                                        .make = make,
                                        .process = take,
                                        .check_state = check_state,
                                        .session_size = sizeof(struct slot),
                                        .flows = flows,
                                        .session_end = ended};

/* ---- what comes ----------------------------------------------------------------------------------- */

static void open_chain(void)
{
    static struct nf_chain_config config = {
        .name = "fuzz", .lanes = 1, .count = 1, .nfs = {{.module = &module}}};
    static const struct ft_region_config how = {.name = "fuzz", .shared_size = 64 << 10};
    struct ft_fault fault = {""};

    if (chain)
        nf_chain_free(chain);
    if (region)
        ft_region_wipe(region);
    else
        FUZZ_MUST(nf_chain_region(&region, &config, &how, &fault) == 0, "%s", fault.text);
    FUZZ_MUST(nf_chain_make(&chain, &config, region, 0, 7, &fault) == 0, "%s", fault.text);
    now = NF_SECOND;
    damaged = false;
    position[0] = position[1] = 0;
    memset(passed, 0, sizeof(passed));
    claimed[0] = claimed[1] = 0;
    honest = true;
    ends = false;
    kept = 0;
}

static void run_packet(struct nf_packet *p, uint32_t n)
{
    nf_chain_run(chain, nf_chain_state(chain)->burst + 1, now, p, n);
}

static void send_segment(struct fuzz_input *in)
{
    static uint8_t frame[NFT_FRAME_MAX], payload[1400];
    uint8_t how = fuzz_u8(in), way = how & 1;
    uint32_t at = fuzz_u16(in) & 0xfff, len = fuzz_u8(in), ack = fuzz_u16(in) & 0xfff;
    struct help_segment s = {
        .from = (uint8_t)(1 + way), .to = (uint8_t)(2 - way), .sport = 5, .dport = 5, .proto = 6};

    len = how & 2 ? len * 5 : len;
    s.flags = (uint8_t)(how & 4 ? NFT_ACK : 0);
    if ((how & 0x18) == 0x08)
        s.flags |= NFT_SYN;
    else if ((how & 0x18) == 0x10)
        s.flags |= NFT_FIN;
    else if ((how & 0x38) == 0x38)
        s.flags |= NFT_RST;
    ends |= s.flags & NFT_FIN;
    s.seq = FIRST + (s.flags & NFT_SYN ? (at >> 9) * 100 : 1 + at);
    s.ack = FIRST + ack;
    s.payload = payload;
    s.len = len;
    for (uint32_t i = 0; i < len; i++)
        payload[i] = byte_at(s.seq + (s.flags & NFT_SYN ? 1 : 0) + i);
    if (how & 0x40 && len && how & 0x80) {
        payload[at % len] ^= 1;
        honest = false;
    }
    uint32_t n = help_segment_frame(&s, frame);
    struct nf_packet p = {.data = frame, .len = n, .have = n, .side = way, .in_port = way};

    nf_packet_parse(&p);
    run_packet(&p, 1);
}

static bool damage(struct fuzz_input *in)
{
    const struct ft_arena *a = ft_region_arena(region, 0, 1);
    struct ft_fault fault = {""};

    for (unsigned words = 1 + (fuzz_u8(in) & 3); words; words--) {
        uint64_t at = fuzz_u16(in) % (a->used / 4) * 4;

        region->base[a->offset + at] ^= fuzz_u8(in);
    }
    honest = false;
    damaged = true;
    return nf_chain_check(chain, NULL, NULL, &fault) == 0;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct ft_fault fault = {""};
    uint8_t harm = fuzz_u8(&in);

    open_chain();
    for (uint32_t n = 0; fuzz_left(&in) && n < 400; n++) {
        send_segment(&in);
        FUZZ_MUST(nf_chain_check(chain, NULL, NULL, &fault) == 0, "%s", fault.text);
        if ((harm & 7) == 7 && n == harm >> 3 && !damage(&in))
            return;
    }
    now += 1000 * NF_SECOND;
    for (unsigned i = 0; i < 4; i++)
        run_packet(NULL, 0);
    FUZZ_MUST(kept == 0, "%u pieces are left of sessions that have ended", kept);
}

static void seeds(void)
{
    static struct fuzz_output out;
    static const char *const names[] = {"in-order", "shuffled", "differs", "damaged"};

    for (unsigned kind = 0; kind < 4; kind++) {
        out.len = 0;
        fuzz_put_u8(&out, (uint8_t)(kind == 3 ? 7 | 9 << 3 : 0));
        for (unsigned i = 0; i < 40; i++) {
            fuzz_put_u8(&out, (uint8_t)(i == 0 ? 0x08 : i % 5 == 4 ? 5 : kind == 2 && i % 7 == 0 ? 0xc4 : 4));
            fuzz_put_u16(&out, (uint16_t)(kind ? (i ^ 3) * 90 : i * 100));
            fuzz_put_u8(&out, (uint8_t)(kind ? 120 : 100));
            fuzz_put_u16(&out, (uint16_t)(i % 10 ? 0 : i * 100));
        }
        fuzz_seed(names[kind], out.bytes, out.len);
    }
}

FUZZ_TARGET(segments, "segments of a connection", 2048)
