/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steward of a server's nodes: of an agent's three processes the only one that keeps root's rights. It
 * parses nothing that comes from etcd, from nodes or from the fleet's file. The agent hears etcd and the
 * nodes; the reader (reader.h) has read the file, and makes the text of pair files.
 *
 * The agent asks for one of six things, each of a shard that it names, and gets the result later. The steward
 * makes unit and paths of that name and the server's, which its own unit passes to it. What it writes for
 * nodes is made of root's file, by the reader; any other request is refused, counted and logged here. It ends
 * with the agent, and the reader with it.
 */
#ifndef FLEET_STEWARD_H
#define FLEET_STEWARD_H

#include "fleet/file.h"

struct fl_steward_config {
    const char *file;   /* path of the fleet's file */
    const char *server; /* this one's name */
    const char *user;   /* of the system, for agent and reader; "": they stay who they are */
};

enum fl_task {
    FL_TASK_NONE,    /* as an answer: the steward is ready, or cannot be */
    FL_TASK_START,   /* the node's unit, which it waits for no longer than systemctl does: a shard of the file
                      */
    FL_TASK_RESTART, /* the same */
    FL_TASK_STOP,    /* the unit, of any shard */
    FL_TASK_PAIR,    /* the node's files, for nodes on the servers that the text names, with blanks between;
                        none: the pair file stays as it is */
    FL_TASK_TOLD,    /* the text is kept: the contents of the key of a shard of the file */
    FL_TASK_END,     /* nothing is to be left of a shard that is not in the file (fl_stray_end) */
    FL_TASKS
};

#define FL_TOLD_MAX 4096u /* bytes of such a text, with its NUL */

struct fl_done {
    enum fl_task task;
    int error; /* FT_EPERM: it was refused */
    char shard[FL_NAME_MAX];
    char text[256]; /* of the error */
};

/* Forks it; before there are threads. *fd: where the agent asks, and hears; its first answer is FL_TASK_NONE,
 * with FT_EBUSY where another agent of this server runs. FT_EIO. */
int fl_steward_start(int *fd, const struct fl_steward_config *config, struct ft_fault *fault);
/* Asks, `text` with it. False: the steward is busy, or has ended. */
bool fl_steward_ask(int fd, enum fl_task task, const char *shard, const char *text);
/* Takes one answer, for which it waits `ms` at most. 1; 0: there is none; -1: the steward has ended. */
int fl_steward_receive(int fd, struct fl_done *done, int ms);

/* Of a file of at most `cap` - 1 bytes, as text. False: there is none, or it is longer. */
bool fl_read_whole(const char *path, char *out, size_t cap);

#endif
