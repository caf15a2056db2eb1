/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that has read the fleet's file, and makes of it what the steward (steward.h) writes for nodes. It
 * is of the agent's user, without a capability, and hears nobody but the steward: what parses the file is not
 * root, and what parses etcd's bytes has no influence on what nodes read.
 */
#ifndef FLEET_READER_H
#define FLEET_READER_H

#include "fleet/file.h"

struct fl_reader {
    const char *path;                /* of the fleet's file */
    int fd;                          /* -1: it has failed, for good */
    char state[128], nodes_user[33]; /* `state` and `user` of the file */
};

/* Of the calling process, before there are threads: it becomes the user ("": stays who it is), for good
 * without a capability, behind the filter of system calls that nodes have. As nd_privilege_limit. */
int fl_confine(const char *user, struct ft_fault *fault);

/* Forks it. FT_EINVAL: there is no such server in the file; FT_EIO; as fl_file_read and fl_confine. */
int fl_reader_start(struct fl_reader *reader, const char *path, const char *server, const char *user,
                    struct ft_fault *fault);

/* The pair file of the shard for nodes on the servers, names with a blank between two; *text is for free().
 * FT_ENOENT: the file has no such shard; FT_EINVAL: no such servers; FT_EIO: the reader has failed; as
 * fl_file_render. */
int fl_reader_ask(struct fl_reader *reader, const char *shard, const char *servers, char **text,
                  struct ft_fault *fault);
/* 0: the file has the shard; else FT_ENOENT or FT_EIO. */
int fl_reader_find(struct fl_reader *reader, const char *shard, struct ft_fault *fault);

#endif
