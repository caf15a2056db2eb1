/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of the control sockets may not: take longer than its time, and act where it may only look. */
#define _GNU_SOURCE
#include "understudy/control/server.c"
#include "tests/help/server.h"
#include "tests/help/test.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/*
 * For tests of the control sockets without a thread: a server that takes turns when the test says, by a clock
 * of the test's own, and clients that never wait. Strangers are of another user than the node and root; there
 * are none where the test is not root.
 */

#define WITH_PLACES(f) TEST_WITH(f, places_setup, places_teardown)
#define MS             1000000ull
#define LIMIT          (5000 * MS) /* for a whole request, and for taking a whole answer */
#define STRANGER       65534

static struct nd_server *places_server;

/* ns */
static uint64_t places_now;

static char places_look[80];

static int places_setup(void **state)
{
    snprintf(server_path, sizeof(server_path), "/tmp/places.%d", (int)getpid());
    snprintf(places_look, sizeof(places_look), "%s.look", server_path);
    places_now = 1000000 * MS;
    atomic_store(&server_answers, 0);
    atomic_store(&server_is_later, false);
    help_done(nd_server_open(&places_server, server_path, "", &help_fault));
    return 0;
}

static int places_teardown(void **state)
{
    nd_server_close(places_server);
    return 0;
}

/* Enough turns to take in all who have come. */
static void places_turn(void)
{
    for (int i = 0; i < 10; i++)
        take_turn(places_server, places_now, server_answer, NULL);
}

/* A connection, or -1. */
static int places_dial(const char *path, bool stranger)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), connected;

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (stranger) {
        assert_int_equal(setgroups(0, NULL), 0);
        assert_int_equal(setegid(STRANGER), 0);
        assert_int_equal(seteuid(STRANGER), 0);
    }
    connected = connect(fd, (struct sockaddr *)&at, sizeof(at));
    if (stranger) {
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
    }
    if (connected == 0)
        return help_fd(fd);
    close(fd);
    return -1;
}

/* to the socket that acts */
static int places_stranger(void)
{
    int fd = places_dial(server_path, true);

    assert_true(fd >= 0);
    return fd;
}

/* the same, of the node's own user */
static int places_node_user(void)
{
    int fd = places_dial(server_path, false);

    assert_true(fd >= 0);
    return fd;
}

/* Strangers may open the socket that acts from now on, as members of its group may. Skips without root. */
static void places_let_strangers_in(void)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(server_path, 0666), 0);
}

/* The server has not closed it. */
static bool places_open(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) == 0; /* POLLHUP comes unasked for */
}

/* It is said, and the server has its turns. */
static void places_ask(int fd, const char *request)
{
    assert_true(server_ask(fd, request));
    places_turn();
}

/* A request is answered. */
static void places_served(int fd)
{
    places_ask(fd, ASK "\"n\":1}\n");
    server_hears(fd, "{\"n\":1}");
}

/* ---- time -------------------------------------------------------------------------------------- */

WITH_PLACES(a_request_has_its_time_as_a_whole_though_bytes_trickle)
{
    int fd = places_node_user();

    places_turn();
    for (int i = 0; i < 49; i++) {
        places_now += LIMIT / 50;
        places_ask(fd, " ");
        assert_true(places_open(fd));
    }
    places_now += LIMIT / 50;
    places_ask(fd, " ");
    assert_false(places_open(fd));
}

WITH_PLACES(the_time_begins_anew_with_each_answer)
{
    int fd = places_node_user();

    for (int i = 0; i < 3; i++) {
        places_ask(fd, ASK);
        places_now += LIMIT - MS;
        places_ask(fd, "\"n\":2}\n");
        server_hears(fd, "{\"n\":2}");
    }
    places_now += LIMIT;
    places_turn();
    assert_false(places_open(fd));
}

WITH_PLACES(an_answer_is_taken_in_its_time_or_never)
{
    static char bytes[BIG + 64];
    size_t taken = 0;
    int fd = places_node_user();
    ssize_t n;

    places_ask(fd, ASK "\"big\":1}\n");
    for (int i = 0; i < 50; i++) {
        places_now += LIMIT / 50;
        n = recv(fd, bytes, 1000, 0);
        assert_int_equal(n, 1000);
        taken += 1000;
        places_turn();
    }
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        taken += (size_t)n;
    assert_int_equal(n, 0); /* closed: no EAGAIN */
    assert_true(taken < BIG);
}

