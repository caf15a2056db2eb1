/* SPDX-License-Identifier: Apache-2.0 */
/* See program.h. */
#define _GNU_SOURCE /* nftw */
#include "ftcore/region/region.h"
#include "tests/help/test.h"
#include "tests/help/program.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static _Noreturn void child(int out, void (*act)(void *), void *arg)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    dup2(out, STDERR_FILENO);
    act(arg);
    _exit(0);
}

void assert_dies_by(int number, void (*act)(void *), void *arg, const char *text)
{
    char said[16384];
    size_t length = 0;
    ssize_t got;
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(ends[1], act, arg);
    close(ends[1]);
    while (length < sizeof(said) - 1 && (got = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (text && !strstr(said, text))
        fail_msg("expected \"%s\" on stderr, got \"%s\"", text, said);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != number)
        fail_msg("expected death by signal %d, got status 0x%x and \"%s\"", number, (unsigned)status, said);
}

void assert_dies(void (*act)(void *), void *arg, const char *text)
{
    assert_dies_by(SIGABRT, act, arg, text);
}

void help_not_beyond(uint64_t end, const char *what)
{
    if (ft_now() > end)
        fail_msg("never: %s", what);
}

void help_sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL);
}

/* Below the ports that the kernel gives to who asks for any: a connection that is made between this and the
 * test's own bind cannot have it. */
uint16_t help_free_port(const char *host)
{
    static uint32_t next;
    struct sockaddr_in at = {.sin_family = AF_INET};
    bool taken = true;

    next = next ? next : (uint32_t)getpid() * 37;
    inet_pton(AF_INET, host, &at.sin_addr);
    while (taken) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_true(fd >= 0);
        at.sin_port = htons((uint16_t)(12000 + next++ % 20000));
        taken = bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0;
        close(fd);
    }
    return ntohs(at.sin_port);
}

void help_golden(const char *path, const void *bytes, size_t len, bool released)
{
    const char *wanted = getenv("GOLDEN");
    bool rewrites = !released && wanted && strcmp(wanted, "rewrite") == 0;
    FILE *file = fopen(path, rewrites ? "wb" : "rb");
    uint8_t *had = malloc(len + 1);

    assert_true(file && had);
    assert_int_equal(rewrites ? fwrite(bytes, 1, len, file) : fread(had, 1, len + 1, file), len);
    assert_int_equal(fclose(file), 0);
    if (!rewrites)
        assert_memory_equal(had, bytes, len);
    free(had);
}

void help_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

const char *help_text(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t len = 0;
    char *text = NULL;

    if (!file)
        return NULL;
    for (size_t room = 4096, got = room; got; room *= 2) {
        text = realloc(text, room + 1);
        assert_non_null(text);
        got = fread(text + len, 1, room - len, file);
        len += got;
    }
    fclose(file);
    text[len] = '\0';
    return HELP_OWNED(text, free);
}

void help_run(const char *command)
{
    if (system(command) != 0) // NOLINT: the command is a test's own
        fail_msg("failed: %s", command);
}

static int forget(const char *name, const struct stat *s, int kind, struct FTW *where)
{
    return remove(name);
}

static void remove_directory(void *name)
{
    nftw(name, forget, 8, FTW_DEPTH | FTW_PHYS);
    free(name);
}

const char *help_directory(void)
{
    char *name = strdup("/tmp/test.XXXXXX");

    assert_non_null(name);
    assert_non_null(mkdtemp(name));
    return HELP_OWNED(name, remove_directory);
}

static struct ft_region *opened; /* by help_region, and not closed yet */

static void close_region(void *region)
{
    ft_region_close(region);
    opened = NULL;
}

struct ft_region *help_region(const struct ft_region_config *config)
{
    struct ft_fault fault = {""};

    if (opened)
        help_end(opened);
    if (ft_region_open(&opened, config, &fault))
        fail_msg("%s", fault.text);
    return HELP_OWNED(opened, close_region);
}
