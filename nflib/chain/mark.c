/* SPDX-License-Identifier: Apache-2.0 */
/* The names of what a chain may be at; see mark.h. No state. */
#include "nflib/chain/mark.h"

const char *nf_doing_name(unsigned doing)
{
    static const char *const names[NF_DOINGS] = {"nothing", "timers", "l3",  "sessions",
                                                 "packets", "show",   "set", "clear"};

    return names[doing < NF_DOINGS ? doing : NF_DOING_NOTHING];
}
