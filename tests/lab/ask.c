/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One field of what a node says, as `jq -r .PATH` prints it: link.ways[0].state.
 *
 *   ask PATH                        of the JSON text on stdin
 *   ask SOCKET PATH                 of the answer to `status` at a control socket
 *   ask SOCKET PATH SECONDS VALUE   waits until the field has the value, 20 looks a second
 *
 * Prints what the field was at the last look, and fails if nobody answered or the value did not come. Labs
 * ask all the time, and the product's own command takes 14 times as long to start as this one: a lab that
 * waited with it would keep a processor busy.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static json_t *answer_of(const char *path)
{
    static const char question[] = "{\"cmd\":\"status\"}\n";
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const struct timeval most = {.tv_sec = 2}; /* as the command waits */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FILE *in;
    json_t *answer = NULL;

    if (fd < 0 || strlen(path) >= sizeof(to.sun_path))
        return NULL;
    strcpy(to.sun_path, path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    in = fdopen(fd, "r");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(question) - 1)
        answer = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
    fclose(in);
    return answer;
}

static json_t *follow(json_t *at, const char *path)
{
    char *steps = strdup(path);

    for (char *save, *step = strtok_r(steps, ".[", &save); at && step; step = strtok_r(NULL, ".[", &save)) {
        char *end = strchr(step, ']');

        if (end)
            *end = '\0';
        at = end ? json_array_get(at, (size_t)strtoul(step, NULL, 10)) : json_object_get(at, step);
    }
    free(steps);
    return at;
}

/* To be freed; "" where there is no answer. */
static char *text_of(const json_t *all, const json_t *field)
{
    char *text = NULL;

    if (!all)
        return strdup("");
    if (json_is_string(field))
        return strdup(json_string_value(field));
    if (json_is_real(field)) {
        if (asprintf(&text, "%.15g", json_real_value(field)) < 0)
            abort();
        return text;
    }
    text = json_dumps(field, JSON_ENCODE_ANY | JSON_COMPACT);
    return text ? text : strdup("null");
}

int main(int argc, char **argv)
{
    int looks = argc == 5 ? 20 * atoi(argv[3]) : 0;

    if (argc != 2 && argc != 3 && argc != 5)
        return 64;
    for (;; usleep(50000)) {
        json_t *all = argc == 2 ? json_loadf(stdin, 0, NULL) : answer_of(argv[1]);
        char *text = text_of(all, follow(all, argv[argc == 2 ? 1 : 2]));
        bool has = argc == 5 ? strcmp(text, argv[4]) == 0 : all != NULL;

        if (has || looks-- <= 0) {
            puts(text);
            return !has;
        }
        free(text);
        json_decref(all);
    }
}
