/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis as a state backend; see redis.h. Turns what the backend tells into commands, and decides when they
 * are written and waited for. Owns the connection and, when it is ours, the server.
 */
#include "tools/redis/redis.h"

#include "tools/redis/backend.h"
#include "nflib/state/state.h"
#include "node/config/config.h"
#include "node/config/schema.h"
#include "tools/redis/wire.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_BATCH 2048u /* for the state that a chain begins with: no part of what is measured */
#define MARKER     "understudy"
#define ASKED_IDLE 4u /* more than in a turn with a burst: two ports, one of them twice, and its outputs */

struct nd_redis {
    struct nd_redis_options options;
    struct nd_redis_server server; /* pid 0: somebody else's */
    struct nd_wire wire;
    struct nd_backend *backend;
    bool loading;         /* a new chain's state, for whose answers nobody waits */
    uint64_t awaited;     /* last command whose answer packets wait for */
    uint64_t ended;       /* last burst whose commands are all gathered */
    uint64_t confirmed;   /* last burst whose outputs may leave */
    uint64_t asked_after; /* the last burst that had ended when the lane asked for frames, or to send */
    uint32_t asked;       /* times it has asked since, without another burst */
    char settings[400];
};

/* ---- the section `redis` of a chain file or a pair file, which nobody but the bench reads ----------- */

struct raw_redis {
    struct nd_redis_options options;
    struct nd_endpoint address; /* port 0: none is given, the server is one of our own */
};

static const char *const modes[] = {"sync", "async", NULL};

#define AT(member) offsetof(struct raw_redis, member)
static const struct nf_param settings[] = {
    {"mode", NF_CHOICE, AT(options.mode), 0, 0, "sync", modes, "whether packets wait for writes", false},
    {"cache", NF_BOOL, AT(options.cache), 0, 0, "false", NULL, "reads are local", false},
    {"batch", NF_U32, AT(options.batch), 1, ND_REDIS_BATCH_MAX, "32", NULL, "commands in one write", false},
    {"offload", NF_BOOL, AT(options.offload), 0, 0, "true", NULL, "counters by INCRBY", false},
    {"address", ND_KIND(ND_ENDPOINT), AT(address), 0, 0, "", NULL, "of the server", false},
    {0},
};
#undef AT

int nd_redis_read(struct nd_redis_options *out, const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_yaml none = {.kind = ND_YAML_MAP};
    struct raw_redis raw = {.address.port = 0};
    int error =
        nd_schema_read(config->arena, config->redis ? config->redis : &none, "redis", settings, &raw, fault);

    *out = raw.options;
    out->port = raw.address.port;
    if (out->port)
        inet_ntop(AF_INET, &raw.address.addr, out->host, sizeof(out->host));
    snprintf(out->marker, sizeof(out->marker), "%s", config->chain.name);
    return error;
}

/* ---- when ---------------------------------------------------------------------------------------- */

/* Writes, and waits for the answers up to `upto`. All bursts that have ended are told in what is written. */
static void flush_commands(struct nd_redis *r, uint64_t upto)
{
    nd_wire_write(&r->wire);
    if (upto > r->wire.answered)
        nd_wire_await(&r->wire, upto);
    else
        nd_wire_take(&r->wire);
    if (!nd_wire_lost(&r->wire))
        r->confirmed = r->ended;
}

static void end_burst(void *ctx, uint64_t burst)
{
    struct nd_redis *r = ctx;

    r->ended = burst;
    if (nd_wire_lost(&r->wire))
        return;
    if (r->awaited <= r->wire.answered)
        r->confirmed = burst;
    else if (!r->options.across)
        flush_commands(r, r->awaited);
}

void nd_redis_settle(struct nd_redis *r)
{
    if (!nd_wire_lost(&r->wire))
        flush_commands(r, r->wire.issued);
}

/* ---- what ---------------------------------------------------------------------------------------- */

/* `read`: packets wait for its answer whatever the mode. */
static void send_command(struct nd_redis *r, const struct nd_wire_arg args[], uint32_t count,
                         enum nd_want want, uint64_t value, bool read)
{
    if (nd_wire_lost(&r->wire))
        return;
    nd_wire_command(&r->wire, args, count, want, value);
    *(read ? &r->wire.counts.reads : &r->wire.counts.writes) += 1;
    if (read || r->options.mode == ND_REDIS_SYNC)
        r->awaited = r->wire.issued;
    if (r->wire.unsent >= (r->loading ? LOAD_BATCH : r->options.batch))
        flush_commands(r, r->loading ? 0 : r->awaited);
}

