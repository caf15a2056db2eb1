/* SPDX-License-Identifier: Apache-2.0 */
/* What "status" says of data ports, as port_watch.c has found them. The main thread's. */
#include "node/running.h"
#include "node/base/clock.h"

void nd_ports_status(const struct nd_running *r, json_t *status)
{
    const struct nd_port_watch *watch = &r->port_watch;
    json_t *ports = json_array();
    uint64_t now = nd_now();

    for (unsigned i = 0; i < watch->health.ports; i++) {
        const struct nd_port_health *p = &watch->health.port[i];
        json_t *o = json_object();

        json_object_set_new(o, "port", json_string(p->name));
        json_object_set_new(o, "whole", json_boolean(!p->fault && !p->theirs));
        json_object_set_new(o, "up", json_boolean(p->carrier));
        json_object_set_new(o, "mtu", p->mtu ? json_integer(p->mtu) : json_null());
        json_object_set_new(o, "peer_heard",
                            p->judged && watch->health.meets ? json_boolean(p->hears) : json_null());
        json_object_set_new(o, "peer_heard_ms",
                            p->heard ? json_real(now > p->heard ? (double)(now - p->heard) / 1e6 : 0)
                                     : json_null());
        json_object_set_new(o, "tx_lost", json_integer((json_int_t)watch->frames[i].tx_lost));
        json_object_set_new(o, "rx_missed", json_integer((json_int_t)watch->frames[i].rx_missed));
        json_array_append_new(ports, o);
    }
    json_object_set_new(status, "ports", ports);
    json_object_set_new(status, "not_whole", watch->faults[0] ? json_string(watch->faults) : json_null());
}
