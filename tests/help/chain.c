/* SPDX-License-Identifier: Apache-2.0 */
/* Chains and captures for tests of NFs; see chain.h. */
#include "nflib/chain/change.h"
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <pcap/pcap.h>

static void must(int error, const struct ft_fault *fault)
{
    if (error < 0)
        fail_msg("%s: %s", ft_error_name(error), fault->text);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A chain file and its rules; `path` is the chain file's. */
static void write_files(const char *dir, char path[96], const char *nfs, const char *rules)
{
    char text[8192], side[96];

    snprintf(path, 96, "%s/chain.yaml", dir);
    snprintf(side, sizeof(side), "%s/firewall.rules", dir);
    snprintf(text, sizeof(text), "chain:\n  name: test\n  lanes: 1\n  nfs:\n%s", nfs);
    write_file(path, text);
    if (rules)
        write_file(side, rules);
}

/* The same in a directory of their own. */
static void write_chain(char dir[64], char path[96], const char *nfs, const char *rules)
{
    snprintf(dir, 64, "/tmp/test-nf-XXXXXX");
    assert_non_null(mkdtemp(dir));
    write_files(dir, path, nfs, rules);
}

static void remove_chain(const char *dir)
{
    static const char *const names[] = {"chain.yaml", "firewall.rules"};
    char path[96];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

const char *help_chain_refusal(const char *nfs, const char *rules)
{
    static struct ft_fault fault;
    struct nd_config *config = NULL;
    char dir[64], path[96];

    fault.text[0] = '\0';
    write_chain(dir, path, nfs, rules);
    if (nd_config_read(&config, path, 0, &fault) == FT_OK)
        nd_config_free(config);
    remove_chain(dir);
    return fault.text;
}

void help_chain_refuses_rules(const char *nfs, const char *rules, const char *expected)
{
    const char *text = help_chain_refusal(nfs, rules);

    if (!text[0] || !strstr(text, expected))
        fail_msg("\"%s\" is not in \"%s\"", expected, text);
}

void help_chain_refuses(const char *nfs, const char *expected)
{
    help_chain_refuses_rules(nfs, NULL, expected);
}

static uint64_t chains_made, bursts_run; /* by this program */

static void make_chain(struct help_chain *h)
{
    struct ft_fault fault = {""};
    ft_audit_suspend(h->region);
    must(nf_chain_make(&h->chain, &h->config->chain, h->region, 0, h->seed, &fault), &fault);
    ft_audit_resume(h->region);
    h->burst = h->now = 0;
    chains_made++;
}

static struct help_chain *opened; /* the last one, while it is open */

void help_chain_open_file(struct help_chain *h, const char *file, uint64_t seed)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 1 << 20, .audit = true};
    struct ft_fault fault = {""};
    if (opened == h)
        help_chain_close(h);
    must(nd_config_read(&h->config, file, 0, &fault), &fault);
    h->seed = seed;
    must(nf_chain_region(&h->region, &h->config->chain, &how, &fault), &fault);
    make_chain(h);
    opened = h;
}

void help_chain_open(struct help_chain *h, const char *nfs, const char *rules, uint64_t seed)
{
    char path[96];
    if (opened == h)
        help_chain_close(h);
    memset(h, 0, sizeof(*h));
    write_chain(h->dir, path, nfs, rules);
    help_chain_open_file(h, path, seed);
}

void help_chain_begin(struct help_chain *h, const char *nfs, const char *rules)
{
    help_chain_open(h, nfs, rules, 1);
    h->now = HELP_SECOND;
}

/* A fault for each page of each burst is most of what a long test costs. Audited are the first 64 bursts of
 * the first 100 chains that a program makes, and 8 of each 256. */
static void choose_audit(const struct help_chain *h, bool audited)
{
    if (audited == !ft_audit_suspended(h->region))
        return;
    if (audited)
        ft_audit_resume(h->region);
    else
        ft_audit_suspend(h->region);
}

