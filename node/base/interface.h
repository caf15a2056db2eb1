/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel interface below an af_packet port: whether frames reach the port as they were on the wire. Read
 * by `check` and at a node's start, which warn; nothing is changed.
 */
#ifndef NODE_BASE_INTERFACE_H
#define NODE_BASE_INTERFACE_H

#define ND_INTERFACE_LINES 8u
#define ND_INTERFACE_TEXT  160u

/* Bytes of a frame that a packet buffer holds. */
#define ND_FRAME_ROOM 2048u

/* Each line says what is wrong with the interface and the command that mends it. */
struct nd_interface_faults {
    unsigned count;
    char line[ND_INTERFACE_LINES][ND_INTERFACE_TEXT];
};

/* `devargs` is the port's device, as in the file. count 0: nothing is wrong, the device is none of the
 * kernel's, or the machine has no such interface (opening the port refuses that). */
void nd_interface_look(const char *devargs, struct nd_interface_faults *out);

#endif
