/* SPDX-License-Identifier: Apache-2.0 */
/* A peer of a real replicator, on a plain socket. See peer.h. */
#include "tests/help/test.h"
#include "tests/help/message.h"
#include "tests/help/peer.h"
#include "tests/help/record.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#define BUFFER (FT_MESSAGE_MAX + FT_FRAME_HEAD)

struct twin peer_twin[2];
struct peer peer;

int peer_setup(void **state)
{
    memset(peer_twin, 0, sizeof(peer_twin));
    peer = (struct peer){.listener = -1, .fd = -1};
    twin_world(peer_twin);
    peer.in = malloc(BUFFER);
    peer.bulk = malloc(FT_BULK_MAX);
    return 0;
}

void peer_hang_up(void)
{
    if (peer.fd >= 0)
        close(peer.fd);
    peer.fd = -1;
}

int peer_teardown(void **state)
{
    if (peer.node && peer.node->pid)
        twin_end(peer.node);
    peer_hang_up();
    if (peer.listener >= 0)
        close(peer.listener);
    peer.listener = -1;
    twin_world_end(peer_twin);
    free(peer.in);
    free(peer.bulk);
    return 0;
}

/* ---- the peer ---------------------------------------------------------------------------------- */

static struct sockaddr_in address(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, twin_place.host, &at.sin_addr);
    return at;
}

