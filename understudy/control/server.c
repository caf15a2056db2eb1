/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listens at the two control sockets, and decides who has a place. Capacity: ND_PLACES connections of each
 * socket. When all are taken, a new client takes the place of the connection that has been without a request
 * for the longest. A client of root or of the node's own user loses its place to no other user, and takes
 * that of any other user's whose request is not at work. A client that finds no place is refused in one line.
 *
 * The socket that looks has a turn every LOOK_NS, so whatever its clients do, they cost the node one answer
 * of each place, and one page of show, in that time.
 *
 * A client sends a request, the node works on it, the client takes the answer, and so on; nothing here waits.
 * Trickled bytes do not move a deadline: it is set when the connection begins, when an answer has been
 * written, and when an answer is there to be written.
 */
#define _GNU_SOURCE
#include "understudy/control/server.h"
#include "ftcore/base/clock.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG        64
#define ACCEPTS_A_TURN 8         /* taken in a turn: nobody loses a place before its request was looked for */
#define WORK_NS        200000l   /* between two steps of a request at work */
#define LOOK_NS        20000000l /* between two turns of the socket that looks */

_Static_assert(ACCEPTS_A_TURN < ND_PLACES, "who comes in one turn does not push out who came in the same");

const struct nd_command_row nd_commands[ND_COMMANDS] = {
    [ND_CMD_STATUS] = {"status", ND_LOOKS},
    [ND_CMD_WATCH] = {"watch", ND_LOOKS},
    [ND_CMD_SHOW] = {"show", ND_LOOKS},
    [ND_CMD_HISTORY] = {"history", ND_LOOKS},
    [ND_CMD_VERIFY] = {"verify", ND_OPERATES}, /* all lanes stand while the digest is computed */
    [ND_CMD_DRAIN] = {"drain", ND_OPERATES},
    [ND_CMD_FAILBACK] = {"failback", ND_OPERATES},
    [ND_CMD_PIN] = {"pin", ND_OPERATES},
    [ND_CMD_HOLD] = {"hold", ND_OPERATES},
    [ND_CMD_UNPIN] = {"unpin", ND_OPERATES},
    [ND_CMD_DRILL] = {"drill", ND_OPERATES}, /* of a node whose file permits drills */
    [ND_CMD_SET] = {"set", ND_ACTS},
    [ND_CMD_CLEAR] = {"clear", ND_ACTS},
    [ND_CMD_PROMOTE] = {"promote", ND_ACTS}, /* it may begin with an empty state */
    [ND_CMD_RESYNC] = {"resync", ND_ACTS},   /* the standby forgets its own */
    [ND_CMD_REPAIR] = {"re-pair", ND_ACTS},
    [ND_CMD_APPLY] = {"apply", ND_ACTS},
    [ND_CMD_ROLLBACK] = {"rollback", ND_ACTS},
    [ND_CMD_CONFIRM] = {"confirm", ND_ACTS},
    [ND_CMD_PUSH] = {"push", ND_ACTS},
    [ND_CMD_TRACE] = {"trace", ND_ACTS}, /* it shows packets, which not everybody may see */
};

/* The command of this name, or -1. */
static int find_command(const char *name)
{
    for (int i = 0; i < ND_COMMANDS; i++)
        if (strcmp(name, nd_commands[i].name) == 0)
            return i;
    return -1;
}

bool nd_socket_path(char out[ND_SOCKET_PATH], const char *control, enum nd_may role)
{
    static const char *const suffixes[ND_ROLES] = {".look", ".operate", ""};

    return snprintf(out, ND_SOCKET_PATH, "%s%s", control, suffixes[role]) < ND_SOCKET_PATH;
}

json_t *nd_refuse(const char *code, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    json_t *o;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    o = json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
    if (o)
        return o;
    for (char *c = text; *c; c++) /* what was quoted has been cut inside a character: that is no JSON */
        if (*c & 0x80)
            *c = '?';
    return json_pack("{s:{s:s,s:s}}", "error", "code", code, "text", text);
}

/* ---- connections --------------------------------------------------------------------------------- */

enum stage {
    LISTENS, /* to its client */
    WORKS,   /* on the request */
    WRITES,  /* the answer */
};

