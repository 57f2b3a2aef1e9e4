#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The command line against a stand-in for the agent (fake_api.py): what is sent,
# what is printed, on a terminal and off it, exit statuses, errors of every
# kind. That the real agent understands it is tested with the agent, in control.sh
# and the system tests.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

here=$(cd "$(dirname "$0")" && pwd)
hoody=$HOODY_BUILD/bin/hoody
log=$WORK/requests
unset HOODY_TOKEN HOODY_CA NO_COLOR
export HOODY_API=unix:$WORK/api.sock LC_ALL=C.UTF-8
A=890abcdef12345678901cdef B=890abcdef12345678901cde0 C=890abcdef12345678901cde1
P=67e89abc123def456789abcd
odd() { printf 'f%.0s' {1..23}; echo "$1"; }

serve() { # ARGUMENT...
	python3 "$here/fake_api.py" "$@" 2>>"$WORK/fake_api.log" &
	tap_cleanup "kill $!"
}

sent() { tail -n 1 "$log" | jq -cS "$1"; }

# status_is NAME STATUS COMMAND...: the exit status; output to $out and $err.
status_is() {
	local name=$1 wanted=$2 status=0
	shift 2
	"$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
	out=$(cat "$WORK/out") err=$(cat "$WORK/err")
	if [ $status = "$wanted" ]; then tap_ok "$name"; else tap_not_ok "$name" "\$ $* -> $status"$'\n'"$out"$'\n'"$err"; fi
}

# usage_error NAME REGEX ARGUMENT...: status 2, silent on standard output.
usage_error() {
	local name=$1 pattern=$2
	shift 2
	status_is "$name" 2 "$hoody" "$@"
	tap_like "${name}_is_explained" "$(tr '\n' ' ' <<<"$err|$out|")" "$pattern.*\|\| $"
}

test_usage() {
	usage_error cli_network_set_nothing 'network set: give --exit, --dns or both' network set -c $A
	usage_error cli_no_command 'Usage: hoody COMMAND'
	usage_error cli_unknown_command "unknown command 'frob'" frob
	usage_error cli_unknown_second_word "unknown command 'containers frob'" containers frob
	usage_error cli_group_alone "'containers' needs a further word" containers
	usage_error cli_unknown_option "register: unknown option '--adress' \(did you mean --address\?\).*See 'hoody containers register --help'" \
		containers register --id $A --project $P --adress 10.0.0.1
	usage_error cli_abbreviation "unknown option '--proj'.*did you mean --project" containers list --proj $P
	usage_error cli_missing_option '--project ID is missing' containers register --id $A
	usage_error cli_missing_value '--project needs a value: ID' containers list --project
	usage_error cli_option_twice '--id is given twice' containers register --id $A --id $B --project $P
	usage_error cli_flag_with_value '--gateway takes no value' containers register --gateway=yes
	usage_error cli_missing_argument 'ID is missing' containers show
	usage_error cli_extra_argument "unexpected argument 'x'" status x
	usage_error cli_bad_id "--id must be 24 hexadecimal digits \(got '12'\)" containers register --id 12 --project $P
	usage_error cli_bad_positional_id "ID must be 24 hexadecimal digits" containers show ${A}0
	usage_error cli_bad_port '--port must end in a port from 1 to 65535' containers register --id $A --project $P --port web=65536
	usage_error cli_port_with_leading_zero '--port must end in a port' containers register --id $A --project $P --port web=080
	usage_error cli_bad_service '--port must start with a service name' containers register --id $A --project $P --port Web=80
	usage_error cli_double_service "--port: service 'web' is given twice" containers register --id $A --project $P --port web=1 --port web=2
	usage_error cli_address_with_prefix '--address must be one address, without a prefix' containers start $A --address 10.0.0.1/24
	usage_error cli_bad_address '--address must be an IPv4 or IPv6 address' containers start $A --address 10.0.0.256
	usage_error cli_loopback_address '--address is the loopback' containers start $A --address ::1
	usage_error cli_relative_cgroup '--cgroup must be a path below' containers start $A --cgroup lxc.payload.x
	usage_error cli_long_netdev '--netdev must be an interface name' containers start $A --netdev abcdefghijklmnop
	usage_error cli_bad_state '--state must be running or stopped' containers list --state dead
	usage_error cli_gateway_both_ways 'exclude each other' containers register --id $A --project $P --gateway --no-gateway
	usage_error cli_name_both_ways '--name and --no-name exclude each other' containers register --id $A --project $P --name x --no-name
	usage_error cli_ports_both_ways '--port and --no-port exclude each other' containers register --id $A --project $P --no-port --port web=80
	tap_run cli_nothing_wrong_was_sent test ! -s "$log"
}

