/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories: the records from which a state came to be, and the reference: a chain without any replication
 * that executes them again, from nothing, lanes as tasks. What left must be what it makes, byte for byte.
 */
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"
#include "logger/capture.h"

#include <string.h>

#define STUCK 100000u /* rounds of all lanes in which none gets on */

struct sim_history *sim_history_new(struct sim_history *parent, const uint64_t cut[])
{
    struct sim_history *h = sim_alloc(sizeof(*h));

    memset(h, 0, sizeof(*h));
    h->parent = parent;
    h->since = sim.now;
    h->next = sim.histories;
    sim.histories = h;
    if (!parent)
        return h;
    h->epoch = parent->epoch;
    memcpy(h->seed, parent->seed, sizeof(h->seed));
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        h->cut[l] = cut[l];
        h->lane[l].room = cut[l] + 64;
        h->lane[l].list = sim_alloc(h->lane[l].room * sizeof(h->lane[l].list[0]));
        h->lane[l].count = cut[l] < parent->lane[l].count ? cut[l] : parent->lane[l].count;
        if (h->lane[l].count)
            memcpy(h->lane[l].list, parent->lane[l].list, h->lane[l].count * sizeof(h->lane[l].list[0]));
    }
    return h;
}

void sim_history_put(struct sim_history *h, unsigned lane, const struct ft_record *record)
{
    struct ft_record *copy = sim_alloc(record->size);

    if (h->lane[lane].count == h->lane[lane].room) {
        uint64_t room = h->lane[lane].room ? 2 * h->lane[lane].room : 256;
        const struct ft_record **list = sim_alloc(room * sizeof(list[0]));

        if (h->lane[lane].count)
            memcpy(list, h->lane[lane].list, h->lane[lane].count * sizeof(list[0]));
        h->lane[lane].list = list;
        h->lane[lane].room = room;
    }
    memcpy(copy, record, record->size);
    h->lane[lane].list[h->lane[lane].count++] = copy;
    sim.count.dependencies += record->dependencies;
}

/* ---- the reference ------------------------------------------------------------------------------- */

static struct {
    const struct sim_history *history;
    struct sim_window window;
    struct ft_published published[FT_LANES_MAX];
    struct run {
        unsigned lane;
        struct nf_chain *chain;
        struct sim_task task;
        uint64_t outputs, done;
        const struct sim_left **left; /* by number; each a chain by `same` of those with that number */
        uint64_t highest;
        uint8_t bytes[FT_BURST_MAX * 2048];
    } run[SIM_LANES];
} ref;

/* Of two frames of IPv4 with TCP or UDP, without tags and options: what an input that its session tells has
 * of them. */
static bool is_told_alike(const uint8_t *a, const uint8_t *b)
{
    static const struct {
        uint8_t at, bytes;
    } same[] = {{12, 6}, {23, 1}, {26, 8 + 4}};

    for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        if (memcmp(a + same[i].at, b + same[i].at, same[i].bytes) != 0)
            return false;
    return a[23] != 6 || a[34 + 13] == b[34 + 13];
}

static bool is_same(const struct sim_left *left, const uint8_t *frame, uint32_t n, bool told)
{
    if (told)
        return is_told_alike(left->frame, frame);
    return n <= 12 ||
           ((left->aside || memcmp(left->frame, frame, 12) == 0) && memcmp(left->frame, frame, 6) == 0 &&
            memcmp(left->frame + 12, frame + 12, n - 12) == 0);
}

/* `told`: by its session, so that the reference makes no more of it than that says. */
static void compare(struct run *r, const struct ft_record *record, const uint8_t *frame, uint32_t have,
                    uint32_t len, unsigned port, bool told)
{
    uint64_t number = ++r->outputs;

    if (number > r->highest)
        return;
    for (const struct sim_left *left = r->left[number]; left; left = left->same) {
        uint32_t n = have < len ? have : len;
        const char *what = left->burst != record->burst ? "burst"
                           : left->port != port         ? "port"
                           : left->len != len           ? "length"
                                                        : NULL;

        if (!what && !is_same(left, frame, n, told))
            what = "content";
        if (what)
            sim_fail(
                "G2: output %lu of lane %u (burst %lu) left %s at %.3f ms with another %s than the surviving "
                "log makes of it",
                number, r->lane, left->burst, sim.node[left->node].name, (double)left->at / 1e6, what);
    }
}

