/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a chain file or a pair file, read against a schema, every value checked, with defaults
 * filled in. Made once by nd_config_read; read by everybody; never changed.
 */
#ifndef NODE_CONFIG_CONFIG_H
#define NODE_CONFIG_CONFIG_H

#include "ftcore/base/error.h"
#include "lane/settings.h"
#include "nflib/chain/chain.h"
#include "understudy/arbiter/arbiter.h"

#define ND_PAIR           2u /* of the nodes of a file, the first members */
#define ND_NODES          8u
#define ND_EAL_MAX        32u
#define ND_INPUTS_DEVICES 4u
#define ND_HOST_MAX       64u

#define ND_TRACKED_MAX 8u /* tracked things of a node */
#define ND_HOOKS_MAX   4u
#define ND_PATH_MAX    192u

enum nd_mode { ND_MODE_OFF, ND_MODE_LOG, ND_MODE_DELTA, ND_MODE_AUTO };
enum nd_standby { ND_STANDBY_HOT, ND_STANDBY_WARM };
enum nd_compress { ND_COMPRESS_AUTO, ND_COMPRESS_ALWAYS, ND_COMPRESS_NEVER };
enum nd_role { ND_ROLE_PRIMARY, ND_ROLE_STANDBY, ND_ROLE_SPARE };
/* Real-time priority for the replicator, nice -10 for lanes and the main thread, where the kernel permits it.
 * AUTO: of a thread that has processors of its own (understudy/base/process.h), none. */
enum nd_realtime { ND_REALTIME_FALSE, ND_REALTIME_TRUE, ND_REALTIME_AUTO };

/* What seals the link: `key`, or the three files of TLS, or nothing. Paths, "": not given. */
struct nd_link {
    char key[192];
    char certificate[192], private_key[192], authority[192];
    bool insecure;
    const struct nd_yaml *at, *tls; /* the file's sections, `link` and what is in it; NULL: none */
};

/* The flight recorder. */
struct nd_record {
    char dir[192];    /* "": nothing is recorded */
    uint32_t file_mb; /* of records per file, 1 … 65536 */
    uint32_t files;   /* kept, 2 … 100000 */
};

/* All in ms; 2 heartbeat <= lease < detect < promote_within < solo_after. */
struct nd_timing {
    uint32_t heartbeat_ms, lease_ms, detect_ms, promote_within_ms, solo_after_ms;
    uint32_t resync_deadline_ms; /* a resync that takes longer has failed */
    uint32_t resync_mbps;        /* rate limit of snapshot lines, megabyte per second */
    uint32_t start_alone_ms; /* a configured primary at view 0 without a peer waits so long; 0: for ever */
    /* Without detect_ms in the file a standby measures how long a silence has to be
     * (ftcore/protocol/standby.c): detect_ms until it knows, detect_most_ms at most. */
    uint32_t listen_ms;  /* until what it has measured counts; 0: the file sets detect_ms */
    uint32_t degrade_ms; /* without an answer for so long a primary is DEGRADED: at least lease_ms */
    uint32_t detect_most_ms;
};

/* A thing that a node looks after: while it fails, its weight is in the node's demotion counter. */
enum nd_track_kind {
    ND_TRACK_INTERFACE,
    ND_TRACK_GATEWAY,
    ND_TRACK_ROUTE,
    ND_TRACK_SCRIPT, /* this and what follows: a program is run for each look */
    ND_TRACK_BGP,
    ND_TRACK_BFD
};
struct nd_track {
    uint32_t kind;          /* enum nd_track_kind */
    char what[ND_PATH_MAX]; /* the interface, the prefix as written, an address, the script's whole path */
    uint32_t gateway, port; /* network order; the chain's interface whose network it is in */
    struct nf_net route;    /* of a route */
    uint32_t weight, rise, fall; /* 1 … 100; results in a row, 1 … 100 */
    uint32_t every_ms;           /* between two looks, and how long a script may take; 100 … 60000 */
};

/* A receiver of each event of a node's log. */
enum nd_hook_kind { ND_HOOK_COMMAND, ND_HOOK_FIFO, ND_HOOK_SOCKET };
struct nd_hook {
    uint32_t kind; /* enum nd_hook_kind */
    char path[ND_PATH_MAX];
    uint64_t events; /* bits by enum ft_event_name */
};

/* Where a node exports its log of flows. */
enum nd_export_kind { ND_EXPORT_NOWHERE, ND_EXPORT_TCP, ND_EXPORT_UDP, ND_EXPORT_FILE };
struct nd_export_to {
    uint32_t kind;          /* enum nd_export_kind */
    char path[ND_PATH_MAX]; /* of a file */
    char host[ND_HOST_MAX]; /* of TCP and UDP, numeric IPv4 */
    uint16_t port;
};

