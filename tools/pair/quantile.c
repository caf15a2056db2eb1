/* SPDX-License-Identifier: Apache-2.0 */
/* See quantile.h. */
#include "tools/pair/quantile.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double nd_quantile(double values[], unsigned count, double share)
{
    double at = share * (count - 1);
    unsigned low = (unsigned)at;

    if (count == 0)
        return 0;
    qsort(values, count, sizeof(values[0]), compare);
    return low + 1 < count ? values[low] + (at - low) * (values[low + 1] - values[low]) : values[count - 1];
}
