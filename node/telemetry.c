/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's commands in DPDK's telemetry: /understudy/status, /understudy/lanes and /understudy/nf, beside
 * those that DPDK's libraries have. DPDK serves its socket by threads of its own, one for each of at most ten
 * connections. They see nothing of the node: they ask for a copy of the answer to "status", which the main
 * thread makes in its next turn, once for all who ask.
 *
 * The main thread only tries the lock, so no client holds it up. A client waits for the main thread for a
 * second at most.
 */
#define _GNU_SOURCE
#include "node/running.h"
#include "ftcore/base/thread.h"

#include <rte_telemetry.h>

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_MS   1000
#define BYTES_MAX 15000u /* of an answer: beyond 16 KiB DPDK leaves out fields without a word */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t made;
    _Atomic bool asked; /* by a client, since the last copy was begun */
    uint64_t serial;    /* of the copy */
    json_t *status;     /* NULL: there is none yet */
} copy = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the copy ---------------------------------------------------------------------------------- */

void nd_telemetry_turn(struct nd_running *r)
{
    if (!atomic_load(&copy.asked) || pthread_mutex_trylock(&copy.lock) != 0)
        return;
    atomic_store(&copy.asked, false);
    json_decref(copy.status);
    copy.status = nd_answer_status(r, NULL);
    copy.serial++;
    pthread_cond_broadcast(&copy.made);
    pthread_mutex_unlock(&copy.lock);
}

/* Under the lock, which it gives up while it waits. NULL: the main thread made no copy in time. */
static const json_t *ask_for_status(void)
{
    uint64_t before = copy.serial;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += COPY_MS / 1000;
    atomic_store(&copy.asked, true);
    while (copy.serial == before)
        if (pthread_cond_clockwait(&copy.made, &copy.lock, CLOCK_MONOTONIC, &until) != 0)
            return NULL;
    return copy.status;
}

/* ---- JSON as telemetry has it ------------------------------------------------------------------ */

static int add_value(struct rte_tel_data *out, const char *key, const json_t *value);

/* Telemetry's names are of letters, digits, '_' and '/'. */
static void write_name(char out[RTE_TEL_MAX_STRING_LEN], const char *name)
{
    snprintf(out, RTE_TEL_MAX_STRING_LEN, "%s", name);
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            *c = '_';
}

static int add_members(struct rte_tel_data *out, const json_t *object)
{
    const char *key;
    json_t *value;
    int error = 0;

    rte_tel_data_start_dict(out);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        error = error < 0 ? error : add_value(out, key, value);
    }
    return error;
}

/* Objects by the name of their port, or by their number; else numbers. */
static int add_elements(struct rte_tel_data *out, const json_t *array)
{
    bool objects = json_is_object(json_array_get(array, 0));
    char number[24];
    int error = 0;
    json_t *value;
    size_t i;

    if (objects)
        rte_tel_data_start_dict(out);
    else
        rte_tel_data_start_array(out, RTE_TEL_U64_VAL);
    json_array_foreach(array, i, value)
    {
        const char *port = json_string_value(json_object_get(value, "port"));

        snprintf(number, sizeof(number), "%zu", i);
        if (error >= 0)
            error = objects ? add_value(out, port ? port : number, value)
                            : rte_tel_data_add_array_u64(out, (uint64_t)json_integer_value(value));
    }
    return error;
}

static int add_container(struct rte_tel_data *out, const char *name, const json_t *value)
{
    struct rte_tel_data *in = rte_tel_data_alloc();
    int error = in ? 0 : -ENOMEM;

    if (!error)
        error = json_is_object(value) ? add_members(in, value) : add_elements(in, value);
    if (error >= 0)
        error = rte_tel_data_add_dict_container(out, name, in, 0);
    if (error < 0)
        rte_tel_data_free(in);
    return error;
}

