/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real replicator (help_twin.h) whose peer is this test, on a plain socket: messages that are well-formed
 * frames and say what must not be. Each is refused by name and counted, nothing of it is kept, and the node
 * goes on with the next connection.
 */
#include "ftcore/record/record.h"
#include "ftcore/record/runs.h"
#include "tests/unit/help_chunk.h"
#include "tests/unit/help_record.h"
#include "tests/unit/help_twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VIEW   5
#define TABLE  (FT_ARENA_ALIGN >> FT_LINE_SHIFT) /* first line of the second arena */
#define LINES  (TWIN_WORDS * 8 / FT_LINE)        /* lines of the table */
#define BUFFER (FT_MESSAGE_MAX + FT_FRAME_HEAD)

static struct twin twin[2], *const a = &twin[0], *const b = &twin[1];
static struct twin *node; /* the real one */

/* What we, the peer, have. */
static int listener = -1, fd = -1;
static uint8_t *in, *bulk;
static size_t in_len;
static uint64_t heard, last_sent; /* newest `sent` of the node; our own */
static uint64_t view;             /* that we speak in */
static enum ft_state we;
static unsigned seen[FT_MSG_TYPES];
static struct ft_message last[FT_MSG_TYPES];
static bool ended, mute; /* mute: answers no hello, as a recording */

static int setup(void **state)
{
    (void)state;
    memset(twin, 0, sizeof(twin));
    twin_world(twin);
    in = malloc(BUFFER);
    bulk = malloc(FT_BULK_MAX);
    return 0;
}

static void hang_up(void)
{
    if (fd >= 0)
        close(fd);
    fd = -1;
}

static int teardown(void **state)
{
    (void)state;
    hang_up();
    if (listener >= 0)
        close(listener);
    listener = -1;
    twin_world_end(twin);
    free(in);
    free(bulk);
    return 0;
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the peer ---------------------------------------------------------------------------------- */

static struct sockaddr_in address(unsigned self, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, twin_host(self), &at.sin_addr);
    return at;
}

static void listen_as(unsigned self)
{
    struct sockaddr_in at = address(self, twin_port(self));
    int on = 1;

    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 4), 0);
}

static void say_raw(const void *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        ended = true;
}

static struct ft_message head(enum ft_message_type type)
{
    uint64_t t = now();

    last_sent = t > last_sent ? t : last_sent + 1;
    return (struct ft_message){
        .type = type, .state = (uint8_t)we, .view = view, .sent = last_sent, .echo = heard};
}

static void say(struct ft_message m)
{
    size_t cap = ft_message_bound(&m);
    uint8_t *frame = malloc(cap);
    long n = ft_message_encode(&m, 1, NULL, frame, cap);

    assert_true(n > 0);
    say_raw(frame, (size_t)n);
    free(frame);
}

static void prove(void)
{
    struct ft_message m = head(FT_MSG_BEAT);

    m.view = we == FT_JOINING ? 0 : view;
    say(m);
}

/* Reads what is there. */
static void hear(void)
{
    struct pollfd p = {fd, POLLIN, 0};
    struct ft_message m;
    long n;

    while (!ended && poll(&p, 1, 0) > 0) {
        ssize_t got = recv(fd, in + in_len, BUFFER - in_len, 0);

        ended = got <= 0;
        in_len += got > 0 ? (size_t)got : 0;
        while ((n = ft_message_decode(in, in_len, 1, &m, bulk, NULL)) != 0) {
            assert_true(n > 0);
            memmove(in, in + n, in_len - (size_t)n);
            in_len -= (size_t)n;
            seen[m.type]++;
            last[m.type] = m;
            heard = m.sent;
            if (m.type == FT_MSG_HELLO && !mute)
                prove();
        }
    }
}

#define UNTIL(cond) TWIN_UNTIL(node, (hear(), (cond)))

static void hello(unsigned self)
{
    struct ft_core_config c;
    struct ft_message m;

    twin_core_config(&c, self);
    m = head(FT_MSG_HELLO);
    m.view = we == FT_JOINING ? 0 : view;
    m.incarnation = 77;
    memcpy(m.name, c.name, sizeof(m.name));
    m.role = c.role;
    m.lanes = 1;
    m.lease_ms = c.lease_ms;
    m.detect_ms = c.detect_ms;
    m.promote_within_ms = c.promote_within_ms;
    m.solo_after_ms = c.solo_after_ms;
    m.bulk = (const uint8_t *)c.identity;
    m.bulk_len = m.identity_len = c.identity_len;
    say(m);
}