struct connection {
    int fd; /* -1: the place is free */
    struct nd_client client;
    bool owner; /* it is root, or the user of this node */
    bool ended; /* the client sends no more */
    enum stage stage;
    uint64_t deadline; /* ns: until then the request is whole (LISTENS), the answer is taken (WRITES) */
    const struct listener *of;
    struct nd_exchange exchange;
    json_t *request; /* owned */
    size_t len;      /* bytes in `in` */
    char *out;       /* the answer, owned */
    size_t size, sent;
    char in[ND_REQUEST_MAX];
};

struct listener {
    int fd; /* -1: it is not there */
    struct sockaddr_un address;
    enum nd_may role;
    const char *acts_at; /* the path of the socket that acts */
    uint64_t next;       /* ND_LOOKS: when its next turn is, ns */
    unsigned first;      /* place that is served first in this turn: each in its turn */
    struct connection places[ND_PLACES];
};

struct nd_server {
    struct listener listeners[ND_ROLES];
};

/* Takes over `fd`, which does not block. */
static void open_connection(struct connection *c, int fd, const struct nd_client *client, bool owner,
                            const struct listener *of, uint64_t now)
{
    *c = (struct connection){.fd = fd,
                             .client = *client,
                             .owner = owner,
                             .of = of,
                             .stage = LISTENS,
                             .deadline = now + ND_CLIENT_NS};
}

static void close_connection(struct connection *c)
{
    close(c->fd);
    free(c->out);
    json_decref(c->request);
    *c = (struct connection){.fd = -1};
}

/* Another whole request is there already. */
static bool is_ready(const struct connection *c)
{
    return c->stage == LISTENS && memchr(c->in, '\n', c->len);
}

/* ---- the request ------------------------------------------------------------------------------- */

/* False: the connection is broken. */
static bool take_bytes(struct connection *c)
{
    ssize_t n;

    if (c->ended || c->len == sizeof(c->in))
        return true;
    n = recv(c->fd, c->in + c->len, sizeof(c->in) - c->len, 0);
    if (n > 0)
        c->len += (size_t)n;
    else if (n == 0)
        c->ended = true;
    else
        return errno == EAGAIN || errno == EINTR;
    return true;
}

/* What is refused before anybody works on it; NULL: nothing. */
static json_t *find_refusal(const struct connection *c, const char *name, int command)
{
    if (!json_is_object(c->request))
        return nd_refuse("malformed", "the request is no JSON object%s", c->request ? "" : " on one line");
    if (!name)
        return nd_refuse("invalid", "the request names no cmd");
    if (command < 0)
        return nd_refuse("not found", "unknown cmd '%.40s'", name);
    if (nd_commands[command].role > c->of->role)
        return nd_refuse("no permission", "%s acts: this socket only %s, %s acts", name,
                         c->of->role == ND_LOOKS ? "answers questions" : "operates", c->of->acts_at);
    return NULL;
}

char *nd_answer_text(json_t *answer, size_t *len)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

    *len = text ? strlen(text) : 0;
    json_decref(answer);
    if (*len < ND_ANSWER_MAX)
        return text;
    free(text);
    return nd_answer_text(
        nd_refuse("too large", "an answer of %zu bytes, expected less than %u", *len, ND_ANSWER_MAX), len);
}

void nd_answer_printable(char *json, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        char next = i + 1 < len ? json[i + 1] : '\0';

        n = json[i] != '\\' ? 1 : next == 'u' ? 6 : 2;
        if (n > len - i)
            n = len - i;
        if (n == 1 ? (uint8_t)json[i] >= 0x7f : next != '"' && next != '\\' && next != '/')
            memset(json + i, '?', n);
    }
}

/* The answer becomes text. False: there is no answer, or no memory. */
static bool begin_writing(struct connection *c, json_t *answer, uint64_t now)
{
    size_t len;
    char *text = nd_answer_text(answer, &len);

    json_decref(c->request);
    c->request = NULL;
    c->out = text;
    if (!text)
        return false;
    text[len] = '\n'; /* in the place of the text's end */
    c->size = len + 1;
    c->sent = 0;
    c->stage = WRITES;
    c->deadline = now + ND_CLIENT_NS;
    return true;
}

