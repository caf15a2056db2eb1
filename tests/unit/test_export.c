/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The export of the log of flows: messages of IPFIX, read by the rules of RFC 7011 without libfixbuf; lines
 * of JSON, read by jansson; which events a lane gives away, and from where a successor goes on; and the
 * exporter's thread, with a socket and a file of the test's.
 */
#include "lane/lane.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"
#include "understudy/export/encode.h"
#include "understudy/export/exporter.h"
#include "tests/help/chain.h"
#include "tests/help/program.h"

#include <jansson.h>
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

/* ---- a reader of IPFIX --------------------------------------------------------------------------- */

#define FIELDS  24u
#define RECORDS 512u

struct field {
    uint32_t enterprise;
    uint16_t element, len;
};
static struct {
    unsigned count;
    struct field field[FIELDS];
} template[16]; /* from 256 on */

struct record {
    unsigned template;
    const uint8_t *at;
};
static struct record record[RECORDS];
static unsigned records;
static uint32_t sequence, domain;

static uint64_t number(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;

    while (n--)
        value = value << 8 | *at++;
    return value;
}

static void read_templates(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        unsigned id = (unsigned)number(at, 2) - 256, count = (unsigned)number(at + 2, 2);

        assert_in_range(id, 0, 15);
        assert_in_range(count, 1, FIELDS);
        template[id].count = count;
        at += 4;
        for (unsigned i = 0; i < count; i++) {
            struct field *f = &template[id].field[i];

            f->element = (uint16_t)number(at, 2);
            f->len = (uint16_t)number(at + 2, 2);
            at += 4;
            f->enterprise = 0;
            if (f->element & 0x8000) {
                f->enterprise = (uint32_t)number(at, 4);
                f->element &= 0x7fff;
                at += 4;
            }
        }
    }
}

static void read_data(unsigned id, const uint8_t *at, const uint8_t *end)
{
    unsigned bytes = 0;

    for (unsigned i = 0; i < template[id].count; i++)
        bytes += template[id].field[i].len;
    assert_true(bytes > 0);
    for (; end - at >= (ptrdiff_t)bytes && records < RECORDS; at += bytes)
        record[records++] = (struct record){id, at};
}

static void read_message(const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len;

    records = 0;
    assert_int_equal(number(at, 2), 10);
    assert_int_equal(number(at + 2, 2), len);
    sequence = (uint32_t)number(at + 8, 4);
    domain = (uint32_t)number(at + 12, 4);
    for (at += 16; at < end;) {
        unsigned set = (unsigned)number(at, 2), bytes = (unsigned)number(at + 2, 2);

        assert_true(bytes >= 4 && at + bytes <= end);
        if (set == 2)
            read_templates(at + 4, at + bytes);
        else
            read_data(set - 256, at + 4, at + bytes);
        at += bytes;
    }
}

static const uint8_t *find(unsigned r, uint32_t enterprise, uint16_t element, unsigned *len)
{
    const uint8_t *at = record[r].at;

    assert_true(r < records);
    for (unsigned i = 0; i < template[record[r].template].count; i++) {
        const struct field *f = &template[record[r].template].field[i];

        *len = f->len;
        if (f->element == element && f->enterprise == enterprise)
            return at;
        at += f->len;
    }
    fail_msg("record %u has no element %u", r, element);
    return NULL;
}

static uint64_t value(unsigned r, uint32_t enterprise, uint16_t element)
{
    unsigned len = 0;
    const uint8_t *at = find(r, enterprise, element, &len);

    return number(at, len);
}

static void is_address(unsigned r, uint16_t element, const char *expected)
{
    char text[INET6_ADDRSTRLEN];
    unsigned len = 0;
    const uint8_t *at = find(r, 0, element, &len);

    inet_ntop(len == 16 ? AF_INET6 : AF_INET, at, text, sizeof(text));
    assert_string_equal(text, expected);
}

/* ---- events -------------------------------------------------------------------------------------- */

static void address_of(uint8_t out[16], const char *text)
{
    assert_int_equal(inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, out), 1);
}

static struct nf_log_event make_event(enum nf_log_kind kind, bool ipv6, uint64_t n)
{
    struct nf_log_event e = {.number = 0xabcd000100000000 + n,
                             .burst = n,
                             .time = 1700000000123456789,
                             .first = 1700000000001000000,
                             .packets = {7, 5},
                             .bytes = {7000, 500},
                             .to_source = inet_addr("203.0.113.1"),
                             .to_destination = inet_addr("198.51.100.7"),
                             .sport = htons(4000),
                             .dport = htons(53),
                             .to_sport = htons(61234),
                             .to_dport = htons(5353),
                             .kind = (uint8_t)kind,
                             .proto = 17,
                             .ipv6 = ipv6,
                             .why = NF_SESSION_DISPLACED};

