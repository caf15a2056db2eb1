/* SPDX-License-Identifier: Apache-2.0 */
/* What another node answers, before people read it: nothing that a terminal obeys is left in any text, and
 * what is printable is as it was. */
#include "understudy/control/server.h"

#include <jansson.h>
#include "tests/help/test.h"

/* Through the reader of JSON, as the command line gets it. */
static void becomes(const char *json, const char *key, const char *value)
{
    json_t *o;

    char *text = help_print("%s", json);
    nd_answer_printable(text, strlen(text));
    o = json_loads(text, 0, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, key)), value);
    json_decref(o);
}

TEST(printable_texts_stay)
{
    becomes("{\"why\": \"first start\"}", "why", "first start");
    becomes("{\"why\": \"a \\\"name\\\" \\\\ and \\/\"}", "why", "a \"name\" \\ and /");
    becomes("{\n  \"why\": \"two\"\n}\n", "why", "two");
}

TEST(what_a_terminal_obeys_does_not)
{
    becomes("{\"why\": \"\\u001b[2J\"}", "why", "??????[2J");
    becomes("{\"why\": \"a\\nb\\r\\t\\b\\f\"}", "why", "a??b????????");
    becomes("{\"why\": \"\x7f\xc2\x9b\x31m\"}", "why", "???1m");
    becomes("{\"k\\u001b\": \"v\"}", "k??????", "v");
    becomes("{\"why\": \"\\\\\\u001b\"}", "why", "\\??????"); /* behind a backslash that is one */
}

TEST(nothing_behind_the_end_is_touched)
{
    char text[] = "\"\\u00beyond";

    nd_answer_printable(text, 5);
    assert_string_equal(text, "\"????beyond");
}
