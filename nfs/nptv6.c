/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nptv6: the prefix of addresses of IPv6 is another one outside (RFC 6296). One address becomes one address,
 * both ways, so there is no state and no port is changed. The mapping keeps the sum of an address, and with
 * it every checksum: also that of an ICMPv6 error about the packet that it quotes, whose addresses are mapped
 * as well.
 *
 * Prefixes of up to 48 bits have the sum corrected in the subnet's 16 bits, longer ones in the first 16 bits
 * of the interface identifier that are not all ones.
 */
#include "nflib/nf.h"

#include <string.h>

#define WORDS 8u

struct npt_config {
    bool hairpin;
    const char *inside_text, *outside_text;
    struct nf_net inside, outside; /* read by check, from those */
    uint16_t correction;           /* added to an address on its way out, one's complement */
};

#define NPT_COUNTERS(X)                                                                                      \
    X(NPT_MAPPED, "mapped")                                                                                  \
    X(NPT_PASSED, "passed")      /* from inside to inside, of other prefixes, or no IPv6 */                  \
    X(NPT_NO_ROOM, "unmappable") /* dropped: nothing in it can be corrected */
enum npt_counter { NPT_COUNTERS(NF_COUNTER) };
static const char *const npt_counters[] = {NPT_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- one's complement, of words as they lie in a packet ---- */

static uint16_t word_at(const uint8_t *addr, unsigned i)
{
    return (uint16_t)(addr[2 * i] << 8 | addr[2 * i + 1]);
}

static uint16_t add_words(uint16_t a, uint16_t b)
{
    uint32_t sum = (uint32_t)a + b;

    return (uint16_t)(sum + (sum >> 16));
}

static uint16_t sum_of(const uint8_t addr[16])
{
    uint16_t sum = 0;

    for (unsigned i = 0; i < WORDS; i++)
        sum = add_words(sum, word_at(addr, i));
    return sum;
}

/* ---- addresses ---- */

static void put_prefix(uint8_t addr[16], const struct nf_net *p)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));

    memcpy(addr, p->addr.byte, whole);
    if (rest)
        addr[whole] = (uint8_t)((p->addr.byte[whole] & mask) | (addr[whole] & ~mask));
}

/* The word that is corrected; WORDS: there is none. */
static unsigned find_word(const uint8_t addr[16], unsigned bits)
{
    unsigned i = bits <= 48 ? 3 : 4;

    while (i < (bits <= 48 ? 4 : WORDS) && word_at(addr, i) == 0xffff)
        i++;
    return bits <= 48 && i == 4 ? WORDS : i;
}

/* False: it cannot be mapped, and is as it was. */
static bool map_address(uint8_t addr[16], const struct nf_net *to, uint16_t correction)
{
    unsigned at = find_word(addr, to->bits);
    uint16_t word;

    if (at == WORDS)
        return false;
    word = add_words(word_at(addr, at), correction);
    word = word == 0xffff ? 0 : word;
    put_prefix(addr, to);
    addr[2 * at] = (uint8_t)(word >> 8);
    addr[2 * at + 1] = (uint8_t)word;
    return true;
}

/* ---- packets ---- */

/* What goes out loses the prefix inside, what comes in the one outside. False: it cannot be mapped. */
static bool map_end(const struct npt_config *config, uint8_t addr[16], bool out, bool *mapped)
{
    const struct nf_net *from = out ? &config->inside : &config->outside;
    const struct nf_net *to = out ? &config->outside : &config->inside;

    *mapped = nf_ipv6_in_prefix(addr, from->addr.byte, from->bits);
    return !*mapped || map_address(addr, to, out ? config->correction : (uint16_t)~config->correction);
}

/* The packet that an ICMPv6 error quotes, whatever its protocol and its extension headers: its IPv6 header is
 * all that is looked at. NULL: it is no error, or does not quote as much. */
static uint8_t *find_quoted(const struct nf_packet *p)
{
    uint32_t at = p->l4 + 8u, end = at + 40;

    if (!(p->flags & NF_P_L4) || p->proto != NF_PROTO_ICMPV6 || p->icmp_type >= 128 || end > p->have ||
        end > (uint32_t)p->l4 + p->l4_len || p->data[at] >> 4 != 6)
        return NULL;
    return p->data + at;
}

