/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policer: rates of classes of packets, over all lanes. A packet's class is by its DSCP. A class has one
 * token bucket, or two as RFC 2698 has them (two rates, three colors, color-blind): a packet conforms,
 * exceeds the rate, or violates the peak. What does not conform passes, is dropped or gets another DSCP, as
 * the class sets.
 *
 * State: the buckets of all classes and what was counted of each, shared by all lanes in one section, which a
 * burst enters once. Of this instance: the rates, which operators may change.
 */
#include "nfs/qos/qos.h"

#include <string.h>

/*
 * The classes of policer, from a file; a packet is of the first line that has its side and its DSCP:
 *
 *     class NAME [in|out] dscp DSCPS rate N UNIT burst N [peak N burst N] [exceed ACTION] [violate ACTION]
 *
 * UNIT: bps, bits of frames in a second, or pps, packets; bursts are bits or packets, too. ACTION: drop, or
 * `dscp DSCP`, with which the packet passes. Without `peak` what goes over the rate exceeds; with it, what
 * goes over the rate exceeds and what goes over the peak violates. By default what exceeds is dropped where
 * there is no peak, and passes where there is one; what violates is dropped.
 */

#define POL_RATE_MAX   1000000000000ull
#define POL_FRAME_BITS (9216u * 8) /* the largest frame: a lesser burst would never let it pass */

enum pol_color { POL_GREEN, POL_YELLOW, POL_RED, POL_COLORS };

struct pol_action {
    bool drops, marks;
    uint8_t dscp;
};

struct pol_limits {
    struct nf_rate committed, peak; /* peak.burst 0: there is none */
};

struct pol_class {
    char name[QOS_NAME_BYTES];
    uint64_t dscps;
    uint8_t sides; /* bits 1 << enum nf_side */
    bool bits;     /* tokens are bits, not packets */
    struct pol_limits limits;
    struct pol_action action[POL_COLORS];
};

struct pol_classes {
    uint32_t count;
    struct pol_class list[QOS_CLASSES_MAX];
    uint8_t of[2][NF_DSCPS]; /* by side and DSCP, the number of the class, from 1; 0: none */
};

struct pol_config {
    struct nf_file classes;
    struct pol_classes read; /* made by check from the file */
};

/* By the class's number, from 0. */
struct pol_bucket {
    struct nf_bucket committed, peak;
    uint64_t packets[POL_COLORS];
    uint64_t dropped;
};

struct pol {
    struct nf_shared_map *buckets;
    struct pol_limits limits[QOS_CLASSES_MAX];
};

#define POL_COUNTERS(X)                                                                                      \
    X(POL_CONFORMED, "conformed")                                                                            \
    X(POL_EXCEEDED, "exceeded") /* over the rate, dropped ones among them; so the next */                    \
    X(POL_VIOLATED, "violated") /* over the peak */                                                          \
    X(POL_REMARKED, "remarked") /* of these, given another DSCP than they had */                             \
    X(POL_OTHER, "other")       /* of no class, or no IP: passed */                                          \
    X(POL_DROPPED, "dropped")   /* over a rate or a peak */                                                  \
    X(POL_MALFORMED, "malformed")
