/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authors' harness: an NF that keeps the rules passes through kills at each frame, and each way to break
 * them is told, with its NF.
 */
#include "nftest/nftest.h"
#include "tests/help/frame.h"
#include "tests/help/test.h"

#define FIELDS 10u

/* ---- the NF: a count in its state, and what is asked for ------------------------------------------- */

enum how { SOUND, STATIC, UNEDITED, DRAWN, PAYLOAD, CRASH, REFUSED, TIMED, EARLY, ENDLESS, WRONG_SUM };
static const char *const hows[] = {"sound",   "static", "unedited", "drawn",   "payload",   "crash",
                                   "refused", "timed",  "early",    "endless", "wrong_sum", NULL};

struct config {
    uint32_t how;
};
struct reader_config {
    uint32_t fields; /* bits, in the order of `fields` */
    bool marks;
};
struct state {
    uint64_t count, woken, set;
    uint8_t apart[64]; /* the audit looks at lines */
    uint64_t odd;
};
static const struct nf_param params[] = {NF_ONE_OF(struct config, how, hows, "sound", "what it does"), {0}};
static const char *const counters[] = {"seen", "third", NULL};

static bool make(struct nf *nf)
{
    if (((const struct config *)nf->config)->how == EARLY)
        nf_wake(nf, 2 * NF_SECOND);
    return true;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    static uint64_t seen;
    const struct config *config = nf->config;
    struct state *s = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        *NF_EDIT(nf, &s->count) += 1;
        nf_count(nf, 0, 1);
        if (config->how == STATIC && ++seen % 3 == 0)
            nf_drop(nf, packets[i], 1);
        if (config->how == UNEDITED)
            s->odd = s->count;
        if (config->how == DRAWN)
            *NF_EDIT(nf, &s->odd) = (uint64_t)random();
        if (config->how == PAYLOAD)
            *NF_EDIT(nf, &s->odd) = packets[i]->data[packets[i]->payload + 100];
        if (config->how == CRASH && s->count == 2)
            *(volatile int *)(uintptr_t)(s->count - 2) = 1;
        if (config->how == TIMED)
            nf_wake(nf, now + NF_SECOND);
        while (config->how == ENDLESS)
            __asm__ volatile("");
        if (config->how == WRONG_SUM)
            packets[i]->data[packets[i]->l4 + 6] ^= 1;
    }
}

static void timers(struct nf *nf, uint64_t now)
{
    struct state *s = nf->state;

    if (NF_EDIT(nf, s)->woken++ < 4)
        nf_wake(nf, now + NF_SECOND);
}

static int set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    if (strcmp(key, "value") != 0)
        return ft_fail(fault, FT_ENOENT, "no such key");
    NF_EDIT(nf, (struct state *)nf->state)->set = strtoull(value, NULL, 10);
    return 0;
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct state *s = nf->state;

    nf_row(out);
    nf_row_u64(out, "count", s->count);
    nf_row_u64(out, "woken", s->woken);
    nf_row_u64(out, "set", s->set);
    return false;
}

static int check_state(const struct nf *nf, struct nf_check *c)
{
    const struct state *s = nf->state;

    if (((const struct config *)nf->config)->how == REFUSED && s->count > 1)
        return nf_check_failed(c, "a count of more than 1");
    return 0;
}

static const struct nf_module tried = {
    .name = "tried",
    .summary = "keeps the rules or breaks one",
    .params = params,
    .config_size = sizeof(struct config),
    .state_size = sizeof(struct state),
    .counters = counters,
    .make = make,
    .process = process,
    .timers = timers,
    .set = set,
    .show = show,
    .check_state = check_state,
};
NF_MODULE(tried)

/* ---- an NF that declares that it reads flows, and reads more ----------------------------------------- */

static const struct {
    uint8_t tcp, at, bytes; /* tcp: behind the beginning of TCP's header, else of the frame */
    const char *name;
} fields[FIELDS] = {
    {0, 14 + 4, 2, "the identification of IPv4"},
    {0, 14 + 6, 1, "the flags of IPv4"},
    {0, 14 + 8, 1, "the time to live of IPv4"},
    {1, 12, 1, "the length that TCP or UDP says"},
    {1, 4, 4, "the sequence number of TCP"},
    {1, 8, 4, "the acknowledgement number of TCP"},
    {1, 14, 2, "the window of TCP"},
    {1, 18, 2, "the urgent pointer of TCP"},
    {1, 20, 4, "the options of TCP"},
    {1, 28, 2, "payload"},
};

