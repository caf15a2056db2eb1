/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints of frames (ftcore/record/crash_notice.h): by which a successor knows a packet that killed when
 * its host sends it again. Made by the handler of the fatal signal and by a lane in quarantine. No state.
 *
 * TCP: a segment comes again when it has a sequence number of the one that killed, on the same connection and
 * in the same direction, wherever its own boundaries lie, or is behind that one; or when the same host sends
 * one to the same address with the same 128 bytes of payload, whatever the ports are, which is what a program
 * does that connects once more, and what it is answered. A SYN comes again when the same host sends one to
 * the same address and port, and what answers it when it comes from the same address and port. A segment
 * without payload that is a reset, or has flags or options that no host sends in the course of a connection:
 * the same host, address, flags, and kinds and lengths of those options; any other one is known on its
 * connection alone. UDP: the same host and payload, and one of the two ports; where no payload was taken the
 * same address and length. ICMP: the same host, address, type and code; of an error the ends of the packet
 * that it quotes, and of what is neither that nor an echo the payload. All else, and what is malformed: the
 * first 128 bytes but for what each way changes. What a host changes when it sends the same bytes again is in
 * none of them: identification, time to live, checksums, acknowledgement, window, timestamps, IPv6's flow
 * label, the ends' ports that a host chooses anew.
 */
#ifndef NODE_CRASH_FINGERPRINT_H
#define NODE_CRASH_FINGERPRINT_H

#include "ftcore/record/crash_notice.h"

#include <stdbool.h>

/* Of `taken` bytes of a frame of `wire` bytes, of which the first FT_FINGERPRINT_BYTES count. Never a
 * suspect. Also in a signal handler. */
struct ft_fingerprint nd_fingerprint(const void *frame, uint32_t taken, uint32_t wire);
/* The frame of `frame` is taken for that of `known`, sent again. */
bool nd_fingerprint_is_again(const struct ft_fingerprint *known, const struct ft_fingerprint *frame);
/* The frame of `frame` is a segment of the same connection and direction as that of `known`, which it is
 * behind, by a MiB at most. Its receiver waits for what is set aside, and goes no further without it. */
bool nd_fingerprint_is_behind(const struct ft_fingerprint *known, const struct ft_fingerprint *frame);
/* The frame of `frame` is the same again as one of `known`, and has a fingerprint of its own: a segment with
 * payload, of another connection than those that it is the same as. TCP may send it again there cut
 * otherwise, and then it is known by its sequence numbers alone. */
bool nd_fingerprint_is_another(const struct ft_fingerprint *known, uint32_t count,
                               const struct ft_fingerprint *frame);

#endif
