/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips in front of a receiver, behind a line that loses packets: a sender that sends two streams at once, of
 * which one has what a rule drops, segment by segment from the one or the other. What the receiver has read
 * never has it, whichever copy of a byte it prefers.
 */
#include "tests/help/ips.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define RULES  "drop tcp any any -> any 80 (content:\"attack\"; sid:7;)\n"
#define STREAM 48u
#define FIRST  101u

static uint64_t draws;

static uint32_t below(uint32_t n)
{
    return help_below(&draws, n);
}

/* ---- the receiver --------------------------------------------------------------------------------- */

struct receiver {
    char bytes[STREAM + 1];
    bool has[STREAM];
    uint32_t next; /* the application has read what is in front of it */
    bool last;     /* of an overlap the last copy wins, else the first */
};

static void receive(struct receiver *r, uint32_t at, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (at + i >= r->next && (!r->has[at + i] || r->last)) {
            r->bytes[at + i] = bytes[i];
            r->has[at + i] = true;
        }
    while (r->next < STREAM && r->has[r->next])
        r->next++;
}

static bool has_read(const struct receiver *r, const char *text)
{
    char read[STREAM + 1];

    memcpy(read, r->bytes, r->next);
    read[r->next] = 0;
    return strstr(read, text) != NULL;
}

/* ---- the sender ----------------------------------------------------------------------------------- */

static void draw_streams(char stream[2][STREAM + 1])
{
    for (uint32_t i = 0; i < STREAM; i++)
        stream[0][i] = stream[1][i] = "atck."[below(5)];
    stream[0][STREAM] = stream[1][STREAM] = 0;
    memcpy(stream[1] + below(STREAM - 6), "attack", 6);
}

static void send_noise(const struct receiver *r)
{
    static const uint8_t flags[] = {NFT_RST, NFT_RST | NFT_ACK, NFT_SYN, NFT_ACK, NFT_FIN};

    help_ips_tcp(NF_INSIDE, flags[below(5)], FIRST + r->next + 500 + below(9000), 501, "");
}

/* One of the two, somewhere near what the receiver awaits. */
static void send_part(struct receiver *r, const char *stream, unsigned loss)
{
    uint32_t from = r->next > 4 ? r->next - 4 : 0, at = from + below(16), n = 1 + below(12);
    char part[16];

    if (at >= STREAM)
        return;
    n = n < STREAM - at ? n : STREAM - at;
    memcpy(part, stream + at, n);
    part[n] = 0;
    if (help_ips_client(FIRST + at, part) && below(100) >= loss)
        receive(r, at, part, n);
    if (below(3))
        help_ips_tcp(NF_OUTSIDE, NFT_ACK, 501, FIRST + r->next, "");
}

static void a_receiver_never_reads_what_a_rule_drops(void)
{
    static const char *const rooms[] = {IPS(), IPS(", flow_pieces: 6"), IPS(", stream_pieces: 3"),
                                        IPS(", loose: false")};
    uint32_t read = 0, contradicted = 0, blocked = 0, whole = 0;

    for (uint32_t round = 0; round < 2000; round++) {
        struct receiver r = {.last = round & 1};
        char stream[2][STREAM + 1];
        unsigned loss = round % 3 * 40, attacks = round % 5 * 20;

        draws = 77 + round;
        draw_streams(stream);
        if (strstr(stream[0], "attack"))
            continue;
        help_ips_open(rooms[round / 2 % 4], RULES);
        help_ips_begin();
        for (unsigned i = 0; i < 120; i++) {
            send_part(&r, stream[below(100) < attacks], loss);
            if (below(20) == 0)
                send_noise(&r);
        }
        if (has_read(&r, "attack"))
            fail_msg("round %u: the receiver has read %.*s", round, (int)r.next, r.bytes);
        read += r.next;
        whole += !attacks && r.next == STREAM;
        contradicted += help_ips_counter("overlap_differs") != 0;
        blocked += help_ips_counter("matches") != 0;
        assert_true(attacks || !help_ips_counter("overlap_differs"));
        help_chain_close(&help_ips);
    }
    print_message("# %u bytes read, %u whole, %u contradicted, %u blocked\n", read, whole, contradicted,
                  blocked);
    assert_true(read > 20000 && whole > 200 && contradicted > 500 && blocked > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(a_receiver_never_reads_what_a_rule_drops),
    };

    return cmocka_run_group_tests_name("ips_receiver", tests, NULL, NULL);
}
