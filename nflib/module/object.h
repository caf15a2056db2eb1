/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared object that a module was loaded from, as it lies in this process. Modules of the program itself
 * have none. For who looks into its file, and for who loads it anew.
 */
#ifndef NFLIB_MODULE_OBJECT_H
#define NFLIB_MODULE_OBJECT_H

#include "nflib/module/module.h"

struct nf_object_file {
    const char *path; /* as it was loaded by; lives as long as the object is loaded */
    struct nf_segment {
        uint8_t *base; /* whole pages */
        uint64_t size;
    } all; /* from the object's first page to its last */
};

/* False: the module is of the program. */
bool nf_object_file_of(struct nf_object_file *out, const struct nf_module *module);

#endif
