/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain runner: one chain instance per lane, made the same way live, in replay and in tests.
 * Packets from the inner side pass NF 1 … n, packets from the outer side n … 1, so that what translates
 * addresses is always at the inner end and every NF behind it sees one and the same flow both ways.
 */
#ifndef NFLIB_CHAIN_CHAIN_H
#define NFLIB_CHAIN_CHAIN_H

#include "ftcore/order/section.h"
#include "nflib/chain/l3.h"
#include "nflib/module/env.h"
#include "nflib/nf.h"

/* One entry of the configuration: a module and its config struct. */
struct nf_choice {
    const struct nf_module *module;
    void *config;
    uint32_t on_crash; /* enum nf_on_crash */
};

/* `on_crash`: what a successor does with an NF whose state crashed the predecessor. */
enum nf_on_crash {
    NF_CRASH_STOP, /* nothing: it may die of it as well */
    NF_CRASH_BYPASS,
    NF_CRASH_RESET, /* the NF's arena has room for its state twice, and keeps what it was made with */
};

#define NF_FRAME_ROOM 2048u /* bytes of the largest frame that ports take, unless the file sets more */

struct nf_chain_config {
    const char *name;
    uint32_t frame_max; /* bytes of the largest frame, with its tags, NF_FRAME_ROOM to FT_FRAME_MAX */
    uint16_t lanes;
    uint16_t count;
    struct nf_choice nfs[FT_NFS_MAX - 1];
    struct nf_l3_config *l3; /* NULL: a wire between two ports, no addresses */
    uint64_t shared_size;    /* at least; 0: FT_SHARED_DEFAULT */
    bool unreduced;          /* for comparison alone: every access to a shared object goes into the record */
};

/* A packet made by an NF in this burst. `frame` stays valid until the next burst. */
struct nf_emitted {
    uint8_t port;
    uint32_t len;
    const uint8_t *frame;
};

struct nf_chain;
struct nf_mark;
struct nf_session_input;
struct nf_sessions_lane;
struct nf_trace;

/* Arena bytes per lane and NF (index 0: lane state and L3) into sizes[count+1], names into names[count+1]. */
void nf_chain_arenas(const struct nf_chain_config *config, uint64_t sizes[], const char *names[]);
/* Bytes of the shared arena: what the NFs need, or `floor` when that is more. */
uint64_t nf_chain_shared(const struct nf_chain_config *config, uint64_t floor);
/*
 * Opens the region for the chain's state: the same arenas wherever the chain is executed, live, in replay and
 * in tests. Of `how`, `name`, `audit` and `huge` are taken; and `shared_size`, if it is not 0, in place of
 * the chain's. Fails as ft_region_open does.
 */
int nf_chain_region(struct ft_region **out, const struct nf_chain_config *config,
                    const struct ft_region_config *how, struct ft_fault *fault);

/*
 * Makes lane `lane` of the chain in `region`. `seed`: of the lane's generator and so of all hash seeds;
 * random on a node, fixed in replay and tests.
 */
int nf_chain_make(struct nf_chain **out, const struct nf_chain_config *config, struct ft_region *region,
                  unsigned lane, uint64_t seed, struct ft_fault *fault);
void nf_chain_free(struct nf_chain *chain);

/* What lies at this offset of the region, into text[cap): "map 2 of NF 'nat' at byte 96". Of the lane's own
 * arenas, and with lane 0's chain of the shared one. Nothing is written where that is not known. `chain`: a
 * struct nf_chain. */
void nf_chain_name_place(void *chain, uint64_t offset, char *text, size_t cap);

const struct nf_lane_state *nf_chain_state(const struct nf_chain *chain);
/*
 * The lane's sections. Live, after nf_chain_run: the dependencies noted in the burst. Lanes of one node must
 * share `published`, [lanes], before the first burst; alone, a chain has its own.
 */