/* Which of the two nodes is to be primary; the primary decides. */
enum nd_failback { ND_FAILBACK_NEVER, ND_FAILBACK_MANUAL, ND_FAILBACK_AFTER };
struct nd_authority_settings {
    int32_t prefer;       /* index of a node, -1: neither */
    uint32_t failback;    /* enum nd_failback */
    uint32_t after_s;     /* of ND_FAILBACK_AFTER, 1 … 604800 */
    uint32_t hold_down_s; /* between two changes of role that nobody asked for, 1 … 3600 */
};

struct nd_node {
    char name[32];
    uint32_t role; /* enum nd_role: counts only when both nodes are at view 0 */
    /* By the port's number: a vdev string ("net_af_packet0,iface=in0") or a PCI address. */
    char port[NF_PORTS_MAX][512];
    char host[ND_HOST_MAX]; /* replication address, numeric IPv4 */
    uint16_t tcp_port;
    char second_host[ND_HOST_MAX]; /* the same of the second way between the nodes */
    uint16_t second_port;          /* 0: there is one way */
    char link_port[256];           /* of DPDK, as `port`: by which its lane speaks to the peer's; "": none */
    char inputs_host[ND_HOST_MAX]; /* numeric IPv4: where a node meets its keeper, a keeper its nodes */
    uint16_t inputs_port;          /* of UDP; 0: there is no keeper, the node has ports */
    char inputs_device[ND_INPUTS_DEVICES][256]; /* of DPDK, which carry it in place of the kernel */
    uint32_t inputs_devices;
    char metrics_host[ND_HOST_MAX]; /* numeric IPv4 */
    uint16_t metrics_port;          /* 0: no metrics */
    char control[103];         /* unix socket path; with ".look" or ".operate" behind it, it is one too */
    char state[192];           /* directory for the view file; default: the control path's directory */
    char eal[ND_EAL_MAX][256]; /* further EAL arguments */
    uint32_t eals;
    uint32_t mbufs;     /* of the packet pool */
    uint32_t memory_mb; /* -m, without huge pages */
    bool hugepages;
    uint32_t realtime;  /* enum nd_realtime */
    char user[33];      /* of the system, that the node becomes; "": it stays who started it */
    char operators[33]; /* a group of the system, whose members may operate; "": nobody's */
    bool core;          /* the node may leave a core file */
    struct nd_track track[ND_TRACKED_MAX];
    uint32_t tracks;
    struct nd_hook hook[ND_HOOKS_MAX];
    uint32_t hooks;
    struct nd_export_to export;
};

/* For drills: an echo probe across the chain, both ends in network namespaces of this machine. */
struct nd_probe {
    char from[64], to[64]; /* namespaces; "" for none */
    char address[48];
    uint16_t port;
};

#define ND_KEEPERS 2u

struct nd_config {
    char file[256];
    char chain_file[256]; /* that `chain: {file: …}` names; "": the chain stands in `file` */
    struct nf_file text;  /* of that file, as it was read */
    struct nf_chain_config chain;
    /* The nodes' ports, by number: those that interfaces name, in their order; then, where the interfaces
     * stand in a chain file of their own, those that some may name later. */
    char port_name[NF_PORTS_MAX][32];
    unsigned ports;
    struct nd_protect protect;
    struct nd_timing timing;
    struct nd_link link;
    struct nd_arbiter_config arbiter;
    struct nd_record record;
    struct nd_authority_settings authority;
    struct nd_node node[ND_NODES];       /* the two that begin the shard first, then spares */
    uint32_t nodes;                      /* 0: a chain file; else 2 to ND_NODES */
    struct nd_node keeper[ND_KEEPERS];   /* in front of the nodes, which have no ports then */
    uint32_t keeper_packets[ND_KEEPERS]; /* inputs that it keeps at most, a power of two */
    uint32_t keepers;                    /* 0: there is none */
    bool log_json;                       /* a running node's lines are JSON, not text */
    bool drill_permit;                   /* a peer may ask this pair's nodes to kill themselves */
    bool push_permit;                    /* a peer may write the chain's files here */
    struct nd_probe probe;
    void *arena;                 /* owned memory of strings and NF configs */
    const struct nd_yaml *redis; /* in it: the section that bench alone reads; NULL: there is none */
};

/*
 * Reads and checks FILE. On failure: a fault text "FILE:LINE: what, what was expected", nothing allocated.
 * FT_ENOENT / FT_EPERM / FT_EINVAL / FT_EMALFORMED. `how`: of the bits below; 0: a chain file will do, and
 * its NFs are to run.
 */