static bool take_request(struct connection *c, uint64_t now)
{
    size_t line;
    const char *name, *end;
    json_t *refusal;
    int command;

    if (!is_ready(c) && !take_bytes(c))
        return false;
    end = memchr(c->in, '\n', c->len);
    if (!end)
        return !c->ended && c->len < sizeof(c->in) && now < c->deadline;
    line = (size_t)(end - c->in);
    c->request = json_loadb(c->in, line, JSON_REJECT_DUPLICATES, &(json_error_t){0});
    memmove(c->in, end + 1, c->len - line - 1);
    c->len -= line + 1;
    name = json_string_value(json_object_get(c->request, "cmd"));
    command = name ? find_command(name) : -1;
    refusal = find_refusal(c, name, command);
    if (refusal)
        return begin_writing(c, refusal, now);
    c->exchange = (struct nd_exchange){.request = c->request,
                                       .command = (enum nd_command)command,
                                       .client = c->client,
                                       .looks = c->of->role == ND_LOOKS};
    c->stage = WORKS;
    return true;
}

/* ---- the answer -------------------------------------------------------------------------------- */

static bool has_gone(const struct connection *c)
{
    struct pollfd p = {.fd = c->fd};

    return poll(&p, 1, 0) > 0;
}

static bool step_answer(struct connection *c, uint64_t now, nd_answer_fn *answer, void *arg)
{
    if (answer(arg, &c->exchange))
        return begin_writing(c, c->exchange.answer, now);
    return c->exchange.begun || !has_gone(c);
}

static bool write_answer(struct connection *c, uint64_t now)
{
    while (c->sent < c->size) {
        ssize_t n = send(c->fd, c->out + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EINTR)
            return errno == EAGAIN && now < c->deadline;
        c->sent += n > 0 ? (size_t)n : 0;
    }
    free(c->out);
    c->out = NULL;
    c->stage = LISTENS;
    c->deadline = now + ND_CLIENT_NS;
    return true;
}

/* One step of what can be done now, one answer at most. False: the connection is to be closed. */
static bool serve_connection(struct connection *c, uint64_t now, nd_answer_fn *answer, void *arg)
{
    if (c->stage == LISTENS && !take_request(c, now))
        return false;
    if (c->stage == WORKS && !step_answer(c, now, answer, arg))
        return false;
    return c->stage != WRITES || write_answer(c, now);
}

/* ---- sockets ----------------------------------------------------------------------------------- */

static int open_stream(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = open_stream();
    bool yes = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                           errno == EAGAIN); /* it listens, and many wait */

    int why = errno;

    close(fd);
    errno = yes ? 0 : why;
    return yes;
}

static int judge_path(const char *path, struct ft_fault *fault)
{
    struct stat there;

    if (lstat(path, &there) != 0 || S_ISSOCK(there.st_mode))
        return 0;
    return ft_fail(fault, FT_EINVAL, "control socket %s: a file is there that is no socket", path);
}

/* Removes what a node left that is gone; not what another user may be listening at; never anything but a
 * socket. */
static int clear_path(const struct sockaddr_un *address, struct ft_fault *fault)
{
    const char *path = address->sun_path;
    struct stat there;

    if (lstat(path, &there) != 0)
        return 0;
    if (judge_path(path, fault))
        return FT_EINVAL;
    if (somebody_listens(address))
        return ft_fail(fault, FT_EBUSY, "control socket %s: a node already listens there", path);
    if (errno == EACCES || errno == EPERM)
        return ft_fail(fault, FT_EPERM, "control socket %s: of another user; remove it if no node runs",
                       path);
    unlink(path);
    return 0;
}

static int open_listener(struct listener *l, mode_t mode, struct ft_fault *fault)
{
    int error = clear_path(&l->address, fault), bound;
    mode_t old;

    if (error)
        return error;
    l->fd = open_stream();
    old = umask(0777 & ~mode);
    bound = l->fd < 0 ? -1 : bind(l->fd, (struct sockaddr *)&l->address, sizeof(l->address));
    umask(old);
    if (bound == 0 && listen(l->fd, BACKLOG) == 0)
        return 0;
    error = ft_fail(fault, ft_error_of_path(errno), "control socket %s: %s", l->address.sun_path,
                    strerror(errno));
    if (bound == 0)
        unlink(l->address.sun_path);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    return error;
}