struct ft_sections *nf_chain_sections(struct nf_chain *chain);
void nf_chain_share(struct nf_chain *chain, struct ft_published *published);
/* The coming burst is replayed: it follows these dependencies. Before nf_chain_command and nf_chain_run. */
void nf_chain_follow(struct nf_chain *chain, const struct ft_dependency dependencies[], uint32_t count);
/* A replayed burst was left in the middle, or cannot be run: the region holds no state any more, whatever
 * comes next begins anew. */
void nf_chain_abandon(struct nf_chain *chain);
/*
 * Determinants of NFs. Live, after nf_chain_run: nf_determinants_noted is to be recorded. Replay: after
 * nf_chain_follow, nf_determinants_supply what was; after nf_chain_run, nf_determinants_used.
 */
struct nf_determinants *nf_chain_determinants(struct nf_chain *chain);

/* True when some NF (or L3) wants its timers at `now`: the lane executes a burst even without packets. */
bool nf_chain_due(const struct nf_chain *chain, uint64_t now);
uint64_t nf_chain_wake(const struct nf_chain *chain); /* earliest of them */

/*
 * Runs one burst: timers that are due, then the packets (parsed here), L3 first and last. Advances burst,
 * sequence number and time of the lane state: burst must be the next one, time not before the last one
 * (broken invariants). Afterwards packets[i]->drop says which pass, their frames are rewritten, out_port
 * set; nf_chain_emitted has what NFs made.
 */
void nf_chain_run(struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets,
                  uint32_t n);
/*
 * Its two halves, for who captures the burst between them. nf_chain_look runs the timers, and does with the
 * packets all that comes before the first NF, which changes no frame: parse, L3's way in, the hash of each
 * one's session. nf_chain_pass runs the NFs and what is behind them. `packets` stays where it is meanwhile.
 */
void nf_chain_look(struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets,
                   uint32_t n);
void nf_chain_pass(struct nf_chain *chain);
/* Between the two: where nf_session_input_of (nflib/session/index.h) finds how a packet can be identified by
 * its session. NULL: none of the burst can. */
const struct nf_sessions_lane *nf_chain_prepared(const struct nf_chain *chain);
/* The chain has sessions, and its NFs read no more of a packet than its session contains. */
bool nf_chain_records_sessions(const struct nf_chain *chain);
/*
 * The coming burst is replayed, and of its packets those have no frame whose inputs[i].key is not NF_NONE
 * (NULL: all have one): they are identified by their sessions, and made again when the burst looks at them,
 * in memory of the chain. Until nf_chain_run returns. nf_chain_restored then returns whether each input named
 * a session of the chain; else the region holds no state any more.
 */
void nf_chain_restore_from(struct nf_chain *chain, const struct nf_session_input *inputs);
bool nf_chain_restored(const struct nf_chain *chain);
/* Of the coming burst the packets of these bits are set aside: they have their sequence numbers, no NF gets
 * them, and they are dropped. Nothing of them is read: their `have` is 0. Live and in replay. */
void nf_chain_set_aside(struct nf_chain *chain, uint32_t bits);
/* To report an input that has no frame, before its burst: fills p's flags, protocol, addresses and ports from
 * the session that the input names. Length and side are there. False: the input names no session whose packet
 * it could be. */
bool nf_chain_ends(const struct nf_chain *chain, const struct nf_session_input *input, struct nf_packet *p);
/* A packet's data may lie elsewhere when nf_chain_run has returned than it did before. */
bool nf_chain_moves_frames(const struct nf_chain *chain);
uint32_t nf_chain_emitted(const struct nf_chain *chain, const struct nf_emitted **list);
/* The coming burst's packets, if they match, are traced (trace.h) at `time` (monotonic, ns). Live only. */
void nf_chain_trace(struct nf_chain *chain, struct nf_trace *trace, unsigned lane, uint64_t time);