test_containers() {
	status_is cli_register 0 "$hoody" containers register --id ${A^^} --project=$P --name 'shop front' --realm r1 \
		--cgroup /lxc.payload.a --netdev vetha --address 10.0.0.1 --address fd00::1 --port web=80 --port db=5 --gateway
	tap_is cli_register_says_so "$out" "registered $A (stopped, generation 1)"
	tap_is cli_register_sends_everything "$(sent '[.method,.path,.body]')" \
		"[\"POST\",\"/api/v1/containers\",{\"addresses\":[\"10.0.0.1\",\"fd00::1\"],\"cgroup\":\"/lxc.payload.a\",\"gateway\":true,\"id\":\"${A^^}\",\"name\":\"shop front\",\"netdev\":\"vetha\",\"ports\":{\"db\":5,\"web\":80},\"project\":\"$P\",\"realm\":\"r1\"}]"
	"$hoody" containers register --id $B --project $P >/dev/null
	tap_is cli_register_sends_only_what_is_given "$(sent .body)" "{\"id\":\"$B\",\"project\":\"$P\"}"
	tap_is cli_register_again_is_an_update "$("$hoody" containers register --id $B --project $P --no-gateway)" \
		"updated $B (stopped, generation 2)"
	tap_is cli_no_gateway_is_sent "$(sent .body.gateway)" false
	"$hoody" containers register --id $B --project $P --no-name --no-realm --no-port >/dev/null
	tap_is cli_register_clears "$(sent .body)" "{\"id\":\"$B\",\"name\":null,\"ports\":{},\"project\":\"$P\",\"realm\":null}"
	"$hoody" containers register --id $C --project $P --name $'na\tme\e[31m' >/dev/null 2>&1
	tap_run cli_control_characters_are_not_sent test "$(sent .body.id)" != "\"$C\""
	"$hoody" containers register --id $C --project $P --name 'größe' >/dev/null
	tap_is cli_start_says_so "$("$hoody" containers start $C --address 10.0.0.3)" "started $C (running, generation 2)"
	tap_is cli_start_sends_its_place "$(sent '[.path,.body]')" "[\"/api/v1/containers/$C/start\",{\"addresses\":[\"10.0.0.3\"]}]"
	tap_is cli_options_may_come_first "$("$hoody" --json containers show $C | jq -r .state)" running
	tap_is cli_json_is_the_api_s_data "$("$hoody" containers show $A --json | jq -cS '[.id,.ports,.gateway]')" "[\"$A\",{\"db\":5,\"web\":80},true]"
	tap_is cli_list_pages_to_the_end "$("$hoody" containers list --json | jq -r '.[].id' | tr '\n' ' ')" "$B $C $A "
	tap_is cli_list_by_state "$("$hoody" containers list --state running --json | jq -r '.[].id')" $C
	tap_is cli_list_table_is_aligned "$("$hoody" containers list)" \
"ID                        PROJECT                   NAME        STATE    REAL IP  ADDRESSES
$B  $P  -           stopped  on       -
$C  $P  größe       running  on       10.0.0.3
$A  $P  shop front  stopped  on       10.0.0.1, fd00::1"
	tap_is cli_show_prints_fields "$("$hoody" containers show $A | sed -n '1p;4p;6,8p')" \
"id:          $A
realm:       r1
real ip:     on
addresses:   10.0.0.1, fd00::1
ports:       web=80, db=5"
	tap_is cli_stop_says_so "$("$hoody" containers stop $C)" "stopped $C (stopped, generation 3)"
	tap_like cli_delete_says_so "$("$hoody" containers delete $B)" "^deleted $B"
	tap_is cli_delete_is_sent "$(sent '[.method,.path]')" "[\"DELETE\",\"/api/v1/containers/$B\"]"
}

