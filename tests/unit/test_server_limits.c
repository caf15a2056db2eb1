/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of the control sockets may not: take longer than its time, and act where it may only look. */
#include "tests/help/places.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- time -------------------------------------------------------------------------------------- */

static void a_request_has_its_time_as_a_whole_though_bytes_trickle(void **state)
{
    int fd = places_node_user();

    (void)state;
    places_turn();
    for (int i = 0; i < 49; i++) {
        places_now += LIMIT / 50;
        assert_true(server_ask(fd, " "));
        places_turn();
        assert_true(places_open(fd));
    }
    places_now += LIMIT / 50;
    assert_true(server_ask(fd, " "));
    places_turn();
    assert_false(places_open(fd));
    close(fd);
}

static void the_time_begins_anew_with_each_answer(void **state)
{
    int fd = places_node_user();

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(server_ask(fd, ASK));
        places_turn();
        places_now += LIMIT - MS;
        assert_true(server_ask(fd, "\"n\":2}\n"));
        places_turn();
        places_hears(fd, "{\"n\":2}");
    }
    places_now += LIMIT;
    places_turn();
    assert_false(places_open(fd));
    close(fd);
}

static void an_answer_is_taken_in_its_time_or_never(void **state)
{
    static char bytes[BIG + 64];
    size_t taken = 0;
    int fd = places_node_user();
    ssize_t n;

    (void)state;
    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    places_turn();
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
    close(fd);
}

static void the_time_begins_anew_when_the_answer_has_been_taken(void **state)
{
    static char bytes[BIG];
    int fd = places_node_user();
    size_t taken = 0;
    ssize_t n;

    (void)state;
    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    places_turn();
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
    close(fd);
}

static void an_answer_that_is_too_large_is_refused(void **state)
{
    int fd = places_node_user();

    (void)state;
    assert_true(server_ask(fd, ASK "\"huge\":1}\n"));
    places_turn();
    places_hears(
        fd, "{\"error\":{\"code\":\"too large\",\"text\":\"an answer of 1000011 bytes, expected less than "
            "524288\"}}");
    places_served(fd);
    close(fd);
}

/* Work has no deadline of the server's: who answers ends it. */
static void a_request_at_work_may_take_longer(void **state)
{
    int fd = places_node_user();

    (void)state;
    assert_true(server_ask(fd, ASK "\"waits\":1,\"n\":3}\n"));
    places_turn();
    places_now += 3 * LIMIT;
    places_turn();
    atomic_store(&server_is_later, true);
    places_turn();
    places_hears(fd, "{\"n\":3}");
    places_now += LIMIT - MS;
    places_served(fd);
    close(fd);
}

/* ---- who may act ------------------------------------------------------------------------------- */

static void the_socket_that_looks_refuses_each_command_that_acts(void **state)
{
    char ask[64], expected[256];
    int look = places_dial(places_look, geteuid() == 0), act = places_node_user();
    unsigned acts = 0;

    (void)state;
    assert_true(look >= 0);
    for (int i = 0; i < ND_COMMANDS; i++) {
        const struct nd_command_row *row = &nd_commands[i];
        unsigned steps = atomic_load(&server_answers);

        snprintf(ask, sizeof(ask), "{\"cmd\":\"%s\",\"n\":1}\n", row->name);
        snprintf(expected, sizeof(expected),
                 "{\"error\":{\"code\":\"no permission\",\"text\":\"%s acts: this socket only answers "
                 "questions, %s acts\"}}",
                 row->name, server_path);
        assert_true(server_ask(look, ask));
        places_now += 20 * MS; /* until its next turn */
        places_turn();
        places_hears(look, row->acts ? expected : "{\"n\":1}");
        assert_int_equal(atomic_load(&server_answers), steps + !row->acts); /* nobody was asked to act */
        assert_true(server_ask(act, ask));
        places_turn();
        places_hears(act, "{\"n\":1}");
        acts += row->acts;
    }
    places_now += 20 * MS;
    assert_true(server_ask(look, ASK "\"whence\":1}\n") && server_ask(act, ASK "\"whence\":1}\n"));
    places_turn();
    places_hears(look, "{\"looks\":true}"); /* who answers knows whence it came */
    places_hears(act, "{\"looks\":false}");
    assert_int_equal(acts, 14); /* of status and show alone it is known that they change nothing */
    assert_false(nd_commands[nd_command_find("status")].acts || nd_commands[nd_command_find("show")].acts);
    close(look);
    close(act);
}

static void anybody_may_look_and_owner_and_group_may_act(void **state)
{
    struct stat mode;
    int fd;

    (void)state;
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
    close(fd);
}

/* Sixteen that ask without end get an answer each in 20 ms; who acts gets one in each turn. */
static void who_looks_is_served_every_20_ms(void **state)
{
    int fd[ND_PLACES], act = places_node_user();

    (void)state;
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
    for (int i = 0; i < ND_PLACES; i++)
        close(fd[i]);
    close(act);
}

/* Who looks takes no place from who acts. */
static void each_socket_has_places_of_its_own(void **state)
{
    int fd[ND_PLACES], act;

    (void)state;
    act = places_node_user();
    places_served(act);
    for (int i = 0; i < ND_PLACES; i++) {
        fd[i] = places_dial(places_look, false);
        assert_true(server_ask(fd[i], ASK "\"big\":1}\n"));
        places_now += 20 * MS;
        places_turn();
    }
    places_served(act);
    for (int i = 0; i < ND_PLACES; i++)
        close(fd[i]);
    close(act);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACES(a_request_has_its_time_as_a_whole_though_bytes_trickle),
        WITH_PLACES(the_time_begins_anew_with_each_answer),
        WITH_PLACES(an_answer_is_taken_in_its_time_or_never),
        WITH_PLACES(the_time_begins_anew_when_the_answer_has_been_taken),
        WITH_PLACES(an_answer_that_is_too_large_is_refused),
        WITH_PLACES(a_request_at_work_may_take_longer),
        WITH_PLACES(the_socket_that_looks_refuses_each_command_that_acts),
        WITH_PLACES(anybody_may_look_and_owner_and_group_may_act),
        WITH_PLACES(who_looks_is_served_every_20_ms),
        WITH_PLACES(each_socket_has_places_of_its_own),
    };

    return cmocka_run_group_tests_name("server_limits", tests, NULL, NULL);
}
