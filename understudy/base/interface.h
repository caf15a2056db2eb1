/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel interface below an af_packet or af_xdp port: whether frames reach the port as they were on the
 * wire, which `check` and a node's start warn of; and how it is now, for a running node. Nothing is changed.
 */
#ifndef NODE_BASE_INTERFACE_H
#define NODE_BASE_INTERFACE_H

#include "ftcore/base/error.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define ND_INTERFACE_LINES 8u
#define ND_INTERFACE_TEXT  160u

/* Each line names what is wrong with the interface and the command that mends it, or what the file has to
 * set.
 */
struct nd_interface_faults {
    unsigned count;
    char line[ND_INTERFACE_LINES][ND_INTERFACE_TEXT];
};

/* `devargs` is the port's device, `mtu` the chain's there, as in the file, 0: it has none; `frame_max`: what
 * a packet buffer holds. count 0: nothing
 * is wrong, the device is none of the kernel's, or the machine has no such interface (opening the port
 * refuses that). */
void nd_interface_look(const char *devargs, unsigned mtu, unsigned frame_max,
                       struct nd_interface_faults *out);

/* Why a device of af_packet or af_xdp could not be opened, without opening it: an argument that the driver
 * does not know, no interface or one that this machine does not have, a ring that the kernel does not make.
 * FT_EINVAL; 0 of any other device. */
int nd_interface_judge(const char *devargs, struct ft_fault *fault);

/* The device is an interface of the kernel's, whose name is written to `name`. */
bool nd_interface_of(const char *devargs, char name[IFNAMSIZ]);

struct nd_interface_now {
    bool carrier;  /* up, and a link */
    uint32_t mtu;  /* bytes; 0: there is no such interface any more */
    int index;     /* the kernel's number: an interface that is made anew has another one */
    uint64_t sent; /* frames that it has sent since it was made; 0: not asked for */
};

/* Asks the kernel, which answers at once; `counts`: also for `sent`, which costs the figures of all
 * interfaces. False: the port's device is none of the kernel's, or the kernel cannot be asked. */
bool nd_interface_ask(const char *devargs, bool counts, struct nd_interface_now *out);
/* The same of the interface `name`, without counts. False also: there is none. */
bool nd_interface_named(const char *name, struct nd_interface_now *out);

/* An interface of this machine has the address (AF_INET: 4 bytes, AF_INET6: 16),
 * and `name` gets which one. */
bool nd_address_held(int family, const void *addr, char name[IFNAMSIZ]);
/* The same of a numeric address. */
bool nd_address_here(const char *host);

#endif
