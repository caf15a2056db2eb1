/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of a pair, in one thread: clocks, ports, the link, the moments at which a node may die are
 * simulated; lanes, logger, replicator, core, chain and NFs are the product's own (compiled behind seam.h).
 * One 64-bit seed decides everything. The world is one and global, since the product's calls (clock_gettime)
 * have no room for a pointer.
 *
 *   world.c   the course of a seed: ticks, who runs next     net.c     link's sockets
 *   node.c    starting, killing, restarting a node           ports.c   ports, hosts and their packets
 *   hooks.c   steps: where a node may be caught              window.c  one address for several regions
 *   oracle.c  what must never happen                         history.c records kept, executed again
 *   fault.c   what goes wrong, and when                      story.c   the transcript
 *   trouble.c what the system refuses, what is tight         stray.c   a chain that does what no NF may
 *   plan.c    what a seed is made of                         intruder.c strangers that connect
 *   disk.c    view files, and when they are written
 *   stream.c, notice.c  of net.c: bytes of a connection, death notices
 *   arbiter.c who decides, in seeds of that kind
 *   ways.c    trouble with one of two ways between the nodes
 *   cable.c   a port of the lane's own, in seeds of that kind
 *   stutter.c nodes and links that are slow, in seeds of that kind
 *   keeper.c, datagrams.c, fed.c  an input keeper, its network, what it took and what left (keeper.h)
 *   crash.c   an NF that dies of its state, and what on_crash says of that
 *   liar.c    a peer that lies; liar_delta.c: of records and deltas (liar.h)
 *
 * Types and calls of the oracles are in oracle.h.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "ftcore/record/delta.h"
#include "lane/lane.h"
#include "understudy/config/config.h"
#include "understudy/crash/quarantine.h"
#include "replicator/replicator.h"
#include "tests/sim/oracle.h"
#include "tests/sim/task.h"

#define SIM_REPLICATOR SIM_LANES       /* number of that task */
#define SIM_WRITER     (SIM_LANES + 1) /* writes the view file */
#define SIM_TASKS      (SIM_LANES + 2)
#define SIM_PORTS      2u
#define SIM_SHARED     (64u << 10) /* bytes of a shared arena, where the NFs do not need more */
#define SIM_US         1000ull
#define SIM_MS         1000000ull
#define SIM_NEVER      UINT64_MAX
#define SIM_NODES      4u
#define SIM_NOBODY     SIM_NODES  /* no node */
#define SIM_TRACK      (1u << 31) /* a kind of tracking that only the world knows: edits call ft_edit_track */

/* ---- chance ------------------------------------------------------------------------------------ */

/* Independent sequences, so that the course of one does not change what another draws. */
struct sim_random {
    uint64_t at;
};
uint64_t sim_draw(struct sim_random *r, uint64_t below); /* 0 to below - 1; below >= 1 */
bool sim_chance(struct sim_random *r, unsigned per_mille);

/* ---- steps ------------------------------------------------------------------------------------- */

