/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests/transcripts/: each file is one test, named by its first line. A file is comments (#) and steps;
 * a step is commands, one a line, then `----`, then exactly what they print, then an empty line.
 * TRANSCRIPTS=rewrite puts in what they print now; whoever does that reads the difference and judges it by
 * docs/guarantees.md.
 */
#include "tests/help/message.h"
#include "tests/unit/world.h"
#include "tests/help/test.h"

#include <glob.h>

/* The commands of a transcript: tests/transcripts/README.md lists them. See world.h. */

#define WORDS_MAX 8u

struct command {
    char text[256];
    char *word[WORDS_MAX + 1]; /* NULL behind the last */
    unsigned words;
};

static bool wrong(struct world *w, const struct command *c, const char *expected)
{
    fprintf(w->out, "%s: expected %s\n", c->words ? c->word[0] : "an empty line", expected);
    return false;
}

static const char *word(const struct command *c, unsigned k)
{
    return k < c->words ? c->word[k] : "";
}

static bool is(const struct command *c, unsigned k, const char *text)
{
    return strcmp(word(c, k), text) == 0;
}

/* The node that a word names: 0, 1; 2: both; 3: none. */
static unsigned node_named(const char *text)
{
    return strcmp(text, "a") == 0 ? 0 : strcmp(text, "b") == 0 ? 1 : strcmp(text, "both") == 0 ? 2 : 3;
}

/* ---- set ------------------------------------------------------------------------------------------- */

static bool set_one(struct world_node *n, const char *key, const char *value)
{
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);
    const struct {
        const char *key;
        uint32_t *at;
    } times[] = {
        {"lease_ms", &n->config.lease_ms},
        {"detect_ms", &n->config.detect_ms},
        {"solo_after_ms", &n->config.solo_after_ms},
        {"promote_within_ms", &n->config.promote_within_ms},
        {"start_alone_ms", &n->config.start_alone_ms},
        {"back_off_least_ms", &n->config.back_off_least_ms},
        {"back_off_most_ms", &n->config.back_off_most_ms},
        {"listen_ms", &n->config.listen_ms},
        {"detect_most_ms", &n->config.detect_most_ms},
        {"degrade_ms", &n->config.degrade_ms},
        {"slow_percent", &n->config.slow_percent},
        {"slow_ms", &n->config.slow_ms},
    };

    for (unsigned k = 0; k < sizeof(times) / sizeof(times[0]); k++)
        if (strcmp(key, times[k].key) == 0) {
            *times[k].at = number;
            return true;
        }
    if (strcmp(key, "strict") == 0)
        n->config.strict = strcmp(value, "yes") == 0;
    else if (strcmp(key, "arbiter") == 0)
        n->config.arbiter = strcmp(value, "yes") == 0;
    else if (strcmp(key, "standby") == 0)
        n->config.warm = strcmp(value, "warm") == 0;
    else if (strcmp(key, "role") == 0)
        n->config.role = strcmp(value, "standby") == 0;
    else if (strcmp(key, "disk") == 0)
        n->config.keeps_views = strcmp(value, "slow") == 0;
    else if (strcmp(key, "view") == 0)
        n->view_file = number;
    else if (strcmp(key, "lanes") == 0)
        n->config.lanes = (uint16_t)number;
    else if (strcmp(key, "chain") == 0) {
        n->config.identity =
            strcmp(value, "other") == 0 ? "nf 0: nat external=198.51.100.7\n" : n->config.identity;
        n->config.identity_len = (uint32_t)strlen(n->config.identity);
    } else
        return false;
    return true;
}

static bool set(struct world *w, const struct command *c)
{
    unsigned who = node_named(word(c, 1));

    for (unsigned i = 0; i < 2; i++)
        if ((who == i || who == 2) && !set_one(&w->node[i], word(c, 2), word(c, 3)))
            return wrong(w, c, "a|b|both, and a setting with its value");
    return who < 3 || wrong(w, c, "a, b or both");
}

/* ---- messages by hand ---------------------------------------------------------------------------------- */

static bool set_field(struct ft_message *m, const char *text)
{
    const char *value = strchr(text, '=');
    uint64_t number = value ? strtoull(value + 1, NULL, 10) : 0;

    if (!value)
        return false;
    if (strncmp(text, "view=", 5) == 0)
        m->view = number;
    else if (strncmp(text, "burst=", 6) == 0)
        m->burst[0] = m->replayed[0] = number;
    else if (strncmp(text, "echo=", 5) == 0)
        m->echo = number;
    else if (strncmp(text, "incarnation=", 12) == 0)
        m->incarnation = number;
    else if (strncmp(text, "state=", 6) == 0) {
        for (unsigned s = FT_JOINING; s <= FT_FENCED; s++)
            if (strcmp(value + 1, ft_state_name((enum ft_state)s)) == 0)
                m->state = (uint8_t)s;
    } else
        return false;
    return true;
}

