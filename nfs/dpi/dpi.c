/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpi: finds the protocol of each flow, by nDPI as Debian has it, unchanged. A flow's first packets go to the
 * library until it knows, or until there were `packets` of them; then what it kept of the flow is given back.
 * Fragments count and are not looked into. Flows of protocols in `block` are dropped from the packet on that
 * gives them away; and where something is blocked, flows that find no room.
 *
 * State: slots in sessions; packets, bytes and flows by protocol; and in the heap what nDPI keeps of flows
 * that it looks into, and the caches by which it knows one flow by another. nDPI makes caches when it first
 * needs them and keeps pointers to them in what else is its configuration, so those pointers are lent to it
 * for a burst. A function's address that it keeps with a flow is a distance from another function here.
 *
 * nDPI reads the wall clock where a protocol has time stamps (NetFlow, uTP): as determinants. It is linked
 * into the module's file, so that both nodes have the same and its calls of the wall clock come here. There
 * is one detection module for each lane, made once. Of its structs the layout is looked at in two places: the
 * pointers to its caches, and what it keeps of the packet under way, which is cleared before each.
 */
#define NDPI_LIB_COMPILATION /* declares struct ndpi_detection_module_struct */
#include <ndpi/ndpi_api.h>

#include "nflib/nf.h"

#include <string.h>

#define DPI_PROTOCOLS   512u /* that there may be, by number */
#define DPI_NO_PROTOCOL 0u
#define DPI_PACKETS_MAX 32u /* nDPI looks into no more of a flow */
#define DPI_CACHES      8u

/* What a flow is, and what that came over, as HTTP over TLS; numbers below DPI_PROTOCOLS, 0: not known. */
struct dpi_protocol {
    uint16_t app, master;
};
/* What nDPI knows flows by that it has seen others of; addresses in the heap, NULL: not made yet. */
struct dpi_caches {
    void *at[DPI_CACHES];
};
#define DPI_DATAGRAMS 4096u /* under way, whose later fragments count in their flow */

struct dpi_config {
    struct nf_flows_config flows; /* but for its timeouts, which are one */
    uint32_t timeout, packets, heap_mb;
    bool checksums;
    const char *block;
    uint8_t blocked[DPI_PROTOCOLS / 8]; /* what `block` names, a bit each */
};

enum dpi_stage { DPI_LOOKING, DPI_KNOWN, DPI_GUESSED, DPI_UNKNOWN, DPI_UNSEEN /* the heap was full */ };
static const char *const dpi_stages[] = {"looking", "known", "guessed", "unknown", "heap full"};

/* In a session. */
struct dpi_flow {
    struct ndpi_flow_struct *inside; /* in the heap; NULL: nDPI does not look into it any more */
    uint64_t packets, bytes;
    struct dpi_protocol protocol;
    uint8_t stage;  /* enum dpi_stage */
    uint8_t looked; /* packets that nDPI has had */
};

struct dpi_total {
    uint64_t flows, packets, bytes;
};
struct dpi_state {
    struct dpi_caches caches;
    uint64_t code; /* of nDPI in this process: a peer with another one has other distances */
    struct dpi_total total[DPI_PROTOCOLS]; /* by application protocol, of flows that are decided */
};

#define DPI_NAMES(X)                                                                                         \
    X(DPI_PACKETS, "packets")                                                                                \
    X(DPI_FLOWS, "flows")                                                                                    \
    X(DPI_FLOWS_KNOWN, "flows_known")                                                                        \
    X(DPI_FLOWS_GUESSED, "flows_guessed")                                                                    \
    X(DPI_FLOWS_UNKNOWN, "flows_unknown")                                                                    \
    X(DPI_HEAP_FULL, "heap_full") /* flows that are not looked into; with `block`, their packets, dropped */ \
    X(DPI_FLOWS_FULL, "flows_full")   /* packets of flows that found no room, dropped with `block` */        \
    X(DPI_OTHER, "other")             /* packets of no flow */                                               \
    X(DPI_BLOCKED, "blocked")         /* packets dropped */                                                  \
    X(DPI_IP_CHECKSUM, "ip_checksum") /* of the others, those whose IPv4 header has a wrong checksum */      \
    X(DPI_HOST_FULL,                                                                                         \
      "host_full") /* as flows_full: its host has max_flows_per_host, open connections of TCP */
