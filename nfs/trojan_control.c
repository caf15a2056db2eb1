/* SPDX-License-Identifier: Apache-2.0 */
/* Control connections of FTP; see the header. */
#include "nfs/trojan_control.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define FAR (1u << 20) /* what is so far behind a gap belongs to nothing that we follow */

/* What a line asks for; 0: nothing of interest. */
static uint32_t file_of(const char *line, size_t n)
{
    static const struct {
        const char *end;
        uint32_t file;
    } ends[] = {{".html", TJ_HTML}, {".htm", TJ_HTML}, {".zip", TJ_ZIP}, {".exe", TJ_EXE}};

    while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n < 5 || strncasecmp(line, "RETR ", 5) != 0)
        return 0;
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t end = strlen(ends[i].end);

        if (n >= 5 + end && strncasecmp(line + n - end, ends[i].end, end) == 0)
            return ends[i].file;
    }
    return 0;
}

/* Of what is there behind the first `skip` bytes of data. */
static uint16_t files_of(const struct nf_packet *p, uint32_t skip)
{
    uint32_t end = p->payload + tj_payload(p), at = p->payload + skip, files = 0, found = 0;

    end = end < p->have ? end : p->have;
    while (at < end && found < TJ_FILES_MAX) {
        const char *line = (const char *)p->data + at;
        const char *newline = memchr(line, '\n', end - at);
        uint32_t n = newline ? (uint32_t)(newline - line) : end - at;
        uint32_t file = newline ? file_of(line, n) : 0;

        files |= file << TJ_FILE_BITS * found;
        found += file != 0;
        at += n + 1;
    }
    return (uint16_t)files;
}

void tj_control_begin(struct tj_control *control, const struct nf_packet *p)
{
    *control = (struct tj_control){.next = ntohl(nf_get32(p->data + p->l4 + 4)) + 1};
}

/* The held segment that begins first, TJ_HELD: there is none. */
static uint32_t first_held(const struct tj_control *control)
{
    uint32_t first = TJ_HELD;

    for (uint32_t i = 0; i < control->count; i++)
        if (first == TJ_HELD || (int32_t)(control->held[i].seq - control->held[first].seq) < 0)
            first = i;
    return first;
}

/* It is in order. It was sent no later than what is behind it, and has come already. */
static void take_in_order(struct tj_control *control, struct tj_segment segment, struct tj_segment done[],
                          uint32_t *n)
{
    for (uint32_t i = 0; i < control->count; i++)
        if (control->held[i].number < segment.number)
            segment.number = control->held[i].number;
    control->next = segment.seq + segment.len;
    done[(*n)++] = segment;
}

/* What is held, as far as it goes on without a gap. */
static void drain(struct tj_control *control, struct tj_segment done[], uint32_t *n)
{
    uint32_t first;

    while ((first = first_held(control)) < TJ_HELD) {
        struct tj_segment segment = control->held[first];
        int32_t ahead = (int32_t)(segment.seq - control->next);

        if (ahead > 0)
            return;
        control->held[first] = control->held[--control->count];
        if (ahead == 0)
            take_in_order(control, segment, done, n);
    }
}

bool tj_control_take(struct tj_control *control, const struct nf_packet *p, uint64_t number,
                     struct tj_segment done[], uint32_t *n)
{
    struct tj_segment segment = {
        .number = number, .seq = ntohl(nf_get32(p->data + p->l4 + 4)), .len = (uint16_t)tj_payload(p)};
    int32_t ahead = (int32_t)(segment.seq - control->next);
    bool full = control->count == TJ_HELD;

    *n = 0;
    if (ahead < 0) { /* sent again, perhaps with more behind it */
        if (ahead + (int32_t)segment.len <= 0)
            return false;
        segment.files = files_of(p, (uint32_t)-ahead);
        segment.len = (uint16_t)(segment.len + ahead);
        segment.seq = control->next;
    } else {
        segment.files = files_of(p, 0);
    }
    for (uint32_t i = 0; i < control->count; i++)
        if (control->held[i].seq == segment.seq)
            return false;
    if (ahead > (int32_t)FAR)
        return false;
    if (ahead <= 0) {
        take_in_order(control, segment, done, n);
    } else {
        if (full) {
            control->next = control->held[first_held(control)].seq;
            if ((int32_t)(segment.seq - control->next) < 0)
                control->next = segment.seq;
            drain(control, done, n);
        }
        if (segment.seq == control->next)
            take_in_order(control, segment, done, n);
        else if (control->count < TJ_HELD)
            control->held[control->count++] = segment;
    }
    drain(control, done, n);
    return full && ahead > 0;
}

bool tj_control_is_sound(const struct tj_control *control)
{
    for (uint32_t i = 0; i < control->count && i < TJ_HELD; i++)
        for (uint32_t files = control->held[i].files; files; files >>= TJ_FILE_BITS)
            if (!(files % (1u << TJ_FILE_BITS)))
                return false;
    return control->count <= TJ_HELD;
}