    address_of(e.source, ipv6 ? "2001:db8::5" : "10.1.2.3");
    address_of(e.destination, ipv6 ? "64:ff9b::c633:6407" : "198.51.100.9");
    return e;
}

static void is_translation(unsigned r, bool ipv6, unsigned nat_event)
{
    is_address(r, ipv6 ? 27 : 8, ipv6 ? "2001:db8::5" : "10.1.2.3");
    is_address(r, ipv6 ? 28 : 12, ipv6 ? "64:ff9b::c633:6407" : "198.51.100.9");
    is_address(r, 225, "203.0.113.1");
    is_address(r, 226, "198.51.100.7");
    assert_int_equal(value(r, 0, 7), 4000);
    assert_int_equal(value(r, 0, 11), 53);
    assert_int_equal(value(r, 0, 227), 61234);
    assert_int_equal(value(r, 0, 228), 5353);
    assert_int_equal(value(r, 0, 4), 17);
    assert_int_equal(value(r, 0, 230), nat_event);
    assert_int_equal(value(r, 0, 323), 1700000000123);
}

#define REVERSE 29305u /* RFC 5103, 6.1 */

static void is_flow(unsigned r, bool ipv6)
{
    is_address(r, ipv6 ? 27 : 8, ipv6 ? "2001:db8::5" : "10.1.2.3");
    is_address(r, ipv6 ? 28 : 12, ipv6 ? "64:ff9b::c633:6407" : "198.51.100.9");
    assert_int_equal(value(r, 0, 152), 1700000000001);
    assert_int_equal(value(r, 0, 153), 1700000000123);
    assert_int_equal(value(r, 0, 1), 7000);
    assert_int_equal(value(r, 0, 2), 7);
    assert_int_equal(value(r, REVERSE, 1), 500);
    assert_int_equal(value(r, REVERSE, 2), 5);
    assert_int_equal(value(r, 0, 136), 5);
    assert_int_equal(value(r, 0, 7), 4000);
    assert_int_equal(value(r, 0, 11), 53);
}

TEST(a_message_says_what_the_events_do)
{
    const struct nf_log_event all[] = {make_event(NF_LOG_BEGIN, false, 1), make_event(NF_LOG_END, false, 2),
                                       make_event(NF_LOG_BEGIN, true, 3),  make_event(NF_LOG_END, true, 4),
                                       make_event(NF_LOG_FLOW, false, 5),  make_event(NF_LOG_FLOW, true, 6)};
    const struct nf_log_event *events[6];
    struct nd_ipfix *x;
    uint8_t message[1400];
    size_t len;

    for (unsigned i = 0; i < 6; i++)
        events[i] = &all[i];
    assert_int_equal(nd_ipfix_open(&x, message, sizeof(message), &help_fault), 0);
    assert_int_equal(nd_ipfix_encode(x, events, 6, 1700000001, &len), 0);
    read_message(message, len);
    assert_int_equal(records, 0); /* the templates */
    assert_int_equal(nd_ipfix_encode(x, events, 6, 1700000001, &len), 6);
    read_message(message, len);
    assert_int_equal(records, 6);
    assert_int_equal(domain, 1);
    assert_int_equal(sequence, 0);
    assert_int_equal(number(message + 4, 4), 1700000001);
    is_translation(0, false, 4);
    is_translation(1, false, 5);
    is_translation(2, true, 6);
    is_translation(3, true, 7);
    is_flow(4, false);
    is_flow(5, true);
    for (unsigned r = 0; r < 6; r++)
        assert_int_equal(value(r, 0, 148), 0xabcd000100000001 + r);
    memset(template, 0, sizeof(template));
    nd_ipfix_templates(x); /* as for collectors that came later */
    assert_int_equal(nd_ipfix_encode(x, events, 1, 1700000002, &len), 0);
    read_message(message, len);
    assert_int_equal(nd_ipfix_encode(x, events, 1, 1700000002, &len), 1);
    read_message(message, len);
    assert_int_equal(sequence, 6);
    is_translation(0, false, 4);
    nd_ipfix_close(x);
}

