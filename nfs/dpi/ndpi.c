/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nDPI, unchanged; see ndpi.h. It is linked into the module's file, so that both nodes have the same and its
 * calls of the wall clock come here. Of its structs the layout is looked at in two places: the pointers to
 * its caches, and what it keeps of the packet under way, which is cleared before each.
 */
#define NDPI_LIB_COMPILATION /* declares struct ndpi_detection_module_struct */
#include <ndpi/ndpi_api.h>

#include "nfs/dpi/ndpi.h"
#include "nflib/nf.h"

#include <string.h>

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

/* nDPI ends the process where it has no memory left, which the node's crash report is to name. */
_Noreturn void __wrap_exit(int status);
_Noreturn void __wrap_exit(int status)
{
    (void)status;
    abort();
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

struct ndpi_detection_module_struct *dpi_open(uint64_t *code)
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

void dpi_close(struct ndpi_detection_module_struct *m)
{
    const struct dpi_caches none = {{NULL}};

    if (!m)
        return;
    dpi_caches_set(m, &none); /* they are the heap's */
    ndpi_exit_detection_module(m);
}

bool dpi_protocols(const char *list, uint8_t set[], char *unknown, size_t cap)
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

const char *dpi_name(struct ndpi_detection_module_struct *m, uint16_t protocol)
{
    return protocol ? ndpi_get_proto_name(m, protocol) : "Unknown";
}

/* ---- caches -------------------------------------------------------------------------------------- */

void dpi_caches_set(struct ndpi_detection_module_struct *m, const struct dpi_caches *caches)
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

void dpi_caches_get(const struct ndpi_detection_module_struct *m, struct dpi_caches *caches)
{
    *caches = (struct dpi_caches){{m->ookla_cache, m->bittorrent_cache, m->zoom_cache, m->stun_cache,
                                   m->tls_cert_cache, m->mining_cache, m->msteams_cache, m->tinc_cache}};
}

bool dpi_caches_fit(const struct dpi_caches *caches, const struct ft_heap *heap)
{
    for (unsigned i = 0; i < DPI_CACHES; i++)
        if (caches->at[i] && !ft_heap_holds(heap, caches->at[i], sizeof(struct ndpi_lru_cache)))
            return false;
    return true;
}

/* ---- flows --------------------------------------------------------------------------------------- */

uint64_t dpi_flow_bytes(void)
{
    return sizeof(struct ndpi_flow_struct);
}

struct ndpi_flow_struct *dpi_flow_make(void)
{
    return nf_heap_calloc(1, sizeof(struct ndpi_flow_struct));
}

void dpi_flow_free(struct ndpi_flow_struct *flow)
{
    if (flow)
        ndpi_free_flow(flow);
}

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

bool dpi_look(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow, const uint8_t *ip,
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

bool dpi_give_up(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow,
                 struct dpi_protocol *is)
{
    u_int8_t guessed = 0;

    to_address(flow);
    *is = protocol_of(ndpi_detection_giveup(m, flow, 1, &guessed));
    to_distance(flow);
    return is->app != DPI_NO_PROTOCOL;
}
