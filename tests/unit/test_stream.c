/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed stream by itself, over a pair of sockets: what a read says when nothing, or more, has come. */
#include "tests/help/test.h"
#include "replicator/stream.h"

#include <errno.h>
#include <sys/socket.h>

static struct rp_seal *seal;
static struct rp_stream *here, *there; /* `there` accepts */

static int setup(void **state)
{
    static const struct rp_keys key = {1, {{1, 2, 3}}};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(rp_seal_open(&seal, &(struct rp_seal_config){.keys = &key}, &help_fault), 0);
    here = rp_stream_open(seal, fds[0], false, "", false);
    there = rp_stream_open(seal, fds[1], true, "", false);
    assert_true(here && there);
    assert_int_equal(rp_stream_handshake(here), 0);
    assert_int_equal(rp_stream_handshake(there), 0);
    assert_int_equal(rp_stream_handshake(here), 1);
    return 0;
}

static int teardown(void **state)
{
    rp_stream_close(here, false);
    rp_stream_close(there, false);
    rp_seal_close(seal);
    return 0;
}

static void must_have(struct rp_stream *s, const char *text)
{
    char got[64];
    bool more;
    ssize_t n = rp_stream_read(s, got, sizeof(got), &more);

    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void must_be_empty(struct rp_stream *s)
{
    char got[64];
    bool more = true;

    assert_int_equal(rp_stream_read(s, got, sizeof(got), &more), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(more || rp_stream_pending(s));
}

/* OpenSSL has read it with the handshake's end, and the socket shows nothing. */
TEST_WITH(what_came_behind_the_handshake_is_read, setup, teardown)
{
    assert_int_equal(rp_stream_write(here, "first", 5), 5);
    assert_int_equal(rp_stream_handshake(there), 1);
    assert_true(rp_stream_pending(there));
    must_have(there, "first");
    must_be_empty(there);
}

TEST_WITH(nothing_is_no_end_and_what_comes_later_is_read, setup, teardown)
{
    assert_int_equal(rp_stream_handshake(there), 1);
    must_be_empty(there);
    assert_int_equal(rp_stream_write(here, "one", 3), 3);
    assert_int_equal(rp_stream_write(here, "two", 3), 3);
    must_have(there, "one");
    assert_true(rp_stream_pending(there));
    must_have(there, "two");
    must_be_empty(there);
    must_be_empty(here);
}
