/* SPDX-License-Identifier: Apache-2.0 */
/* portscan's configuration, what operators see and change of its hosts, and the check of a peer's state. */
#include "nfs/portscan_parts.h"

#include <arpa/inet.h>
#include <string.h>

void ps_forget_host(const struct nf *nf, uint32_t slot)
{
    struct ps *ps = nf->state;

    if (ps_host_at(ps, slot)->scanner) {
        *NF_EDIT_WORD(nf, &ps->scanners) -= 1;
        nf_count(nf, PS_RELEASED, 1);
    }
    nf_wheel_cancel(nf, ps->hosts_end, slot);
    nf_map_remove(nf, ps->hosts, slot);
}

/* ---- configuration ---- */

/* Logarithm to base 2 of a / b in UNITs, by squaring: 1 <= a, b < 2^16. */
static int32_t log_of(uint32_t a, uint32_t b)
{
    uint64_t x = ((uint64_t)a << 31) / b; /* 1.0 is 2^31 */
    int32_t log = 0;

    for (; x >= 2ull << 31; x >>= 1)
        log += PS_UNIT;
    for (; x < 1ull << 31; x <<= 1)
        log -= PS_UNIT;
    for (int32_t bit = PS_UNIT / 2; bit; bit /= 2) {
        x = x * x >> 31;
        if (x >= 2ull << 31) {
            x >>= 1;
            log += bit;
        }
    }
    return log;
}

int ps_check(void *c, struct ft_fault *fault)
{
    struct ps_config *config = c;

    if (config->theta1 >= config->theta0)
        return ft_fail(fault, FT_EINVAL, "theta1 is %u, expected less than theta0, which is %u",
                       config->theta1, config->theta0);
    if (config->alpha >= config->beta)
        return ft_fail(fault, FT_EINVAL, "alpha is %u, expected less than beta, which is %u", config->alpha,
                       config->beta);
    if (config->answer > config->remember)
        return ft_fail(fault, FT_EINVAL, "answer is %u, expected at most remember, which is %u",
                       config->answer, config->remember);
    config->success = log_of(config->theta1, config->theta0);
    config->failure = log_of(1000 - config->theta1, 1000 - config->theta0);
    config->scanner = log_of(config->beta, config->alpha);
    config->benign = log_of(1000 - config->beta, 1000 - config->alpha);
    return 0;
}

bool ps_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct ps_config *from = was->config, *to = nf->config;
    struct ps *ps = nf->state;

    if (!was->same) {
        ft_fail(fault, FT_EINVAL, "portscan: its hosts would lie in memory in another way");
        return false;
    }
    if (to->action != from->action) /* else what an operator has set stays */
        ps->action = to->action;
    return true;
}

/* ---- for operators ---- */

static const char *write_address(const struct ps_address *address, char text[INET6_ADDRSTRLEN])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool ipv4 = memcmp(address->bytes, mapped, sizeof(mapped)) == 0;

    return inet_ntop(ipv4 ? AF_INET : AF_INET6, address->bytes + (ipv4 ? 12 : 0), text, INET6_ADDRSTRLEN);
}

static bool read_address(const char *text, struct ps_address *out)
{
    *out = (struct ps_address){{[10] = 0xff, [11] = 0xff}};
    return inet_pton(AF_INET, text, out->bytes + 12) == 1 || inet_pton(AF_INET6, text, out->bytes) == 1;
}

static void show_host(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct ps *ps = nf->state;
    const struct ps_host *host = ps_host_at(ps, slot);
    char text[INET6_ADDRSTRLEN];

    nf_row(out);
    nf_row_text(out, "host", "%s", write_address(nf_map_key(ps->hosts, slot), text));
    nf_row_text(out, "state", "%s", host->scanner ? "scanner" : "undecided");
    nf_row_u64(out, "successes", host->successes);
    nf_row_u64(out, "failures", host->failures);
    nf_row_text(out, "log2_ratio", "%.2f", (double)host->walk / PS_UNIT);
    nf_row_u64(out, "last_ns", host->seen);
}

bool ps_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_show_slots(nf, ((const struct ps *)nf->state)->hosts, 0, out, cursor, show_host);
}

int ps_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct ps *ps = nf->state;
    bool drop = strcmp(value, "drop") == 0;

    (void)now;
    if (strcmp(key, "action") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: no such setting, expected action", key);
    if (!drop && strcmp(value, "alert") != 0)
        return ft_fail(fault, FT_EINVAL, "action=%s: expected alert or drop", value);
    *NF_EDIT(nf, &ps->action) = drop ? PS_DROP : PS_ALERT;
    return FT_OK;
}

/* Hosts alone: a destination that a host has been to stays no first one. */
int ps_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct ps *ps = nf->state;
    struct ps_address address;
    uint32_t slot;

    (void)now;
    if (!key) {
        for (slot = 0; (slot = nf_map_next(ps->hosts, slot)) != NF_NONE; slot++)
            ps_forget_host(nf, slot);
        return FT_OK;
    }
    if (!read_address(key, &address))
        return ft_fail(fault, FT_EINVAL, "%s: expected the address of a host", key);
    slot = nf_map_find(ps->hosts, &address);
    if (slot == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%s: no such host", key);
    ps_forget_host(nf, slot);
    return FT_OK;
}

int ps_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct ps *ps = nf->state;
    uint32_t scanners = 0;

    for (uint32_t slot = 0; slot < nf_map_capacity(ps->hosts); slot++) {
        bool has = nf_map_has(ps->hosts, slot);
        int32_t walk = has ? ps_host_at(ps, slot)->walk : 0;

        nf_check_step(c);
        if (has != nf_wheel_has(ps->hosts_end, slot))
            return nf_check_failed(c, "host %u and its timer are not both there, expected both or none",
                                   slot);
        if (walk < -PS_FARTHEST || walk > PS_FARTHEST)
            return nf_check_failed(c, "host %u has walked to %d, expected at most %d either way", slot, walk,
                                   PS_FARTHEST);
        scanners += has && ps_host_at(ps, slot)->scanner;
    }
    for (uint32_t slot = 0; slot < nf_map_capacity(ps->contacts); slot++) {
        nf_check_step(c);
        if (nf_map_has(ps->contacts, slot) != nf_wheel_has(ps->contacts_end, slot))
            return nf_check_failed(c, "contact %u and its timer are not both there, expected both or none",
                                   slot);
    }
    if (ps->hosts_hand >= nf_map_capacity(ps->hosts) || ps->contacts_hand >= nf_map_capacity(ps->contacts))
        return nf_check_failed(
            c, "the places at which room is looked for are %u and %u, expected below %u and %u",
            ps->hosts_hand, ps->contacts_hand, nf_map_capacity(ps->hosts), nf_map_capacity(ps->contacts));
    if (ps->scanners != scanners || ps->action > PS_DROP)
        return nf_check_failed(c, "%u hosts are scanners and the action is %u, expected %u and at most %u",
                               ps->scanners, ps->action, scanners, PS_DROP);
    return 0;
}