/* Where a node may be caught: killed, put to sleep; and how the story says it: "a is killed <text>". */
#define SIM_STEP_LIST(STEP)                                                                                  \
    STEP(SIM_AT_REST, "between two bursts")                                                                  \
    STEP(SIM_BEFORE_CHAIN, "before the chain runs")                                                          \
    STEP(SIM_BEFORE_LOG, "before its record is in the log")                                                  \
    STEP(SIM_AFTER_LOG, "between log and hold")                                                              \
    STEP(SIM_BEFORE_RELEASE, "between the lease's check and the port")                                       \
    STEP(SIM_AFTER_RELEASE, "after outputs have left")                                                       \
    STEP(SIM_BEFORE_ANNOUNCE, "before it claims the addresses")                                              \
    STEP(SIM_AFTER_ANNOUNCE, "after it has claimed the addresses")                                           \
    STEP(SIM_IN_REPLAY, "in replay, before the burst runs")                                                  \
    STEP(SIM_AFTER_REPLAY, "in replay, after the burst ran")                                                 \
    STEP(SIM_IN_SECTION, "inside a section")                                                                 \
    STEP(SIM_BEFORE_SEND, "before records are sent")                                                         \
    STEP(SIM_AFTER_SEND, "after records are sent")                                                           \
    STEP(SIM_BEFORE_STORE, "before it stores records")                                                       \
    STEP(SIM_AFTER_STORE, "between store and acknowledge")                                                   \
    STEP(SIM_BEFORE_ACK, "before it says an acknowledgement")                                                \
    STEP(SIM_AFTER_ACK, "after it said an acknowledgement")                                                  \
    STEP(SIM_BEFORE_VIEW, "before it says its new view")                                                     \
    STEP(SIM_AFTER_VIEW, "after it handed its view to the writer")                                           \
    STEP(SIM_BEFORE_WRITE, "before the view is in its file")                                                 \
    STEP(SIM_AFTER_WRITE, "after the view is in its file")                                                   \
    STEP(SIM_SNAPSHOT_BEGINS, "as it says that a snapshot begins")                                           \
    STEP(SIM_IN_SNAPSHOT, "while lines of the snapshot go out")                                              \
    STEP(SIM_SNAPSHOT_TAKEN, "while lines of the snapshot come in")                                          \
    STEP(SIM_SNAPSHOT_ENDS, "as it says that the snapshot is whole")                                         \
    STEP(SIM_HOLDING, "as it says from where it holds")                                                      \
    STEP(SIM_HELD, "between saying from where it holds and the records before that")                         \
    STEP(SIM_STEER, "as it asks the standby to draw the frames")                                             \
    STEP(SIM_STEERED, "as it says that it draws the frames")                                                 \
    STEP(SIM_HANDOVER, "as it says that it has handed over")                                                 \
    STEP(SIM_ABANDON, "as it abandons the connection")                                                       \
    STEP(SIM_TAIL, "before it emits the tail")                                                               \
    STEP(SIM_AT_CUT, "at the cut")                                                                           \
    STEP(SIM_AT_BARRIER, "while its lanes are at a barrier")

#define SIM_STEP_NAME(name, text) name,
enum sim_step { SIM_STEP_LIST(SIM_STEP_NAME) SIM_STEPS };
extern const char *const sim_step_text[SIM_STEPS];

void sim_step(enum sim_step step); /* may not return */
void sim_die(void);                /* of a node's task: the node dies there */

/* ---- nodes ------------------------------------------------------------------------------------- */

struct sim_packet { /* a frame; one lives in a host's, a port's or a lane's hands */
    struct sim_packet *next;
    uint64_t at; /* when it arrives */
    uint32_t len;
    uint8_t data[];
};

struct sim_queue {
    struct sim_packet *first, **last;
    uint32_t count;
};

struct sim_window { /* a region's content while another's is shown */
    struct ft_region *region;
    uint8_t *parked;
    bool of_node; /* else of a reference */
};

struct sim_node {
    unsigned index;
    const char *name;
    unsigned
        aim; /* the node that its link is for, and of whose guardian's notices it is told; SIM_NOBODY: none */
    bool alive, powered;
    uint64_t life;                                    /* processes so far */
    uint64_t restart_at, paused_until, stalled_until; /* stalled: its replay is held up */
    uint64_t paused_at;                               /* when the last sleep began */
    uint64_t overslept;                               /* when it last woke from a long sleep */
    bool deciding; /* before its last sleep it had decided to take over, and nobody knew yet */
    struct ft_datagram_key datagram_key; /* as its hellos say it */
    char view_file[192], view_new[192];  /* content; "" none */
    char view_disk[192];                 /* what is left of view_file when the machine loses power */
    bool has_view_file, has_view_disk;
    bool blank;            /* its machine was lost with its disk: it comes back as one that never was */
    uint64_t frozen_until; /* its disk */
    struct {
        void *(*entry)(void *);
        void *arg;
    } writer;

