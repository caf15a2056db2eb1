/* SPDX-License-Identifier: Apache-2.0 */
/* Owns an encoder of IPFIX, which is libfixbuf's session, and writes lines of JSON. See encode.h. */
#include "understudy/export/encode.h"
#include "understudy/base/event_writer.h"

#include <arpa/inet.h>
#include <fixbuf/public.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN 1u /* of observation: numbers distinguish lanes and states */

/* ---- templates ----------------------------------------------------------------------------------- */

/* What a record may have, in the order of `elements` and each in the machine's order of bytes: libfixbuf
 * takes from it what a template asks for. */
struct __attribute__((packed)) record {
    uint64_t number, time, first, last; /* times in ms */
    uint64_t bytes[2], packets[2];
    uint32_t source, destination, to_source, to_destination;
    uint8_t source6[16], destination6[16];
    uint16_t sport, to_sport, dport, to_dport;
    uint8_t proto, event, why;
};

enum { MAPPING = 1, FLOW = 2, IPV4 = 4, IPV6 = 8 }; /* what has an element; 0: all have it */

#define SPEC(name, bytes, of)                                                                                \
    {                                                                                                        \
        (char *)(uintptr_t)(name), (bytes), (of)                                                             \
    }
static fbInfoElementSpec_t elements[] = {
    SPEC("flowId", 8, 0),
    SPEC("observationTimeMilliseconds", 8, MAPPING),
    SPEC("flowStartMilliseconds", 8, FLOW),
    SPEC("flowEndMilliseconds", 8, FLOW),
    SPEC("octetDeltaCount", 8, FLOW),
    SPEC("reverseOctetDeltaCount", 8, FLOW),
    SPEC("packetDeltaCount", 8, FLOW),
    SPEC("reversePacketDeltaCount", 8, FLOW),
    SPEC("sourceIPv4Address", 4, IPV4),
    SPEC("destinationIPv4Address", 4, IPV4),
    SPEC("postNATSourceIPv4Address", 4, MAPPING),
    SPEC("postNATDestinationIPv4Address", 4, MAPPING),
    SPEC("sourceIPv6Address", 16, IPV6),
    SPEC("destinationIPv6Address", 16, IPV6),
    SPEC("sourceTransportPort", 2, 0),
    SPEC("postNAPTSourceTransportPort", 2, MAPPING),
    SPEC("destinationTransportPort", 2, 0),
    SPEC("postNAPTDestinationTransportPort", 2, MAPPING),
    SPEC("protocolIdentifier", 1, 0),
    SPEC("natEvent", 1, MAPPING),
    SPEC("flowEndReason", 1, FLOW),
    FB_IESPEC_NULL,
};

#define FIRST_TEMPLATE 256u /* RFC 7011, 3.4.1 */
#define OF_EVENTS      4u   /* templates: two of mappings, two of flows; the last is struct record's */
static const uint32_t templates[] = {MAPPING | IPV4, MAPPING | IPV6, FLOW | IPV4, FLOW | IPV6,
                                     MAPPING | FLOW | IPV4 | IPV6};

/* ---- IPFIX ----------------------------------------------------------------------------------------- */

struct nd_ipfix {
    fbInfoModel_t *model;
    fbSession_t *session;   /* buf's, once there is one */
    fbExporter_t *exporter; /* the same */
    fBuf_t *buf;
    bool templates; /* are due */
};

static int failed(struct ft_fault *fault, GError *error)
{
    ft_fail(fault, FT_EIO, "libfixbuf: %s", error ? error->message : "no reason given");
    g_clear_error(&error);
    return FT_EIO;
}

static int add_template(struct nd_ipfix *x, unsigned which, struct ft_fault *fault)
{
    fbTemplate_t *t = fbTemplateAlloc(x->model);
    GError *error = NULL;

    if (!fbTemplateAppendSpecArray(t, elements, templates[which], &error)) {
        fbTemplateFreeUnused(t);
        return failed(fault, error);
    }
    return fbSessionAddTemplate(x->session, which == OF_EVENTS, (uint16_t)(FIRST_TEMPLATE + which), t, &error)
               ? 0
               : failed(fault, error);
}

int nd_ipfix_open(struct nd_ipfix **out, uint8_t *message, uint16_t most, struct ft_fault *fault)
{
    struct nd_ipfix *x = calloc(1, sizeof(*x));
    int error = 0;

    *out = NULL;
    if (!x)
        return ft_fail(fault, FT_ENOMEM, "no memory for IPFIX");
    x->templates = true;
    x->model = fbInfoModelAlloc();
    x->session = fbSessionAlloc(x->model);
    fbSessionSetDomain(x->session, DOMAIN); /* first: templates belong to it */
    for (unsigned i = 0; i <= OF_EVENTS && !error; i++)
        error = add_template(x, i, fault);
    if (error) {
        fbSessionFree(x->session);
        nd_ipfix_close(x);
        return error;
    }
    x->exporter = fbExporterAllocBuffer(message, most);
    x->buf = fBufAllocForExport(x->session, x->exporter);
    fBufSetAutomaticMode(x->buf, FALSE);
    *out = x;
    return 0;
}

void nd_ipfix_close(struct nd_ipfix *x)
{
    if (!x)
        return;
    if (x->buf)
        fBufFree(x->buf); /* with session and exporter */
    fbInfoModelFree(x->model);
    free(x);
}

void nd_ipfix_templates(struct nd_ipfix *x)
{
    x->templates = true;
}

static uint32_t address(const uint8_t bytes[16])
{
    uint32_t addr;

    memcpy(&addr, bytes, sizeof(addr));
    return ntohl(addr);
}