/* A message to the other node that the named one's core did not make. It echoes the other's newest unless
 * told not to. */
static bool say(struct world *w, const struct command *c)
{
    unsigned from = node_named(word(c, 1));
    struct ft_message m = {0};

    if (from > 1)
        return wrong(w, c, "a or b");
    for (unsigned t = 1; t < FT_MSG_TYPES; t++)
        if (is(c, 2, world_message_name(t)))
            m.type = (uint8_t)t;
    struct world_node *n = &w->node[from];

    m.state = (uint8_t)(n->alive ? n->core.state : FT_JOINING);
    m.view = n->core.view;
    m.sent = n->alive ? n->last_sent : ++n->last_sent;
    m.echo = w->node[!from].last_sent;
    if (m.type == FT_MSG_HELLO)
        message_hello(&m, &n->config);
    for (unsigned k = 3; k < c->words; k++)
        if (!set_field(&m, c->word[k]))
            return wrong(w, c, "state=, view=, burst=, echo= or incarnation=");
    if (!m.type)
        return wrong(w, c, "a message's name");
    world_post(w, !from, &m);
    return true;
}

/* The first message of that type that the node ever said arrives once more. */
static bool repeat(struct world *w, const struct command *c)
{
    unsigned from = node_named(word(c, 1));

    for (unsigned t = 1; from < 2 && t < FT_MSG_TYPES; t++)
        if (is(c, 2, world_message_name(t)) && w->node[from].first[t].type) {
            world_post(w, !from, &w->node[from].first[t]);
            return true;
        }
    return wrong(w, c, "a or b, and a message that it has said");
}

/* ---- the network ------------------------------------------------------------------------------------------
 */

static bool cut(struct world *w, const struct command *c, uint64_t until)
{
    bool links = is(c, 1, "link") || is(c, 1, "all"), ports = is(c, 1, "ports") || is(c, 1, "all");
    unsigned who = c->words > 2 ? node_named(word(c, 2)) : 2;

    for (unsigned i = 0; i < 2; i++) {
        if (links && (who == i || who == 2))
            w->link_cut[i] = until;
        if (ports && (who == i || who == 2))
            w->ports_cut[i] = until;
    }
    if (is(c, 1, "arbiter")) {
        w->arbiter_down = who == 2 && until;
        for (unsigned i = 0; i < 2; i++)
            if (who == i || who == 2)
                w->arbiter_cut[i] = who == i && until;
    }
    return ((links || ports || is(c, 1, "arbiter")) && who < 3) ||
           wrong(w, c, "link, ports, all or arbiter, and perhaps a or b");
}

/* ---- one node
 * ----------------------------------------------------------------------------------------------- */

static bool withhold(struct world *w, const struct command *c, unsigned i)
{
    for (unsigned d = 0; d < WORLD_DUTIES; d++)
        if (is(c, 2, world_duty_name[d])) {
            w->node[i].withheld[d] = is(c, 0, "hold");
            return true;
        }
    return wrong(w, c, "a node and one of cut, snapshot, held, drained, steered, log, replay, disk");
}

static bool tell_core(struct world *w, const struct command *c, unsigned i)
{
    struct ft_event event = {.kind = FT_EV_REQUEST};

    event.request = is(c, 2, "promote")    ? FT_REQUEST_PROMOTE
                    : is(c, 2, "handover") ? FT_REQUEST_HANDOVER
                    : is(c, 2, "resync")   ? FT_REQUEST_RESYNC
                    : is(c, 2, "re-pair")  ? FT_REQUEST_REPAIR
                                           : 0;
    if (!event.request)
        return wrong(w, c, "promote, handover, resync or re-pair");
    if (event.request == FT_REQUEST_REPAIR)
        event.text = word(c, 3);
    world_note(w, i, "an operator asks for: %s", word(c, 2));
    world_step(w, i, &event);
    return true;
}

