/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a library. See late.h. */
#include "understudy/base/late.h"

#include <dlfcn.h>
#include <string.h>

int nd_late_load(const char *library, const struct nd_late_call *calls, unsigned n, struct ft_fault *fault)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        return ft_fail(fault, FT_ENOENT, "cannot be loaded: %s", dlerror());
    for (unsigned i = 0; i < n; i++) {
        void *call = dlsym(handle, calls[i].name);

        if (!call)
            return ft_fail(fault, FT_ENOENT, "%s has no %s", library, calls[i].name);
        memcpy(calls[i].to, &call, sizeof(call));
    }
    return FT_OK;
}
