/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the keys of a fleet hold in etcd, below understudy/FLEET/: servers/SERVER, written by the server's
 * agent under its lease, contains its nodes' reports; shards/SHARD, written by the leader, names the servers
 * that run nodes of the shard, and what its primary is to do. As JSON, and read from it. Owns nothing.
 */
#ifndef FLEET_ENTRY_H
#define FLEET_ENTRY_H

#include "fleet/file.h"

#include <jansson.h>

#define FL_SLOW_MAX 28u /* bytes of why a standby is slow, with its NUL */

/* What a node reported of itself last. */
struct fl_node_said {
    uint32_t shard;
    char state[16]; /* as status has it */
    bool primary, member;
    uint64_t view;
    uint64_t incarnation;         /* which process it is, as status has it; 0: not known */
    char slow[FL_SLOW_MAX];       /* of a primary: why its standby is slow; "": it is not */
    uint32_t counter;             /* its demotion counter: what it tracks fails where it is not 0 */
    char members[2][FL_NAME_MAX]; /* nodes; "": it does not know */
    bool measured;
    struct fl_load load; /* cores, packets a second, MB; over some seconds */
    bool timed;          /* `busy` is known */
    uint32_t busy;       /* for so many percent of the same seconds its lanes had something to do, 0 to 100 */
    uint32_t server;     /* of a picture: where the node is; and the next one of its shard, NULL: none */
    struct fl_node_said *next;
    bool believed; /* its report of a view that is later than the key's */
};

/* What the agent of a server reports of its nodes, which are in no order. */
struct fl_server_said {
    struct fl_node_said *node; /* allocated */
    uint32_t nodes;
    uint32_t *kept; /* allocated: shards that it has a view file of, and no node that answers */
    uint32_t kepts;
    struct fl_stray_said {
        uint32_t shard; /* as of fl_file_stray */
        char state[16]; /* of its node, as status has it; "": no node answers, but there are files of it */
    } * stray;          /* allocated, where it was read: of shards that the file does not have any more */
    uint32_t strays;
    bool tells;      /* it reports strays, too; an agent of an older release may have some and reports none */
    bool unreadable; /* of a picture: its key cannot be read, so it may have any of them */
};

/* Why a standby is slow, a few words for people, as a node or an agent reports it; "" where there are none.
 * False: `from` is no such report, and *out is "". */
bool fl_slow_read(char out[FL_SLOW_MAX], const json_t *from);

/* Empty, with room for `room` nodes and as many kept views; for fl_server_said_free. FT_ENOMEM. */
int fl_server_said_make(struct fl_server_said *out, uint32_t room, struct ft_fault *fault);
void fl_server_said_free(struct fl_server_said *said);

/* A new reference; NULL: no memory. */
json_t *fl_server_said_write(const struct fl_file *file, const struct fl_server_said *said);
/* The word of `server`, by its index. Shards that the file does not have are strays, for as many as there is
 * room (fl_file_brought). FT_EMALFORMED: it is nothing that an agent wrote; FT_ENOMEM. Then nothing is
 * allocated. */
int fl_server_said_read(struct fl_server_said *out, const struct fl_file *file, uint32_t server,
                        const char *text, size_t len, struct ft_fault *fault);

/* A shard's key. */
struct fl_placement {
    uint32_t first[2];  /* servers of its first view, primary first: the pair file names them for ever */
    uint32_t member[2]; /* servers of the members of view `view`, by its nodes */
    uint64_t view;      /* 0: it has not begun */
    uint64_t moved;     /* wall clock, s: when the members or the primary last changed; 0: never */
    uint64_t alone;     /* since when its primary is without a standby that could take over; 0: it is not */
    struct fl_order order; /* of view `view`; times are wall clock, s */
    struct fl_failed failed;
    struct fl_left left;
};

/*
 * Written as a new reference, NULL: no memory; and read. Members may be on servers that the file does not
 * have any more (fl_file_member). A server of `first` that the file does not have is replaced by the members
 * once the shard has begun, and an order to such a server is none. FT_EMALFORMED: it is nothing that a leader
 * wrote; then *out is all zero but for failed.to, which is FL_NONE.
 */
json_t *fl_placement_write(const struct fl_file *file, const struct fl_placement *placement);
int fl_placement_read(struct fl_placement *out, const struct fl_file *file, const char *text, size_t len,
                      struct ft_fault *fault);

bool fl_placement_same(const struct fl_placement *a, const struct fl_placement *b);

/* The server is to run a node of the shard. */
static inline bool fl_placement_has(const struct fl_placement *p, uint32_t server)
{
    return p->member[0] == server || p->member[1] == server ||
           (p->order.kind == FL_REPAIR && p->order.to == server);
}

#endif
