/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module's ELF file says of the rules that its NFs keep (docs/writing-an-nf.md): what it takes from
 * libraries and from this program, which variables it has, and what its NFs should declare for that. Read
 * from the file when a configuration names it; nothing of it runs.
 */
#ifndef NODE_CONFIG_MODULE_FILE_H
#define NODE_CONFIG_MODULE_FILE_H

#include "ftcore/base/error.h"

/*
 * Of a shared object that is loaded. 0, also when no NF in it could run, or FT_EMALFORMED with the first
 * breach in `fault`: "a variable "seen", expected …". What may be a breach is a warning, once for each file:
 * a line on stderr. Where all its NFs say that they cannot be replayed they may take what they like, and
 * variables are a warning as well. FT_EIO: the file cannot be read.
 */
int nd_module_file_check(const char *path, struct ft_fault *fault);
/* No warnings from now on: this process asks nodes, and runs no module. */
void nd_module_file_hush(void);

#endif
