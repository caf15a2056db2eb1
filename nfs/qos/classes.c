/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the classes of policer; see classes.h. */
#include "nfs/qos/classes.h"

#include <string.h>

const struct pol_class *pol_classes_named(const struct pol_classes *classes, const char *name, size_t n)
{
    for (uint32_t i = 0; i < classes->count; i++)
        if (strlen(classes->list[i].name) == n && memcmp(classes->list[i].name, name, n) == 0)
            return &classes->list[i];
    return NULL;
}

const char *pol_limits_wrong(const struct pol_limits *limits, bool bits)
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
    wrong = rc == FT_OK ? pol_limits_wrong(limits, class->bits) : NULL;
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

int pol_classes_read(struct pol_classes *classes, const struct nf_file *file, struct ft_fault *fault)
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
