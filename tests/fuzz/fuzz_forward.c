/* SPDX-License-Identifier: Apache-2.0 */
/* Counting in shared and merged numbers through the real lane; what is read is in the record. */
#include "tests/fuzz/stream.h"

static const struct stream_chain chain = {
    .nfs = "    - forward: { read: true }\n",
    .name = "forward",
};

static void run(const uint8_t *data, size_t size)
{
    stream_run(&chain, data, size);
}

static void seeds(void)
{
    stream_seeds();
}

FUZZ_TARGET(forward, "the forwarder", 1024)
