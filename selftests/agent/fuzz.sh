#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The parsers' fuzz targets for a moment: what their corpora hold, and some thousands
# of changes of it, the same ones every time. "make fuzz" goes on from there.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

command -v clang >/dev/null || tap_skip_all "clang is not installed"

targets=$(make -s -C "$TOP" O="$HOODY_BUILD" fuzz-names)
tap_plan $((3 + $(wc -w <<<"$targets")))
# Those of whole connections need the worker, which takes a minute to build.
tap_run fuzz_targets_are_built make -s -C "$TOP" O="$HOODY_BUILD" WERROR=1 fuzz-pure
for target in $targets; do
	tap_run "fuzz_$target" "$TOP/selftests/fuzz/run" smoke "$target"
done

# What runs find goes into the tree as an archive, and the next one begins there.
export HOODY_FUZZ_GROWN=$WORK/grown
kept=$("$TOP/selftests/fuzz/run" keep host 2>&1)
tap_like what_was_found_is_kept "$kept" '^host +[1-9][0-9]* inputs'
tap_is and_can_be_read_again "$(tar -tJf "$WORK/grown/host.tar.xz" | grep -c '[0-9a-f]$') inputs" "$(awk '{ print $2, $3 }' <<<"$kept")"
tap_done
