/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For authors of NFs: a chain and its standby, driven frame by frame. Each node is a process of its own. The
 * standby replays each burst from what a record has of it: of an NF that reads headers, headers alone. What
 * leaves and the state are compared behind each burst, with the audit on. nft_kill ends the primary between
 * any two frames; the standby goes on, and gets a new standby with a copy of its state. So a test of some
 * lines finds what breaks a rule of docs/writing-an-nf.md: state outside of the arena, a change without an
 * edit, payload that is read and not declared, random numbers and clocks that are not the chain's.
 *
 * A failure is one line on stderr, and the test goes on: nft_close then returns 1. A node that dies of what
 * it is given, or works on it for more than 5 s of CPU time, is a failure. A chain that cannot be opened ends
 * the program.
 */
#ifndef NFTEST_NFTEST_H
#define NFTEST_NFTEST_H

#include "nflib/nf.h"
#include "nftest/frames.h"

struct nft;

/* The chain of a chain file, on one lane; its modules are loaded. Chain time begins at one second. The other:
 * on so many lanes, 1 … NFT_LANES_MAX. A frame goes to the lane that a node's ports would deal it to, and
 * lanes run one after the other, in the same order on both nodes. */
#define NFT_LANES_MAX 4u
struct nft *nft_open(const char *chain_file);
struct nft *nft_open_lanes(const char *chain_file, unsigned lanes);
/* Ends both nodes. 0, or 1 when something has failed: what main returns. NULL is fine. */
int nft_close(struct nft *t);

/*
 * A burst of one frame that comes in on that side. True: it passed, and *out (NULL: not wanted) says what it
 * is then. nft_raw: bytes instead, at most NFT_FRAME_MAX, rewritten in place. A checksum that was right and
 * is wrong when the packet leaves is a failure.
 */
bool nft_send(struct nft *t, uint8_t side, const struct nft_spec *frame, struct nft_seen *out);
bool nft_raw(struct nft *t, uint8_t side, uint8_t *bytes, uint32_t len);

/*
 * A connection of TCP, both of whose ends are played here. The client is on `side` and sends to what `client`
 * says (addresses, ports, tags); the server answers to what it sees of it, whatever the chain makes of
 * addresses and sequence numbers. Open: the three segments of the handshake. Say: a segment with that text by
 * one end, and the other's acknowledgement. End: both ends finish, which is acknowledged. True: all passed.
 */
enum { NFT_CLIENT, NFT_SERVER };
struct nft_tcp {
    uint8_t side;
    struct nft_spec end[2]; /* what that end sends next */
};
bool nft_tcp_open(struct nft *t, struct nft_tcp *c, uint8_t side, const struct nft_spec *client);
bool nft_tcp_say(struct nft *t, struct nft_tcp *c, unsigned who, const char *text);
bool nft_tcp_end(struct nft *t, struct nft_tcp *c);

/* From now on every frame that is sent goes into that capture too, for `understudy replay`. */
void nft_capture(struct nft *t, const char *file);

/* Time passes: the bursts that timers ask for until then, and one at its end. */
void nft_wait(struct nft *t, double seconds);

/* "set limiter packets=5", "clear limiter": 0, or the NF's error. */
int nft_command(struct nft *t, const char *text);

/* Of the primary, of all lanes. A counter that is not there is a failure, and 0. nft_show: its rows as JSON,
 * until the next call. */
uint64_t nft_counter(struct nft *t, const char *nf, const char *counter);
const char *nft_show(struct nft *t, const char *nf);

/* SIGKILL to the primary. The standby goes on from its state, which a new standby gets a copy of. */
void nft_kill(struct nft *t);

/* What the test expects; false when it is otherwise. */
#define NFT_TRUE(t, condition) nft_true((t), (condition), __FILE__, __LINE__, #condition)
#define NFT_EQUAL(t, got, wanted)                                                                            \
    nft_equal((t), (uint64_t)(got), (uint64_t)(wanted), __FILE__, __LINE__, #got)
/* `text` is somewhere in what the NF shows. */
#define NFT_SHOWS(t, nf, text) nft_shows((t), (nf), (text), __FILE__, __LINE__)
bool nft_true(struct nft *t, bool is, const char *file, int line, const char *what);
bool nft_equal(struct nft *t, uint64_t got, uint64_t wanted, const char *file, int line, const char *what);
bool nft_shows(struct nft *t, const char *nf, const char *text, const char *file, int line);

/* How many failures so far, and the last one's line, "" for none. */
unsigned nft_failures(const struct nft *t, const char **last);

#endif