static const struct nf_param reader_params[] = {
    NF_NUMBER(struct reader_config, fields, NF_U32, 0, 1023, "0", "which it reads"),
    NF_YES_NO(struct reader_config, marks, "false", "it marks packets by what it reads, and keeps nothing"),
    {0},
};

static void read_fields(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct reader_config *config = nf->config;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        for (unsigned f = 0; f < FIELDS; f++) {
            const struct nf_packet *p = packets[i];
            const uint8_t *at = p->data + (fields[f].tcp ? p->l4 : 0) + fields[f].at;

            if (config->fields >> f & 1 && (!fields[f].tcp || p->proto == NF_PROTO_TCP))
                for (unsigned b = 0; b < fields[f].bytes; b++)
                    sum = sum * 31 + at[b];
        }
    for (uint32_t i = 0; config->marks && i < n; i++)
        nf_packet_set_dscp(packets[i], (uint8_t)(sum % 64));
    if (!config->marks)
        NF_EDIT(nf, (struct state *)nf->state)->odd += sum;
}

static const struct nf_module reader = {
    .name = "reader",
    .summary = "reads more than it says",
    .reads = NF_READS_FLOW,
    .params = reader_params,
    .config_size = sizeof(struct reader_config),
    .state_size = sizeof(struct state),
    .counters = counters,
    .process = read_fields,
};
NF_MODULE(reader)

/* ---- tests ------------------------------------------------------------------------------------- */

static const struct nft_spec frame = {.src = NFT_IP(10, 0, 0, 1),
                                      .dst = NFT_IP(10, 0, 0, 2),
                                      .sport = 1,
                                      .dport = 2,
                                      .proto = 17,
                                      .payload = 200};

static struct nft *open_nf(const char *nf, const char *config)
{
    char path[] = "/tmp/test-nftest-XXXXXX";
    int fd = mkstemp(path);
    struct nft *t;

    assert_true(fd >= 0);
    dprintf(fd, "chain: { name: test, nfs: [ { %s: { %s } } ] }\n", nf, config);
    close(fd);
    t = nft_open(path);
    unlink(path);
    return t;
}

static struct nft *open_chain(const char *how)
{
    char config[64];

    snprintf(config, sizeof(config), "how: %s", how);
    return open_nf("tried", config);
}

TEST(a_sound_nf_passes_with_a_kill_at_each_frame)
{
    struct nft *t = open_chain("sound");
    struct nft_seen seen;

    for (unsigned i = 0; i < 10; i++) {
        assert_true(nft_send(t, NF_INSIDE, &frame, &seen));
        assert_int_equal(seen.dport, 2);
        nft_kill(t);
        assert_int_equal(nft_counter(t, "tried", "seen"), i + 1);
    }
    assert_int_equal(nft_command(t, "set tried value=7"), 0);
    assert_int_equal(nft_command(t, "set tried other=7"), FT_ENOENT);
    nft_kill(t);
    assert_true(NFT_SHOWS(t, "tried", "{\"count\":10,\"woken\":0,\"set\":7}"));
    assert_int_equal(nft_failures(t, NULL), 0);
    assert_int_equal(nft_close(t), 0);
}

/* Five seconds after the packet five timers have come, one after the other, whoever is primary then. */
TEST(timers_come_when_they_are_due)
{
    struct nft *t = open_chain("timed");

    nft_send(t, NF_INSIDE, &frame, NULL);
    nft_wait(t, 2.5);
    assert_true(NFT_SHOWS(t, "tried", "\"woken\":2,"));
    nft_kill(t);
    nft_wait(t, 10);
    assert_true(NFT_SHOWS(t, "tried", "\"woken\":5,"));
    assert_int_equal(nft_close(t), 0);
}

/* Both ends of a connection, through a NAT that gives it another address and port; what is said is looked
 * into. */