#define ND_CONFIG_NODES 1u /* a chain file alone will not do */
#define ND_CONFIG_QUIET 2u /* no warnings of modules: they do not run here, or were printed before */
/* For who only asks running nodes: what is wrong anywhere but in the nodes' names and control sockets is one
 * line in `fault`, with a result of 0: then who the nodes are and where they are reached is known, and the
 * rest is not to be relied on. A file that others may write to is refused as ever. */
#define ND_CONFIG_SOCKETS 4u
struct nd_files;
/* `over`: is there in place of the chain's files on the disk (understudy/config/yaml.h); NULL: nothing is. */
int nd_config_read_over(struct nd_config **out, const char *file, unsigned how, const struct nd_files *over,
                        struct ft_fault *fault);
static inline int nd_config_read(struct nd_config **out, const char *file, unsigned how,
                                 struct ft_fault *fault)
{
    return nd_config_read_over(out, file, how, NULL, fault);
}
/* Of a pair file that is not written yet, as if it stood in `file`; paths in it are seen from there. */
int nd_config_read_text(struct nd_config **out, const char *file, const char *text, unsigned how,
                        struct ft_fault *fault);
void nd_config_free(struct nd_config *config);

/* The section `at`, called `what` in messages, that sets where etcd is reached: `arbiter` of a pair file and
 * of a fleet's. FT_EMALFORMED with position, FT_ENOMEM. */
struct nd_arena;
struct nd_yaml;
int nd_config_read_arbiter(struct nd_arbiter_config *out, struct nd_arena *arena, const struct nd_yaml *at,
                           const char *what, struct ft_fault *fault);

/* Of the link's files, which are this server's alone: that each can be opened. Not what is in it. FT_EINVAL
 * with a line as above, which names the file; FT_EPERM. */
int nd_config_find_link_files(const struct nd_config *config, struct ft_fault *fault);

/* The chain's interfaces, by number; of a wire, its ends. */
static inline unsigned nd_interfaces(const struct nd_config *config)
{
    return config->chain.l3 ? config->chain.l3->ports : 2;
}
/* A digest of what distinguishes frames of the chain's interfaces, and does not change while a keeper runs:
 * their order, and port, tags, side and MAC of each. */
uint64_t nd_interfaces_digest(const struct nf_l3_config *l3);
static inline const char *nd_interface_name(const struct nd_config *config, unsigned interface)
{
    return config->chain.l3 ? config->chain.l3->port[interface].name : interface ? "outside" : "inside";
}
/* The number of the nodes' port of that name; `ports`: there is none. */
unsigned nd_port_by_name(const struct nd_config *config, const char *name);
/* The number of the port that it is on. */
static inline unsigned nd_port_number(const struct nd_config *config, unsigned interface)
{
    return config->chain.l3 ? config->chain.l3->port[interface].device : interface;
}
/* The interface from which a gateway is asked: one in whose network it is, as another's address; -1: none. */
int nd_gateway_interface(const struct nf_l3_config *l3, uint32_t gateway);

/* "off", "log" … by enum nd_mode, "hot", "warm" by enum nd_standby; NULL-terminated. */
extern const char *const nd_modes[], *const nd_standbys[];

/* Sets the facts of `protect`; called again by who changes `asked` or `standby` after the file was read. Auto
 * is the log when every NF can be replayed, and delta when one declares that it cannot. FT_EINVAL with a line
 * that names the NF: the log is asked for and cannot be replayed; the facts are the log's all the same. */
int nd_config_decide(struct nd_protect *protect, const struct nf_chain_config *chain, struct ft_fault *fault);

/* What was decided, for people: "mode delta", or "mode log (auto: every NF can be replayed)". Of names, since
 * a subcommand knows the node's words alone. Returns `out`. */
#define ND_MODE_TEXT 128u
const char *nd_mode_text(char out[ND_MODE_TEXT], const char *mode, const char *asked, const char *decided_by);

/* "interface", "gateway", "route", "script", "bgp", "bfd"; "command", "fifo", "socket": as the file calls
 * them. */
extern const char *const nd_track_kinds[], *const nd_hook_kinds[];
/* "tcp", "udp", "file" by enum nd_export_kind less 1. */
extern const char *const nd_export_kinds[];
/* "never", "manual", "after" by enum nd_failback. */
extern const char *const nd_failbacks[];

/* Index of the node called `name`, or -1. */
int nd_config_node(const struct nd_config *config, const char *name);
/* The keeper of that name, by its place in the file; -1: there is none. */
int nd_config_keeper(const struct nd_config *config, const char *name);
/* `node` is one of the file's keepers. */
static inline bool nd_config_is_keeper(const struct nd_config *config, const struct nd_node *node)
{
    return node >= config->keeper && node < config->keeper + ND_KEEPERS;
}

#endif