enum pol_counter { POL_COUNTERS(NF_COUNTER) };
static const char *const pol_counters[] = {POL_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- the file ------------------------------------------------------------------------------------- */

/* The class of that name of `n` bytes; NULL: there is none. */
static const struct pol_class *pol_classes_named(const struct pol_classes *classes, const char *name,
                                                 size_t n)
{
    for (uint32_t i = 0; i < classes->count; i++)
        if (strlen(classes->list[i].name) == n && memcmp(classes->list[i].name, name, n) == 0)
            return &classes->list[i];
    return NULL;
}

/* Whether those can be limits: of the least burst and of a peak below the rate. NULL, or what was expected.
 */
static const char *limits_wrong(const struct pol_limits *limits, bool bits)
{
    uint64_t least = bits ? POL_FRAME_BITS : 1;

    if (limits->committed.burst < least || (limits->peak.burst && limits->peak.burst < least))
        return bits ? "a burst of at least 73728 bits, one frame" : "a burst of at least 1 packet";
    if (limits->peak.burst && limits->peak.rate < limits->committed.rate)
        return "a peak of at least the rate";
    return NULL;
}

static int read_limit(struct fw_words *w, struct pol_class *class, bool peak)
{
    struct nf_rate *rate = peak ? &class->limits.peak : &class->limits.committed;
    int rc = qos_read_number(w, 1, POL_RATE_MAX, "a rate, 1 to 1000000000000", &rate->rate);

    if (rc == FT_OK && !peak) {
        class->bits = w->word && strcmp(w->word, "bps") == 0;
        if (!class->bits && (!w->word || strcmp(w->word, "pps") != 0))
            return fw_words_fail(w, "bps or pps");
        fw_words_next(w);
    }
    if (rc == FT_OK && !fw_words_take(w, "burst"))
        return fw_words_fail(w, "burst");
    if (rc == FT_OK)
        rc = qos_read_number(w, class->bits ? POL_FRAME_BITS : 1, POL_RATE_MAX,
                             class->bits ? "bits, 73728 (one frame) to 1000000000000"
                                         : "packets, 1 to 1000000000000",
                             &rate->burst);
    return rc;
}

static int read_action(struct fw_words *w, struct pol_action *action)
{
    *action = (struct pol_action){.drops = fw_words_take(w, "drop")};
    if (action->drops)
        return FT_OK;
    if (!fw_words_take(w, "dscp"))
        return fw_words_fail(w, "drop or dscp");
    action->marks = true;
    return qos_read_dscp(w, &action->dscp);
}

static int read_actions(struct fw_words *w, struct pol_class *class)
{
    bool peak = class->limits.peak.burst;
    int rc = FT_OK;

    class->action[POL_YELLOW].drops = !peak;
    class->action[POL_RED].drops = true;
    if (fw_words_take(w, "exceed"))
        rc = read_action(w, &class->action[POL_YELLOW]);
    if (rc == FT_OK && peak && fw_words_take(w, "violate"))
        rc = read_action(w, &class->action[POL_RED]);
    if (rc == FT_OK && w->word)
        return fw_words_fail(w, peak ? "exceed, violate or the end of the line"
                                     : "peak, exceed or the end of the line");
    return rc;
}

static int read_limits(struct fw_words *w, struct pol_class *class)
{
    const struct pol_limits *limits = &class->limits;
    const char *wrong;
    int rc;

    if (!fw_words_take(w, "rate"))
        return fw_words_fail(w, "rate");
    rc = read_limit(w, class, false);
    if (rc == FT_OK && fw_words_take(w, "peak"))
        rc = read_limit(w, class, true);
    wrong = rc == FT_OK ? limits_wrong(limits, class->bits) : NULL;
    if (wrong) /* of the peak: bursts were judged as they were read */
        return ft_fail(w->fault, FT_EINVAL, "%s:%u: 'peak %lu', expected %s", w->file->path, w->line,
                       limits->peak.rate, wrong);
    return rc;
}

static int read_class(struct fw_words *w, struct pol_classes *classes)
{
    struct pol_class class = {.bits = false};
    struct fw_rule direction;
    int rc;

    if (!fw_words_take(w, "class"))
        return fw_words_fail(w, "class");
    if (classes->count == QOS_CLASSES_MAX)
        return fw_words_fail(w, "at most 16 classes");
    if (w->word && pol_classes_named(classes, w->word, strlen(w->word)))
        return fw_words_fail(w, "a name that no class before has");
    rc = qos_read_name(w, class.name);
    if (rc == FT_OK) {
        fw_read_direction(w, &direction);
        class.sides = direction.sides;
        rc = fw_words_take(w, "dscp") ? qos_read_dscps(w, &class.dscps) : fw_words_fail(w, "in, out or dscp");
    }
    if (rc == FT_OK)
        rc = read_limits(w, &class);
    if (rc == FT_OK)
        rc = read_actions(w, &class);
    classes->list[classes->count++] = class;
    return rc;
}

static void note_class(struct pol_classes *classes, uint32_t i)
{
    const struct pol_class *class = &classes->list[i];

    for (unsigned side = 0; side < 2; side++)
        for (unsigned dscp = 0; dscp < NF_DSCPS; dscp++)
            if (class->sides >> side & 1 && class->dscps >> dscp & 1 && !classes->of[side][dscp])
                classes->of[side][dscp] = (uint8_t)(i + 1);
}

/* FT_EINVAL with "FILE:LINE: what, what was expected". */
static int read_classes(struct pol_classes *classes, const struct nf_file *file, struct ft_fault *fault)
{
    struct fw_words w = {.file = file, .fault = fault};
    int rc = FT_OK;

    memset(classes, 0, sizeof(*classes));
    while (rc == FT_OK && fw_words_line(&w, &rc)) {
        rc = read_class(&w, classes);
        if (rc == FT_OK)
            note_class(classes, classes->count - 1);
    }
    if (rc == FT_OK && !classes->count)
        rc = ft_fail(fault, FT_EINVAL, "%s: no class, expected at least one", file->path);
    return rc;
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* In the section. */
static struct pol_bucket *pol_bucket(const struct nf *nf, struct nf_map *map, uint32_t class, uint64_t now)
{
    const struct pol *pol = nf->state;
    uint32_t slot = nf_map_find(map, &class);
    bool fresh = slot == NF_NONE;
    struct pol_bucket *bucket;

    if (fresh)
        slot = nf_map_add(nf, map, &class);
    FT_CHECK(slot != NF_NONE, "policer: no room for class %u", class);
    bucket = nf_edit(nf, nf_map_value(map, slot), sizeof(*bucket));
    if (fresh) {
        nf_bucket_full(&bucket->committed, &pol->limits[class].committed, now);
        nf_bucket_full(&bucket->peak, &pol->limits[class].peak, now);
    }
    return bucket;
}

/* RFC 2698, 3, color-blind; without a peak nothing is red. */
static enum pol_color pol_color(struct pol_bucket *bucket, const struct pol_limits *limits, uint64_t tokens,
                                uint64_t now)
{
    bool peak = limits->peak.burst;

    if (peak && nf_bucket_fill(&bucket->peak, &limits->peak, now) < tokens)
        return POL_RED;
    bucket->peak.level -= peak ? tokens : 0;
    if (nf_bucket_fill(&bucket->committed, &limits->committed, now) < tokens)
        return POL_YELLOW;
    bucket->committed.level -= tokens;
    return POL_GREEN;
}

/* A packet's class, from 1; 0: it has none. */
static uint32_t pol_class_of(const struct nf *nf, struct nf_packet *p, uint64_t sums[])
{
    const struct pol_config *config = nf->config;
    uint32_t class = 0;

    if (p->flags & NF_P_BAD || (p->flags & (NF_P_IPV6 | NF_P_IPV6_READ)) == NF_P_IPV6) {
        nf_drop(nf, p, POL_MALFORMED);
        return 0;
    }
    if (p->flags & (NF_P_IPV4 | NF_P_IPV6_READ))
        class = config->read.of[p->side][nf_packet_dscp(p)];
    sums[POL_OTHER] += !class;
    return class;
}

static void pol_police(const struct nf *nf, struct nf_packet *p, uint32_t i, struct pol_bucket *bucket,
                       uint64_t now, uint64_t sums[])
{
    const struct pol_config *config = nf->config;
    const struct pol *pol = nf->state;
    const struct pol_class *class = &config->read.list[i];
    enum pol_color color = pol_color(bucket, &pol->limits[i], class->bits ? (uint64_t)p->len * 8 : 1, now);

    const struct pol_action *action = &class->action[color];

    bucket->packets[color]++;
    bucket->dropped += action->drops;
    sums[POL_CONFORMED + color]++;
    if (action->drops) {
        nf_drop(nf, p, POL_DROPPED);
    } else if (action->marks && nf_packet_dscp(p) != action->dscp) {
        nf_packet_set_dscp(p, action->dscp);
        sums[POL_REMARKED]++;
    }
}

static void pol_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct pol *pol = nf->state;
    uint64_t sums[POL_DROPPED] = {0};
    uint8_t class[NF_BURST_MAX];
    uint32_t classes = 0;

    for (uint32_t i = 0; i < n; i++) {
        class[i] = (uint8_t)pol_class_of(nf, packets[i], sums);
        classes += class[i] != 0;
    }
    if (classes) {
        struct nf_map *map = nf_shared_map_enter(nf, pol->buckets, 0);

        for (uint32_t i = 0; i < n; i++)
            if (class[i])
                pol_police(nf, packets[i], class[i] - 1u, pol_bucket(nf, map, class[i] - 1u, now), now, sums);
        nf_shared_map_leave(nf, pol->buckets, 0);
    }
    nf_count_all(nf, sums, POL_DROPPED);
}

/* ---- operators ------------------------------------------------------------------------------------- */

static void pol_show_class(const struct nf *nf, struct nf_show *out, const struct pol_class *class,
                           uint32_t i)
{
    static const struct pol_bucket none;
    const struct pol *pol = nf->state;
    const struct nf_map *map = nf_shared_map_part(pol->buckets, 0);
    uint32_t slot = nf_map_find(map, &i);
    const struct pol_bucket *bucket = slot == NF_NONE ? &none : nf_map_value(map, slot);
    const struct pol_limits *limits = &pol->limits[i];

    nf_row(out);
    nf_row_text(out, "class", "%s", class->name);
    nf_row_text(out, "unit", "%s", class->bits ? "bps" : "pps");
    nf_row_u64(out, "rate", limits->committed.rate);
    nf_row_u64(out, "burst", limits->committed.burst);
    nf_row_u64(out, "peak", limits->peak.rate);
    nf_row_u64(out, "peak_burst", limits->peak.burst);
    nf_row_u64(out, "conformed", bucket->packets[POL_GREEN]);
    nf_row_u64(out, "exceeded", bucket->packets[POL_YELLOW]);
    nf_row_u64(out, "violated", bucket->packets[POL_RED]);
    nf_row_u64(out, "dropped", bucket->dropped);
}

/* All of it is shared, so the first lane shows it. */
static bool pol_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct pol_config *config = nf->config;

    for (; nf->lane == 0 && *cursor < config->read.count; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        pol_show_class(nf, out, &config->read.list[*cursor], (uint32_t)*cursor);
    }
    return false;
}

