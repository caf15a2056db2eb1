/* SPDX-License-Identifier: Apache-2.0 */
/* Determinants of a burst; see determinants.h. */
#include "nflib/module/determinants.h"

#include "ftcore/base/check.h"
#include "ftcore/base/error.h"
#include "nflib/module/env.h"

#include <string.h>

void nf_determinants_begin(struct nf_determinants *values, bool replaying)
{
    values->len = values->at = 0;
    values->replaying = replaying;
    values->wrong = false;
}

uint32_t nf_determinants_noted(const struct nf_determinants *values, const void **block)
{
    *block = values->block;
    return values->replaying ? 0 : values->len;
}

bool nf_determinants_is(const void *value, uint32_t len)
{
    return len > 0 && *(const uint8_t *)value == 0;
}

int nf_determinants_supply(struct nf_determinants *values, const void *block, uint32_t len)
{
    uint16_t size;

    if (values->len || len > NF_DETERMINANTS_MAX || !nf_determinants_is(block, len))
        return FT_EMALFORMED;
    for (uint32_t at = 1; at < len; at += (uint32_t)sizeof(size) + size) {
        if (len - at < sizeof(size))
            return FT_EMALFORMED;
        memcpy(&size, (const uint8_t *)block + at, sizeof(size));
        if (len - at - sizeof(size) < size)
            return FT_EMALFORMED;
    }
    memcpy(values->block, block, len);
    values->len = len;
    values->at = 1;
    return FT_OK;
}

bool nf_determinants_used(const struct nf_determinants *values)
{
    return !values->wrong && values->at == values->len;
}

static void note_value(struct nf_determinants *values, const void *value, uint16_t size)
{
    if (!values->len)
        values->block[values->len++] = 0;
    FT_CHECK(values->len + sizeof(size) + size <= NF_DETERMINANTS_MAX,
             "more than %u bytes of determinants in a burst", NF_DETERMINANTS_MAX);
    memcpy(values->block + values->len, &size, sizeof(size));
    memcpy(values->block + values->len + sizeof(size), value, size);
    values->len += (uint32_t)sizeof(size) + size;
}

/* What is not there stays as it is, and the replay is called wrong when the burst has ended. */
static void replace_value(struct nf_determinants *values, void *value, uint16_t size)
{
    uint16_t noted = 0;

    if (values->at < values->len)
        memcpy(&noted, values->block + values->at, sizeof(noted));
    if (values->at == values->len || noted != size) {
        values->wrong = true;
        return;
    }
    memcpy(value, values->block + values->at + sizeof(noted), size);
    values->at += (uint32_t)sizeof(noted) + noted;
}

void nf_determinant(const struct nf *nf, void *value, uint16_t size)
{
    struct nf_determinants *values = nf->env->determinants;

    if (values->replaying)
        replace_value(values, value, size);
    else
        note_value(values, value, size);
}
