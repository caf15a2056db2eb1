/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of NFs: a chain made from the lines of a chain file in a region with audit on, driven burst by
 * burst, and captures to drive it with. Everything here fails the test when it cannot do its work.
 */
#ifndef TESTS_HELP_CHAIN_H
#define TESTS_HELP_CHAIN_H

#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/help/program.h"
#include "tests/help/frame.h"

#define HELP_SECOND 1000000000ull
struct nd_config;

struct help_chain {
    struct nd_config *config;
    struct ft_region *region;
    struct nf_chain *chain;
    uint64_t seed, burst, now;
    struct ft_fault fault; /* of the last help_chain_command */
    char dir[64];
};

/*
 * `nfs`: the items of the list, "- nat: { … }" each on a line. `rules`: content of the file "firewall.rules"
 * beside it, or NULL. Or `file`: a chain file instead. One that
 * `h` has still open is closed before.
 */
void help_chain_open(struct help_chain *h, const char *nfs, const char *rules, uint64_t seed);

void help_chain_open_file(struct help_chain *h, const char *file, uint64_t seed);

/* With seed 1, and its first burst at one second. */
void help_chain_begin(struct help_chain *h, const char *nfs, const char *rules);

/* The same chain again in the same region, wiped. */
void help_chain_again(struct help_chain *h);

void help_chain_close(struct help_chain *h);

/*
 * A test without a state. What help_chain_before points to is called inside the test and may open
 * the chain: cmocka sets its handler of SIGSEGV before each test, and the audit's must come later. A chain
 * that is still open behind the test is closed.
 */
