/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a capture, cutting it into bursts, finding the sides its packets came from, dealing it out to
 * lanes; and a file that is written. See tape.h. */
#define _GNU_SOURCE
#include "understudy/pair/tape.h"
#include "ftcore/record/record.h"
#include "nflib/net/packet.h"
#include "nflib/stream/stream.h"
#include "nfs/nat/side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND      1000000000ull
#define TOGETHER    1000000ull         /* ns: packets of one burst */
#define PAUSE_MAX   (3600ull * SECOND) /* a longer pause is replaced by one second */
#define TIMER_STEP  100000000ull       /* ns between empty bursts */
#define TIMER_MAX   256u               /* empty bursts in a pause, at most */
#define FRAME_MIN   14u
#define MICROSECOND 1000u         /* ns */
#define SECONDS_MAX 10000000000ll /* year 2286: what is beyond is damage */
#define LINK_TYPE   20u           /* where a pcap file names it */
#define PCAP_HEAD   24u           /* bytes before the first packet of a pcap file */
#define PCAP_RECORD 16u           /* bytes before each packet of a pcap file */

/* ---- bursts ------------------------------------------------------------------------------------ */

static struct nd_tape_burst *add_burst(struct nd_tape *tape, uint64_t time)
{
    if (!nd_grow((void **)&tape->bursts, &tape->burst_room, tape->burst_count + 1, sizeof(*tape->bursts),
                 4096))
        return NULL;
    tape->bursts[tape->burst_count] = (struct nd_tape_burst){.time = time, .first = tape->count};
    return &tape->bursts[tape->burst_count++];
}

/* Puts the input that is about to be counted into a burst. */
static int place_in_burst(struct nd_tape *tape, uint64_t time)
{
    struct nd_tape_burst *last = tape->burst_count ? &tape->bursts[tape->burst_count - 1] : NULL;
    uint64_t step, from = last ? last->time : time;

    if (!last || last->n == FT_BURST_MAX || time - from > TOGETHER) {
        step = (time - from) / TIMER_MAX;
        step = step > TIMER_STEP ? step : TIMER_STEP;
        for (uint64_t t = from + step; t < time; t += step)
            if (!add_burst(tape, t))
                return FT_ENOMEM;
        last = add_burst(tape, time);
    }
    if (!last)
        return FT_ENOMEM;
    last->n++;
    return 0;
}

uint64_t nd_tape_burst_of(const struct nd_tape *tape, uint64_t number)
{
    uint64_t last = 0;

    for (uint64_t b = 0; b < tape->burst_count; b++)
        if (tape->bursts[b].n && tape->inputs[tape->bursts[b].first].number <= number)
            last = b + 1;
    return last;
}

/* ---- link types that are read ------------------------------------------------------------------ */

/* Cooked captures: those of Linux's `-i any` have headers of their own (LINUX_SLL, LINUX_SLL2), since its
 * interfaces may be of any kind; a synthetic Ethernet header takes their place. */

#define COOKED_HEAD 14u /* bytes of the header that is put in place */

/* Where the fields of a cooked header lie. */
struct cooked {
    int link;
    int bytes;
    uint32_t type;    /* two bytes: what it carries, as in Ethernet */
    uint32_t address; /* eight bytes: the sender's */
    uint32_t length;  /* the last byte of the field: how many of those count */
    uint32_t way;     /* the last byte of the field: PACKET_HOST and the others of the kernel */
};

static const struct cooked kinds[] = {
    {.link = DLT_LINUX_SLL, .bytes = 16, .type = 14, .address = 6, .length = 5, .way = 1},
    {.link = DLT_LINUX_SLL2, .bytes = 20, .type = 0, .address = 12, .length = 11, .way = 10},
};

static const struct cooked *kind_of(int link)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].link == link)
            return &kinds[i];
    return NULL;
}

/* The machine that captured has sent the packet. One that it forwards is in a cooked capture twice: as it
 * came in, and as it was sent. */
static bool cooked_sent(int link, const uint8_t *data, uint32_t have)
{
    const struct cooked *kind = kind_of(link);

    return kind && have > (uint32_t)kind->bytes && data[kind->way] == PACKET_OUTGOING;
}