static uint32_t load_inputs(struct run *r, struct lg_cursor *cursor, struct nf_packet packets[],
                            struct nf_session_input told[])
{
    const struct ft_input *in;
    uint8_t *bytes, *to = r->bytes;
    uint32_t n = 0, aside = 0;

    while ((in = lg_cursor_input(cursor, &bytes))) {
        FT_CHECK((size_t)(to - r->bytes) + in->taken <= sizeof(r->bytes),
                 "a burst of more bytes than hosts send");
        memcpy(to, bytes, in->taken);
        told[n].key = NF_NONE;
        if (in->flags & FT_IN_SESSION) {
            memcpy(&told[n], bytes, FT_SESSION_BYTES);
            sim.count.told++;
        }
        packets[n++] = (struct nf_packet){.data = to,
                                          .len = in->wire,
                                          .have = in->taken,
                                          .in_port = in->port,
                                          .side = in->flags & FT_IN_OUTSIDE ? NF_OUTSIDE : NF_INSIDE};
        aside |= (uint32_t) !!(in->flags & FT_IN_ASIDE) << (n - 1);
        to += in->taken;
    }
    nf_chain_set_aside(r->chain, aside);
    return n;
}

static void run_burst(struct run *r, const struct ft_record *record)
{
    struct nf_packet packets[NF_BURST_MAX];
    struct nf_session_input told[NF_BURST_MAX];
    const struct nf_emitted *made;
    struct lg_cursor cursor = {.record = record};
    struct ft_fault fault;
    const void *value;
    uint32_t n, len, count;

    nf_chain_follow(
        r->chain, (const struct ft_dependency *)((const uint8_t *)record + ft_record_dependencies_at(record)),
        record->dependencies);
    n = load_inputs(r, &cursor, packets, told);
    nf_chain_restore_from(r->chain, told);
    while ((value = lg_cursor_determinant(&cursor, &len)))
        if (nf_determinants_is(value, len))
            nf_determinants_supply(nf_chain_determinants(r->chain), value, len);
        else
            nf_chain_command(r->chain, value, len, record->time, &fault);
    nf_chain_run(r->chain, record->burst, record->time, packets, n);
    for (uint32_t i = 0; i < n; i++)
        if (!packets[i].drop && packets[i].out_port < SIM_PORTS) {
            if (sim.plan.keeper)
                sim_fed_makes(record->burst, record->seq + i, packets[i].data, packets[i].have,
                              packets[i].len, packets[i].out_port);
            compare(r, record, packets[i].data, packets[i].have, packets[i].len, packets[i].out_port,
                    told[i].key != NF_NONE);
        }
    count = nf_chain_emitted(r->chain, &made);
    for (uint32_t i = 0; i < count; i++) {
        if (sim.plan.keeper)
            sim_fed_makes(record->burst, 0, made[i].frame, made[i].len, made[i].len, made[i].port);
        compare(r, record, made[i].frame, made[i].len, made[i].len, made[i].port, false);
    }
    if (!nf_determinants_used(nf_chain_determinants(r->chain)) ||
        !ft_sections_used(nf_chain_sections(r->chain), record->access, record->accesses))
        sim_fail("the log of lane %u, burst %lu, has determinants that its execution does not use", r->lane,
                 record->burst);
}

static void run_lane(void *arg)
{
    struct run *r = arg;
    const struct sim_history *h = ref.history;

    for (; r->done < h->lane[r->lane].count && !sim.failed[0]; r->done++) {
        run_burst(r, h->lane[r->lane].list[r->done]);
        if (sim.plan.lanes > 1 && sim_chance(&sim.order, 300))
            sim_let_others();
    }
}

/*
 * Of an epoch whose last node died: records whose order depends on a burst that died unrecorded cannot be
 * executed, nor what they made be judged. They were of a primary alone.
 */
