/* SPDX-License-Identifier: Apache-2.0 */
/* See etcd.h. */
#include "tests/help/test.h"
#include "tests/help/etcd.h"
#include "tests/help/program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define HOST "127.0.0.1"

static bool runs(const char *command)
{
    return system(command) == 0; // NOLINT: the commands are this file's
}

static _Noreturn void become(const struct help_real_etcd *e)
{
    const char *scheme = e->secure ? "https" : "http";
    char data[96], client[64], peer[64], cluster[96], cert[96], key[96], log[96];
    int fd;

    snprintf(data, sizeof(data), "%s/data", e->dir);
    snprintf(client, sizeof(client), "%s://" HOST ":%u", scheme, e->port);
    snprintf(peer, sizeof(peer), "http://" HOST ":%u", e->peer_port);
    snprintf(cluster, sizeof(cluster), "t=%s", peer);
    snprintf(cert, sizeof(cert), "%s/etcd.pem", e->dir);
    snprintf(key, sizeof(key), "%s/etcd.key", e->dir);
    snprintf(log, sizeof(log), "%s/log", e->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (e->secure)
        execlp("etcd", "etcd", "--name", "t", "--data-dir", data, "--listen-client-urls", client,
               "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls",
               peer, "--initial-cluster", cluster, "--heartbeat-interval", "50", "--election-timeout", "500",
               "--cert-file", cert, "--key-file", key, "--auth-token-ttl", "2", "--bcrypt-cost", "4", NULL);
    else
        execlp("etcd", "etcd", "--name", "t", "--data-dir", data, "--listen-client-urls", client,
               "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls",
               peer, "--initial-cluster", cluster, "--heartbeat-interval", "50", "--election-timeout", "500",
               NULL);
    _exit(127);
}

static void ctl(const struct help_real_etcd *e, char *out, size_t cap, const char *arguments)
{
    snprintf(out, cap, "ETCDCTL_API=3 ETCDCTL_CACERT='%s' etcdctl --endpoints %s %s 2>>%s/ctl.log",
             e->secure ? e->config.ca : "", e->config.url[0], arguments, e->dir);
}

void help_etcd_again(struct help_real_etcd *e, uint16_t port)
{
    char health[1024];

    if (e->port != port) /* a mirror may be reading it */
        snprintf(e->config.url[0], sizeof(e->config.url[0]), "%s://" HOST ":%u", e->secure ? "https" : "http",
                 port);
    e->port = port;
    e->pid = fork();
    assert_true(e->pid >= 0);
    if (e->pid == 0)
        become(e);
    /* Once it has users it answers nobody else. */
    ctl(e, health, sizeof(health),
        e->config.user[0] ? "--user root:root get health >/dev/null" : "get health >/dev/null");
    UNTIL(runs(health)) help_sleep_ms(50);
}

/* An authority that is the server's own certificate. */
static void certify(struct help_real_etcd *e)
{
    char command[1024];

    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=etcd "
             "-addext subjectAltName=IP:" HOST " -keyout %s/etcd.key -out %s/etcd.pem 2>/dev/null",
             e->dir, e->dir);
    assert_true(runs(command));
    snprintf(e->config.ca, sizeof(e->config.ca), "%s/etcd.pem", e->dir);
}

void help_etcd_begin(struct help_real_etcd *e, bool secure)
{
    *e = (struct help_real_etcd){.secure = secure, .config = {.urls = 1}};
    if (!runs("command -v etcd >/dev/null && command -v etcdctl >/dev/null"))
        skip();
    snprintf(e->dir, sizeof(e->dir), "/dev/shm/etcd.XXXXXX");
    assert_non_null(mkdtemp(e->dir));
    if (secure)
        certify(e);
    e->peer_port = help_free_port(HOST);
    help_etcd_again(e, help_free_port(HOST));
}

void help_etcd_kill(struct help_real_etcd *e)
{
    if (!e->pid)
        return;
    kill(e->pid, SIGKILL);
    waitpid(e->pid, NULL, 0);
    e->pid = 0;
}

void help_etcd_stop(const struct help_real_etcd *e)
{
    int status;

    kill(e->pid, SIGSTOP);
    assert_int_equal(waitpid(e->pid, &status, WUNTRACED), e->pid);
    assert_true(WIFSTOPPED(status));
}

static void remove_tree(const char *path)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", path);
    assert_true(runs(command));
}

void help_etcd_forget(struct help_real_etcd *e)
{
    char data[96];

    snprintf(data, sizeof(data), "%s/data", e->dir);
    remove_tree(data);
}

void help_etcd_end(struct help_real_etcd *e)
{
    if (!e->dir[0])
        return;
    help_etcd_kill(e);
    remove_tree(e->dir);
    e->dir[0] = '\0';
}

char *help_etcdctl(const struct help_real_etcd *e, const char *format, ...)
{
    char arguments[512], command[1024], *out = NULL;
    size_t len = 0, cap = 1u << 16;
    va_list args;

    va_start(args, format);
    vsnprintf(arguments, sizeof(arguments), format, args);
    va_end(args);
    ctl(e, command, sizeof(command), arguments);
    FILE *in = popen(command, "r"); // NOLINT: the commands are tests'

    assert_non_null(in);
    do {
        cap *= 2;
        out = realloc(out, cap);
        assert_non_null(out);
        len += fread(out + len, 1, cap - 1 - len, in);
    } while (len == cap - 1);
    out[len] = '\0';
    if (pclose(in) != 0)
        fail_msg("etcdctl %s failed: %s", arguments, out);
    return HELP_OWNED(out, free);
}

int help_etcd_listen(char url[ND_ETCD_URL_MAX])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&to, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    snprintf(url, ND_ETCD_URL_MAX, "http://127.0.0.1:%u", ntohs(to.sin_port));
    return fd;
}
