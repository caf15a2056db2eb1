#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lab/fragments.t with two lanes: later fragments go to the lane of their first one, which the NAT knows by its port.
LAB_LANES=2 exec bash "$(dirname "$0")/fragments.t"
