/* SPDX-License-Identifier: Apache-2.0 */
/* Counting in shared and merged numbers through the real lane; what is read is in the record. */
#include "tests/fuzz/stream.h"

static const struct stream_chain chain = {
    .nfs = "    - forward: { read: true }\n",
    .name = "forward",
};

STREAM_RUN(chain)
FUZZ_TARGET(forward, "the forwarder", 1024)