/* What happens to node i alone, by itself or through its core. */
static bool happens_to(struct world *w, const struct command *c, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct ft_event event = {.text = "frame checksum differs"};

    if (is(c, 0, "start")) {
        world_start(w, i);
    } else if (is(c, 0, "kill")) {
        world_kill(w, i, is(c, 2, "reset"), false);
    } else if (is(c, 0, "power")) {
        world_kill(w, i, false, true);
    } else if (is(c, 0, "sleep")) {
        n->asleep_until = w->now + strtoull(word(c, 2), NULL, 10) * FT_MS;
        world_note(w, i, "sleeps for %s ms", word(c, 2));
    } else if (is(c, 0, "bursts")) {
        n->wanted += strtoull(word(c, 2), NULL, 10);
    } else if (is(c, 0, "waits")) {
        n->waits = strtoull(word(c, 2), NULL, 10);
        n->what = is(c, 3, "replay") ? FT_WAIT_REPLAY
                  : is(c, 3, "log")  ? FT_WAIT_LOG
                  : is(c, 3, "hold") ? FT_WAIT_HOLD
                                     : FT_WAIT_OUTPUT;
    } else if (is(c, 0, "connect")) {
        world_connect(w, i);
    } else if (is(c, 0, "status")) {
        world_print_status(w, i);
    } else if (is(c, 0, "counts")) {
        world_print_counts(w, i);
    } else if (is(c, 0, "answer")) { /* of the arbiter, to whatever question */
        event.kind = FT_EV_ANSWER;
        event.era = (struct ft_era){strtoull(word(c, 2), NULL, 10), strtoull(word(c, 3), NULL, 10)};
        event.answer = is(c, 4, "won") ? FT_ANSWER_WON : FT_ANSWER_LOST;
        event.decision = &w->decision;
        world_step(w, i, &event);
    } else if (is(c, 0, "heartbeat")) { /* on a data port of i's, from whoever */
        event.kind = FT_EV_PORT_HEARTBEAT;
        event.view = strtoull(word(c, 2), NULL, 10);
        world_step(w, i, &event);
    } else if (is(c, 0, "notice")) { /* the guardian of i's peer has seen it die */
        event.kind = FT_EV_DEATH_NOTICE;
        event.incarnation = w->node[!i].config.incarnation;
        if (c->words > 2)
            event.incarnation = strtoull(word(c, 2), NULL, 10);
        world_note(w, i, "a death notice: incarnation %lu has died", event.incarnation);
        world_step(w, i, &event);
    } else if (is(c, 0, "garble") || is(c, 0, "diverge")) {
        event.kind = is(c, 0, "garble") ? FT_EV_MALFORMED : FT_EV_DIVERGED;
        event.text = is(c, 0, "garble") ? event.text : "replay differs at burst 7";
        world_note(w, i, is(c, 0, "garble") ? "a frame cannot be read" : "its replay has diverged");
        world_step(w, i, &event);
    } else {
        return wrong(w, c, "a command of tests/transcripts/README.md");
    }
    return true;
}

/* ---- a line
 * ------------------------------------------------------------------------------------------------- */

static bool obey_line(struct world *w, const struct command *c)
{
    unsigned who = node_named(word(c, 1));

    if (is(c, 0, "run") || is(c, 0, "trace")) {
        w->verbose = is(c, 0, "trace");
        world_run(w, strtoull(word(c, 1), NULL, 10));
        w->verbose = false;
    } else if (is(c, 0, "settle")) { /* what start-cold.txt shows at length */
        w->muted = true;
        world_start(w, 0);
        world_start(w, 1);
        world_run(w, 20);
        w->muted = false;
        if (w->node[0].core.state != FT_PROTECTED || w->node[1].core.state != FT_READY)
            return wrong(w, c, "a pair that becomes PROTECTED in 20 ms");
    } else if (is(c, 0, "set")) {
        return set(w, c);
    } else if (is(c, 0, "cut") || is(c, 0, "heal")) {
        return cut(w, c, is(c, 0, "cut") ? UINT64_MAX : 0);
    } else if (is(c, 0, "break")) {
        world_break(w);
    } else if (is(c, 0, "alone")) {
        w->manual = true;
    } else if (is(c, 0, "say")) {
        return say(w, c);
    } else if (is(c, 0, "repeat")) {
        return repeat(w, c);
    } else if (who > 2) {
        return wrong(w, c, "a command of tests/transcripts/README.md");
    } else {
        for (unsigned i = 0; i < 2; i++) {
            if (who != i && who != 2)
                continue;
            bool fine = is(c, 0, "hold") || is(c, 0, "go") ? withhold(w, c, i)
                        : is(c, 0, "tell")                 ? tell_core(w, c, i)
                                                           : happens_to(w, c, i);

            if (!fine)
                return false;
        }
    }
    return true;
}

/* Carries out one command of a transcript. False: it cannot be understood; `out` has the reason. */
static bool world_command(struct world *w, const char *text)
{
    struct command c = {.words = 0};
    char *rest;

    snprintf(c.text, sizeof(c.text), "%s", text);
    for (char *at = strtok_r(c.text, " ", &rest); at && c.words < WORDS_MAX; at = strtok_r(NULL, " ", &rest))
        c.word[c.words++] = at;
    return obey_line(w, &c);
}

#define FILES      "tests/transcripts/*.txt"
#define LINE_BYTES 256u
#define FILES_MAX  200u

/* A file being run: what it is (in), what it should be (all of it again, with what was printed now). */
struct transcript {
    struct world world;
    FILE *file, *printed;
    char *now, *wanted, *whole; /* of this step; of the file */
    size_t now_size, whole_size;
    FILE *rewritten;
    unsigned line, differ;
    const char *path;
};

