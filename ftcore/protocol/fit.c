/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core: does the peer's hello fit ours, and if not, what differs and what to do. See core.c.
 */
#include "ftcore/protocol/parts.h"

#include <stdio.h>
#include <string.h>

#define DIFFERENCE_MAX 128u /* bytes of what differs, in a reason */

/* The word of a text that differs from the other text's, and its line. Not terminated. */
struct word {
    const char *line, *at;
    int head, key, len; /* of the line what names its subject; of the word its "key=" or 0; all of the word */
};

static bool ends_word(char c)
{
    return c == ' ' || c == '\n' || c == '\0';
}

/* `after`: the words before are alike, this one is one text's alone. */
static struct word word_at(const char *text, uint32_t at, bool after)
{
    struct word w = {.line = text + at, .at = text + at + (after && text[at] == ' ')};

    while (w.line > text && w.line[-1] != '\n')
        w.line--;
    while (!after && w.at > w.line && w.at[-1] != ' ')
        w.at--;
    w.len = (int)strcspn(w.at, " \n");
    const char *equals = memchr(w.at, '=', (size_t)w.len);

    w.key = equals ? (int)(equals - w.at) + 1 : 0;
    w.head = (int)(w.at - w.line);
    /* "nf 1: nat" in a line of settings, "port 0:" in others. */
    const char *first = memchr(w.line, equals ? '=' : ':', (size_t)w.head);

    while (first && equals && first > w.line && *first != ' ')
        first--;
    if (first)
        w.head = (int)(first - w.line) + !equals;
    while (w.head && w.line[w.head - 1] == ' ')
        w.head--;
    return w;
}

/* The value from `from` on: what stands before is the same on both nodes. */
static void show_value(char *out, size_t cap, const struct word *w, int from)
{
    int most = (int)cap - (from ? 3 : 1), len = w->len > from ? w->len - from : 0;

    if (w->len == 0)
        snprintf(out, cap, "nothing");
    else
        snprintf(out, cap, "%s%.*s", from ? ".." : "", len < most ? len : most, w->at + w->len - len);
}

