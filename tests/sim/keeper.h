/* SPDX-License-Identifier: Apache-2.0 */
/* Of seeds with an input keeper: its process (keeper.c), its network (datagrams.c), and the oracle of what it
 * took and what left (fed.c). */
#ifndef TESTS_SIM_KEEPER_H
#define TESTS_SIM_KEEPER_H

#include "understudy/keeper/front.h"
#include "tests/sim/sim.h"

#define SIM_KEEPERS  2u
#define SIM_KEEPER   SIM_NODES /* the place of the first one in the network, behind the nodes' */
#define SIM_GUARDIAN (SIM_KEEPER + SIM_KEEPERS) /* whose place nobody knows */

/* ---- keeper.c ---- */
const struct kp_front *sim_keeper_front(unsigned k);
bool sim_keeper_may_leave(unsigned k);  /* by its own clock */
void sim_keeper_silent(uint64_t until); /* what passes by it may not */

/* ---- datagrams.c ---- */
void sim_datagrams_begin(void);
void sim_datagrams_open(unsigned at); /* a process begins: what arrived before is nobody's */
void sim_datagram_send(unsigned from, unsigned to, const void *bytes, uint32_t len);
/* Bytes of the next one that is there, cut to `size`; 0: none. */
uint32_t sim_datagram_read(unsigned at, void *to, uint32_t size, unsigned *from);
void sim_datagrams_trouble(void);
void sim_datagrams_heal(void);

/* ---- ports.c ---- */
struct sim_packet *sim_ports_take(unsigned k,
                                  unsigned port); /* a frame that waits in a keeper's port; NULL: none */
void sim_ports_leave(unsigned k, unsigned port, const uint8_t *frame,
                     uint32_t len); /* NULL: switches alone hear it */
void sim_ports_lose(unsigned k);    /* what waits there is lost */

/* ---- fed.c ---- */
void sim_fed_begin(void);
void sim_fed_took(unsigned k, uint8_t port, const uint8_t *frame, uint32_t len);
void sim_fed_words(void); /* of two keepers one at most has a word that runs */
void sim_fed_left(unsigned k, unsigned port, const uint8_t *frame, uint32_t len);
/* The front has taken this STATE as a primary's: its numbers begin anew, or it goes on with its own. */
void sim_fed_begins(unsigned k, unsigned node, const struct kp_message *state, const struct kp_front *before);
void sim_fed_goes_on(unsigned k, unsigned node, const struct kp_message *state, const struct kp_front *before,
                     const struct kp_front *front);
/* It has died, or has forgotten all that it kept: `front` is from before that. */
void sim_fed_dies(unsigned k, const struct kp_front *front);
bool sim_fed_rests(void);                              /* all that was taken is in a burst */
void sim_fed_lives(struct sim_node *n, uint64_t view); /* its lane, between two bursts */

#endif
