/* SPDX-License-Identifier: Apache-2.0 */
/* nflib/session/table.c as a watched build has it, and the table as who watches looks at it: an entry's key
 * is the first one, its value the record. */
#include "nflib/session/table.c"

static uint32_t key_size_of(const void *table)
{
    (void)table;
    return offsetof(struct nf_tuple, own);
}
static uint32_t value_size_of(const void *table)
{
    return ((const struct nf_sessions *)table)->stride;
}
static const void *record_of(const void *table, uint32_t slot)
{
    return nf_session_at(table, slot);
}
static uint32_t slot_of(const void *table, const void *p)
{
    const struct nf_sessions *t = table;
    uint64_t offset = (uint64_t)((const uint8_t *)p - (const uint8_t *)t);
    uint32_t record = offset < t->records_at ? NF_NONE : (uint32_t)((offset - t->records_at) / t->stride);

    return nf_session_is_used(t, record) ? record : NF_NONE;
}
static uint32_t peek(const void *table, const void *key)
{
    struct nf_tuple tuple = {0};
    uint32_t which;
    const struct nf_session *s;

    memcpy(&tuple, key, offsetof(struct nf_tuple, own));
    s = nf_session_find(table, &tuple, NULL, nf_session_hash(table, &tuple), &which);
    return s && which == 0 ? nf_session_number(table, s) : NF_NONE;
}
static uint32_t next_of(const void *table, uint32_t slot)
{
    return nf_session_next(table, slot);
}

const struct nf_watch_table nf_sessions_as_table = {
    .key_size = key_size_of,
    .value_size = value_size_of,
    .key = record_of,
    .value = record_of,
    .slot_of = slot_of,
    .peek = peek,
    .next = next_of,
};