WITH_PLACES(the_time_begins_anew_when_the_answer_has_been_taken)
{
    static char bytes[BIG];
    int fd = places_node_user();
    size_t taken = 0;
    ssize_t n;

    places_ask(fd, ASK "\"big\":1}\n");
    places_now += LIMIT - MS;
    while (taken < BIG + 11) { /* {"big":" and "} and the line's end */
        n = recv(fd, bytes, sizeof(bytes), 0);
        assert_true(n > 0);
        taken += (size_t)n;
        places_turn();
    }
    places_now += LIMIT - MS;
    places_turn();
    places_served(fd);
}

WITH_PLACES(an_answer_that_is_too_large_is_refused)
{
    int fd = places_node_user();

    places_ask(fd, ASK "\"huge\":1}\n");
    server_hears(
        fd, "{\"error\":{\"code\":\"too large\",\"text\":\"an answer of 1000011 bytes, expected less than "
            "524288\"}}");
    places_served(fd);
}

/* Work has no deadline of the server's: who answers ends it. */
WITH_PLACES(a_request_at_work_may_take_longer)
{
    int fd = places_node_user();

    places_ask(fd, ASK "\"waits\":1,\"n\":3}\n");
    places_now += 3 * LIMIT;
    places_turn();
    atomic_store(&server_is_later, true);
    places_turn();
    server_hears(fd, "{\"n\":3}");
    places_now += LIMIT - MS;
    places_served(fd);
}

/* ---- who may act ------------------------------------------------------------------------------- */

WITH_PLACES(the_socket_that_looks_refuses_each_command_that_acts)
{
    int look = places_dial(places_look, geteuid() == 0), act = places_node_user();
    unsigned acts = 0;

    assert_true(look >= 0);
    for (int i = 0; i < ND_COMMANDS; i++) {
        const struct nd_command_row *row = &nd_commands[i];
        unsigned steps = atomic_load(&server_answers);
        bool does = row->role != ND_LOOKS;

        const char *ask = help_print("{\"cmd\":\"%s\",\"n\":1}\n", row->name);
        const char *expected =
            help_print("{\"error\":{\"code\":\"no permission\",\"text\":\"%s acts: this socket only answers "
                       "questions, %s acts\"}}",
                       row->name, server_path);
        assert_true(server_ask(look, ask));
        places_now += 20 * MS; /* until its next turn */
        places_turn();
        server_hears(look, does ? expected : "{\"n\":1}");
        assert_int_equal(atomic_load(&server_answers), steps + !does); /* nobody was asked to act */
        places_ask(act, ask);
        server_hears(act, "{\"n\":1}");
        acts += does;
    }
    places_now += 20 * MS;
    assert_true(server_ask(look, ASK "\"whence\":1}\n") && server_ask(act, ASK "\"whence\":1}\n"));
    places_turn();
    server_hears(look, "{\"looks\":true}"); /* who answers knows whence it came */
    server_hears(act, "{\"looks\":false}");
    assert_int_equal(acts, 17); /* of status, watch, show and history it is known that they change nothing */
    assert_true(nd_commands[find_command("status")].role == ND_LOOKS &&
                nd_commands[find_command("show")].role == ND_LOOKS);
}