static void new_connection(void)
{
    hang_up();
    memset(seen, 0, sizeof(seen));
    in_len = 0;
    heard = 0;
    ended = false;
    if (listener >= 0) {
        struct pollfd p = {listener, POLLIN, 0};

        assert_int_equal(poll(&p, 1, TWIN_LIMIT), 1);
        fd = accept(listener, NULL, NULL);
    } else {
        struct sockaddr_in from = address(1, 0), to = address(0, twin_port(0));

        fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
        TWIN_UNTIL(node, connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    }
    assert_true(fd >= 0);
}

/* ---- against a standby ------------------------------------------------------------------------- */

static uint8_t content[FT_BULK_MAX];
static uint32_t content_len;

static void run(uint64_t line, uint32_t count, bool zero)
{
    static const uint8_t ones[4096 * FT_LINE] = {[0 ... 4096 * FT_LINE - 1] = 0x11};
    struct ft_line_run r = {.line = line, .count = count, .zero = zero, .bytes = zero ? NULL : ones};

    assert_true(ft_run_append(content, &content_len, sizeof(content), &r));
}

static void record(uint16_t lane, uint64_t burst)
{
    record_begin(lane, 0, burst);
    rec->seq = 0;
    rec->time = burst * 1000;
    record_add_bytes();
    record_finish();
    long n = ft_record_encode(rec, content + content_len, sizeof(content) - content_len);

    assert_true(n > 0);
    content_len += (uint32_t)n;
}

static void say_content(enum ft_message_type type)
{
    struct ft_message m = head(type);

    m.bulk = content;
    m.bulk_len = content_len;
    say(m);
    content_len = 0;
}

/* The standby has begun to take a snapshot, and with `whole` has it: an empty lane state, and its own table.
 */
static void synchronise(bool whole)
{
    struct ft_message m;

    we = FT_SOLO;
    new_connection();
    hello(0);
    UNTIL(seen[FT_MSG_HELLO]);
    m = head(FT_MSG_SNAPSHOT_BEGIN);
    say(m);
    UNTIL(seen[FT_MSG_BEAT] && last[FT_MSG_BEAT].state == FT_SYNCING);
    content_len = 0;
    if (!whole)
        return;
    run(0, 1, true);
    say_content(FT_MSG_SNAPSHOT);
    say(head(FT_MSG_SNAPSHOT_END));
    UNTIL(seen[FT_MSG_ACK]);
    TWIN_UNTIL(node, atomic_load(&node->box->doing) == FT_LANE_REPLAY);
}

static uint64_t region(void)
{
    uint64_t digest, state;

    twin_digest(node, &digest, &state);
    return digest;
}

/* `content` is refused because of `text`; the region is as before. */
static void refused(enum ft_message_type type, const char *text)
{
    uint64_t before = region(), count = twin_status(node).refused;
    struct rp_status s;

    say_content(type);
    UNTIL(ended);
    TWIN_UNTIL(node, twin_status(node).refused == count + 1 && twin_state(node) == FT_JOINING);
    s = twin_status(node);
    if (!strstr(s.last_refused, text))
        fail_msg("expected '%s', got '%s'", text, s.last_refused);
    assert_string_equal(s.core.why, s.last_refused);
    assert_int_equal(s.core.state, FT_JOINING);
    assert_int_equal(region(), before);
}

static void start_standby(void)
{
    node = b;
    view = VIEW;
    listen_as(0);
    twin_start(b, NULL);
}

static void snapshots_that_lie(void **state)
{
    (void)state;
    start_standby();
    synchronise(false);
    run(TABLE, 8, false); /* good, and must not be taken all the same */
    run(1, 1, false);     /* behind the lane state's only line */
    refused(FT_MSG_SNAPSHOT, "snapshot: lines 1+1 lie outside every arena");

    synchronise(false);
    run(TABLE, 8, false);
    run(TABLE + LINES - 4, 8, false); /* over the end of the table */
    refused(FT_MSG_SNAPSHOT, "lie outside every arena");

    synchronise(false);
    run(TABLE, 8, false);
    run(TABLE - 1, 2, true); /* zeros before it */
    refused(FT_MSG_SNAPSHOT, "lie outside every arena");

    synchronise(false);
    run(TABLE, 8, false);
    run(1ull << 60, 1, true); /* outside the region */
    refused(FT_MSG_SNAPSHOT, "snapshot: a run is cut short, or lies outside the region");

    synchronise(false);
    run(TABLE, 8, false);
    run(TABLE + 8, 8, false);
    content_len -= 100; /* ends inside a run */
    refused(FT_MSG_SNAPSHOT, "snapshot: a run is cut short, or lies outside the region");
    twin_end(b);
}

static void logs_that_lie(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    record(0, 1);
    memset(content + content_len, 0xc1, 40); /* what msgpack never uses */
    content_len += 40;
    refused(FT_MSG_LOG, "offset");

    synchronise(true);
    record(0, 1);
    record(0, 2);
    content[content_len - 1] ^= 1; /* its checksum */
    refused(FT_MSG_LOG, "checksum");

    synchronise(true);
    record(0, 1);
    record(0, 2);
    content_len -= 5;
    refused(FT_MSG_LOG, "");

    synchronise(true);
    record(0, 1);
    record(5, 1);
    refused(FT_MSG_LOG, "log: a record of lane 5, there are 1");

    synchronise(true);
    record(0, 1);
    record(0, 3);
    refused(FT_MSG_LOG, "log: burst 3 of lane 0: out of order");

    synchronise(true);
    record(0, 1);
    record(0, 1);
    refused(FT_MSG_LOG, "log: burst 1 of lane 0: out of order");
    twin_end(b);
}

static void dependency_to_nowhere(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    record_begin(0, 0, 1);
    rec->seq = 0;
    rec->access = 1;
    rec->accesses = 1;
    record_add_bytes();
    record_add_dependency(1, 3, 1); /* a lane that is not there */
    record_finish();
    long n = ft_record_encode(rec, content, sizeof(content));

    assert_true(n > 0);
    content_len = (uint32_t)n;
    refused(FT_MSG_LOG, "log: burst 1 of lane 0: malformed");
    twin_end(b);
}

/* More than any credit allowed: refused, and nothing has grown. */
static void flood(void **state)
{
    uint64_t burst = 1, most = TWIN_PENDING + 2 * FT_RECORD_MAX;

    (void)state;
    start_standby();
    atomic_store(&b->box->per_turn, 0);
    synchronise(true);
    while (!ended && burst * sizeof(struct ft_record) < 8 * most) {
        for (unsigned i = 0; i < 500; i++)
            record(0, burst++);
        struct ft_message m = head(FT_MSG_LOG);
        m.bulk = content;
        m.bulk_len = content_len;
        content_len = 0;
        if (twin_status(b).refused)
            break;
        say(m);
        hear();
    }
    TWIN_UNTIL(b, twin_status(b).refused == 1);
    assert_string_equal(twin_status(b).last_refused, "log: more records than this node said it could keep");
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING);
    atomic_store(&b->box->per_turn, 64);
    synchronise(true); /* and again */
    record(0, 1);
    say_content(FT_MSG_LOG);
    UNTIL(last[FT_MSG_ACK].burst[0] == 1 && atomic_load(&b->box->closed) == 1);
    twin_end(b);
}