test_errors() {
	status_is cli_refusal_is_1 1 "$hoody" containers register --id $A --project eeeeeeeeeeeeeeeeeeeeeeee
	tap_is cli_refusal_has_message_field_and_code "$err" \
		'hoody: refused: project: the container belongs to another project (conflict, 409)'
	tap_is cli_refusal_prints_no_data "$out" ''
	status_is cli_json_refusal_is_1 1 "$hoody" --json containers show $B
	tap_is cli_json_refusal_is_json "$(jq -r .error.code <<<"$err") [$out]" 'not_found []'
	status_is cli_garbage_is_1 1 "$hoody" containers show "$(odd 0)"
	tap_like cli_garbage_is_named "$err" 'status 200 and no data: is that a hoody agent'
	status_is cli_closed_connection_is_1 1 "$hoody" containers show "$(odd 1)"
	status_is cli_redirect_is_1 1 "$hoody" containers show "$(odd 2)"
	tap_like cli_redirect_is_not_followed "$(sent .path)" 'fff2"$'
	status_is cli_huge_reply_is_1 1 "$hoody" containers show "$(odd 3)"
	tap_like cli_huge_reply_is_named "$err" 'larger than 16 MiB'
	status_is cli_escapes_are_1 1 "$hoody" containers show "$(odd 4)"
	tap_is cli_escapes_are_shown_not_obeyed "$err" \
		'hoody: refused: na\x0ame: text \x1b]0;title\x07 end (bad\x1b[31m, 422)'
	status_is cli_success_without_data_is_1 1 "$hoody" containers show "$(odd 5)"
	status_is cli_refusal_without_error_is_1 1 "$hoody" containers show "$(odd 6)"
	status_is cli_minimal_container_is_shown 0 "$hoody" containers show "$(odd 7)"
	status_is cli_full_disk_is_1 1 sh -c "'$hoody' containers list >/dev/full"
	status_is cli_no_agent_is_1 1 env HOODY_API=unix:/nonexistent/sock "$hoody" status
	tap_like cli_no_agent_says_what_to_do "$err" 'does not answer at /nonexistent/sock: No such file.*systemctl status hoody-agent'
	status_is cli_json_no_agent_is_json 1 env HOODY_API=unix:/nonexistent/sock "$hoody" status --json
	tap_is cli_json_no_agent_has_code "$(jq -r .error.code <<<"$err")" client
	chmod 0600 "$WORK/api.sock"
	chmod 0755 "$WORK"
	status_is cli_other_user_is_1 1 setpriv --reuid 65534 --regid 65534 --clear-groups "$hoody" status
	tap_like cli_other_user_says_what_to_do "$err" 'permission denied: run it as root, or set HOODY_API'
}

# What the agent says is not taken for more than it is.
test_trust() {
	local endless list
	endless=$(odd 8)
	for list in 'egress list' 'ingress list --json'; do
		# shellcheck disable=SC2086 # two or three words
		status_is "cli_${list%% *}_list_without_end_is_refused" 1 timeout 60 "$hoody" firewall $list -c "$endless"
		tap_like "cli_${list%% *}_list_says_why" "$err" 'cursor cannot be used: the list is not complete'
	done
	status_is cli_drops_without_end_are_refused 1 timeout 60 "$hoody" firewall drops -c "$endless"
	tap_like cli_drops_say_why "$err" 'numbers do not go on'
	status_is cli_network_shows_what_steers 0 "$hoody" network show -c "$endless"
	tap_like cli_network_does_not_obey_it "$(tr '\n' '|' <<<"$out")" 'exit +a.x1b.31mb\|state +c.x0ad\|$'
}

