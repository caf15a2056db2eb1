/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy trace: what the chain does to the next packets that match, NF by NF, for people; and the same as
 * a pcapng file, for wireshark. In that a packet is there as it came in, with a comment on what each NF did
 * and what became of it, and behind that as the chain let it out, if it did.
 */
#include "understudy/cli/pair.h"
#include "understudy/base/pcapng_file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX      65535u
#define NAME_MAX_BYTES 63u /* of a port; a node's have fewer */
#define COMMENT_MAX    8192u
#define FILTER_BYTES   1024u /* of the text */
#define ANSWER_MS      5000  /* beyond the seconds that are asked for */
#define INSTRUCTIONS   120u  /* what one request has room for */
#define SNAPLEN        65535
#define TAKEN_IN       "taken in" /* an outcome: of ARP and neighbour discovery */
#define FRAME_BYTES    65535      /* as many as the node has room for */

struct trace_options {
    struct nd_options common;
    uint32_t packets;
    double seconds;
    const char *write; /* NULL: to the terminal */
};

#define AT(field) offsetof(struct trace_options, field)

static const struct nd_option options_of_trace[] = {
    ND_OPTION_FILE_ROW(AT(common.file), "configuration"),
    ND_OPTION_NODE_ROW(AT(common.node)),
    ND_OPTION_JSON_ROW(AT(common.json)),
    {"packets", 0, ND_OPTION_U32, AT(packets), 1, 100, "10", .value = "N", .help = "as many packets"},
    {"seconds", 0, ND_OPTION_REAL, AT(seconds), 0.001, 60, "10", .value = "S", .help = "no longer than this"},
    {"write", 'w', ND_OPTION_TEXT, AT(write), .value = "FILE", .help = "as pcapng; -: to stdout"},
    {.name = NULL},
};

const struct nd_syntax nd_trace_syntax = {"trace", options_of_trace, "[FILTER]", 0, 64};

/* ---- as pcapng ----------------------------------------------------------------------------------- */

static const char *text_of(const json_t *of, const char *name)
{
    const char *text = json_string_value(json_object_get(of, name));

    return text ? text : "?";
}

/* The number of the port `name` among all; -1: none of them. */
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
                                       .time = (uint64_t)nd_integer(packet, "time_ns"),
                                       .bytes = bytes,
                                       .have = have,
                                       .wire = (uint32_t)nd_integer(frame, "bytes"),
                                       .comment = comment};
    bool whole = port >= 0 && bytes && have <= nd_integer(frame, "bytes") && nd_pcapng_packet(out, &p);

    free(bytes);
    return whole;
}

static bool same_ends(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "source"), json_object_get(b, "source")) &&
           json_equal(json_object_get(a, "destination"), json_object_get(b, "destination"));
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
        if (json_is_string(drop) || json_object_get(step, "taken_in"))
            break;
        fprintf(out, "%s%s", i ? "; " : "", text_of(step, "nf"));
        if (!same_ends(step, before))
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

    if (strcmp(outcome, TAKEN_IN) == 0)
        fprintf(out, "verdict: taken in by %s, %s", text_of(last, "nf"), text_of(last, "taken_in"));
    else if (strcmp(outcome, "dropped") == 0)
        fprintf(out, "verdict: dropped by %s, %s%s%s", text_of(last, "nf"), text_of(last, "drop"),
                nd_text(last, "why", NULL) ? " by " : "", nd_text(last, "why", ""));
    else
        fprintf(out, "verdict: %s, out by %s", outcome, text_of(packet, "out"));
    fprintf(out, " (lane %d, burst %" JSON_INTEGER_FORMAT ", input %" JSON_INTEGER_FORMAT ")",
            (int)nd_integer(packet, "lane"), nd_integer(packet, "burst"), nd_integer(packet, "input"));
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

/* The answer to "trace" of the node with this name as a pcapng file. False: the answer lacks something, or
 * has a frame that is none. Errors of `out` stay with it. */
static bool write_pcapng(FILE *out, const char *node, const json_t *answer)
{
    const json_t *ports = json_object_get(answer, "ports"), *packets = json_object_get(answer, "packets"), *o;
    const char *names[NF_PORTS_MAX];
    unsigned frames = 0;
    size_t i;

    if (!json_array_size(ports) || json_array_size(ports) > NF_PORTS_MAX || !json_is_array(packets))
        return false;
    json_array_foreach(ports, i, o)
    {
        names[i] = json_string_value(o);
        if (!names[i] || strlen(names[i]) > NAME_MAX_BYTES)
            return false;
    }
    if (!nd_pcapng_begin(out, node, names, (unsigned)i))
        return false;
    json_array_foreach(packets, i, o)
    {
        if (!write_packet(out, answer, o, &frames))
            return false;
    }
    return true;
}

