/* SPDX-License-Identifier: Apache-2.0 */
/* What a reporter wrote of a crash, read back; and the recording that ends with it. See crash.h. */
#include "tools/replay/crash.h"
#include "node/base/printable.h"
#include "node/crash/reporter.h"

#include <stdlib.h>
#include <string.h>

/* It is printed: whoever may write there may not write on a terminal. */
static void copy_text(char *out, size_t size, const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    nd_printable(text ? text : "", out, size);
}

static uint64_t number_of(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);
    const char *hex = json_string_value(value);

    return hex ? strtoull(hex, NULL, 16) : (uint64_t)json_integer_value(value);
}

/* The innermost frame is where it died, but for a call of what is no code, which is in no object. */
static void read_place(struct nd_death *d, const json_t *report)
{
    uint64_t ip = number_of(json_object_get(report, "registers"), "rip");
    const json_t *frame = json_array_get(json_object_get(report, "backtrace"), 0);

    d->offset = ip;
    snprintf(d->object, sizeof(d->object), "?");
    if (!json_is_true(json_object_get(frame, "sure")) || number_of(frame, "address") != ip)
        return;
    copy_text(d->symbol, sizeof(d->symbol), frame, "symbol");
    copy_text(d->object, sizeof(d->object), frame, "object");
    d->offset = number_of(frame, "offset");
}

static int check_report(const struct nd_incident *r, const char *how, const char *file,
                        struct ft_fault *fault)
{
    if (strcmp(how, "killed") == 0)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: the node was killed, expected one that crashed", file);
    if (strcmp(how, "crashed") != 0 && strcmp(how, "hung") != 0)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: no report of a node's end, expected one", file);
    if (r->lane < 0 || r->packet > FT_BURST_MAX)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: it crashed outside of its lanes, expected a burst",
                       file);
    return 0;
}

int nd_incident_read(struct nd_incident *out, const char *directory, struct ft_fault *fault)
{
    char file[300], how[16];
    const json_t *lane;
    json_t *report;
    uint64_t packet;
    int error;

    *out = (struct nd_incident){.lane = -1};
    snprintf(out->directory, sizeof(out->directory), "%s", directory);
    if (strlen(directory) >= sizeof(out->directory))
        return ft_fail(fault, FT_EMALFORMED, "%.160s…: %zu characters, expected fewer than %zu", directory,
                       strlen(directory), sizeof(out->directory));
    error = nd_crash_read(directory, &report, fault);
    if (error)
        return error;
    snprintf(file, sizeof(file), "%s/report.json", out->directory);
    copy_text(how, sizeof(how), report, "how");
    copy_text(out->line, sizeof(out->line), report, "line");
    copy_text(out->node, sizeof(out->node), report, "node");
    copy_text(out->recording, sizeof(out->recording), report, "recording");
    copy_text(out->build, sizeof(out->build), report, "build_id");
    copy_text(out->death.signal, sizeof(out->death.signal), report, "signal");
    copy_text(out->death.nf, sizeof(out->death.nf), report, "nf");
    copy_text(out->death.doing, sizeof(out->death.doing), report, "doing");
    out->death.hangs = strcmp(how, "hung") == 0;
    out->death.overflow = json_is_true(json_object_get(report, "stack_overflow"));
    out->burst = number_of(report, "burst");
    out->wall = number_of(report, "time_ns");
    packet = number_of(report, "packet");
    out->packet = packet <= FT_BURST_MAX ? (unsigned)packet : FT_BURST_MAX + 1;
    lane = json_object_get(report, "lane");
    if (json_is_integer(lane) && json_integer_value(lane) >= 0 && json_integer_value(lane) < FT_LANES_MAX)
        out->lane = (int)json_integer_value(lane);
    read_place(&out->death, report);
    json_decref(report);
    return check_report(out, how, file, fault);
}

int nd_incident_recording(struct nd_log_files *files, const struct nd_incident *report,
                          const char *const paths[], struct ft_fault *fault)
{
    const char *const own[] = {report->recording, NULL};
    int error;

    if (!paths[0] && !report->recording[0])
        return ft_fail(fault, FT_ENOENT, "the node recorded nothing");
    error = nd_log_files_open(files, paths[0] ? paths : own, fault);
    if (!error)
        error = nd_log_files_choose_end(files, report->node, report->wall, fault);
    if (!error && files->count == 0)
        error = ft_fail(fault, FT_ENOENT, "%.120s: no recording that reaches this end",
                        paths[0] ? paths[0] : report->recording);
    return error;
}

bool nd_incident_is_show(const struct nd_incident *report)
{
    return strcmp(report->death.doing, "show") == 0;
}

bool nd_incident_has_burst(const struct nd_log_files *files, const struct nd_incident *report)
{
    const struct lg_recording *last = files->list[files->count - 1];
    unsigned lane = (unsigned)report->lane;

    if (lane >= last->head.lanes)
        return false;
    if (nd_incident_is_show(report))
        return !last->begun[lane].content && last->end[lane].burst == report->burst;
    return last->begun[lane].content && last->end[lane].burst + 1 == report->burst;
}