void help_chain_again(struct help_chain *h)
{
    nf_chain_free(h->chain);
    ft_audit_suspend(h->region);
    ft_region_wipe(h->region);
    ft_audit_resume(h->region);
    make_chain(h);
}

void help_chain_close(struct help_chain *h)
{
    nf_chain_free(h->chain);
    if (h->region)
        ft_region_close(h->region);
    if (h->config)
        nd_config_free(h->config);
    if (h->dir[0])
        remove_chain(h->dir);
    memset(h, 0, sizeof(*h));
    if (opened == h)
        opened = NULL;
}

void (*help_chain_before)(void);

void help_chain_case(void **test)
{
    if (help_chain_before)
        help_chain_before();
    ((void (*)(void)) * test)();
}

int help_chain_case_end(void **test)
{
    if (opened)
        help_chain_close(opened);
    return 0;
}

void help_chain_run(struct help_chain *h, uint64_t now, struct nf_packet packets[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (packets[i].in_port <= NF_OUTSIDE)
            packets[i].in_port = packets[i].side;
    h->now = now;
    choose_audit(h, (h->burst < 64 && chains_made <= 100) || bursts_run++ % 256 < 8);
    nf_chain_run(h->chain, ++h->burst, now, packets, n);
    ft_audit_check(h->region, 0);
}

void help_chain_idle(struct help_chain *h, uint64_t now)
{
    struct nf_packet none;
    help_chain_run(h, now, &none, 0);
}

void help_chain_wait_tenths(struct help_chain *h, uint64_t tenths)
{
    help_chain_wait_ms(h, 100 * tenths);
}

void help_chain_wait_ms(struct help_chain *h, uint64_t ms)
{
    help_chain_idle(h, h->now + ms * (HELP_SECOND / 1000));
}

struct nf_packet help_chain_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len)
{
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side};
    help_chain_run(h, h->now, &p, 1);
    return p;
}

struct nf_packet help_ipv6_send(struct help_chain *h, uint8_t side, uint8_t *frame, uint32_t len)
{
    memset(frame, 2, 12);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    return help_chain_send(h, side, frame, len);
}