/* ---- the filter -------------------------------------------------------------------------------- */

/* The words of the command line as pcap-filter(7) has them, compiled. 0, or an exit code with its line. */
static int compile_filter(int argc, char **argv, json_t **out)
{
    char text[FILTER_BYTES] = "";
    struct bpf_program program;
    size_t len = 0;
    pcap_t *pcap;
    int code = 0;

    *out = NULL;
    for (int i = 0; i < argc; i++)
        if ((len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", argv[i])) >=
            sizeof(text))
            return nd_usage("trace", "the filter has %zu bytes or more, expected less", sizeof(text));
    if (len == 0)
        return 0;
    pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN);
    if (!pcap || pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        code = nd_usage("trace", "filter \"%.60s\": %s", text, pcap ? pcap_geterr(pcap) : "no memory");
    } else {
        if (program.bf_len > INSTRUCTIONS)
            code = nd_usage("trace", "the filter has %u instructions, expected at most %u", program.bf_len,
                            INSTRUCTIONS);
        *out = code ? NULL : json_array();
        for (unsigned i = 0; *out && i < program.bf_len; i++) {
            const struct bpf_insn *in = &program.bf_insns[i];

            json_array_append_new(*out, json_pack("[i,i,i,I]", in->code, in->jt, in->jf, (json_int_t)in->k));
        }
        pcap_freecode(&program);
    }
    if (pcap)
        pcap_close(pcap);
    return code;
}

/* ---- for people -------------------------------------------------------------------------------- */

static const char *protocol_name(json_int_t number, char buf[16])
{
    if (number == 1 || number == 6 || number == 17 || number == 58)
        return number == 1 ? "icmp" : number == 6 ? "tcp" : number == 17 ? "udp" : "icmpv6";
    snprintf(buf, 16, "protocol %d", (int)number);
    return buf;
}

static bool has_ends(const json_t *of)
{
    return json_is_string(json_object_get(of, "source"));
}

static void print_step(const json_t *step, const json_t *before)
{
    const char *drop = nd_text(step, "drop", NULL), *taken = nd_text(step, "taken_in", NULL);

    if (taken)
        printf("    %-14s takes it in: %s\n", text_of(step, "nf"), taken);
    else if (drop)
        printf("    %-14s drops it: %s%s%s\n", text_of(step, "nf"), drop,
               nd_text(step, "why", NULL) ? " by " : "", nd_text(step, "why", ""));
    else if (has_ends(step) && !same_ends(step, before))
        printf("    %-14s %s > %s\n", text_of(step, "nf"), text_of(step, "source"),
               text_of(step, "destination"));
    else
        printf("    %s\n", text_of(step, "nf"));
}

static void print_packet(const json_t *p)
{
    json_int_t time = nd_integer(p, "time_ns");
    time_t seconds = (time_t)(time / 1000000000);
    const char *outcome = nd_text(p, "outcome", "");
    const json_t *before = p, *step;
    char clock[16], buf[16];
    struct tm tm;
    size_t i;

    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&seconds, &tm));
    printf("%s.%06d  ", clock, (int)(time % 1000000000 / 1000));
    if (has_ends(p))
        printf("%s > %s %s, ", text_of(p, "source"), text_of(p, "destination"),
               protocol_name(nd_integer(p, "protocol"), buf));
    printf("%d bytes, in by %s; lane %d, burst %" JSON_INTEGER_FORMAT ", input %" JSON_INTEGER_FORMAT "\n",
           (int)nd_integer(p, "bytes"), text_of(p, "in"), (int)nd_integer(p, "lane"), nd_integer(p, "burst"),
           nd_integer(p, "input"));
    json_array_foreach(json_object_get(p, "steps"), i, step)
    {
        print_step(step, before);
        before = step;
    }
    if (strcmp(outcome, "dropped") != 0 && strcmp(outcome, TAKEN_IN) != 0)
        printf("    %s by %s\n", strcmp(outcome, "answered") == 0 ? "answered, out" : "out",
               text_of(p, "out"));
}