/* The number that `setting` names of the class's limits. */
static uint64_t *pol_setting(struct pol_limits *limits, const char *setting)
{
    bool peak = limits->peak.burst;

    return strcmp(setting, "rate") == 0                 ? &limits->committed.rate
           : strcmp(setting, "burst") == 0              ? &limits->committed.burst
           : peak && strcmp(setting, "peak") == 0       ? &limits->peak.rate
           : peak && strcmp(setting, "peak_burst") == 0 ? &limits->peak.burst
                                                        : NULL;
}

/* CLASS.rate, .burst, .peak, .peak_burst. */
static int pol_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    const struct pol_config *config = nf->config;
    const struct pol *pol = nf->state;
    size_t n = strcspn(key, ".");
    const struct pol_class *class = pol_classes_named(&config->read, key, n);
    struct pol_limits limits;
    const char *wrong;
    uint64_t *number;
    uint32_t i;

    (void)now;
    if (!class || !key[n])
        return ft_fail(fault, FT_ENOENT, "%.60s: no such setting, expected CLASS.rate, a class of the file",
                       key);
    i = (uint32_t)(class - config->read.list);
    limits = pol->limits[i];
    number = pol_setting(&limits, key + n + 1);
    if (!number)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such setting, expected %.15s.rate or .burst%s", key,
                       class->name, limits.peak.burst ? ", .peak or .peak_burst" : "; it has no peak");
    if (!nf_number64_parse(value, 1, POL_RATE_MAX, number))
        return ft_fail(fault, FT_EINVAL, "%.60s=%.20s: expected a number, 1 to %llu", key, value,
                       POL_RATE_MAX);
    wrong = limits_wrong(&limits, class->bits);
    if (wrong)
        return ft_fail(fault, FT_EINVAL, "%.60s=%.20s: expected %s", key, value, wrong);
    *NF_EDIT(nf, &pol->limits[i]) = limits;
    return FT_OK;
}