TEST(a_connection_is_played)
{
    const struct nft_spec client = {
        .src = NFT_IP(10, 0, 0, 1), .dst = NFT_IP(192, 0, 2, 1), .sport = 4000, .dport = 80};
    char rules[] = "/tmp/test-nftest-rules-XXXXXX", config[128];
    int fd = mkstemp(rules);
    struct nft_tcp c;
    struct nft *t;

    assert_true(fd >= 0);
    dprintf(fd, "drop tcp any any -> any any (content:\"wicked\"; sid:1;)\n");
    close(fd);
    snprintf(config, sizeof(config), "outside: 203.0.113.1 } }, { ips: { rules: %s", rules);
    t = open_nf("nat", config);
    assert_true(nft_tcp_open(t, &c, NF_INSIDE, &client));
    assert_int_equal(c.end[NFT_SERVER].dst, NFT_IP(203, 0, 113, 1));
    assert_int_equal(c.end[NFT_CLIENT].dst, NFT_IP(192, 0, 2, 1));
    assert_int_equal(nft_counter(t, "nat", "mappings_created"), 1);
    assert_true(nft_tcp_say(t, &c, NFT_CLIENT, "GET /wick"));
    nft_kill(t);
    assert_true(nft_tcp_say(t, &c, NFT_SERVER, "200"));
    assert_int_equal(c.end[NFT_SERVER].seq, 5000000 + 1 + 3);
    assert_int_equal(c.end[NFT_CLIENT].ack, 5000000 + 1 + 3);
    assert_false(nft_tcp_say(t, &c, NFT_CLIENT, "ed"));
    assert_int_equal(nft_counter(t, "ips", "dropped"), 1);
    assert_true(
        nft_tcp_open(t, &c, NF_INSIDE,
                     &(struct nft_spec){.src = client.src, .dst = client.dst, .sport = 4001, .dport = 80}));
    assert_true(nft_tcp_end(t, &c));
    nft_wait(t, 30);
    assert_int_equal(nft_counter(t, "nat", "mappings_expired"), 1); /* the one that is over; 10 s */
    assert_int_equal(nft_failures(t, NULL), 0);
    assert_int_equal(nft_close(t), 0);
    unlink(rules);
}

/* Text is the payload, in UDP as well. */
TEST(text_is_the_payload)
{
    uint8_t bytes[NFT_FRAME_MAX];
    struct nft_spec spec = frame;
    uint32_t len;

    spec.text = "hello";
    len = nft_frame(&spec, bytes);
    assert_int_equal(len, 60); /* filled up */
    assert_memory_equal(bytes + 14 + 20 + 8, "hello", 6);
    assert_null(nft_checksums(bytes, len));
}

/* A rate over four lanes, whose clients are one lane's and another's: one number for all, through kills. */
TEST(lanes_are_dealt_to)
{
    char path[] = "/tmp/test-nftest-XXXXXX";
    int fd = mkstemp(path);
    uint64_t passed = 0;
    struct nft *t;

    assert_true(fd >= 0);
    dprintf(fd, "chain: { name: test, nfs: [ { rate_limiter: { clients: inside, pps: 1, burst_packets: 10, "
                "timeout: 5 } }, "
                "{ tried: { how: sound } } ] }\n");
    close(fd);
    t = nft_open_lanes(path, 4);
    unlink(path);
    for (unsigned i = 0; i < 60; i++) { /* three clients, twenty flows of each */
        struct nft_spec spec = frame;

        spec.src = NFT_IP(10, 0, 0, 1 + i % 3);
        spec.sport = (uint16_t)(100 + i / 3);
        passed += nft_send(t, NF_INSIDE, &spec, NULL);
        if (i % 20 == 19)
            nft_kill(t);
    }
    assert_int_equal(passed, 30); /* ten of each, though they came to several lanes */
    assert_int_equal(nft_counter(t, "tried", "seen"), 30);
    assert_int_equal(nft_counter(t, "rate_limiter", "over_packets"), 30);
    assert_int_equal(nft_command(t, "set tried value=7"), 0);
    nft_wait(t, 20);
    assert_int_equal(nft_counter(t, "rate_limiter", "clients_expired"), 3);
    assert_true(NFT_SHOWS(t, "tried", "\"set\":7}"));
    assert_int_equal(nft_failures(t, NULL), 0);
    assert_int_equal(nft_close(t), 0);
}