static void skip_key(struct word *w)
{
    if (w->len) {
        w->at += w->key;
        w->len -= w->key;
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strcspn(line, "\n");

    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (strcspn(text, "\n") == len && memcmp(text, line, len) == 0)
            return true;
    return false;
}

/* Of two lines whose first words differ, one may be a text's alone, and the other one follow it. */
static void find_extra_line(const char *ours, struct word *a, const char *theirs, struct word *b)
{
    struct word *extra = a, *none = b;

    if (!a->len || !b->len || a->at != a->line || b->at != b->line)
        return;
    if (has_line(theirs, a->line)) {
        extra = b;
        none = a;
    } else if (!has_line(ours, b->line)) {
        return;
    }
    none->len = 0;
    if (extra->key && !memchr(extra->line, ' ', strcspn(extra->line, "\n")))
        none->key = extra->key; /* "arbiter=KEY": a setting that one of them does not have */
}

/* The first setting in which two texts differ, and its two values: for a refusal by name. */
static int first_difference(const char *name, const char *ours, const char *peer, const char *theirs,
                            bool *version, char *out, size_t cap)
{
    char value[2][64];
    uint32_t at = 0;

    while (ours[at] && ours[at] == theirs[at])
        at++;
    bool after = ends_word(ours[at]) && ends_word(theirs[at]) && at && ours[at - 1] != '\n';
    struct word a = word_at(ours, at, after), b = word_at(theirs, at, after);

    find_extra_line(ours, &a, theirs, &b);
    const struct word *longer = a.len ? &a : &b;
    bool one = !a.len != !b.len; /* then its key, if any, is that of both */
    bool keyed = a.key && a.key == b.key && (one || memcmp(a.at, b.at, (size_t)a.key) == 0);
    *version = keyed && a.key == sizeof("version") && memcmp(a.at, "version", sizeof("version") - 1) == 0;
    int head = longer->head < 20 ? longer->head : 20, key = keyed ? a.key - 1 < 20 ? a.key - 1 : 20 : 0;
    int room = (int)cap - 1 - head - key - (int)(strlen(name) + strlen(peer) + sizeof(" :  ,  "));
    size_t each = (size_t)room / 2; /* 8 to 58: names are FT_NAME_MAX at most, `cap` is DIFFERENCE_MAX */

    if (!keyed && !a.len && a.at == a.line) /* the whole line is one text's alone */
        b.len = (int)strcspn(b.at, "\n");
    if (!keyed && !b.len && b.at == b.line)
        a.len = (int)strcspn(a.at, "\n");
    const char *name_of_key = longer->at;

    if (keyed) {
        skip_key(&a);
        skip_key(&b);
    }
    int same = (int)(ours + at - a.at), back = (int)each / 3, from = 0;

    if ((a.len > (int)each || b.len > (int)each) && same > back)
        from = same - back;
    show_value(value[0], each + 1, &a, from);
    show_value(value[1], each + 1, &b, from);
    bool colon = !key && (head == 0 || longer->line[head - 1] == ':');

    return snprintf(out, cap, "%.*s%s%.*s%s%s%s %s, %s %s", head, longer->line, key && head ? " " : "", key,
                    keyed ? name_of_key : "", colon ? "" : ":", head || key ? " " : "", name, value[0], peer,
                    value[1]);
}

/*
 * Two chains that differ, and what to do. Where it is the version of an NF, or of the library of all, no file
 * is wrong: two programs would keep the state of it in other forms, or make other state of one packet.
 */
static int refuse_identity(const char *name, const char *ours, const char *peer, const char *theirs,
                           char *out, size_t cap)
{
    bool version;
    int n = first_difference(name, ours, peer, theirs, &version, out, DIFFERENCE_MAX);

    return n + snprintf(out + n, cap - (size_t)n,
                        version
                            ? "; one program on both: its state does not pass to another version"
                            : "; change the file of the node that is not primary, and restart it, or push");
}

static void name_formats(char out[16], unsigned newest, unsigned oldest)
{
    snprintf(out, 16, oldest < newest ? "%u to %u" : "%u", oldest, newest);
}

/* `ms`: two times of ours, two of the peer's. */
static int refuse_times(const char *what, const char *const name[2], bool turned, const uint32_t ms[4],
                        char *text, size_t cap)
{
    const uint32_t *first = ms + 2 * turned, *second = ms + 2 * !turned;

    return snprintf(text, cap, "%s: %s %u and %u, %s %u and %u", what, name[0], first[0], first[1], name[1],
                    second[0], second[1]);
}

/* A program speaks its own version and the one before. */
static int refuse_formats(const struct ft_core *core, const struct ft_message *m, const char *const name[2],
                          bool turned, char *text, size_t cap)
{
    const struct ft_core_config *c = &core->config;
    bool older = m->newest < c->oldest;
    char formats[2][16];
    char program[2][32];

    name_formats(formats[turned], c->newest, c->oldest);
    name_formats(formats[!turned], m->newest, m->oldest);
    snprintf(program[turned], sizeof(program[0]), "%.31s", c->program);
    snprintf(program[!turned], sizeof(program[0]), "%.31s", m->program);
    return snprintf(text, cap,
                    "formats: %s (understudy %s) speaks %s, %s (understudy %s) %s; upgrade %s, one release "
                    "after the other",
                    name[0], program[0], formats[0], name[1], program[1], formats[1], name[older != turned]);
}

static int refuse_chain(const struct ft_core_config *c, const struct ft_message *m, const char *const name[2],
                        bool turned, char *text, size_t cap)
{
    uint32_t len = m->bulk_len < FT_IDENTITY_MAX ? m->bulk_len : FT_IDENTITY_MAX;
    uint32_t own = c->identity_len < FT_IDENTITY_MAX ? c->identity_len : FT_IDENTITY_MAX;
    char identity[2][FT_IDENTITY_MAX + 1];

    memcpy(identity[turned], c->identity, own);
    identity[turned][own] = '\0';
    memcpy(identity[!turned], m->bulk, len);
    identity[!turned][len] = '\0';
    return refuse_identity(name[0], identity[0], name[1], identity[1], text, cap);
}

/*
 * Each of the two says why, and hears why of the other: the node whose name comes first is named first on
 * both, so that it is one reason and not two that take turns in the log.
 */
int ft_fit_hello(const struct ft_core *core, const struct ft_message *m, char *text, size_t cap)
{
    const struct ft_core_config *c = &core->config;
    char peer[FT_NAME_MAX];
    const char *name[2];
    bool turned;

    snprintf(peer, sizeof(peer), "%.*s", (int)sizeof(peer) - 1, m->name);
    turned = strcmp(peer, c->name) < 0;
    name[turned] = c->name;
    name[!turned] = peer;
    if (!core->peer.agreed)
        return refuse_formats(core, m, name, turned, text, cap);
    if (m->lanes != c->lanes)
        return snprintf(text, cap, "lanes: %s %u, %s %u", name[0], turned ? m->lanes : c->lanes, name[1],
                        turned ? c->lanes : m->lanes);
    if (strncmp(m->name, c->name, FT_NAME_MAX) == 0)
        return snprintf(text, cap, "both nodes are called '%s'", c->name);
    if (m->strict != c->strict)
        return snprintf(text, cap, "strict: %s %s, %s %s", name[0], c->strict != turned ? "true" : "false",
                        name[1], c->strict != turned ? "false" : "true");
    if (m->warm != c->warm)
        return snprintf(text, cap, "standby: %s %s, %s %s", name[0], c->warm != turned ? "warm" : "hot",
                        name[1], c->warm != turned ? "hot" : "warm");
    if (c->lease_ms >= m->detect_ms || m->lease_ms >= c->detect_ms)
        return refuse_times("lease_ms must be below the other's detect_ms", name, turned,
                            (const uint32_t[]){c->lease_ms, c->detect_ms, m->lease_ms, m->detect_ms}, text,
                            cap);
    if (c->promote_within_ms >= m->solo_after_ms || m->promote_within_ms >= c->solo_after_ms)
        return refuse_times("promote_within_ms must be below the other's solo_after_ms", name, turned,
                            (const uint32_t[]){c->promote_within_ms, c->solo_after_ms, m->promote_within_ms,
                                               m->solo_after_ms},
                            text, cap);
    if (m->bulk_len != c->identity_len || (m->bulk_len && memcmp(m->bulk, c->identity, c->identity_len) != 0))
        return refuse_chain(c, m, name, turned, text, cap);
    return 0;
}
