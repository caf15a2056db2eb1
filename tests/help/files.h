/* SPDX-License-Identifier: Apache-2.0 */
/* Two directories, as of two servers, each with a pair file, a chain file and rules; and the thread of files
 * of the second one. For tests of a chain's files. */
#ifndef TESTS_HELP_FILES_H
#define TESTS_HELP_FILES_H

#include "node/config/files_thread.h"

#define HELP_FILES_CHAIN "chain: { name: x, nfs: [ { firewall: { rules: sub/fw.rules } }, monitor ] }\n"
#define HELP_FILES_PAIR                                                                                      \
    "chain: { file: chain.yaml }\nlink: { insecure: true }\nnodes:\n"                                        \
    "  a: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:1, "     \
    "control: a }\n"                                                                                         \
    "  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:2, "     \
    "control: b }\n"

extern char help_files_dir[2][64];

int help_files_set_up(void **state);
int help_files_tear_down(void **state);
#define HELP_FILES_CASE(name) cmocka_unit_test_setup_teardown(name, help_files_set_up, help_files_tear_down)

void help_files_write(const char *dir, const char *name, const char *text);
const char *help_files_text(const char *dir, const char *name); /* until the next call; NULL: no such file */
struct nd_config *help_files_pair(int which);
uint8_t *help_files_pack(int which, uint32_t *len); /* what this server would send */
/* A file more in a set that is made by hand; it begins with a byte 0, `*len` 1. */
void help_files_add(uint8_t *bytes, uint32_t *len, const char *path, const char *content);

/* What the second server's thread makes of a job; `bytes` are the job's. The job's error. */
int help_files_do(enum nd_files_work work, uint8_t *bytes, uint32_t len, bool permit,
                  struct nd_files_job *out);
/* The first server's files, given to the second one. */
int help_files_take(bool permit, struct nd_files_job *out);
/* A set made by hand, with a permit; "" or why it is refused. */
const char *help_files_why_not(const uint8_t *bytes, uint32_t len);

#endif
