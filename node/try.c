/* SPDX-License-Identifier: Apache-2.0 */
/* Opens what a file names for one node, and closes it again; see try.h. */
#define _GNU_SOURCE /* faccessat's AT_EACCESS */
#include "node/try.h"
#include "node/arbiter/etcd.h"
#include "node/base/privilege.h"
#include "node/control/server.h"
#include "node/ports/ports.h"
#include "node/running.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 4, 5))) static void note(struct nd_tries *out, const char *what, int error,
                                                       const char *format, ...)
{
    struct nd_try *t = &out->of[out->count++];
    va_list args;

    t->what = what;
    t->error = error;
    va_start(args, format);
    vsnprintf(t->which, sizeof(t->which), format, args);
    va_end(args);
}

/* Where note() will have it. */
static struct ft_fault *next_fault(struct nd_tries *out)
{
    return &out->of[out->count].fault;
}

/* That a node could write there: to the directory, or to the nearest above it that is there. */
static int try_directory(const char *path, bool *there, struct ft_fault *fault)
{
    char at[256];
    struct stat is;

    snprintf(at, sizeof(at), "%s", path[0] ? path : ".");
    *there = stat(at, &is) == 0;
    while (stat(at, &is) != 0) {
        char *slash = strrchr(at, '/');

        if (errno != ENOENT && errno != ENOTDIR)
            return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_EIO, "%s: %s", at, strerror(errno));
        if (slash)
            slash[slash == at] = '\0';
        else
            strcpy(at, ".");
    }
    if (!S_ISDIR(is.st_mode))
        return ft_fail(fault, FT_EINVAL, "%s: a file, expected a directory", at);
    if (faccessat(AT_FDCWD, at, W_OK | X_OK, AT_EACCESS) != 0)
        return ft_fail(fault, FT_EPERM, "%s: %s", at, strerror(errno));
    return 0;
}

static void try_state(const struct nd_node *self, struct nd_tries *out)
{
    bool there;

    int error = try_directory(self->state, &there, next_fault(out));

    note(out, "state", error, "%s", self->state);
}

/* False: the node runs. */
static bool try_control(const struct nd_node *self, struct nd_tries *out)
{
    const char *slash = strrchr(self->control, '/');
    struct nd_server *server = NULL;
    char dir[sizeof(self->control)] = ".";
    bool there;
    int error;

    if (slash)
        snprintf(dir, sizeof(dir), "%.*s", slash == self->control ? 1 : (int)(slash - self->control),
                 self->control);
    error = try_directory(dir, &there, next_fault(out));
    if (!error && there)
        error = nd_server_open(&server, self->control, next_fault(out));
    nd_server_close(server);
    note(out, "control socket", error, "%s", self->control);
    return error != FT_EBUSY;
}

static int bind_one(int type, const char *host, uint16_t port, struct ft_fault *fault)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1, why;

    inet_pton(AF_INET, host, &at.sin_addr);
    if (fd >= 0 && (type != SOCK_STREAM || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
        (type != SOCK_STREAM || listen(fd, 1) == 0)) {
        close(fd);
        return 0;
    }
    why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EADDRNOTAVAIL)
        return ft_fail(fault, FT_ENOENT, "%s:%u: expected an address of this host", host, port);
    return ft_fail(fault,
                   why == EADDRINUSE               ? FT_EBUSY
                   : why == EACCES || why == EPERM ? FT_EPERM
                                                   : FT_EIO,
                   "%s:%u: %s: %s", host, port, type == SOCK_STREAM ? "TCP" : "UDP", strerror(why));
}

static void try_addresses(const struct nd_config *config, const struct nd_node *self, struct nd_tries *out)
{
    int error;

    if (config->protect.pair) {
        error = bind_one(SOCK_STREAM, self->host, self->tcp_port, next_fault(out));
        if (!error)
            error = bind_one(SOCK_DGRAM, self->host, self->tcp_port, next_fault(out));
        note(out, "replication", error, "%s:%u", self->host, self->tcp_port);
    }
    if (self->metrics_port) {
        error = bind_one(SOCK_STREAM, self->metrics_host, self->metrics_port, next_fault(out));
        note(out, "metrics", error, "%s:%u", self->metrics_host, self->metrics_port);
    }
}

static void try_arbiter(const struct nd_config *config, struct nd_tries *out)
{
    struct ft_decision kept;
    struct nd_etcd *etcd = NULL;
    int error;

    if (!config->arbiter.urls || !config->protect.pair)
        return;
    error = nd_etcd_open(&etcd, &config->arbiter, NULL, NULL, next_fault(out));
    if (!error)
        error = nd_etcd_decide(etcd, NULL, "", &kept, next_fault(out));
    nd_etcd_close(etcd);
    note(out, "arbiter", error, "%s", config->arbiter.url[0]);
}

static void try_ports(const struct nd_config *config, unsigned node, struct nd_tries *out)
{
    static struct nd_ports ports; /* its drivers' threads may look at it until the process ends */
    int error = nd_ports_open(&ports, config, node, next_fault(out));

    note(out, "ports", error, "%u", ports.io.ports);
    if (!error)
        nd_ports_close(&ports);
}

void nd_try_node(const struct nd_config *config, unsigned node, struct nd_tries *out)
{
    const struct nd_node *self = &config->node[node];
    const struct nd_privilege privilege = {.user = self->user,
                                           .physical = nd_ports_physical(self),
                                           .xdp = nd_ports_xdp(self),
                                           .core = self->core};
    int error;

    out->count = 0;
    if ((error = nd_privilege_drop_inherited(next_fault(out))) ||
        (error = nd_privilege_check_files(next_fault(out))) ||
        (error = nd_privilege_limit(&privilege, next_fault(out)))) {
        note(out, "user", error, "%s", self->user);
        return;
    }
    if (!try_control(self, out))
        return;
    if (config->link.key[0] || config->link.certificate[0]) {
        error = nd_running_try_seal(config, node, next_fault(out));
        note(out, "link", error, "%s", config->link.key[0] ? config->link.key : config->link.certificate);
    }
    try_state(self, out);
    try_addresses(config, self, out);
    try_arbiter(config, out);
    try_ports(config, node, out);
}
