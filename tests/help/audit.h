/* SPDX-License-Identifier: Apache-2.0 */
/* A small region with audit, and edits in it, for the audit's tests. */
#ifndef TESTS_HELP_AUDIT_H
#define TESTS_HELP_AUDIT_H

#include "ftcore/region/audit.h"

#define HELP_AUDIT_USED 20000u /* bytes handed out of each arena */

struct ft_region *help_audit_open(unsigned lanes); /* arenas of "lane", "nat" and "firewall" */

uint8_t *help_audit_at(const struct ft_arena *arena, uint64_t byte);
uint8_t *help_audit_nat(struct ft_region *region, unsigned lane, uint64_t byte);
uint8_t *help_audit_shared(struct ft_region *region, uint64_t byte);

void help_audit_set(struct ft_region *region, uint8_t *p, size_t n, int value);
void help_audit_set_shared(struct ft_region *region, unsigned lane, uint64_t byte, int value); /* in a stay */

#endif
