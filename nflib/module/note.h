/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A note: a few words in the region that its lane writes and another thread may read at the same moment,
 * behind a sequence word that is odd while they are written. Owns nothing; readers never wait.
 */
#ifndef NFLIB_MODULE_NOTE_H
#define NFLIB_MODULE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

/* The words of a note of `type`, which is of whole words without padding. */
#define NF_NOTE_WORDS(type) (1 + sizeof(type) / sizeof(uint64_t))
#define NF_NOTE_READINGS    64u /* of a note that is being written, at most */

/* The lane, with `note` open for writing. `value`: n words. */
static inline void nf_note_write(uint64_t *note, const uint64_t *value, unsigned n)
{
    uint64_t sequence = note[0];

    __atomic_store_n(&note[0], sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (unsigned i = 0; i < n; i++)
        __atomic_store_n(&note[1 + i], value[i], __ATOMIC_RELAXED);
    __atomic_store_n(&note[0], sequence + 2, __ATOMIC_RELEASE);
}

/* Any thread. False: it was being written at each reading, and `value` means nothing. */
static inline bool nf_note_read(const uint64_t *note, uint64_t *value, unsigned n)
{
    for (unsigned reading = 0; reading < NF_NOTE_READINGS; reading++) {
        uint64_t sequence = __atomic_load_n(&note[0], __ATOMIC_ACQUIRE);

        for (unsigned i = 0; i < n; i++)
            value[i] = __atomic_load_n(&note[1 + i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(sequence & 1) && __atomic_load_n(&note[0], __ATOMIC_RELAXED) == sequence)
            return true;
    }
    return false;
}

#endif
