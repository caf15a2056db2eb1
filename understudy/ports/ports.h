/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's DPDK side: the environment layer, the packet pool, the ports. Opened once by run, before
 * threads; used by lanes. Ports are numbered as the chain's interfaces are, devices as the nodes' `ports`
 * (struct nd_config): several interfaces may share one, by VLAN tags. Those are taken off in receiving and
 * put on in sending, so that nothing else in the node sees them.
 */
#ifndef NODE_PORTS_PORTS_H
#define NODE_PORTS_PORTS_H

#include "lane/lane.h"
#include "understudy/base/process.h"
#include "understudy/config/config.h"

#include <rte_ethdev.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

/*
 * Several lanes behind devices. Of a device that has a receive queue for each lane (RSS), each lane polls its
 * own; else whichever lane finds the device free polls it. Either way frames are dealt out to rings, one a
 * lane and device, since only an NF may know whose an answer is. Owned by the ports; the polling lane writes,
 * under the device's lock where the queue is shared; each lane reads its own ring.
 *
 * Capacity: a ring holds ND_DEAL_RING frames; what finds it full is dropped and counted.
 */
#define ND_DEAL_RING 1024u

struct nd_deal {
    unsigned lanes;
    enum nf_scope scope;        /* of the chain's state */
    const struct nd_lane *lane; /* [lanes]; NULL until they are made: then frames are dealt by hash */
    const struct nf_chain_config *chain; /* the node's, whose interfaces a change may exchange */
    struct nd_device {
        rte_spinlock_t receiving, sending;
        uint16_t id;  /* DPDK's */
        uint32_t mtu; /* of the largest frames of all interfaces that were on it when it was opened; 1500 at
                         least */
        uint8_t port; /* the first that it is of, if any is; the only one, if it is no trunk */
        bool trunk;   /* several ports may be behind it: VLAN tags name the port of a frame */
        bool scaled;  /* a receive queue for every lane, by the hash */
        bool queues;  /* a transmit queue for every lane */
        int fd;       /* of its only receive queue, readable while frames are there; -1: there is none */
        struct rte_ring *ring[FT_LANES_MAX];
        struct nf_datagrams *datagrams; /* [lanes], by queue */
        struct nd_fragments *fragments; /* [lanes], by queue: that came before their first one */
    } device[NF_PORTS_MAX];
    uint8_t device_of[NF_PORTS_MAX]; /* by port */
    uint8_t side[NF_PORTS_MAX];      /* enum nf_side, by port */
    _Atomic uint64_t full;           /* frames that found a ring full */
    _Atomic uint64_t unknown_vlan;   /* frames of a trunk with tags that no interface has */
};

struct nd_ports {
    struct nd_io io; /* what lanes see; the number of ports is io.ports */
    struct rte_mempool *pool;
    struct nd_deal deal; /* the devices; locks and rings with several lanes */
    uint32_t frame_max;  /* as in the file; what a buffer holds */
    bool xdp;            /* a device is of the af_xdp driver */
    uint64_t refused;    /* frames too short, too long or scattered; roughly right with several lanes */
    struct nd_fed *fed;  /* to the keeper that has the ports in this node's place; NULL: they are here */
};

/* What a node needs of the system to open its ports, as its user. */
struct nd_privilege nd_ports_privilege(const struct nd_node *node);

/* What nd_ports_open refuses before it starts DPDK: more memory or huge pages than the machine has, more
 * buffers than memory, a device that nd_interface_judge refuses. FT_ENOMEM, FT_EINVAL. */
int nd_ports_judge(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault);

/* What DPDK would refuse by a port's name alone: of no driver, or of no PCI device here; with the same words.
 * For a process that does not start DPDK, since it loads drivers. FT_EINVAL. */
int nd_eal_judge(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault);

/* One clear line in `fault` for what DPDK logs in many: FT_EINVAL (devargs), FT_EPERM, FT_ENOMEM. Closed by
 * nd_ports_close, also after a failure of somebody else's. */
int nd_ports_open(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                  struct ft_fault *fault);
void nd_ports_close(struct nd_ports *ports);

/*
 * The chain of `config` has other interfaces than before, on the ports that are open: `to` is [number before]
 * → the one now, NF_PORTS_MAX: gone (nf_l3_match). Frames that have come keep their interface, or are dropped
 * with it. While no lane runs.
 */
void nd_ports_renumber(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                       const uint8_t to[NF_PORTS_MAX]);

/* A line of the event log for each thing about the interfaces, as they are now, by which a port of `node`
 * would carry less than it should. */
void nd_ports_warn(const struct nd_config *config, unsigned node);

/* ---- eal.c ---- */

/* The memory that DPDK may take, bytes; 0: it is not known before DPDK starts, as with huge pages. */
uint64_t nd_eal_memory(const struct nd_node *node);
/* Refuses more memory, or huge pages, than this machine has. FT_ENOMEM. */
int nd_eal_judge_memory(const struct nd_node *node, struct ft_fault *fault);
/* Starts DPDK with the node's arguments. As nd_ports_open. */
int nd_eal_open(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault);

/* Opens and starts the device, of which all is set but what DPDK reports of it; `port`: its name, for the
 * refusal. FT_EPERM, FT_EINVAL. */
int nd_device_open(struct nd_ports *ports, struct nd_device *device, const struct nd_node *node,
                   const char *port, struct ft_fault *fault);
/* Those that are open. */
void nd_devices_close(struct nd_ports *ports);

#endif