static bool read_line(struct transcript *t, char line[LINE_BYTES])
{
    if (!fgets(line, LINE_BYTES, t->file))
        return false;
    t->line++;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* The line after this one. */
static const char *next_line(const char *text)
{
    size_t n = strcspn(text, "\n");

    return text + n + (text[n] == '\n');
}

static void print_lines(const char *text, const char *sign)
{
    for (; *text; text = next_line(text))
        print_message("#   %s %.*s\n", sign, (int)strcspn(text, "\n"), text);
}

/* What was expected and what came, from the first line on that differs. `line`: the step's first, in the
 * file. */
static void print_difference(const struct transcript *t, const char *wanted, unsigned line)
{
    const char *now = t->now;

    for (; *wanted && *now; line++) {
        size_t n = (size_t)(next_line(wanted) - wanted);

        if (strncmp(wanted, now, n) != 0)
            break;
        wanted += n;
        now += n;
    }
    print_message("# %s:%u differs. Expected from there:\n", t->path, line);
    print_lines(wanted, "-");
    print_message("# and it is:\n");
    print_lines(now, "+");
}

/* Behind `----`: the expected text, up to an empty line. What was printed goes into the rewritten file. */
static void end_step(struct transcript *t)
{
    char line[LINE_BYTES], *wanted = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&wanted, &size);
    unsigned begins = t->line + 1;

    while (read_line(t, line) && line[0])
        fprintf(out, "%s\n", line);
    fclose(out);
    fflush(t->printed);
    fprintf(t->rewritten, "%s\n", t->now);
    if (strcmp(wanted, t->now) != 0 && t->differ++ == 0 && !getenv("TRANSCRIPTS"))
        print_difference(t, wanted, begins);
    free(wanted);
    fclose(t->printed);
    free(t->now);
    t->world.out = t->printed = open_memstream(&t->now, &t->now_size);
}

static void run_lines(struct transcript *t)
{
    char line[LINE_BYTES];

    while (read_line(t, line)) {
        if (strcmp(line, "----") != 0) {
            fprintf(t->rewritten, "%s\n", line);
            if (line[0] && line[0] != '#' && !world_command(&t->world, line)) {
                fflush(t->printed);
                fail_msg("%s:%u: %s", t->path, t->line, t->now);
            }
            continue;
        }
        fprintf(t->rewritten, "----\n");
        end_step(t);
    }
}

static void store(const struct transcript *t)
{
    FILE *f = fopen(t->path, "w");
    size_t n = t->whole_size;

    assert_non_null(f);
    while (n > 1 && t->whole[n - 1] == '\n' && t->whole[n - 2] == '\n')
        n--;
    fwrite(t->whole, 1, n, f);
    assert_int_equal(fclose(f), 0);
}

static void transcript_is_as_written(void **state)
{
    static struct transcript t;
    const char *rewrite = getenv("TRANSCRIPTS");

    memset(&t, 0, sizeof(t));
    t.path = *state;
    t.file = fopen(t.path, "r");
    assert_non_null(t.file);
    t.printed = open_memstream(&t.now, &t.now_size);
    t.rewritten = open_memstream(&t.whole, &t.whole_size);
    world_begin(&t.world, t.printed);
    run_lines(&t);
    fflush(t.printed);
    if (t.now_size)
        fail_msg("%s: what its last commands print is not expected by any ----: %s", t.path, t.now);
    fclose(t.file);
    fclose(t.printed);
    fclose(t.rewritten);
    if (rewrite && strcmp(rewrite, "rewrite") == 0)
        store(&t);
    else if (t.differ)
        fail_msg("%s: %u steps print something else", t.path, t.differ);
    free(t.now);
    free(t.whole);
}

/* The first line of a file that is a comment says what it shows. */
static const char *name_of(const char *path)
{
    static char name[FILES_MAX][LINE_BYTES];
    static unsigned count;
    char line[LINE_BYTES] = "", *to = name[count++];
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f) && (line[0] != '#' || strstr(line, "SPDX")))
        ;
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = '\0';
    snprintf(to, LINE_BYTES, "%.40s: %.200s", strrchr(path, '/') + 1, line[0] ? line + 2 : "");
    return to;
}

int main(void)
{
    glob_t files;
    int failed;

    if (glob(FILES, 0, NULL, &files) != 0) {
        printf("Bail out! %s: no transcripts here\n", FILES);
        return 1;
    }
    for (unsigned n = 0; n < files.gl_pathc && n < FILES_MAX; n++)
        help_test(n, &(struct CMUnitTest){.name = name_of(files.gl_pathv[n]),
                                          .test_func = transcript_is_as_written,
                                          .initial_state = files.gl_pathv[n]});
    failed = help_tests_run();
    globfree(&files);
    return failed;
}
