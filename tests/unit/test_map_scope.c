/* SPDX-License-Identifier: Apache-2.0 */
/* With the audit on: an NF whose own maps have one key in two lanes is told by name, once; and nobody else.
 */
#include "tests/help/test.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nflib/shared/shared.h"
#include "nftest/frames.h"

#include <sys/wait.h>

#define KEYS 16u
#define SAID                                                                                                 \
    "understudy: audit: NF 'counts' added one key to maps of its own in lanes 0 and 1, expected one lane: "

struct counts {
    struct nf_map *own;
    struct nf_shared_map *shared;
};

static bool shares;       /* it counts in the map that lanes share */
static bool made;         /* its own has a key from the beginning */
static bool of_addresses; /* its scope */

static uint64_t arena(const void *config)
{
    return nf_map_bytes(KEYS, sizeof(uint32_t), sizeof(uint64_t));
}

static uint64_t shared(const void *config, unsigned lanes)
{
    return nf_shared_map_bytes(KEYS, sizeof(uint32_t), sizeof(uint64_t), 1);
}

static bool make(struct nf *nf)
{
    struct counts *c = nf->state;
    uint32_t key = 7;

    c->own = nf_map_make(nf, KEYS, sizeof(uint32_t), sizeof(uint64_t));
    c->shared = nf_shared_map_make(nf, KEYS, sizeof(uint32_t), sizeof(uint64_t), 1);
    if (made && c->own)
        nf_map_add(nf, c->own, &key);
    return c->own && c->shared;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct counts *c = nf->state;
    struct nf_map *map = shares ? nf_shared_map_enter(nf, c->shared, 0) : c->own;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = nf_map_find(map, &packets[i]->saddr);

        if (slot == NF_NONE)
            nf_map_add(nf, map, &packets[i]->saddr);
        else
            nf_map_remove(nf, map, slot); /* so that it is added a second time */
    }
    if (shares)
        nf_shared_map_leave(nf, c->shared, 0);
}

static enum nf_scope scope(const void *config)
{
    return of_addresses ? NF_OF_OUTSIDE : NF_OF_FLOW;
}

static const struct nf_module counts = {.name = "counts",
                                        .state_size = sizeof(struct counts),
                                        .arena = arena,
                                        .shared = shared,
                                        .scope = scope,
                                        .make = make,
                                        .process = process};

static struct nf_chain *chain[2];
static struct ft_region *region;

static void send_from(unsigned lane, unsigned source)
{
    const struct nft_spec spec = {
        .src = NFT_IP(10, 0, 0, source), .dst = NFT_IP(192, 0, 2, 1), .sport = 9, .dport = 80, .proto = 17};
    uint64_t burst = nf_chain_state(chain[lane])->burst + 1;
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&spec, frame);
    struct nf_packet p = {.data = frame, .len = len, .have = len};

    nf_chain_run(chain[lane], burst, burst, &p, 1);
    ft_audit_check(region, lane);
}

/* What is said on stderr, by a process of its own: packets of each source come to one lane, and then those of
 * source `again` to both; 0: none. */
static const char *said(bool audit, unsigned again)
{
    static char text[4096];
    const struct nf_chain_config config = {.name = "test", .lanes = 2, .count = 1, .nfs = {{&counts, NULL}}};
    const struct ft_region_config how = {.name = "test", .shared_size = 1 << 20, .audit = audit};
    size_t len = 0;
    ssize_t n;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (nf_chain_region(&region, &config, &how, NULL) ||
            nf_chain_make(&chain[0], &config, region, 0, 1, NULL) ||
            nf_chain_make(&chain[1], &config, region, 1, 1, NULL))
            _exit(1);
        for (unsigned i = 0; i < 3; i++)
            send_from(0, 1);
        for (unsigned i = 2; i < 9; i++)
            send_from(i % 2, i);
        for (unsigned i = 0; i < 3 && again; i++) {
            send_from(1, again);
            send_from(0, again);
        }
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return text;
}

TEST(a_key_in_two_lanes_is_told_once)
{
    of_addresses = false;
    assert_string_equal(said(true, 1), SAID "by its scope its state is of a flow\n");
    of_addresses = true;
    assert_string_equal(said(true, 1), SAID "by its scope its state is of an address outside\n");
}

TEST(other_keys_are_not)
{
    assert_string_equal(said(true, 0), "");
    assert_string_equal(said(false, 1), ""); /* without an audit nobody looks */
    made = true;                             /* by each lane, before there are packets */
    assert_string_equal(said(true, 0), "");
    made = false;
    shares = true; /* where all lanes may have it */
    assert_string_equal(said(true, 1), "");
    shares = false;
}
