/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the chain's check: damage that is planted in the state of a chain, and what the check says of
 * it. A failed assertion ends the test that calls. One chain of one NF at a time, help_content.lanes lanes of
 * it.
 */
#ifndef TESTS_HELP_CONTENT_H
#define TESTS_HELP_CONTENT_H

#include "tests/help/nf.h"

struct help_content {
    struct ft_region *region;
    unsigned lanes;
    struct nf_chain *chain[FT_LANES_MAX];
};
extern struct help_content help_content;

/* What help_nf_open has made is looked at from now on. */
void content_of(const struct help_nf *h);
/* The check has nothing to say, of any lane. */
void content_passes(void);
/* It says something that begins with "state: lane " and contains `text`. */
void content_is_refused(const char *text);
/* The n bytes at `p` are others for the time of a check, which refuses them; before and behind it passes. */
void content_damaged(void *p, const void *bytes, size_t n, const char *text);
#define DAMAGED(p, value, text)                                                                              \
    do {                                                                                                     \
        __typeof__(*(p)) bad_ = (value);                                                                     \
        content_damaged((p), &bad_, sizeof(bad_), (text));                                                   \
    } while (0)

#endif
