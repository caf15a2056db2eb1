/* SPDX-License-Identifier: Apache-2.0 */
/* A frame of a lane's port: its head as it comes, and its body as it is when it was opened. What is taken has
 * the same bytes when it is put again, and neither end goes anywhere by it that it may not. */
#include "ftcore/queue/lanelink.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define STORED 7u

static void run_body(const struct ft_link_body *b, uint32_t payload)
{
    struct ft_link_sender s = {.number = 20};
    struct ft_link_receiver r = {.part = STORED + 1, .have = 100, .all = 300};

    ft_link_begin(&s, 4, 1);
    ft_link_sent(&s, 5, 1);
    ft_link_take_ack(&s, b, 9, 2);
    FUZZ_MUST(s.stable <= 9 && s.stored <= 9 && s.next > s.stored && s.heard <= 20, "more than was sent");
    if (!payload)
        return;
    enum ft_link_take take =
        b->whole ? ft_link_take_piece(&r, b, payload, STORED) : ft_link_take(&r, b->burst, STORED);

    FUZZ_MUST(take != FT_LINK_TAKE || b->burst == STORED + 1, "burst %lu behind %u", b->burst, STORED);
    FUZZ_MUST(r.have <= r.all || r.all == 0, "%u bytes of %u", r.have, r.all);
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *in = fuzz_copy(data, size), head[FT_LINK_HEAD], body[FT_LINK_BODY];
    struct ft_link_head h;
    struct ft_link_body b;

    if (ft_link_get_head(in, size, &h)) {
        uint32_t payload = (uint32_t)size - FT_LINK_OVERHEAD;
        const uint8_t *at = in + FT_LINK_ETHERNET;

        ft_link_put_head(head, &h);
        FUZZ_MUST(memcmp(head, at, sizeof(head)) == 0, "its head has other bytes");
        if (ft_link_get_body(at + FT_LINK_HEAD, payload, &b)) {
            ft_link_put_body(body, &b);
            FUZZ_MUST(memcmp(body, at + FT_LINK_HEAD, sizeof(body)) == 0, "its body has other bytes");
            run_body(&b, payload);
        }
    }
    free(in);
}

static void seeds(void)
{
    uint8_t frame[FT_LINK_OVERHEAD + 40] = {[12] = FT_LINK_TYPE >> 8, [13] = FT_LINK_TYPE & 0xff};

    ft_link_put_head(frame + FT_LINK_ETHERNET,
                     &(struct ft_link_head){.direction = 1, .view = 3, .incarnation = 4, .number = 5});
    ft_link_put_body(frame + FT_LINK_ETHERNET + FT_LINK_HEAD,
                     &(struct ft_link_body){.stored = 5, .heard = 19, .room = 1, .missing = 1});
    fuzz_seed("said", frame, FT_LINK_OVERHEAD);
    ft_link_put_body(frame + FT_LINK_ETHERNET + FT_LINK_HEAD, &(struct ft_link_body){.burst = STORED + 1});
    fuzz_seed("records", frame, sizeof(frame));
    ft_link_put_body(frame + FT_LINK_ETHERNET + FT_LINK_HEAD,
                     &(struct ft_link_body){.burst = STORED + 1, .offset = 100, .whole = 300});
    fuzz_seed("piece", frame, sizeof(frame));
}

FUZZ_TARGET(lanelink, "frames of a lane's port to its peer's", 400)