TEST(what_has_no_room_waits_for_the_next_message)
{
    struct nf_log_event e = make_event(NF_LOG_BEGIN, false, 1);
    const struct nf_log_event *events[100];
    unsigned done = 0, messages = 0;
    struct nd_ipfix *x;
    uint8_t message[1400];
    size_t len;

    for (unsigned i = 0; i < 100; i++)
        events[i] = &e;
    assert_int_equal(nd_ipfix_open(&x, message, sizeof(message), &help_fault), 0);
    assert_int_equal(nd_ipfix_encode(x, events, 1, 1, &len), 0);
    read_message(message, len);
    while (done < 100) {
        uint32_t n = nd_ipfix_encode(x, events + done, 100 - done, 1, &len);

        assert_in_range(n, 1, 64);
        assert_in_range(len, 16, 1400);
        read_message(message, len);
        assert_int_equal(records, n);
        assert_int_equal(sequence, done);
        done += n;
        messages++;
    }
    assert_in_range(messages, 3, 5);
    nd_ipfix_close(x);
}

TEST(lines_say_what_the_events_do)
{
    const struct nf_log_event all[] = {make_event(NF_LOG_BEGIN, false, 1), make_event(NF_LOG_END, true, 2),
                                       make_event(NF_LOG_FLOW, false, 3)};
    const struct nf_log_event *events[] = {&all[0], &all[1], &all[2]};
    static const char *const expected[] = {
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"begin\",\"number\":\"abcd000100000001\","
        "\"protocol\":17,"
        "\"source\":\"10.1.2.3\",\"source_port\":4000,\"destination\":\"198.51.100.9\",\"destination_port\":"
        "53,"
        "\"to_source\":\"203.0.113.1\",\"to_source_port\":61234,\"to_destination\":\"198.51.100.7\","
        "\"to_destination_port\":5353}",
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"end\",\"number\":\"abcd000100000002\","
        "\"protocol\":17,"
        "\"source\":\"2001:db8::5\",\"source_port\":4000,\"destination\":\"64:ff9b::c633:6407\","
        "\"destination_port\":53,\"to_source\":\"203.0.113.1\",\"to_source_port\":61234,"
        "\"to_destination\":\"198.51.100.7\",\"to_destination_port\":5353,\"why\":\"displaced\"}",
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"flow\",\"number\":\"abcd000100000003\","
        "\"protocol\":17,"
        "\"source\":\"10.1.2.3\",\"source_port\":4000,\"destination\":\"198.51.100.9\",\"destination_port\":"
        "53,"
        "\"first\":\"2023-11-14T22:13:20.001Z\",\"packets\":7,\"bytes\":7000,\"back_packets\":5,\"back_"
        "bytes\":500,"
        "\"why\":\"displaced\"}"};
    char out[4096], *at = out;
    size_t len;

    assert_int_equal(nd_json_encode(events, 3, out, 1200, &len), 2); /* whole lines */
    assert_int_equal(nd_json_encode(events, 3, out, sizeof(out), &len), 3);
    for (unsigned i = 0; i < 3; i++) {
        char *end = memchr(at, '\n', (size_t)(out + len - at));
        json_t *got, *wanted = json_loads(expected[i], 0, NULL);

        assert_non_null(end);
        got = json_loadb(at, (size_t)(end - at), 0, NULL);
        assert_non_null(wanted);
        assert_true(json_equal(got, wanted));
        json_decref(got);
        json_decref(wanted);
        at = end + 1;
    }
}

/* ---- a lane -------------------------------------------------------------------------------------- */

static struct help_chain h;
static struct nd_lane lane;
static struct nd_export_queue queue;
static struct ft_lane_shared shared[2];

static void open_lane(void)
{
    help_chain_open(
        &h, "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }\n    - flow_log: { events: 4096 }\n",
        NULL, 1);
    memset(&queue, 0, sizeof(queue));
    memset(shared, 0, sizeof(shared));
    lane =
        (struct nd_lane){.chain = h.chain, .shared = shared, .doing = FT_LANE_LIVE, .export.queue = &queue};
    nd_lane_export_begin(&lane);
}

static void flows(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        const struct nft_spec spec =
            HELP_PACKET(17, NFT_IP(10, 0, 0, 9), (uint16_t)(1 + i), NFT_IP(198, 51, 100, 7), 53);

        assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    }
}

/* As many are in the queue, and the last of them is of that flow. */
static void queue_has(unsigned n, unsigned last)
{
    assert_int_equal(queue.head, n);
    assert_int_equal(ntohs(queue.event[(n - 1) % ND_EXPORT_EVENTS].sport), 1 + last);
}

static void take(uint64_t upto)
{
    atomic_store(&queue.tail, upto);
    nd_lane_export(&lane);
    help_chain_wait_tenths(&h, 11); /* the log's timers tell it */
}

