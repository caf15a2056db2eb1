/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the flight recorder. First byte odd: the rest is the file as it is. Else it is frames, type,
 * length, content, whose checksums, and those of records in them, are made here, with a header in front that
 * fits.
 *
 * What opens can be walked to its end; every record in it decodes, in order, and names no other lane, since
 * who replays it has but one.
 */
#include "ftcore/record/message.h"
#include "logger/recorder/recording.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGION (1ull << 20)

static struct fuzz_output out;

static void put_frame(uint32_t type, const void *content, uint32_t len)
{
    uint8_t head[LG_FRAME_HEAD];

    lg_frame_head(head, out.len, type, content, len);
    fuzz_put(&out, head, sizeof(head));
    fuzz_put(&out, content, len);
}

static void put_preface(uint64_t burst, uint64_t seq)
{
    static const char identity[] = "chain edge\n";
    struct {
        struct lg_file_header head;
        char identity[sizeof(identity) - 1];
    } h = {.head = {.serial = 1,
                    .view = 2,
                    .region_size = REGION,
                    .region_used = 4096,
                    .at = {.burst = burst, .seq = seq, .access = 1},
                    .lanes = 1,
                    .identity = sizeof(identity) - 1,
                    .node = "alpha"}};

    out.len = 0;
    memcpy(h.identity, identity, sizeof(h.identity));
    fuzz_put(&out, LG_MAGIC, 8);
    fuzz_put_u32(&out, FT_FORMAT_NEWEST);
    fuzz_put_u32(&out, 0);
    put_frame(LG_HEADER, &h, offsetof(__typeof__(h), identity) + sizeof(h.identity));
}

/* A record without its checksum, which is put behind it. */
static void put_record(uint32_t type, const uint8_t *bytes, size_t len)
{
    uint8_t whole[1024];
    uint64_t sum = __builtin_bswap64(XXH3_64bits(bytes, len));

    memcpy(whole, bytes, len);
    whole[len] = 0xcf;
    memcpy(whole + len + 1, &sum, sizeof(sum));
    put_frame(type, whole, (uint32_t)len + 9);
}

static void make(struct fuzz_input *in)
{
    uint8_t burst = fuzz_u8(in);

    put_preface(burst, 1 + fuzz_u8(in));
    while (fuzz_left(in) && out.len < sizeof(out.bytes) - 4096) {
        uint8_t type = fuzz_u8(in);
        size_t len;
        const uint8_t *bytes = fuzz_bytes(in, fuzz_u16(in) % 1000, &len);

        if (type == LG_RECORD || type == LG_BEGUN)
            put_record(type, bytes, len);
        else
            put_frame(type & 15, bytes, (uint32_t)len);
    }
}

