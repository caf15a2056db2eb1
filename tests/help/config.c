/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. */
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <dirent.h>
#include <sys/stat.h>

int help_probe_live;

static int probe_check(void *config, struct ft_fault *fault)
{
    struct help_probe *probe = config;

    if (probe->number == 13)
        return ft_fail(fault, FT_EINVAL, "number is 13, expected\na lucky one");
    if (probe->number == 14)
        return ft_fail(fault, FT_EMALFORMED, "%s:7: no rule, expected one", probe->rules.path);
    probe->checked = malloc(16);
    help_probe_live++;
    return 0;
}

static void probe_release(void *config)
{
    struct help_probe *probe = config;

    free(probe->checked);
    help_probe_live--;
}

#define AT(member) offsetof(struct help_probe, member)

static const char *const choices[] = {"drop", "pass", NULL};

static const struct nf_param params[] = {
    {.name = "number", .kind = NF_U32, .offset = AT(number), .min = 2, .max = 20, .preset = "7"},
    {.name = "seconds", .kind = NF_SECONDS, .offset = AT(seconds), .min = 1, .max = 600, .preset = "30"},
    {.name = "choice", .kind = NF_CHOICE, .offset = AT(choice), .preset = "pass", .choices = choices},
    {.name = "outside", .kind = NF_IPV4, .offset = AT(outside), .preset = "", .marks = NF_PARAM_OWN},
    {.name = "large", .kind = NF_U64, .offset = AT(large), .preset = "5000000000"},
    {.name = "flag", .kind = NF_BOOL, .offset = AT(flag), .preset = "true"},
    {.name = "inside", .kind = NF_PREFIXES, .offset = AT(inside), .preset = "10.0.0.0/8, 172.16.0.0/12"},
    {.name = "ports", .kind = NF_RANGE, .offset = AT(ports), .min = 1, .max = 65535, .preset = "1024-65535"},
    {.name = "text", .kind = NF_STRING, .offset = AT(text), .preset = ""},
    {.name = "rules", .kind = NF_FILE, .offset = AT(rules), .preset = ""},
    {.name = NULL},
};

static const struct nf_module probe = {.name = "probe",
                                       .params = params,
                                       .config_size = sizeof(struct help_probe),
                                       .check = probe_check,
                                       .release = probe_release};

static const struct nf_param strict_params[] = {
    {.name = "outside", .kind = NF_IPV4, .offset = 0},
    {.name = NULL},
};

static const struct nf_module strict = {.name = "strict", .params = strict_params, .config_size = 4};
static const struct nf_module bare = {.name = "bare"};
static const struct nf_module frail = {.name = "frail", .unreplayable = true};

NF_MODULE(probe)
NF_MODULE(strict)
NF_MODULE(bare)
NF_MODULE(frail)

const char *help_config_dir(void)
{
    static char dir[] = "/tmp/config.XXXXXX";

    if (strchr(dir, 'X') && strcmp(dir + strlen(dir) - 6, "XXXXXX") == 0)
        assert_non_null(mkdtemp(dir));
    return dir;
}

int help_config_clean(void **state)
{
    DIR *dir = opendir(help_config_dir());
    char path[512];

    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        snprintf(path, sizeof(path), "%s/%s", help_config_dir(), entry->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(help_config_dir());
    return 0;
}

const char *help_config_file(const char *name, const char *text, size_t len)
{
    static char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", help_config_dir(), name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
    return path;
}

static struct nd_config *read_file(const char *path, unsigned need)
{
    struct nd_config *config = NULL;
    struct ft_fault fault = {""};

    if (nd_config_read(&config, path, need, &fault))
        fail_msg("%s", fault.text);
    return HELP_OWNED(config, nd_config_free);
}

struct nd_config *help_config_of(const char *text, unsigned need)
{
    return read_file(help_config_file("t.yaml", text, strlen(text)), need);
}

struct nd_config *help_config_pair(const char *sections)
{
    static const char form[] =
        "%snodes:\n"
        "  a: { role: primary, ports: { inside: x0, outside: x1 }, replication: 127.0.0.1:4700,"
        " control: %s/a.sock, state: %s/state }\n"
        "  b: { role: standby, ports: { inside: x0, outside: x1 }, replication: 127.0.0.2:4700,"
        " control: %s/b.sock, state: %s/state }\n";
    const char *dir = help_config_dir();
    char text[2048], state[300];
    int len = snprintf(text, sizeof(text), form, sections, dir, dir, dir, dir);

    assert_in_range(len, 1, sizeof(text) - 1);
    snprintf(state, sizeof(state), "%s/state", dir);
    mkdir(state, 0700);
    return read_file(help_config_file("pair.yaml", text, (size_t)len), ND_CONFIG_NODES);
}

const char *help_config_refusal(const char *path, bool need_nodes)
{
    static struct ft_fault fault;
    struct nd_config *config;
    const char *dir = help_config_dir();
    int error;

    fault.text[0] = 0;
    error = nd_config_read(&config, path, need_nodes, &fault);
    if (!error) {
        assert_string_equal(fault.text, "");
        nd_config_free(config);
    } else {
        assert_null(config);
        assert_true(strlen(fault.text) > 0);
        assert_null(strchr(fault.text, '\n'));
    }
    return strncmp(fault.text, dir, strlen(dir)) == 0 ? fault.text + strlen(dir) + 1 : fault.text;
}

const char *help_config_refusal_of(const char *text, bool need_nodes)
{
    return help_config_refusal(help_config_file("t.yaml", text, strlen(text)), need_nodes);
}

char *help_config_replace(const char *text, const char *find, const char *replace)
{
    const char *at = strstr(text, find);
    size_t size = strlen(text) + strlen(replace) + 1;
    char *copy = malloc(size);

    if (!at)
        fail_msg("the sample has no \"%s\"", find);
    assert_non_null(copy);
    (void)HELP_OWNED(copy, free);
    snprintf(copy, size, "%.*s%s%s", (int)(at - text), text, replace, at + strlen(find));
    return copy;
}

void config_refuse_changes(const char *base, bool need_nodes, const struct change *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = help_config_replace(base, cases[i].find, cases[i].replace);

        assert_string_equal(help_config_refusal_of(text, need_nodes), cases[i].expected);
        assert_int_equal(help_probe_live, 0);
    }
}

void config_refuse_all(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(help_config_refusal_of(cases[i].text, false), cases[i].expected);
        assert_int_equal(help_probe_live, 0);
    }
}