/*
 * Writes the Ethernet header that replaces the cooked header of data[0..have). Returns the length of the
 * cooked header; 0: there is none, the link type is Ethernet itself, and `head` is not written. Negative:
 * neither IP nor ARP, or the header is not whole. The receiver's address is in no cooked header: it is made
 * up, and the same for all.
 */
static int cooked_head(int link, const uint8_t *data, uint32_t have, uint8_t head[COOKED_HEAD])
{
    static const uint8_t receiver[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 1}, sender[ETHER_ADDR_LEN] = {2};
    const struct cooked *kind = kind_of(link);
    uint16_t type;

    if (!kind)
        return 0;
    if (have <= (uint32_t)kind->bytes)
        return -1;
    type = ntohs(nf_get16(data + kind->type));
    if (type != ETHERTYPE_IP && type != ETHERTYPE_IPV6 && type != ETHERTYPE_ARP)
        return -1;
    memcpy(head, receiver, ETHER_ADDR_LEN);
    memcpy(head + ETHER_ADDR_LEN, data[kind->length] == ETHER_ADDR_LEN ? data + kind->address : sender,
           ETHER_ADDR_LEN);
    memcpy(head + 2 * ETHER_ADDR_LEN, data + kind->type, sizeof(type));
    return kind->bytes;
}

/* ---- from which side a packet came --------------------------------------------------------------- */

#define UNKNOWN NAT_NO_SIDE

/* Who began a flow. A tree holds one of each flow, by all that stands before `swapped`. */
struct flow {
    union {
        struct {
            uint32_t addr[2];
            uint16_t port[2];
            uint8_t proto;
        } ends; /* network order; the lesser end, by address, then port, as stored, comes first */
        struct {
            uint8_t low[6], high[6];
        } macs;
    };
    bool by_macs;
    bool swapped;    /* the first packet went from the greater end to the lesser */
    uint8_t seen[2]; /* by `swapped` of a packet: bits of the sides that it came from */
};

static int compare_flows(const void *a, const void *b)
{
    return memcmp(a, b, offsetof(struct flow, swapped));
}

/* The flow of a packet, and whether it goes from its greater end to its lesser. */
static struct flow flow_of(const struct nf_packet *p)
{
    struct flow flow;

    memset(&flow, 0, sizeof(flow)); /* padding is compared */
    if (p->flags & NF_P_IPV4) {
        bool ports = (p->flags & NF_P_L4) && !(p->flags & NF_P_FRAGMENT) &&
                     (p->proto == NF_PROTO_TCP || p->proto == NF_PROTO_UDP);
        uint16_t sport = ports ? p->sport : 0, dport = ports ? p->dport : 0;
        unsigned source = p->saddr > p->daddr || (p->saddr == p->daddr && sport > dport);

        flow.ends.addr[source] = p->saddr;
        flow.ends.addr[!source] = p->daddr;
        flow.ends.port[source] = sport;
        flow.ends.port[!source] = dport;
        flow.ends.proto = p->proto;
        flow.swapped = source;
        return flow;
    }
    flow.by_macs = true;
    if (p->have >= 12) {
        flow.swapped = memcmp(p->data + 6, p->data, 6) > 0;
        memcpy(flow.macs.low, p->data + (flow.swapped ? 0 : 6), 6);
        memcpy(flow.macs.high, p->data + (flow.swapped ? 6 : 0), 6);
    }
    return flow;
}

/* The flow as it was when it began; NULL: no memory. */
static struct flow *find_flow(void **flows, const struct flow *flow)
{
    struct flow *kept, **first = tsearch(flow, flows, compare_flows);

    if (!first || *first != flow)
        return first ? *first : NULL;
    kept = malloc(sizeof(*kept));
    if (!kept) {
        tdelete(flow, flows, compare_flows);
        return NULL;
    }
    *kept = *flow;
    return *first = kept;
}

/* Counts IPv4 flows seen in both directions, and those whose two directions arrived at one side (captured
 * twice). */
static void count_doubled(struct nd_tape *tape, struct flow *began, bool swapped, uint8_t side)
{
    bool was = began->seen[0] & began->seen[1], both = began->seen[0] && began->seen[1];

    began->seen[swapped] |= (uint8_t)(1u << side);
    if (began->by_macs)
        return;
    tape->flows += !both && began->seen[0] && began->seen[1];
    tape->doubled += !was && began->seen[0] & began->seen[1];
}

