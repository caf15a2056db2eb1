/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall's show, set and clear: what operators see of rules and connections, and change. */
#include "nfs/firewall_parts.h"

#include <string.h>

static void fw_show_rule(const struct fw *fw, struct nf_show *out, uint32_t i)
{
    const struct fw_rule *rule = &fw->rules[i];
    nf_row(out);
    if (i < fw->count)
        nf_row_text(out, "rule", "%u", i + 1);
    else
        nf_row_text(out, "rule", "default.%s", i == fw->count ? "in" : "out");
    nf_row_u64(out, "line", rule->line);
    nf_row_text(out, "action", "%s", rule->action == FW_ALLOW ? "allow" : "deny");
    nf_row_u64(out, "hits", rule->hits);
}

static void fw_show_conn(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct fw_conn *conn = nf_session_slot(nf, s);
    bool turned = conn->by_answer;
    struct nf_tuple ends;
    nf_session_view(nf, s, &ends);
    nf_row(out);
    nf_row_proto(out, ends.proto);
    nf_session_row_ends(nf, out, s, turned ? "to" : "from", turned ? "from" : "to");
    nf_row_text(out, "direction", "%s", s->key[turned].side == NF_OUTSIDE ? "in" : "out");
    nf_row_text(out, "state", "%s",
                ends.proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s))
                : conn->replies            ? "replied"
                                           : "new");
    nf_row_u64(out, "packets", conn->packets);
    nf_row_u64(out, "replies", conn->replies);
    nf_row_u64(out, "last_ns", s->seen);
}

/* Rules, then connections. */
bool fw_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct fw *fw = nf->state;
    for (; *cursor < fw->count + 2; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        fw_show_rule(fw, out, (uint32_t)*cursor);
    }
    return nf_sessions_show(nf, fw->count + 2, out, cursor, fw_show_conn);
}

/* "rule.3", "default.in", "default.out"; NF_NONE for anything else. */
static uint32_t fw_named(const struct fw *fw, const char *key)
{
    uint32_t n;
    if (strcmp(key, "default.in") == 0)
        return fw->count;
    if (strcmp(key, "default.out") == 0)
        return fw->count + 1;
    if (strncmp(key, "rule.", 5) == 0 && nf_number_parse(key + 5, 1, fw->count, &n))
        return n - 1;
    return NF_NONE;
}

int fw_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    uint32_t rule = fw_named(fw, key);
    if (rule != NF_NONE) {
        bool allow = strcmp(value, "allow") == 0;
        if (!allow && strcmp(value, "deny") != 0)
            return ft_fail(fault, FT_EINVAL, "%s=%s: expected allow or deny", key, value);
        *NF_EDIT(nf, &fw->rules[rule].action) = allow ? FW_ALLOW : FW_DENY;
        return FT_OK;
    }
    if (strncmp(key, "rule.", 5) == 0)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such rule, expected rule.1 to rule.%u", key, fw->count);
    return nf_sessions_set(nf, key, value, now, fault);
}

int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all connections are cleared", key);
    nf_sessions_clear(nf, false, now);
    return FT_OK;
}
