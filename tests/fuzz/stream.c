/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a stream; see stream.h. What a byte of the input means, by its low four bits (bit 4: from outside):
 *
 *   0, 1    a frame of our making, see stream_frame.c
 *   2       the same frame as the last one, a byte of it changed: offset, value, whether sums are made right
 *   3       the answer to the last frame that left; a byte of TCP flags
 *   4       the answer to one of the last eight frames, in or out
 *   5       an ICMP error about one of the last eight frames
 *   6       ARP; with bit 7 IPv6
 *   7       a frame of bytes as they come: length, bytes
 *   8       the last frame again, a byte's number of times
 *   9       the last frame, cut to a length
 *   10, 11  the burst ends, and time has passed before it: a byte, about 2^(its low six bits / 2) * 100 us
 *   12      a command of the target's list
 *   13      a command of the input's own text
 *   14, 15  the burst ends
 */
#include "tests/fuzz/stream_parts.h"
#include "ftcore/region/audit.h"
#include "nftest/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX (1ull << 56)

struct stream s;

/* ---- making bursts ----------------------------------------------------------------------------- */

void stream_remember(const uint8_t *frame, uint32_t len, uint8_t side)
{
    struct buffer *b = &s.reference[s.references % REFERENCES];

    memcpy(b->frame, frame, len);
    b->len = len;
    s.reference_side[s.references++ % REFERENCES] = side;
}

static const struct buffer *reference(uint32_t which, uint8_t *side)
{
    uint32_t n = s.references < REFERENCES ? s.references : REFERENCES;

    if (n == 0)
        return NULL;
    *side = s.reference_side[which % n];
    return &s.reference[which % n];
}

static const struct buffer *last_reference(uint8_t *side)
{
    return s.references ? reference((s.references - 1) % REFERENCES, side) : NULL;
}

static void add_frame(struct tape_burst *b, const uint8_t *frame, uint32_t len, uint8_t side)
{
    if (len < 14 || len > STREAM_FRAME_MAX || b->n == NF_BURST_MAX || s.frame_count == FRAMES)
        return;
    s.frames[s.frame_count++] = (struct tape_frame){fuzz_copy(frame, len), len, side};
    b->n++;
    stream_remember(frame, len, side);
}

static void add_changed(struct tape_burst *b)
{
    uint8_t frame[STREAM_FRAME_MAX], side, at = fuzz_u8(&s.in), value = fuzz_u8(&s.in);
    const struct buffer *from = last_reference(&side);
    bool mend = fuzz_u8(&s.in) & 1;

    if (!from)
        return;
    memcpy(frame, from->frame, from->len);
    frame[at % from->len] = value;
    if (mend && from->len >= 34 && (frame[14] & 15) >= 5 && 14u + (frame[14] & 15) * 4u <= from->len)
        nft_ip_checksum(frame, from->len);
    add_frame(b, frame, from->len, side);
}

static void add_about(struct tape_burst *b, bool error, uint8_t which, uint8_t how)
{
    uint8_t frame[STREAM_FRAME_MAX], side = 0;
    const struct buffer *from = reference(which, &side);
    uint32_t len = 0;

    if (from && error)
        len = stream_error(from->frame, from->len, how, frame);
    else if (from)
        len = stream_answer(from->frame, from->len, how, frame);
    add_frame(b, frame, len, !side);
}

static void add_answer(struct tape_burst *b)
{
    uint8_t frame[STREAM_FRAME_MAX], flags = fuzz_u8(&s.in);

    if (s.last_out.len)
        add_frame(b, frame, stream_answer(s.last_out.frame, s.last_out.len, flags, frame), s.last_out_side);
}

static void add_raw(struct tape_burst *b, uint8_t side)
{
    uint8_t len = fuzz_u8(&s.in);
    size_t have;
    const uint8_t *bytes = fuzz_bytes(&s.in, len, &have);

    add_frame(b, bytes, (uint32_t)have, side);
}

static void add_again(struct tape_burst *b, bool cut)
{
    uint8_t side, n = fuzz_u8(&s.in), copy[STREAM_FRAME_MAX];
    const struct buffer *from = last_reference(&side);
    uint32_t len = from ? from->len : 0;

    if (!from)
        return;
    memcpy(copy, from->frame, len);
    for (unsigned i = 0; !cut && i < (n & 31u); i++)
        add_frame(b, copy, len, side);
    if (cut)
        add_frame(b, copy, n < len ? n : len, side);
}

static void set_command(struct tape_burst *b, bool own)
{
    unsigned count = 0, which = fuzz_u8(&s.in);
    size_t len = 0;

    while (s.chain->commands && s.chain->commands[count])
        count++;
    if (own) {
        const uint8_t *text = fuzz_bytes(&s.in, which & 0x3f, &len);

        snprintf(b->command, sizeof(b->command), "%s %s %.*s", which & 0x40 ? "clear" : "set", s.chain->name,
                 (int)len, (const char *)text);
    } else if (count) {
        const char *text = s.chain->commands[which % count];
        int verb = (int)strcspn(text, " ");

        snprintf(b->command, sizeof(b->command), "%.*s %s%s", verb, text, s.chain->name, text + verb);
    }
}

static void pass_time(struct tape_burst *b)
{
    uint8_t how = fuzz_u8(&s.in);
    uint64_t step = 100000ull << (how & 63) / 2,
             time = b->time + step + (how & 64 ? step / 2 : 0) + (how >> 7);

    if (time < TIME_MAX)
        b->time = time;
}

