/* SPDX-License-Identifier: Apache-2.0 */
/* Owns an encoder of IPFIX, which is libfixbuf's session, and writes lines of JSON. See encode.h. */
#include "node/export/encode.h"
#include "node/base/event_writer.h"

#include <arpa/inet.h>
#include <fixbuf/public.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN 1u /* of observation: numbers tell lanes and states apart */

/* ---- templates ----------------------------------------------------------------------------------- */

/* RFC 8158, 4.3: natEvent of sessions. */
enum { NAT44_CREATE = 4, NAT44_DELETE, NAT64_CREATE, NAT64_DELETE };

/* Records as their templates say, in the machine's order; libfixbuf makes the network's of it. */
struct __attribute__((packed)) nat44 {
    uint64_t number, time;
    uint32_t source, to_source, destination, to_destination;
    uint16_t sport, to_sport, dport, to_dport;
    uint8_t proto, event;
};
struct __attribute__((packed)) nat64 {
    uint64_t number, time;
    uint8_t source[16], destination[16];
    uint32_t to_source, to_destination;
    uint16_t sport, to_sport, dport, to_dport;
    uint8_t proto, event;
};
struct __attribute__((packed)) flow {
    uint64_t number, first, time, bytes, packets, back_bytes, back_packets;
    uint16_t sport, dport;
    uint8_t proto, why;
};
struct __attribute__((packed)) flow4 {
    struct flow flow;
    uint32_t source, destination;
};
struct __attribute__((packed)) flow6 {
    struct flow flow;
    uint8_t source[16], destination[16];
};

#define SPEC(name, bytes)                                                                                    \
    {                                                                                                        \
        (char *)(uintptr_t)(name), (bytes), 0                                                                \
    }
#define TRANSLATED                                                                                           \
    SPEC("sourceTransportPort", 2), SPEC("postNAPTSourceTransportPort", 2),                                  \
        SPEC("destinationTransportPort", 2), SPEC("postNAPTDestinationTransportPort", 2),                    \
        SPEC("protocolIdentifier", 1), SPEC("natEvent", 1)
#define COUNTED                                                                                              \
    SPEC("flowId", 8), SPEC("flowStartMilliseconds", 8), SPEC("flowEndMilliseconds", 8),                     \
        SPEC("octetDeltaCount", 8), SPEC("packetDeltaCount", 8), SPEC("reverseOctetDeltaCount", 8),          \
        SPEC("reversePacketDeltaCount", 8), SPEC("sourceTransportPort", 2),                                  \
        SPEC("destinationTransportPort", 2), SPEC("protocolIdentifier", 1), SPEC("flowEndReason", 1)

static fbInfoElementSpec_t nat44_spec[] = {SPEC("flowId", 8),
                                           SPEC("observationTimeMilliseconds", 8),
                                           SPEC("sourceIPv4Address", 4),
                                           SPEC("postNATSourceIPv4Address", 4),
                                           SPEC("destinationIPv4Address", 4),
                                           SPEC("postNATDestinationIPv4Address", 4),
                                           TRANSLATED,
                                           FB_IESPEC_NULL};
static fbInfoElementSpec_t nat64_spec[] = {SPEC("flowId", 8),
                                           SPEC("observationTimeMilliseconds", 8),
                                           SPEC("sourceIPv6Address", 16),
                                           SPEC("destinationIPv6Address", 16),
                                           SPEC("postNATSourceIPv4Address", 4),
                                           SPEC("postNATDestinationIPv4Address", 4),
                                           TRANSLATED,
                                           FB_IESPEC_NULL};
static fbInfoElementSpec_t flow4_spec[] = {COUNTED, SPEC("sourceIPv4Address", 4),
                                           SPEC("destinationIPv4Address", 4), FB_IESPEC_NULL};
static fbInfoElementSpec_t flow6_spec[] = {COUNTED, SPEC("sourceIPv6Address", 16),
                                           SPEC("destinationIPv6Address", 16), FB_IESPEC_NULL};

enum { NAT44, NAT64, FLOW4, FLOW6, TEMPLATES };
#define FIRST_TEMPLATE 256u /* RFC 7011, 3.4.1 */

static fbInfoElementSpec_t *const specs[TEMPLATES] = {nat44_spec, nat64_spec, flow4_spec, flow6_spec};

/* ---- IPFIX ----------------------------------------------------------------------------------------- */

struct nd_ipfix {
    fbInfoModel_t *model;
    fbSession_t *session;   /* buf's, once there is one */
    fbExporter_t *exporter; /* the same */
    fBuf_t *buf;
    uint8_t *bytes;
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
    uint16_t id = (uint16_t)(FIRST_TEMPLATE + which);
    fbTemplate_t *t = fbTemplateAlloc(x->model);
    GError *error = NULL;

    if (!fbTemplateAppendSpecArray(t, specs[which], 0, &error)) {
        fbTemplateFreeUnused(t);
        return failed(fault, error);
    }
    if (!fbSessionAddTemplate(x->session, TRUE, id, t, &error) ||
        !fbSessionAddTemplate(x->session, FALSE, id, t, &error))
        return failed(fault, error);
    return 0;
}

