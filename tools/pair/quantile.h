/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles of what the tools measure. */
#ifndef TOOLS_PAIR_QUANTILE_H
#define TOOLS_PAIR_QUANTILE_H

/* The value that `share` (0 … 1) of the values does not exceed, linear between the two nearest; 0 of nothing.
 * Sorts the values. */
double nd_quantile(double values[], unsigned count, double share);

#endif