/* ---- deltas ---- */

/* The head of a chunk, to be bent before end_chunk. The share of a lane that did one burst, and nothing in
 * it.
 */
static void a_chunk(uint64_t cut, uint64_t from, uint64_t burst, uint32_t number, bool last_one)
{
    chunk_begin(0, cut, from, burst);
    chunk->number = number;
    chunk->outputs = 9;
    chunk->flags |= last_one ? FT_CHUNK_LAST : 0;
}

/* A run of a chunk; bytes as help_chunk.h makes them. */
static void lines_of(uint64_t line, uint32_t count)
{
    assert_true(chunk_add_run(line, count, false));
}

/* The lane's state after `burst`: without it the standby's own lane would find the delta wrong. */
static void lane_line(uint64_t burst)
{
    struct twin_lane_state s = {.burst = burst, .time = burst * 1000, .outputs = chunk->outputs};
    uint8_t line[FT_LINE] = {0};
    struct ft_line_run r = {.line = 0, .count = 1, .bytes = line};

    memcpy(line, &s, sizeof(s));
    assert_true(ft_run_append(ft_chunk_lines(chunk), &chunk->lines, FT_CHUNK_LINES, &r));
}

static void end_chunk(void)
{
    chunk_finish();
    long n = ft_chunk_encode(chunk, content + content_len, sizeof(content) - content_len);

    assert_true(n > 0);
    content_len += (uint32_t)n;
}

