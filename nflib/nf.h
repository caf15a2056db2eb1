/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header that authors of NFs include.
 *
 * An NF is a module (nflib/module/module.h): a table of parameters, a `make` that creates its state in the
 * arena, a `process` that is given packets and the time, and what operators need (show, set, clear). It keeps
 * all state that outlives a packet in the region, changes it only through nf_edit or the state types, and
 * takes time, randomness and determinants only from its arguments. Then it is replicated without knowing of
 * it.
 *
 * There is one instance of an NF for each lane. Only its lane's thread enters an instance.
 */
#ifndef NFLIB_NF_H
#define NFLIB_NF_H

#include "nflib/flow/flow.h"       /* flows: configuration, timeouts, texts for operators */
#include "nflib/flow/log.h"        /* the log of flows, which is exported */
#include "nflib/module/content.h"  /* checks of a state that came from a peer */
#include "nflib/module/heap.h"     /* memory for a library in an NF */
#include "nflib/module/module.h"   /* modules, parameters, instances, edits, counters, tables, show */
#include "nflib/net/packet.h"      /* packets, and rewriting them */
#include "nflib/net/tcp.h"         /* states of TCP connections */
#include "nflib/session/session.h" /* flows, found once for all NFs */
#include "nflib/shared/shared.h"   /* state that all lanes share */
#include "nflib/state/state.h"     /* state of one lane: maps, timers */
#include "nflib/stream/stream.h"   /* payload of TCP in its order */

#endif
