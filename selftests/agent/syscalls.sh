#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Syscall profiles as an operator meets them on a host without the module: loading
# and refusing, export, attachments that are kept, and that a container with a
# profile is not started where nothing can enforce it.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need
[ ! -d /sys/module/hoody ] || tap_skip_all "the module is loaded"
export PATH=$HOODY_BUILD/bin:$PATH
export LC_ALL=C.UTF-8
unset HOODY_TOKEN NO_COLOR
ID=bbbbbbbbbbbbbbbbbbbbbbbb PROJECT=aaaaaaaaaaaaaaaaaaaaaaaa
DOCKER=/usr/share/containers/seccomp.json
tap_plan 63

hoody ca "$WORK/ca" '*.node-us.containers.example.com' >/dev/null || tap_bail "hoody ca"
cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $WORK/control.sock
threads = 1
real_ip = off
[listen]
tls = 127.0.0.1:8443
[tls]
certificate = $WORK/ca/server.pem
key = $WORK/ca/server.key
CONF
AGENT_PID=
start_agent() {
	hoody-agent --config "$WORK/agent.conf" 2>>"$WORK/log" &
	AGENT_PID=$!
	tap_wait 60 hoody status || tap_bail "the agent does not answer: $(tail -n 5 "$WORK/log")"
}
stop_agent() { kill $AGENT_PID && wait $AGENT_PID; }
tap_cleanup 'kill -KILL $AGENT_PID'

api() { curl -s --max-time 30 --unix-socket "$WORK/control.sock" -X "$1" ${3:+-H 'Content-Type: application/json' --data-binary "$3"} "http://agent/api/v1$2"; }
# api_is NAME JQ METHOD PATH [JSON]
api_is() {
	local name=$1 filter=$2 body
	shift 2
	body=$(api "$@")
	if jq -e "$filter" >/dev/null 2>&1 <<<"$body"; then tap_ok "$name"; else tap_not_ok "$name" "wanted $filter, got $body"; fi
}
profile() { # ACTION NAME...: allows all but the named calls
	local action=$1
	shift
	printf '%s\n' "$@" | jq -R . | jq -sc --arg action "$action" '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], syscalls: [{names: ., action: $action}]}'
}
load() { profile "${@:2}" | hoody syscalls load "$1" -; }

start_agent
api_is none_at_first '.data == []' GET /syscalls/profiles
tap_run docker_loads hoody syscalls load docker "$DOCKER"
out=$(load narrow SCMP_ACT_ERRNO mount ptrace 2>&1)
tap_is names_are_completed "$(hoody complete -- syscalls export n | cut -f1)" narrow
tap_like load_is_told "$out" 'loaded narrow \([0-9]+ bytes of table\)'
tap_is nothing_to_warn_about "$(grep -c warning <<<"$out")" 0
tap_like list_has_both "$(hoody syscalls list)" 'docker +0 .*'
tap_is list_is_sorted "$(hoody syscalls list --json | jq -r '.[].name' | paste -sd,)" docker,narrow
api_is list_pages '.data[0].name == "docker" and .next_cursor == "docker"' GET '/syscalls/profiles?limit=1'
api_is list_goes_on '.data[0].name == "narrow" and .next_cursor == null' GET '/syscalls/profiles?limit=1&cursor=docker'