test_status() {
	tap_is cli_status "$("$hoody" status)" \
'agent:        9.8.7
serves:       *.node-us.containers.test
listens on:   0.0.0.0:443, [::]:80 (plain)
uptime:       1 d 2 h
containers:   3 registered, 2 running, 1 deleted
real ip:      unavailable: the module is not loaded: modprobe hoody
firewall:     loaded, around 2 containers, not enforced on others: hoody firewall show
worker:       serving, pid 4711, 2 threads, 0 restarts, image 12
connections:  1 open of 10 accepted
requests:     100, 7 of them refused, 2 failed upstream
upstream:     5 connections made, reused 90 times'
	tap_is cli_status_json_is_whole "$("$hoody" status --json | jq .worker.counters.refused_malformed)" 3
	tap_like cli_version "$("$hoody" version)" 'agent: +9.8.7'
	tap_is cli_version_json "$("$hoody" version --json | jq -c '[.agent,.module]')" '["9.8.7",null]'
	status_is cli_version_without_agent 0 env HOODY_API=unix:/nonexistent "$hoody" version
	tap_like cli_version_without_agent_says_so "$out" 'agent: +not reachable'
}

# posture_is HOST-LAYER LAYER-OF-A LAYER-OF-B: what the agent says, in two pages. A layer
# is VERDICT, or VERDICT:SOURCE.
posture_is() {
	jq -n --arg host "$1" --arg a "$2" --arg b "$3" --arg A $A --arg B $B '
		def layer($text): $text | split(":") | {layer: "disk_cipher", verdict: .[0],
			source: (.[1:] | join(":")), value: "v", advice: "do \(.[0])"};
		{"": {data: {host: [layer($host)], containers: [{id: $B, name: "b", layers: [layer($b)]}],
			summary: {holds: 9}}, next_cursor: $B},
		 ($B): {data: {host: [layer($host)], containers: [{id: $A, name: "a", layers: [layer($a)]}],
			summary: {holds: 9}}, next_cursor: null}}' >"$log.posture"
}

test_posture() {
	posture_is holds holds holds
	status_is cli_posture_all_hold 0 "$hoody" posture --strict
	tap_like cli_posture_sums_up "$out" '^3 hold, 0 fail, 0 unknown$'
	tap_is cli_posture_joins_pages "$("$hoody" posture --json | jq -c '[(.host | length), [.containers[].name]]')" '[1,["b","a"]]'
	posture_is holds unknown holds
	status_is cli_posture_unknown_is_no_failure 0 "$hoody" posture
	status_is cli_posture_strict_takes_it_for_one 1 "$hoody" posture --strict
	posture_is holds fails holds
	status_is cli_posture_failure_on_the_last_page 1 "$hoody" posture
	tap_like cli_posture_says_what_to_do "$out" '^  disk_cipher: do fails$'
	tap_is cli_posture_json_counts "$("$hoody" posture --json | jq -cS .summary)" '{"fails":1,"holds":2,"unknown":0}'
	status_is cli_posture_of_a_container 1 "$hoody" posture -c $A
	tap_is cli_posture_asks_for_it "$(sent .path)" "\"/api/v1/posture?container=$A&cursor=$B\""
	# The highest minor number there can be: no kernel has a table for it.
	posture_is 'unknown:device-mapper tables of 253:1048575' holds holds
	status_is cli_posture_cipher_that_is_not_told 1 "$hoody" posture --strict
	tap_like cli_posture_says_why "$out" 'disk_cipher +unknown .*253:1048575 +cannot be read: '
	posture_is 'unknown:device-mapper tables of too many devices' holds holds
	tap_like cli_posture_devices_that_are_not_named "$("$hoody" posture)" 'cannot be read: Invalid argument'
	jq --arg B $B '.[$B].next_cursor = $B' "$log.posture" >"$log.new" && mv "$log.new" "$log.posture"
	status_is cli_posture_that_does_not_end 1 "$hoody" posture
	tap_like cli_posture_is_then_not_complete "$err" 'not complete'
	usage_error cli_posture_no_id '24 hexadecimal digits' posture -c xyz
}

