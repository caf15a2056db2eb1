/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings of what a chain asks for that a pair may intend, and most do not: printed by `check`, and by a
 * node that is to change its chain.
 */
#ifndef NODE_CONFIG_CHAIN_WARNINGS_H
#define NODE_CONFIG_CHAIN_WARNINGS_H

#include "understudy/config/config.h"

/* Each is a line without its end; `line` is borrowed. */
void nd_chain_warn(const struct nd_config *config, void (*say)(void *ctx, const char *line), void *ctx);

#endif
