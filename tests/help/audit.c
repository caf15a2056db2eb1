/* SPDX-License-Identifier: Apache-2.0 */
/* See audit.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/audit.h"

#include <string.h>

static const char *const names[] = {"lane", "nat", "firewall"};

/* Not a setup of cmocka's: its own handlers come after those. */
struct ft_region *help_audit_open(unsigned lanes)
{
    const uint64_t sizes[] = {0, 100000, 0};
    struct ft_region_config config = {.lanes = (uint16_t)lanes,
                                      .nfs = 3,
                                      .arena_size = sizes,
                                      .nf_name = names,
                                      .shared_size = 1 << 20,
                                      .audit = true,
                                      .huge = true};
    struct ft_region *region;

    assert_int_equal(ft_region_open(&region, &config, NULL), 0);
    for (unsigned i = 0; i <= lanes * 3; i++)
        assert_non_null(ft_arena_alloc(&region->arenas[i], HELP_AUDIT_USED));
    return region;
}

uint8_t *help_audit_at(const struct ft_arena *arena, uint64_t byte)
{
    return arena->region->base + arena->offset + byte;
}

uint8_t *help_audit_nat(struct ft_region *region, unsigned lane, uint64_t byte)
{
    return help_audit_at(ft_region_arena(region, lane, 1), byte);
}

uint8_t *help_audit_shared(struct ft_region *region, uint64_t byte)
{
    return help_audit_at(ft_region_shared(region), byte);
}

void help_audit_set(struct ft_region *region, uint8_t *p, size_t n, int value)
{
    memset(ft_edit(region, p, n), value, n);
}

void help_audit_set_shared(struct ft_region *region, unsigned lane, uint64_t byte, int value)
{
    ft_audit_enter(region, lane);
    help_audit_set(region, help_audit_shared(region, byte), 64, value);
    ft_audit_leave(region, lane);
}