/* Fills the buckets of a class, or of all. */
static int pol_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    const struct pol_config *config = nf->config;
    const struct pol *pol = nf->state;
    const struct pol_class *class = key ? pol_classes_named(&config->read, key, strlen(key)) : NULL;
    struct nf_map *map;

    if (key && !class)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such class", key);
    map = nf_shared_map_enter(nf, pol->buckets, 0);
    for (uint32_t i = 0; i < config->read.count; i++)
        if (!class || class == &config->read.list[i]) {
            struct pol_bucket *bucket = pol_bucket(nf, map, i, now);

            nf_bucket_full(&bucket->committed, &pol->limits[i].committed, now);
            nf_bucket_full(&bucket->peak, &pol->limits[i].peak, now);
        }
    nf_shared_map_leave(nf, pol->buckets, 0);
    return FT_OK;
}

/* ---- making ---------------------------------------------------------------------------------------- */

static int pol_check(void *c, struct ft_fault *fault)
{
    struct pol_config *config = c;

    return read_classes(&config->read, &config->classes, fault);
}

static uint64_t pol_shared(const void *config, unsigned lanes)
{
    (void)config;
    (void)lanes;
    return nf_shared_map_bytes(QOS_CLASSES_MAX, sizeof(uint32_t), sizeof(struct pol_bucket), 1);
}

static bool pol_make(struct nf *nf)
{
    const struct pol_config *config = nf->config;
    struct pol *pol = nf->state;

    pol->buckets = nf_shared_map_make(nf, QOS_CLASSES_MAX, sizeof(uint32_t), sizeof(struct pol_bucket), 1);
    for (uint32_t i = 0; i < config->read.count; i++)
        pol->limits[i] = config->read.list[i].limits;
    NF_CONSTANT(nf, &pol->buckets);
    return pol->buckets;
}

