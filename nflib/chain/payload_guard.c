/* SPDX-License-Identifier: Apache-2.0 */
/* Puts packets before forbidden pages and back; see payload_guard.h. Run by the lane's thread alone. */
#include "nflib/chain/payload_guard.h"

#include "ftcore/region/audit.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE      4096u      /* of a copy: the headers are its end */
#define FORBIDDEN (4 * PAGE) /* behind it: at least the longest frame */
#define STRIDE    (PAGE + FORBIDDEN)
#define SIZE      (NF_BURST_MAX * STRIDE)

struct sheltered {
    struct nf_packet *packet;
    uint8_t *data;    /* where the frame really is */
    uint32_t headers; /* bytes copied of the frame; 0: the packet has the frame itself */
    uint64_t seq;
};

struct nf_payload_guard {
    uint8_t *base;
    const struct nf *nf; /* the one that runs; NULL: none is guarded */
    uint32_t count;
    struct sheltered list[NF_BURST_MAX];
};

/* In the handler of the fault that the NF's own access was. */
static void abort_on_touch(void *arg, const void *at)
{
    const struct nf_payload_guard *guard = arg;
    const struct sheltered *s = &guard->list[(size_t)((const uint8_t *)at - guard->base) / STRIDE];

    if (guard->nf)
        ft_log_and_abort(
            "audit: NF '%s' (lane %u) touched byte %zu of the frame of seq %llu, which has %u bytes of "
            "headers; it declares that it reads headers",
            guard->nf->module->name, guard->nf->lane, (size_t)((const uint8_t *)at - s->packet->data),
            (unsigned long long)s->seq, s->headers);
    abort();
}

int nf_payload_guard_make(struct nf_payload_guard **out, const struct ft_region *region)
{
    struct nf_payload_guard *guard;
    void *base;

    *out = NULL;
    if (!region->audit)
        return FT_OK;
    guard = calloc(1, sizeof(*guard));
    if (!guard)
        return FT_ENOMEM;
    base = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        free(guard);
        return FT_ENOMEM;
    }
    for (uint32_t i = 0; i < NF_BURST_MAX; i++)
        FT_CHECK(mprotect((uint8_t *)base + (size_t)i * STRIDE, PAGE, PROT_READ | PROT_WRITE) == 0, "page %u",
                 i);
    guard->base = base;
    ft_audit_forbid(base, SIZE, abort_on_touch, guard);
    *out = guard;
    return FT_OK;
}

void nf_payload_guard_free(struct nf_payload_guard *guard)
{
    if (!guard)
        return;
    ft_audit_permit(guard->base);
    munmap(guard->base, SIZE);
    free(guard);
}

void nf_payload_guard_begin(struct nf_payload_guard *guard, const struct nf *nf,
                            struct nf_packet *const list[], uint32_t n, const struct nf_packet packets[],
                            uint64_t first)
{
    if (nf->module->reads == NF_READS_PAYLOAD || nf->module->unreplayable)
        return;
    guard->nf = nf;
    guard->count = n;
    for (uint32_t i = 0; i < n; i++) {
        struct sheltered *s = &guard->list[i];
        uint32_t headers = nf_packet_header_bytes(list[i]);

        *s = (struct sheltered){
            .packet = list[i], .data = list[i]->data, .seq = first + (uint64_t)(list[i] - packets)};
        if (headers >= list[i]->have)
            continue;
        FT_CHECK(headers <= PAGE, "%u bytes of headers", headers);
        s->headers = headers;
        list[i]->data = guard->base + i * STRIDE + PAGE - headers;
        memcpy(list[i]->data, s->data, headers);
    }
}

void nf_payload_guard_end(struct nf_payload_guard *guard)
{
    if (!guard->nf)
        return;
    for (uint32_t i = 0; i < guard->count; i++) {
        struct sheltered *s = &guard->list[i];

        ptrdiff_t moved = s->packet->data - (guard->base + (size_t)i * STRIDE + PAGE - s->headers);

        if (!s->headers)
            continue;
        /* One whose family was changed begins elsewhere. */
        memcpy(s->data + moved, s->packet->data, s->headers - moved);
        s->packet->data = s->data + moved;
    }
    guard->nf = NULL;
}