static void peer_listen_as(unsigned self)
{
    struct sockaddr_in at = address(twin_place.port[self]);
    int on = 1;

    peer.listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(peer.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(peer.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(peer.listener, 4), 0);
}

void peer_say_raw(const void *bytes, size_t len)
{
    if (send(peer.fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        peer.ended = true;
}

struct ft_message peer_head(enum ft_message_type type)
{
    uint64_t t = ft_now();

    peer.last_sent = t > peer.last_sent ? t : peer.last_sent + 1;
    return (struct ft_message){.type = type,
                               .state = (uint8_t)peer.state,
                               .view = peer.view,
                               .sent = peer.last_sent,
                               .echo = peer.heard};
}

void peer_say(struct ft_message m)
{
    size_t cap = ft_message_bound(&m);
    uint8_t *frame = malloc(cap);
    long n = ft_message_encode(&m, 1, NULL, true, frame, cap);

    assert_true(n > 0);
    peer_say_raw(frame, (size_t)n);
    free(frame);
}

static void peer_prove(void)
{
    struct ft_message m = peer_head(FT_MSG_HEARTBEAT);

    m.view = peer.state == FT_JOINING ? 0 : peer.view;
    peer_say(m);
}

/* Hellos, so as to prove itself; and as a standby that joins, which lives, heartbeats until its snapshot
 * begins. A primary begins none for one that has said nothing for detect_ms, and its disk may take longer. */
static bool peer_answers(enum ft_message_type type)
{
    bool joins = peer.state == FT_JOINING && !peer.seen[FT_MSG_SNAPSHOT_BEGIN];

    return type == FT_MSG_HELLO || (type == FT_MSG_HEARTBEAT && joins);
}

/* Reads what is there. */
void peer_hear(void)
{
    struct pollfd p = {peer.fd, POLLIN, 0};
    struct ft_message m;
    long n;

    while (!peer.ended && poll(&p, 1, 0) > 0) {
        ssize_t got = recv(peer.fd, peer.in + peer.in_len, BUFFER - peer.in_len, 0);

        peer.ended = got <= 0;
        peer.in_len += got > 0 ? (size_t)got : 0;
        while ((n = ft_message_decode(peer.in, peer.in_len, 1, &m, peer.bulk, NULL)) != 0) {
            assert_true(n > 0);
            memmove(peer.in, peer.in + n, peer.in_len - (size_t)n);
            peer.in_len -= (size_t)n;
            peer.seen[m.type]++;
            peer.last[m.type] = m;
            peer.heard = m.sent;
            if (peer_answers(m.type))
                peer_prove();
        }
    }
}

void peer_hello(unsigned self)
{
    struct ft_core_config c;
    struct ft_message m;

    twin_core_config(&c, self, &(struct twin_options){.warm = peer.warm, .every = peer.deltas ? 4 : 0});
    peer.chain = c.chain;
    m = peer_head(FT_MSG_HELLO);
    m.view = peer.state == FT_JOINING ? 0 : peer.view;
    c.incarnation = 77;
    message_hello(&m, &c);
    peer_say(m);
}

void peer_connect(void)
{
    peer_hang_up();
    memset(peer.seen, 0, sizeof(peer.seen));
    peer.in_len = 0;
    peer.heard = 0;
    peer.ended = false;
    if (peer.listener >= 0) {
        struct pollfd p = {peer.listener, POLLIN, 0};

        assert_int_equal(poll(&p, 1, TWIN_LIMIT), 1);
        peer.fd = accept(peer.listener, NULL, NULL);
    } else {
        struct sockaddr_in from = address(0), to = address(twin_place.port[0]);

        peer.fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(peer.fd, (struct sockaddr *)&from, sizeof(from)), 0);
        TWIN_UNTIL(peer.node, connect(peer.fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    }
    assert_true(peer.fd >= 0);
}

/* ---- against a standby ---- */

void peer_add_run(uint64_t line, uint32_t count, bool zero)
{
    static const uint8_t ones[4096 * FT_LINE] = {[0 ... 4096 * FT_LINE - 1] = 0x11};
    struct ft_line_run r = {.line = line, .count = count, .zero = zero, .bytes = zero ? NULL : ones};

    assert_true(ft_line_run_append(peer.content, &peer.content_len, sizeof(peer.content), &r));
}

void peer_end_record(void)
{
    record_finish();
    long n = ft_record_encode(rec, FT_FORMAT_NEWEST, true, peer.content + peer.content_len,
                              sizeof(peer.content) - peer.content_len);

    assert_true(n > 0);
    peer.content_len += (uint32_t)n;
}

void peer_add_record(uint16_t lane, uint64_t burst)
{
    record_begin(lane, 0, burst);
    rec->seq = rec->access = 1;
    rec->time = burst * 1000;
    record_add_bytes();
    peer_end_record();
}

void peer_say_content(enum ft_message_type type)
{
    struct ft_message m = peer_head(type);

    m.bulk = peer.content;
    m.bulk_len = peer.content_len;
    peer_say(m);
    peer.content_len = 0;
}

void peer_add_lane(uint64_t burst, uint64_t outputs, uint8_t *out, uint32_t *len, uint32_t cap)
{
    static uint8_t lines[PEER_LANE * FT_LINE];
    struct nf_lane_state *s = (struct nf_lane_state *)lines;
    struct ft_line_run r = {.line = 0, .count = PEER_LANE, .bytes = lines};

    _Static_assert((sizeof(*s) + FT_LINE - 1) / FT_LINE == PEER_LANE, "the lane's state");
    *s = (struct nf_lane_state){
        .burst = burst, .seq = 1, .time = burst * 1000, .access = 1, .outputs = outputs};
    memset(s->wake, 0xff, sizeof(s->wake));
    assert_true(ft_line_run_append(out, len, cap, &r));
}

void peer_synchronise(bool whole)
{
    struct ft_message m;

    peer.state = FT_SOLO;
    peer_connect();
    peer_hello(0);
    PEER_UNTIL(peer.seen[FT_MSG_HELLO]);
    m = peer_head(FT_MSG_SNAPSHOT_BEGIN);
    m.number = peer.chain;
    peer_say(m);
    PEER_UNTIL(peer.seen[FT_MSG_HEARTBEAT] && peer.last[FT_MSG_HEARTBEAT].state == FT_SYNCING);
    peer.content_len = 0;
    if (!whole)
        return;
    peer_add_lane(0, 0, peer.content, &peer.content_len, sizeof(peer.content));
    peer_say_content(FT_MSG_SNAPSHOT);
    peer_say(peer_head(FT_MSG_SNAPSHOT_END));
    /* Which comes when the view is on the standby's disk. A primary lives until then. */
    PEER_UNTIL(peer.seen[FT_MSG_ACK] || (peer_say(peer_head(FT_MSG_HEARTBEAT)), false));
    TWIN_UNTIL(peer.node,
               ft_order_kind(atomic_load(&peer.node->box->by_node.lane[0].report.done)) == FT_LANE_REPLAY);
}

uint64_t peer_region(void)
{
    uint64_t digest, state;

    twin_digest(peer.node, &digest, &state);
    return digest;
}

/* `content` is refused because of `text`; the region is as before, and another connection is taken. */
void peer_is_refused(enum ft_message_type type, const char *text)
{
    uint64_t before = peer_region(), count = twin_status(peer.node).refused;
    struct rp_status s;

    peer_say_content(type);
    PEER_UNTIL(peer.ended);
    TWIN_UNTIL(peer.node, twin_status(peer.node).refused == count + 1 && twin_state(peer.node) == FT_JOINING);
    s = twin_status(peer.node);
    if (!strstr(s.last_refused, text))
        fail_msg("expected '%s', got '%s'", text, s.last_refused);
    assert_string_equal(s.core.why, s.last_refused);
    assert_int_equal(s.core.state, FT_JOINING);
    assert_int_equal(peer_region(), before);
    peer_synchronise(true);
}

void peer_start_standby(bool warm)
{
    peer.warm = warm;
    peer.node = &peer_twin[1];
    peer.view = PEER_VIEW;
    peer_listen_as(0);
    twin_start(&peer_twin[1],
               &(struct twin_options){.warm = warm, .every = peer.deltas ? 4 : 0, .port = peer.port});
}
