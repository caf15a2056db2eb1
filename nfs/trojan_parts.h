/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of trojan share: its state, which trojan.c writes packet by packet, and what operators and
 * peers do with it (trojan_commands.c). */
#ifndef NFS_TROJAN_PARTS_H
#define NFS_TROJAN_PARTS_H

#include "nfs/trojan_control.h"

#include <string.h>

struct tj_config {
    bool ipv6;
    struct nf_range irc;
    uint32_t max_hosts, remember;
    struct nf_streams_config streams;
    struct nf_flows_config flows;
};

/* Steps: how many of the five have been done. */
enum { STEP_NONE, STEP_SSH, STEP_HTML, STEP_ZIP, STEP_EXE, STEPS };

struct tj_host {
    uint64_t seen; /* chain time of the last event */
    uint64_t at;   /* number of the packet that did the last step */
    uint64_t irc;  /* of the last that began a connection of IRC; 0: none */
    uint32_t step; /* without IRC */
    uint32_t found;
};

/* An address of IPv6, or of IPv4 in IPv6's form (RFC 4291, 2.5.5.2). */
struct tj_addr {
    uint8_t bytes[16];
};

struct tj {
    struct nf_map *hosts;   /* struct tj_addr → struct tj_host */
    struct nf_lists *order; /* of hosts, by their slots */
    struct nf_streams *streams;
    struct nf_list by_event; /* the one whose last event is the longest ago first */
    uint32_t unused;
    uint64_t packets; /* the number of the last one */
};

#define TJ_COUNTERS(X)                                                                                       \
    X(TJ_SSH, "ssh")                   /* connections that hosts have begun */                               \
    X(TJ_IRC, "irc")                   /* the same */                                                        \
    X(TJ_FILES, "files")               /* commands for a file of the three kinds */                          \
    X(TJ_GAPS, "gaps")                 /* of control connections, given up: nothing has closed them */       \
    X(TJ_TROJANS, "trojans")           /* hosts that have done it all */                                     \
    X(TJ_DISPLACED, "hosts_displaced") /* in a full table another one has their place */                     \
    X(TJ_FLOWS_FULL, "flows_full")     /* connections that found no room: commands in them are not seen */
enum tj_counter { TJ_COUNTERS(NF_COUNTER) };

static inline const struct tj_host *tj_host_at(const struct tj *tj, uint32_t slot)
{
    return nf_map_value(tj->hosts, slot);
}
static inline struct tj_addr tj_mapped_address(const void *ipv4)
{
    struct tj_addr addr = {{[10] = 0xff, [11] = 0xff}};

    memcpy(addr.bytes + 12, ipv4, 4);
    return addr;
}
void tj_forget_host(const struct nf *nf, uint32_t slot);

/* As struct nf_module has them. */
bool tj_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor);
int tj_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);
int tj_check_state(const struct nf *nf, struct nf_check *c);

#endif
