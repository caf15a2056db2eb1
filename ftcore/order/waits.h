/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom while lanes replay, and whether somebody waits in vain. What lanes recorded has no
 * circle (ftcore/order/section.c), but a log may be damaged, or come from a peer that is.
 *
 * A lane that has to wait says for what, beside its access number in struct ft_published: for an access of
 * another lane, or for all lanes (at a barrier, which nobody leaves before all have come). So each waits for
 * one thing at most, and what a lane waits for is found by going from one to the next: it waits in vain when
 * that leads into a circle, or to a lane that waits for all. Somebody who goes on is seen to: every wait has
 * a number, and all that was seen on the way must be the same when it is seen again, so that all of them
 * waited at the moment in between. From there on none of them moves.
 *
 * Written by the lane that waits; a wait for all also by the lane that ends it. Read by lanes that wait.
 */
#ifndef FTCORE_ORDER_WAITS_H
#define FTCORE_ORDER_WAITS_H

#include "ftcore/order/section.h"

/* The lane waits until `other` has published `access`. */
void ft_wait_for(struct ft_published *own, unsigned other, uint64_t access);
/* The lane waits until all lanes have come to where it is, the lanes that wait for an access among them. */
void ft_wait_for_all(struct ft_published *own);
void ft_wait_over(struct ft_published *own);

/*
 * Lane `self` waits for an access, and in vain. Of a circle only its lowest lane is told so. The lanes on the
 * way, `self` first, are written to via[lanes + 1]; *count: how many. The last one is `self` again, or waits
 * for all.
 */
bool ft_waits_in_vain(const struct ft_published published[], unsigned lanes, unsigned self, unsigned via[],
                      unsigned *count);

#endif