struct nf_packet help_chain_arp_for(struct help_chain *h, uint8_t side, uint32_t addr, uint32_t target)
{
    uint8_t arp[60] = {[0 ... 5] = 0xff, [6] = 2, 0, 0, 0, 0, (uint8_t)addr, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

    memcpy(arp + 22, arp + 6, 6);
    memcpy(arp + 28, &(uint32_t){htonl(addr)}, 4);
    memcpy(arp + 38, &(uint32_t){htonl(target)}, 4);
    return help_chain_send(h, side, arp, sizeof(arp));
}

void help_chain_arp(struct help_chain *h, uint32_t addr)
{
    help_chain_arp_for(h, NF_INSIDE, addr, NFT_IP(10, 0, 0, 1));
}

bool help_chain_spec(struct help_chain *h, uint8_t side, const struct nft_spec *spec, struct nft_seen *out)
{
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(spec, frame);
    struct nf_packet p = help_chain_send(h, side, frame, len);
    if (!p.drop && nft_checksums(frame, len))
        fail_msg("%s checksum is wrong", nft_checksums(frame, len));
    if (out)
        nft_see(frame, len, out);
    return !p.drop;
}

bool help_chain_six(struct help_chain *h, uint8_t side, const struct six *s, struct six_seen *out)
{
    uint8_t frame[SIX_MAX];
    struct nf_packet p = help_chain_send(h, side, frame, six_frame(s, frame));
    struct six_seen seen;

    if (p.drop)
        return false;
    out = out ? out : &seen;
    assert_true(six_see(p.data, p.len, out));
    if (out->wrong)
        fail_msg("%s checksum is wrong", out->wrong);
    return true;
}

void six_ends_are(const struct six_seen *seen, const char *from, unsigned sport, const char *to,
                  unsigned dport)
{
    assert_string_equal(seen->from, from);
    assert_string_equal(seen->to, to);
    assert_int_equal(seen->sport, sport);
    assert_int_equal(seen->dport, dport);
}

bool help_chain_error(struct help_chain *h, uint8_t side, struct six *error, const struct six *about,
                      uint32_t more, struct six_seen *seen, struct six_seen *quoted)
{
    static uint8_t inner[SIX_MAX], frame[SIX_MAX + 64];
    uint32_t whole = six_frame(about, inner) - 14, part = (six_is_ipv6(about) ? 48 : 28) + more;
    struct nf_packet p;

    error->inner = inner + 14;
    error->inner_len = part < whole ? part : whole;
    p = help_chain_send(h, side, frame, six_frame(error, frame));
    if (p.drop)
        return false;
    assert_true(six_see(p.data, p.len, seen));
    assert_null(seen->wrong);
    assert_true(six_see_quoted(p.data, seen, quoted));
    assert_null(quoted->wrong);
    return true;
}

bool help_chain_fragment(struct help_chain *h, uint32_t src, uint32_t dst, uint16_t id, bool later)
{
    const struct nft_spec spec =
        HELP_PACKET(17, src, 7, dst, 53, .ip_id = id, .fragment = later ? 5 : NFT_MORE, .payload = 32);

    return help_chain_spec(h, NF_INSIDE, &spec, NULL);
}

int help_chain_command(struct help_chain *h, const char *text)
{
    h->fault = (struct ft_fault){""};
    int rc = nf_chain_command(h->chain, text, (uint32_t)strlen(text), h->now, &h->fault);
    help_chain_idle(h, h->now);
    return rc;
}

uint64_t help_chain_counter(const struct help_chain *h, const char *name, const char *counter)
{
    const struct nf *nf = nf_chain_find(h->chain, name);
    assert_non_null(nf);
    for (unsigned i = 0; nf->module->counters[i]; i++)
        if (strcmp(nf->module->counters[i], counter) == 0)
            return nf->counters[i];
    fail_msg("%s has no counter %s", name, counter);
    return 0;
}

void help_chain_counts_at(const struct help_chain *h, const char *file, int line, const char *expected, ...)
{
    char text[512], nf[64] = "", name[64];
    uint64_t value;
    va_list args;
    int used;

    va_start(args, expected);
    assert_in_range(vsnprintf(text, sizeof(text), expected, args), 1, sizeof(text) - 1);
    va_end(args);
    for (const char *at = text; *at; at += used + strspn(at + used, ":, ")) {
        assert_int_equal(sscanf(at, "%63[^: ]%n", name, &used), 1);
        if (at[used] == ':') {
            strcpy(nf, name);
            continue;
        }
        assert_int_equal(sscanf(at, "%63s %lu%n", name, &value, &used), 2);
        if (help_chain_counter(h, nf, name) == value)
            continue;
        print_error("%s of %s is %lu, expected %lu\n", name, nf, help_chain_counter(h, nf, name), value);
        _fail(file, line);
    }
}

void help_chain_is_sound(const struct help_chain *h)
{
    struct ft_fault fault = {""};

    if (nf_chain_check(h->chain, NULL, NULL, &fault))
        fail_msg("%s", fault.text);
}

uint32_t help_chain_show(const struct help_chain *h, const char *name, char *out, uint32_t cap)
{
    const struct nf *nf = nf_chain_find(h->chain, name);
    uint64_t cursor = 0;
    uint32_t at = 0, rows = 0;
    bool more = true;
    assert_non_null(nf);
    for (unsigned page = 0; more; page++) {
        assert_true(page < 100000 && at + 8192 < cap);
        struct nf_show *show = nf_show_begin(out + at, 8192);
        more = nf->module->show(nf, show, &cursor);
        uint32_t len = nf_show_end(show);
        for (uint32_t i = at; i < at + len; i++)
            rows += out[i] == '{';
        at += len;
    }
    out[at] = 0;
    return rows;
}

static char all[1 << 20];

uint32_t help_chain_rows(const struct help_chain *h, const char *nf)
{
    return help_chain_show(h, nf, all, sizeof(all));
}

void help_chain_has(const struct help_chain *h, const char *nf, const char *text)
{
    help_chain_rows(h, nf);
    if (!strstr(all, text))
        fail_msg("no %s in %s", text, all);
}

uint64_t help_chain_digest(const struct help_chain *h)
{
    return ft_region_digest(h->region);
}

/* ---- captures ---------------------------------------------------------------------------------- */

static bool is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8;
}