static struct nd_wire_arg format_number(char text[24], int64_t n)
{
    return (struct nd_wire_arg){text, (uint32_t)snprintf(text, 24, "%" PRId64, n)};
}

static void get_value(void *ctx, const void *key, uint32_t key_len, const void *expected, uint32_t len)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("GET"), {key, key_len}};

    send_command(ctx, args, 2, expected ? ND_WANT_BYTES : ND_WANT_NIL,
                 expected ? nd_wire_hash(expected, len) : 0, true);
}

static void set_value(void *ctx, const void *key, uint32_t key_len, const void *value, uint32_t len)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("SET"), {key, key_len}, {value, len}};

    send_command(ctx, args, 3, ND_WANT_STATUS, 0, false);
}

static void delete_key(void *ctx, const void *key, uint32_t key_len)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("DEL"), {key, key_len}};

    send_command(ctx, args, 2, ND_WANT_NUMBER, 0, false);
}

static void add_number(void *ctx, const void *key, uint32_t key_len, int64_t n, uint64_t sum)
{
    char text[24];
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("INCRBY"), {key, key_len}, format_number(text, n)};

    send_command(ctx, args, 3, ND_WANT_THIS_NUMBER, sum, false);
}

/* The chain draws the number: the set of free ones loses it, or is asked whether it is empty. With a cache
 * that is known here: then it is a write like any other. */
static void take_number(void *ctx, const void *key, uint32_t key_len, uint32_t number)
{
    const struct nd_redis *r = ctx;
    char text[24];
    const struct nd_wire_arg take[] = {ND_WIRE_TEXT("SREM"), {key, key_len}, format_number(text, number)},
                             look[] = {ND_WIRE_TEXT("SCARD"), {key, key_len}};

    if (number == NF_NONE)
        send_command(ctx, look, 2, ND_WANT_THIS_NUMBER, 0, !r->options.cache);
    else
        send_command(ctx, take, 3, ND_WANT_THIS_NUMBER, 1, !r->options.cache);
}

static void give_number(void *ctx, const void *key, uint32_t key_len, uint32_t number)
{
    char text[24];
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("SADD"), {key, key_len}, format_number(text, number)};

    send_command(ctx, args, 3, ND_WANT_NUMBER, 0, false);
}

static void clear_store(void *ctx)
{
    const struct nd_wire_arg args[] = {ND_WIRE_TEXT("FLUSHDB")};
    struct nd_redis *r = ctx;

    nd_redis_settle(r);
    r->loading = !nd_wire_lost(&r->wire);
    send_command(r, args, 1, ND_WANT_STATUS, 0, false);
    set_value(r, MARKER, sizeof(MARKER) - 1, r->options.marker, (uint32_t)strlen(r->options.marker));
}

static void finish_loading(void *ctx)
{
    struct nd_redis *r = ctx;

    nd_redis_settle(r);
    r->loading = false;
    r->ended = r->confirmed = 0;
    r->wire.counts = (struct nd_redis_counts){0};
}

/* ---- opening --------------------------------------------------------------------------------------- */

static int refuse_server(struct nd_redis *r, struct ft_fault *fault, const char *what)
{
    return ft_fail(fault, FT_EIO, "redis %s: %s gives %.100s", r->wire.name, what,
                   r->wire.context->err ? r->wire.context->errstr : "an answer of another kind");
}

/* Empty, or left by a chain of the same name. */
static int check_ours(struct nd_redis *r, struct ft_fault *fault)
{
    redisReply *owner = redisCommand(r->wire.context, "GET %s", MARKER);
    bool ours = owner && owner->type == REDIS_REPLY_STRING && strcmp(owner->str, r->options.marker) == 0;

    freeReplyObject(owner);
    if (!owner)
        return refuse_server(r, fault, "GET");
    if (ours)
        return FT_OK;
    redisReply *size = redisCommand(r->wire.context, "DBSIZE");
    long long keys = size && size->type == REDIS_REPLY_INTEGER ? size->integer : -1;

    freeReplyObject(size);
    if (keys < 0)
        return refuse_server(r, fault, "DBSIZE");
    if (keys > 0)
        return ft_fail(fault, FT_EBUSY,
                       "redis %s: the database holds %lld keys of somebody else, expected an empty one",
                       r->wire.name, keys);
    return FT_OK;
}