    /* its clock: ns since a start of its own */
    uint64_t clock_base, clock_at, clock_last;
    int64_t drift_ppm;

    /* the process */
    struct sim_window window;
    struct ft_lane_shared shared[SIM_LANES];
    struct nd_lane lane[SIM_LANES];
    struct nd_group group;
    struct nd_question question;
    struct nd_io io;
    struct rp_replicator *replicator;
    struct sim_task task[SIM_TASKS];
    _Atomic uint64_t view;
    _Atomic bool stop;
    uint8_t hello[FT_IDENTITY_MAX + 1024]; /* its last one, as anybody could overhear it */
    size_t hello_len;
    struct nd_peer_crashes crashes;
    struct ft_crash_notice last; /* what it died of in this life; signal 0: of no NF */
    bool owes;       /* it has heard what its primary died of, and its file says what it is to do about it */
    unsigned misfit; /* its file differs from its peer's: in what; 0: it does not */

    /* what the oracles know of it */
    uint64_t lived, stored; /* the last view of this life; and that the writer has said to be on the disk */
    bool by_handover;       /* it is primary by a handover that was heard, or is on its disk */
    enum ft_state state;
    uint64_t state_since, died;      /* died: world ns */
    struct sim_history *history;     /* of the state that it makes or has taken over */
    struct sim_history *follows;     /* standby: whose records it stores */
    uint64_t held[SIM_LANES];        /* standby: last burst that it stores */
    uint64_t snapshot;               /* burst of the last one that it got, of lane 0 */
    uint64_t leaving_solo;           /* serial number of the gate that ended SOLO */
    bool said_holding;               /* HOLDING is said since: every lane has seen that gate */
    uint64_t after_view;             /* a view after its own in which it has released */
    unsigned after_lanes;            /* lanes that have released a burst in after_view, a bit each */
    uint64_t last_number[SIM_LANES]; /* of the output that left last in this reign */
    bool resting[SIM_LANES];         /* the lane waits between two bursts */
    bool called[SIM_LANES];          /* the replicator has woken the lane since it slept last */

    /* The node as it was when the lane checked its lease last. */
    struct sim_checked {
        uint64_t view;
        bool alone;     /* the gate was SOLO */
        bool may_split; /* it had announced that it goes on alone, as one of a split pair does */
        bool unheard;   /* the same, while the standby slept in the midst of its takeover */
    } checked[SIM_LANES];

    struct sim_queue port[SIM_LANES][SIM_PORTS]; /* arrived, dealt to lanes */
};

/* ---- the world --------------------------------------------------------------------------------- */

enum sim_wildness {
    SIM_HEALS,  /* partitions end before detect_ms is over */
    SIM_STRICT, /* partitions as long as they like; strict */
    SIM_SPLITS, /* the same, not strict: the pair may split, which is counted apart */
    SIM_WILDS
};