/* Fewer packets than asked for are no error. */
static void print_shortage(FILE *out, const json_t *packets, const struct trace_options *o)
{
    if (json_array_size(packets) < o->packets)
        fprintf(out, "%zu of %u packets came within %g s\n", json_array_size(packets), o->packets,
                o->seconds);
}

/* ---- for wireshark ----------------------------------------------------------------------------- */

static int refuse_file(const char *path)
{
    fprintf(stderr, "understudy trace: %s: %s\n", path, strerror(errno));
    return ND_DATA;
}

/* What is at `path` stays as it is until there is an answer. 0 and *out, or an exit code with its line. */
static int open_file(FILE **out, const char *path)
{
    static const char *const heads[] = {"\x0a\x0d\x0d\x0a"};

    *out = stdout;
    if (strcmp(path, "-") == 0)
        return isatty(STDOUT_FILENO) ? nd_usage("trace", "-w - writes no text, expected a file or a pipe")
                                     : 0;
    if (!nd_options_replaceable(path, heads, 1, 4))
        return nd_usage("trace", "-w %.40s, expected a pcapng file to replace, or a name that is free", path);
    *out = fopen(path, "ae");
    return *out ? 0 : refuse_file(path);
}

/* No file is left that nothing was written to. */
static int give_up_file(FILE *out, const char *path, int code)
{
    struct stat is;

    if (out == stdout)
        return code;
    if (fstat(fileno(out), &is) == 0 && S_ISREG(is.st_mode) && is.st_size == 0)
        unlink(path);
    fclose(out);
    return code;
}

/* Takes `out`. The file is made in memory first, so that what was there is replaced by a whole one or stays.
 */
static int write_file(FILE *out, const char *path, const char *node, const json_t *answer)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&bytes, &size);
    bool whole = memory && write_pcapng(memory, node, answer);
    struct stat is;
    int code = ND_DONE;

    if (memory && fclose(memory) != 0)
        whole = false;
    if (!whole) {
        fprintf(stderr, "understudy: node %s: its answer has no frames to write\n", node);
        free(bytes);
        return give_up_file(out, path, ND_SOFTWARE);
    }
    if ((out != stdout && fstat(fileno(out), &is) == 0 && S_ISREG(is.st_mode) &&
         ftruncate(fileno(out), 0) != 0) ||
        fwrite(bytes, 1, size, out) != size || fflush(out) != 0)
        code = refuse_file(path);
    free(bytes);
    if (out != stdout && fclose(out) != 0 && !code)
        code = refuse_file(path);
    return code;
}

/* ---- the command ------------------------------------------------------------------------------- */

static int show_answer(const struct nd_pair *pair, const struct trace_options *o, FILE *file,
                       const json_t *answer)
{
    const json_t *packets = json_object_get(answer, "packets");
    int code;

    if (file) {
        code = write_file(file, o->write, pair->config->node[pair->only].name, answer);
        if (!code)
            print_shortage(stderr, packets, o);
        return code;
    }
    if (o->common.json)
        return nd_print_json(answer);
    const json_t *p;
    size_t i;

    json_array_foreach(packets, i, p) print_packet(p);
    print_shortage(stdout, packets, o);
    return 0;
}

int nd_cmd_trace(int argc, char **argv)
{
    struct trace_options options = {.packets = 0};
    struct nd_arguments rest;
    struct nd_pair pair = {.only = -1};
    FILE *file = NULL;
    json_t *filter, *answer;
    int code = nd_syntax_read(&nd_trace_syntax, &options, argc, argv, &rest);

    if (!code && options.write && options.common.json)
        code = nd_usage("trace", "-w and -o json, expected one of them");
    if (code || (code = compile_filter(rest.argc, rest.argv, &filter)))
        return code;
    pair.options = options.common;
    code = nd_pair_begin(&pair, argv[0]);
    if (code) {
        json_decref(filter);
        return code;
    }
    if (!options.write || !(code = open_file(&file, options.write)))
        code = nd_pair_request(&pair, "primary",
                               json_pack("{s:s, s:i, s:f, s:i, s:O*}", "cmd", "trace", "packets",
                                         (int)options.packets, "seconds", options.seconds, "frame_bytes",
                                         file ? FRAME_BYTES : 0, "filter", filter),
                               (int)(options.seconds * 1000) + ANSWER_MS, &answer);
    if (!code) {
        code = show_answer(&pair, &options, file, answer);
        json_decref(answer);
    } else if (file) {
        give_up_file(file, options.write, code);
    }
    json_decref(filter);
    nd_pair_close(&pair);
    return code;
}
