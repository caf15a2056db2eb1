/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpi against nDPI itself: a plain program's loop over the same frames, with the system's libndpi and memory
 * and never killed, says what each flow is. The NF's primary is killed every some frames, in the middle of
 * flows. Captures: those in UNDERSTUDY_PCAPS. Frames made
 * here: test_dpi.c.
 */
#include <ndpi/ndpi_api.h>

#include "ftcore/base/draw.h"
#include "tests/nf/dpi_chain.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <pcap/pcap.h>

#define FLOWS_MAX 4096u
#define LOOKED    32u

/* ---- nDPI, uninterrupted -------------------------------------------------------------------------- */

struct end {
    uint8_t addr[16];
    uint16_t port; /* network order */
};
struct flow {
    struct end from, to; /* of its first packet */
    uint8_t proto;
    bool ipv6, over, part; /* part: the packet is a first fragment */
    unsigned looked;
    ndpi_protocol is;
    struct ndpi_flow_struct *inside;
};
struct plain {
    struct ndpi_detection_module_struct *ndpi;
    struct flow *flow;
    unsigned flows;
};

/* A packet of TCP or UDP with its ports: where its IP header is and how long it is, and whose it is. */
static bool parse(const uint8_t *f, uint32_t len, uint32_t *ip, uint32_t *ip_len, struct flow *of)
{
    uint32_t at = 12, l4;

    while (at + 2 <= len && ((f[at] == 0x81 && f[at + 1] == 0) || (f[at] == 0x88 && f[at + 1] == 0xa8)))
        at += 4;
    if (at + 2 > len)
        return false;
    memset(of, 0, sizeof(*of));
    of->ipv6 = f[at] == 0x86 && f[at + 1] == 0xdd;
    if (!of->ipv6 && !(f[at] == 8 && f[at + 1] == 0))
        return false;
    *ip = at += 2;
    if (of->ipv6) {
        if (at + 40 > len)
            return false;
        l4 = at + 40;
        of->proto = f[at + 6];
        *ip_len = 40 + (uint32_t)(f[at + 4] << 8 | f[at + 5]);
        memcpy(of->from.addr, f + at + 8, 16);
        memcpy(of->to.addr, f + at + 24, 16);
    } else {
        if (at + 20 > len || (f[at + 6] & 0x1f) || f[at + 7])
            return false;
        of->part = f[at + 6] & 0x20;
        l4 = at + (f[at] & 15u) * 4;
        of->proto = f[at + 9];
        *ip_len = (uint32_t)(f[at + 2] << 8 | f[at + 3]);
        memcpy(of->from.addr, f + at + 12, 4);
        memcpy(of->to.addr, f + at + 16, 4);
    }
    if ((of->proto != 6 && of->proto != 17) || l4 + (of->proto == 6 ? 20 : 8) > len)
        return false;
    memcpy(&of->from.port, f + l4, 2);
    memcpy(&of->to.port, f + l4 + 2, 2);
    if (*ip_len > len - *ip)
        *ip_len = len - *ip;
    return true;
}

static bool same_end(const struct end *a, const struct end *b)
{
    return memcmp(a->addr, b->addr, 16) == 0 && a->port == b->port;
}

static struct flow *flow_of(struct plain *p, const struct flow *of)
{
    for (unsigned i = 0; i < p->flows; i++) {
        struct flow *f = &p->flow[i];

        if (f->proto == of->proto && f->ipv6 == of->ipv6 &&
            ((same_end(&f->from, &of->from) && same_end(&f->to, &of->to)) ||
             (same_end(&f->from, &of->to) && same_end(&f->to, &of->from))))
            return f;
    }
    assert_true(p->flows < FLOWS_MAX);
    p->flow[p->flows] = *of;
    p->flow[p->flows].inside = ndpi_flow_malloc(sizeof(struct ndpi_flow_struct));
    memset(p->flow[p->flows].inside, 0, sizeof(struct ndpi_flow_struct));
    return &p->flow[p->flows++];
}

static void plain_packet(struct plain *p, const uint8_t *frame, uint32_t len)
{
    uint32_t ip, ip_len;
    struct flow of, *f;
    u_int8_t guessed;

    if (!parse(frame, len, &ip, &ip_len, &of))
        return;
    f = flow_of(p, &of);
    if (f->over || of.part)
        return;
    f->is = ndpi_detection_process_packet(p->ndpi, f->inside, frame + ip, (unsigned short)ip_len, 1000);
    f->over =
        f->is.app_protocol != NDPI_PROTOCOL_UNKNOWN && !ndpi_extra_dissection_possible(p->ndpi, f->inside);
    if (!f->over && ++f->looked == LOOKED) {
        if (f->is.app_protocol == NDPI_PROTOCOL_UNKNOWN)
            f->is = ndpi_detection_giveup(p->ndpi, f->inside, 1, &guessed);
        f->over = true;
    }
}

static void plain_open(struct plain *p)
{
    NDPI_PROTOCOL_BITMASK all;

    p->ndpi = ndpi_init_detection_module(ndpi_no_prefs);
    NDPI_BITMASK_SET_ALL(all);
    ndpi_set_protocol_detection_bitmask2(p->ndpi, &all);
    ndpi_finalize_initialization(p->ndpi);
    p->flow = calloc(FLOWS_MAX, sizeof(*p->flow));
    p->flows = 0;
}

static void plain_close(struct plain *p)
{
    for (unsigned i = 0; i < p->flows; i++)
        ndpi_free_flow(p->flow[i].inside);
    free(p->flow);
    ndpi_exit_detection_module(p->ndpi);
}

/* ---- the NF ---------------------------------------------------------------------------------------- */

