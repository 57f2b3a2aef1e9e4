#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every command of the module, once for each allocation on its way, which fails: of slabs
# and of pages, by the kernel's own fault injection.
HOODY_FAILSLAB=1 exec "${HOODY_BUILD:?}/selftests/kmod/memory_test"