static uint8_t side_of(const uint8_t *data, uint32_t len)
{
    struct nft_seen s;
    if (!nft_see(data, len, &s))
        return NF_INSIDE;
    if (is_private(s.src) != is_private(s.dst))
        return is_private(s.src) ? NF_INSIDE : NF_OUTSIDE;
    if (s.src == s.dst) /* a loopback: the client has the greater port */
        return s.sport >= s.dport ? NF_INSIDE : NF_OUTSIDE;
    return s.src < s.dst ? NF_INSIDE : NF_OUTSIDE;
}

static void read_all(struct help_capture *capture, pcap_t *pcap)
{
    struct pcap_pkthdr *head;
    const uint8_t *data;
    uint64_t last = 0, at = 0;
    uint32_t room = 0;
    while (pcap_next_ex(pcap, &head, &data) == 1) {
        uint64_t time = (uint64_t)head->ts.tv_sec * HELP_SECOND + (uint64_t)head->ts.tv_usec;
        if (capture->count == room) {
            room = room ? 2 * room : 1024;
            capture->list = realloc(capture->list, room * sizeof(*capture->list));
            assert_non_null(capture->list);
        }
        /* Captures of several interfaces step back now and then; some are joined from parts years apart. */
        if (capture->count && time > last)
            at += time - last < 3600 * HELP_SECOND ? time - last : HELP_SECOND;
        last = capture->count && time < last ? last : time;
        struct help_captured *c = &capture->list[capture->count++];
        *c = (struct help_captured){.time = at, .len = head->len, .have = head->caplen};
        c->data = malloc(c->have ? c->have : 1);
        assert_non_null(c->data);
        memcpy(c->data, data, c->have);
        c->side = side_of(c->data, c->have);
    }
}

const char *help_capture_directory(void)
{
    const char *path = getenv("UNDERSTUDY_PCAPS");

    return path ? path : "../shared/pcaps";
}

void help_captures_or_skip(void)
{
    if (access(help_capture_directory(), R_OK) == 0)
        return;
    print_message("# no captures in %s\n", help_capture_directory());
    skip();
}

bool help_capture_read(struct help_capture *capture, const char *name)
{
    char path[256], command[320], error[PCAP_ERRBUF_SIZE];
    size_t n = strlen(name);
    memset(capture, 0, sizeof(*capture));
    snprintf(path, sizeof(path), "%s/%s", help_capture_directory(), name);
    if (access(path, R_OK) != 0) {
        printf("# no capture %s here, left out\n", path);
        return false;
    }
    bool gzipped = n > 3 && strcmp(name + n - 3, ".gz") == 0;
    snprintf(command, sizeof(command), "gunzip -c %s", path);
    FILE *f = gzipped ? popen(command, "r") : fopen(path, "r");
    assert_non_null(f);
    pcap_t *pcap = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, error);
    if (!pcap)
        fail_msg("%s: %s", path, error);
    read_all(capture, pcap);
    pcap_close(pcap); /* and the file */
    return true;
}

void help_capture_mend(struct help_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        nft_ip_checksum(capture->list[i].data, capture->list[i].have);
}

void help_capture_free(struct help_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        free(capture->list[i].data);
    free(capture->list);
}

/* ---- a capture again and again ------------------------------------------------------------------------ */

