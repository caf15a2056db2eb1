/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of ips: random rules and streams, and a plain model that has the whole stream before it and
 * compares every content at every place.
 */
#ifndef TESTS_HELP_IPS_MODEL_H
#define TESTS_HELP_IPS_MODEL_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#define HELP_RULES    12u
#define HELP_CONTENTS 4u
#define HELP_STREAM   700u

struct help_content_of {
    char bytes[8];
    uint32_t len, offset, depth, distance, within;
    bool nocase, relative;
    char pattern[64]; /* it is one; "" else */
    bool anchored;
    regex_t regex;
    uint32_t ends[HELP_STREAM + 1], count; /* since the rule matched last */
};
struct help_rule {
    struct help_content_of content[HELP_CONTENTS];
    uint32_t contents, hits;
};
extern struct help_rule help_rules[HELP_RULES];
extern uint64_t help_rule_draws; /* of the sequence that all is drawn from */

/* Rules of sid 1 to HELP_RULES, as text. */
void help_rules_draw(char *text);
void help_rules_free(void);
void help_rules_stream(char *stream, uint32_t n);
char help_rules_letter(void);
/* How often each matches: its `hits`. */
void help_rules_match(const char *stream, uint32_t n);

#endif
