/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the text of a `show`: rows as a JSON array in the caller's buffer. Written by NFs through nf_row_*,
 * read by the control side after nf_show_end. A row is whole or absent: one that does not fit is taken back.
 */
#include "nflib/module/module.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_ROOM 2048u /* nf_show_full is true unless a row of this size fits */
#define TAIL     3u    /* closing brace, closing bracket, NUL */

struct nf_show {
    char *out;
    uint32_t cap, len;
    uint32_t row;    /* where the open row begins, its comma included */
    uint32_t fields; /* in the open row */
    bool open;
    bool lost; /* the open row does not fit */
    bool full; /* a row was taken back */
};

struct nf_show *nf_show_begin(char *out, uint32_t cap)
{
    if (cap < 1 + TAIL)
        return NULL;
    struct nf_show *show = calloc(1, sizeof(*show));
    if (!show)
        return NULL;
    show->out = out;
    show->cap = cap;
    show->out[show->len++] = '[';
    return show;
}

static void put_bytes(struct nf_show *show, const char *text, uint32_t len)
{
    if (show->lost || show->cap - show->len < len + TAIL) {
        show->lost = true;
        return;
    }
    memcpy(show->out + show->len, text, len);
    show->len += len;
}

static void close_row(struct nf_show *show)
{
    if (show->open && show->lost) {
        show->len = show->row;
        show->full = true;
    } else if (show->open) {
        show->out[show->len++] = '}';
    }
    show->open = show->lost = false;
    show->fields = 0;
}

uint32_t nf_show_end(struct nf_show *show)
{
    close_row(show);
    show->out[show->len++] = ']';
    show->out[show->len] = 0;
    uint32_t len = show->len;
    free(show);
    return len;
}

bool nf_show_full(const struct nf_show *show)
{
    uint32_t room = show->cap / 4 < ROW_ROOM ? show->cap / 4 : ROW_ROOM;
    return show->full || show->lost || show->cap - show->len < room + TAIL;
}

void nf_row(struct nf_show *show)
{
    close_row(show);
    show->row = show->len;
    show->open = true;
    if (show->len > 1)
        put_bytes(show, ",", 1);
    put_bytes(show, "{", 1);
}

static void put_name(struct nf_show *show, const char *name)
{
    FT_CHECK(show->open, "field %s outside a row", name);
    if (show->fields++)
        put_bytes(show, ",", 1);
    put_bytes(show, "\"", 1);
    put_bytes(show, name, (uint32_t)strlen(name));
    put_bytes(show, "\":", 2);
}

/* Bytes that are not printable ASCII become \u00XX, so any bytes make valid JSON. */
static void put_escaped(struct nf_show *show, const char *text)
{
    put_bytes(show, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char esc[8];
        if (*c == '"' || *c == '\\')
            put_bytes(show, (char[]){'\\', (char)*c}, 2);
        else if (*c < 0x20 || *c >= 0x7f)
            put_bytes(show, esc, (uint32_t)snprintf(esc, sizeof(esc), "\\u%04x", *c));
        else
            put_bytes(show, (const char *)c, 1);
    }
    put_bytes(show, "\"", 1);
}

void nf_row_text(struct nf_show *show, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    put_name(show, name);
    put_escaped(show, text);
}

void nf_row_u64(struct nf_show *show, const char *name, uint64_t value)
{
    char text[24];
    put_name(show, name);
    put_bytes(show, text, (uint32_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

void nf_row_ipv4(struct nf_show *show, const char *name, uint32_t addr)
{
    uint32_t a = ntohl(addr);
    nf_row_text(show, name, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}