/* The packet's source, or its destination, is in one of the networks. */
static bool is_inside(const struct nf_networks *inside, const struct nf_packet *p, bool destination)
{
    if (p->flags & NF_P_IPV4)
        return nf_prefixes_has(&inside->ipv4, destination ? p->daddr : p->saddr);
    return p->flags & NF_P_IPV6_READ &&
           nf_networks_has6(inside, nf_packet_ipv6_addresses(p) + (destination ? 16 : 0));
}

/* UNKNOWN: neither the networks nor a NAT decide it. */
static uint8_t side_of(const struct nf_packet *p, const struct nf_networks *inside, const void *nat,
                       const void *nat64)
{
    uint8_t side = UNKNOWN;

    if (inside && is_inside(inside, p, false))
        return NF_INSIDE;
    if (inside && is_inside(inside, p, true))
        return NF_OUTSIDE;
    if (nat)
        side = nat_side_of(nat, p, !inside);
    return side == UNKNOWN && nat64 ? nat64_side_of(nat64, p) : side;
}

const void *nd_nf_config(const struct nf_chain_config *chain, const char *name)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (strcmp(chain->nfs[i].module->name, name) == 0)
            return chain->nfs[i].config;
    return NULL;
}

/* Also parses the packet; the caller relies on it. */
static void count_wrong(struct nd_tape *tape, struct nf_packet *p)
{
    nf_packet_parse(p);
    if (p->flags & NF_P_BAD && p->bad == NF_BAD_CHECKSUM) {
        tape->wrong_ip++;
        nf_packet_parse_unsummed(p);
    }
    if ((p->flags & (NF_P_L4 | NF_P_FRAGMENT)) == NF_P_L4 && nf_proto_is_ported(p->proto) &&
        !nf_packet_checksum_right(p))
        tape->wrong_l4++;
}

/*
 * On which side each input arrives, into inputs[].side; and how many have wrong checksums. What has a source
 * in the networks `inside` (NULL: those of the chain's NAT) comes from inside; else what has its destination
 * there, or at the NAT's outside address, from outside. Where that does not decide it: the sender of a flow's
 * first packet is inside, its other end outside. (A flow here is the addresses and ports of TCP and UDP on
 * IPv4; the addresses alone for its fragments and other protocols; the MACs for all else.)
 */
static int find_sides(struct nd_tape *tape, const struct nf_chain_config *chain,
                      const struct nf_networks *inside, struct ft_fault *fault)
{
    const void *nat = nd_nf_config(chain, "nat"), *nat64 = nd_nf_config(chain, "nat64");
    void *flows = NULL;
    int error = 0;

    for (uint64_t i = 0; i < tape->count && !error; i++) {
        struct nd_tape_input *in = &tape->inputs[i];
        struct nf_packet p = {.data = tape->bytes + in->at, .len = in->wire, .have = in->have};

        count_wrong(tape, &p);
        in->side = side_of(&p, inside, nat, nat64);
        struct flow flow = flow_of(&p), *began = find_flow(&flows, &flow);

        if (!began)
            error = FT_ENOMEM;
        else if (in->side == UNKNOWN)
            in->side = began->swapped == flow.swapped ? NF_INSIDE : NF_OUTSIDE;
        if (!error)
            count_doubled(tape, began, flow.swapped, in->side);
    }
    tdestroy(flows, free);
    return error ? ft_fail(fault, error, "no memory for the capture's flows") : 0;
}

/* ---- packets ----------------------------------------------------------------------------------- */

static bool append_input(struct nd_tape *tape, const struct nd_tape_input *input)
{
    if (!nd_grow((void **)&tape->inputs, &tape->input_room, tape->count + 1, sizeof(*tape->inputs), 4096))
        return false;
    tape->inputs[tape->count++] = *input;
    if (input->wire > tape->longest)
        tape->longest = input->wire;
    return true;
}

static bool append_bytes(struct nd_tape *tape, const void *bytes, uint32_t n)
{
    if (!nd_grow((void **)&tape->bytes, &tape->byte_room, tape->used + n, 1, 1u << 20))
        return false;
    memcpy(tape->bytes + tape->used, bytes, n);
    tape->used += n;
    return true;
}

