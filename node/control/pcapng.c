/* SPDX-License-Identifier: Apache-2.0 */
/* A trace as a pcapng file; see pcapng.h. No state. Numbers are in this machine's order, as the format
 * allows. */
#include "node/control/pcapng.h"

#include <openssl/evp.h>
#include <stdint.h>
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
#define FRAME_MAX       65535u
#define NAME_MAX_BYTES  63u /* of a port; a node's have fewer */
#define COMMENT_MAX     8192u
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
    put32(&b, UINT32_MAX); /* its length is not said */
    put32(&b, UINT32_MAX);
    put_option(&b, OPT_PROGRAM, PROGRAM, strlen(PROGRAM));
    return end_block(&b, BLOCK_SECTION, out);
}

static bool write_interface(FILE *out, const char *node, const char *port)
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

/* ---- packets ----------------------------------------------------------------------------------- */

static const char *text_of(const json_t *of, const char *name)
{
    const char *text = json_string_value(json_object_get(of, name));

    return text ? text : "?";
}

static json_int_t number_of(const json_t *of, const char *name)
{
    return json_integer_value(json_object_get(of, name));
}

/* What `name` says is the port's number among all; -1: none of them. */
static int find_port(const json_t *answer, const char *name)
{
    const json_t *ports = json_object_get(answer, "ports"), *port;
    size_t i;

    json_array_foreach(ports, i, port)
    {
        if (json_is_string(port) && strcmp(json_string_value(port), name) == 0)
            return (int)i;
    }
    return -1;
}

/* The frame's bytes, allocated; NULL: it is none. */
static uint8_t *decode_frame(const json_t *frame, uint32_t *have)
{
    const char *text = json_string_value(json_object_get(frame, "base64"));
    size_t len = text ? strlen(text) : 0;
    uint8_t *bytes = len && len % 4 == 0 && len / 4 * 3 <= FRAME_MAX ? malloc(len / 4 * 3) : NULL;
    int n = bytes ? EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) : -1;

    if (n < 0) {
        free(bytes);
        return NULL;
    }
    *have = (uint32_t)n - (text[len - 1] == '=') - (text[len - 2] == '=');
    return bytes;
}

static bool write_frame(FILE *out, int port, const json_t *packet, const json_t *frame, uint32_t direction,
                        const char *comment)
{
    uint64_t time = (uint64_t)number_of(packet, "time_ns");
    uint32_t have = 0;
    uint8_t *bytes = decode_frame(frame, &have);
    struct block b;

    if (port < 0 || !bytes || have > number_of(frame, "bytes") || !begin_block(&b)) {
        free(bytes);
        return false;
    }
    put32(&b, (uint32_t)port);
    put32(&b, (uint32_t)(time >> 32));
    put32(&b, (uint32_t)time);
    put32(&b, have);
    put32(&b, (uint32_t)number_of(frame, "bytes"));
    put_padded(&b, bytes, have);
    put_option(&b, OPT_COMMENT, comment, strlen(comment));
    put_option(&b, OPT_FLAGS, &direction, sizeof(direction));
    free(bytes);
    return end_block(&b, BLOCK_PACKET, out);
}

/* "l3; nat 10.0.0.5:4000 > 203.0.113.1:1024; firewall": the steps but a drop, with the ends that they
 * changed. */
static void write_steps(FILE *out, const json_t *packet)
{
    const json_t *step, *before = packet, *drop;
    size_t i;

    json_array_foreach(json_object_get(packet, "steps"), i, step)
    {
        drop = json_object_get(step, "drop");
        if (json_is_string(drop))
            break;
        fprintf(out, "%s%s", i ? "; " : "", text_of(step, "nf"));
        if (!json_equal(json_object_get(step, "source"), json_object_get(before, "source")) ||
            !json_equal(json_object_get(step, "destination"), json_object_get(before, "destination")))
            fprintf(out, " %s > %s", text_of(step, "source"), text_of(step, "destination"));
        before = step;
    }
    if (i)
        fprintf(out, "; ");
}

static void write_verdict(FILE *out, const json_t *packet)
{
    const json_t *steps = json_object_get(packet, "steps");
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    const char *outcome = text_of(packet, "outcome");

    if (strcmp(outcome, "dropped") == 0)
        fprintf(out, "verdict: dropped by %s, %s", text_of(last, "nf"), text_of(last, "drop"));
    else
        fprintf(out, "verdict: %s, out by %s", outcome, text_of(packet, "out"));
    fprintf(out, " (lane %d, burst %" JSON_INTEGER_FORMAT ", input %" JSON_INTEGER_FORMAT ")",
            (int)number_of(packet, "lane"), number_of(packet, "burst"), number_of(packet, "input"));
}

/* The packet that came in, with what became of it, and the one that went out. *frames: of the file so far. */
static bool write_packet(FILE *out, const json_t *answer, const json_t *packet, unsigned *frames)
{
    const json_t *in = json_object_get(packet, "frame_in"), *left = json_object_get(packet, "frame_out");
    char comment[COMMENT_MAX] = "";
    FILE *text = fmemopen(comment, sizeof(comment), "w");

    if (!text)
        return false;
    write_steps(text, packet);
    write_verdict(text, packet);
    fclose(text);
    if (!write_frame(out, find_port(answer, text_of(packet, "in")), packet, in, CAME_IN, comment))
        return false;
    ++*frames;
    if (!left)
        return true;
    snprintf(comment, sizeof(comment), "frame %u as the chain let it out", *frames);
    ++*frames;
    return write_frame(out, find_port(answer, text_of(packet, "out")), packet, left, WENT_OUT, comment);
}

bool nd_pcapng_write(FILE *out, const char *node, const json_t *answer)
{
    const json_t *ports = json_object_get(answer, "ports"), *packets = json_object_get(answer, "packets"), *o;
    unsigned frames = 0;
    size_t i;

    if (!json_array_size(ports) || !json_is_array(packets) || !write_section(out))
        return false;
    json_array_foreach(ports, i, o)
    {
        if (!json_is_string(o) || json_string_length(o) > NAME_MAX_BYTES ||
            !write_interface(out, node, json_string_value(o)))
            return false;
    }
    json_array_foreach(packets, i, o)
    {
        if (!write_packet(out, answer, o, &frames))
            return false;
    }
    return true;
}