enum dpi_counter { DPI_NAMES(NF_COUNTER) DPI_COUNTERS };
static const char *const dpi_counters[] = {DPI_NAMES(NF_COUNTER_NAME) NULL};

_Static_assert(NDPI_MAJOR == 4 && NDPI_MINOR == 2, "written for nDPI 4.2");
_Static_assert(NDPI_MAX_SUPPORTED_PROTOCOLS < DPI_PROTOCOLS, "a number for each protocol");

/* ---- the wall clock ------------------------------------------------------------------------------ */

time_t __wrap_time(time_t *at);
time_t __wrap_time(time_t *at)
{
    time_t now = (time_t)nf_heap_wall_clock();

    if (at)
        *at = now;
    return now;
}

int __wrap_gettimeofday(struct timeval *at, void *zone);
int __wrap_gettimeofday(struct timeval *at, void *zone)
{
    (void)zone;
    at->tv_sec = (time_t)nf_heap_wall_clock();
    at->tv_usec = 0;
    return 0;
}

/* ---- the end of the process --------------------------------------------------------------------- */

/* nDPI 4.2 calls it in its self-test and in a tool alone, not where it has no memory left; if a packet got
 * there, the node's crash report is to name it. */
_Noreturn void __wrap_exit(int status);
_Noreturn void __wrap_exit(int status)
{
    (void)status;
    abort();
}

/* ---- caches -------------------------------------------------------------------------------------- */

static void dpi_caches_set(struct ndpi_detection_module_struct *m, const struct dpi_caches *caches)
{
    m->ookla_cache = caches->at[0];
    m->bittorrent_cache = caches->at[1];
    m->zoom_cache = caches->at[2];
    m->stun_cache = caches->at[3];
    m->tls_cert_cache = caches->at[4];
    m->mining_cache = caches->at[5];
    m->msteams_cache = caches->at[6];
    m->tinc_cache = caches->at[7];
}

static void dpi_caches_get(const struct ndpi_detection_module_struct *m, struct dpi_caches *caches)
{
    *caches = (struct dpi_caches){{m->ookla_cache, m->bittorrent_cache, m->zoom_cache, m->stun_cache,
                                   m->tls_cert_cache, m->mining_cache, m->msteams_cache, m->tinc_cache}};
}

/* They are blocks of the heap. */
static bool dpi_caches_fit(const struct dpi_caches *caches, const struct ft_heap *heap)
{
    for (unsigned i = 0; i < DPI_CACHES; i++)
        if (caches->at[i] && !ft_heap_holds(heap, caches->at[i], sizeof(struct ndpi_lru_cache)))
            return false;
    return true;
}

/* ---- opening ------------------------------------------------------------------------------------- */

/* The module's file as it is in memory, up to the end of its code; the linker's names. */
extern const uint8_t __ehdr_start[] __attribute__((visibility("hidden")));
extern const uint8_t etext[] __attribute__((visibility("hidden")));

static uint64_t code_bytes(void)
{
    return (uintptr_t)etext - (uintptr_t)__ehdr_start;
}

static uint64_t digest_of_code(void)
{
    uint64_t digest = code_bytes(), word;

    for (uint64_t at = 0; at + sizeof(word) <= code_bytes(); at += sizeof(word)) {
        memcpy(&word, __ehdr_start + at, sizeof(word));
        digest = (digest ^ word) * 0x9e3779b97f4a7c15ull;
        digest ^= digest >> 29;
    }
    return digest;
}

/* All protocols, nothing of files. `code`: a digest of nDPI's code in this process. NULL: no memory. */
static struct ndpi_detection_module_struct *dpi_open(uint64_t *code)
{
    struct ndpi_detection_module_struct *m;
    NDPI_PROTOCOL_BITMASK all;

    set_ndpi_malloc(nf_heap_malloc);
    set_ndpi_free(nf_heap_free);
    m = ndpi_init_detection_module(ndpi_no_prefs);
    if (!m)
        return NULL;
    NDPI_BITMASK_SET_ALL(all);
    ndpi_set_protocol_detection_bitmask2(m, &all);
    ndpi_finalize_initialization(m);
    *code = digest_of_code();
    return m;
}

static void dpi_close(struct ndpi_detection_module_struct *m)
{
    const struct dpi_caches none = {{NULL}};

    if (!m)
        return;
    dpi_caches_set(m, &none); /* they are the heap's */
    ndpi_exit_detection_module(m);
}

