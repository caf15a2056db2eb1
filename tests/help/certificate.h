/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the sealed link: an authority, and certificates that it signs, as PEM files in a directory. */
#ifndef TESTS_HELP_CERTIFICATE_H
#define TESTS_HELP_CERTIFICATE_H

/* Makes DIR/NAME.pem and DIR/NAME.key for the node `name`, signed by the authority DIR/BY.pem; `by` equal to
 * `name`: an authority. Fails the test. */
void certificate_make(const char *dir, const char *name, const char *by);
/* Removes the two files. */
void certificate_forget(const char *dir, const char *name);

#endif
