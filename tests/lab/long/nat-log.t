#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lab/nat-log.t with 20 kills.
NAT_LOG_KILLS=${NAT_LOG_KILLS:-20} exec bash "$(dirname "$0")/../nat-log.t"
