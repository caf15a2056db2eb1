/* SPDX-License-Identifier: Apache-2.0 */
/* See drill.h. */
#include "tests/help/drill.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct drill_node drill_node;
struct nd_config drill_config;
struct nd_drill drill_under_test = {.config = &drill_config};
struct nd_drill_run drill_run;
static pthread_t thread;

static const char *answer_to(const char *request)
{
    const char *line;

    if (!drill_node.verdicts || !strstr(request, "verify"))
        return drill_node.line;
    drill_node.asked++;
    line = *drill_node.verdicts;
    if (drill_node.verdicts[1])
        drill_node.verdicts++;
    return line;
}

static void *serve(void *arg)
{
    char request[256];
    const char *line;
    ssize_t n;
    size_t used;
    int fd;

    while ((fd = accept(drill_node.fd, NULL, NULL)) >= 0) {
        used = 0;
        do {
            n = read(fd, request + used, sizeof(request) - 1 - used);
            used += n > 0 ? (size_t)n : 0;
        } while (n > 0 && request[used - 1] != '\n');
        request[used] = '\0';
        if (n > 0) {
            line = answer_to(request);
            (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
        }
        close(fd);
    }
    return arg;
}

int drill_node_start(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(drill_node.path, sizeof(drill_node.path), "/tmp/drill.%d", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", drill_node.path);
    unlink(drill_node.path);
    drill_node.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(drill_config.file, sizeof(drill_config.file), "pair.yaml");
    snprintf(drill_config.node[0].name, sizeof(drill_config.node[0].name), "a");
    snprintf(drill_config.node[0].control, sizeof(drill_config.node[0].control), "%s", drill_node.path);
    snprintf(drill_config.node[1].name, sizeof(drill_config.node[1].name), "b");
    snprintf(drill_config.node[1].control, sizeof(drill_config.node[1].control), "%s.none", drill_node.path);
    return bind(drill_node.fd, (struct sockaddr *)&at, sizeof(at)) || listen(drill_node.fd, 8) ||
           pthread_create(&thread, NULL, serve, NULL);
}

int drill_node_stop(void **state)
{
    (void)state;
    shutdown(drill_node.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(drill_node.fd);
    return unlink(drill_node.path);
}

void drill_begin(const char *line)
{
    drill_node.line = line;
    drill_node.verdicts = NULL;
    drill_node.asked = 0;
    memset(&drill_run, 0, sizeof(drill_run));
    snprintf(drill_run.victim, sizeof(drill_run.victim), "a");
    snprintf(drill_run.survivor, sizeof(drill_run.survivor), "b");
    drill_run.view_before = 3;
    drill_run.decided_ns = 5000000000ull;
}
