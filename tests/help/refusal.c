/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: refuses configuration files. */
#include "tests/help/refusal.h"
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

void config_refuse_all(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = help_config_file("t.yaml", cases[i].text, strlen(cases[i].text));

        assert_string_equal(help_config_refusal(path, false), cases[i].expected);
        assert_int_equal(help_probe_live, 0);
    }
}
