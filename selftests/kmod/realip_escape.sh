#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Who may take a client's address, and that a socket with one reaches its
# container and nothing else: realip_escape tries, the wires are watched.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/kmod.sh"

tap_plan 119
kmod_load
kmod_topology routed
kmod_server c1 8080
kmod_server c2 8080
kmod_server client 8080
# Connections to this port hang.
on c1 nft -f - <<RULES
table inet hang {
	chain input {
		type filter hook input priority 0;
		tcp dport 8098 drop
	}
}
RULES

# Who may.
try=("$BIN/realip_load" one --client4 198.51.100.9 --client-port 7777 --dest4 "$C1")
tap_is agent_may "$(agent "${try[@]}")" "ok 198.51.100.9 7777"
tap_is agent_child_cgroup_may "$(mkdir $AGENT_CGROUP/worker; echo $BASHPID >$AGENT_CGROUP/worker/cgroup.procs
	host setpriv --reuid 65534 --bounding-set=-all --inh-caps=-all "${try[@]}")" "ok 198.51.100.9 7777"
rmdir $AGENT_CGROUP/worker
tap_is administrator_may "$(host "${try[@]}")" "ok 198.51.100.9 7777"
denied=$(stat_of realip_denied)
tap_is other_process_may_not "$(host setpriv --reuid 65534 --bounding-set=-all --inh-caps=-all "${try[@]}")" "option: EPERM"
tap_is user_namespace_root_may_not "$(host setpriv --reuid 65534 --clear-groups unshare -Ur "${try[@]}")" "option: EPERM"
tap_is user_namespace_root_may_not_in_own_network "$(host setpriv --reuid 65534 --clear-groups unshare -Urn "${try[@]}")" "option: EHOSTUNREACH"
tap_is denied_are_counted "$(($(stat_of realip_denied) - denied))" 2
hoodynl agent 0
tap_is agent_withdrawn_may_not "$(agent "${try[@]}")" "option: EPERM"
kmod_agent_cgroup
tap_is agent_again_may "$(agent "${try[@]}")" "ok 198.51.100.9 7777"
before=$(stat_of realip_no_container)
hoodynl set $ID1 $PROJECT 2 addr="$C1" addr="$C1V6"
tap_is container_without_the_flag_refused "$(agent "${try[@]}")" "option: EHOSTUNREACH"
hoodynl del $ID1
tap_is container_deleted_refused "$(agent "${try[@]}")" "option: EHOSTUNREACH"
tap_is no_container_is_counted "$(($(stat_of realip_no_container) - before))" 2
hoodynl set $ID1 $PROJECT 3 addr="$C1" addr="$C1V6" flags=1

# What the clients' addresses may never be seen on: everything but the way to c1.
foreign='src net 198.51.100.0/24 or src net 2001:db8:c::/64'
capture_start client eth0 "$WORK/client" "inbound and ($foreign)"; captures=$capture_pid
capture_start c2 eth0 "$WORK/c2" "inbound and ($foreign)"; captures+=" $capture_pid"
capture_start host lo "$WORK/lo" "$foreign"; captures+=" $capture_pid"

agent "$BIN/realip_escape" "$C1" "$C1V6" "$C2" "$C2V6" 6 >"$WORK/escape" 2>&1
status=$?
while read -r word name; do
	case $word in
	pass) tap_ok "escape_$name" ;;
	fail) tap_not_ok "escape_${name%%:*}" "$name" ;;
	note) tap_note "$name" ;;
	*) tap_not_ok escape_output "$word $name" ;;
	esac
done <"$WORK/escape"
tap_is escape_ran_to_its_end $status 0
# Once more with all capabilities, which some of the options need by themselves.
host "$BIN/realip_escape" "$C1" "$C1V6" 192.0.2.2 2001:db8:2::2 3 >"$WORK/escape" 2>&1
tap_is escape_of_the_administrator_to_the_client "$(grep '^fail' "$WORK/escape")" ""
agent "$BIN/realip_escape" "$C1" "$C1V6" 10.7.0.1 fd07:2::2 3 >"$WORK/escape" 2>&1
tap_is escape_to_the_host_itself "$(grep '^fail' "$WORK/escape")" ""

# One that is allowed to be there shows that the capture sees.
agent "$BIN/realip_load" one --client4 198.51.100.250 --dest4 "$C2" >/dev/null
tap_need 30 grep -q 198.51.100.250 "$WORK/c2"
tap_like wire_is_watched "$(cat "$WORK/c2")" 198.51.100.250
tap_is wire_of_another_container_is_clean "$(grep -v 198.51.100.250 "$WORK/c2")" ""
tap_is wire_of_the_client_is_clean "$(cat "$WORK/client")" ""
tap_is loopback_is_clean "$(cat "$WORK/lo")" ""
# shellcheck disable=SC2086
{ kill $captures; wait $captures; } 2>/dev/null
tap_need 90 eval '[ "$(stat_of realip_open)" = 0 ]'
tap_is gauge_falls_to_zero "$(stat_of realip_open)" 0
tap_done
