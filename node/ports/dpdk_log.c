/* SPDX-License-Identifier: Apache-2.0 */
/* Where DPDK's log stream goes; see dpdk_log.h. */
#define _GNU_SOURCE /* memfd_create, fopencookie */
#include "node/ports/dpdk_log.h"
#include "ftcore/base/event_log.h"

#include <rte_log.h>

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum ft_level level_now(void)
{
    int level = rte_log_cur_msg_loglevel();

    return level <= (int)RTE_LOG_ERR       ? FT_LEVEL_ERROR
           : level == (int)RTE_LOG_WARNING ? FT_LEVEL_WARNING
           : level == (int)RTE_LOG_NOTICE  ? FT_LEVEL_NOTICE
                                           : FT_LEVEL_INFO;
}

static ssize_t log_lines(void *cookie, const char *text, size_t size)
{
    (void)cookie;
    for (size_t at = 0, len; at < size; at += len + 1) {
        const char *end = memchr(text + at, '\n', size - at);

        len = end ? (size_t)(end - (text + at)) : size - at;
        if (len > 0)
            ft_log_event(level_now(), FT_SAYS_DPDK, "%.*s", (int)len, text + at);
    }
    if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_CRIT) /* rte_panic, which aborts */
        ft_event_log_flush();
    return (ssize_t)size;
}

/* A stream whose buffer is ours: DPDK flushes it after each message. NULL: no memory. */
static FILE *event_stream(void)
{
    static char buffer[1024];
    static FILE *file;

    if (!file) {
        file = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_lines});
        if (file)
            setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    }
    return file;
}

void nd_dpdk_log_begin(struct nd_dpdk_log *log)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    fflush(NULL);
    log->file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!log->file)
        return;
    log->out = dup(STDOUT_FILENO);
    log->err = dup(STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    rte_openlog_stream(log->file);
}

static bool tells_reason(const char *line)
{
    static const char *const signs[] = {"annot",   "ould not",       "ailed",  "nvalid",      "rror",
                                        "No such", "not compatible", "o free", "nrecognized", "nknown"};

    /* libbpf's notice on sections that it does not need, of every program that is loaded. */
    if (strstr(line, "elf: skipping"))
        return false;
    for (unsigned i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (strstr(line, signs[i]))
            return true;
    return false;
}

void nd_dpdk_log_end(struct nd_dpdk_log *log, char *out, size_t cap)
{
    char line[512];
    bool found = false;

    out[0] = '\0';
    rte_openlog_stream(event_stream());
    if (!log->file)
        return;
    fflush(NULL);
    dup2(log->out, STDOUT_FILENO);
    dup2(log->err, STDERR_FILENO);
    close(log->out);
    close(log->err);
    rewind(log->file);
    /* A mistake in EAL's own options is followed by the whole of its usage text. */
    while (!found && fgets(line, sizeof(line), log->file) && strncmp(line, "Usage:", 6) != 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strlen(line) > 3)
            snprintf(out, cap, "%.120s", line);
        found = tells_reason(line);
    }
    fclose(log->file);
}