static void close_history(struct sim_history *h)
{
    bool cut = true;

    while (cut) {
        uint64_t last[SIM_LANES] = {0};

        cut = false;
        for (unsigned l = 0; l < sim.plan.lanes; l++)
            if (h->lane[l].count) {
                const struct ft_record *r = h->lane[l].list[h->lane[l].count - 1];

                last[l] = r->access + r->accesses - 1;
            }
        for (unsigned l = 0; l < sim.plan.lanes; l++)
            for (uint64_t b = 0; b < h->lane[l].count; b++) {
                const struct ft_record *r = h->lane[l].list[b];
                const struct ft_dependency *dependency =
                    (const void *)((const uint8_t *)r + ft_record_dependencies_at(r));

                for (unsigned i = 0; i < r->dependencies; i++)
                    if (dependency[i].access > last[dependency[i].lane]) {
                        h->lane[l].count = b;
                        h->trimmed = cut = true;
                    }
            }
    }
}

/* Which outputs of the epoch left, by number. */
static void index_left(const struct sim_history *h)
{
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        ref.run[l].highest = 0;
    for (struct sim_left *left = sim.left; left; left = left->next)
        if (left->history->epoch == h->epoch && !left->apart && left->number > ref.run[left->lane].highest)
            ref.run[left->lane].highest = left->number;
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        size_t size = (ref.run[l].highest + 1) * sizeof(ref.run[l].left[0]);

        ref.run[l].left = sim_alloc(size);
        memset(ref.run[l].left, 0, size);
    }
    for (struct sim_left *left = sim.left; left; left = left->next)
        if (left->history->epoch == h->epoch && !left->apart) {
            struct run *r = &ref.run[left->lane];

            left->same = r->left[left->number];
            r->left[left->number] = left;
        }
}

static void make_reference(const struct sim_history *h)
{
    static const struct ft_region_config how = {.name = "reference", .shared_size = SIM_SHARED};
    const struct nf_chain_config *chain = &sim.config->chain;
    struct ft_fault fault = {""};

    ref.history = h;
    ref.window.region = NULL;
    sim_window_of(&ref.window);
    FT_CHECK(nf_chain_region(&ref.window.region, chain, &how, &fault) == 0, "%s", fault.text);
    memset(ref.published, 0, sizeof(ref.published));
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        struct run *r = &ref.run[l];

        r->lane = l;
        r->outputs = r->done = 0;
        FT_CHECK(nf_chain_make(&r->chain, chain, ref.window.region, l, h->seed[l], &fault) == 0, "%s",
                 fault.text);
        nf_chain_share(r->chain, ref.published);
        sim_task_begin(&r->task, run_lane, r);
        r->task.node = SIM_NOBODY;
        r->task.number = l;
    }
}

static void run_all(void)
{
    unsigned live = sim.plan.lanes;

    for (unsigned idle = 0; live && !sim.failed[0]; idle++) {
        uint64_t before = 0, after = 0;

        live = 0;
        for (unsigned l = 0; l < sim.plan.lanes; l++) {
            before += ref.run[l].done + nf_chain_state(ref.run[l].chain)->access;
            if (!ref.run[l].task.ended)
                sim_task_run(&ref.run[l].task);
            live += !ref.run[l].task.ended;
            after += ref.run[l].done + nf_chain_state(ref.run[l].chain)->access;
        }
        idle = before == after ? idle : 0;
        if (idle > STUCK)
            sim_fail(
                "the surviving log cannot be executed: lanes wait for each other, or for what is not in it");
    }
}

void sim_history_execute(struct sim_history *h, bool died, uint64_t *digest)
{
    if (died)
        close_history(h);
    index_left(h);
    make_reference(h);
    run_all();
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        if (ref.run[l].highest > ref.run[l].outputs && !h->trimmed)
            sim_fail("G2: output %lu of lane %u left, and the surviving log ends with output %lu",
                     ref.run[l].highest, l, ref.run[l].outputs);
    for (unsigned l = 0; !died && l < sim.plan.lanes; l++)
        for (uint64_t number = 1; number <= ref.run[l].outputs; number++)
            sim.count.never += number > ref.run[l].highest || !ref.run[l].left[number];
    if (sim.plan.keeper)
        sim_fed_judge(h, died);
    *digest = ft_region_digest(ref.window.region);
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        nf_chain_free(ref.run[l].chain);
        sim_task_free(&ref.run[l].task);
    }
    sim_show(NULL);
    ft_region_close(ref.window.region);
    ref.window.region = NULL;
}
