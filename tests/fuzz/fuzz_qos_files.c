/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of vlan_qos and policer, by the first byte. What is read is within its bounds, and every packet
 * has a class that there is, or none; what is refused has one line with the file's name.
 */
#include "nfs/qos/policer.c"
#include "nfs/qos/vlan_qos.c"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char path[] = "the.file";

static void check_refusal(const struct ft_fault *fault)
{
    FUZZ_MUST(strncmp(fault->text, path, strlen(path)) == 0 && fault->text[strlen(path)] == ':',
              "no place in '%s'", fault->text);
    FUZZ_MUST(!strchr(fault->text, '\n'), "two lines: '%s'", fault->text);
}

static void check_name(const char name[QOS_NAME_BYTES])
{
    size_t n = strnlen(name, QOS_NAME_BYTES);

    FUZZ_MUST(n > 0 && n < QOS_NAME_BYTES, "a name of %zu bytes", n);
}

static void classify(const struct vq_rules *rules)
{
    static uint8_t frame[64] = {[12] = 0x81, [14] = 0x60, [15] = 100, [16] = 8, [18] = 0x45, [19] = 0xb8};

    for (unsigned i = 0; i < 64; i++) {
        struct nf_packet p = {.side = i & 1,
                              .flags = (uint16_t)((i & 2 ? NF_P_VLAN : 0) | (i & 4 ? NF_P_L4 : 0) |
                                                  (i & 8    ? NF_P_IPV4
                                                   : i & 16 ? NF_P_IPV6 | NF_P_IPV6_READ
                                                            : 0)),
                              .data = frame,
                              .have = sizeof(frame),
                              .len = sizeof(frame),
                              .l3 = 18,
                              .proto = i & 32 ? 6 : 17,
                              .saddr = 0x0200000a,
                              .dport = 0x5000,
                              .icmp_type = 8};
        uint32_t class = class_by_rules(rules, &p);

        FUZZ_MUST(class <= rules->classes, "class %u of %u", class, rules->classes);
    }
}

static void try_rules(const struct nf_file *file)
{
    static struct vq_rules rules;
    struct ft_fault fault = {""};

    memset(&rules, 0xa5, sizeof(rules));
    if (read_rules(&rules, file, &fault)) {
        check_refusal(&fault);
        return;
    }
    FUZZ_MUST(rules.classes <= QOS_CLASSES_MAX && rules.flows.count <= FW_RULES_MAX, "%u classes, %u rules",
              rules.classes, rules.flows.count);
    for (uint32_t i = 0; i < rules.classes; i++) {
        const struct vq_class *class = &rules.class[i];

        check_name(class->name);
        FUZZ_MUST(class->dscp < NF_DSCPS && class->pcp <= 7, "DSCP %u, PCP %u", class->dscp, class->pcp);
        FUZZ_MUST(class_named(&rules, class->name) == i + 1, "two classes %s", class->name);
    }
    classify(&rules);
}

static void try_classes(const struct nf_file *file)
{
    static struct pol_classes classes;
    struct ft_fault fault = {""};

    memset(&classes, 0xa5, sizeof(classes));
    if (read_classes(&classes, file, &fault)) {
        check_refusal(&fault);
        return;
    }
    FUZZ_MUST(classes.count > 0 && classes.count <= QOS_CLASSES_MAX, "%u classes", classes.count);
    for (uint32_t i = 0; i < classes.count; i++) {
        const struct pol_class *class = &classes.list[i];

        check_name(class->name);
        FUZZ_MUST(!limits_wrong(&class->limits, class->bits), "limits of class %u", i);
        FUZZ_MUST(!class->action[POL_GREEN].drops && !class->action[POL_GREEN].marks, "class %u", i);
        FUZZ_MUST(class->sides && class->sides <= 3 && class->dscps, "class %u has no packets", i);
    }
    for (unsigned i = 0; i < 2 * NF_DSCPS; i++)
        FUZZ_MUST(classes.of[i & 1][i >> 1] <= classes.count, "class %u", classes.of[i & 1][i >> 1]);
}

static void run(const uint8_t *data, size_t size)
{
    const struct nf_file file = {path, (const char *)data + 1, (uint32_t)size - 1};

    if (!size)
        return;
    if (data[0] & 1)
        try_rules(&file);
    else
        try_classes(&file);
}

static void seeds(void)
{
    static const char rules[] = "1# rules\nclass voice dscp ef pcp 5\nclass bulk\n"
                                "match voice out vlan 100 pcp 3 dscp ef,af41,0 udp to any port 5060\n"
                                "match bulk any from 2001:db8::/32\n";
    static const char classes[] =
        "0class voice in dscp ef,46 rate 100 pps burst 5 exceed dscp 0\n"
        "class bulk dscp any rate 100000 bps burst 100000 peak 200000 burst 90000 exceed "
        "dscp af12 violate drop\n";

    fuzz_seed("rules", rules, sizeof(rules) - 1);
    fuzz_seed("classes", classes, sizeof(classes) - 1);
    fuzz_seed("cut", classes, 50);
}

FUZZ_TARGET(qos_files, "the files of vlan_qos and policer", 2048)