/* True and false are 1 and 0, fractions are text, and what is null is left out. Text ends after 127 bytes. */
static int add_value(struct rte_tel_data *out, const char *key, const json_t *value)
{
    char name[RTE_TEL_MAX_STRING_LEN], text[40];

    write_name(name, key);
    switch (json_typeof(value)) {
    case JSON_STRING:
        return rte_tel_data_add_dict_string(out, name, json_string_value(value));
    case JSON_REAL:
        snprintf(text, sizeof(text), "%.6f", json_real_value(value));
        return rte_tel_data_add_dict_string(out, name, text);
    case JSON_INTEGER:
        if (json_integer_value(value) < 0)
            return rte_tel_data_add_dict_int(out, name, (int)json_integer_value(value));
        return rte_tel_data_add_dict_u64(out, name, (uint64_t)json_integer_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return rte_tel_data_add_dict_u64(out, name, json_is_true(value));
    case JSON_OBJECT:
    case JSON_ARRAY:
        return add_container(out, name, value);
    default:
        return 0;
    }
}

/* ---- commands ---------------------------------------------------------------------------------- */

/* What a command makes of a status: a new object, or an array of texts. */
typedef json_t *answer_fn(const json_t *status, const char *parameter);

static json_t *make_error(const char *why, const char *what)
{
    return json_pack("{s:o}", "error", json_sprintf("%s%.40s", why, what));
}

/* Lanes and NFs have their own commands. */
static json_t *answer_status(const json_t *status, const char *parameter)
{
    json_t *o = json_copy((json_t *)(uintptr_t)status);

    (void)parameter;
    json_object_del(o, "lanes");
    json_object_del(o, "passing");
    json_object_del(o, "nfs");
    json_object_del(o, "tables");
    return o;
}

static json_t *answer_lanes(const json_t *status, const char *parameter)
{
    const json_t *lanes = json_object_get(status, "lanes");
    char *end = NULL;
    unsigned long i = parameter ? strtoul(parameter, &end, 10) : 0;
    json_t *all, *lane;
    char number[24];
    size_t l;

    if (parameter && (!isdigit((unsigned char)*parameter) || *end || i >= json_array_size(lanes)))
        return make_error("no lane ", parameter);
    if (parameter)
        return json_incref(json_array_get(lanes, i));
    all = json_object();
    json_array_foreach(lanes, l, lane)
    {
        snprintf(number, sizeof(number), "%zu", l);
        json_object_set(all, number, lane);
    }
    return all;
}

/* The NF's counters, and its tables without its name before theirs; without a parameter: what NFs there are.
 */
static json_t *answer_nf(const json_t *status, const char *parameter)
{
    json_t *nfs = json_object_get(status, "nfs"), *value, *tables, *names;
    size_t len = parameter ? strlen(parameter) : 0;
    const char *key;

    if (!parameter) {
        names = json_array();
        json_object_foreach(nfs, key, value) json_array_append_new(names, json_string(key));
        return names;
    }
    if (!json_object_get(nfs, parameter))
        return make_error("no NF ", parameter);
    tables = json_object();
    json_object_foreach(json_object_get(status, "tables"), key, value)
    {
        if (strncmp(key, parameter, len) == 0 && key[len] == '.')
            json_object_set(tables, key + len + 1, value);
    }
    return json_pack("{s:O,s:o}", "counters", json_object_get(nfs, parameter), "tables", tables);
}

static int give(struct rte_tel_data *out, json_t *answer)
{
    bool names = json_is_array(answer);
    json_t *value;
    size_t i;
    int error;

    if (answer && json_dumpb(answer, NULL, 0, JSON_COMPACT) > BYTES_MAX) {
        json_decref(answer);
        answer = make_error("more than telemetry can carry: ask for one lane", "");
    }
    if (!names) {
        error = add_members(out, answer);
    } else {
        error = rte_tel_data_start_array(out, RTE_TEL_STRING_VAL);
        json_array_foreach(answer, i, value) rte_tel_data_add_array_string(out, json_string_value(value));
    }
    json_decref(answer);
    return error < 0 ? error : 0;
}

static int answer_by(answer_fn *answer, const char *parameter, struct rte_tel_data *out)
{
    const json_t *status;
    int error;

    ft_thread_begin("us-telemetry"); /* DPDK's thread, with each command anew */
    pthread_mutex_lock(&copy.lock);
    status = ask_for_status();
    error = give(out, status ? answer(status, parameter)
                             : make_error("the node's main thread does not answer", ""));
    pthread_mutex_unlock(&copy.lock);
    return error;
}

static int give_status(const char *command, const char *parameter, struct rte_tel_data *out)
{
    (void)command;
    return answer_by(answer_status, parameter, out);
}

static int give_lanes(const char *command, const char *parameter, struct rte_tel_data *out)
{
    (void)command;
    return answer_by(answer_lanes, parameter, out);
}

static int give_nf(const char *command, const char *parameter, struct rte_tel_data *out)
{
    (void)command;
    return answer_by(answer_nf, parameter, out);
}

void nd_telemetry_register(void)
{
    rte_telemetry_register_cmd("/understudy/status", give_status, "The node's status. Takes no parameters");
    rte_telemetry_register_cmd("/understudy/lanes", give_lanes, "Lanes. Parameters: int lane, or all");
    rte_telemetry_register_cmd("/understudy/nf", give_nf,
                               "An NF's counters and tables. Parameters: its name");
}
