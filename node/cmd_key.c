/* SPDX-License-Identifier: Apache-2.0 */
/* understudy key FILE: makes the key of a pair. */
#include "cli/options.h"
#include "replicator/key.h"

#include <stdio.h>

int nd_cmd_key(int argc, char **argv)
{
    struct nd_options options;
    struct ft_fault fault = {""};
    int error = nd_options_read(&options, argc, argv);

    if (error)
        return error;
    error = rp_key_make(options.argv[0], &fault);
    if (!error)
        return ND_DONE;
    fprintf(stderr, "understudy: %s%s\n", fault.text,
            error == FT_EBUSY
                ? ", expected a name that is free: no key is overwritten (see A new key, operating.md)"
                : "");
    return error == FT_EPERM ? ND_NO_PERMISSION : error == FT_EIO ? ND_SOFTWARE : ND_DATA;
}
