/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of expected failures. A function that can fail in an expected way returns 0 or a positive
 * result on success and one of these on failure. `struct ft_fault` carries the one line a person
 * reads: what, where, what was expected.
 */
#ifndef FTCORE_BASE_ERROR_H
#define FTCORE_BASE_ERROR_H

enum ft_error {
    FT_OK = 0,
    FT_EINVAL = -1,     /* an argument or a setting is impossible */
    FT_ENOMEM = -2,     /* the system gave no memory */
    FT_EFULL = -3,      /* a queue, table or arena is at its stated capacity */
    FT_ETRUNC = -4,     /* input ends too early */
    FT_EMALFORMED = -5, /* input breaks its format */
    FT_ECHECKSUM = -6,  /* input does not match its checksum */
    FT_EVERSION = -7,   /* another version of the format */
    FT_EORDER = -8,     /* a number out of sequence */
    FT_EBUSY = -9,      /* taken by somebody else (address, port, name) */
    FT_EPERM = -10,     /* no permission */
    FT_EIO = -11,       /* the system refused an operation */
    FT_EPEER = -12,     /* the peer differs in identity */
    FT_ENOENT = -13,    /* no such thing */
    FT_EDIVERGED = -14, /* replay did not reproduce the recording */
};

struct ft_fault {
    char text[256];
};

/* The error's name without prefix, lower case: "full", "malformed" … "unknown" for anything else. */
const char *ft_error_name(int error);

/* Of a path that the system refuses by this errno: FT_EPERM, or, if it is not about who asks, FT_EIO. */
int ft_error_of_path(int number);

/* Fills `fault` (which may be NULL) and returns `error`, so that callers can `return ft_fail(...)`. */
int ft_fail(struct ft_fault *fault, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