/* A frame that a node's port would take becomes an input; another is counted. FT_ENOMEM. */
static int add_input(struct nd_tape *tape, int link, const struct pcap_pkthdr *head, const uint8_t *data,
                     uint64_t stamp, uint64_t time)
{
    uint8_t made[COOKED_HEAD];
    int replaced = cooked_head(link, data, head->caplen, made);
    uint32_t own = replaced > 0 ? (uint32_t)replaced : 0, more = own ? COOKED_HEAD : 0;
    struct nd_tape_input in = {.stamp = stamp,
                               .time = time,
                               .number = tape->count,
                               .at = tape->used,
                               .wire = head->len - own + more,
                               .have = head->caplen - own + more};

    if (replaced < 0) {
        tape->foreign++;
        return 0;
    }
    if (in.wire < FRAME_MIN || in.wire > tape->frame_max || in.have == 0) {
        tape->refused++;
        return 0;
    }
    tape->sent += cooked_sent(link, data, head->caplen);
    if (!append_bytes(tape, made, more) || !append_bytes(tape, data + own, head->caplen - own))
        return FT_ENOMEM;
    return place_in_burst(tape, time) || !append_input(tape, &in) ? FT_ENOMEM : 0;
}

static int refuse_damage(struct ft_fault *fault, const char *file, long offset, const char *what,
                         const char *expected)
{
    return ft_fail(fault, FT_EMALFORMED, "%.100s:offset %ld: %.100s, expected %s", file,
                   offset < 0 ? 0 : offset, what, expected);
}

/* One record's claims. `unit`: of the fraction of its time stamp. */
static int check_record(const struct pcap_pkthdr *head, uint32_t unit, const char *file, long offset,
                        struct ft_fault *fault)
{
    const char *name = unit == MICROSECOND ? "microseconds" : "nanoseconds";
    char what[100], most[40];

    if (head->caplen > head->len) {
        snprintf(what, sizeof(what), "%u bytes captured of a frame of %u", head->caplen, head->len);
        return refuse_damage(fault, file, offset, what, "no more than the frame has");
    }
    if (head->ts.tv_sec < 0 || head->ts.tv_sec > SECONDS_MAX) {
        snprintf(what, sizeof(what), "a time stamp with %ld seconds", head->ts.tv_sec);
        return refuse_damage(fault, file, offset, what, "0 (1970) to 10000000000 (2286)");
    }
    if (head->ts.tv_usec < 0 || head->ts.tv_usec >= (long)SECOND) {
        snprintf(what, sizeof(what), "a time stamp with %ld %s", head->ts.tv_usec / unit, name);
        snprintf(most, sizeof(most), "0 to %llu", SECOND / unit - 1);
        return refuse_damage(fault, file, offset, what, most);
    }
    return 0;
}

/* What a fraction of a second counts in a file of pcap, in ns, by its head. 0: pcapng, and what else libpcap
 * knows: only the file itself shows where we are. */
static uint32_t unit_of(FILE *f)
{
    uint32_t magic = 0;

    if (fread(&magic, sizeof(magic), 1, f) != 1)
        magic = 0;
    rewind(f);
    return magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1   ? MICROSECOND
           : magic == 0xa1b23c4d || magic == 0x4d3cb2a1 ? 1
                                                        : 0;
}

static int read_records(struct nd_tape *tape, pcap_t *pcap, uint32_t unit, const char *file,
                        struct ft_fault *fault)
{
    uint64_t last = 0, time = 0;
    struct pcap_pkthdr *head;
    const uint8_t *data;
    bool began = false;
    long offset = PCAP_HEAD; /* where the next record begins */
    int rc, error = 0;

    for (; !error && (rc = pcap_next_ex(pcap, &head, &data)) == 1; offset += PCAP_RECORD + head->caplen) {
        uint64_t stamp = (uint64_t)head->ts.tv_sec * SECOND + (uint64_t)head->ts.tv_usec;

        error = check_record(head, unit ? unit : 1, file, unit ? offset : -1, fault);
        if (error)
            break;
        if (!began)
            time = last = stamp;
        began = true;
        /* Captures of several interfaces step back now and then. */
        if (stamp > last)
            time += stamp - last < PAUSE_MAX ? stamp - last : SECOND;
        last = stamp > last ? stamp : last;
        if (add_input(tape, pcap_datalink(pcap), head, data, stamp, time))
            error = ft_fail(fault, FT_ENOMEM, "%.100s: no memory for the capture", file);
    }
    if (!error && rc != PCAP_ERROR_BREAK)
        error = refuse_damage(fault, file, unit ? offset : ftell(pcap_file(pcap)), pcap_geterr(pcap),
                              "a whole record");
    return error;
}