/* Sets a bit of set[DPI_PROTOCOLS / 8] for each name in `list`; false: `unknown` is none. */
static bool dpi_protocols(const char *list, uint8_t set[], char *unknown, size_t cap)
{
    struct ndpi_detection_module_struct *m = NULL;
    uint64_t code;
    bool known = true;

    memset(set, 0, DPI_PROTOCOLS / 8);
    for (list += strspn(list, " ,"); *list && known; list += strspn(list, " ,")) {
        size_t len = strcspn(list, ",");
        u_int16_t protocol;

        snprintf(unknown, cap, "%.*s", (int)len, list);
        list += len;
        for (size_t end = strlen(unknown); end && unknown[end - 1] == ' ';)
            unknown[--end] = 0;
        if (!m && !(m = dpi_open(&code)))
            return false;
        protocol = ndpi_get_proto_by_name(m, unknown);
        known = protocol != NDPI_PROTOCOL_UNKNOWN && protocol < DPI_PROTOCOLS;
        if (known)
            set[protocol / 8] |= (uint8_t)(1u << protocol % 8);
    }
    dpi_close(m);
    return known;
}

static const char *dpi_name(struct ndpi_detection_module_struct *m, uint16_t protocol)
{
    return protocol ? ndpi_get_proto_name(m, protocol) : "Unknown";
}

/* ---- packets of flows, to nDPI ------------------------------------------------------------------------- */

/* nDPI keeps the address of the function that looks into the next packet. While it does not look, that is a
 * distance from the file's begin, since the file lies elsewhere on the other node; 0: none. */
static void to_address(struct ndpi_flow_struct *flow)
{
    uint64_t at;

    memcpy(&at, &flow->extra_packets_func, sizeof(at));
    at = at && at < code_bytes() ? (uintptr_t)__ehdr_start + at : 0;
    memcpy(&flow->extra_packets_func, &at, sizeof(at));
}

static void to_distance(struct ndpi_flow_struct *flow)
{
    uint64_t at;

    memcpy(&at, &flow->extra_packets_func, sizeof(at));
    at = at ? at - (uintptr_t)__ehdr_start : 0;
    memcpy(&flow->extra_packets_func, &at, sizeof(at));
}

static struct dpi_protocol protocol_of(ndpi_protocol p)
{
    return (struct dpi_protocol){p.app_protocol < DPI_PROTOCOLS ? p.app_protocol : 0,
                                 p.master_protocol < DPI_PROTOCOLS ? p.master_protocol : 0};
}

/* A packet of the flow, from its IP header on. False: nDPI wants no more of it, if it knows what it is. */
static bool dpi_look(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow, const uint8_t *ip,
                     uint32_t len, uint64_t ms, struct dpi_protocol *is)
{
    bool more;

    memset(&m->packet, 0, sizeof(m->packet));
    to_address(flow);
    *is = protocol_of(ndpi_detection_process_packet(m, flow, ip, (unsigned short)len, ms));
    more = ndpi_extra_dissection_possible(m, flow);
    to_distance(flow);
    return more;
}

/* There will be no more: true if nDPI guesses by ports and addresses. */
static bool dpi_give_up(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow,
                        struct dpi_protocol *is)
{
    u_int8_t guessed = 0;

    to_address(flow);
    *is = protocol_of(ndpi_detection_giveup(m, flow, 1, &guessed));
    to_distance(flow);
    return is->app != DPI_NO_PROTOCOL;
}

/* ---- flows --------------------------------------------------------------------------------------- */

static const struct dpi_flow *slot_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}

/* The flow counts by what it is from now on. */
static void count_flow(const struct nf *nf, const struct dpi_flow *flow)
{
    const struct dpi_state *state = nf->state;
    struct dpi_total *total = NF_EDIT(nf, &state->total[flow->protocol.app]);

    total->flows++;
    total->packets += flow->packets;
    total->bytes += flow->bytes;
}