static void plain_chunk(uint64_t cut, uint64_t from, uint64_t burst, uint32_t number, bool last_one)
{
    a_chunk(cut, from, burst, number, last_one);
    end_chunk();
}

/* The good one, in two chunks, whose lines must not show before the second has come. */
static void a_delta(void **state)
{
    uint64_t before;

    (void)state;
    start_standby();
    synchronise(true);
    before = region();
    a_chunk(1, 0, 7, 0, false);
    lane_line(7);
    lines_of(TABLE, 4);
    end_chunk();
    say_content(FT_MSG_DELTA);
    TWIN_UNTIL(node, twin_status(node).chunks_stored == 1);
    assert_int_equal(region(), before);
    assert_int_equal(atomic_load(&b->box->closed), 0);
    a_chunk(1, 0, 7, 1, true);
    lines_of(TABLE + 4, 4);
    chunk_add_output(3, 6, 0, 60, 0, 0);
    end_chunk();
    say_content(FT_MSG_DELTA);
    UNTIL(last[FT_MSG_ACK].burst[0] == 7 && atomic_load(&b->box->closed) == 7);
    assert_int_not_equal(region(), before);
    plain_chunk(2, 7, 7, 0, true); /* nothing was done */
    say_content(FT_MSG_DELTA);
    UNTIL(atomic_load(&b->box->applied) == 2);
    record(0, 8); /* a log segment and its checkpoint */
    say_content(FT_MSG_LOG);
    a_chunk(3, 7, 8, 0, true);
    lane_line(8); /* the record may have been passed over */
    end_chunk();
    say_content(FT_MSG_DELTA);
    UNTIL(last[FT_MSG_ACK].burst[0] == 8 && atomic_load(&b->box->applied) == 3);
    assert_int_equal(atomic_load(&b->box->closed), 8);
    assert_int_equal(twin_status(b).refused, 0);
    twin_end(b);
}

static void deltas_that_lie(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    memset(content + content_len, 0xc1, 40);
    content_len += 40;
    refused(FT_MSG_DELTA, "offset");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    record(0, 6); /* in a message of the other kind */
    refused(FT_MSG_DELTA, "array of 16, expected 17");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    refused(FT_MSG_LOG, "array of 17, expected 16");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    a_chunk(2, 5, 5, 0, true);
    chunk->lane = 5;
    end_chunk();
    refused(FT_MSG_DELTA, "delta: a chunk of lane 5, there are 1");

    synchronise(true);
    plain_chunk(2, 0, 5, 0, true);
    refused(FT_MSG_DELTA, "delta: cut 2 of lane 0, from burst 0 to 5: out of order");

    synchronise(true);
    plain_chunk(1, 3, 5, 0, true); /* another snapshot */
    refused(FT_MSG_DELTA, "delta: cut 1 of lane 0, from burst 3 to 5: out of order");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    plain_chunk(1, 0, 5, 0, true); /* again */
    refused(FT_MSG_DELTA, "delta: cut 1 of lane 0, from burst 0 to 5: out of order");

    synchronise(true);
    record(0, 1);
    say_content(FT_MSG_LOG);
    twin_await_closed(b, 1);        /* or the region would change while it is compared */
    plain_chunk(1, 0, 2, 0, false); /* a checkpoint of more than is held */
    refused(FT_MSG_DELTA, "delta: cut 1 of lane 0, from burst 0 to 2: out of order");
    twin_end(b);
}

static void another_delta(void (*bend)(void))
{
    synchronise(true);
    plain_chunk(1, 0, 5, 0, false);
    a_chunk(1, 0, 5, 1, true);
    bend();
    end_chunk();
    refused(FT_MSG_DELTA, "delta: part 1 of cut ");
    if (!strstr(twin_status(b).last_refused, "is of another delta"))
        fail_msg("got '%s'", twin_status(b).last_refused);
}

static void bend_cut(void)
{
    chunk->cut++;
}
static void bend_from(void)
{
    chunk->from++;
}
static void bend_burst(void)
{
    chunk->burst++;
}
static void bend_seq(void)
{
    chunk->seq++;
}
static void bend_access(void)
{
    chunk->access++;
}
static void bend_outputs(void)
{
    chunk->outputs++;
}

