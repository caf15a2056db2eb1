/* SPDX-License-Identifier: Apache-2.0 */
/* The control sockets against many clients: who has a place, who loses it to whom, who is served meanwhile.
 */
#include "tests/help/places.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#define MANY 40

static void others_are_served_while_one_does_not_read_and_one_waits(void **state)
{
    int reader = places_node_user(), waiting = places_node_user(), other = places_node_user();

    (void)state;
    assert_true(server_ask(reader, ASK "\"big\":1}\n"));
    assert_true(server_ask(waiting, ASK "\"later\":1,\"n\":2}\n"));
    places_turn();
    places_served(other);
    atomic_store(&server_is_later, true);
    places_turn();
    places_hears(waiting, "{\"n\":2}");
    close(reader);
    close(waiting);
    close(other);
}

/* One who asks a hundred times in one write gets one answer in a turn; so does everybody else. */
static void each_gets_one_answer_in_a_turn(void **state)
{
    static const char ask[] = ASK "\"n\":1}\n";
    int many = places_node_user(), one = places_node_user();

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(server_ask(many, ask));
    assert_true(server_ask(one, ask));
    nd_server_turn(places_server, places_now, server_answer, NULL);
    places_hears(one, "{\"n\":1}");
    assert_int_equal(atomic_load(&server_answers), 2);
    close(many);
    close(one);
}

static void forty_slow_strangers_keep_nobody_out(void **state)
{
    int fd[MANY], other, owner;

    (void)state;
    places_let_strangers_in();
    for (int i = 0; i < MANY; i++) {
        fd[i] = places_stranger();
        assert_true(server_ask(fd[i], ASK));
        places_now += MS;
        places_turn();
    }
    for (int i = 0; i < MANY; i++) /* the last ones have the places */
        assert_int_equal(places_open(fd[i]), i >= MANY - ND_PLACES);
    other = places_stranger();
    places_served(other);
    owner = places_node_user();
    places_served(owner);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    close(other);
    close(owner);
}

static void forty_of_the_owner_keep_nobody_of_the_owner_out(void **state)
{
    int fd[MANY], last;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        fd[i] = places_node_user();
        places_turn();
    }
    last = places_node_user();
    places_served(last);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    close(last);
}

static void strangers_that_do_not_read_give_way_to_the_owner_alone(void **state)
{
    int fd[ND_PLACES], late, owner;

    (void)state;
    places_let_strangers_in();
    for (int i = 0; i < ND_PLACES; i++) {
        fd[i] = places_stranger();
        assert_true(server_ask(fd[i], ASK "\"big\":1}\n"));
        places_now += MS;
        places_turn();
    }
    late = places_stranger();
    places_turn();
    places_hears(late,
                 "{\"error\":{\"code\":\"busy\",\"text\":\"all places of the control socket are taken\"}}");
    assert_false(places_open(late));
    owner = places_node_user();
    places_served(owner);
    places_served(owner); /* and keeps its place */
    close(fd[1]);
    places_turn();
    for (int i = 2; i < ND_PLACES; i++) { /* the first one's place went to the owner */
        assert_true(places_open(fd[i]));
        close(fd[i]);
    }
    close(fd[0]);
    close(late);
    close(owner);
}

static void strangers_do_not_take_the_owners_place(void **state)
{
    int owner = places_node_user(), fd[MANY];

    (void)state;
    places_let_strangers_in();
    places_served(owner);
    for (int i = 0; i < MANY; i++) {
        places_now += MS;
        fd[i] = places_stranger();
        places_turn();
    }
    places_served(owner);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    close(owner);
}

static void what_has_begun_is_ended_whoever_comes_or_goes(void **state)
{
    int begun, gone, waiting, fd[MANY];
    unsigned steps;

    (void)state;
    places_let_strangers_in();
    begun = places_stranger();
    gone = places_stranger();
    waiting = places_stranger();
    assert_true(server_ask(begun, ASK "\"later\":1,\"n\":4}\n"));
    assert_true(server_ask(gone, ASK "\"later\":1}\n"));
    assert_true(server_ask(waiting, ASK "\"waits\":1}\n"));
    places_turn();
    close(gone);
    for (int i = 0; i < MANY; i++) {
        fd[i] = places_node_user();
        places_turn();
    }
    assert_false(places_open(waiting)); /* its turn had not come */
    steps = atomic_load(&server_answers);
    nd_server_turn(places_server, places_now, server_answer, NULL);
    assert_int_equal(atomic_load(&server_answers), steps + 2); /* both that had begun */
    atomic_store(&server_is_later, true);
    places_turn();
    places_hears(begun, "{\"n\":4}");
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    close(begun);
    close(waiting);
}

static void one_who_goes_before_its_turn_frees_its_place(void **state)
{
    int fd = places_node_user();
    unsigned steps;

    (void)state;
    assert_true(server_ask(fd, ASK "\"waits\":1}\n"));
    places_turn();
    close(fd);
    places_turn();
    steps = atomic_load(&server_answers);
    places_turn();
    assert_int_equal(atomic_load(&server_answers), steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACES(others_are_served_while_one_does_not_read_and_one_waits),
        WITH_PLACES(each_gets_one_answer_in_a_turn),
        WITH_PLACES(forty_slow_strangers_keep_nobody_out),
        WITH_PLACES(forty_of_the_owner_keep_nobody_of_the_owner_out),
        WITH_PLACES(strangers_that_do_not_read_give_way_to_the_owner_alone),
        WITH_PLACES(strangers_do_not_take_the_owners_place),
        WITH_PLACES(what_has_begun_is_ended_whoever_comes_or_goes),
        WITH_PLACES(one_who_goes_before_its_turn_frees_its_place),
    };

    return cmocka_run_group_tests_name("server_places", tests, NULL, NULL);
}