/* nDPI knows enough, or never will. */
static void decide(const struct nf *nf, const struct nf_session *s, enum dpi_stage stage)
{
    struct dpi_flow *flow = NF_SESSION_EDIT(nf, s, struct dpi_flow);

    if (flow->inside)
        ndpi_free_flow(flow->inside);
    flow->inside = NULL;
    flow->stage = (uint8_t)stage;
    count_flow(nf, flow);
    if (stage != DPI_UNSEEN)
        nf_count(nf,
                 stage == DPI_KNOWN     ? DPI_FLOWS_KNOWN
                 : stage == DPI_GUESSED ? DPI_FLOWS_GUESSED
                                        : DPI_FLOWS_UNKNOWN,
                 1);
}

/* The IP packet, as much as is there. */
static uint32_t ip_bytes(const struct nf_packet *p)
{
    uint32_t end = p->l4 + p->l4_len;

    return (end < p->have ? end : p->have) - p->l3;
}

static void look(const struct nf *nf, const struct nf_session *s, const struct nf_packet *p, uint64_t now)
{
    const struct dpi_config *config = nf->config;
    struct dpi_flow *flow = NF_SESSION_EDIT(nf, s, struct dpi_flow);
    bool guessed, more;

    flow->looked++;
    more = dpi_look(nf->library, flow->inside, p->data + p->l3, ip_bytes(p), now / NF_MS, &flow->protocol);
    if (flow->protocol.app != DPI_NO_PROTOCOL && !more) {
        decide(nf, s, DPI_KNOWN);
    } else if (flow->looked >= config->packets) {
        bool known = flow->protocol.app != DPI_NO_PROTOCOL;

        guessed = !known && dpi_give_up(nf->library, flow->inside, &flow->protocol);
        decide(nf, s, known ? DPI_KNOWN : guessed ? DPI_GUESSED : DPI_UNKNOWN);
    }
}

/* Then what cannot be looked at does not pass: who fills a table would else have let it. */
static bool blocks(const struct nf *nf)
{
    return *((const struct dpi_config *)nf->config)->block != 0;
}

/* It is looked into, and both ends have not spoken yet: nothing that is blocked has gone by. */
static enum nf_session_frees frees(const struct nf *nf, const struct nf_session *s, const void *arg)
{
    uint8_t class = nf_session_class(s);

    (void)arg;
    return slot_of(nf, s)->stage == DPI_LOOKING && nf_timeout_is_transitory(class) &&
                   class != NF_TIMEOUT_UDP_ANSWERED
               ? NF_FREES
               : NF_FREES_NONE;
}

/* NULL: the heap is full. Where that would have the flow dropped, another one gives way, as in a full table.
 */
static struct ndpi_flow_struct *make_inside(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    const struct dpi_config *config = nf->config;
    const struct nf_session_need need = {
        .kind = 0, .limit = (config->heap_mb << 20) / sizeof(struct ndpi_flow_struct), .frees = frees};
    struct ndpi_flow_struct *inside = nf_heap_calloc(1, sizeof(*inside));

    if (!inside && blocks(nf) && nf_session_displace(nf, p, &need, now))
        inside = nf_heap_calloc(1, sizeof(*inside));
    return inside;
}

static const struct nf_session *join(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nf_session *s = nf_session_join(nf, p, now);
    struct dpi_flow *flow;

    if (!s) {
        if (!p->drop)
            nf_drop_or_pass(nf, p, blocks(nf) ? NF_POLICY_DROP : NF_POLICY_PASS,
                            nf_session_host_full(nf, p) ? DPI_HOST_FULL : DPI_FLOWS_FULL);
        return NULL;
    }
    nf_count(nf, DPI_FLOWS, 1);
    flow = NF_SESSION_EDIT(nf, s, struct dpi_flow);
    flow->inside = make_inside(nf, p, now);
    if (!flow->inside) {
        decide(nf, s, DPI_UNSEEN);
        nf_count(nf, DPI_HEAP_FULL, !blocks(nf));
    }
    return s;
}

