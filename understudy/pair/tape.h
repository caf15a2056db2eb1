/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures. A tape is one read into memory: its packets, and the bursts into which they are cut, once and for
 * all, so that every run over the same capture sees the same bursts at the same times. Made by the replay
 * tool and the bench before any node starts; node processes inherit it; never changed. A capture file is one
 * that is written (-w), by the tool's main thread.
 *
 * A burst holds up to 32 packets that came within a millisecond; its time is that of its first packet, made
 * monotone. In a longer pause empty bursts let timers run. Pauses of an hour and more are a second: some
 * captures are joined from parts years apart.
 */
#ifndef TOOLS_PAIR_TAPE_H
#define TOOLS_PAIR_TAPE_H

#include "ftcore/base/error.h"
#include "nflib/chain/chain.h"

#include <pcap/pcap.h>
#include <stdlib.h>

struct nd_tape_input {
    uint64_t stamp;  /* ns since 1970, as captured */
    uint64_t time;   /* chain time it came at, ns */
    uint64_t number; /* of the capture's packet, from 0 */
    uint64_t at;     /* of its bytes */
    uint32_t wire;   /* bytes of the frame */
    uint32_t have;   /* of which captured; the rest counts as zeros */
    uint8_t side;    /* enum nf_side */
};

struct nd_tape_burst {
    uint64_t time;  /* chain time, ns */
    uint64_t first; /* index of its first input */
    uint32_t n;     /* 0: timers only */
};

struct nd_tape {
    struct nd_tape_input *inputs;
    struct nd_tape_burst *bursts; /* burst number b is bursts[b - 1] */
    uint8_t *bytes;
    uint64_t count, burst_count, used;
    uint64_t input_room, burst_room, byte_room;
    uint64_t refused;        /* frames that a node's ports would refuse: under 14 bytes, or over frame_max */
    uint64_t foreign;        /* of a cooked capture: neither IP nor ARP */
    uint64_t sent;           /* of a cooked capture: inputs that the machine which captured had sent */
    uint64_t flows, doubled; /* of IPv4, seen both ways; of those, whose directions came from one side */
    uint64_t wrong_ip,
        wrong_l4; /* inputs with a wrong checksum in the IPv4 header; of TCP or UDP, if whole */
    uint32_t frame_max;
    uint32_t longest; /* wire bytes of the longest input */
    bool borrowed;    /* the bytes are another tape's */
};

/*
 * Reads a capture (pcap or pcapng) of Ethernet, or of Linux's `-i any` (cooked). "FILE:offset N:
 * what, what was expected" in `fault`: FT_EMALFORMED (foreign, corrupt, truncated), FT_ENOENT, FT_EPERM,
 * FT_ENOMEM. `inside`: the networks inside; NULL: those of the chain's NAT.
 */
int nd_tape_read(struct nd_tape *tape, const char *file, const struct nf_chain_config *chain,
                 const struct nf_networks *inside, struct ft_fault *fault);
void nd_tape_free(struct nd_tape *tape);

/* Copies an input's frame, all `wire` bytes of it, to `out`. */
void nd_tape_frame(const struct nd_tape *tape, uint64_t index, uint8_t *out);

/* The inputs of a burst as packets for a chain, their frames one after the other in `frames`, which has
 * nd_tape_frames_bytes. */
void nd_tape_packets(const struct nd_tape *tape, const struct nd_tape_burst *burst, uint8_t *frames,
                     struct nf_packet packets[NF_BURST_MAX]);
static inline size_t nd_tape_frames_bytes(const struct nd_tape *tape)
{
    return (size_t)tape->longest * NF_BURST_MAX + 1;
}

/* What frames are dealt by, the same as on a node (nflib/chain/chain.h). */
struct nd_tape_lanes {
    unsigned count;
    enum nf_scope scope;
};
/* The lane of a frame of `wire` bytes of which `have` are there. `side`: where it came in. */
unsigned nd_tape_lane(const uint8_t *frame, uint32_t wire, uint32_t have, uint8_t side,
                      struct nd_tape_lanes lanes);

/* Number of the burst with the last input up to packet `number` of the capture, from 0. 0: there is none. */
uint64_t nd_tape_burst_of(const struct nd_tape *tape, uint64_t number);

/*
 * Deals the tape out to lanes, into out[lanes.count]; they borrow the tape's bytes. Burst b of each is of the
 * same chain time as burst b of the tape and has the lane's inputs of that one, perhaps none: so neither the
 * time of a packet nor of a timer depends on the number of lanes. `lane`: [tape->count] the lane of each
 * input, or ND_TAPE_HASH: by its hash; NULL: all are. FT_ENOMEM: nothing is left to free.
 */
#define ND_TAPE_HASH 0xffu
int nd_tape_deal(const struct nd_tape *tape, struct nd_tape_lanes lanes, const uint8_t *lane,
                 struct nd_tape out[], struct ft_fault *fault);

/* The configuration of the first NF of this name in the chain's file; NULL: there is none. */
const void *nd_nf_config(const struct nf_chain_config *chain, const char *name);

/* ---- a capture that is written: of Ethernet ---- */

struct nd_capture_file {
    const char *file;
    pcap_dumper_t *dump; /* NULL: not open */
    char *part;          /* the name it has until it is whole; NULL: its own, it being no regular file */
};

/* FT_EIO. `file` stays borrowed. */
int nd_capture_open(struct nd_capture_file *capture, const char *file, struct ft_fault *fault);
/* A frame of `len` bytes of which `have` are there, stamped with ns since 1970. */
void nd_capture_put(struct nd_capture_file *capture, uint64_t stamp, const void *frame, uint32_t have,
                    uint32_t len);
/* All of it is in the file. FT_EIO: it is not. Nothing to do when it is not open. */
int nd_capture_finish(struct nd_capture_file *capture, struct ft_fault *fault);
/* Gives up what was not finished. */
void nd_capture_close(struct nd_capture_file *capture);

/* ---- lists that grow as a capture or a log is read ---- */

/* Makes room for `wanted` entries of `size` bytes in *list, a malloc()ed list of *room entries (NULL of 0),
 * doubling it from `first` on. False: no memory, and the list is as it was. */
static inline bool nd_grow(void **list, uint64_t *room, uint64_t wanted, size_t size, uint64_t first)
{
    uint64_t more = *room ? *room : first;
    void *larger;

    while (more < wanted)
        more *= 2;
    if (more == *room)
        return true;
    larger = realloc(*list, more * size);
    if (!larger)
        return false;
    *list = larger;
    *room = more;
    return true;
}

#endif