WITH_PLACES(anybody_may_look_and_owner_and_group_may_act)
{
    struct stat mode;
    int fd;

    assert_int_equal(stat(server_path, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0660);
    assert_int_equal(stat(places_look, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0666);
    if (geteuid() != 0)
        skip();
    assert_int_equal(places_dial(server_path, true), -1);
    fd = places_dial(places_look, true);
    assert_true(fd >= 0);
    places_served(fd);
}

/* Sixteen that ask without end get an answer each in 20 ms; who acts gets one in each turn. */
WITH_PLACES(who_looks_is_served_every_20_ms)
{
    int fd[ND_PLACES], act = places_node_user();

    for (int i = 0; i < ND_PLACES; i++) {
        fd[i] = places_dial(places_look, false);
        for (int k = 0; k < 50; k++)
            assert_true(server_ask(fd[i], ASK "\"n\":1}\n"));
    }
    for (unsigned k = 1; k <= 40; k++) { /* in the first turn half of them are taken in */
        places_turn();
        assert_int_equal(atomic_load(&server_answers), k * ND_PLACES - ND_PLACES / 2);
        places_now += 20 * MS - 1;
        places_turn();
        assert_int_equal(atomic_load(&server_answers), k * ND_PLACES - ND_PLACES / 2);
        places_now += 1;
    }
    places_served(act);
}

/* Who looks takes no place from who acts. */
WITH_PLACES(each_socket_has_places_of_its_own)
{
    int fd[ND_PLACES], act;

    act = places_node_user();
    places_served(act);
    for (int i = 0; i < ND_PLACES; i++) {
        fd[i] = places_dial(places_look, false);
        assert_true(server_ask(fd[i], ASK "\"big\":1}\n"));
        places_now += 20 * MS;
        places_turn();
    }
    places_served(act);
}

/* The control sockets against many clients: who has a place, who loses it to whom, who is served meanwhile.
 */

#define MANY 40

WITH_PLACES(others_are_served_while_one_does_not_read_and_one_waits)
{
    int reader = places_node_user(), waiting = places_node_user(), other = places_node_user();

    assert_true(server_ask(reader, ASK "\"big\":1}\n"));
    places_ask(waiting, ASK "\"later\":1,\"n\":2}\n");
    places_served(other);
    atomic_store(&server_is_later, true);
    places_turn();
    server_hears(waiting, "{\"n\":2}");
}

/* One who asks a hundred times in one write gets one answer in a turn; so does everybody else. */
WITH_PLACES(each_gets_one_answer_in_a_turn)
{
    static const char ask[] = ASK "\"n\":1}\n";
    int many = places_node_user(), one = places_node_user();

    for (int i = 0; i < 100; i++)
        assert_true(server_ask(many, ask));
    assert_true(server_ask(one, ask));
    take_turn(places_server, places_now, server_answer, NULL);
    server_hears(one, "{\"n\":1}");
    assert_int_equal(atomic_load(&server_answers), 2);
}

WITH_PLACES(forty_slow_strangers_keep_nobody_out)
{
    int fd[MANY];

    places_let_strangers_in();
    for (int i = 0; i < MANY; i++) {
        fd[i] = places_stranger();
        assert_true(server_ask(fd[i], ASK));
        places_now += MS;
        places_turn();
    }
    for (int i = 0; i < MANY; i++) /* the last ones have the places */
        assert_int_equal(places_open(fd[i]), i >= MANY - ND_PLACES);
    places_served(places_stranger());
    places_served(places_node_user());
}

WITH_PLACES(forty_of_the_owner_keep_nobody_of_the_owner_out)
{
    for (int i = 0; i < MANY; i++) {
        places_node_user();
        places_turn();
    }
    places_served(places_node_user());
}

WITH_PLACES(strangers_that_do_not_read_give_way_to_the_owner_alone)
{
    int fd[ND_PLACES], late, owner;

    places_let_strangers_in();
    for (int i = 0; i < ND_PLACES; i++) {
        fd[i] = places_stranger();
        assert_true(server_ask(fd[i], ASK "\"big\":1}\n"));
        places_now += MS;
        places_turn();
    }
    late = places_stranger();
    places_turn();
    server_hears(late,
                 "{\"error\":{\"code\":\"busy\",\"text\":\"all places of the control socket are taken\"}}");
    assert_false(places_open(late));
    owner = places_node_user();
    places_served(owner);
    places_served(owner); /* and keeps its place */
    help_close(fd[1]);
    places_turn();
    for (int i = 2; i < ND_PLACES; i++) /* the first one's place went to the owner */
        assert_true(places_open(fd[i]));
}

WITH_PLACES(strangers_do_not_take_the_owners_place)
{
    int owner = places_node_user();

    places_let_strangers_in();
    places_served(owner);
    for (int i = 0; i < MANY; i++) {
        places_now += MS;
        places_stranger();
        places_turn();
    }
    places_served(owner);
}

WITH_PLACES(what_has_begun_is_ended_whoever_comes_or_goes)
{
    int begun, gone, waiting;
    unsigned steps;

    places_let_strangers_in();
    begun = places_stranger();
    gone = places_stranger();
    waiting = places_stranger();
    assert_true(server_ask(begun, ASK "\"later\":1,\"n\":4}\n"));
    assert_true(server_ask(gone, ASK "\"later\":1}\n"));
    places_ask(waiting, ASK "\"waits\":1}\n");
    help_close(gone);
    for (int i = 0; i < MANY; i++) {
        places_node_user();
        places_turn();
    }
    assert_false(places_open(waiting)); /* its turn had not come */
    steps = atomic_load(&server_answers);
    take_turn(places_server, places_now, server_answer, NULL);
    assert_int_equal(atomic_load(&server_answers), steps + 2); /* both that had begun */
    atomic_store(&server_is_later, true);
    places_turn();
    server_hears(begun, "{\"n\":4}");
}

WITH_PLACES(one_who_goes_before_its_turn_frees_its_place)
{
    int fd = places_node_user();
    unsigned steps;

    places_ask(fd, ASK "\"waits\":1}\n");
    help_close(fd);
    places_turn();
    steps = atomic_load(&server_answers);
    places_turn();
    assert_int_equal(atomic_load(&server_answers), steps);
}
