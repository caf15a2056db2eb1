/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two keepers is active, without I/O: the one that has the primary's word. Keepers exchange no
 * messages. Each asks the primary; the primary gives its word to one of them, in a keeper view that is higher
 * than all before it. A word runs for KP_WORD_NS from when its keeper asked, by that keeper's clock: while
 * none runs, nothing leaves. Owned by a keeper (struct kp_word) and by the port of a node's live lane (struct
 * kp_giver), each used by its own thread.
 *
 * Why no two words run at once:
 *
 *   One primary gives the word to another keeper when its last one to the present keeper is KP_SILENCE_NS
 *   old, so that has run out; or when that keeper has given it back, or its process has ended.
 *   Two primaries: a word is given only while the primary's own outputs may leave (`open`), which a successor
 *   waits for. So all words of a predecessor were given before the successor began, and have run out
 *   KP_SILENCE_NS later. Before that the successor gives its word only to a keeper that reports, in the
 *   successor's view, that its word runs: then it is the only one; or when each keeper has reported in that
 *   view that none runs: from then on it takes no word of an earlier view.
 */
#ifndef KEEPER_WORD_H
#define KEEPER_WORD_H

#include "understudy/keeper/message.h"

#define KP_KEEPERS 2u
#define KP_WORD_NS 80000000u /* how long a word runs */
/* From the last word until another keeper gets it; longer than a word, for clocks differ. */
#define KP_SILENCE_NS 100000000u
#define KP_PAUSE_NS   10000000u
#define KP_RECENT_NS  20000000u /* who asked within that time is there */

/* ---- a keeper ---- */
struct kp_word {
    uint64_t process; /* of this process, never 0; that of a later one differs */
    uint64_t view;    /* the highest keeper view that it has heard of */
    uint64_t holds;   /* in which it is active; 0: it waits */
    uint64_t until;   /* its word runs until then, ns */
    /* Words that answer earlier questions do not count: it gave its word back then, or asked for the first
     * time; what was asked earlier was asked by the process before it. */
    uint64_t from;
    bool go; /* the other keeper is better: it is asked to give its word back */
};

enum kp_word_change {
    KP_SAME,
    KP_GAINED, /* active in another keeper view than before: what it knows is of an earlier one */
    KP_LOST    /* it waits */
};

/* Completes an ASK with what a keeper reports of its word. `wants`: it is fit to be active. `faults`: how
 * many of its ports have no carrier. */
void kp_word_ask(struct kp_word *word, struct kp_message *ask, bool wants, unsigned faults, uint64_t now);
/* A WORD of the primary that this keeper believes, in its view. */
enum kp_word_change kp_word_take(struct kp_word *word, const struct kp_message *m, uint64_t now);
/* Its outputs may leave. */
static inline bool kp_word_runs(const struct kp_word *word, uint64_t now)
{
    return word->holds && now < word->until;
}
/* The keeper waits from now on. Completes the ASK that reports it. */
void kp_word_return(struct kp_word *word, struct kp_message *ask, uint64_t now);

/* ---- a primary, of two keepers ---- */
struct kp_giver {
    uint64_t last;  /* when it was asked last, ns */
    uint64_t time;  /* its own: of a pause KP_PAUSE_NS count at most, for it may have stood */
    uint64_t since; /* when it became primary, ns */
    uint64_t view;  /* the highest keeper view that it has heard of, or given */
    int holder;     /* who has its word; -1: not known yet */
    uint64_t given; /* the last time */
    uint64_t ran;   /* when the holder last reported that its word runs */
    bool over;      /* the holder's word is: it was given back, or its process has ended */
    bool unsure;    /* the holder goes on in its keeper view, and another keeper may have been active since */
    struct kp_asker {
        uint64_t process;
        uint64_t holds, view;  /* as it reports; the highest keeper view that it knows of */
        uint64_t asked, heard; /* its last question, by its clock and by this one; heard 0: none */
        unsigned faults;
        bool runs, wants;
    } of[KP_KEEPERS];
};

void kp_giver_begin(struct kp_giver *g, uint64_t now);
/*
 * An ASK of keeper k, in this primary's view, while its own outputs may leave. Returns the keepers that are
 * to be sent a WORD, as bits: k, and the other one where it gets the word now. kp_giver_word completes the
 * WORD of each.
 */
unsigned kp_giver_take(struct kp_giver *g, unsigned k, const struct kp_message *ask, uint64_t now);
/* A keeper's process has ended. Returns as kp_giver_take. */
unsigned kp_giver_ended(struct kp_giver *g, uint64_t process, uint64_t now);
void kp_giver_word(const struct kp_giver *g, unsigned k, struct kp_message *word);

#endif