TEST(each_breach_is_told)
{
    static const struct {
        const char *how, *told;
        bool kill;
    } breaches[] = {
        {"static", "the standby", true},
        {"unedited", "the primary died: Aborted, with a packet", false},
        {"drawn", "the standby's state differs: tried, byte ", false},
        {"payload", "the primary died: Aborted, with a packet", false},
        {"crash", "burst 2: the primary died: Segmentation fault, with a packet", false},
        {"refused", "a standby would refuse this state: ", true},
        {"endless", "burst 1: the primary does not come to an end: killed, with a packet", false},
        {"wrong_sum", "burst 1: the packet leaves with a wrong checksum: UDP", false},
    };

    for (unsigned i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
        struct nft *t = open_chain(breaches[i].how);
        const char *last;

        for (unsigned n = 0; n < 4 && !nft_failures(t, &last); n++) {
            nft_send(t, NF_INSIDE, &frame, NULL);
            if (breaches[i].kill && n % 2)
                nft_kill(t);
        }
        assert_true(nft_failures(t, &last) > 0);
        if (!strstr(last, breaches[i].told))
            fail_msg("%s: \"%s\", expected \"%s\" in it", breaches[i].how, last, breaches[i].told);
        assert_int_equal(nft_close(t), 1);
    }
}

/* A packet of TCP with options, of which no field has the value that hides it. */
static uint32_t make_segment(uint8_t bytes[NFT_FRAME_MAX])
{
    static const uint8_t options[8] = {2, 4, 5, 0xb4, 4, 2, 3, 3};
    struct nft_spec spec = HELP_PACKET(NF_PROTO_TCP, NFT_IP(10, 0, 0, 1), 1, NFT_IP(10, 0, 0, 2), 2,
                                       .tcp = NFT_ACK, .ip_id = 0x1234, .payload = 40);
    uint32_t len = nft_frame(&spec, bytes);

    bytes[14 + 8] = 33;
    bytes[34 + 12] = 7 << 4;
    memcpy(bytes + 34 + 20, options, sizeof(options));
    nft_ip_checksum(bytes, len);
    nft_readdress(bytes, len, spec.src, spec.sport, spec.dst, spec.dport);
    return len;
}

/* What the harness says of a segment to an NF that reads these; "" if nothing. */
static void try_reader(unsigned bits, bool marks, char told[512])
{
    uint8_t bytes[NFT_FRAME_MAX];
    char config[64];
    struct nft *t;
    const char *last;

    snprintf(config, sizeof(config), "fields: %u, marks: %s", bits, marks ? "true" : "false");
    t = open_nf("reader", config);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t len = make_segment(bytes);

        nft_raw(t, NF_INSIDE, bytes, len);
    }
    nft_failures(t, &last);
    snprintf(told, 512, "%s", last);
    nft_close(t);
}

/* Each one alone, and each with the next one; no other field is named. */
TEST(what_is_read_and_not_declared_is_named)
{
    char told[512], expected[512];

    try_reader(0, false, told);
    assert_string_equal(told, "");
    for (unsigned f = 0; f < FIELDS; f++) {
        try_reader(1u << f, false, told);
        snprintf(expected, sizeof(expected),
                 "expected that of the primary: reader reads %s, and declares NF_READS_FLOW", fields[f].name);
        if (!strstr(told, expected))
            fail_msg("\"%s\", expected \"%s\" in it", told, expected);
        if (f + 1 == FIELDS)
            continue;
        try_reader(3u << f, false, told);
        snprintf(expected, sizeof(expected), ": reader reads %s and %s, and declares NF_READS_FLOW",
                 fields[f].name, fields[f + 1].name);
        if (!strstr(told, expected))
            fail_msg("\"%s\", expected \"%s\" in it", told, expected);
    }
    try_reader(1, true, told);
    assert_string_equal(
        told, "burst 3: the primary passed the packet, the standby passed otherwise it: an NF reads "
              "the identification of IPv4, and declares NF_READS_FLOW");
}

/* One line for states that differ, not one for each burst from then on; time goes on as the primary has it.
 */
TEST(states_that_differ_are_told_once)
{
    struct nft *t = open_chain("drawn");

    for (unsigned i = 0; i < 20; i++)
        assert_true(nft_send(t, NF_INSIDE, &frame, NULL));
    nft_wait(t, 1);
    assert_int_equal(nft_failures(t, NULL), 1);
    assert_int_equal(nft_counter(t, "tried", "seen"), 20);
    assert_int_equal(nft_close(t), 1);
}