/* True: the burst ends here. */
static bool step(struct tape_burst *b, uint8_t op)
{
    uint8_t side = op >> 4 & 1, frame[STREAM_FRAME_MAX];

    switch (op & 15) {
    case 0:
    case 1:
        add_frame(b, frame, stream_make(&s.in, side, frame), side);
        return false;
    case 2:
        add_changed(b);
        return false;
    case 3:
        add_answer(b);
        return false;
    case 4:
    case 5:
        add_about(b, op & 1, op >> 5, fuzz_u8(&s.in));
        return false;
    case 6:
        add_frame(b, frame,
                  op & 0x80 ? stream_make_ipv6(&s.in, side, frame) : stream_make_arp(&s.in, side, frame),
                  side);
        return false;
    case 7:
        add_raw(b, side);
        return false;
    case 8:
    case 9:
        add_again(b, op & 1);
        return false;
    case 10:
    case 11:
        pass_time(b);
        return true;
    case 12:
    case 13:
        set_command(b, op & 1);
        return false;
    default:
        return true;
    }
}

/* The next burst on the tape: of the input, or one of the last, in which nothing but time comes. */
bool stream_next(uint64_t last)
{
    struct tape_burst *b = &s.bursts[last];

    if (last < s.burst_count)
        return true;
    if (!s.making || last == BURSTS)
        return false;
    *b = (struct tape_burst){.first = s.frame_count, .time = last ? s.bursts[last - 1].time : 1000000000ull};
    if (fuzz_left(&s.in) && last < BURSTS - LAST_IDLE) {
        while (fuzz_left(&s.in) && !step(b, fuzz_u8(&s.in)))
            ;
    } else if (s.idles < LAST_IDLE) {
        b->time += 1000000ull << 4 * s.idles++;
    } else {
        return false;
    }
    s.burst_count++;
    return true;
}

void stream_run(const struct stream_chain *chain, const uint8_t *data, size_t size)
{
    stream_open(chain);
    s.in = (struct fuzz_input){data, data + size};
    s.frame_count = s.burst_count = s.idles = s.references = 0;
    s.last_out.len = 0;
    s.making = true;
    stream_live(&s.results[0]);
    s.making = false;
    ft_audit_suspend(s.region); /* the same code on the same inputs: once is enough */
    stream_live(&s.results[1]);
    ft_audit_resume(s.region);
    stream_compare(&s.results[0], &s.results[1]);
    stream_replay(&s.results[0]);
    for (uint32_t i = 0; i < s.frame_count; i++)
        free(s.frames[i].bytes);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

void stream_seeds(void)
{
    /* SYN from inside, the answer, a few more, time until it is forgotten */
    static const uint8_t tcp[] = {0, 0,    0,  4, 0x02, 14, 3,  0,    14, 0,  0, 0,
                                  4, 0x10, 14, 3, 0,    2,  47, 0x11, 1,  10, 60};
    static const uint8_t udp[] = {0,  1, 0x92, 8, 0, 2,  0x92, 9, 14, 3,    0, 10,
                                  30, 3, 0,    8, 5, 10, 50,   0, 1,  0x92, 8};
    static const uint8_t icmp[] = {0, 0,    0, 0x80, 0, 14, 3,    0, 14, 5, 3, 5,
                                   7, 0x25, 1, 14,   0, 1,  0x92, 8, 14, 5, 1};
    static const uint8_t fragment[] = {0,    0,    0x92, 0x2f, 0x40, 0x80, 0,  0, 0x92,
                                       0x2f, 0x40, 1,    14,   3,    0x40, 10, 44};
    static const uint8_t outside[] = {16, 0x40, 1, 4,  2, 16, 0x41, 1, 4,  2, 16,
                                      8,  0x92, 9, 14, 3, 2,  4,    0, 14, 9, 20};
    static const uint8_t arp[] = {6, 0x18, 1,  22, 0x0b, 1,  6,  1, 2, 14, 0, 0, 0,
                                  4, 2,    22, 3,  6,    10, 40, 0, 0, 0,  4, 2};
    /* A neighbour that asks, a connection, its answer from outside, an error about it. */
    static const uint8_t ipv6[] = {0x86, 0x90, 0x42, 0x0a, 2,    14,   0x86, 0x00, 0,    1, 2,
                                   14,   0x96, 0x00, 0,    8,    0x12, 14,   0x96, 2,    4, 0x20,
                                   14,   0x86, 0x00, 2,    0x08, 14,   0x86, 0x00, 0x1a, 1, 14};
    static const uint8_t commands[] = {0, 0,   0,   4,   2,   14,  12,  0,   14, 12, 1,    0,   0,  0,
                                       4, 2,   14,  12,  2,   10,  20,  12,  3,  14, 12,   4,   14, 13,
                                       7, 'a', 'b', '=', '1', '0', '0', '0', 14, 13, 0x42, 'x', 'y'};
    static const uint8_t raw[] = {7,  34, 2, 0, 0, 0, 0, 1, 2, 0,  0, 0, 0, 2,   8,  0,   0x45, 0, 0,
                                  20, 0,  0, 0, 0, 9, 6, 0, 0, 10, 0, 0, 2, 198, 51, 100, 7,    14};

    fuzz_seed("tcp", tcp, sizeof(tcp));
    fuzz_seed("udp", udp, sizeof(udp));
    fuzz_seed("icmp", icmp, sizeof(icmp));
    fuzz_seed("fragment", fragment, sizeof(fragment));
    fuzz_seed("outside", outside, sizeof(outside));
    fuzz_seed("arp", arp, sizeof(arp));
    fuzz_seed("ipv6", ipv6, sizeof(ipv6));
    fuzz_seed("commands", commands, sizeof(commands));
    fuzz_seed("raw", raw, sizeof(raw));
}
