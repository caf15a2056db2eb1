/* SPDX-License-Identifier: Apache-2.0 */
/* What operators ask of trojan, and the check of what a peer sent. Owns nothing. */
#include "nfs/trojan_parts.h"

#include <arpa/inet.h>

static const char *const step_names[STEPS] = {"none", "ssh", "html", "zip", "exe"};

static void show_host(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct tj *tj = nf->state;
    const struct tj_host *host = tj_host_at(tj, slot);
    const struct tj_addr *addr = nf_map_key(tj->hosts, slot);
    struct tj_addr ipv4 = tj_mapped_address(addr->bytes + 12);
    bool is_ipv4 = memcmp(&ipv4, addr, sizeof(ipv4)) == 0;
    char text[INET6_ADDRSTRLEN];

    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, addr->bytes + (is_ipv4 ? 12 : 0), text, sizeof(text));
    nf_row(out);
    nf_row_text(out, "host", "%s", text);
    nf_row_text(out, "step", "%s", host->found ? "trojan" : step_names[host->step]);
    nf_row_u64(out, "last_ns", host->seen);
}

bool tj_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_show_slots(nf, ((const struct tj *)nf->state)->hosts, 0, out, cursor, show_host);
}

int tj_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct tj *tj = nf->state;
    struct tj_addr addr;
    uint32_t slot, ipv4;

    (void)now;
    if (!key) {
        for (slot = 0; (slot = nf_map_next(tj->hosts, slot)) != NF_NONE; slot++)
            tj_forget_host(nf, slot);
        return FT_OK;
    }
    if (inet_pton(AF_INET, key, &ipv4) == 1)
        addr = tj_mapped_address(&ipv4);
    else if (inet_pton(AF_INET6, key, &addr) != 1)
        return ft_fail(fault, FT_EINVAL, "%s: expected the address of a host", key);
    slot = nf_map_find(tj->hosts, &addr);
    if (slot == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%s: no such host", key);
    tj_forget_host(nf, slot);
    return FT_OK;
}

/* All of them, once, in order. */
static int check_hosts(const struct nf *nf, struct nf_check *c)
{
    const struct tj *tj = nf->state;
    uint64_t before = 0;
    int n = nf_list_check(c, tj->order, &tj->by_event, nf_map_count(tj->hosts), NULL);

    if (n >= 0 && (uint32_t)n != nf_map_count(tj->hosts))
        return nf_check_failed(c, "%d hosts are in their list, expected %u", n, nf_map_count(tj->hosts));
    for (uint32_t slot = nf_list_first(&tj->by_event); slot != NF_NONE && n >= 0;
         slot = nf_list_next(tj->order, slot)) {
        const struct tj_host *host = tj_host_at(tj, slot);

        nf_check_step(c);
        if (!nf_map_has(tj->hosts, slot) || host->step >= STEPS)
            return nf_check_failed(c,
                                   "host %u has done %u steps, expected one that is there, and less than %u",
                                   slot, host->step, STEPS);
        if (host->seen < before || host->seen > c->time)
            return nf_check_failed(c, "host %u had its last event at %lu, expected %lu to %lu", slot,
                                   host->seen, before, c->time);
        before = host->seen;
    }
    return n < 0 ? n : 0;
}

int tj_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct tj *tj = nf->state;
    const struct nf_session *s;
    int error = check_hosts(nf, c);

    if (!error)
        error = nf_streams_check(nf, c, tj->streams, offsetof(struct tj_control, stream));
    for (uint32_t at = 0; !error && (s = nf_sessions_next(nf, &at)); at++) {
        const struct tj_control *control = nf_session_slot(nf, s);

        nf_check_step(c);
        if (!tj_control_is_sound(control))
            return nf_check_failed(c, "session %u has %u bytes of RETR and %u blanks, expected less", at,
                                   control->matched, control->blank);
    }
    return error;
}