# on_terminal VARIABLE=VALUE COMMAND: its output on a terminal.
on_terminal() { TERM=xterm script -qec "env $1 $2" /dev/null </dev/null; }

test_terminal() {
	local esc=$'\e'
	tap_like cli_terminal_is_coloured "$(on_terminal A=1 "$hoody containers list")" "$esc\[1mID"
	tap_is cli_no_color_is_obeyed "$(on_terminal NO_COLOR=1 "$hoody containers list" | grep -c "$esc")" 0
	tap_like cli_empty_no_color_is_none "$(on_terminal NO_COLOR= "$hoody containers list")" "$esc\[1mID"
	tap_is cli_dumb_terminal_is_plain "$(on_terminal TERM=dumb "$hoody containers list" | grep -c "$esc")" 0
	tap_is cli_pipe_is_plain "$("$hoody" containers list | grep -c "$esc")" 0
	tap_is cli_json_on_terminal_is_plain "$(on_terminal A=1 "$hoody status --json" | grep -c "$esc")" 0
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

test_https() {
	local port
	port=$(free_port)
	"$hoody" ca "$WORK/ca" 127.0.0.1 >/dev/null
	serve tls "$port" "$WORK/ca/server.pem" "$WORK/ca/server.key" "$log"
	export HOODY_API=https://127.0.0.1:$port
	HOODY_CA=$WORK/ca/ca.pem tap_wait 30 "$hoody" status
	status_is cli_https_with_token 0 env HOODY_CA="$WORK/ca/ca.pem" HOODY_TOKEN=s3cret "$hoody" status
	tap_is cli_token_is_sent "$(sent .headers.Authorization)" '"Bearer s3cret"'
	status_is cli_https_untrusted_is_1 1 "$hoody" status
	tap_like cli_https_untrusted_says_what_to_do "$err" 'HOODY_CA names a file'
	status_is cli_http_is_refused 1 env HOODY_API=http://127.0.0.1 HOODY_TOKEN=s3cret "$hoody" status
	tap_like cli_http_refusal_says_why "$err" 'a token is never sent unencrypted'
	status_is cli_token_with_line_end_is_refused 1 env HOODY_CA="$WORK/ca/ca.pem" HOODY_TOKEN=$'a\r\nX: y' "$hoody" status
	tap_run cli_token_is_never_printed test -z "$(grep -c 'X: y' <<<"$err$out" | grep -v '^0')"
	status_is cli_odd_scheme_is_refused 1 env HOODY_API=ftp://x "$hoody" status
	export HOODY_API=unix:$WORK/api.sock
	status_is cli_unix_asks_no_proxy 0 env http_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 "$hoody" status
}

test_ca() {
	local ca=$WORK/ca2
	status_is cli_ca 0 "$hoody" ca "$ca" '*.n.b.test' '*.b.test' 192.0.2.1
	tap_is cli_ca_keys_are_private "$(stat -c %a "$ca/ca.key" "$ca/server.key" "$ca/ca.pem" | tr '\n' ' ')" '600 600 644 '
	for name in a-b-http-1.n.b.test api.b.test; do
		tap_run "cli_ca_certifies_$name" openssl verify -x509_strict -CAfile "$ca/ca.pem" -purpose sslserver -verify_hostname $name "$ca/server.pem"
	done
	tap_run cli_ca_certifies_address openssl verify -CAfile "$ca/ca.pem" -verify_ip 192.0.2.1 "$ca/server.pem"
	tap_like cli_ca_is_marked "$(openssl x509 -in "$ca/ca.pem" -noout -subject)" 'not for production'
	tap_is cli_ca_leaf_is_no_ca "$(openssl x509 -in "$ca/server.pem" -noout -ext basicConstraints,keyUsage,extendedKeyUsage | grep -vE '^X509' | tr -s ' \n' ' ')" \
		' CA:FALSE Digital Signature TLS Web Server Authentication '
	cp "$ca/server.key" "$WORK/key"
	status_is cli_ca_never_overwrites 1 "$hoody" ca "$ca" x.b.test
	tap_run cli_ca_key_is_the_same cmp "$ca/server.key" "$WORK/key"
	status_is cli_ca_issues_a_second 0 "$hoody" ca "$ca" x.b.test --out second --json
	tap_is cli_ca_json "$(jq -r .certificate <<<"$out")" "$ca/second.pem"
	status_is cli_ca_is_bound_to_its_names 1 "$hoody" ca "$ca" www.example.com --out third
	tap_is cli_ca_failure_leaves_nothing "$(ls "$ca")" $'ca.key\nca.pem\nsecond.key\nsecond.pem\nserver.key\nserver.pem'
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/evil.key" -subj /CN=x -out "$WORK/evil.csr" 2>/dev/null
	openssl x509 -req -in "$WORK/evil.csr" -CA "$ca/ca.pem" -CAkey "$ca/ca.key" -extfile <(echo 'subjectAltName=DNS:bank.example') -out "$WORK/evil.pem" 2>/dev/null
	tap_refused cli_ca_stolen_key_signs_nothing_else openssl verify -CAfile "$ca/ca.pem" "$WORK/evil.pem"
	rm "$ca/ca.key"
	status_is cli_ca_half_a_ca_is_refused 1 "$hoody" ca "$ca" y.b.test --out fourth
	usage_error cli_ca_bad_name 'NAME must be a host name' ca "$WORK/ca3" 'a..b'
	usage_error cli_ca_name_is_no_notation 'NAME must be a host name' ca "$WORK/ca3" 'a.test,IP:1.2.3.4'
	usage_error cli_ca_bad_out '--out must be a file name' ca "$WORK/ca3" a.test --out ../x
	usage_error cli_ca_bad_days '--days must be a number of days' ca "$WORK/ca3" a.test --days 366
	tap_run cli_ca_usage_error_makes_nothing test ! -e "$WORK/ca3"
}

words() { "$hoody" complete -- "$@" | cut -f 1 | tr '\n' ' '; }

test_complete() {
	tap_like cli_complete_commands "$(words '')" '^status containers projects .*syscalls .*logs .*ca upgrade module version help complete '
	tap_is cli_complete_second_word "$(words containers s)" 'show start stop '
	tap_is cli_complete_options "$(words containers register --a)" '--address '
	tap_is cli_complete_values "$(words containers list --state '')" 'running stopped '
	tap_is cli_complete_ids "$(words containers show ${A:0:22})" "$C $A "
	tap_is cli_complete_after_global_option "$(words --json containers l)" 'list '
	tap_is cli_complete_without_agent_is_silent "$(HOODY_API=unix:/nonexistent "$hoody" complete -- containers show '' 2>&1)" ''
	# shellcheck disable=SC1091
	tap_is cli_bash_completion "$(PATH=$HOODY_BUILD/bin:$PATH bash -c ". '$TOP/tools/packaging/completion/hoody.bash'
		COMP_WORDS=(hoody containers st) COMP_CWORD=2; _hoody; echo \${COMPREPLY[*]}")" 'start stop'
}

tap_plan 179
serve unix "$WORK/api.sock" "$log"
tap_wait 30 test -S "$WORK/api.sock" || tap_bail "the stand-in for the agent does not start"
test_usage
test_containers
test_errors
test_trust
test_status
test_posture
test_terminal
test_https
test_ca
test_complete
tap_done