/*
 * A change as it is recorded: "set NF KEY=VALUE" or "clear NF [KEY]", applied inside a burst (before its
 * timers and packets). "set NF bypass=on" and "=off" are the chain's, of every NF that translates nothing:
 * the successor of a node that dies of an NF's state issues it, else an operator. "reset NF", of one with
 * on_crash: reset: its state begins anew, and the sessions that it is in go on without it, or end if it
 * translates them. At most one call before nf_chain_run of the same burst. 0 or an error of the NF.
 */
int nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                     struct ft_fault *fault);
/* FT_ENOENT: no NF of the chain is called so; the text has those that there are. */
int nf_chain_refuse_name(const struct nf_chain *chain, const char *name, struct ft_fault *fault);

/* Rows of an NF that has a `show` (nflib/module/module.h). Between bursts. */
bool nf_chain_show(struct nf_chain *chain, const struct nf *nf, struct nf_show *out, uint64_t *cursor);

/* From now on what the chain is at is written there (nflib/chain/mark.h); it outlives the chain. */
void nf_chain_mark(struct nf_chain *chain, struct nf_mark *mark);

/*
 * The lane a packet must go to (module->owner), by the first NF on its way, from its side on, that decides
 * it. The packet is parsed here. False: its flow's hash decides. By any thread, with the chain of any lane.
 */
bool nf_chain_owner(const struct nf_chain *chain, struct nf_packet *p, unsigned *lane);

#define NF_FLOW_KEY    0x6d5au /* the hash's key, as often as a port wants it */
#define NF_FLOW_SPREAD 128u    /* values of the hash that lanes are chosen by */

/*
 * Lane 0 … lanes-1 by a hash. NF_OF_FLOW: the same for both directions, of addresses, and of ports where TCP
 * or UDP is no fragment. NF_OF_INSIDE, NF_OF_OUTSIDE: of that address alone, IPv6's too. An ICMP error goes
 * where the flow goes that it is about. Ports that can, compute the same of IPv4, but for such errors. What
 * has no addresses of either, ARP among it, is lane 0's. The packet is parsed, and its `side` set.
 */
unsigned nf_lane_of(const struct nf_packet *p, enum nf_scope scope, unsigned lanes);

/*
 * Later fragments have no ports to know their NAT's lane by, so they go where their datagram's first one
 * went. Of who deals packets out from one queue. Capacity: NF_DATAGRAMS; a new one takes the place of an
 * older one. A fragment that comes before its first one is dealt by its hash; a node's ports let it wait a
 * while before that (lane/io.h).
 */
#define NF_DATAGRAMS 256u
struct nf_datagrams {
    struct {
        uint64_t hash; /* of what its fragments have in common */
        uint64_t lane;
    } seen[NF_DATAGRAMS];
};
/* Of a fragment, parsed: a hash, never 0, of what the fragments of its datagram have in common, the interface
 * that they come in by among it. */
uint64_t nf_datagram_hash(const struct nf_packet *p);
/* How packets are dealt, live and of a capture alike: to the lane that owns it, else by its hash; a later
 * fragment after its first. `chain`: of any lane; NULL: none may be asked. The packet is parsed here. */
unsigned nf_chain_lane(const struct nf_chain *chain, struct nf_packet *p, enum nf_scope scope, unsigned lanes,
                       struct nf_datagrams *datagrams);

/* What packets are dealt by to so many lanes, so that each NF of the chain finds its state. FT_EINVAL:
 * `fault` names the two that cannot agree, or the one that needs a chain of one lane. */
int nf_chain_scope(const struct nf_chain_config *config, unsigned lanes, enum nf_scope *scope,
                   struct ft_fault *fault);

/*
 * The lane's state, when a peer has written all of it and nobody works on it: 0 when the chain may run on it,
 * whatever comes. Else FT_EMALFORMED and a line that names NF, object, what is there and what was expected;
 * FT_ENOMEM. The lanes of a node are checked in order, since the first has the shared arena. `pulse` is
 * called every millisecond or so; NULL: nobody is waiting.
 */
