/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands. Each gets argv with its own name first, reads its options with nd_options_read, prints its
 * result on stdout, one line on stderr when it fails, and returns the exit code (enum nd_exit).
 */
#ifndef NODE_CONTROL_COMMANDS_H
#define NODE_CONTROL_COMMANDS_H

struct nd_syntax;
/* What --help tells of those that have options of their own. */
extern const struct nd_syntax nd_drill_syntax, nd_replay_syntax, nd_bench_syntax;

int nd_cmd_run(int argc, char **argv);
int nd_cmd_drill(int argc, char **argv);
int nd_cmd_check(int argc, char **argv);
int nd_cmd_replay(int argc, char **argv);
int nd_cmd_bench(int argc, char **argv);
int nd_cmd_status(int argc, char **argv);
int nd_cmd_verify(int argc, char **argv);
int nd_cmd_act(int argc, char **argv); /* promote, drain, resync, failback: the word is the request */
int nd_cmd_show(int argc, char **argv);
int nd_cmd_set(int argc, char **argv);
int nd_cmd_clear(int argc, char **argv);
int nd_cmd_top(int argc, char **argv);

#endif
