/* SPDX-License-Identifier: Apache-2.0 */
/* The primary's word to one of two keepers: asked for, given, given back; see word.h. */
#include "understudy/keeper/word.h"
#include "ftcore/base/plant.h"

/* ---- a keeper -------------------------------------------------------------------------------- */

void kp_word_ask(struct kp_word *word, struct kp_message *ask, bool wants, unsigned faults, uint64_t now)
{
    if (!word->from && !FT_PLANTED("word-of-another"))
        word->from = now;
    ask->flags |= (uint8_t)((wants ? KP_WANTS : 0) | (kp_word_runs(word, now) ? KP_RUNS : 0));
    ask->port = (uint8_t)faults;
    ask->seq = word->process;
    ask->burst = word->holds;
    ask->before = word->view;
    ask->time = now;
}

enum kp_word_change kp_word_take(struct kp_word *word, const struct kp_message *m, uint64_t now)
{
    bool other = word->holds != m->before;

    if (m->before < word->view || m->time > now)
        return KP_SAME;
    word->view = m->before;
    if (!(m->flags & KP_YOURS)) {
        if (!word->holds)
            return KP_SAME;
        word->holds = word->until = 0;
        word->go = false;
        return KP_LOST;
    }
    if (m->time < word->from || now - m->time >= KP_WORD_NS)
        return KP_SAME;
    word->holds = m->before;
    word->go = m->flags & KP_GO;
    if (other || m->time + KP_WORD_NS > word->until)
        word->until = m->time + KP_WORD_NS;
    if (FT_PLANTED("word-endless"))
        word->until = UINT64_MAX;
    return other ? KP_GAINED : KP_SAME;
}

void kp_word_return(struct kp_word *word, struct kp_message *ask, uint64_t now)
{
    kp_word_ask(word, ask, false, 0, now);
    ask->flags = KP_RETURNS;
    word->holds = word->until = 0;
    word->from = now + 1;
    word->go = false;
}

/* ---- a primary ------------------------------------------------------------------------------- */

void kp_giver_begin(struct kp_giver *g, uint64_t now)
{
    *g = (struct kp_giver){.last = now, .time = 1, .since = 1, .holder = -1};
}

/* A primary that stood, or whose clock has jumped, does not take that for a keeper's silence. */
static uint64_t own_time(struct kp_giver *g, uint64_t now)
{
    uint64_t pause = now - g->last;

    g->last = now;
    g->time += pause < KP_PAUSE_NS ? pause : KP_PAUSE_NS;
    return g->time;
}

/* The word, in the next keeper view. */
static void give(struct kp_giver *g, unsigned k, uint64_t now)
{
    g->view++;
    g->holder = (int)k;
    g->given = g->ran = now;
    g->over = g->unsure = false;
}

/* It goes on in the keeper view that it has, unless there was a later one. */
static void give_on(struct kp_giver *g, unsigned k, uint64_t now)
{
    uint64_t holds = g->of[k].holds;

    give(g, k, now);
    g->view -= holds && holds == g->view - 1;
}

/* Who had a predecessor's word, as far as that can be known by now. */
static void find_holder(struct kp_giver *g, uint64_t now)
{
    int best = -1;
    bool all = true, sure = true;

    for (unsigned i = 0; i < KP_KEEPERS; i++) {
        const struct kp_asker *a = &g->of[i];

        if (a->heard && a->runs) {
            give_on(g, i, now);
            return;
        }
        all &= a->heard != 0;
        if (a->heard && (a->holds || a->wants) && (best < 0 || a->holds > g->of[best].holds))
            best = (int)i;
    }
    if (best < 0 || (!all && now - g->since < KP_SILENCE_NS && !FT_PLANTED("word-early")))
        return;
    /* One that began since, or was not heard, may have been active. */
    for (unsigned i = 0; i < KP_KEEPERS; i++)
        sure &= g->of[i].heard && g->of[i].view >= g->of[best].holds;
    give_on(g, (unsigned)best, now);
    g->unsure = !sure;
}

/* The other one than k is there. */
static bool has_other(const struct kp_giver *g, unsigned k, uint64_t now)
{
    const struct kp_asker *other = &g->of[!k];

    return other->heard && other->wants && now - other->heard < KP_RECENT_NS;
}

/* Nobody's word runs: the other keeper gets it if it is there, else who asks next. */
static unsigned pass_on(struct kp_giver *g, uint64_t now)
{
    unsigned other = !g->holder;

    g->over = true;
    if (!has_other(g, (unsigned)g->holder, now))
        return 0;
    give(g, other, now);
    return 1u << other;
}

/* To the holder, which has asked. False: its questions arrive, and the answers do not; so it gets no answer
 * any more, and its word runs out for the other one. */
static bool give_again(struct kp_giver *g, unsigned k, uint64_t now)
{
    if (g->of[k].runs)
        g->ran = now;
    if (now - g->ran >= KP_SILENCE_NS && has_other(g, k, now))
        return false;
    g->given = now;
    return true;
}

unsigned kp_giver_take(struct kp_giver *g, unsigned k, const struct kp_message *ask, uint64_t now)
{
    struct kp_asker *a = &g->of[k];
    bool ended = a->process && a->process != ask->seq, holds = g->holder == (int)k;

    if (!ended && ask->time < a->asked) /* another way was faster */
        return 0;
    now = own_time(g, now);
    *a = (struct kp_asker){.process = ask->seq,
                           .holds = ask->flags & KP_RETURNS ? 0 : ask->burst,
                           .view = ask->before,
                           .asked = ask->time,
                           .heard = now,
                           .faults = ask->port,
                           .runs = ask->flags & KP_RUNS,
                           .wants = ask->flags & KP_WANTS};
    if (ask->burst > g->view)
        g->view = ask->burst;
    if (ask->before > g->view)
        g->view = ask->before;
    if (holds && (ended || (ask->flags & KP_RETURNS && ask->burst == g->view))) {
        unsigned told = pass_on(g, now);

        if (!g->over || !a->wants)
            return told;
        give(g, k, now);
        return 1u << k;
    }
    if (ask->flags & KP_RETURNS)
        return 0;
    if (g->holder < 0)
        find_holder(g, now);
    else if (a->wants &&
             (g->over || (!holds && (now - g->given >= KP_SILENCE_NS || FT_PLANTED("word-early")))))
        give(g, k, now);
    if (g->holder < 0 || (g->holder == (int)k && !give_again(g, k, now)))
        return 0;
    return 1u << k;
}

unsigned kp_giver_ended(struct kp_giver *g, uint64_t process, uint64_t now)
{
    now = own_time(g, now);
    for (unsigned k = 0; k < KP_KEEPERS; k++) {
        struct kp_asker *a = &g->of[k];

        if (!a->heard || a->process != process)
            continue;
        a->runs = a->wants = false;
        a->holds = 0;
        if (g->holder == (int)k)
            return pass_on(g, now);
    }
    return 0;
}

void kp_giver_word(const struct kp_giver *g, unsigned k, struct kp_message *word)
{
    bool holds = g->holder == (int)k;

    word->kind = KP_WORD;
    word->before = g->view;
    word->time = g->of[k].asked;
    if (holds)
        word->flags = KP_YOURS | (g->unsure ? KP_UNSURE : 0);
    if (holds && has_other(g, k, g->of[k].heard) && g->of[!k].faults < g->of[k].faults)
        word->flags |= KP_GO;
}
