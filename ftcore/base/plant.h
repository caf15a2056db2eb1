/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted bugs: mistakes that a test's own build makes on purpose (environment UNDERSTUDY_PLANT=name, or
 * several names with a comma between them), to see that the replay tool's oracle and the simulation's catch
 * each. In every other build FT_PLANTED is 0 and leaves no code.
 *
 * "late-lane" is no mistake: the sender leaves the last lane's entries in their ring for 7 of 8 milliseconds.
 * With it a bug that harms only while one lane is behind another harms at nearly every kill.
 * Nor is "slow-make": a lane that makes the state of all anew sleeps for 1 s once the old one is wiped, so
 * that whoever looks at it then does so.
 *
 * "main-stands", "replicator-stands", "lane-stands": that thread sleeps for 3 s when the process gets
 * SIGUSR1.
 */
#ifndef FTCORE_BASE_PLANT_H
#define FTCORE_BASE_PLANT_H

#ifdef UNDERSTUDY_PLANT

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static inline int ft_planted(const char *name)
{
    static const char *plant;
    static int asked;

    if (!asked) {
        plant = getenv("UNDERSTUDY_PLANT");
        asked = 1;
    }
    if (!plant)
        return 0;

    size_t len = strlen(name);

    for (const char *at = plant; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, len) == 0 && (at[len] == '\0' || at[len] == ','))
            return 1;
    return 0;
}
#define FT_PLANTED(name) ft_planted(name)

static volatile sig_atomic_t ft_signalled;

static inline void ft_note_signal(int number)
{
    (void)number;
    ft_signalled = 1;
}

static inline int ft_planted_at_signal(const char *name)
{
    static _Atomic int installed;

    if (!ft_planted(name))
        return 0;
    if (!atomic_exchange(&installed, 1))
        signal(SIGUSR1, ft_note_signal);
    return __atomic_exchange_n(&ft_signalled, 0, __ATOMIC_RELAXED);
}
/* Once each time the process has got SIGUSR1. */
#define FT_PLANTED_AT_SIGNAL(name) ft_planted_at_signal(name)
/* At the first occasion in the life of the process only. */
#define FT_PLANTED_ONCE(name)                                                                                \
    ({                                                                                                       \
        static _Atomic int planted_;                                                                         \
        ft_planted(name) && !atomic_exchange(&planted_, 1);                                                  \
    })

#else
#define FT_PLANTED(name)           0
#define FT_PLANTED_ONCE(name)      0
#define FT_PLANTED_AT_SIGNAL(name) 0
#endif

#endif