/* Regular files only: a pipe or a device may keep a reader waiting, and cannot be read twice. */
static int open_capture(FILE **out, const char *file, struct ft_fault *fault)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat is;

    *out = NULL;
    if (fd >= 0 && fstat(fd, &is) == 0 && !S_ISREG(is.st_mode)) {
        close(fd);
        return ft_fail(fault, FT_EIO, "%.150s: not a regular file, expected a capture", file);
    }
    *out = fd < 0 ? NULL : fdopen(fd, "rb");
    return *out ? 0
                : ft_fail(fault,
                          errno == ENOENT                     ? FT_ENOENT
                          : errno == EACCES || errno == EPERM ? FT_EPERM
                                                              : FT_EIO,
                          "%.150s: %s, expected a capture", file, strerror(errno));
}

int nd_tape_read(struct nd_tape *tape, const char *file, const struct nf_chain_config *chain,
                 const struct nf_networks *inside, struct ft_fault *fault)
{
    char why[PCAP_ERRBUF_SIZE] = "";
    FILE *f;
    pcap_t *pcap;
    uint32_t unit;
    int error = open_capture(&f, file, fault);

    *tape = (struct nd_tape){.frame_max = chain->frame_max};
    if (error)
        return error;
    unit = unit_of(f);
    pcap = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!pcap) {
        error = refuse_damage(fault, file, 0, why, "a capture in pcap or pcapng format");
        fclose(f);
        return error;
    }
    if (pcap_datalink(pcap) != DLT_EN10MB && !kind_of(pcap_datalink(pcap))) {
        const char *name = pcap_datalink_val_to_name(pcap_datalink(pcap));

        snprintf(why, sizeof(why), "link type %d (%s)", pcap_datalink(pcap), name ? name : "unknown");
        error = refuse_damage(fault, file, LINK_TYPE, why, "Ethernet, LINUX_SLL or LINUX_SLL2");
    }
    if (!error)
        error = read_records(tape, pcap, unit, file, fault);
    pcap_close(pcap); /* and the file */
    if (!error)
        error = find_sides(tape, chain, inside, fault);
    if (error)
        nd_tape_free(tape);
    return error;
}

void nd_tape_free(struct nd_tape *tape)
{
    free(tape->inputs);
    free(tape->bursts);
    if (!tape->borrowed)
        free(tape->bytes);
    memset(tape, 0, sizeof(*tape));
}

void nd_tape_frame(const struct nd_tape *tape, uint64_t index, uint8_t *out)
{
    const struct nd_tape_input *in = &tape->inputs[index];

    memcpy(out, tape->bytes + in->at, in->have);
    if (in->have < in->wire)
        memset(out + in->have, 0, in->wire - in->have);
}

void nd_tape_packets(const struct nd_tape *tape, const struct nd_tape_burst *b, uint8_t *frames,
                     struct nf_packet packets[NF_BURST_MAX])
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &tape->inputs[b->first + i];
        uint8_t *frame = frames + (size_t)i * tape->longest;

        nd_tape_frame(tape, b->first + i, frame);
        packets[i] = (struct nf_packet){.data = frame,
                                        .len = in->wire,
                                        .have = in->wire,
                                        .in_port = in->side == NF_OUTSIDE,
                                        .side = in->side};
    }
}

unsigned nd_tape_lane(const uint8_t *frame, uint32_t wire, uint32_t have, uint8_t side,
                      struct nd_tape_lanes lanes)
{
    struct nf_packet p = {.data = (uint8_t *)(uintptr_t)frame, .len = wire, .have = have, .side = side};

    if (lanes.count == 1)
        return 0;
    nf_packet_parse_unsummed(&p);
    return nf_lane_of(&p, lanes.scope, lanes.count);
}

