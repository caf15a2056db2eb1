/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module's ELF file shows of the rules that its NFs keep (docs/writing-an-nf.md): what it takes from
 * libraries and from this program, which variables it has, and what its NFs should declare for that. Read
 * from the file when a configuration names it; nothing of it runs.
 */
#ifndef NODE_CONFIG_MODULE_FILE_H
#define NODE_CONFIG_MODULE_FILE_H

#include "ftcore/base/error.h"

#include <stdbool.h>

/*
 * Of a shared object that is loaded. 0, also when no NF in it could run, or FT_EMALFORMED with the first
 * breach in `fault`: "a variable "seen", expected …". What may be a breach is a warning, a line on stderr,
 * unless `quiet`. Where all its NFs declare that they cannot be replayed they may take what they like, and
 * variables are a warning as well. Where all declare a heap they are libraries: what they take is refused or
 * passes without a warning, and variables are theirs. FT_EIO: the file cannot be read.
 */
int nd_module_file_check(const char *path, bool quiet, struct ft_fault *fault);

/* Loads it for good, constructors and all, if the file is believed (ftcore/base/trust.h: root's or the
 * process's own) and whole. 0, or a negative ft_error with why not: "cannot load the module (…), expected …".
 */
int nd_module_load(const char *path, struct ft_fault *fault);

/* Loads the modules that are installed with the program. One that cannot be loaded is reported as "understudy
 * COMMAND: …", and the others are loaded all the same. */
void nd_modules_load_installed(const char *command);

#endif