tap_like unknown_call_is_warned_about "$(load odd SCMP_ACT_ERRNO mount frobnicate 2>&1)" "warning: .*names\[1\].*'frobnicate'"
tap_like what_stops_an_init_is_warned_about "$(load bad SCMP_ACT_KILL execve 2>&1)" 'warning: execve is refused'
tap_like said_twice_is_refused "$(load x SCMP_ACT_ERRNO mount ptrace mount 2>&1)" "\\$\.syscalls\[0\]\.names\[2\]: 'mount' stands there twice"
tap_like io_uring_is_warned_about "$(load ring SCMP_ACT_ERRNO connect 2>&1)" 'warning: io_uring_setup .* connect'
tap_like ring_that_is_there_is_warned_about "$(load ring SCMP_ACT_ERRNO connect io_uring_setup 2>&1)" 'warning: io_uring_enter .* connect'
tap_is io_uring_refused_is_silent "$(load ring SCMP_ACT_ERRNO connect io_uring_setup io_uring_enter 2>&1 | grep -c warning)" 0
condition='[{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":40,"op":"SCMP_CMP_EQ"}]}]'
tap_like io_uring_knows_no_conditions "$(profile SCMP_ACT_ERRNO mount | jq ".syscalls = $condition" | hoody syscalls load ring - 2>&1)" 'warning: io_uring_setup .* socket'
api_is bad_profile_names_the_place '.error.code == "invalid_profile" and (.error.message | test("^\\$.syscalls\\[0\\].action"))' \
	POST /syscalls/profiles '{"name":"x","profile":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_FROB"}]}}'
api_is bad_name '.error.field == "name"' POST /syscalls/profiles '{"name":"../x","profile":{"defaultAction":"SCMP_ACT_ALLOW"}}'
api_is reserved_name '.error.field == "name"' POST /syscalls/profiles '{"name":"hoody.learn","profile":{"defaultAction":"SCMP_ACT_ALLOW"}}'
api_is unknown_field '.error.field == "extra"' POST /syscalls/profiles '{"name":"x","profile":{"defaultAction":"SCMP_ACT_ALLOW"},"extra":1}'
api_is bad_capability '.error.field == "capabilities[0]"' POST /syscalls/profiles '{"name":"x","profile":{"defaultAction":"SCMP_ACT_ALLOW"},"capabilities":["SYS_ADMIN"]}'
api_is refused_ones_are_not_kept '[.data[].name] | index("x") == null' GET /syscalls/profiles
tap_refused no_json_is_refused hoody syscalls load x /etc/passwd

# Includes are decided by the capabilities that it was loaded with.
caps='{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}'
hoody syscalls load without - <<<"$caps" 2>/dev/null >/dev/null
hoody syscalls load with --cap CAP_SYS_ADMIN - <<<"$caps" 2>/dev/null >/dev/null
tap_is capability_includes "$(hoody syscalls export with --format oci | jq -c '[.syscalls[].names[]]')" '["mount"]'
tap_is no_capability_excludes "$(hoody syscalls export without --format oci | jq -c '[.syscalls[].names[]]')" '[]'
tap_is export_gives_back_what_came "$(hoody syscalls export docker | jq -cS .)" "$(jq -cS . "$DOCKER")"
hoody syscalls export docker --format oci >"$WORK/resolved.json"
tap_run resolved_loads_again hoody syscalls load again "$WORK/resolved.json"
tap_is resolved_is_a_fixed_point "$(hoody syscalls export again --format oci | jq -cS .)" "$(jq -cS . "$WORK/resolved.json")"
tap_is lxc_policy_begins "$(hoody syscalls export docker --format lxc | head -n 2 | paste -sd' ')" '2 allowlist errno 38'
tap_is lxc_policy_has_rules "$(hoody syscalls export narrow --format lxc | paste -sd'|')" '2|allowlist allow|mount errno 1|ptrace errno 1'
tap_like lxc_policy_has_conditions "$(hoody syscalls export docker --format lxc)" '^socket errno 22 \[0,16,SCMP_CMP_EQ\] \[2,9,SCMP_CMP_EQ\]$'

hoody containers register --id $ID --project $PROJECT --address 10.77.0.2 >/dev/null
api_is no_profile_yet '.data.profile == null and .data.in_force == false' GET /containers/$ID/syscalls
api_is unknown_profile '.error.field == "profile"' PUT /containers/$ID/syscalls '{"profile":"nothere"}'
api_is bad_mode '.error.field == "mode"' PUT /containers/$ID/syscalls '{"profile":"narrow","mode":"loud"}'
tap_like what_would_stop_it_is_refused "$(hoody syscalls attach -c $ID bad 2>&1)" 'refused: profile: .*execve.*would_stop'
tap_run force_attaches_it hoody syscalls attach -c $ID bad --force
tap_run attached_while_stopped hoody syscalls attach -c $ID narrow
api_is attached_is_shown '.data.profile == "narrow" and .data.mode == "enforce"' GET /containers/$ID/syscalls
tap_like in_use_is_not_deleted "$(hoody syscalls delete narrow 2>&1)" '1 container has it.*in_use'
tap_like start_is_refused_without_the_module "$(hoody containers start $ID 2>&1)" 'narrow cannot be enforced: .*modprobe hoody.*not_enforceable'
api_is refused_start_changed_nothing '.data.state == "stopped"' GET /containers/$ID

