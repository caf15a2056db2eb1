/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who did what; see commands.h. A user's name is looked up in a table of this process: the system's own
 * look-up may ask a disk or another server, and the main thread waits for neither. Users that are not in
 * /etc/passwd have their number.
 */
#define _GNU_SOURCE /* fgetpwent */
#include "understudy/control/commands.h"
#include "ftcore/base/event_log.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define USERS 512u /* of more the last ones have their numbers */

static struct user {
    uid_t uid;
    char name[ND_BY_MAX];
} users[USERS];
static unsigned known;

void nd_users_read(void)
{
    FILE *f = fopen("/etc/passwd", "re");
    const struct passwd *p;

    if (!f)
        return;
    known = 0;
    while (known < USERS && (p = fgetpwent(f))) {
        users[known].uid = p->pw_uid;
        snprintf(users[known++].name, ND_BY_MAX, "%s", p->pw_name);
    }
    fclose(f);
}

const char *nd_client_name(const struct nd_client *client, char out[ND_BY_MAX])
{
    memset(out, 0, ND_BY_MAX);
    if (!client->pid)
        return out;
    snprintf(out, ND_BY_MAX, "uid %u", (unsigned)client->user);
    for (unsigned i = 0; i < known; i++)
        if (users[i].uid == client->user) {
            memcpy(out, users[i].name, ND_BY_MAX);
            break;
        }
    return out;
}

struct text {
    char out[FT_EVENT_VALUE];
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->out + t->len, sizeof(t->out) - t->len, fmt, ap);
    va_end(ap);
    t->len += n > 0 ? (size_t)n : 0;
    if (t->len >= sizeof(t->out))
        t->len = sizeof(t->out) - 1;
}

/* As it is written on a command line. */
static void describe(struct text *t, const struct nd_exchange *x)
{
    static const struct {
        const char *key, *before;
    } words[] = {{"nf", " "},
                 {"node", " "},
                 {"kind", " "},
                 {"set", " "},
                 {"key", " "},
                 {"value", "="},
                 {"dry_run", " --dry-run"},
                 {"diff", " --diff"},
                 {"confirm", " --confirm "},
                 {"view", " --view "},
                 {"lost", " --lost "}};

    add(t, "%s", nd_commands[x->command].name);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const json_t *word = json_object_get(x->request, words[i].key);

        if (json_is_integer(word))
            add(t, "%s%" JSON_INTEGER_FORMAT, words[i].before, json_integer_value(word));
        else if (json_is_string(word) || json_is_true(word))
            add(t, "%s%s", words[i].before, json_is_true(word) ? "" : json_string_value(word));
    }
}

void nd_command_say(const struct nd_exchange *x)
{
    const json_t *error = json_object_get(x->answer, "error");
    const char *why = json_string_value(json_object_get(error, "text"));
    const char *outcome = !error ? "done" : why ? why : "refused";
    struct text command = {.len = 0};
    char by[ND_BY_MAX];

    nd_client_name(&x->client, by);
    describe(&command, x);
    ft_log_fields(error ? FT_LEVEL_INFO : FT_LEVEL_NOTICE, FT_SAYS_COMMAND,
                  (struct ft_log_field[]){{"user", .text = by},
                                          {"pid", .number = (uint64_t)x->client.pid},
                                          {"command", .text = command.out},
                                          {"outcome", .text = outcome},
                                          {0}},
                  "%s: %s: %s", by[0] ? by : "the node itself", command.out, outcome);
}