static void one_packet(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct dpi_config *config = nf->config;
    const struct dpi_state *state = nf->state;
    const struct nf_session *s = nf_session_mine(nf, p);
    struct dpi_flow *flow;

    if (!s && p->flow & NF_FLOW_KEYED)
        s = join(nf, p, now);
    else if (!s) {
        nf_count(nf, DPI_OTHER, 1);
        nf_count(nf, DPI_IP_CHECKSUM, p->flags & NF_P_BAD && p->bad == NF_BAD_CHECKSUM);
    }
    if (!s)
        return;
    flow = NF_SESSION_EDIT(nf, s, struct dpi_flow);
    flow->packets++;
    flow->bytes += p->len;
    if (flow->stage == DPI_LOOKING) {
        if ((p->flags & (NF_P_L4 | NF_P_FRAGMENT | NF_P_ICMP_ERROR)) == NF_P_L4)
            look(nf, s, p, now);
    } else {
        struct dpi_total *total = NF_EDIT(nf, &state->total[flow->protocol.app]);

        total->packets++;
        total->bytes += p->len;
    }
    if (config->blocked[flow->protocol.app / 8] >> flow->protocol.app % 8 & 1 ||
        config->blocked[flow->protocol.master / 8] >> flow->protocol.master % 8 & 1)
        nf_drop(nf, p, DPI_BLOCKED);
    else if (flow->stage == DPI_UNSEEN && blocks(nf))
        nf_drop(nf, p, DPI_HEAP_FULL);
}

static void dpi_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct dpi_state *state = nf->state;
    struct dpi_caches caches;

    dpi_caches_set(nf->library, &state->caches); /* what nDPI has of them is the state's, in this burst */
    for (uint32_t i = 0; i < n; i++)
        one_packet(nf, packets[i], now);
    dpi_caches_get(nf->library, &caches);
    if (memcmp(&caches, &state->caches, sizeof(caches)) != 0)
        *NF_EDIT(nf, &state->caches) = caches;
    nf_count(nf, DPI_PACKETS, n);
}

static void dpi_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    (void)why;
    (void)now;
    if (slot_of(nf, s)->stage == DPI_LOOKING) /* by what is known of it */
        decide(nf, s, slot_of(nf, s)->protocol.app != DPI_NO_PROTOCOL ? DPI_KNOWN : DPI_UNKNOWN);
}

/* ---- for operators ------------------------------------------------------------------------------- */

static void show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct dpi_flow *flow = slot_of(nf, s);

    nf_row(out);
    nf_row_proto(out, s->key[0].proto);
    nf_session_row_ends(nf, out, s, "from", "to");
    nf_row_text(out, "protocol", "%s", dpi_name(nf->library, flow->protocol.app));
    nf_row_text(out, "over", "%s", flow->protocol.master ? dpi_name(nf->library, flow->protocol.master) : "");
    nf_row_text(out, "stage", "%s", dpi_stages[flow->stage]);
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "bytes", flow->bytes);
}

static void show_total(const struct nf *nf, struct nf_show *out, unsigned protocol)
{
    const struct dpi_total *total = &((const struct dpi_state *)nf->state)->total[protocol];

    nf_row(out);
    nf_row_text(out, "protocol", "%s", dpi_name(nf->library, (uint16_t)protocol));
    nf_row_u64(out, "flows", total->flows);
    nf_row_u64(out, "packets", total->packets);
    nf_row_u64(out, "bytes", total->bytes);
}

/* The heap, then protocols of which there were flows, then flows. */
static bool dpi_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct dpi_state *state = nf->state;

    if (*cursor == 0) {
        nf_row(out);
        nf_row_u64(out, "heap_bytes", nf->heap->bytes);
        nf_row_u64(out, "heap_pages", nf->heap->next);
        nf_row_u64(out, "heap_blocks", nf->heap->blocks);
        nf_row_u64(out, "heap_refused", nf->heap->refused);
    }
    for (; *cursor < DPI_PROTOCOLS; ++*cursor) {
        if (nf_show_full(out))
            return true;
        if (state->total[*cursor].flows)
            show_total(nf, out, (unsigned)*cursor);
    }
    return nf_sessions_show(nf, DPI_PROTOCOLS, out, cursor, show_flow);
}

static int dpi_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are forgotten", key);
    nf_sessions_clear(nf, false, now);
    return FT_OK;
}

/* ---- the module ---------------------------------------------------------------------------------- */

static int dpi_check(void *c, struct ft_fault *fault)
{
    struct dpi_config *config = c;
    char name[40] = "";

    if (dpi_protocols(config->block, config->blocked, name, sizeof(name)))
        return FT_OK;
    return ft_fail(fault, FT_EINVAL,
                   "dpi block has \"%s\", expected names of nDPI's protocols, a comma between", name);
}

static uint64_t dpi_heap(const void *config)
{
    return (uint64_t)((const struct dpi_config *)config)->heap_mb << 20;
}

