/* SPDX-License-Identifier: Apache-2.0 */
/* An NF that declares that it reads headers and touches payload all the same ends the audited process with
 * its name, the byte and the packet's clock; one that keeps its word, or has declared payload, goes on. */
#include "tests/help/test.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nftest/frames.h"
#include "tests/help/program.h"

#define PAYLOAD     900u
#define UDP_HEADERS 64u /* 14 + 20 + 8, but no less than 64 */

/* What the NF does to each packet. */
static void (*touch)(struct nf_packet *p);
static uint64_t seen;

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++)
        touch(packets[i]);
}

static const struct nf_module header_nf = {.name = "header_nf", .process = process},
                              payload_nf = {
                                  .name = "payload_nf", .reads = NF_READS_PAYLOAD, .process = process};

struct world {
    struct ft_region *region;
    struct nf_chain *chain;
    struct nf_chain_config config;
    uint8_t frames[3][NFT_FRAME_MAX];
    struct nf_packet packets[3];
};

static void open_world(struct world *w, const struct nf_module *first, const struct nf_module *second,
                       bool audit)
{
    const struct ft_region_config how = {.name = "test", .shared_size = 1 << 20, .audit = audit};

    memset(w, 0, sizeof(*w));
    w->config = (struct nf_chain_config){
        .name = "test", .lanes = 1, .count = second ? 2 : 1, .nfs = {{first, NULL}, {second, NULL}}};
    assert_int_equal(nf_chain_region(&w->region, &w->config, &how, NULL), 0);
    assert_int_equal(nf_chain_make(&w->chain, &w->config, w->region, 0, 1, NULL), 0);
}

static void close_world(struct world *w)
{
    nf_chain_free(w->chain);
    ft_region_close(w->region);
}

/* A burst of three: UDP without payload, UDP and TCP with 900 bytes of it. */
static void run(struct world *w, uint64_t burst)
{
    static const struct nft_spec specs[3] = {
        {.src = NFT_IP(10, 0, 0, 1), .dst = NFT_IP(192, 0, 2, 1), .sport = 9, .dport = 80, .proto = 17},
        {.src = NFT_IP(10, 0, 0, 2),
         .dst = NFT_IP(192, 0, 2, 1),
         .sport = 9,
         .dport = 80,
         .proto = 17,
         .payload = PAYLOAD},
        {.src = NFT_IP(10, 0, 0, 3),
         .dst = NFT_IP(192, 0, 2, 1),
         .sport = 9,
         .dport = 80,
         .proto = 6,
         .tcp = NFT_SYN,
         .options = 6,
         .payload = PAYLOAD},
    };

    for (unsigned i = 0; i < 3; i++) {
        uint32_t len = nft_frame(&specs[i], w->frames[i]);

        w->packets[i] = (struct nf_packet){.data = w->frames[i], .len = len, .have = len};
    }
    nf_chain_run(w->chain, burst, burst, w->packets, 3);
    ft_audit_check(w->region, 0);
}

static void read_headers(struct nf_packet *p)
{
    for (uint32_t i = 0; i < nf_packet_header_bytes(p); i++)
        seen += p->data[i];
    nf_packet_set_saddr(p, p->saddr ^ 0x01000000);
}

static void read_last(struct nf_packet *p)
{
    seen += p->data[p->have - 1];
}

static void read_first(struct nf_packet *p)
{
    if (p->proto == 6)
        seen += p->data[p->payload];
}

static void write_behind(struct nf_packet *p)
{
    if (p->proto == 17 && p->len > 100)
        p->data[UDP_HEADERS] = 1;
}

static void run_first(void *arg)
{
    run(arg, 1);
}

static void dies(const struct nf_module *first, const struct nf_module *second,
                 void (*how)(struct nf_packet *), const char *text)
{
    static struct world w;

    touch = how;
    open_world(&w, first, second, true);
    assert_dies(run_first, &w, text);
    close_world(&w);
}

TEST(payload_that_is_touched_is_named)
{
    dies(&header_nf, NULL, read_first,
         "audit: NF 'header_nf' (lane 0) touched byte 78 of the frame of seq 3, which has 78 bytes of "
         "headers; it declares that it reads headers\n");
    dies(&header_nf, NULL, read_last, "(lane 0) touched byte 941 of the frame of seq 2, which has 64 bytes");
    dies(&header_nf, NULL, write_behind,
         "(lane 0) touched byte 64 of the frame of seq 2, which has 64 bytes");
}

/* Beside one that reads payload, where frames are captured whole, the word holds all the same. */
TEST(each_nf_declares_for_itself)
{
    dies(&payload_nf, &header_nf, read_last, "audit: NF 'header_nf' (lane 0) touched byte 941");
    dies(&header_nf, &payload_nf, read_last, "audit: NF 'header_nf' (lane 0) touched byte 941");
}

/* The frames are where they were, with what was changed in their headers, and nothing else. */
TEST(who_keeps_the_word_goes_on)
{
    static struct world w, plain;

    touch = read_headers;
    for (unsigned audit = 0; audit < 2; audit++) {
        struct world *now = audit ? &w : &plain;

        open_world(now, &header_nf, NULL, audit);
        for (uint64_t burst = 1; burst <= 3; burst++) {
            run(now, burst);
            for (unsigned i = 0; i < 3; i++)
                assert_ptr_equal(now->packets[i].data, now->frames[i]);
        }
        assert_int_equal(now->frames[0][29], 0); /* of 10.0.0.1 */
        close_world(now);
    }
    assert_memory_equal(w.frames, plain.frames, sizeof(w.frames));
}

TEST(who_declares_payload_reads_it)
{
    static struct world w;

    touch = read_last;
    open_world(&w, &payload_nf, NULL, true);
    run(&w, 1);
    close_world(&w);
    touch = write_behind; /* and without an audit nobody looks */
    open_world(&w, &header_nf, NULL, false);
    run(&w, 1);
    assert_int_equal(w.frames[1][UDP_HEADERS], 1);
    close_world(&w);
}
