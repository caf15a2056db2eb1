/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's change, "set NF KEY=VALUE", "clear NF [KEY]" or "clear counters [NF]", and what on_crash asks
 * for, "set NF bypass=on" or "reset NF": read, and given to the NF. Run by the lane.
 */
#include "ftcore/base/plant.h"
#include "nflib/chain/parts.h"
#include "nflib/module/heap.h"

#include <stdio.h>
#include <string.h>

/* Cuts the next word (up to a blank) off *rest. */
static char *cut_word(char **rest)
{
    char *start = *rest + strspn(*rest, " ");
    char *end = start + strcspn(start, " ");
    *rest = *end ? end + 1 : end;
    *end = 0;
    return start;
}

/*
 * The chain goes on without the NF, or with it again: then its timers run at once. Its state stays as it is,
 * so an NF that holds something for its sessions, of which some have ended meanwhile, takes part again with
 * its state anew, or not. Nobody has checked the state meanwhile: one that is not sound is refused, and so is
 * one that lanes share, which others of them may be at.
 */
static int bypass_nf(struct nf_chain *chain, struct nf *nf, const char *value, uint64_t now,
                     struct ft_fault *fault)
{
    bool on = strcmp(value, "on") == 0;
    struct ft_fault unsound = {""};
    struct nf_lane_state *state;

    if (!on && strcmp(value, "off") != 0)
        return ft_fail(fault, FT_EINVAL, "set %s: bypass=%.20s: expected on or off", nf->module->name, value);
    if (nf->module->translates)
        return ft_fail(fault, FT_EINVAL, "%s: translates flows, which would leave untranslated without it",
                       nf->module->name);
    if (!on && nf_is_bypassed(chain->state, nf->index) && nf->module->session_end) {
        if (chain->as_made[nf->index].copy)
            return nf_chain_reset(chain, nf, now, fault);
        return ft_fail(
            fault, FT_EINVAL,
            "%s: it holds what sessions had that have ended: apply the chain without it, then with it",
            nf->module->name);
    }
    if (!on && nf_is_bypassed(chain->state, nf->index) && nf->module->shared && nf->lanes > 1)
        return ft_fail(fault, FT_EINVAL,
                       "%s: its lanes share state, which cannot be checked: apply the chain without it, then "
                       "with it",
                       nf->module->name);
    if (!on && nf_is_bypassed(chain->state, nf->index) && !FT_PLANTED("unchecked-return") &&
        nf_chain_check_nf(chain, nf->index, &unsound) != 0)
        return ft_fail(fault, FT_EMALFORMED, "%s: apply the chain without it, then with it", unsound.text);
    state = ft_edit(chain->region, chain->state, sizeof(*state));
    if (on) {
        state->bypassed |= 1ull << nf->index;
    } else if (nf_is_bypassed(state, nf->index)) {
        state->bypassed &= ~(1ull << nf->index);
        state->wake[nf->index] = 0;
    }
    return FT_OK;
}

static int set_nf(struct nf_chain *chain, struct nf *nf, char *rest, uint64_t now, struct ft_fault *fault)
{
    rest += strspn(rest, " ");
    char *equals = strchr(rest, '=');
    if (!equals || equals == rest)
        return ft_fail(fault, FT_EINVAL, "set %s: expected KEY=VALUE", nf->module->name);
    *equals = 0;
    if (strcmp(rest, "bypass") == 0)
        return bypass_nf(chain, nf, equals + 1, now, fault);
    if (nf_is_bypassed(chain->state, nf->index))
        return ft_fail(fault, FT_EBUSY, "%s: it is bypassed, expected set %s bypass=off first",
                       nf->module->name, nf->module->name);
    if (!nf->module->set)
        return ft_fail(fault, FT_ENOENT, "%s: nothing can be set", nf->module->name);
    nf_mark(chain->mark, NF_DOING_SET, nf->index);
    return nf->module->set(nf, rest, equals + 1, now, fault);
}