static void chunks_that_lie(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    plain_chunk(1, 0, 5, 1, true);
    refused(FT_MSG_DELTA, "delta: part 1 of cut 1 of lane 0, expected part 0");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, false);
    plain_chunk(1, 0, 5, 2, true);
    refused(FT_MSG_DELTA, "delta: part 2 of cut 1 of lane 0, expected part 1");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, false);
    plain_chunk(1, 0, 5, 0, true);
    refused(FT_MSG_DELTA, "delta: part 0 of cut 1 of lane 0, expected part 1");

    synchronise(true);
    plain_chunk(1, 0, 5, 0, false);
    say_content(FT_MSG_DELTA);
    record(0, 1);
    refused(FT_MSG_LOG, "log: burst 1 of lane 0 between the chunks of a delta");

    synchronise(true);
    a_chunk(1, 0, 0, 0, true);
    chunk->flags |= FT_CHUNK_INCREMENTAL;
    end_chunk();
    refused(FT_MSG_DELTA,
            "delta: more chunks than this node said it could keep"); /* a hot one expects none */

    another_delta(bend_cut);
    another_delta(bend_from);
    another_delta(bend_burst);
    another_delta(bend_seq);
    another_delta(bend_access);
    another_delta(bend_outputs);
    twin_end(b);
}

static void lines_that_lie(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    a_chunk(1, 0, 5, 0, true);
    lines_of(TABLE, 4);
    lines_of(TABLE + LINES - 1, 2);
    end_chunk();
    refused(FT_MSG_DELTA, "lie outside the arenas of lane 0");

    synchronise(true);
    a_chunk(1, 0, 5, 0, true);
    lines_of(1, 1); /* behind the lane state's only line */
    end_chunk();
    refused(FT_MSG_DELTA, "delta: lines 1+1 lie outside the arenas of lane 0");

    synchronise(true);
    a_chunk(1, 0, 5, 0, false);
    lines_of(TABLE + 8, 4);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    lines_of(TABLE + 11, 1); /* once more */
    end_chunk();
    refused(FT_MSG_DELTA, "delta: line 4107 of lane 0 after line 4107");

    synchronise(true);
    a_chunk(1, 0, 5, 0, false);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    refused(FT_MSG_DELTA, "delta: output 4 of burst 3 of lane 0 out of order");

    synchronise(true);
    a_chunk(1, 0, 5, 0, false);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    chunk_add_output(5, 2, 0, 60, 0, 0);
    end_chunk();
    refused(FT_MSG_DELTA, "delta: output 5 of burst 2 of lane 0 out of order");
    twin_end(b);
}

/* Chunks of a delta that never ends use up the room that was promised, and no more. */
static void flood_of_chunks(void **state)
{
    uint32_t number = 0;

    (void)state;
    start_standby();
    synchronise(true);
    while (!ended && !twin_status(b).refused && number < 100000) {
        for (unsigned i = 0; i < 500; i++)
            plain_chunk(1, 0, 5, number++, false);
        say_content(FT_MSG_DELTA);
        hear();
    }
    TWIN_UNTIL(b, twin_status(b).refused == 1);
    assert_string_equal(twin_status(b).last_refused, "delta: more chunks than this node said it could keep");
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING);
    synchronise(true); /* and again */
    a_chunk(1, 0, 5, 0, true);
    lane_line(5);
    end_chunk();
    say_content(FT_MSG_DELTA);
    UNTIL(last[FT_MSG_ACK].burst[0] == 5 && atomic_load(&b->box->closed) == 5);
    twin_end(b);
}

/* What is right in itself but not now is passed over, not refused. */
static void out_of_season(void **state)
{
    struct ft_message m;
    uint64_t before;

    (void)state;
    start_standby();
    synchronise(true);
    before = region();
    run(TABLE, 8, false); /* the snapshot is whole */
    say_content(FT_MSG_SNAPSHOT);
    record(0, 1);
    m = head(FT_MSG_LOG);
    m.view = view - 1; /* of a reign that is over */
    m.bulk = content;
    m.bulk_len = content_len;
    say(m);
    content_len = 0;
    say(head(FT_MSG_STEERED));
    say(head(FT_MSG_ACK));
    m = head(FT_MSG_BEAT);
    say(m);
    UNTIL(last[FT_MSG_BEAT].echo >= m.sent);
    assert_int_equal(region(), before);
    assert_int_equal(twin_status(b).refused, 0);
    assert_int_equal(twin_state(b), FT_SYNCING);
    record(0, 1);
    say_content(FT_MSG_LOG);
    UNTIL(last[FT_MSG_ACK].burst[0] == 1 && atomic_load(&b->box->closed) == 1);
    twin_end(b);
}

