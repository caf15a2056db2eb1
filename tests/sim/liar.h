/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that lies: what the hooks ask of it, and the chance that its files share. */
#ifndef TESTS_SIM_LIAR_H
#define TESTS_SIM_LIAR_H

#include "tests/sim/sim.h"

/* ---- liar.c ---- */
enum sim_lie { SIM_LIE_HELLO, SIM_LIE_MESSAGE, SIM_LIE_RECORD, SIM_LIE_CHUNK, SIM_LIE_RUN, SIM_LIE_KINDS };
bool sim_lies(enum sim_lie kind, unsigned per_mille); /* now is a moment for a lie of that kind */
void sim_lie_message(struct ft_message *m, unsigned lanes);
void sim_lie_run(uint8_t head[]);
void sim_lie_lines(uint8_t lines[], uint32_t len); /* of a snapshot; at least one */
void sim_lies_begin(void);
void sim_lies_forget(unsigned node);
bool sim_lie_goes_on(unsigned lane);                              /* a delta that it has begun must not end */
const struct ft_chunk *sim_lie_chunk(const struct ft_chunk *was); /* until the next call */
const struct ft_record *sim_lie_record(const struct ft_record *was);

void sim_lie_heard(const struct ft_message *hello); /* one that its node has said */
bool sim_lie_again(struct ft_message *hello);       /* an earlier one, to say again; false: there is none */
bool sim_bold(unsigned per_mille); /* a bold liar's replicator runs, and does something bold now */

/* ---- among its files ---- */
static inline uint64_t sim_lie_draw(uint64_t below)
{
    return sim_draw(&sim.lies, below);
}

#endif
