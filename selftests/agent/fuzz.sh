#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The parsers' fuzz targets for a moment: what their corpora hold, and some thousands
# of changes of it, the same ones every time. "make fuzz" goes on from there.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

command -v clang >/dev/null || tap_skip_all "clang is not installed"

targets=$(make -s -C "$TOP" O="$HOODY_BUILD" fuzz-names)
tap_plan $((1 + $(wc -w <<<"$targets")))
# Those of whole connections need the worker, which takes a minute to build.
tap_run fuzz_targets_are_built make -s -C "$TOP" O="$HOODY_BUILD" WERROR=1 fuzz-pure
for target in $targets; do
	tap_run "fuzz_$target" "$TOP/selftests/fuzz/run" smoke "$target"
done
tap_done
