#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same opponents with the programs behind a clsact qdisc instead of tcx.
HOODY_HOOK=clsact exec "$(dirname "$0")/opponents.sh"