static uint8_t side_of(const uint8_t *frame, uint32_t len)
{
    uint32_t ip, ip_len;
    struct flow of;

    return !parse(frame, len, &ip, &ip_len, &of) || memcmp(&of.from, &of.to, sizeof(of.from)) < 0
               ? NF_INSIDE
               : NF_OUTSIDE;
}

static void end_text(const struct flow *f, const struct end *e, char *out, size_t cap)
{
    char addr[INET6_ADDRSTRLEN];

    inet_ntop(f->ipv6 ? AF_INET6 : AF_INET, e->addr, addr, sizeof(addr));
    snprintf(out, cap, f->ipv6 ? "[%s]:%u" : "%s:%u", addr, ntohs(e->port));
}

/* What the NF shows of the flow is what nDPI said. */
static void compare_flow(struct nft *t, const char *shown, struct plain *p, const struct flow *f)
{
    char from[64], to[64], row[300];
    const char *there;

    end_text(f, &f->from, from, sizeof(from));
    end_text(f, &f->to, to, sizeof(to));
    snprintf(row, sizeof(row),
             "\"proto\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"protocol\":", f->proto == 6 ? "tcp" : "udp",
             from, to);
    there = strstr(shown, row);
    if (!NFT_TRUE(t, there != NULL)) {
        print_message("# no row with %s\n", row);
        return;
    }
    snprintf(row, sizeof(row), "\"%s\",\"over\":\"%s\"", ndpi_get_proto_name(p->ndpi, f->is.app_protocol),
             f->is.master_protocol ? ndpi_get_proto_name(p->ndpi, f->is.master_protocol) : "");
    there = strstr(there, "\"protocol\":") + strlen("\"protocol\":");
    if (!NFT_TRUE(t, strncmp(there, row, strlen(row)) == 0))
        print_message("# %s to %s: %.60s, nDPI says %s\n", from, to, there, row);
}

/* Frames up to a kill: how many depends on the number of the kill, so that it comes in the middle of flows.
 */
static unsigned one_capture(const char *path, unsigned kill_every)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(path, why);
    struct nft *t = open_chain("heap_mb: 3, max_flows_per_host: 4096");
    struct pcap_pkthdr *head;
    const u_char *bytes;
    struct plain p;
    unsigned n = 0, flows = 0;
    char *shown;

    assert_non_null(pcap);
    plain_open(&p);
    while (pcap_datalink(pcap) == DLT_EN10MB && pcap_next_ex(pcap, &head, &bytes) == 1) {
        uint8_t frame[NFT_FRAME_MAX];

        if (head->caplen > sizeof(frame) || head->caplen != head->len || head->caplen < 14)
            continue;
        memcpy(frame, bytes, head->caplen);
        nft_ip_checksum(frame, head->caplen); /* with a wrong one it would belong to no flow */
        plain_packet(&p, frame, head->caplen);
        nft_raw(t, side_of(frame, head->caplen), frame, head->caplen);
        if (++n % kill_every == 0)
            nft_kill(t);
    }
    pcap_close(pcap);
    shown = strdup(nft_show(t, "dpi"));
    for (unsigned i = 0; i < p.flows; i++)
        if (p.flow[i].looked || p.flow[i].over) { /* not of fragments alone */
            compare_flow(t, shown, &p, &p.flow[i]);
            flows++;
        }
    free(shown);
    plain_close(&p);
    assert_int_equal(nft_close(t), 0);
    return flows;
}

TEST(captures_are_classified_as_by_ndpi_alone)
{
    const char *dir = getenv("UNDERSTUDY_PCAPS");
    DIR *list = opendir(dir ? dir : "../shared/pcaps");
    unsigned flows = 0;
    char path[512];

    if (!list)
        skip();
    for (struct dirent *e; (e = readdir(list));) {
        const char *dot = strrchr(e->d_name, '.');

        if (!dot || strcmp(dot, ".pcap") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir ? dir : "../shared/pcaps", e->d_name);
        print_message("# %s\n", e->d_name);
        flows += one_capture(path, 61);
    }
    closedir(list);
    assert_true(flows > 1000);
}

/* Bytes behind the headers are damaged: nDPI is given what no capture has, and both nodes agree behind each
 * frame, as the harness sees to. */
TEST(damaged_payload_harms_nobody)
{
    static const char *const names[] = {"1kxun.pcap", "mixed.pcap", "http-methods.pcap"};
    const char *dir = getenv("UNDERSTUDY_PCAPS");
    struct nft *t = open_chain("heap_mb: 3");
    uint64_t seed = 77;
    unsigned sent = 0;

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[512], why[PCAP_ERRBUF_SIZE];
        struct pcap_pkthdr *head;
        const u_char *bytes;
        pcap_t *pcap;

        snprintf(path, sizeof(path), "%s/%s", dir ? dir : "../shared/pcaps", names[i]);
        pcap = pcap_open_offline(path, why);
        while (pcap && sent < 1000 * (i + 1) && pcap_next_ex(pcap, &head, &bytes) == 1) {
            uint8_t frame[NFT_FRAME_MAX];

            if (head->caplen > sizeof(frame) || head->caplen < 60)
                continue;
            memcpy(frame, bytes, head->caplen);
            for (unsigned flips = (unsigned)(ft_draw(&seed) % 8); flips; flips--)
                frame[42 + ft_draw(&seed) % (head->caplen - 42)] = (uint8_t)ft_draw(&seed);
            nft_ip_checksum(frame, head->caplen);
            nft_raw(t, side_of(frame, head->caplen), frame, head->caplen);
            if (++sent % 97 == 0)
                nft_kill(t);
        }
        if (pcap)
            pcap_close(pcap);
    }
    assert_int_equal(nft_close(t), 0);
    if (sent == 0)
        skip();
}