static void close_listener(struct listener *l)
{
    for (int i = 0; i < ND_PLACES; i++)
        if (l->places[i].fd >= 0)
            close_connection(&l->places[i]);
    if (l->fd < 0)
        return;
    unlink(l->address.sun_path); /* first: a node that finds nobody there makes a socket of its own */
    close(l->fd);
}

static int fail_group(const char *path, const char *group, int why, struct ft_fault *fault)
{
    return ft_fail(fault, FT_EPERM,
                   "control socket %s: cannot be given to group %.40s (%s), expected a "
                   "group of this node's user",
                   path, group, strerror(why));
}

/* Who may connect there is a group, of which this process has to be a member, or root. */
static int give_to(struct listener *l, const char *group, struct ft_fault *fault)
{
    const struct group *of = getgrnam(group);

    return of && chown(l->address.sun_path, (uid_t)-1, of->gr_gid) == 0
               ? 0
               : fail_group(l->address.sun_path, group, errno, fault);
}

/* Of a file that has no name and is gone at once, since the kernel alone knows what this process may do. */
static int judge_group(const char *path, const char *group, struct ft_fault *fault)
{
    const struct group *of = getgrnam(group);
    int fd, why;

    if (!of)
        return ft_fail(fault, FT_EINVAL, "operators %.40s: no such group on this system", group);
    fd = memfd_create("operators", MFD_CLOEXEC);
    if (fd < 0)
        return ft_fail(fault, FT_EIO, "control socket %s: %s", path, strerror(errno));
    why = fchown(fd, (uid_t)-1, of->gr_gid) == 0 ? 0 : errno;
    close(fd);
    return why ? fail_group(path, group, why, fault) : 0;
}

int nd_server_judge(const char *path, const char *operators, struct ft_fault *fault)
{
    char out[ND_SOCKET_PATH];

    for (int role = 0; role < ND_ROLES; role++) {
        if (role == ND_OPERATES && !*operators)
            continue;
        if (!nd_socket_path(out, path, (enum nd_may)role))
            return ft_fail(fault, FT_EINVAL, "control socket %s: a path of more than %zu bytes", path,
                           ND_SOCKET_PATH - (*operators ? sizeof(".operate") : sizeof(".look")));
        if (judge_path(out, fault))
            return FT_EINVAL;
    }
    return *operators ? judge_group(path, operators, fault) : 0;
}

int nd_server_open(struct nd_server **out, const char *path, const char *operators, struct ft_fault *fault)
{
    int error = nd_server_judge(path, operators, fault);
    struct nd_server *s;

    *out = NULL;
    if (error)
        return error;
    s = calloc(1, sizeof(*s));
    if (!s)
        return ft_fail(fault, FT_ENOMEM, "no memory for the control socket");
    for (int role = 0; role < ND_ROLES; role++) {
        struct listener *l = &s->listeners[role];

        l->fd = -1;
        l->role = (enum nd_may)role;
        l->acts_at = s->listeners[ND_ACTS].address.sun_path;
        l->address.sun_family = AF_UNIX;
        for (int i = 0; i < ND_PLACES; i++)
            l->places[i].fd = -1;
        (void)nd_socket_path(l->address.sun_path, path,
                             l->role); /* of one that is not opened it is too long */
    }
    error = open_listener(&s->listeners[ND_ACTS], 0660, fault);
    if (!error && *operators) {
        error = open_listener(&s->listeners[ND_OPERATES], 0600, fault);
        if (!error)
            error = give_to(&s->listeners[ND_OPERATES], operators, fault);
        if (!error && chmod(s->listeners[ND_OPERATES].address.sun_path, 0660) != 0)
            error = ft_fail(fault, FT_EIO, "control socket %s.operate: %s", path, strerror(errno));
    }
    if (!error)
        error = open_listener(&s->listeners[ND_LOOKS], 0666, fault);
    if (error)
        nd_server_close(s);
    else
        *out = s;
    return error;
}

void nd_server_close(struct nd_server *s)
{
    if (!s)
        return;
    for (int i = 0; i < ND_ROLES; i++)
        close_listener(&s->listeners[i]);
    free(s);
}

/* ---- places ------------------------------------------------------------------------------------ */

enum reluctance { FREE, IDLE, ANOTHER_USERS, OWN, KEPT };