/* The end of a packet that the other side knows by another address, and where it is an error, the same end of
 * the packet that it quotes, which went the other way. `near`: the end on the side that it came in from. */
static bool map_ends(const struct npt_config *config, const struct nf_packet *p, bool near, bool out,
                     bool *any)
{
    uint32_t source = near ? 8 : 24;
    bool mapped = false, quoted = false;
    uint8_t *inner = find_quoted(p);

    if (inner && !map_end(config, inner + (near ? 24 : 8), out, &quoted))
        return false;
    if (!map_end(config, p->data + p->l3 + source, out, &mapped))
        return false;
    *any |= mapped || quoted;
    return true;
}

/* The packet goes from one network inside to another, by the chain's routes. */
static bool stays_inside(const struct nf *nf, const struct nf_packet *p)
{
    const struct npt_config *config = nf->config;

    return p->side == NF_INSIDE && nf_out_side(nf, p) == NF_INSIDE &&
           !nf_ipv6_in_prefix(p->data + p->l3 + 24, config->outside.addr.byte, config->outside.bits);
}

/* What hosts inside send to each other stays as it is; what they send to each other's addresses outside is
 * mapped both ways (RFC 6296, 4.3: a hairpin). */
static bool map_packet(const struct nf *nf, const struct nf_packet *p, bool *any)
{
    const struct npt_config *config = nf->config;
    bool out = p->side == NF_INSIDE;

    return stays_inside(nf, p) || (map_ends(config, p, out, out, any) &&
                                   (!out || !config->hairpin || map_ends(config, p, false, false, any)));
}

static void npt_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    uint32_t count[] = {[NPT_MAPPED] = 0, [NPT_PASSED] = 0};

    (void)now;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        bool any = false;

        if (p->flags & NF_P_IPV6_READ && !map_packet(nf, p, &any))
            nf_drop(nf, p, NPT_NO_ROOM);
        else
            count[any ? NPT_MAPPED : NPT_PASSED]++;
    }
    for (unsigned c = NPT_MAPPED; c <= NPT_PASSED; c++)
        if (count[c])
            nf_count(nf, c, count[c]);
}

/* Both ways of a flow have one end in common, that outside, so packets are dealt by that one. */
static enum nf_scope npt_scope(const void *config)
{
    (void)config;
    return NF_OF_OUTSIDE;
}

/* ---- configuration ---- */

static int read_prefix(const char *name, const char *text, struct nf_net *out, struct ft_fault *fault)
{
    if (strchr(text, '/') && nf_net_parse(text, out) && out->ipv6 && out->bits >= 8 && out->bits <= 64 &&
        !nf_net_has_host_bits(out))
        return 0;
    return ft_fail(fault, FT_EINVAL,
                   "%s is %.60s, expected a prefix of IPv6 of 8 to 64 bits, such as fd00:1:2::/48", name,
                   text);
}

static int npt_check(void *c, struct ft_fault *fault)
{
    struct npt_config *config = c;
    int error = read_prefix("inside", config->inside_text, &config->inside, fault);

    if (!error)
        error = read_prefix("outside", config->outside_text, &config->outside, fault);
    if (!error && config->inside.bits != config->outside.bits)
        error = ft_fail(fault, FT_EINVAL, "inside has %u bits and outside %u, expected as many",
                        config->inside.bits, config->outside.bits);
    config->correction =
        add_words(sum_of(config->inside.addr.byte), (uint16_t)~sum_of(config->outside.addr.byte));
    return error;
}

static const struct nf_param npt_params[] = {
    NF_PARAM_AT(struct npt_config, "inside", inside_text, NF_STRING, NULL, "prefix of hosts inside"),
    NF_PARAM_AT(struct npt_config, "outside", outside_text, NF_STRING, NULL, "what it is outside"),
    NF_YES_NO(struct npt_config, hairpin, "false", "hosts inside reach each other by the prefix outside, too",
              .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module npt_module = {
    .name = "nptv6",
    .version = 2,
    .summary = "another prefix of IPv6 outside, without state",
    .reads = NF_READS_FLOW,
    .params = npt_params,
    .config_size = sizeof(struct npt_config),
    .counters = npt_counters,
    .check = npt_check,
    .process = npt_process,
    .scope = npt_scope,
    .translates = NF_INSIDE_END,
};
NF_MODULE(npt_module)