static void describe_server(struct nd_redis *r)
{
    const struct nd_redis_options *o = &r->options;
    redisReply *info = redisCommand(r->wire.context, "INFO server");
    const char *at = info && info->type == REDIS_REPLY_STRING ? strstr(info->str, "redis_version:") : NULL;
    const char *version = at ? at + 14 : "?";

    snprintf(r->settings, sizeof(r->settings),
             "%s, cache %s, batch %u%s, counters by %s; Redis %.*s at %s by TCP, no delay, keep-alive, one "
             "connection, hiredis %d.%d.%d; %s",
             o->mode == ND_REDIS_SYNC ? "sync" : "async", o->cache ? "on" : "off", o->batch,
             o->across ? " across bursts" : "",
             o->offload ? "INCRBY"
             : o->cache ? "SET"
                        : "GET and SET",
             (int)strcspn(version, "\r\n"), version, r->wire.name, HIREDIS_MAJOR, HIREDIS_MINOR,
             HIREDIS_PATCH, r->server.pid ? r->server.settings : "a server that was there");
    freeReplyObject(info);
}

static int set_up_client(struct nd_redis *r, struct ft_fault *fault)
{
    const struct nd_store store = {.ctx = r,
                                   .cache = r->options.cache,
                                   .offload = r->options.offload,
                                   .get = get_value,
                                   .set = set_value,
                                   .del = delete_key,
                                   .add = add_number,
                                   .take = take_number,
                                   .give = give_number,
                                   .clear = clear_store,
                                   .loaded = finish_loading,
                                   .burst = end_burst};
    int error = FT_OK;

    if (!r->options.port) {
        error = nd_redis_server_start(&r->server, fault);
        snprintf(r->options.host, sizeof(r->options.host), "127.0.0.1");
        r->options.port = r->server.port;
    }
    if (error == FT_OK)
        error = nd_wire_open(&r->wire, r->options.host, r->options.port, fault);
    if (error == FT_OK)
        error = check_ours(r, fault);
    if (error < 0)
        return error;
    describe_server(r);
    error = nd_backend_attach(&r->backend, &store);
    if (error < 0)
        return ft_fail(fault, error, "redis %s: no backend: %s", r->wire.name, ft_error_name(error));
    return FT_OK;
}

int nd_redis_open(struct nd_redis **out, const struct nd_redis_options *options, struct ft_fault *fault)
{
    struct nd_redis *r;
    int error;

    *out = NULL;
    if (options->batch < 1 || options->batch > ND_REDIS_BATCH_MAX)
        return ft_fail(fault, FT_EINVAL, "redis batch is %u, expected a number from 1 to %u", options->batch,
                       ND_REDIS_BATCH_MAX);
    r = calloc(1, sizeof(*r));
    if (!r)
        return ft_fail(fault, FT_ENOMEM, "no memory for redis");
    r->options = *options;
    if (!r->options.marker[0])
        snprintf(r->options.marker, sizeof(r->options.marker), "-");
    error = set_up_client(r, fault);
    if (error < 0)
        nd_redis_close(r);
    else
        *out = r;
    return error;
}

void nd_redis_close(struct nd_redis *r)
{
    if (!r)
        return;
    if (r->backend)
        nd_redis_settle(r);
    nd_backend_detach(r->backend);
    nd_wire_close(&r->wire);
    nd_redis_server_stop(&r->server);
    free(r);
}

/* ---- asking ---------------------------------------------------------------------------------------- */

uint64_t nd_redis_confirmed(const struct nd_redis *r)
{
    return r->confirmed;
}

const char *nd_redis_lost(const struct nd_redis *r)
{
    return nd_wire_lost(&r->wire) ? r->wire.why : NULL;
}

void nd_redis_asked(struct nd_redis *r)
{
    r->asked = r->asked_after == r->ended ? r->asked + 1 : 0;
    r->asked_after = r->ended;
    if (r->asked >= ASKED_IDLE)
        nd_redis_settle(r);
}

uint32_t nd_redis_may_leave(struct nd_redis *r, const struct ft_held held[], uint32_t n)
{
    uint32_t may = 0;

    while (may < n && held[may].burst <= r->confirmed)
        may++;
    if (!may)
        nd_redis_asked(r);
    return may;
}

uint16_t nd_redis_port(const struct nd_redis *r)
{
    return r->options.port;
}

const char *nd_redis_settings(const struct nd_redis *r)
{
    return r->settings;
}

struct nd_redis_counts nd_redis_counts(const struct nd_redis *r)
{
    return r->wire.counts;
}
