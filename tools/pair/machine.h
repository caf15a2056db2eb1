/* SPDX-License-Identifier: Apache-2.0 */
/* What a figure was measured with: this machine, this program, and when. */
#ifndef TOOLS_PAIR_MACHINE_H
#define TOOLS_PAIR_MACHINE_H

#include "tools/pair/sheet.h"

#define ND_MACHINE_TEXT 256u

/* "AMD EPYC, 2 cores, Linux 6.1". Returns `out`. */
const char *nd_machine_text(char out[ND_MACHINE_TEXT]);
/* Date with time zone, program and machine, as facts of a page. */
void nd_machine_facts(const struct nd_sheet *sheet);

#endif
