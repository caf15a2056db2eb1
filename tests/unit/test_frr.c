/* SPDX-License-Identifier: Apache-2.0 */
/* What FRR's shell says of sessions, as bgpd and bfdd of FRR 8.4 print it: is the one that is asked for up?
 */
#define _GNU_SOURCE /* as understudy/track/runner.c */
#include "understudy/track/runner.c"
#include "tests/help/test.h"

#define SESSION(vrf, peer, status)                                                                           \
    "{\"multihop\":false,\"peer\":\"" peer "\",\"interface\":\"eth0\"," vrf                                  \
    "\"id\":1,\"remote-id\":2,\"passive-mode\":false,\"status\":\"" status "\",\"uptime\":5}"
#define OF(name) "\"vrf\":\"" name "\","

/* Of a check of BFD, or BGP, with that peer. */
static bool is_up(enum nd_track_kind kind, const char *peer, const char *said)
{
    struct nd_track track = {.kind = kind};
    struct nd_check check = {.track = &track};
    int ends[2];
    bool up;

    snprintf(track.what, sizeof(track.what), "%s", peer);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], said, strlen(said)), strlen(said));
    close(ends[1]);
    check.output = ends[0];
    up = is_session_up(&check);
    close(ends[0]);
    return up;
}

TEST(bfd)
{
    assert_true(is_up(ND_TRACK_BFD, "192.0.2.1", "[" SESSION("", "192.0.2.1", "up") "]"));
    assert_true(is_up(ND_TRACK_BFD, "192.0.2.1", "[" SESSION(OF("default"), "192.0.2.1", "up") "]"));
    assert_false(is_up(ND_TRACK_BFD, "192.0.2.1", "[" SESSION("", "192.0.2.1", "down") "]"));
    assert_false(is_up(ND_TRACK_BFD, "192.0.2.1", "[" SESSION("", "192.0.2.11", "up") "]"));
    assert_false(is_up(ND_TRACK_BFD, "192.0.2.1", "[]"));
    assert_false(is_up(ND_TRACK_BFD, "192.0.2.1", "% Unknown command"));
}

/* bfdd tells of those of all VRFs, when it is asked for none. */
TEST(a_session_of_another_vrf_is_another_one)
{
    assert_false(is_up(ND_TRACK_BFD, "192.0.2.1",
                       "[" SESSION("", "192.0.2.1", "down") "," SESSION(OF("red"), "192.0.2.1", "up") "]"));
    assert_true(is_up(ND_TRACK_BFD, "192.0.2.1",
                      "[" SESSION(OF("red"), "192.0.2.1", "down") "," SESSION("", "192.0.2.1", "up") "]"));
}

TEST(bgp)
{
    assert_true(is_up(ND_TRACK_BGP, "192.0.2.1", "{\"192.0.2.1\":{\"bgpState\":\"Established\"}}"));
    assert_false(is_up(ND_TRACK_BGP, "192.0.2.1", "{\"192.0.2.1\":{\"bgpState\":\"Active\"}}"));
    assert_false(is_up(ND_TRACK_BGP, "192.0.2.1", "{\"bgpNoSuchNeighbor\":true}"));
}
