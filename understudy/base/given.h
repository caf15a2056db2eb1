/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much time some processes were given. Who judges that nothing moves for too long counts by this clock:
 * the time in which threads of those processes waited for a processor that others had is not in it. Where
 * they want a processor for a part of the time alone, what is lost is what they waited; where they want more
 * of them than there are, time passes by the share that they got.
 */
#ifndef NODE_BASE_GIVEN_H
#define NODE_BASE_GIVEN_H

#include <stdint.h>
#include <sys/types.h>

/* All zero at first. */
struct nd_given {
    uint64_t ns;         /* given, up to `at` */
    uint64_t at;         /* monotonic ns; 0: the first look is to come */
    uint64_t cpu, delay; /* of all threads until then, ns: on processors, and waiting for one */
};

/*
 * ns in steps of a second or more, from the first look on. `pids`: those that are 0 are nobody, those that
 * have ended want nothing. Allocates nothing and takes no lock, and may be called by the handler of a signal.
 */
uint64_t nd_given_look(struct nd_given *given, const pid_t pids[], unsigned n);
/* The same to the nanosecond; may go back by what the next step takes back. */
uint64_t nd_given_now(struct nd_given *given, const pid_t pids[], unsigned n);

/* What a step is worth that took `ns`, in which threads were on processors for `cpu` and waited for `delay`.
 */
uint64_t nd_given_of(uint64_t ns, uint64_t cpu, uint64_t delay);

#endif
