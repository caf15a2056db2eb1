/* SPDX-License-Identifier: Apache-2.0 */
/* A trace as a pcapng file; see pcapng.h. No state. */
#include "node/control/pcapng.h"
#include "node/base/pcapng_file.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX      65535u
#define NAME_MAX_BYTES 63u /* of a port; a node's have fewer */
#define COMMENT_MAX    8192u

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

static bool write_frame(FILE *out, int port, const json_t *packet, const json_t *frame, bool left,
                        const char *comment)
{
    uint32_t have = 0;
    uint8_t *bytes = decode_frame(frame, &have);
    const struct nd_pcapng_packet p = {.port = (unsigned)port,
                                       .out = left,
                                       .time = (uint64_t)number_of(packet, "time_ns"),
                                       .bytes = bytes,
                                       .have = have,
                                       .wire = (uint32_t)number_of(frame, "bytes"),
                                       .comment = comment};
    bool whole = port >= 0 && bytes && have <= number_of(frame, "bytes") && nd_pcapng_packet(out, &p);

    free(bytes);
    return whole;
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
    if (!write_frame(out, find_port(answer, text_of(packet, "in")), packet, in, false, comment))
        return false;
    ++*frames;
    if (!left)
        return true;
    snprintf(comment, sizeof(comment), "frame %u as the chain let it out", *frames);
    ++*frames;
    return write_frame(out, find_port(answer, text_of(packet, "out")), packet, left, true, comment);
}

bool nd_pcapng_write(FILE *out, const char *node, const json_t *answer)
{
    const json_t *ports = json_object_get(answer, "ports"), *packets = json_object_get(answer, "packets"), *o;
    unsigned frames = 0;
    size_t i;

    if (!json_array_size(ports) || !json_is_array(packets) || !nd_pcapng_section(out))
        return false;
    json_array_foreach(ports, i, o)
    {
        if (!json_is_string(o) || json_string_length(o) > NAME_MAX_BYTES ||
            !nd_pcapng_port(out, node, json_string_value(o)))
            return false;
    }
    json_array_foreach(packets, i, o)
    {
        if (!write_packet(out, answer, o, &frames))
            return false;
    }
    return true;
}