struct sim_plan { /* of a seed; or of a scenario */
    unsigned chain, lanes;
    enum sim_wildness wild;
    bool strict, fast, full_capture, suppress_tail;
    uint32_t mode, standby; /* enum nd_mode, nd_standby */
    uint32_t gather_us, commit_us, checkpoint_ms, budget_ms, listen_ms;
    uint64_t round_ns;    /* in which nodes compare their states once; 0: they do not */
    uint32_t chunk_bytes; /* of lines in a chunk of a checkpoint beside bursts: few, so that it takes long */
    bool audit;           /* of writes that go past edits */
    uint32_t hold_packets;
    uint64_t log_bytes, pending_bytes;
    uint32_t resync_mbps;
    uint64_t faults_end; /* world ns */
    uint64_t quiet_at;   /* hosts stop */
    unsigned flows;
    uint64_t gap;        /* mean ns between packets of hosts */
    uint64_t tick;       /* mean */
    unsigned switchy;    /* per mille: a lane lets others run at a section call */
    unsigned lazy;       /* per mille: a task sleeps longer than asked */
    unsigned preempted;  /* per 100000 steps: a task is preempted there for a while, and its node goes on */
    uint64_t delay;      /* of messages, at most, usually */
    unsigned fault_rate; /* per mille of the usual */
    bool troubled;       /* the system refuses now and then: memory, sockets, the view file */
    bool alone;          /* one node, protection off, with the audit of its region on */
    bool liar;       /* what nodes say to each other is altered; see liar.c for how such a seed is judged */
    bool bold;       /* liars also say what does not fit what was said before */
    bool stray;      /* alone, and the chain once does what no NF may: the audit ends the process */
    bool narrow;     /* buffers of kilobytes, sockets that take a chunk, other strangers */
    bool arbitrated; /* there is an arbiter, and partitions last */
    uint32_t crash;  /* enum nf_on_crash of the NF that dies of its state, in seeds of that kind */
    const char *crasher; /* that NF; NULL: none does */
    bool in_packets;     /* it dies while it has packets, and with a standby behind it; else in its timers */
    bool sealed;         /* the link is sealed (seal.c), and somebody on the way ends connections */
    bool members;        /* four nodes, an arbiter, and people who take one for another */
    bool disks;          /* and machines are lost with their disks */
    bool ways;           /* two ways between the nodes, and trouble with them (ways.c) */
    bool steady;         /* with one of them at a time, and nothing else */
    bool one_way;        /* b's file knows of one way alone */
    bool sparse;         /* pages of zeros are holes in the file of a region's memory; else it has none */
    uint32_t slow_ms;    /* nodes are slow for a while, and a standby that is given up; 0: none is */
    bool port;           /* each lane has a port to its peer's (cable.c) */
    bool port_at_one;    /* but b has none */
    unsigned port_trouble; /* per mille of frames that are lost, doubled, late */
    uint32_t port_longest; /* bytes of a frame */
    bool told;             /* sessions tell the packets, and hosts send what they may not tell (ports.c) */
    bool keeper;           /* there is an input keeper in front of the nodes */
    bool poison;           /* and some packets kill, also when they are fed again */
    unsigned keepers;      /* 1 or 2 of them */
    bool floods;           /* switches send all to both; else to the one that spoke last */
    bool keeper_dies;      /* now and then, and with it the primary */
    unsigned loss;         /* per mille of its datagrams, and as many are doubled */
    uint32_t socket_room;  /* datagrams that are under way to a socket at most */
    uint32_t keeper_inputs, keeper_bursts; /* that it keeps */
    uint32_t mbufs;                        /* of a node, for what the keeper sends */
};

struct sim_catch { /* a node is to be caught at a step */
    bool armed;
    unsigned node;
    enum sim_step step; /* SIM_STEPS: any */
    unsigned skip;      /* times it passes there first */
    uint64_t from;      /* not before */
    uint64_t until;     /* then anywhere */
    uint64_t sleep;     /* 0: it dies */
    bool task;          /* only the thread that comes there sleeps */
    bool machine;
};