/* Chain time begins at one second; `make` has asked for the second one. */
TEST(timers_that_make_asked_for_come_in_the_first_wait)
{
    struct nft *t = open_chain("early");

    nft_wait(t, 3.5);
    assert_true(NFT_SHOWS(t, "tried", "\"woken\":3,"));
    assert_int_equal(nft_close(t), 0);
}

/* The frame that is just short enough passes; what is longer is a failure of the test that asks for it. */
TEST(a_frame_that_is_too_long_is_told)
{
    struct nft *t = open_chain("sound");
    struct nft_spec spec = frame;
    struct nft_seen seen;
    const char *last;

    spec.payload = NFT_FRAME_MAX - 42; /* Ethernet, IPv4, UDP */
    assert_true(nft_send(t, NF_INSIDE, &spec, &seen));
    assert_int_equal(nft_failures(t, NULL), 0);
    spec.payload++;
    assert_false(nft_send(t, NF_INSIDE, &spec, &seen));
    assert_int_equal(seen.src, 0);
    spec.payload = 9000;
    assert_false(nft_send(t, NF_INSIDE, &spec, NULL));
    spec.payload = 0;
    spec.inner = (const uint8_t *)&frame;
    spec.inner_len = NFT_FRAME_MAX;
    assert_false(nft_send(t, NF_INSIDE, &spec, NULL));
    spec.inner = NULL;
    spec.tags = 3;
    assert_false(nft_send(t, NF_INSIDE, &spec, NULL));
    spec.tags = 0;
    spec.options = 11;
    assert_false(nft_send(t, NF_INSIDE, &spec, NULL));
    assert_int_equal(nft_failures(t, &last), 5);
    assert_non_null(strstr(last, "11 words of options, a payload of 0 bytes"));
    assert_int_equal(nft_close(t), 1);
}

/* Lengths that no packet has are no reason to read behind the frame, which here ends where it ends. */
TEST(checksums_of_malformed_frames_are_not_looked_for)
{
    /* Of 4 bytes in all by its length, with a header of 20, which is right. */
    static const uint8_t quoted[28] = {0x45, 0, 0, 4, [9] = 17, [10] = 0xba, 0xea};
    static const struct nft_spec error = {
        .src = 1, .dst = 2, .proto = 1, .type = 3, .inner = quoted, .inner_len = sizeof(quoted)};
    uint8_t bytes[NFT_FRAME_MAX], *alone;
    uint32_t len = nft_frame(&frame, bytes);

    alone = malloc(len);
    assert_non_null(alone);
    memcpy(alone, bytes, len);
    assert_null(nft_checksums(alone, len));
    alone[14 + 3] = 10; /* a packet of 10 bytes, of which the header is right */
    alone[14 + 2] = 0;
    nft_ip_checksum(alone, len);
    assert_null(nft_checksums(alone, len));
    free(alone);
    alone = malloc(34);
    assert_non_null(alone);
    memcpy(alone, bytes, 34);
    alone[14] = 0x4f; /* a header of 60 bytes, of which 20 are there */
    assert_null(nft_checksums(alone, 34));
    free(alone);
    len = nft_frame(&error, bytes);
    assert_null(nft_checksums(bytes, len));
}

/* What comes in with a wrong checksum may leave with one: that is no fault of the NF. */
TEST(a_frame_that_came_in_wrong_is_not_laid_to_the_nf)
{
    struct nft *t = open_chain("sound");
    uint8_t bytes[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&frame, bytes);

    bytes[14 + 20 + 6] ^= 1;
    assert_string_equal(nft_checksums(bytes, len), "UDP");
    assert_true(nft_raw(t, NF_INSIDE, bytes, len));
    assert_int_equal(nft_close(t), 0);
}

/* What a test expects and does not get is a failure with its line. */
TEST(what_is_expected_and_not_there_is_told)
{
    struct nft *t = open_chain("sound");
    const char *last;

    assert_false(NFT_EQUAL(t, nft_counter(t, "tried", "seen"), 1));
    nft_failures(t, &last);
    assert_non_null(strstr(last, "test_nftest.c:"));
    assert_non_null(strstr(last, "is 0, expected 1"));
    assert_int_equal(nft_counter(t, "tried", "nothing"), 0);
    assert_int_equal(nft_failures(t, &last), 2);
    assert_string_equal(last, "no counter nothing of an NF tried in this chain");
    assert_int_equal(nft_close(t), 1);
}
