/* SPDX-License-Identifier: Apache-2.0 */
/* How long one access to state takes, in the region and in Redis. */
#ifndef TESTS_BENCH_ACCESS_H
#define TESTS_BENCH_ACCESS_H

/* The command, of its own arguments; an exit code. */
int nd_bench_access(int argc, char **argv);

#endif