int nf_chain_check(const struct nf_chain *chain, void (*pulse)(void *arg), void *arg, struct ft_fault *fault);
/* The same of the objects of one NF, and of what it keeps in them. */
int nf_chain_check_nf(const struct nf_chain *chain, unsigned index, struct ft_fault *fault);
/* Bytes that a peer wants to write at an offset of the region, `bytes` NULL for zeros: 0, or FT_EMALFORMED
 * when they would change a constant of this lane. */
int nf_chain_keeps(const struct nf_chain *chain, uint64_t offset, uint64_t size, const uint8_t *bytes,
                   struct ft_fault *fault);

/* The log of flows of a chain that has flow_log; NULL: it has none. What the lane knows of the log's export
 * goes into the next burst that records it. */
const struct nf_log *nf_chain_log(const struct nf_chain *chain);
void nf_chain_log_told(struct nf_chain *chain, struct nf_log_told told);

/* The lane's tables that can be full. They stay where they are when a chain is made anew in its region. */
const struct nf_tables *nf_chain_tables(const struct nf_chain *chain);

/* What an NF of a lane, 1 … count, has got and dropped since its chain was made in this process, live and in
 * replay. No state: written by the lane, read by any thread. */
struct nf_tally {
    uint64_t packets, dropped;
};
struct nf_tally nf_tally_read(const struct nf_tally *t);
/* Counts in `tally`, [FT_NFS_MAX], from 0, which has to outlive whoever reads it; else in the chain itself.
 */
void nf_chain_tally(struct nf_chain *chain, struct nf_tally tally[]);

/* Instances by name, for show; "l3" with addresses. NULL: no such NF in the chain. */
struct nf *nf_chain_find(const struct nf_chain *chain, const char *name);
struct nf *nf_chain_nf(const struct nf_chain *chain, unsigned index); /* 1 … count */
/* The most that any of its NFs reads of packets. */
enum nf_reads nf_chain_reads(const struct nf_chain_config *config);

/* Raised as the version of an NF is (nflib/module/module.h), by a change of what belongs to no NF: sessions,
 * L3, neighbours, timers, state types. */
#define NF_LIBRARY_VERSION 5u

/*
 * What makes two nodes' chains the same, one line per item ("nf 2: firewall max_flows=100000"), for the
 * hello: returns the length written to out[0..cap).
 */
uint32_t nf_chain_identity(const struct nf_chain_config *config, char *out, uint32_t cap);

/* A parameter of an NF as it stands there, its value alone, cut to `cap`. */
void nf_chain_setting(const struct nf_param *param, const void *config, char *out, uint32_t cap);
/* Whole, however long it is; files by their content. */
bool nf_chain_same_setting(const struct nf_param *param, const void *from, const void *to);

/* For people: each interface, address of one, route, next hop and neighbour that the file fixes: what it is,
 * as "route 10.0.0.0/8", and all else that the file contains about it, as "via 10.1.0.1". */
void nf_chain_tell_l3(const struct nf_l3_config *l3,
                      void (*tell)(void *arg, const char *what, const char *how), void *arg);

/* ---- of nflib/chain ---------------------------------------------------------------------------- */

struct nf_sessions_wants;
/* What the chain's NFs ask of its sessions. */
void nf_chain_sessions_wants(const struct nf_chain_config *config, struct nf_sessions_wants *wants);
/* Counters that the module has names for. */
uint32_t nf_chain_counters(const struct nf_module *module);
/* Opens the coming burst for a command. One was opened already: a broken invariant. */
void nf_chain_open(struct nf_chain *chain);
/* Any instance, 0 … count, the first one is the lane's own and L3's; NULL beyond. */
const struct nf *nf_chain_any(const struct nf_chain *chain, unsigned index);

#endif
