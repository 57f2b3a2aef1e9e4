#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The module comes and goes: refused while it is used, clean afterwards, fifty
# times over, and while namespaces end in the middle of connections. That the
# kernel's log stays clean is checked here as well as by the runner.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

tap_plan 16
lines=$(dmesg | wc -l)
kmod_load
kmod_topology routed
kmod_server c1 8080
# A connection that its process has left, towards a peer that is gone, is given up
# after one repetition instead of eight: until then it holds module and namespace.
host sysctl -qw net.ipv4.tcp_orphan_retries=1
one() { agent "$BIN/realip_load" one --client4 198.51.100.6 --dest4 "$C1"; }
loaded() { grep -q '^hoody ' /proc/modules; }
unloads() { tap_wait 30 eval '! loaded || rmmod hoody'; }

# Refused while connections come, and while they are held.
agent "$BIN/realip_load" load --client4 198.51.100.6 --clients4 8 --client6 2001:db8:c::6 --clients6 8 \
	--dest4 "$C1" --dest6 "$C1V6" --requests 500 --hold >"$WORK/load" 2>&1 &
LOAD=$!
tap_need 30 eval '[ "$(stat_of realip_open)" -gt 0 ]'
refused=0
end=$((SECONDS + 120))
until [ $SECONDS -ge $end ] || { [ $refused -gt 0 ] && grep -q done= "$WORK/load"; }; do
	output=$(rmmod hoody 2>&1) && break
	grep -q 'in use\|busy' <<<"$output" && refused=$((refused + 1))
done
tap_run unload_under_load_refused eval 'loaded && test "$refused" -gt 0'
{ pkill -P $LOAD; wait $LOAD; } 2>/dev/null
tap_like unload_under_load_disturbs_nothing "$(cat "$WORK/load")" 'done=500 wrong=0 failed=0'
# A socket that is orphaned but not gone holds the module, TIME_WAIT does not.
tap_run unload_after_the_load unloads
tap_refused unloaded_family_is_gone hoodynl agent
tap_is unloaded_option_is_gone "$(one)" "option: ENOPROTOOPT"

failed=
for ((i = 1; i <= 20; i++)); do
	insmod "$MODULE" || failed="cannot be loaded in cycle $i"
	if [ $((i % 5)) = 0 ]; then
		hoodynl set $ID1 $PROJECT 1 addr="$C1" flags=1
		hoodynl agent "$(stat -c %i $AGENT_CGROUP)"
		[ "$(one | cut -d' ' -f1,2)" = "ok 198.51.100.6" ] || failed="no connection in cycle $i"
	fi
	unloads || failed="cannot be unloaded in cycle $i"
	[ -z "$failed" ] || break
done
tap_is load_and_unload_20_times "$failed" ""

# A container's namespace ends in the middle of transfers.
start() {
	insmod "$MODULE"
	hoodynl set $ID1 $PROJECT 1 addr="$C1" addr="$C1V6" flags=1
	hoodynl set $ID2 $PROJECT 1 addr="$C2" addr="$C2V6" flags=1
	hoodynl agent "$(stat -c %i $AGENT_CGROUP)"
}
start
kmod_server c2 8080
flow() { # CONTAINER4 CONTAINER6: transfers without end
	agent "$BIN/realip_load" load --client4 198.51.100.6 --clients4 4 --client6 2001:db8:c::6 --clients6 4 \
		--dest4 "$1" --dest6 "$2" --requests 100000 --up 100000 --down 1000000 >/dev/null 2>&1 &
	FLOW=$!
	disown $FLOW
	tap_need 30 eval '[ "$(stat_of realip_open)" -gt 4 ]'
}
end_flow() { pkill -KILL -P $FLOW; tap_wait 30 eval '! kill -0 $FLOW'; }
# A namespace goes with its last process.
end_namespace() {
	local pids
	pids=$(ip netns pids "$1")
	ip netns del "$1"
	# shellcheck disable=SC2086
	kill -KILL $pids
}
flow "$C2" "$C2V6"
tap_run flow_towards_a_container test "$(stat_of realip_open)" -gt 4
end_namespace c2
tap_run container_namespace_ends tap_wait 30 eval '! ip -n host link show vc2'
tap_run host_lives_on_without_it hoodynl agent
end_flow
tap_run unload_after_the_container_ended unloads

# The host's namespace itself ends, with its registry, its sockets and its flows.
start
kmod_server c1 8081
flow "$C1" "$C1V6"
tap_run flow_before_the_host_ends test "$(stat_of realip_open)" -gt 4
end_namespace host
tap_run host_namespace_ends tap_wait 60 eval '! ip -n client link show eth0'
tap_run unload_after_the_host_ended unloads
tap_run load_again insmod "$MODULE"
tap_run unload_with_nothing_registered unloads
insmod "$MODULE"
# Whose the races are that one kernel tells of, its last test says.
bad=$(dmesg | tail -n +"$((lines + 1))" | grep -v KCSAN: | grep -E 'BUG|WARNING|Oops|unregister_netdevice|refcount|leak' || true)
tap_is kernel_log_is_clean "$bad" ""
tap_done
