/* SPDX-License-Identifier: Apache-2.0 */
/* Damage planted in the state of a chain; see content.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ftcore/region/audit.h"
#include "tests/help/content.h"

#include <string.h>

struct help_content help_content;

void content_of(const struct help_nf *h)
{
    help_content = (struct help_content){.region = h->region, .lanes = 1, .chain = {h->chain}};
}

static int check(struct ft_fault *fault)
{
    int error = 0;

    for (unsigned l = 0; l < help_content.lanes && !error; l++)
        error = nf_chain_check(help_content.chain[l], NULL, NULL, fault);
    return error;
}

void content_passes(void)
{
    struct ft_fault fault = {""};

    if (check(&fault))
        fail_msg("%s", fault.text);
}

void content_is_refused(const char *text)
{
    struct ft_fault fault = {""};

    if (check(&fault) != FT_EMALFORMED || strncmp(fault.text, "state: lane ", 12) != 0 ||
        !strstr(fault.text, text))
        fail_msg("expected \"%s\", got \"%s\"", text, fault.text);
}

void content_damaged(void *p, const void *bytes, size_t n, const char *text)
{
    uint8_t was[64];

    assert_true(n <= sizeof(was));
    ft_audit_suspend(help_content.region);
    memcpy(was, p, n);
    assert_memory_not_equal(was, bytes, n);
    memcpy(p, bytes, n);
    content_is_refused(text);
    memcpy(p, was, n);
    content_passes();
    ft_audit_resume(help_content.region);
}
