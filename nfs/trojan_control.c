/* SPDX-License-Identifier: Apache-2.0 */
/* Control connections of FTP; see the header. */
#include "nfs/trojan_control.h"
#include "nflib/net/bytes.h"

#include <arpa/inet.h>
#include <string.h>

#define TJ_OTHER       6u
#define TJ_GAPS_PACKET 64u /* that a packet has given up at most */

/* What the last word of a line is the name of; 0: nothing of interest. */
static uint32_t file_of(uint64_t tail)
{
    static const struct {
        const char *end;
        uint32_t file;
    } ends[] = {{".html", TJ_HTML}, {".htm", TJ_HTML}, {".zip", TJ_ZIP}, {".exe", TJ_EXE}};

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        uint64_t end = 0, mask = ~0ull >> (64 - 8 * strlen(ends[i].end));

        for (const char *c = ends[i].end; *c; c++)
            end = end << 8 | (uint8_t)*c;
        if ((tail & mask) == end)
            return ends[i].file;
    }
    return 0;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static void begin_line(struct tj_control *control)
{
    control->tail = 0;
    control->matched = control->blank = 0;
}

/* Of a line that begins with RETR, in front of its end. Blanks end a word. */
static void read_name(struct tj_control *control, uint8_t c)
{
    if (c == ' ' || c == '\r') {
        control->blank = 1;
        return;
    }
    if (control->blank)
        control->tail = 0;
    control->blank = 0;
    control->tail = (control->tail << 8 | lower(c)) & 0xffffffffffull;
}

static void read_bytes(void *arg, const struct nf_stream_bytes *bytes)
{
    static const char retr[] = "retr ";
    const struct tj_commands *commands = arg;
    struct tj_control *control = commands->control;

    if (bytes->at == 0) /* behind a gap that was given up, or of another connection */
        begin_line(control);
    for (uint32_t i = 0; i < bytes->len; i++) {
        uint8_t c = bytes->bytes[i];

        if (c == '\n') {
            uint32_t file = control->matched == 5 ? file_of(control->tail) : 0;

            begin_line(control);
            if (file)
                commands->file(commands, file);
        } else if (control->matched == 5) {
            read_name(control, c);
        } else {
            control->matched = control->matched < 5 && lower(c) == (uint8_t)retr[control->matched]
                                   ? (uint8_t)(control->matched + 1)
                                   : TJ_OTHER;
        }
    }
}

/* What waits behind a gap, the packet with it now: what closes the gap was sent no later than the first. */
static void note_waiting(struct tj_commands *commands, uint32_t end)
{
    struct tj_control *control = commands->control;

    if (!control->waited || (int32_t)(end - control->end) > 0)
        control->end = end;
    if (!control->waited)
        control->waited = commands->number;
}

uint32_t tj_control_take(struct tj_commands *commands, struct nf_streams *streams)
{
    const struct nf_stream_reader reader = {read_bytes, commands};
    const struct nf *nf = commands->nf;
    const struct nf_packet *p = commands->p;
    struct tj_control *control = commands->control;
    uint32_t len, gaps = 0, end = ntohl(nf_get32(p->data + p->l4 + 4));
    uint64_t number = commands->number;
    enum nf_stream_taken taken;

    nf_packet_payload(p, &len);
    if (control->waited)
        commands->number = control->waited;
    while ((taken = nf_stream_take(nf, streams, control->stream, p, false, &reader)) == NF_STREAM_FULL &&
           gaps < TJ_GAPS_PACKET && nf_stream_skip(nf, streams, control->stream, false, &reader)) {
        nf_stream_forget(nf, streams, control->stream, false);
        gaps++;
    }
    nf_stream_forget(nf, streams, control->stream, false);
    if (control->waited && (int32_t)(control->stream[0].next - control->end) >= 0)
        control->waited = 0;
    commands->number = number;
    if (taken == NF_STREAM_KEPT)
        note_waiting(commands, end + len);
    return gaps;
}

void tj_control_begin(const struct nf *nf, struct nf_streams *streams, struct tj_control *control)
{
    nf_stream_release(nf, streams, control->stream);
    memset(control, 0, sizeof(*control));
}

bool tj_control_is_sound(const struct tj_control *control)
{
    return control->matched <= TJ_OTHER && control->blank <= 1 && control->tail >> 40 == 0;
}
