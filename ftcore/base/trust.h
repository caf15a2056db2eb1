/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose files are believed: the one rule for keys, pair and chain files, NFs' files, modules, and programs. A
 * file and all directories above it belong to root or to the user of the process, and nobody else may write
 * to them; in a directory with the sticky bit others may make files, but not exchange one that is not theirs.
 * Owns nothing.
 */
#ifndef FTCORE_BASE_TRUST_H
#define FTCORE_BASE_TRUST_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

#define FT_TRUST_USERS 2u

struct ft_trust {
    const char *expected;       /* in the refusal of what is no regular file: "a key file" */
    const char *secret;         /* nobody else may read it: "a key"; NULL: others may */
    bool no_link;               /* the last name is the file's own */
    bool unread;                /* opened as a path (O_PATH): it is run, and need not be readable */
    uid_t also[FT_TRUST_USERS]; /* users whose files are believed beside those above */
    unsigned also_count;
};

/* Believes the files of the user of that name, too. "", or nobody of this machine: changes nothing; so it
 * does where FT_TRUST_USERS are believed already. */
void ft_trust_user(struct ft_trust *trust, const char *name);

/*
 * Opens the file, for reading unless `unread`, close-on-exec, after a walk from / in which every directory,
 * symbolic link and the file were looked at: no untrusted user can exchange any of them, so the path leads
 * there again. Returns the descriptor; or with one line in `fault` and errno set the system's error
 * (FT_ENOENT, FT_EPERM, FT_EIO), or with errno 0 what was found: FT_EPERM (path, owner, mode, what was
 * expected), FT_EMALFORMED (no regular file; nothing but a regular file is opened).
 */
int ft_trust_open(const char *path, const struct ft_trust *trust, struct ft_fault *fault);

#endif
