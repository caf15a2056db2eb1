/* SPDX-License-Identifier: Apache-2.0 */
/* Strangers that connect from the address of a node's peer: scans, garbage, and hellos that somebody
 * overheard. */
#include "tests/sim/sim.h"

#include <string.h>

/* A port scan, a health check, garbage, or an old hello said again, from the peer's host. */
void sim_intrude(struct sim_node *n)
{
    static const uint8_t garbage[64] = "GET / HTTP/1.0";
    const struct sim_node *peer = sim_peer(n) ? sim_peer(n) : n;
    unsigned how = (unsigned)sim_draw(&sim.chance, 4);
    bool closes = sim_chance(&sim.chance, 500);

    sim_tell(n->index, "somebody connects from its peer's host, says %s%s",
             how == 0   ? "nothing"
             : how == 1 ? "garbage"
                        : "an old hello",
             closes ? ", and closes" : "");
    if (how == 0)
        sim_net_intrude(n->index, NULL, 0, closes);
    else if (how == 1)
        sim_net_intrude(n->index, garbage, sizeof(garbage), closes);
    else
        sim_net_intrude(n->index, peer->hello, peer->hello_len, closes);
}

/* Other strangers, of narrow seeds: what they say is no hello, or never ends, or ends in the midst. */
void sim_intrude_oddly(struct sim_node *n)
{
    static uint8_t said[32u << 10];
    struct ft_message m = {
        .type = FT_MSG_HEARTBEAT, .version = FT_FORMAT_OLDEST, .state = FT_JOINING, .sent = 1, .echo = 1};
    const struct sim_node *peer = sim_peer(n) ? sim_peer(n) : n;
    uint32_t size = FT_MESSAGE_MAX;
    size_t len = sizeof(said);
    long encoded;

    FT_NEXT_HEAD(&m)
    memset(said, 0, sizeof(said));
    switch (sim_draw(&sim.width, 4)) {
    case 0: /* a heartbeat, as if all had been said before */
        encoded = ft_message_encode(&m, sim.plan.lanes, NULL, true, said, sizeof(said));
        len = encoded > 0 ? (size_t)encoded : 0;
        break;
    case 1: /* a frame of megabytes, and more of it than anybody looks at */
        memcpy(said, &size, sizeof(size));
        break;
    case 2: /* an old hello, and a frame that cannot be */
        len = peer->hello_len + 16;
        memset(said, 0xff, len);
        memcpy(said, peer->hello, peer->hello_len);
        break;
    default: /* a chunk of an old hello */
        len = (size_t)sim_draw(&sim.width, peer->hello_len + 1);
        memcpy(said, peer->hello, len);
    }
    sim_tell(n->index, "somebody else connects from its peer's host, says %zu bytes", len);
    sim_net_intrude(n->index, said, len, sim_draw(&sim.width, 2));
}