/* RFC 8158, 4.3: natEvent of sessions, 4 and 5 of NAT44, 6 and 7 of NAT64. */
static struct record record_of(const struct nf_log_event *e)
{
    struct record r = {
        .number = e->number,
        .time = e->time / 1000000,
        .first = e->first / 1000000,
        .last = e->time / 1000000,
        .bytes = {e->bytes[0], e->bytes[1]},
        .packets = {e->packets[0], e->packets[1]},
        .source = address(e->source),
        .destination = address(e->destination),
        .to_source = ntohl(e->to_source),
        .to_destination = ntohl(e->to_destination),
        .sport = ntohs(e->sport),
        .to_sport = ntohs(e->to_sport),
        .dport = ntohs(e->dport),
        .to_dport = ntohs(e->to_dport),
        .proto = e->proto,
        .event = (uint8_t)((e->ipv6 ? 6 : 4) + (e->kind == NF_LOG_END)),
        .why = e->why == NF_SESSION_IDLE        ? 1
               : e->why == NF_SESSION_DISPLACED ? 5
                                                : 4,
    };

    memcpy(r.source6, e->source, sizeof(r.source6));
    memcpy(r.destination6, e->destination, sizeof(r.destination6));
    return r;
}

/* False: there is no room, or an error of libfixbuf's. */
static bool append(struct nd_ipfix *x, const struct nf_log_event *e)
{
    uint16_t id = (uint16_t)(FIRST_TEMPLATE + (e->kind == NF_LOG_FLOW ? 2 : 0) + (e->ipv6 ? 1 : 0));
    struct record record = record_of(e);
    GError *error = NULL;
    bool done = fBufSetInternalTemplate(x->buf, FIRST_TEMPLATE + OF_EVENTS, &error) &&
                fBufSetExportTemplate(x->buf, id, &error) &&
                fBufAppend(x->buf, (uint8_t *)&record, sizeof(record), &error);

    g_clear_error(&error);
    return done;
}

uint32_t nd_ipfix_encode(struct nd_ipfix *x, const struct nf_log_event *const events[], uint32_t n,
                         uint32_t seconds, size_t *len)
{
    GError *error = NULL;
    uint32_t done = 0;

    /* The first of either behind the other only makes libfixbuf ready for a message of its kind. */
    if (x->templates && !fbSessionExportTemplates(x->session, &error)) {
        g_clear_error(&error);
        fbSessionExportTemplates(x->session, &error);
    }
    while (!x->templates && done < n && (append(x, events[done]) || (!done && append(x, events[done]))))
        done++;
    x->templates = false;
    fBufSetExportTime(x->buf, seconds); /* of a message that has begun: templates begin one */
    *len = !error && fBufEmit(x->buf, &error) ? fbExporterGetMsgLen(x->exporter) : 0;
    g_clear_error(&error);
    return *len ? done : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

#define LINE_MAX_BYTES 640u

static const char *const kinds[4] = {
    "unknown", [NF_LOG_BEGIN] = "begin", [NF_LOG_END] = "end", [NF_LOG_FLOW] = "flow"};
static const char *const whys[NF_SESSION_WHYS] = {"idle", "cleared", "refused", "displaced"};

static const char *text_of(char out[INET6_ADDRSTRLEN], const void *addr, bool ipv6)
{
    return inet_ntop(ipv6 ? AF_INET6 : AF_INET, addr, out, INET6_ADDRSTRLEN);
}

/* A line with its end; at most LINE_MAX_BYTES. */
static size_t write_line(char *out, const struct nf_log_event *e)
{
    char time[ND_WALL_TEXT], source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    int at = snprintf(out, LINE_MAX_BYTES,
                      "{\"time\":\"%s\",\"event\":\"%s\",\"number\":\"%016" PRIx64 "\",\"protocol\":%u,"
                      "\"source\":\"%s\",\"source_port\":%u,\"destination\":\"%s\",\"destination_port\":%u",
                      nd_wall_text(time, e->time), kinds[e->kind % 4], e->number, e->proto,
                      text_of(source, e->source, e->ipv6), ntohs(e->sport),
                      text_of(destination, e->destination, e->ipv6), ntohs(e->dport));

    if (e->kind == NF_LOG_FLOW)
        at += snprintf(out + at, LINE_MAX_BYTES - (size_t)at,
                       ",\"first\":\"%s\",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64
                       ",\"back_packets\":%" PRIu64 ",\"back_bytes\":%" PRIu64,
                       nd_wall_text(time, e->first), e->packets[0], e->bytes[0], e->packets[1], e->bytes[1]);
    else
        at += snprintf(out + at, LINE_MAX_BYTES - (size_t)at,
                       ",\"to_source\":\"%s\",\"to_source_port\":%u,\"to_destination\":\"%s\","
                       "\"to_destination_port\":%u",
                       text_of(source, &e->to_source, false), ntohs(e->to_sport),
                       text_of(destination, &e->to_destination, false), ntohs(e->to_dport));
    if (e->kind != NF_LOG_BEGIN)
        at += snprintf(out + at, LINE_MAX_BYTES - (size_t)at, ",\"why\":\"%s\"",
                       whys[e->why % NF_SESSION_WHYS]);
    at += snprintf(out + at, LINE_MAX_BYTES - (size_t)at, "}\n");
    return (size_t)at;
}

uint32_t nd_json_encode(const struct nf_log_event *const events[], uint32_t n, char *out, size_t most,
                        size_t *len)
{
    uint32_t done = 0;

    for (*len = 0; done < n && most - *len >= LINE_MAX_BYTES; done++)
        *len += write_line(out + *len, events[done]);
    return done;
}