static uint32_t header_bytes(const struct help_captured *c)
{
    struct nf_packet p = {.data = c->data, .len = c->len, .have = c->have, .side = c->side};
    nf_packet_parse(&p);
    uint32_t n = nf_packet_header_bytes(&p);
    return n < c->have ? n : c->have;
}

static uint64_t sum_up(uint64_t sum, const void *data, uint32_t n)
{
    const uint8_t *at = data;
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

/* Frames are copied: the capture is needed again. */
static uint64_t one_burst(struct help_chain *h, const struct help_captured *list, uint32_t n, bool headers,
                          uint64_t sum)
{
    struct nf_packet burst[NF_BURST_MAX];
    uint32_t bytes[NF_BURST_MAX];
    uint8_t *copies[NF_BURST_MAX];
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = header_bytes(&list[i]);
        uint32_t have = headers ? bytes[i] : list[i].have;
        uint8_t *copy = malloc(have ? have : 1);
        assert_non_null(copy);
        memcpy(copy, list[i].data, have);
        copies[i] = copy; /* the chain may move the packet */
        burst[i] = (struct nf_packet){.data = copy, .len = list[i].len, .have = have, .side = list[i].side};
    }
    help_chain_run(h, list[n - 1].time > h->now ? list[n - 1].time : h->now, burst, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t fate[3] = {burst[i].drop, burst[i].drop_nf, burst[i].out_port};
        sum = sum_up(sum, fate, sizeof(fate));
        bytes[i] += burst[i].len - list[i].len; /* headers of another family */
        sum = sum_up(sum, burst[i].data, burst[i].drop ? 0 : bytes[i]);
        free(copies[i]);
    }
    return sum;
}

uint64_t help_chain_capture(struct help_chain *h, const struct help_capture *capture, bool headers,
                            uint64_t *sum)
{
    *sum = 0;
    help_chain_again(h);
    for (uint32_t at = 0; at < capture->count; at += NF_BURST_MAX) {
        uint32_t left = capture->count - at;
        *sum = one_burst(h, &capture->list[at], left < NF_BURST_MAX ? left : NF_BURST_MAX, headers, *sum);
    }
    for (unsigned i = 0; i < 180; i++)
        help_chain_idle(h, h->now + 10 * HELP_SECOND);
    return help_chain_digest(h);
}

bool help_chain_same(struct help_chain *h, const char *name, bool mend)
{
    struct help_capture capture;
    uint64_t first, sum;
    if (!help_capture_read(&capture, name))
        return false;
    if (mend)
        help_capture_mend(&capture);
    uint64_t digest = help_chain_capture(h, &capture, false, &first);
    if (help_chain_capture(h, &capture, false, &sum) != digest || sum != first)
        fail_msg("%s: once more is something else", name);
    if (help_chain_capture(h, &capture, true, &sum) != digest || sum != first)
        fail_msg("%s: header bytes give something else", name);
    help_capture_free(&capture);
    return true;
}

/* ---- a change of a chain that runs -------------------------------------------------------------------- */

int help_change(struct help_chain *h, const char *nfs, const char *rules, struct ft_fault *fault)
{
    struct nf_chain *next[1] = {NULL};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change,
                                .region = h->region,
                                .how = {.name = "test", .shared_size = 1 << 20},
                                .chain = &h->chain,
                                .seed = 77,
                                .next = next};
    struct nd_config *config;
    char path[96];
    int error;

    write_files(h->dir, path, nfs, rules);
    assert_int_equal(nd_config_read(&config, path, 0, fault), 0);
    error = nf_chain_change_plan(&change, &h->config->chain, &config->chain, fault);
    if (!error)
        error = nf_chain_switch(&s, fault);
    if (error) {
        nd_config_free(config);
        return error;
    }
    nf_chain_free(h->chain);
    nd_config_free(h->config);
    ft_region_close(s.old);
    h->chain = next[0];
    h->config = config;
    return 0;
}