int nd_ipfix_open(struct nd_ipfix **out, uint16_t most, struct ft_fault *fault)
{
    struct nd_ipfix *x = calloc(1, sizeof(*x));
    int error = 0;

    *out = NULL;
    if (!x || !(x->bytes = malloc(most))) {
        free(x);
        return ft_fail(fault, FT_ENOMEM, "no memory for messages of IPFIX");
    }
    x->templates = true;
    x->model = fbInfoModelAlloc();
    x->session = fbSessionAlloc(x->model);
    fbSessionSetDomain(x->session, DOMAIN); /* first: templates belong to it */
    for (unsigned i = 0; i < TEMPLATES && !error; i++)
        error = add_template(x, i, fault);
    if (error) {
        fbSessionFree(x->session);
        x->session = NULL;
        nd_ipfix_close(x);
        return error;
    }
    x->exporter = fbExporterAllocBuffer(x->bytes, most);
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
    free(x->bytes);
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

static uint8_t reason(uint8_t why)
{
    return why == NF_SESSION_IDLE ? 1 : why == NF_SESSION_DISPLACED ? 5 : 4;
}

static void fill_nat44(struct nat44 *r, const struct nf_log_event *e)
{
    *r = (struct nat44){
        .number = e->number,
        .time = e->time / 1000000,
        .source = address(e->source),
        .to_source = ntohl(e->to_source),
        .destination = address(e->destination),
        .to_destination = ntohl(e->to_destination),
        .sport = ntohs(e->sport),
        .to_sport = ntohs(e->to_sport),
        .dport = ntohs(e->dport),
        .to_dport = ntohs(e->to_dport),
        .proto = e->proto,
        .event = e->kind == NF_LOG_BEGIN ? NAT44_CREATE : NAT44_DELETE,
    };
}

static void fill_nat64(struct nat64 *r, const struct nf_log_event *e)
{
    *r = (struct nat64){
        .number = e->number,
        .time = e->time / 1000000,
        .to_source = ntohl(e->to_source),
        .to_destination = ntohl(e->to_destination),
        .sport = ntohs(e->sport),
        .to_sport = ntohs(e->to_sport),
        .dport = ntohs(e->dport),
        .to_dport = ntohs(e->to_dport),
        .proto = e->proto,
        .event = e->kind == NF_LOG_BEGIN ? NAT64_CREATE : NAT64_DELETE,
    };
    memcpy(r->source, e->source, sizeof(r->source));
    memcpy(r->destination, e->destination, sizeof(r->destination));
}

static void fill_flow(struct flow *r, const struct nf_log_event *e)
{
    *r = (struct flow){
        .number = e->number,
        .first = e->first / 1000000,
        .time = e->time / 1000000,
        .bytes = e->bytes[0],
        .packets = e->packets[0],
        .back_bytes = e->bytes[1],
        .back_packets = e->packets[1],
        .sport = ntohs(e->sport),
        .dport = ntohs(e->dport),
        .proto = e->proto,
        .why = reason(e->why),
    };
}

/* False: there is no room, or an error of libfixbuf's. */
static bool append(struct nd_ipfix *x, const struct nf_log_event *e)
{
    bool flow = e->kind == NF_LOG_FLOW;
    unsigned which = flow ? (e->ipv6 ? FLOW6 : FLOW4) : (e->ipv6 ? NAT64 : NAT44);
    uint16_t id = (uint16_t)(FIRST_TEMPLATE + which);
    union {
        struct nat44 nat44;
        struct nat64 nat64;
        struct flow4 flow4;
        struct flow6 flow6;
    } record;
    GError *error = NULL;
    size_t size = 0;
    bool done;

    switch (which) {
    case NAT44:
        fill_nat44(&record.nat44, e);
        size = sizeof(record.nat44);
        break;
    case NAT64:
        fill_nat64(&record.nat64, e);
        size = sizeof(record.nat64);
        break;
    case FLOW4:
        fill_flow(&record.flow4.flow, e);
        record.flow4.source = address(e->source);
        record.flow4.destination = address(e->destination);
        size = sizeof(record.flow4);
        break;
    case FLOW6:
        fill_flow(&record.flow6.flow, e);
        memcpy(record.flow6.source, e->source, sizeof(e->source));
        memcpy(record.flow6.destination, e->destination, sizeof(e->destination));
        size = sizeof(record.flow6);
        break;
    }
    done = fBufSetInternalTemplate(x->buf, id, &error) && fBufSetExportTemplate(x->buf, id, &error) &&
           fBufAppend(x->buf, (uint8_t *)&record, size, &error); /* it looks at the error itself */
    g_clear_error(&error);
    return done;
}

uint32_t nd_ipfix_encode(struct nd_ipfix *x, const struct nf_log_event *const events[], uint32_t n,
                         uint32_t seconds, const uint8_t **message, size_t *len)
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
    *message = x->bytes;
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
