/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread of this process does first; see thread.h. */
#include "ftcore/base/thread.h"

#include <stddef.h>

void (*ft_thread_begins)(void);
