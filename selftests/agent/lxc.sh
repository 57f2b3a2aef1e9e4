#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# From LXC to the client without the module: a real container registers itself
# through the hook and the real command line with the real agent, and is served,
# stopped, started again and deleted, in both topologies. (What the module adds
# is tested in system/.)
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=selftests/lib/system.sh
. "$(dirname "$0")/../lib/system.sh"

[ "$(id -u)" = 0 ] || tap_skip_all "needs root"
command -v lxc-start >/dev/null || tap_skip_all "lxc is not installed"

R=890abcdef12345678901cd01 B=890abcdef12345678901cd02 D=890abcdef12345678901cd03

# status_of ID [CURL-OPTION]...: the status that a client gets for its web server.
status_of() {
	local id=$1
	shift
	fetch -o /dev/null -w '%{http_code}' "$@" "$(host_of "$id")" /
}
# shellcheck disable=SC2317
answers() { [ "$(status_of "$@" 2>/dev/null)" = 200 ]; }
property() { hoody containers show "$1" --json | jq -r ".$2"; }
# A whole stop: the hook's last part runs after lxc-stop has returned.
stop() {
	lxc-stop -k -n "$1"
	tap_need 30 eval "[ \$(hoody containers show $2 --json | jq -r .state) = stopped ]"
}

test_served() { # NAME ID
	tap_run "lxc_$1_becomes_ready" container_ready "$1"
	tap_is "lxc_$1_is_running" "$(property "$2" state)" running
	tap_is "lxc_$1_cgroup_is_its_payload" "$(property "$2" cgroup | grep -o 'lxc.payload.*')" "lxc.payload.$1"
	tap_run "lxc_$1_netdev_is_there" ip link show "$(property "$2" netdev)"
	tap_run "lxc_$1_answers_on_v4" tap_wait 30 answers "$2"
	tap_run "lxc_$1_answers_on_v6" tap_wait 30 answers "$2" -6
}

test_stop_and_start() {
	stop routed $R
	tap_is lxc_stopped_is_503 "$(status_of $R)" 503
	tap_is lxc_stopping_one_leaves_the_other "$(status_of $B)" 200
	lxc-start -n routed
	container_ready routed
	tap_run lxc_started_again_answers tap_wait 30 answers $R
}

test_agent_restart() {
	kill -9 "$AGENT"
	tap_need 30 eval "! kill -0 $AGENT 2>/dev/null"
	system_agent
	tap_is lxc_running_survives_the_agent_s_death "$(property $R state)" running
	tap_run lxc_answers_after_the_agent_s_death tap_wait 30 answers $R
}

test_agent_absent() {
	system_agent_stop
	stop_without_agent=$(lxc-stop -k -n bridged 2>&1)
	tap_is lxc_stops_without_agent "$stop_without_agent" ''
	tap_need 30 test ! -e /run/hoody/lxc/bridged.netdev
	tap_refused lxc_required_agent_stops_the_start lxc-start -n bridged -l INFO -o "$WORK/required.log"
	sed -i '/^required/d' /var/lib/lxc/bridged/hoody.conf
	tap_run lxc_starts_without_agent lxc-start -n bridged -l DEBUG -o "$WORK/absent.log"
	tap_like lxc_says_that_it_is_not_served "$(grep -h hoody-hook "$WORK/absent.log")" 'starts, but is not served: .*systemctl status'
	system_agent
	# The cgroup it had is gone: the agent does not take it for the running one.
	tap_is lxc_vanished_container_is_stopped "$(property $B state)" stopped
	lxc-stop -k -n bridged
	tap_need 30 test ! -e /run/hoody/lxc/bridged.netdev
	lxc-start -n bridged
	container_ready bridged
	tap_run lxc_is_served_after_its_next_start tap_wait 30 answers $B
}

test_delete() {
	tap_run lxc_delete_works hoody containers delete $R
	tap_is lxc_deleted_is_404_at_once "$(status_of $R)" 404
	lxc-stop -k -n routed
	tap_need 30 test ! -e /run/hoody/lxc/routed.netdev
	tap_refused lxc_deleted_id_does_not_start_again lxc-start -n routed -l INFO -o "$WORK/deleted.log"
}

test_many() {
	local i
	for i in $(seq 1 700); do
		[ "$i" = 1 ] || echo next
		printf 'unix-socket = "%s"\nurl = "http://localhost/api/v1/containers"\noutput = /dev/null\n' "$SOCKET"
		printf 'data = "{\\"id\\":\\"%024x\\",\\"project\\":\\"%s\\"}"\nheader = "Content-Type: application/json"\n' "$i" "$PROJECT"
	done >"$WORK/curlrc"
	tap_run cli_many_are_registered curl -sS -K "$WORK/curlrc"
	tap_is cli_lists_more_than_a_page "$(hoody containers list --json | jq length)" 703
	tap_is cli_table_has_a_line_for_each "$(($(hoody containers list | wc -l) - 1))" \
		"$(hoody containers list --json | jq length)"
}

test_real_agent_errors() {
	tap_like cli_prints_what_the_agent_refuses "$(hoody containers register --id $D --project $PROJECT --address 10.80.1.2 2>&1)" \
		"^hoody: refused: addresses\[0\]: belongs to container $B \(address_in_use, 409\)"
	hoody containers register --id $D --project $PROJECT >/dev/null
	tap_like cli_start_without_address_is_refused "$(hoody containers start $D 2>&1)" '^hoody: refused: addresses: .*\(.*, 422\)'
	tap_like cli_version_knows_that_the_module_is_off "$(hoody version)" 'module: +not in use'
	tap_like cli_version_knows_the_agent "$(hoody version)" "agent: +$(cat "$TOP/kmod/VERSION")"
}

tap_plan 33
rm -rf /run/hoody/lxc
system_client_net $CLIENT4 $CLIENT6
system_bridge
system_config "real_ip = off"
system_agent
container routed $R routed 2 "$PYTHON_SERVER" || tap_bail "the routed container does not start"
container bridged $B bridge 2 "$PYTHON_SERVER" || tap_bail "the bridged container does not start"
test_served routed $R
test_served bridged $B
test_stop_and_start
test_agent_restart
test_real_agent_errors
test_agent_absent
test_many
test_delete
tap_done