CHAIN_TEST(only_stable_events_leave)
{
    open_lane();
    flows(0, 10); /* bursts 1 to 10 */
    nd_lane_export(&lane);
    assert_int_equal(queue.head, 0);
    atomic_store(&shared[0].orders.stable, 4);
    nd_lane_export(&lane);
    queue_has(4, 3);
    atomic_store(&shared[0].orders.stable, FT_ALL);
    nd_lane_export(&lane);
    queue_has(10, 9);
    assert_int_equal(nf_chain_log(h.chain)->exported, 0);
    take(7);
    assert_int_equal(nf_chain_log(h.chain)->exported, 7);
}

CHAIN_TEST(a_full_queue_loses_nothing)
{
    open_lane();
    atomic_store(&shared[0].orders.stable, FT_ALL);
    flows(0, ND_EXPORT_EVENTS + 50);
    nd_lane_export(&lane);
    queue_has(ND_EXPORT_EVENTS, ND_EXPORT_EVENTS - 1);
    take(20);
    queue_has(ND_EXPORT_EVENTS + 20, ND_EXPORT_EVENTS + 19);
    assert_int_equal(help_chain_counter(&h, "flow_log", "lost"), 0);
}

/* A lane that has given ten stable events, of which six are exported. */
static void open_lane_of_ten(void)
{
    open_lane();
    atomic_store(&shared[0].orders.stable, FT_ALL);
    flows(0, 10);
    nd_lane_export(&lane);
    take(6);
}

/* What the state says was exported is not given again; what it does not say is, with its number. */
CHAIN_TEST(a_successor_goes_on_from_what_is_known)
{
    uint64_t number;

    open_lane_of_ten();
    number = queue.event[6].number;
    atomic_store(&queue.tail, 8);     /* and nobody has heard of these two */
    memset(&queue, 0, sizeof(queue)); /* another process */
    nd_lane_export_begin(&lane);
    nd_lane_export(&lane);
    queue_has(4, 9);
    assert_int_equal(ntohs(queue.event[0].sport), 7);
    assert_int_equal(queue.event[0].number, number);
    take(4);
    assert_int_equal(nf_chain_log(h.chain)->exported, 10);
}

CHAIN_TEST(what_a_fenced_node_has_left_it_gives_up)
{
    open_lane_of_ten();
    nd_lane_export_end(&lane);
    assert_int_equal(queue.floor, 10);
    nd_lane_export_begin(&lane); /* it goes on after all: nobody has taken over */
    nd_lane_export(&lane);
    queue_has(14, 9);
    assert_int_equal(ntohs(queue.event[10].sport), 7);
    atomic_store(&queue.tail, 10); /* the exporter has passed over what was given up */
    nd_lane_export(&lane);
    take(10);
    assert_int_equal(nf_chain_log(h.chain)->exported, 6);
    take(14);
    assert_int_equal(nf_chain_log(h.chain)->exported, 10);
}

CHAIN_TEST(while_a_role_is_handed_over_nothing_is_added)
{
    open_lane();
    atomic_store(&shared[0].orders.stable, FT_ALL);
    flows(0, 5);
    nd_lane_export(&lane);
    lane.doing = FT_LANE_DRAIN;
    flows(5, 8);
    take(5);
    queue_has(5, 4);
    assert_int_equal(nf_chain_log(h.chain)->exported, 5); /* but what was exported is told */
}

/* ---- the thread ---------------------------------------------------------------------------------- */

static struct nd_exporter *exporter;

static void export_to(const struct nd_export_to *to)
{
    memset(shared, 0, sizeof(shared));
    assert_int_equal(nd_exporter_start(&exporter, to, shared, 2, &help_fault), 0);
}

static void give(unsigned to_lane, unsigned from, unsigned to)
{
    struct nd_export_queue *q = nd_exporter_queue(exporter, to_lane);

    for (unsigned i = from; i < to; i++)
        q->event[i % ND_EXPORT_EVENTS] = make_event(NF_LOG_BEGIN, false, to_lane * 100 + i);
    atomic_store(&q->head, to);
}

static void await_tail(unsigned of_lane, uint64_t tail)
{
    struct nd_export_queue *q = nd_exporter_queue(exporter, of_lane);

    for (unsigned i = 0; atomic_load(&q->tail) < tail; i++) {
        if (i == 5000)
            fail_msg("%lu of %lu are exported", atomic_load(&q->tail), tail);
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    assert_int_equal(atomic_load(&q->tail), tail);
}

static int listen_at(int type, struct nd_export_to *to)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    *to = (struct nd_export_to){.kind = type == SOCK_STREAM ? ND_EXPORT_TCP : ND_EXPORT_UDP,
                                .host = "127.0.0.1",
                                .port = ntohs(at.sin_port)};
    return fd;
}