static int clear_nf(struct nf_chain *chain, struct nf *nf, char *rest, uint64_t now, struct ft_fault *fault)
{
    char *key = cut_word(&rest);
    if (rest[strspn(rest, " ")])
        return ft_fail(fault, FT_EINVAL, "clear %s: expected at most one KEY", nf->module->name);
    if (nf_is_bypassed(chain->state, nf->index))
        return ft_fail(fault, FT_EBUSY, "%s: it is bypassed, expected set %s bypass=off first",
                       nf->module->name, nf->module->name);
    if (!nf->module->clear)
        return ft_fail(fault, FT_ENOENT, "%s: nothing can be cleared", nf->module->name);
    nf_mark(chain->mark, NF_DOING_CLEAR, nf->index);
    return nf->module->clear(nf, *key ? key : NULL, now, fault);
}

int nf_chain_refuse_name(const struct nf_chain *chain, const char *name, struct ft_fault *fault)
{
    char names[128] = "";
    const struct nf *nf;

    for (unsigned i = 1; (nf = nf_chain_nf(chain, i)); i++) {
        size_t n = strlen(names);

        snprintf(names + n, sizeof(names) - n, "%s%s", i > 1 ? ", " : "", nf->module->name);
    }
    return ft_fail(fault, FT_ENOENT, "no NF \"%.40s\" in this chain, expected one of %s", name, names);
}

/* Those of `name`, or of all NFs and L3. They are state like any other: the standby's are cleared, too. */
static int clear_counters(struct nf_chain *chain, const char *name, struct ft_fault *fault)
{
    bool found = false;
    for (unsigned i = 0; nf_chain_any(chain, i); i++) {
        const struct nf *nf = nf_chain_any(chain, i);
        if (!nf->module || (*name && strcmp(nf->module->name, name) != 0))
            continue;
        found = true;
        uint32_t n = nf_chain_counters(nf->module);
        if (n)
            memset(nf_edit(nf, nf->counters, n * sizeof(uint64_t)), 0, n * sizeof(uint64_t));
    }
    return found ? FT_OK : nf_chain_refuse_name(chain, name, fault);
}

int nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                     struct ft_fault *fault)
{
    char copy[1024];
    if (len >= sizeof(copy) || memchr(text, 0, len))
        return ft_fail(fault, FT_EINVAL, "command too long, or not text");
    memcpy(copy, text, len);
    copy[len] = 0;
    nf_chain_open(chain);
    char *rest = copy, *verb = cut_word(&rest), *name = cut_word(&rest);
    bool set = strcmp(verb, "set") == 0, reset = strcmp(verb, "reset") == 0;
    if (!set && !reset && strcmp(verb, "clear") != 0)
        return ft_fail(fault, FT_EINVAL, "\"%.40s\": expected set or clear", verb);
    struct nf *nf = nf_chain_find(chain, name);
    if (!nf && !set && !reset && strcmp(name, "counters") == 0)
        return clear_counters(chain, cut_word(&rest), fault);
    if (!nf)
        return nf_chain_refuse_name(chain, name, fault);
    nf_mark_burst(chain->mark, chain->state->burst + 1, now, chain->state->seq, NULL, 0);
    if (reset) {
        int failed;

        nf_mark(chain->mark, NF_DOING_CLEAR, nf->index);
        failed = nf_chain_reset(chain, nf, now, fault);
        nf_mark_end(chain->mark);
        return failed;
    }
    if (nf->heap)
        nf_heap_enter(nf);
    int error = set ? set_nf(chain, nf, rest, now, fault) : clear_nf(chain, nf, rest, now, fault);
    nf_heap_leave(NULL);
    nf_mark_end(chain->mark);
    return error;
}

bool nf_chain_show(struct nf_chain *chain, const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    if (nf_is_bypassed(chain->state, nf->index)) /* its state may be what it died of */
        return false;
    nf_mark(chain->mark, NF_DOING_SHOW, nf->index);
    bool more = nf->module->show(nf, out, cursor);
    nf_mark_end(chain->mark);
    return more;
}
