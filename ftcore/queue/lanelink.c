/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between two lanes, and the two ends of their stream; see lanelink.h. */
#include "ftcore/queue/lanelink.h"

#include "ftcore/base/check.h"
#include "ftcore/record/record.h"

#include <endian.h>
#include <string.h>

static uint8_t *put(uint8_t *to, uint64_t value, size_t bytes)
{
    value = htole64(value);
    memcpy(to, &value, bytes);
    return to + bytes;
}

static uint64_t get(const uint8_t **from, size_t bytes)
{
    uint64_t value = 0;

    memcpy(&value, *from, bytes);
    *from += bytes;
    return le64toh(value);
}

void ft_link_put_head(uint8_t *to, const struct ft_link_head *head)
{
    to = put(to, FT_LINK_VERSION, 1);
    to = put(to, head->direction, 1);
    to = put(to, head->lane, 2);
    to = put(to, 0, 4);
    to = put(to, head->view, 8);
    to = put(to, head->incarnation, 8);
    put(to, head->number, 8);
}

void ft_link_put_body(uint8_t *to, const struct ft_link_body *body)
{
    to = put(to, body->stored, 8);
    to = put(to, body->closed, 8);
    to = put(to, body->heard, 8);
    to = put(to, body->room, 8);
    to = put(to, body->burst, 8);
    to = put(to, body->offset, 4);
    to = put(to, body->whole, 4);
    to = put(to, body->lag_us, 4);
    to = put(to, body->missing, 1);
    put(to, 0, 3);
}

void ft_link_nonce(uint8_t *to, const struct ft_link_head *head)
{
    to = put(to, head->direction, 1);
    to = put(to, 0, 1);
    to = put(to, head->lane, 2);
    put(to, head->number, 8);
}

bool ft_link_get_head(const uint8_t *frame, size_t len, struct ft_link_head *head)
{
    const uint8_t *at = frame + FT_LINK_ETHERNET;

    if (len < FT_LINK_OVERHEAD || len > FT_LINK_MOST || frame[12] != FT_LINK_TYPE >> 8 ||
        frame[13] != (FT_LINK_TYPE & 0xff) || get(&at, 1) != FT_LINK_VERSION)
        return false;
    head->direction = (uint8_t)get(&at, 1);
    head->lane = (uint16_t)get(&at, 2);
    if (get(&at, 4) != 0)
        return false;
    head->view = get(&at, 8);
    head->incarnation = get(&at, 8);
    head->number = get(&at, 8);
    return head->direction <= 1 && head->number != 0;
}

bool ft_link_get_body(const uint8_t *from, size_t payload, struct ft_link_body *body)
{
    body->stored = get(&from, 8);
    body->closed = get(&from, 8);
    body->heard = get(&from, 8);
    body->room = get(&from, 8);
    body->burst = get(&from, 8);
    body->offset = (uint32_t)get(&from, 4);
    body->whole = (uint32_t)get(&from, 4);
    body->lag_us = (uint32_t)get(&from, 4);
    body->missing = (uint8_t)get(&from, 1);
    if (get(&from, 3) != 0 || body->missing > 1 || body->closed > body->stored ||
        (body->burst != 0) != (payload != 0))
        return false;
    if (body->whole == 0)
        return body->offset == 0;
    return body->whole <= FT_RECORD_MAX && body->offset < body->whole &&
           payload <= body->whole - body->offset;
}

/* ---- the side that sends records ------------------------------------------------------------------ */

void ft_link_begin(struct ft_link_sender *s, uint64_t burst, uint64_t now)
{
    s->next = burst + 1;
    s->closed = s->stored = s->most = burst;
    s->room = UINT64_MAX;
    s->backed = s->number;
    s->moved = now;
    s->wait = 0;
}

bool ft_link_may_send(const struct ft_link_sender *s)
{
    return s->next && s->next - s->closed <= FT_LINK_WINDOW;
}

void ft_link_sent(struct ft_link_sender *s, uint64_t burst, uint64_t now)
{
    FT_CHECK(burst == s->next, "burst %lu sent, and the next one is %lu", burst, s->next);
    if (s->next == s->stored + 1)
        s->moved = now;
    s->next++;
    s->most = burst > s->most ? burst : s->most;
}

static void go_back(struct ft_link_sender *s, uint64_t now)
{
    s->next = s->stored + 1;
    s->backed = s->number;
    s->moved = now;
    s->again++;
}

enum ft_link_said ft_link_take_ack(struct ft_link_sender *s, const struct ft_link_body *body, uint64_t last,
                                   uint64_t now)
{
    bool stored = body->stored > s->stored, closed = body->closed > s->closed;

    if (body->heard > s->number || body->stored > last)
        return FT_LINK_LIES;
    s->heard = body->heard > s->heard ? body->heard : s->heard;
    s->stable = body->closed > s->stable ? body->closed : s->stable;
    s->closed = closed ? body->closed : s->closed;
    s->room = body->room;
    if (stored) {
        s->stored = body->stored;
        s->most = s->stored > s->most ? s->stored : s->most;
        s->next = s->next && s->next <= s->stored ? s->stored + 1 : s->next;
        s->moved = now;
        s->wait = 0;
    }
    if (body->missing && s->next > s->stored + 1 && body->heard > s->backed)
        go_back(s, now);
    return stored || closed ? FT_LINK_MOVED : FT_LINK_SAID;
}

bool ft_link_late(struct ft_link_sender *s, uint64_t now)
{
    if (s->next <= s->stored + 1) {
        s->moved = now;
        return false;
    }
    if (now - s->moved < (s->wait ? s->wait : FT_LINK_AGAIN_NS))
        return false;
    go_back(s, now);
    s->wait = !s->wait ? 2 * FT_LINK_AGAIN_NS : s->wait < FT_LINK_PATIENCE ? 2 * s->wait : FT_LINK_PATIENCE;
    return true;
}

/* ---- the side that stores them -------------------------------------------------------------------- */

enum ft_link_take ft_link_take(struct ft_link_receiver *r, uint64_t burst, uint64_t stored)
{
    if (burst <= stored)
        return FT_LINK_HAD;
    if (burst == stored + 1)
        return FT_LINK_TAKE;
    r->missing = true;
    return FT_LINK_GAP;
}

enum ft_link_take ft_link_take_piece(struct ft_link_receiver *r, const struct ft_link_body *body,
                                     uint32_t bytes, uint64_t stored)
{
    enum ft_link_take take = ft_link_take(r, body->burst, stored);

    if (take != FT_LINK_TAKE)
        return take;
    if (body->offset == 0 && (r->part != body->burst || r->all != body->whole)) {
        r->part = body->burst;
        r->have = 0;
        r->all = body->whole;
    }
    if (r->part != body->burst || r->all != body->whole || body->offset > r->have) {
        r->missing = true;
        return FT_LINK_GAP;
    }
    if (body->offset < r->have)
        return FT_LINK_HAD;
    r->have += bytes;
    return FT_LINK_TAKE;
}