static bool dpi_make(struct nf *nf)
{
    struct dpi_state *state = nf->state;

    nf->library = dpi_open(&state->code);
    NF_CONSTANT(nf, &state->code);
    return nf->library != NULL;
}

static void dpi_unmake(struct nf *nf)
{
    dpi_close(nf->library);
    nf->library = NULL;
}

/* What is in the heap is nDPI's, and believed; but that it is there. */
static int dpi_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct dpi_state *state = nf->state;
    const struct nf_session *s;

    if (!dpi_caches_fit(&state->caches, nf->heap))
        return nf_check_failed(c, "a cache is no block of the heap");
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        const struct dpi_flow *flow = slot_of(nf, s);

        nf_check_step(c);
        if (flow->stage > DPI_UNSEEN || (flow->stage == DPI_LOOKING) != (flow->inside != NULL) ||
            flow->protocol.app >= DPI_PROTOCOLS || flow->protocol.master >= DPI_PROTOCOLS)
            return nf_check_failed(c,
                                   "a flow of protocol %u at stage %u, expected protocols below %u, and one "
                                   "that nDPI looks into at stage 0 alone",
                                   flow->protocol.app, flow->stage, DPI_PROTOCOLS);
        if (flow->inside && !ft_heap_holds(nf->heap, flow->inside, sizeof(struct ndpi_flow_struct)))
            return nf_check_failed(c, "a flow that nDPI looks into is no block of the heap");
    }
    return 0;
}

static void dpi_flows(const void *c, struct nf_flows_config *flows)
{
    const struct dpi_config *config = c;

    *flows = config->flows;
    nf_flows_limit_host(flows, flows->max_flows);
    flows->max_fragments = DPI_DATAGRAMS;
    nf_timeouts_fill(flows->timeouts, config->timeout);
}

static bool dpi_joins_ipv6(const void *config)
{
    (void)config;
    return true;
}

static bool dpi_unsummed(const void *config)
{
    return !((const struct dpi_config *)config)->checksums;
}

static const struct nf_param dpi_params[] = {
    NF_PARAM_AT(struct dpi_config, "max_flows", flows.max_flows, NF_U32, "100000", "flows at most", .min = 1,
                .max = 16u << 20),
    NF_PARAM_AT(struct dpi_config, "max_flows_per_host", flows.max_flows_per_host, NF_U32, "0",
                "flows that one host may begin; 0: an eighth of max_flows", .max = 16u << 20,
                .marks = NF_PARAM_ADDED),
    NF_NUMBER(struct dpi_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "300",
              "idle seconds until a flow is forgotten", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct dpi_config, packets, NF_U32, 1, DPI_PACKETS_MAX, "32",
              "of a flow at most that nDPI looks into", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct dpi_config, heap_mb, NF_U32, 1, 2048, "16",
              "MiB in each lane for what nDPI keeps of flows that it looks into"),
    NF_PARAM(struct dpi_config, block, NF_STRING, "",
             "names of nDPI's protocols whose flows are dropped, \"BitTorrent, Tor\"",
             .marks = NF_PARAM_LIVE),
    NF_YES_NO(struct dpi_config, checksums, "true",
              "what has a wrong checksum in its IPv4 header is of no flow",
              .marks = NF_PARAM_ADDED | NF_PARAM_LIVE),
    {0},
};

static const struct nf_module dpi_module = {
    .name = "dpi",
    .version = 3,
    .summary = "says what protocol a flow is (nDPI), and drops some",
    .reads = NF_READS_PAYLOAD,
    .params = dpi_params,
    .config_size = sizeof(struct dpi_config),
    .check = dpi_check,
    .state_size = sizeof(struct dpi_state),
    .counters = dpi_counters,
    .libraries = " libgcrypt.so.20 ", /* nDPI opens packets of QUIC by it, each by itself */
    .heap = dpi_heap,
    .make = dpi_make,
    .unmake = dpi_unmake,
    .process = dpi_process,
    .show = dpi_show,
    .set = nf_sessions_set_all,
    .clear = dpi_clear,
    .check_state = dpi_check_state,
    .session_size = sizeof(struct dpi_flow),
    .host_full = DPI_HOST_FULL + 1,
    .flows = dpi_flows,
    .ipv6 = dpi_joins_ipv6,
    .unsummed = dpi_unsummed,
    .session_end = dpi_session_end,
};
NF_MODULE(dpi_module)
