/* SPDX-License-Identifier: Apache-2.0 */
/* What both nodes know of the last change of the chain, and whether it waits for a confirm. See confirm.h. */
#include "understudy/change/confirm.h"
#include "ftcore/base/plant.h"
#include "ftcore/base/clock.h"
#include "understudy/control/server.h"
#include "replicator/replicator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_NS  1000000000ull /* within which a peer that is well has answered what it was sent */
#define WITH_SET 2u /* the first byte of what goes to the peer: 0 and 1 are those of a set without a note */
#define ALONE    3u

void nd_confirm_open(struct nd_confirm *c, const char *state, const char *node, uint64_t now, uint64_t wall)
{
    uint64_t until;

    memset(c, 0, sizeof(*c));
    snprintf(c->sets, sizeof(c->sets), "%.192s/%.32s.sets", state, node);
    c->count = nd_kept_list(c->sets, c->kept);
    if (!nd_kept_waits(c->sets, &c->order, &until)) {
        c->order = (struct nd_note){.number = 0};
        return;
    }
    if (!until) /* it was confirmed, or taken back */
        return;
    /* By a clock that was set meanwhile it waits for no longer than it was to wait at first. */
    if (until > wall + c->order.confirm_ms * FT_MS)
        until = wall + c->order.confirm_ms * FT_MS;
    c->until = now + (until > wall ? until - wall : 0);
}

uint64_t nd_confirm_number(const struct nd_confirm *c, uint64_t wall)
{
    uint64_t last = c->order.number;

    if (c->count && c->kept[0].number > last)
        last = c->kept[0].number;
    return wall > last ? wall : last + 1;
}

bool nd_confirm_take(struct nd_confirm *c, const struct nd_note *note, uint64_t now)
{
    if (note->number <= c->order.number || FT_PLANTED("wait-unheard"))
        return false;
    c->order = *note;
    c->until = note->confirm_ms ? now + note->confirm_ms * FT_MS : 0;
    c->again = 0;
    c->unwritten = true;
    return true;
}

bool nd_confirm_is_due(const struct nd_confirm *c, uint64_t now)
{
    return c->until && now >= c->until && now >= c->again;
}

struct nd_note nd_confirm_note(const struct nd_confirm *c, uint64_t now)
{
    struct nd_note note = c->order;

    note.confirm_ms = !c->until ? 0 : c->until > now + FT_MS ? (c->until - now) / FT_MS : 1;
    return note;
}

int nd_confirm_find(const struct nd_confirm *c, uint64_t chain)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->kept[i].chain == chain)
            return (int)i;
    return -1;
}

/* ---- to the peer -------------------------------------------------------------------------------- */

bool nd_confirm_speaks(const struct rp_status *s)
{
    return strcmp(s->core.peer.program, UNDERSTUDY_VERSION) == 0;
}

json_t *nd_refuse_version(const struct rp_status *s, const char *what)
{
    return nd_refuse(
        "busy", "the peer runs understudy %s, this node " UNDERSTUDY_VERSION ": %s takes one version on both",
        s->core.peer.program, what);
}

bool nd_confirm_is_known(const struct nd_confirm *c, const struct rp_status *s)
{
    return s->core.peer.known && c->told == c->order.number && c->told_to == s->link.connects;
}

void nd_confirm_send(struct nd_confirm *c, struct rp_replicator *rp, const struct rp_status *s, bool idle)
{
    struct nd_note note = nd_confirm_note(c, ft_now());
    struct rp_push_answer answer;
    uint32_t len;
    uint8_t *bytes;

    if (c->telling && rp_push_answered(rp, &answer)) {
        c->told = answer.taken ? c->telling : 0;
        c->telling = 0;
        if (answer.taken) /* only what was not taken waits before it is sent again */
            c->given_up = 0;
    }
    if (c->telling && (!s->core.peer.known || ft_now() > c->given_up)) {
        rp_push_forget(rp);
        c->telling = 0;
    }
    if (c->telling || !idle || !c->order.number || !s->core.peer.known || !nd_confirm_speaks(s) ||
        nd_confirm_is_known(c, s) || ft_now() < c->given_up)
        return;
    bytes = nd_note_pack(&note, NULL, 0, &len);
    c->given_up = ft_now() + TELL_NS;
    c->told = 0;
    c->told_to = s->link.connects;
    c->telling = bytes && rp_push(rp, note.number, bytes, len) ? note.number : 0;
    free(bytes);
}

uint8_t *nd_note_pack(const struct nd_note *note, const uint8_t *set, uint32_t len, uint32_t *size)
{
    uint8_t *out = malloc(1 + sizeof(*note) + len);

    if (!out)
        return NULL;
    *out = set ? WITH_SET : ALONE;
    memcpy(out + 1, note, sizeof(*note));
    if (set)
        memcpy(out + 1 + sizeof(*note), set, len);
    *size = (uint32_t)(1 + sizeof(*note)) + len;
    return out;
}

int nd_note_unpack(const uint8_t **bytes, uint32_t *len, struct nd_note *note, struct ft_fault *fault)
{
    const uint8_t *at = *bytes;
    bool alone = *len && *at == ALONE;

    *note = (struct nd_note){.number = 0};
    if (!*len || *at < WITH_SET)
        return 0;
    if (*at > ALONE || *len < 1 + sizeof(*note) || (alone && *len != 1 + sizeof(*note)))
        return ft_fail(fault, FT_EMALFORMED, "files: %u bytes, expected a note and a set of files", *len);
    memcpy(note, at + 1, sizeof(*note));
    if (!note->number || !nd_note_is_sound(note))
        return ft_fail(fault, FT_EMALFORMED, "files: a note whose numbers or texts are out of range");
    *bytes += 1 + sizeof(*note);
    *len -= (uint32_t)(1 + sizeof(*note));
    return 0;
}
