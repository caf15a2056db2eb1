/* SPDX-License-Identifier: Apache-2.0 */
/* For the target fuzz_receiver.c: records and chunks as an input wants them, encoded one behind the other. */
#ifndef TESTS_FUZZ_RECEIVED_MAKE_H
#define TESTS_FUZZ_RECEIVED_MAKE_H

#include "replicator/parts.h"
#include "ftcore/record/record.h"
#include "ftcore/record/delta.h"
#include "tests/fuzz/fuzz.h"

/* The bulk of the message under way. */
extern uint8_t received_wire[1u << 16];

/* One record as the input wants it; appended to the bulk. False: no room for more. */
bool received_make_record(struct fuzz_input *in, size_t *len, struct ft_record *out,
                          struct ft_dependency dependencies[]);

/* One chunk as the input wants it; appended to the bulk. `runs`: where its lines end, 0 where there are none.
 */
bool received_make_chunk(struct fuzz_input *in, size_t *len, struct ft_chunk *out, uint64_t runs[2],
                         struct ft_chunk_output *held_one);

#endif
