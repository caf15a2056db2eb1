/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transcript: what happened, a line each, kept until it is known whether anybody wants to read it. Its
 * hash says whether two runs were the same.
 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define STORY_BYTES (1u << 20)

#define STEP_TEXT(name, text) [name] = text,
const char *const sim_step_text[SIM_STEPS] = {SIM_STEP_LIST(STEP_TEXT)};

static char story[STORY_BYTES];
static size_t len;
static bool loud;

void sim_story_begin(bool aloud)
{
    len = 0;
    story[0] = '\0';
    loud = aloud;
}

const char *sim_story(void)
{
    return story;
}

bool sim_step_named(const char *text, enum sim_step *step)
{
    for (unsigned s = 0; s < SIM_STEPS; s++)
        if (strcmp(sim_step_text[s], text) == 0) {
            *step = (enum sim_step)s;
            return true;
        }
    return false;
}

void sim_mix(uint64_t value)
{
    sim.hash = XXH3_64bits_withSeed(&value, sizeof(value), sim.hash);
}

void sim_tell(unsigned node, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    int n = snprintf(line, sizeof(line), "%10.3f ms  ", (double)sim.now / 1e6), m;

    if (node < SIM_NODES) {
        const struct sim_node *who = &sim.node[node];

        if (who->alive)
            n += snprintf(line + n, sizeof(line) - (size_t)n, "%s (%s, view %lu) ", who->name,
                          ft_state_name(who->state), atomic_load(&who->view));
        else
            n += snprintf(line + n, sizeof(line) - (size_t)n, "%s ", who->name);
    }
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < (int)sizeof(line) - n - 2 ? m : (int)sizeof(line) - n - 2;
    line[n++] = '\n';
    line[n] = '\0';
    sim.hash = XXH3_64bits_withSeed(line, (size_t)n, sim.hash);
    if (loud)
        fputs(line, stdout);
    if (len + (size_t)n + 1 > sizeof(story)) { /* the latest half is what counts */
        memmove(story, story + len / 2, len - len / 2);
        len -= len / 2;
    }
    memcpy(story + len, line, (size_t)n + 1);
    len += (size_t)n;
}

const char *sim_names(unsigned nodes)
{
    static char text[64];
    size_t at = 0;

    text[0] = '\0';
    if (nodes == (1u << sim.nodes) - 1)
        return sim.nodes == 2 ? "either node" : "any node";
    for (unsigned i = 0; i < sim.nodes; i++)
        if (nodes >> i & 1)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? " and " : "", sim.node[i].name);
    return nodes ? text : "nobody";
}

void sim_fail(const char *fmt, ...)
{
    va_list ap;

    if (sim.failed[0])
        return;
    va_start(ap, fmt);
    vsnprintf(sim.failed, sizeof(sim.failed), fmt, ap);
    va_end(ap);
    sim_tell(SIM_NOBODY, "FAILED: %s", sim.failed);
}