struct sim_world {
    uint64_t asked; /* when the primary was last asked for a digest, which brings a warm standby up to date */
    uint64_t seed, now;
    struct sim_plan plan;
    const struct nd_config *config; /* of this seed */
    struct sim_node node[SIM_NODES];
    unsigned nodes;                              /* of this seed: 2, or 4 where members change */
    struct sim_node *opening;                    /* whose replicator is being opened, by no task */
    struct sim_random chance, order, net, hosts; /* faults; scheduling; delays; packets */
    struct sim_random lies, trouble;
    struct sim_random width; /* of narrow and stray seeds alone */
    struct sim_random chain; /* of accidents that follow each other */
    struct sim_random disk, asks, crash, members, ways, keeper, cable, slow;
    uint64_t stray_at;   /* when the chain does what no NF may */
    const char *strayed; /* the chain has done that, and how the process must end; NULL: not yet */
    unsigned strayed_lane;
    unsigned mood;       /* enum sim_lie: what liars lie about */
    uint64_t mood_until; /* until when, at most, liars lie about that */
    unsigned refuse;     /* that many requests from now the system refuses one; 0: none */
    struct sim_catch caught;
    uint64_t break_at; /* when the connection breaks while somebody sleeps; 0: it does not */
    uint64_t kill_at;  /* when whoever reigns alone dies; 0: it does not */
    uint64_t fault_at;
    bool faults_over;
    struct sim_script *script;                                 /* a scenario in place of the seed's faults */
    uint64_t link_blocked[SIM_NODES], port_blocked[SIM_NODES]; /* towards node i, until */
    struct sim_way {
        uint64_t blocked[SIM_NODES], lossy, holed; /* until; blocked: towards node i */
    } way[2];
    uint64_t slow_until;  /* messages take longer */
    uint64_t still_until; /* clients send nothing */
    unsigned flips;       /* sends that shall be damaged */
    bool long_partition;
    bool disk_lost; /* of any node: what only a person can decide may have come of it */
    bool split;     /* SOLO beside a promoted standby: counted apart */
    uint64_t reign; /* highest view in which a node became primary */
    unsigned reigns_node;
    uint64_t owner; /* node to which hosts' frames go; SIM_NOBODY: all */
    struct sim_history *histories;
    struct sim_gift { /* a snapshot begun: whose history its receiver follows */
        const struct sim_history *history;
        uint64_t sent;
        unsigned from;
        struct sim_gift *next;
    } * gifts;
    struct sim_left *left, **left_last;
    uint64_t epochs;
    uint64_t crash_at; /* when the NF's state is damaged next, or the NF is to take part again */

    /* counted for reports */
    struct sim_counts {
        uint64_t released, bursts, takeovers, protections, kills, restarts, splits, handovers, resyncs,
            epochs, duplicates, never, lost, dependencies, told, steps[SIM_STEPS], caught[SIM_STEPS], replies,
            divergences, forgotten, decisions, refused, by_port, slow;
    } count;
    uint64_t hash; /* of everything that was told */
    char failed[512];
};

extern struct sim_world sim;

