/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane without threads, for an instruction counter (scripts/instructions): nothing varies from run to
 * run.
 * --compare off, log and log:warm, or a piece by its name.
 */
#include "tools/bench/alone.h"
#include "node/control/client.h"
#include "node/control/options.h"

#include <stdio.h>

/* What --compare names, in words of pieces. NULL: none. */
static const struct nd_bench_piece *piece_of(const struct nd_config *config, const struct nd_bench_options *o,
                                             struct ft_fault *fault)
{
    struct nd_bench_protection protection;
    const struct nd_protect *p = &protection.protect;

    if (nd_bench_protection(&protection, o->compare, config, fault) != 0)
        return NULL;
    if (nd_bench_is_off(&protection))
        return nd_bench_piece("off");
    if (p->records && !protection.unreduced && !(p->stores && o->encode))
        return nd_bench_piece(p->stores ? "marks" : o->encode ? "encode" : "inputs");
    ft_fail(fault, FT_EINVAL, "--count of %.40s%s, expected off, log or log:warm", o->compare,
            o->encode ? " with --encode" : "");
    return NULL;
}

int nd_bench_count(const struct nd_config *config, struct nd_load *load, const struct nd_bench_options *o)
{
    const struct nd_bench_piece *piece;
    struct nd_bench_alone *alone;
    struct ft_fault fault = {""};
    int error;

    if (o->piece)
        piece = nd_bench_piece(o->piece);
    else
        piece = piece_of(config, o, &fault);
    if (!piece && o->piece)
        return nd_usage("bench",
                        "--piece %.40s, expected off, hold, seq, inputs, encode, marks, two-lanes, "
                        "two-hold or dependencies",
                        o->piece);
    if (!piece)
        return nd_usage("bench", "%s", fault.text);
    error = nd_bench_alone_open(&alone, config, load, piece, o->wish.seed, &fault);
    if (error) {
        fprintf(stderr, "understudy bench: %s\n", fault.text);
        return error == FT_EINVAL ? ND_USAGE : ND_SOFTWARE;
    }
    printf("%lu\n", nd_bench_counted(alone, o->count));
    return ND_DONE;
}
