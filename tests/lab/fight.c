/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fight: an NF for tests, in which all lanes want one number in every packet. What a packet makes of the
 * number depends on all packets before it, and shows: in the IP identification it leaves with, and in its TOS
 * the merged count of packets as the burst saw it. So two nodes that disagree on the order contradict each
 * other in the next packet. Built by fight.t against build/include, as a module from outside the tree.
 */
#include "nflib/nf.h"
#include "nflib/shared/shared.h"

#include <string.h>

struct fight {
    struct nf_shared_map *number; /* with one entry */
    struct nf_merged *packets;
};

static uint64_t arena(const void *config)
{
    (void)config;
    return nf_merged_lane_bytes();
}

static uint64_t shared(const void *config, unsigned lanes)
{
    (void)config;
    (void)lanes;
    return nf_shared_map_bytes(1, sizeof(uint32_t), sizeof(uint64_t), 1) + nf_merged_bytes();
}

static bool make(struct nf *nf)
{
    static const uint32_t key = 0;
    struct fight *f = nf->state;

    f->number = nf_shared_map_make(nf, 1, sizeof(key), sizeof(uint64_t), 1);
    f->packets = nf_merged_make(nf);
    if (!f->number || !f->packets)
        return false;
    if (nf_map_find(nf_shared_map_part(f->number, 0), &key) == NF_NONE)
        nf_map_add(nf, nf_shared_map_part(f->number, 0), &key);
    return true;
}

/* A step of a generator that no other order of the same packets gives. */
static uint64_t next(uint64_t number, const struct nf_packet *p)
{
    return (number ^ p->saddr ^ (uint64_t)p->sport << 32) * 6364136223846793005u + 1442695040888963407u;
}

static uint64_t step(const struct nf *nf, const struct nf_packet *p)
{
    const struct fight *f = nf->state;
    const struct nf_map *part = nf_shared_map_enter(nf, f->number, 0);
    uint64_t *number = NF_EDIT(nf, (const uint64_t *)nf_map_value(part, 0)), is;

    is = *number = next(*number, p);
    nf_shared_map_leave(nf, f->number, 0);
    return is;
}

static void write16(uint8_t *at, uint8_t *sum, uint16_t value)
{
    uint16_t was, checksum;

    memcpy(&was, at, 2);
    memcpy(&checksum, sum, 2);
    checksum = nf_checksum_adjust16(checksum, was, value);
    memcpy(at, &value, 2);
    memcpy(sum, &checksum, 2);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct fight *f = nf->state;

    (void)now;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        uint64_t is = step(nf, p), count;

        nf_merged_add(nf, f->packets, 1);
        count = nf_merged_read(nf, f->packets);
        if (!(p->flags & NF_P_IPV4))
            continue;
        uint8_t *ip = p->data + p->l3, first[2] = {ip[0], (uint8_t)count};
        uint16_t word;

        memcpy(&word, first, 2);
        write16(ip, ip + 10, word);
        write16(ip + 4, ip + 10, (uint16_t)(is >> 40));
    }
}

static const struct nf_param params[] = {{0}};

static const struct nf_module fight = {
    .name = "fight",
    .summary = "for tests: all lanes want one number in every packet",
    .reads = NF_READS_HEADERS,
    .params = params,
    .state_size = sizeof(struct fight),
    .arena = arena,
    .shared = shared,
    .make = make,
    .process = process,
};
NF_MODULE(fight)
