/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet's file, and its keys. See keys.h. */
#include "tests/help/keys.h"

#include "tests/help/config.h"
#include "tests/help/test.h"

char keys_text[2048];
struct fl_file *keys_file;
struct nd_keys keys;

int keys_begin(const char *lines)
{
    struct ft_fault fault = {""};
    int len =
        snprintf(keys_text, sizeof(keys_text),
                 "fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\n%spair: {}\nnode: {}\n", lines);

    return fl_file_read(&keys_file, help_config_file("f.yaml", keys_text, (size_t)len), &fault);
}

int keys_end(void **state)
{
    nd_keys_clear(&keys);
    fl_file_free(keys_file);
    return help_config_clean(state);
}

int keys_forget(void **state)
{
    nd_keys_clear(&keys);
    return 0;
}

static char *turn(char *text, char from, char to)
{
    for (char *at = text; *at; at++)
        *at = *at == from ? to : *at;
    return text;
}

char *plain_quotes(char *text)
{
    return turn(text, '"', '\'');
}

char *json_quotes(char *text)
{
    return turn(text, '\'', '"');
}

const char *plain_json(json_t *object, size_t flags)
{
    char *text = json_dumps(object, flags | JSON_COMPACT);

    assert_non_null(text);
    json_decref(object);
    return HELP_OWNED(plain_quotes(text), free);
}

void put_leased(const char *key, const char *value, int64_t changed, int64_t lease)
{
    char whole[128];
    char *json = json_quotes(strdup(value));
    struct ft_fault fault = {""};
    struct nd_entry *e;

    snprintf(whole, sizeof(whole), "understudy/f/%s", key);
    e = nd_entry_make(whole, json, strlen(json));
    free(json);
    assert_non_null(e);
    e->changed = changed;
    e->lease = lease;
    assert_int_equal(nd_keys_reserve(&keys, 1, 1000, &fault), 0);
    nd_keys_put(&keys, e);
}

void put(const char *key, const char *value, int64_t changed)
{
    put_leased(key, value, changed, 0);
}

void drop(const char *key)
{
    char whole[128];

    snprintf(whole, sizeof(whole), "understudy/f/%s", key);
    nd_keys_remove(&keys, whole);
}
