/* SPDX-License-Identifier: Apache-2.0 */
/* The section `redis` of a chain file or a pair file, which nobody but the bench reads. Owns nothing. */
#include "node/config/config.h"
#include "node/config/schema.h"
#include "tools/redis/redis.h"

#include <arpa/inet.h>
#include <stdio.h>

struct raw_redis {
    struct nd_redis_options options;
    struct nd_endpoint address; /* port 0: none is given, the server is one of our own */
};

static const char *const modes[] = {"sync", "async", NULL};

#define AT(member) offsetof(struct raw_redis, member)
static const struct nf_param keys[] = {
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
        nd_schema_read(config->arena, config->redis ? config->redis : &none, "redis", keys, &raw, fault);

    *out = raw.options;
    out->port = raw.address.port;
    if (out->port)
        inet_ntop(AF_INET, &raw.address.addr, out->host, sizeof(out->host));
    snprintf(out->marker, sizeof(out->marker), "%s", config->chain.name);
    return error;
}
