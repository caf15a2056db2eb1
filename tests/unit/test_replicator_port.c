/* SPDX-License-Identifier: Apache-2.0 */
/* A real standby whose lane has a port to its peer's, and whose primary is the test (peer.h): the stream
 * comes by the connection, by the port, and by the connection again. What comes by the port is the test's
 * word, in the lane's place, which rests. */
#include "tests/help/peer.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

static struct twin *const b = &peer_twin[1];

static void add_record(uint64_t burst, uint64_t access, uint32_t accesses)
{
    record_begin(0, 0, burst);
    rec->seq = 1;
    rec->access = access;
    rec->accesses = accesses;
    rec->time = burst * 1000;
    record_add_bytes();
    peer_end_record();
}

static void begin(void)
{
    peer_start_standby(false);
    peer_synchronise(true);
    twin_stall(b);
}

/* With all accesses up to that one. */
static void comes_by_port(uint64_t burst, uint64_t access)
{
    atomic_store(&b->box->access_by_port, access);
    atomic_store(&b->box->by_port, burst);
    TWIN_UNTIL(b, atomic_load(&b->box->by_node.by_port) == burst);
}

static int setup(void **state)
{
    int error = peer_setup(state);

    peer.port = true;
    return error;
}

TEST_WITH(accesses_go_on_behind_a_stretch_by_the_port_that_has_none, setup, peer_teardown)
{
    begin();
    add_record(1, 1, 3); /* accesses 1 to 3 */
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 1);
    comes_by_port(5, 3); /* bursts 2 to 5 */
    add_record(5, 4, 0); /* once more */
    add_record(6, 4, 2);
    add_record(7, 6, 0);
    add_record(8, 6, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 8 || twin_status(b).refused);
    assert_string_equal(twin_status(b).last_refused, "");
}

TEST_WITH(accesses_go_on_behind_a_stretch_by_the_port_that_has_some, setup, peer_teardown)
{
    begin();
    comes_by_port(3, 8);
    add_record(4, 9, 0); /* bursts 1 to 3 had accesses 1 to 8 */
    add_record(5, 9, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 5 || twin_status(b).refused);
    assert_string_equal(twin_status(b).last_refused, "");
    add_record(6, 11, 1); /* access 10 is missing */
    peer_say_content(FT_MSG_LOG);
    TWIN_UNTIL(b, twin_status(b).refused == 1);
    assert_string_equal(twin_status(b).last_refused, "log: burst 6 of lane 0: out of order");
}

/* Accesses 9 to 19 are nowhere: who waited for them in a takeover would wait for ever. */
TEST_WITH(a_record_behind_a_stretch_by_the_port_leaves_no_access_out, setup, peer_teardown)
{
    begin();
    comes_by_port(3, 8);
    add_record(4, 20, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 4 || twin_status(b).refused);
    assert_string_equal(twin_status(b).last_refused, "log: burst 4 of lane 0: out of order");
}