static void walk(const struct lg_recording *r)
{
    static _Alignas(64) uint8_t room[FT_RECORD_MAX];
    const struct ft_record *record = (const struct ft_record *)room;
    uint64_t at = 0, records = 0, burst[FT_LANES_MAX] = {0};
    struct ft_fault fault = {""};
    struct lg_frame f;

    for (unsigned l = 0; l < r->head.lanes; l++)
        burst[l] = r->at[l].burst;
    while (lg_recording_next(r, &at, &f)) {
        FUZZ_MUST(f.content >= r->data && f.content + f.len <= r->data + r->size, "a frame beyond the file");
        if (f.type != LG_RECORD)
            continue;
        records++;
        FUZZ_MUST(ft_record_decode(f.content, f.len, (struct ft_record *)room, sizeof(room), &fault) ==
                      (long)f.len,
                  "a record that does not decode: %s", fault.text);
        FUZZ_MUST(record->lane < r->head.lanes && record->burst == ++burst[record->lane],
                  "burst %lu of lane %u", record->burst, record->lane);
        for (unsigned i = 0; i < record->dependencies; i++) {
            const struct ft_dependency *dependency = (const void *)(room + ft_record_dependencies_at(record));

            FUZZ_MUST(dependency[i].lane < r->head.lanes && dependency[i].lane != record->lane,
                      "a dependency to lane %u", dependency[i].lane);
        }
    }
    FUZZ_MUST(at == r->whole && records == r->records, "%lu records, walked %lu", r->records, records);
    for (unsigned l = 0; l < r->head.lanes; l++) {
        bool unended = r->begun[l].content && r->begun[l].type == LG_RECORD;

        FUZZ_MUST(burst[l] == r->end[l].burst + unended, "lane %u ends at burst %lu, walked %lu", l,
                  r->end[l].burst, burst[l]);
        if (!r->begun[l].content)
            continue;
        FUZZ_MUST(ft_record_decode(r->begun[l].content, r->begun[l].len, (struct ft_record *)room,
                                   sizeof(room), &fault) == (long)r->begun[l].len &&
                      record->lane == l && record->burst == r->end[l].burst + 1,
                  "lane %u has begun another burst than the next", l);
    }
    FUZZ_MUST(!r->node_end.how || (r->node_end.how < LG_HOWS && strlen(r->line) <= LG_LINE_MAX &&
                                   strlen(r->node_end.nf) < sizeof(r->node_end.nf)),
              "an end of kind %u", r->node_end.how);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct ft_fault fault = {""};
    struct lg_recording r;
    char path[128];

    if (fuzz_u8(&in) & 1)
        snprintf(path, sizeof(path), "%s", fuzz_file("file.rec", in.at, fuzz_left(&in)));
    else {
        make(&in);
        snprintf(path, sizeof(path), "%s", fuzz_file("file.rec", out.bytes, out.len));
    }
    if (lg_recording_open(&r, path, &fault)) {
        FUZZ_MUST(strncmp(fault.text, path, strlen(path)) == 0 && !strchr(fault.text, '\n'),
                  "refused by '%s'", fault.text);
        return;
    }
    walk(&r);
    FUZZ_MUST(!lg_recording_follows(&r, &r), "a file follows itself");
    lg_recording_close(&r);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed_record(struct fuzz_output *to, uint8_t type, uint64_t burst, uint64_t seq,
                        uint16_t dependencies)
{
    struct {
        struct ft_record r;
        struct ft_dependency dependency;
    } one = {.r = {.burst = burst,
                   .seq = seq,
                   .time = 5,
                   .access = 1,
                   .accesses = dependencies,
                   .dependencies = dependencies},
             .dependency = {.own = 1, .access = 1, .lane = 1}};
    uint8_t wire[256];
    long n;

    one.r.size = (uint32_t)ft_record_size(&one.r);
    n = ft_record_encode(&one.r, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    fuzz_put_u8(to, type);
    fuzz_put_u16(to, (uint16_t)(n - 9));
    fuzz_put(to, wire, (size_t)n - 9);
}

static void seeds(void)
{
    static struct fuzz_output to;
    uint8_t lines[16 + 64] = {[8] = 1};
    const struct lg_node_end end = {.how = LG_CRASHED, .signal = 11, .burst = 9, .packet = 1, .nf = "nat"};
    const uint64_t ended = 8;

    fuzz_put(&to, "\0\7\4", 3);
    fuzz_put_u8(&to, LG_LINES);
    fuzz_put_u16(&to, sizeof(lines));
    fuzz_put(&to, lines, sizeof(lines));
    seed_record(&to, LG_RECORD, 8, 5, 0);
    fuzz_put(&to, "\3\0\0", 3);
    seed_record(&to, LG_RECORD, 9, 5, 0);
    fuzz_put(&to, "\5\0\0", 3);
    fuzz_seed("whole", to.bytes, to.len);
    to.len = 3;
    seed_record(&to, LG_RECORD, 8, 5, 1);
    fuzz_seed("edge", to.bytes, to.len);
    to.len = 3;
    seed_record(&to, LG_RECORD, 8, 5, 0);
    seed_record(&to, LG_BEGUN, 9, 5, 0);
    fuzz_put_u8(&to, LG_NODE_END);
    fuzz_put_u16(&to, sizeof(end) + sizeof(ended) + 7);
    fuzz_put(&to, (const uint8_t *)&end, sizeof(end));
    fuzz_put(&to, (const uint8_t *)&ended, sizeof(ended));
    fuzz_put(&to, "crashed\5\0\0", 10);
    fuzz_seed("crashed", to.bytes, to.len);
    put_preface(0, 1);
    memmove(out.bytes + 1, out.bytes, out.len);
    out.bytes[0] = 1;
    fuzz_seed("raw", out.bytes, out.len + 1);
}

FUZZ_TARGET(recording, "files of the flight recorder", 2048)
