#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The kernel's registry is what the agent's database says: after 300 starts,
# after the agent was killed and the registry changed behind its back, after a
# conflict with an entry of somebody else, and around real_ip = off.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

NL=$HOODY_BUILD/selftests/kmod/hoodynl
COUNT=300
FOREIGN=ffffffffffffffffffffffff
tap_plan 22

api() { curl -s --max-time 60 --unix-socket "$SOCKET" -X "$1" "http://agent/api/v1$2" ${3:+-H 'Content-Type: application/json' -d "$3"}; }
id() { printf %024x "$1"; }
call() { # NUMBER PATH JSON: one entry of a curl configuration
	printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers%s"\nheader = "Content-Type: application/json"\ndata = "%s"\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\n' \
		"$SOCKET" "$1" "${2//\"/\\\"}"
	[ "${3:-}" = last ] || echo next
}
# Both sides as lines "id generation address", sorted.
in_kernel() { "$NL" dump | sed -nE 's/^id=([0-9a-f]+) .*generation=([0-9]+) .* addr=(.*)$/\1 \2 \3/p' | sort; }
in_agent() {
	local cursor=
	while :; do
		api GET "/containers?limit=1000${cursor:+&cursor=$cursor}" >"$WORK/page"
		jq -r '.data[] | select(.state == "running") | "\(.id) \(.generation) \(.addresses[0])"' "$WORK/page"
		cursor=$(jq -r '.next_cursor // empty' "$WORK/page")
		[ -n "$cursor" ] || break
	done | sort
}
equal() {
	in_kernel >"$WORK/in_kernel"
	in_agent >"$WORK/in_agent"
	diff "$WORK/in_kernel" "$WORK/in_agent"
}
real_ip() { api GET /status | jq -r ".data.real_ip.$1"; }
real_ip_is() { [ "$(real_ip state)" = "$1" ]; }
container_is() { [ "$(api GET "/containers/$1" | jq -r .data.real_ip)" = "$2" ]; }
agent_cgroup() { "$NL" agent | grep -oE 'cgroup=[0-9]+' | cut -d= -f2; }

system_module
system_config 'drain_timeout = 1s'
system_agent
tap_run real_ip_is_on tap_wait 30 real_ip_is on
tap_run agent_is_registered test "$(agent_cgroup)" -gt 0
tap_is agents_cgroup_is_its_own "$(agent_cgroup)" "$(stat -c %i "$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)$(sed -n 's/^0:://p' /proc/$AGENT/cgroup)")"

for ((i = 1; i <= COUNT; i++)); do
	call "" "{\"id\":\"$(id $i)\",\"project\":\"$PROJECT\",\"addresses\":[\"10.90.$((i / 250)).$((i % 250 + 1))\"]}" "$([ $i = $COUNT ] && echo last)"
done >"$WORK/register"
for ((i = 1; i <= COUNT; i++)); do
	call "/$(id $i)/start" '{}' "$([ $i = $COUNT ] && echo last)"
done >"$WORK/start"
tap_is registered "$(curl -s --parallel --parallel-max 32 -K "$WORK/register" | sort | uniq -c | tr -s ' ')" " $COUNT 201"
tap_is nothing_stopped_is_in_the_kernel "$(in_kernel | wc -l)" 0
tap_is started "$(curl -s --parallel --parallel-max 32 -K "$WORK/start" | sort | uniq -c | tr -s ' ')" " $COUNT 200"
tap_run all_are_in_the_kernel equal
tap_is the_number_is_right "$(in_kernel | wc -l)" $COUNT

# Behind the agent's back: one lost, one foreign, one newer, two that swapped addresses.
kill -KILL $AGENT
tap_need 30 eval "! kill -0 $AGENT 2>/dev/null"
"$NL" del "$(id 1)"
"$NL" set $FOREIGN "$PROJECT" 1 addr=10.99.0.1
"$NL" set "$(id 2)" "$PROJECT" 99999999 addr=10.98.0.1 flags=0
"$NL" del "$(id 3)"
"$NL" del "$(id 4)"
"$NL" set "$(id 3)" "$PROJECT" 1 addr=10.90.0.5
"$NL" set "$(id 4)" "$PROJECT" 1 addr=10.90.0.4
tap_refused registry_was_changed equal
system_agent
tap_run registry_is_repaired tap_wait 60 equal
tap_like repair_is_logged "$(cat "$LOG")" 'kernel registry repaired: set=4 removed=1 failed=0'

# An entry of somebody else holds the address: said, and healed when it is gone.
"$NL" set $FOREIGN "$PROJECT" 1 addr=10.97.0.1
api POST /containers "{\"id\":\"$(id 5000)\",\"project\":\"$PROJECT\",\"addresses\":[\"10.97.0.1\"]}" >/dev/null
api POST "/containers/$(id 5000)/start" >/dev/null
tap_run conflict_is_unavailable container_is "$(id 5000)" unavailable
tap_is conflict_is_counted "$(real_ip containers_refused)" 1
tap_like conflict_has_the_kernels_words "$(cat "$LOG")" 'kernel refuses a container.*ADDR4'
"$NL" del $FOREIGN
tap_run conflict_heals tap_wait 60 container_is "$(id 5000)" on

api POST "/containers/$(id 5000)/stop" >/dev/null
api DELETE "/containers/$(id 1)" >/dev/null
tap_run stopped_and_deleted_are_out_of_the_kernel equal
tap_is stopped_and_deleted_count "$(in_kernel | wc -l)" $((COUNT - 1))

system_config 'drain_timeout = 1s' 'real_ip = off'
kill -HUP $AGENT
tap_run switched_off tap_wait 30 real_ip_is off
withdrawn() { [ "$(agent_cgroup)" = 0 ]; }
tap_run switched_off_withdraws_the_agent tap_wait 30 withdrawn
system_config 'drain_timeout = 1s'
kill -HUP $AGENT
tap_run switched_on_again tap_wait 30 real_ip_is on
tap_run switched_on_all_are_there equal
system_agent_stop
tap_run ended_agent_withdraws tap_wait 30 withdrawn
tap_done