/*
 * Records whose own head says that their sender reigns no more: not a lie, but the last words of a primary
 * that has dropped its state. The takeover that they cause has them. No lane replays before it is told to go
 * live, so nothing else can bring them in.
 */
static void last_words(void **state)
{
    (void)state;
    start_standby();
    synchronise(true);
    atomic_store(&b->box->per_turn, 0);
    we = FT_DEGRADED;
    say(head(FT_MSG_HOLDING));
    UNTIL(last[FT_MSG_ACK].state == FT_READY);
    we = FT_PROTECTED;
    record(0, 1);
    say_content(FT_MSG_LOG);
    UNTIL(last[FT_MSG_ACK].burst[0] == 1);
    we = FT_JOINING;
    record(0, 2);
    record(0, 3);
    say_content(FT_MSG_LOG);
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && atomic_load(&b->box->doing) == FT_LANE_LIVE);
    assert_int_equal(twin_status(b).core.view, VIEW + 1);
    assert_int_equal(atomic_load(&b->box->live_from), 3);
    twin_end(b);
}

/* A snapshot that the core does not begin does not touch the log that is coming in. */
static void a_snapshot_begun_by_nobody(void **state)
{
    struct ft_message m;

    (void)state;
    start_standby();
    synchronise(true);
    record(0, 1);
    record(0, 2);
    say_content(FT_MSG_LOG);
    UNTIL(last[FT_MSG_ACK].burst[0] == 2);
    we = FT_PROTECTED; /* which sends no snapshot */
    m = head(FT_MSG_SNAPSHOT_BEGIN);
    m.burst[0] = 40;
    say(m);
    we = FT_SOLO;
    record(0, 3);
    say_content(FT_MSG_LOG);
    UNTIL(last[FT_MSG_ACK].burst[0] == 3 && atomic_load(&b->box->closed) == 3);
    assert_int_equal(twin_status(b).refused, 0);
    twin_end(b);
}

/* What is claimed in a head is bounded, and what is told in words can be shown. */
static void heads_that_lie(void **state)
{
    struct ft_message m;

    (void)state;
    start_standby();
    synchronise(true);
    m = head(FT_MSG_BEAT);
    m.echo = now() + 3600000000000ull;
    say(m);
    UNTIL(ended);
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING && strstr(twin_status(b).core.why, "it echoes"));
    assert_non_null(strstr(twin_status(b).last_refused, "it echoes"));

    synchronise(true);
    m = head(FT_MSG_BEAT);
    m.view = FT_VIEW_MAX + 1;
    say(m);
    UNTIL(ended);
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING && strstr(twin_status(b).core.why, "is beyond any"));
    assert_int_equal(twin_status(b).core.view, VIEW);

    synchronise(true);
    m = head(FT_MSG_ABANDON);
    strcpy(m.text, "so \xff\xc3 be it");
    say(m);
    UNTIL(ended); /* it joins, and then closes */
    TWIN_UNTIL(b, !strcmp(twin_status(b).core.why, "so ?? be it"));
    twin_end(b);
}

static void no_hello(void **state)
{
    (void)state;
    start_standby();
    we = FT_SOLO;
    new_connection();
    say(head(FT_MSG_SNAPSHOT_BEGIN));
    UNTIL(ended);
    synchronise(true);
    twin_end(b);
}

/* ---- against a primary -------------------------------------------------------------------------- */

static void make_protected(void)
{
    view = 1;
    we = FT_JOINING;
    new_connection();
    hello(1);
    UNTIL(seen[FT_MSG_SNAPSHOT_BEGIN]);
    we = FT_SYNCING;
    say(head(FT_MSG_BEAT));
    UNTIL(seen[FT_MSG_SNAPSHOT_END]);
    say(head(FT_MSG_ACK));
    UNTIL(seen[FT_MSG_HOLDING]);
    we = FT_READY;
    say(head(FT_MSG_ACK));
    UNTIL(twin_state(a) == FT_PROTECTED);
}

