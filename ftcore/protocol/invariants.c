/* SPDX-License-Identifier: Apache-2.0 */
/* What holds after every step of the protocol core, in any build: a broken one ends the process. */
#include "ftcore/protocol/parts.h"

void ft_invariants_check(const struct ft_core *core)
{
    bool primary = ft_core_primary(core);

    FT_CHECK(core->solo + core->guarded + core->unsettled <= 1, "the gate is in two positions");
    FT_CHECK(!core->solo || (core->state == FT_SOLO && !core->config.strict), "SOLO gate in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_SOLO || core->solo, "state SOLO with a shut gate");
    FT_CHECK(primary || !core->guarded, "state %s with an open gate", ft_state_name(core->state));
    FT_CHECK(core->state != FT_PROTECTED || (core->guarded && core->peer.known && !core->cut_off),
             "PROTECTED by nobody");
    FT_CHECK(core->state != FT_PROTECTED || !core->resync, "PROTECTED while a snapshot is on its way");
    FT_CHECK(core->guarded || !core->cut_off, "cut off from a standby that guards nothing");
    FT_CHECK(core->hand != FT_HAND_GIVEN || core->state == FT_FENCED, "handed over in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_FENCED || core->hand == FT_HAND_GIVEN, "FENCED for longer than a step");
    FT_CHECK(core->state != FT_READY || core->snapshot_whole, "READY without a whole snapshot");
    FT_CHECK(!primary || core->view > 0, "primary of view 0");
    FT_CHECK(core->resync == FT_RESYNC_NONE || primary, "a resync without a primary");
    FT_CHECK(!core->peer.known || core->peer.up, "a peer known without a connection");
    FT_CHECK(!core->peer.known || core->peer.agreed, "a peer known without a version");
    FT_CHECK(!core->solo || !core->arbiter.open, "SOLO in an era that the standby may hold");
    FT_CHECK(!core->arbiter.asking || core->config.arbiter, "asks an arbiter that there is not");
}