static bool deal_burst(const struct nd_tape *tape, const struct nd_tape_burst *b, struct nd_tape_lanes lanes,
                       const uint8_t *lane_of, struct nd_tape out[])
{
    for (unsigned l = 0; l < lanes.count; l++)
        if (!add_burst(&out[l], b->time))
            return false;
    for (const struct nd_tape_input *in = tape->inputs + b->first; in < tape->inputs + b->first + b->n;
         in++) {
        uint8_t known = lane_of ? lane_of[in - tape->inputs] : ND_TAPE_HASH;
        struct nd_tape *lane = &out[known < lanes.count ? known
                                                        : nd_tape_lane(tape->bytes + in->at, in->wire,
                                                                       in->have, in->side, lanes)];

        if (!append_input(lane, in))
            return false;
        lane->bursts[lane->burst_count - 1].n++;
    }
    return true;
}

int nd_tape_deal(const struct nd_tape *tape, struct nd_tape_lanes lanes, const uint8_t *lane,
                 struct nd_tape out[], struct ft_fault *fault)
{
    bool whole = true;

    memset(out, 0, lanes.count * sizeof(out[0]));
    for (unsigned l = 0; l < lanes.count; l++) {
        out[l].bytes = tape->bytes;
        out[l].borrowed = true;
    }
    for (uint64_t b = 0; b < tape->burst_count && whole; b++)
        whole = deal_burst(tape, &tape->bursts[b], lanes, lane, out);
    for (unsigned l = 0; l < lanes.count; l++) {
        out[l].longest = tape->longest;
        if (!whole)
            nd_tape_free(&out[l]);
    }
    return whole ? 0 : ft_fail(fault, FT_ENOMEM, "no memory for the lanes' packets");
}

/* ---- a file that is written --------------------------------------------------------------------- */

#define SNAP_MAX 262144

/* Beside the file, to become it when it is whole. A link is followed, and its file written to as it is. */
static char *part_of(const char *file)
{
    struct stat is;
    char *part;

    if (lstat(file, &is) == 0 && !S_ISREG(is.st_mode))
        return NULL;
    return asprintf(&part, "%s.part", file) < 0 ? NULL : part;
}

/* A part that a killed run left goes; whatever else has its name is not written to. */
static FILE *make_file(const char *part, const char *file)
{
    if (part)
        unlink(part);
    int fd = part ? open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)
                  : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "wb");

    if (fd >= 0 && !to)
        close(fd);
    return to;
}

int nd_capture_open(struct nd_capture_file *c, const char *file, struct ft_fault *fault)
{
    struct stat is;

    *c = (struct nd_capture_file){.file = NULL};
    if (stat(file, &is) == 0 && !S_ISREG(is.st_mode)) /* a pipe without a reader would hold us up */
        return ft_fail(fault, FT_EIO, "%.200s: not a regular file, expected a file to write to", file);
    pcap_t *pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAP_MAX, PCAP_TSTAMP_PRECISION_NANO);

    *c = (struct nd_capture_file){.file = file, .part = part_of(file)};
    FILE *to = make_file(c->part, file);

    if (pcap && to)
        c->dump = pcap_dump_fopen(pcap, to);
    if (!c->dump)
        ft_fail(fault, FT_EIO, "%.200s: %s, expected a file to write to", file,
                !to    ? strerror(errno)
                : pcap ? pcap_geterr(pcap)
                       : "no memory");
    if (to && !c->dump)
        fclose(to);
    if (pcap)
        pcap_close(pcap);
    return c->dump ? 0 : FT_EIO;
}

void nd_capture_put(struct nd_capture_file *c, uint64_t stamp, const void *frame, uint32_t have, uint32_t len)
{
    struct pcap_pkthdr head = {.caplen = have, .len = len};

    head.ts.tv_sec = (time_t)(stamp / SECOND);
    head.ts.tv_usec = (suseconds_t)(stamp % SECOND);
    pcap_dump((u_char *)c->dump, &head, frame);
}

int nd_capture_finish(struct nd_capture_file *c, struct ft_fault *fault)
{
    if (!c->dump)
        return 0;
    if (pcap_dump_flush(c->dump) != 0 || ferror(pcap_dump_file(c->dump)) ||
        (c->part && rename(c->part, c->file) != 0))
        return ft_fail(fault, FT_EIO, "%.150s: cannot be written: %s", c->file, strerror(errno));
    free(c->part);
    c->part = NULL;
    nd_capture_close(c);
    return 0;
}

void nd_capture_close(struct nd_capture_file *c)
{
    if (c->dump)
        pcap_dump_close(c->dump);
    if (c->part)
        unlink(c->part);
    free(c->part);
    *c = (struct nd_capture_file){.file = NULL};
}