static void next_message(int fd)
{
    uint8_t message[2048];
    ssize_t n = recv(fd, message, sizeof(message), 0);

    assert_true(n > 0);
    read_message(message, (size_t)n);
}

TEST(without_its_lease_a_lane_sends_nothing)
{
    struct nd_export_to to;
    int fd = listen_at(SOCK_DGRAM, &to);

    export_to(&to);
    atomic_store(&shared[1].orders.lease_until, FT_ALL);
    give(0, 0, 10);
    give(1, 0, 3);
    next_message(fd); /* the templates */
    for (unsigned l = 2; l-- > 0;) {
        unsigned n = l ? 3 : 10;

        next_message(fd);
        assert_int_equal(records, n);
        for (unsigned r = 0; r < n; r++)
            assert_int_equal(value(r, 0, 148), 0xabcd000100000000 + l * 100 + r);
        await_tail(l, n);
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), -1);
        atomic_store(&shared[0].orders.lease_until, FT_ALL);
    }
    give(0, 10, 20);
    atomic_store(&nd_exporter_queue(exporter, 0)->floor, 20); /* fenced: unless it had taken them by then */
    await_tail(0, 20);
    nd_exporter_stop(exporter);
    close(fd);
}

/* How many events come by a connection, until it brings nothing for a while. */
static unsigned count_events(int fd, uint64_t *last)
{
    static uint8_t bytes[1 << 20];
    const struct timeval most = {.tv_usec = 300000};
    size_t have = 0, at = 0;
    unsigned events = 0;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    while ((n = recv(fd, bytes + have, sizeof(bytes) - have, 0)) > 0)
        have += (size_t)n;
    for (; have - at >= 16 && have - at >= number(bytes + at + 2, 2); at += number(bytes + at + 2, 2)) {
        read_message(bytes + at, number(bytes + at + 2, 2));
        events += records;
        *last = records ? value(records - 1, 0, 148) : *last;
    }
    return events;
}

TEST(a_connection_that_breaks_is_made_again)
{
    struct nd_export_to to;
    int fd = listen_at(SOCK_STREAM, &to), peer;
    struct nd_export_counts counts;
    uint64_t last = 0;

    export_to(&to);
    atomic_store(&shared[0].orders.lease_until, FT_ALL);
    give(0, 0, 1000);
    peer = accept(fd, NULL, NULL);
    await_tail(0, 1000);
    assert_int_equal(count_events(peer, &last), 1000);
    assert_int_equal(last, 0xabcd000100000000 + 999);
    close(peer);
    AWAIT((nd_exporter_counts(exporter, &counts), !counts.open));
    give(0, 1000, 1500);
    peer = accept(fd, NULL, NULL);
    await_tail(0, 1500);
    assert_int_equal(count_events(peer, &last), 500);
    assert_int_equal(last, 0xabcd000100000000 + 1499);
    nd_exporter_counts(exporter, &counts);
    assert_true(counts.open);
    assert_true(counts.failures >= 1);
    nd_exporter_stop(exporter);
    close(peer);
    close(fd);
}

static unsigned lines_of(const char *path)
{
    unsigned n = 0;

    for (const char *c = help_text(path); *c; c++)
        n += *c == '\n';
    return n;
}

TEST(a_file_keeps_lines_whole_and_may_be_moved)
{
    struct nd_export_to to = {.kind = ND_EXPORT_FILE};
    const char *dir = help_directory(), *moved = help_print("%s/moved", dir);
    int others[8]; /* descriptors of the process, which are none of the exporter's */

    for (unsigned i = 0; i < 8; i++)
        others[i] = dup(STDERR_FILENO);
    snprintf(to.path, sizeof(to.path), "%s/log", dir);
    help_write(to.path, "{\"time\":\"2023"); /* cut by a full disk */
    export_to(&to);
    atomic_store(&shared[0].orders.lease_until, FT_ALL);
    give(0, 0, 300);
    await_tail(0, 300);
    assert_int_equal(lines_of(to.path), 301);
    assert_int_equal(rename(to.path, moved), 0);
    AWAIT(access(to.path, F_OK) == 0);
    give(0, 300, 310);
    await_tail(0, 310);
    assert_int_equal(lines_of(to.path), 10);
    assert_int_equal(lines_of(moved), 301);
    nd_exporter_stop(exporter);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(close(others[i]), 0);
}
