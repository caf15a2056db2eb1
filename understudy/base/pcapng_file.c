/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a pcapng file; see pcapng_file.h. No state. Numbers are in this machine's order, as the
 * format allows. */
#include "understudy/base/pcapng_file.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SECTION   0x0A0D0D0Au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET    6u
#define BYTE_ORDER_MARK 0x1A2B3C4Du
#define ETHERNET        1u
#define OPT_END         0u
#define OPT_COMMENT     1u
#define OPT_IF_NAME     2u
#define OPT_IF_ABOUT    3u
#define OPT_FLAGS       2u /* of a packet */
#define OPT_IF_TSRESOL  9u
#define OPT_PROGRAM     4u /* of a section */
#define CAME_IN         1u
#define WENT_OUT        2u
#define PROGRAM         "understudy " UNDERSTUDY_VERSION

/* ---- blocks ------------------------------------------------------------------------------------ */

/* A block under way: its body, whose parts end at multiples of four bytes. */
struct block {
    FILE *body;
    char *bytes;
    size_t size;
};

static bool begin_block(struct block *b)
{
    *b = (struct block){.body = NULL};
    b->body = open_memstream(&b->bytes, &b->size);
    return b->body != NULL;
}

static void put16(const struct block *b, uint32_t value)
{
    uint16_t v = (uint16_t)value;

    fwrite(&v, sizeof(v), 1, b->body);
}

static void put32(const struct block *b, uint32_t value)
{
    fwrite(&value, sizeof(value), 1, b->body);
}

static void put_padded(const struct block *b, const void *bytes, size_t len)
{
    fwrite(bytes, 1, len, b->body);
    fwrite("\0\0\0", 1, -len & 3, b->body);
}

static void put_option(const struct block *b, uint32_t code, const void *value, size_t len)
{
    put16(b, code);
    put16(b, (uint32_t)len);
    put_padded(b, value, len);
}

static bool end_block(struct block *b, uint32_t type, FILE *out)
{
    bool whole;
    uint32_t size;

    put_option(b, OPT_END, "", 0);
    whole = fclose(b->body) == 0;
    size = (uint32_t)b->size + 12;
    if (whole) {
        fwrite(&type, sizeof(type), 1, out);
        fwrite(&size, sizeof(size), 1, out);
        fwrite(b->bytes, 1, b->size, out);
        fwrite(&size, sizeof(size), 1, out);
    }
    free(b->bytes);
    return whole;
}

static bool write_section(FILE *out)
{
    struct block b;

    if (!begin_block(&b))
        return false;
    put32(&b, BYTE_ORDER_MARK);
    put16(&b, 1); /* version 1.0 */
    put16(&b, 0);
    put32(&b, UINT32_MAX); /* its length is not given */
    put32(&b, UINT32_MAX);
    put_option(&b, OPT_PROGRAM, PROGRAM, strlen(PROGRAM));
    return end_block(&b, BLOCK_SECTION, out);
}

static bool write_port(FILE *out, const char *node, const char *port)
{
    static const uint8_t nanoseconds = 9;
    struct block b;
    char about[128];

    if (!begin_block(&b))
        return false;
    snprintf(about, sizeof(about), "port %s of node %s", port, node);
    put16(&b, ETHERNET);
    put16(&b, 0);
    put32(&b, 0); /* frames are kept as far as the answer had room for them */
    put_option(&b, OPT_IF_NAME, port, strlen(port));
    put_option(&b, OPT_IF_ABOUT, about, strlen(about));
    put_option(&b, OPT_IF_TSRESOL, &nanoseconds, sizeof(nanoseconds));
    return end_block(&b, BLOCK_INTERFACE, out);
}

bool nd_pcapng_begin(FILE *out, const char *node, const char *const ports[], unsigned n)
{
    bool whole = write_section(out);

    for (unsigned i = 0; i < n && whole; i++)
        whole = write_port(out, node, ports[i]);
    return whole;
}

bool nd_pcapng_packet(FILE *out, const struct nd_pcapng_packet *p)
{
    uint32_t direction = p->out ? WENT_OUT : CAME_IN;
    struct block b;

    if (!begin_block(&b))
        return false;
    put32(&b, p->port);
    put32(&b, (uint32_t)(p->time >> 32));
    put32(&b, (uint32_t)p->time);
    put32(&b, p->have);
    put32(&b, p->wire);
    put_padded(&b, p->bytes, p->have);
    if (p->comment)
        put_option(&b, OPT_COMMENT, p->comment, strlen(p->comment));
    put_option(&b, OPT_FLAGS, &direction, sizeof(direction));
    return end_block(&b, BLOCK_PACKET, out);
}