#define CHAIN_TEST(name)                                                                                     \
    static void name(void);                                                                                  \
    TEST_LIST(name##_is_listed, #name, help_chain_case, NULL, help_chain_case_end, (void *)(name))           \
    static void name(void)

/* A test of nat, and the same of nat64: `nf` is the name. */
#define NATS_TEST(name)                                                                                      \
    static void name(const char *nf);                                                                        \
    CHAIN_TEST(nat_##name)                                                                                   \
    {                                                                                                        \
        name("nat");                                                                                         \
    }                                                                                                        \
    CHAIN_TEST(nat64_##name)                                                                                 \
    {                                                                                                        \
        name("nat64");                                                                                       \
    }                                                                                                        \
    static void name(const char *nf)

extern void (*help_chain_before)(void); /* NULL: nothing */
#define CHAIN_BEGINS(before)                                                                                 \
    __attribute__((constructor)) static void chain_begins(void)                                              \
    {                                                                                                        \
        help_chain_before = before;                                                                          \
    }

void help_chain_case(void **test);
int help_chain_case_end(void **test);

/* What nd_config_read says against such a chain, until the next call; "": nothing. The others fail the test
 * unless it is refused with a text that contains `expected`. */
const char *help_chain_refusal(const char *nfs, const char *rules);
void help_chain_refuses_rules(const char *nfs, const char *rules, const char *expected);
void help_chain_refuses(const char *nfs, const char *expected);

/* One burst at `now` (not before the last one), as a rule with audit (chain.c says when). The packets need
 * data, len, have, side; and in_port where it is neither of the first two interfaces. */
void help_chain_run(struct help_chain *h, uint64_t now, struct nf_packet packets[], uint32_t n);

/* An empty burst: timers. */
void help_chain_idle(struct help_chain *h, uint64_t now);

void help_chain_wait_tenths(struct help_chain *h, uint64_t tenths); /* of a second */
void help_chain_wait_ms(struct help_chain *h, uint64_t ms);

/* A burst of one frame of its own buffer; rewritten in place. The packet as it came out. */
struct nf_packet help_chain_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len);
/* The same of a frame of IPv6 whose Ethernet header is written here. */
struct nf_packet help_ipv6_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len);

/* An ARP request of `addr` for the chain's address inside, 10.0.0.1, from which the chain learns who asks. */
void help_chain_arp(struct help_chain *h, uint32_t addr);
/* One of `addr` on that side for `target`; the packet as it came out. */
struct nf_packet help_chain_arp_for(struct help_chain *h, uint8_t side, uint32_t addr, uint32_t target);

/* Builds and sends; true: it passed. The frame as it came out is in *out, when that is not NULL. */
bool help_chain_spec(struct help_chain *h, uint8_t side, const struct nft_spec *spec, struct nft_seen *out);
bool help_chain_six(struct help_chain *h, uint8_t side, const struct six *s, struct six_seen *out);

/* The packet is from the one end to the other. */
void six_ends_are(const struct six_seen *seen, const char *from, unsigned sport, const char *to,
                  unsigned dport);

/* An ICMP error that quotes `about`: its header, 8 bytes behind it, and `more`. True: it passed, with right
 * checksums; what it quotes then is in *quoted. */
bool help_chain_error(struct help_chain *h, uint8_t side, struct six *error, const struct six *about,
                      uint32_t more, struct six_seen *seen, struct six_seen *quoted);

/* A fragment of a datagram of UDP, the first one or a later one, from inside; true: it passed. */
bool help_chain_fragment(struct help_chain *h, uint32_t src, uint32_t dst, uint16_t id, bool later);

/* "set nat udp=5": 0 or an error; takes effect in a burst of its own. */
int help_chain_command(struct help_chain *h, const char *text);

uint64_t help_chain_counter(const struct help_chain *h, const char *nf, const char *name);
/* Counters have these values: "monitor: packets 3, bytes 444, nat: conflict 0"; as printf fills it in. */
#define help_chain_counts(h, ...) help_chain_counts_at(h, __FILE__, __LINE__, __VA_ARGS__)
void help_chain_counts_at(const struct help_chain *h, const char *file, int line, const char *expected, ...)
    __attribute__((format(printf, 4, 5)));

/* Fails the test when the check of what a peer sends finds fault with its state. */
void help_chain_is_sound(const struct help_chain *h);

/* Text of show, all pages, into a buffer of `cap` bytes; how many rows. */
uint32_t help_chain_show(const struct help_chain *h, const char *nf, char *out, uint32_t cap);
uint32_t help_chain_rows(const struct help_chain *h, const char *nf);

/* Fails the test when the text of show does not contain `text`. */
void help_chain_has(const struct help_chain *h, const char *nf, const char *text);

uint64_t help_chain_digest(const struct help_chain *h);
/* ---- captures ---------------------------------------------------------------------------------- */

struct help_captured {
    uint64_t time; /* ns since the first packet; gaps of an hour and more are a second */
    uint32_t len, have;
    uint8_t side; /* inside: from a private address to a public one, or from the lesser end */
    uint8_t *data;
};

struct help_capture {
    struct help_captured *list;
    uint32_t count;
};

/* Where captures lie: $UNDERSTUDY_PCAPS, or ../shared/pcaps. */
const char *help_capture_directory(void);

/* Skips the test, and says why, when there is no such directory. */
void help_captures_or_skip(void);

/* A file of that directory, *.gz as well. False, and a line that says so, when it is not there. */
bool help_capture_read(struct help_capture *capture, const char *name);

/* Makes IPv4 header checksums right: some captures were given other addresses and kept their checksums. */
void help_capture_mend(struct help_capture *capture);

void help_capture_free(struct help_capture *capture);

/*
 * The capture from the chain's beginning, in bursts of 32, then half an hour of timers; `headers`: from the
 * bytes alone that are captured for a chain that reads headers. *sum: over what became of each packet, its
 * ports and headers. The region's digest.
 */
uint64_t help_chain_capture(struct help_chain *h, const struct help_capture *capture, bool headers,
                            uint64_t *sum);

/* Once more, and from header bytes: the same outputs, the same region. Fails the test. */
bool help_chain_same(struct help_chain *h, const char *name, bool mend);

/* ---- a chain that is changed while it runs, as `apply` does it ------------------------------------ */

/* `nfs` and `rules` as for help_chain_open; `rules` NULL: as before. 0, or how it is refused. */
int help_change(struct help_chain *h, const char *nfs, const char *rules, struct ft_fault *fault);

#endif