# As if an older version had taken it: a name stands twice.
stop_agent
sqlite3 "$WORK/state/state.db" "UPDATE documents SET body = replace(body, '\\\"ptrace\\\"', '\\\"ptrace\\\",\\\"mount\\\"') WHERE kind = 64 AND CAST(key AS TEXT) = 'narrow'"
start_agent
tap_is accepted_once_it_stays "$(hoody syscalls export narrow | jq -c '.syscalls[0].names')" '["mount","ptrace","mount"]'
tap_is accepted_once_it_is_resolved "$(hoody syscalls export narrow --format oci | jq -c '.syscalls[0].names')" '["mount","ptrace"]'
api_is kept_over_a_restart '.data.profile == "narrow" and .data.mode == "enforce"' GET /containers/$ID/syscalls
tap_is profiles_are_kept "$(hoody syscalls list --json | jq -r '.[].name' | paste -sd,)" again,bad,docker,narrow,odd,ring,with,without

tap_run detached hoody syscalls detach -c $ID
tap_run starts_without_a_profile hoody containers start $ID
tap_like running_attach_is_refused "$(hoody syscalls attach -c $ID narrow 2>&1)" 'cannot be enforced: .*modprobe hoody'
api_is running_attach_changed_nothing '.data.profile == null' GET /containers/$ID/syscalls
tap_like learning_is_refused "$(hoody syscalls learn -c $ID 2>&1)" 'cannot be enforced'
tap_run deleted_profile hoody syscalls delete narrow

# Memory merging: what a wish may say.
api_is merging_needs_a_mode '.error.field == "mode"' PUT /containers/$ID/ksm '{"exclude":[]}'
api_is merging_mode_is_known '.error.code == "invalid_value" and .error.field == "mode"' PUT /containers/$ID/ksm '{"mode":"maybe"}'
api_is merging_field_is_known '.error.code == "unknown_field" and .error.field == "x"' PUT /containers/$ID/ksm '{"mode":"on","x":1}'
api_is merging_name_fits '.error.field == "exclude"' PUT /containers/$ID/ksm '{"mode":"on","exclude":["sixteen-letters-"]}'
api_is merging_of_nobody '.error.code == "not_found"' GET /containers/ffffffffffffffffffffffff/ksm
api_is merging_is_still_off '.data.mode == "off"' GET /containers/$ID/ksm

# Posture: what it can see here, with evidence, and an exit status.
hoody posture --json >"$WORK/posture.json"
tap_is posture_fails_where_a_layer_does $? 1
tap_is posture_layers_have_evidence "$(jq '[.host[], .containers[].layers[] | select(.source == "" or .value == "")] | length' "$WORK/posture.json")" 0
verdict() { jq -r "[.host[], .containers[].layers[]][] | select(.layer == \"$1\") | .verdict" "$WORK/posture.json"; }
tap_is posture_of_what_is_known "$(verdict worker_confined)/$(verdict url_secrecy)/$(verdict module)/$(verdict syscall_gate)/$(verdict proxy_permissions)" holds/holds/fails/fails/fails
hoody containers proxy permissions replace -c $ID --default deny >/dev/null
tap_like posture_sees_permissions "$(hoody posture -c $ID)" 'proxy_permissions +holds .*deny as the default'
tap_like posture_of_nobody "$(hoody posture -c cccccccccccccccccccccccc 2>&1)" 'container: there is no container.*not_found'
hoody containers delete $ID >/dev/null
api_is deleted_container '.error.code == "deleted"' GET /containers/$ID/syscalls
tap_done