/* ---- story.c ---- */
void sim_story_begin(bool aloud);
const char *sim_story(void);
bool sim_step_named(const char *text, enum sim_step *step);
const char *sim_names(unsigned nodes); /* a bit for each; "a and c"; a text that the next call changes */
void sim_tell(unsigned node, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_mix(uint64_t value); /* into the hash */

/* ---- memory of one seed (world.c) ---- */
void *sim_alloc(size_t size); /* zeroed only when fresh; gone with the next seed */
/* ---- plan.c ---- */
/* `kind`: NULL, or liar, alone, troubled, narrow, sealed, stray, arbiter, crash, told, members, ways, keeper,
 * port, slow: what the seed is made to be. */
void sim_plan_make(struct sim_plan *plan, uint64_t seed, const char *kind);
int sim_configs(const char *directory, struct ft_fault *fault); /* reads the chains; once */
extern const char *const sim_chain_name[];
void sim_configure(void); /* by sim.plan */

/* ---- world.c ---- */
void sim_begin(uint64_t seed, const struct sim_plan *plan);
bool sim_tick(void);                  /* false: the run has failed */
void sim_end(void);                   /* frees */
bool sim_settled(void);               /* PROTECTED beside READY, both awake */
struct sim_node *sim_protected(void); /* who is PROTECTED, and awake; NULL: nobody */
bool sim_rests(void);                 /* settled, and nothing is under way: both hold the same */
bool sim_run(void);                   /* the whole course of a seed, judged. False: it has failed */
/* The node that this one's link is for; of two the other one. NULL: none. */
struct sim_node *sim_peer(const struct sim_node *node);
/* From a task: at least so long. */
void sim_sleep(uint64_t ns, bool polls);
void sim_let_others(void);
uint64_t sim_clock(const struct sim_node *node);
bool sim_runs(const struct sim_node *node);
static inline struct sim_node *sim_current(void)
{
    return sim_running && sim_running->node < SIM_NODES ? &sim.node[sim_running->node] : NULL;
}

/* ---- node.c ---- */
void sim_node_start(struct sim_node *node);
void sim_node_kill(struct sim_node *node, bool machine); /* not from one of its own tasks */
void sim_node_free(struct sim_node *node);
const struct ft_core *sim_core(const struct sim_node *node);

/* ---- disk.c ---- */
void sim_disk_freeze(struct sim_node *node, uint64_t until);
void sim_disk_thaw(struct sim_node *node);
void sim_disk_tick(void); /* by chance a disk is frozen for a while */
void sim_disk_lose_power(struct sim_node *node);
void sim_disk_lose(struct sim_node *node);

/* ---- arbiter.c ---- */
void sim_arbiter_begin(void);
const struct rp_arbiter *sim_arbiter_of(struct sim_node *node); /* that begins; NULL: there is none */
void sim_arbiter_cut(unsigned whom, uint64_t until);
bool sim_arbiter_upset(void);
void sim_arbiter_end(void); /* of faults */

/* ---- window.c ---- */
void sim_window_begin(void);
void sim_window_of(struct sim_window *window);          /* whose region is being opened */
void sim_show(struct sim_window *window);               /* NULL: nobody's */
void sim_window_edited(uint64_t offset, uint64_t size); /* of what is shown, about to be */
void sim_window_object(const struct ft_region *region,
                       const struct ft_shared *object); /* its section goes on */
void sim_window_all(void);                              /* anything may change */

/* ---- net.c ---- */
void sim_net_begin(void);
void sim_net_gone(unsigned node, bool silently); /* a process's sockets; silently: its machine lost power */
bool sim_net_ready(unsigned node);               /* something can be read */
uint64_t sim_net_stuck(unsigned node); /* ns for which its socket has taken nothing that was offered */
void sim_net_break_way(unsigned way);  /* the connections of one way end, somehow */
void sim_net_break(void);              /* the connection ends by an error, at both ends */
void sim_net_inject(void); /* somebody on the way ends the connection in one end's name: a FIN or a RST */
/* Somebody on the peer's host connects to node `to` and says `said` (may be NULL), and closes or not. */
void sim_net_intrude(unsigned to, const uint8_t *said, size_t len, bool closes);
void sim_net_death_notice(unsigned from, unsigned to, const struct ft_datagram_key *dead, uint64_t at);
void sim_net_crash_notice(unsigned from, unsigned to, const struct ft_crash_notice *notice,
                          const struct ft_datagram_key *dead, uint64_t at);

/* ---- ports.c ---- */
void sim_ports_begin(void);
void sim_ports_io(struct sim_node *node);
void sim_ports_tick(void);
void sim_ports_clear(struct sim_node *node);
uint64_t sim_ports_waiting(const struct sim_node *node);

/* ---- scenario.c ---- */
/* Runs a scenario's file. 0, 1: it failed, 65: it cannot be read; what is wrong is printed. */
int sim_scenario(const char *path, bool aloud);
void sim_script_tick(void);
void sim_script_buried(struct sim_node *node); /* it has died: who says so */

/* ---- fault.c ---- */
void sim_faults_tick(void);
void sim_faults_end(void);
void sim_partition(unsigned links, unsigned ports, uint64_t until); /* bits: towards a, towards b */
void sim_pause(struct sim_node *node, uint64_t ns);

/* ---- intruder.c ---- */
void sim_intrude(struct sim_node *node);       /* somebody connects to it from its peer's host */
void sim_intrude_oddly(struct sim_node *node); /* the same in a narrow seed, with what is no hello at all */

/* ---- crash.c ---- */
void sim_crash_begin(void);
void sim_crash_start(struct sim_node *node); /* a process: nothing is known of its peer's deaths */
void sim_crash_hear(void *node, const struct ft_crash_notice *notice, bool primary); /* rp_config.crashed */
void sim_crash_look(struct nd_lane *lane, const struct nf_packet *packets,
                    uint32_t n); /* before a live burst of the chain; may not return */
void sim_crash_tick(void);
void sim_crash_tell(const struct sim_node *node, uint64_t at); /* its guardian does, of what it died */
void sim_crash_snapshot(struct sim_node *node);                /* its state is another one from here on */
void sim_crash_poison(struct nd_lane *lane, const struct nf_packet *packets, uint32_t n); /* the same */
void sim_crash_damage(const struct nf_chain *chain); /* after a burst: what was asked for in it */
void sim_crash_forget(const struct nf_chain *chain);
void sim_crash_judge(void); /* at rest */

/* ---- ways.c ---- */
void sim_ways_begin(void);
void sim_ways_tick(void);
uint64_t sim_way_delay(unsigned way, size_t bytes); /* of bytes that are sent there now, beside the usual */
bool sim_way_stands(unsigned way);                  /* at both nodes of the pair */
void sim_way_cut(unsigned way, unsigned towards, uint64_t until); /* towards: a bit for each node */

/* ---- stutter.c ---- */
void sim_stutter_begin(void);
void sim_stutter_tick(void);
void sim_stutter_saw(const struct sim_node *node, const char *why); /* its new state's reason */

/* ---- cable.c ---- */
void sim_cable_begin(void);
void sim_cable_tick(void);
void sim_cable_heals(void);
/* Of a node that begins; NULL: none. */
const struct nd_link_port *sim_cable_of(const struct sim_node *node, unsigned lane);
uint64_t sim_holds(struct sim_node *node, unsigned lane); /* standby: bursts up to here, none left out */

/* ---- keeper.c, fed.c ---- */
void sim_keeper_begin(void);
void sim_keeper_tick(void);
void sim_keeper_heals(void); /* its faults are over */
bool sim_keeper_lives(unsigned k);
bool sim_keeper_rests(void);                  /* nothing is in it; or there is none */
void sim_keeper_feeds(struct sim_node *node); /* a node that begins has no ports of its own */
void sim_keeper_gone(struct sim_node *node);  /* its process has died */
bool sim_datagram_there(unsigned at);         /* at that node's socket to the keeper */
/* The reference makes this output of the surviving log; then it has made all. */
void sim_fed_makes(uint64_t burst, uint64_t seq, const uint8_t *frame, uint32_t have, uint32_t len,
                   unsigned port);
void sim_fed_judge(const struct sim_history *history, bool died);

/* ---- trouble.c ---- */
/* While a node starts in a troubled seed: what the system is going to refuse is decided. */
void sim_trouble_begin(void);
void sim_trouble_end(void);
bool sim_refuses(void);                /* this request */
bool sim_troubled(unsigned per_mille); /* something small goes wrong, at any time */
void sim_limits_begin(void);           /* how much buffers hold in this seed */
void sim_limits_now(unsigned node);    /* how much they hold now, for what the node's replicator does next;
                                          SIM_NOBODY: as ever */
bool sim_narrow(unsigned per_mille);   /* in a narrow seed: whether something else is tight now */

/* ---- stray.c ---- */
void sim_stray_begin(void);
void sim_stray_look(const struct nd_lane *lane);   /* after a burst of the chain; may not return */
void sim_stray_leaves(void);                       /* a node's region is about to be closed */
bool sim_stray_ends(int number, const char *said); /* is that how it must end? */

#endif
