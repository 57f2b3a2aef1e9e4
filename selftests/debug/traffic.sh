#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Memory that fails at random, one time in ten, for whatever is asked while the module is
# among the callers: under connections, under commands, while it is loaded and unloaded.
# What may fail fails; nobody is taken for somebody else, and afterwards all is as it was.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

INJECT=/sys/kernel/debug
[ -d $INJECT/failslab ] || tap_skip_all "this kernel has no fault injection"
inject() { echo "$2" >"$INJECT/failslab/$1" && echo "$2" >"$INJECT/fail_page_alloc/$1"; }
# Only below functions of modules; without words about each.
inject ignore-gfp-wait N
inject verbose 0
inject require-start 0xffffffffa0000000
inject require-end 0xffffffffff000000
echo 0 >$INJECT/fail_page_alloc/min-order

begin() { inject times 1000000; inject interval 1; inject probability "$1"; }
# Prints how many requests failed.
end() {
	inject probability 0
	echo $((2000000 - $(<$INJECT/failslab/times) - $(<$INJECT/fail_page_alloc/times)))
}

tap_plan 12
kmod_load
tap_cleanup inject probability 0
kmod_topology routed
kmod_server c1 8080
load() {
	agent "$BIN/realip_load" load --client4 198.51.100.6 --clients4 8 --client6 2001:db8:c::6 --clients6 8 \
		--dest4 "$C1" --dest6 "$C1V6" "$@"
}
tap_like connections_before "$(load --requests 100 --fresh 50)" 'done=100 wrong=0 failed=0'
begin 10
load --requests 1500 --fresh 60 >"$WORK/load" 2>"$WORK/load.errors"
injected=$(end)
tap_note "$injected requests failed; $(cat "$WORK/load"); $(sort "$WORK/load.errors" | uniq -c | head -n 5)"
tap_run memory_failed_under_connections test "$injected" -gt 0
tap_like connections_of_nobody_else "$(cat "$WORK/load")" ' wrong=0 '
tap_like connections_after "$(load --requests 300 --fresh 50)" 'done=300 wrong=0 failed=0'
tap_run gauge_falls_to_zero tap_wait 60 eval '[ "$(stat_of realip_open)" = 0 ]'

# Commands that may each fail, and one container that nobody touches.
begin 10
failed=0
for ((i = 1; i <= 120; i++)); do
	hoodynl set "$(printf c000000000000000000001%02x "$i")" $PROJECT 1 addr=10.7.9.$i addr=fd07:9::$i flags=1 2>/dev/null ||
		failed=$((failed + 1))
done
for ((i = 1; i <= 120; i++)); do
	hoodynl del "$(printf c000000000000000000001%02x "$i")" 2>/dev/null
done
injected=$(end)
tap_note "$injected requests failed, and with them $failed of 120 commands"
tap_run memory_failed_under_commands test "$failed" -gt 0
# What could not be deleted is deleted now.
for ((i = 1; i <= 120; i++)); do
	hoodynl del "$(printf c000000000000000000001%02x "$i")" 2>/dev/null
done
tap_is commands_left_what_was_there "$(hoodynl dump | cut -d' ' -f1 | sort | paste -sd' ')" "id=$ID1 id=$ID2"
tap_run commands_left_the_addresses_free hoodynl set c00000000000000000000155 $PROJECT 1 addr=10.7.9.5 addr=fd07:9::5 flags=1
hoodynl del c00000000000000000000155

loaded() { grep -q '^hoody ' /proc/modules; }
unloads() { tap_wait 60 eval '! loaded || rmmod hoody'; }
tap_run unloads_with_containers unloads
begin 10
refused=0
for ((i = 1; i <= 30; i++)); do
	insmod "$MODULE" 2>/dev/null || refused=$((refused + 1))
	hoodynl set $ID1 $PROJECT 1 addr="$C1" flags=1 2>/dev/null
	unloads || break
done
injected=$(end)
tap_note "$injected requests failed, and with them $refused of 30 loadings"
tap_is load_and_unload_30_times "$i" 31
tap_run loads_again insmod "$MODULE"
hoodynl batch <<-BATCH
	set $ID1 $PROJECT 1 addr=$C1 addr=$C1V6 flags=1
	agent $(stat -c %i $AGENT_CGROUP)
BATCH
tap_like connections_at_the_end "$(load --requests 100 --fresh 50)" 'done=100 wrong=0 failed=0'
tap_done