/* A primary that cannot read its standby holds, says so, and does not close: that would look like death. */
static void primary_abandons(void **state)
{
    static const uint8_t garbage[64] = "this is no frame, and its length is absurd";
    struct pollfd p;

    (void)state;
    node = a;
    atomic_store(&a->box->target, 0);
    twin_start(a, NULL);
    make_protected();
    atomic_store(&a->box->target, 20);
    twin_await_closed(a, 20);
    UNTIL(seen[FT_MSG_LOG]);
    assert_int_equal(atomic_load(&a->box->outputs), 0); /* we have acknowledged none */
    say_raw(garbage, sizeof(garbage));
    UNTIL(seen[FT_MSG_ABANDON]);
    assert_non_null(strstr(last[FT_MSG_ABANDON].text, "frame of"));
    TWIN_UNTIL(a, twin_status(a).refused == 1 && twin_state(a) == FT_DEGRADED);
    p = (struct pollfd){fd, POLLIN, 0};
    for (unsigned i = 0; i < 200 && !ended; i++) {
        poll(&p, 1, 5);
        hear();
    }
    assert_false(ended);
    assert_int_equal(atomic_load(&a->box->outputs), 0);

    we = FT_JOINING; /* as we were told to; our right has ended, so it may go on */
    new_connection();
    hello(1);
    TWIN_UNTIL(a, atomic_load(&a->box->outputs) > 0);
    twin_end(a);
}

/* If the standby never answers, its right ends by itself, and the primary goes on alone. */
static void primary_waits_out_the_right(void **state)
{
    uint64_t began;

    (void)state;
    node = a;
    twin_start(a, NULL);
    make_protected();
    atomic_store(&a->box->target, 20);
    twin_await_closed(a, 20);
    began = now();
    say_raw("\xff\xff\xff\xff", 4);
    UNTIL(ended);
    assert_true(now() - began > 3000000000ull); /* promote_within_ms */
    TWIN_UNTIL(a, twin_state(a) == FT_SOLO && atomic_load(&a->box->outputs) > 0);
    twin_end(a);
}

/* An old hello of ours from our address, beside our connection and alone. */
static void a_hello_of_old(void **state)
{
    struct ft_message beat;
    int true_one;

    (void)state;
    node = a;
    twin_start(a, NULL);
    make_protected();
    true_one = fd;
    fd = -1;
    mute = true;
    we = FT_JOINING;
    new_connection();
    hello(1);
    UNTIL(seen[FT_MSG_HELLO]); /* it asks */
    usleep(5000);
    hang_up();
    mute = false;
    fd = true_one;
    ended = false;
    in_len = 0;
    we = FT_READY;
    seen[FT_MSG_BEAT] = 0;
    for (unsigned i = 0; i < 20; i++) {
        UNTIL(seen[FT_MSG_BEAT]);
        seen[FT_MSG_BEAT] = 0;
        say(head(FT_MSG_BEAT));
    }
    beat = last[FT_MSG_BEAT];
    assert_int_equal(beat.state, FT_PROTECTED);
    assert_false(ended);
    assert_int_equal(twin_status(a).link.connects, 1);

    /* A process that is new, and says so. */
    fd = -1;
    we = FT_JOINING;
    new_connection();
    hello(1);
    UNTIL(seen[FT_MSG_SNAPSHOT_BEGIN]);
    TWIN_UNTIL(a, twin_status(a).link.connects == 2);
    close(true_one);
    twin_end(a);
}

int main(void)
{
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(snapshots_that_lie),
        WITH_WORLD(logs_that_lie),
        WITH_WORLD(dependency_to_nowhere),
        WITH_WORLD(flood),
        WITH_WORLD(a_delta),
        WITH_WORLD(deltas_that_lie),
        WITH_WORLD(chunks_that_lie),
        WITH_WORLD(lines_that_lie),
        WITH_WORLD(flood_of_chunks),
        WITH_WORLD(out_of_season),
        WITH_WORLD(no_hello),
        WITH_WORLD(a_snapshot_begun_by_nobody),
        WITH_WORLD(heads_that_lie),
        WITH_WORLD(a_hello_of_old),
        WITH_WORLD(primary_abandons),
        WITH_WORLD(primary_waits_out_the_right),
        WITH_WORLD(last_words),
    };

    return cmocka_run_group_tests_name("replicator, hostile", tests, NULL, NULL);
}