/* What a class has in both files keeps what it was set to. */
static void carry_rate(struct nf_rate *rate, const struct nf_rate *now, const struct nf_rate *was,
                       const struct nf_rate *live)
{
    rate->rate = now->rate == was->rate ? live->rate : now->rate;
    rate->burst = now->burst == was->burst ? live->burst : now->burst;
}

/* By the first lane, which has the buckets as they were before. Those of classes that are there no more go.
 */
static void carry_buckets(const struct nf *nf, const uint32_t was[QOS_CLASSES_MAX])
{
    const struct pol_config *config = nf->config;
    const struct pol *pol = nf->state;
    struct nf_map *map = nf_shared_map_part(pol->buckets, 0);
    struct pol_bucket old[QOS_CLASSES_MAX];
    bool there[QOS_CLASSES_MAX] = {false};
    uint32_t slot;

    for (uint32_t i = 0; i < config->read.count; i++) {
        slot = was[i] == NF_NONE ? NF_NONE : nf_map_find(map, &was[i]);
        there[i] = slot != NF_NONE;
        if (there[i])
            memcpy(&old[i], nf_map_value(map, slot), sizeof(old[i]));
    }
    while ((slot = nf_map_next(map, 0)) != NF_NONE)
        nf_map_remove(nf, map, slot);
    for (uint32_t i = 0; i < config->read.count; i++)
        if (there[i]) {
            slot = nf_map_add(nf, map, &i);
            memcpy(nf_edit(nf, nf_map_value(map, slot), sizeof(old[i])), &old[i], sizeof(old[i]));
        }
}

/* A class is the same one by its name and its unit, and if it has a peak in both files or in neither. */
static bool pol_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct pol_config *from = was->config, *to = nf->config;
    const struct pol *before = was->state;
    struct pol *pol = nf->state;
    uint32_t number[QOS_CLASSES_MAX];

    (void)fault;
    for (uint32_t i = 0; i < to->read.count; i++) {
        const struct pol_class *class = &to->read.list[i];
        const struct pol_class *old = pol_classes_named(&from->read, class->name, strlen(class->name));
        bool same = old && old->bits == class->bits && !old->limits.peak.burst == !class->limits.peak.burst;

        number[i] = same ? (uint32_t)(old - from->read.list) : NF_NONE;
        pol->limits[i] = class->limits;
        if (same) {
            const struct pol_limits *live = &before->limits[number[i]];

            carry_rate(&pol->limits[i].committed, &class->limits.committed, &old->limits.committed,
                       &live->committed);
            carry_rate(&pol->limits[i].peak, &class->limits.peak, &old->limits.peak, &live->peak);
            if (limits_wrong(&pol->limits[i], class->bits))
                pol->limits[i] = class->limits; /* what was set does not go with the new file */
        }
    }
    if (nf->lane == 0)
        carry_buckets(nf, number);
    return true;
}

static int pol_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct pol_config *config = nf->config;
    const struct pol *pol = nf->state;
    const struct nf_map *map = nf_shared_map_part(pol->buckets, 0);

    for (uint32_t slot = 0; (slot = nf_map_next(map, slot)) != NF_NONE; slot++) {
        uint32_t class;

        memcpy(&class, nf_map_key(map, slot), sizeof(class));
        if (class >= config->read.count)
            return nf_check_failed(c, "a bucket is of class %u, expected one below %u", class,
                                   config->read.count);
    }
    return 0;
}

static const struct nf_param pol_params[] = {
    NF_PARAM(struct pol_config, classes, NF_FILE, NULL, "file of classes, one a line",
             .marks = NF_PARAM_LIVE),
    {0},
};

static const struct nf_module pol_module = {
    .name = "policer",
    .version = 1,
    .summary = "rates of classes of packets by their DSCP, over all lanes",
    .reads = NF_READS_FLOW,
    .params = pol_params,
    .config_size = sizeof(struct pol_config),
    .state_size = sizeof(struct pol),
    .counters = pol_counters,
    .check = pol_check,
    .shared = pol_shared,
    .make = pol_make,
    .process = pol_process,
    .show = pol_show,
    .set = pol_set,
    .clear = pol_clear,
    .check_state = pol_check_state,
    .settings = "CLASS.rate, CLASS.burst, CLASS.peak, CLASS.peak_burst",
    .carry = pol_carry,
};
NF_MODULE(pol_module)