/* How unwillingly a place is given to who comes. */
static enum reluctance weigh_reluctance(const struct connection *c, bool owner)
{
    if (c->fd < 0)
        return FREE;
    if (!c->owner && c->stage == LISTENS)
        return IDLE;
    if (!owner || (c->stage == WORKS && c->exchange.begun))
        return KEPT;
    return !c->owner ? ANOTHER_USERS : c->stage == LISTENS ? OWN : KEPT;
}

/* A place for who comes, emptied; NULL: there is none. */
static struct connection *find_place(struct listener *l, bool owner)
{
    struct connection *best = NULL;
    enum reluctance least = KEPT;

    for (int i = 0; i < ND_PLACES; i++) {
        struct connection *c = &l->places[i];
        enum reluctance how = weigh_reluctance(c, owner);

        if (how < least || (best && how == least && c->deadline < best->deadline)) {
            best = c;
            least = how;
        }
    }
    if (best && best->fd >= 0)
        close_connection(best);
    return best;
}

/* True: it is root, or the user of this node. Who cannot be known is nobody. */
static bool read_client(int fd, struct nd_client *client)
{
    struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    bool said = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;

    *client = (struct nd_client){.user = peer.uid, .pid = peer.pid ? peer.pid : -1};
    return said && (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_clients(struct listener *l, uint64_t now)
{
    static const char full[] =
        "{\"error\":{\"code\":\"busy\",\"text\":\"all places of the control socket are taken\"}}\n";

    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct pollfd comes = {.fd = l->fd, .events = POLLIN};
        /* An accept makes a socket before it finds that nobody is there. */
        int fd = poll(&comes, 1, 0) > 0 ? accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
        struct nd_client client;
        bool owner = fd >= 0 && read_client(fd, &client);
        struct connection *place = fd >= 0 ? find_place(l, owner) : NULL;

        if (fd < 0)
            return;
        if (place) {
            open_connection(place, fd, &client, owner, l, now);
            continue;
        }
        send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* an empty socket has room */
        close(fd);
    }
}

/* ---- turns ------------------------------------------------------------------------------------- */

static void serve_listener(struct listener *l, uint64_t now, nd_answer_fn *answer, void *arg)
{
    accept_clients(l, now);
    l->first++;
    for (unsigned i = 0; i < ND_PLACES; i++) {
        struct connection *c = &l->places[(l->first + i) % ND_PLACES];

        if (c->fd >= 0 && !serve_connection(c, now, answer, arg))
            close_connection(c);
    }
}

/* Takes in who has come, and serves each client one step, without waiting; at the socket that looks every
 * LOOK_NS. `now`: ns, any clock that does not go back. */
static void take_turn(struct nd_server *s, uint64_t now, nd_answer_fn *answer, void *arg)
{
    struct listener *looks = &s->listeners[ND_LOOKS];

    serve_listener(&s->listeners[ND_ACTS], now, answer, arg);
    if (s->listeners[ND_OPERATES].fd >= 0)
        serve_listener(&s->listeners[ND_OPERATES], now, answer, arg);
    if (now < looks->next)
        return;
    looks->next = now + LOOK_NS;
    serve_listener(looks, now, answer, arg);
}

void nd_server_serve(struct nd_server *s, int timeout_ms, nd_answer_fn *answer, void *arg)
{
    struct pollfd p[2 * (ND_PLACES + 1)];
    long wait = timeout_ms * 1000000l < LOOK_NS ? timeout_ms * 1000000l : LOOK_NS;
    nfds_t n = 0;

    for (int role = ND_OPERATES; role <= ND_ACTS; role++) {
        const struct listener *l = &s->listeners[role];

        p[n++] = (struct pollfd){.fd = l->fd, .events = POLLIN}; /* -1: passed over */
        for (const struct connection *c = l->places; c < l->places + ND_PLACES; c++) {
            if (c->fd < 0)
                continue;
            if (is_ready(c))
                wait = 0;
            else if (c->stage == WORKS)
                wait = wait < WORK_NS ? wait : WORK_NS;
            else
                p[n++] = (struct pollfd){.fd = c->fd, .events = c->stage == WRITES ? POLLOUT : POLLIN};
        }
    }
    ppoll(p, n, &(struct timespec){0, wait}, NULL);
    take_turn(s, ft_now(), answer, arg);
}
