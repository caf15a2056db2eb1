/* SPDX-License-Identifier: Apache-2.0 */
/* Where a build that keeps state elsewhere too, to compare, hears of it (tests/bench/watch.h); nothing here.
 */
#ifndef NFLIB_STATE_WATCH_H
#define NFLIB_STATE_WATCH_H

#ifndef NF_WATCH
#define NF_WATCH(call, ...) ((void)0)
#endif

#endif
