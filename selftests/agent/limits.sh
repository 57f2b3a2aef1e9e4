#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Limits end to end, without the module: rates of containers, services and clients
# over all three protocols and both threads; connections of a client; the worker's
# memory; and that what a token or a permission let in ends with it. Buckets that are
# looked at here fill by one an hour: what passes does not depend on the machine.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

agent_need namespaces

PROJECT_ID=aaaaaaaaaaaaaaaaaaaaaaaa
CONTAINER_ID=bbbbbbbbbbbbbbbbbbbbbbbb
BASE=node-us.containers.example.com
ONE=203.0.113.50 OTHER=198.51.100.7 THIRD=192.0.2.9
NETNS=hoody-limits-$$
export PLAIN=8091 TLS=8454 SECRET=a-secret-of-at-least-32-bytes-length
export HOST=$PROJECT_ID-$CONTAINER_ID-files-1.$BASE

tap_plan 59

netns_container $NETNS veth-l 10.81.0.1/24 10.81.0.2/24
for address in $ONE/32 $OTHER/32 $THIRD/32 2001:db8:1:1::1/128 2001:db8:1:1::2/128 2001:db8:1:2::1/128; do
	ip addr add $address dev lo
	tap_cleanup "ip addr del $address dev lo"
done
ip netns exec $NETNS python3 "$HERE/limits_app.py" 10.81.0.2 8000 2>"$WORK/app.log" &
tap_cleanup "kill $!"
tap_up 10.81.0.2/8000 "$WORK/app.log" ip netns exec $NETNS

self_signed "$WORK/server" "DNS:*.$BASE"
config() { # LINE...: of the section limits
	cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $SOCKET
	threads = 2
	real_ip = off
	[listen]
	tls = 0.0.0.0:$TLS, [::]:$TLS
	plain = 0.0.0.0:$PLAIN, [::]:$PLAIN
	[tls]
	certificate = $WORK/server.crt
	key = $WORK/server.key
	[services]
	files = 8000
	terminal = 8000
	[limits]
	CONF
	printf '%s\n' "$@" >>"$WORK/agent.conf"
}
reloads() { grep -c 'reloaded:' "$WORK/log"; }
reload() { # LINE...: as config(); the answer to the next change says that all workers have it
	local before
	before=$(reloads)
	config "$@"
	kill -HUP "$AGENT_PID"
	tap_wait 30 eval '[ "$(reloads)" -gt '"$before"' ]' && hoody proxy limits show -c $CONTAINER_ID >/dev/null
}
config ""
start_agent
hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --address 10.81.0.2 >/dev/null &&
	hoody containers start $CONTAINER_ID >/dev/null || tap_bail "the container cannot be registered"

# get FROM SERVICE [OPTION...]: version and status; the body in $WORK/page, the head in $WORK/head.
get() {
	local from=$1 host=$PROJECT_ID-$CONTAINER_ID-$2-1.$BASE to=127.0.0.1
	shift 2
	case $from in *:*) to='[::1]' ;; esac
	curl -s --max-time 60 --cacert "$WORK/server.crt" --interface "$from" -o "$WORK/page" -D "$WORK/head" \
		-w '%{http_version} %{http_code}' --resolve "$host:$TLS:$to" "$@" "https://$host:$TLS/"
}
statuses() { # FROM SERVICE N [OPTION...]: how many of N connections get which status
	local from=$1 service=$2 count=$3 n
	shift 3
	for ((n = 0; n < count; n++)); do get "$from" "$service" "$@"; echo; done | cut -d ' ' -f 2 | sort | uniq -c | xargs
}
limits() { hoody proxy limits "$@" -c $CONTAINER_ID; }
counter() { hoody status --json | jq ".worker.counters.$1"; }
retry_after() { tr -d '\r' <"$WORK/head" | sed -n 's/^[Rr]etry-[Aa]fter: //p'; }
api() { # METHOD PATH [BODY]: the status; the answer in $WORK/answer
	curl -s --unix-socket "$SOCKET" -X "$1" -H 'Content-Type: application/json' ${3:+--data-binary "$3"} \
		-o "$WORK/answer" -w '%{http_code}' "http://agent$2"
}
of_container=/api/v1/containers/$CONTAINER_ID/proxy/limits

# ---- one bucket for all, whatever thread and protocol ----
tap_run set_total limits set --requests 1/h --burst 12
tap_is shown "$(limits show --json | jq -c .limits)" '[{"service":null,"per":"all","requests":"1/h","burst":12}]'
for n in 1 2 3 4; do
	for version in --http1.1 --http2 --http3-only; do
		get $ONE files $version && echo
		get $OTHER terminal $version && echo
	done
done | sort | uniq -c | xargs >"$WORK/total"
tap_is total_over_threads_and_protocols "$(tr ' ' '\n' <"$WORK/total" | awk 'NR % 3 == 1 { n = $1 } NR % 3 == 0 { s[$1] += n } END { print s[200], s[429] }')" '12 12'
tap_is total_http1 "$(get $ONE files --http1.1)" '1.1 429'
tap_run retry_after_http1 test "$(retry_after)" -gt 1 -a "$(retry_after)" -le 3600
tap_is total_http2 "$(get $ONE files --http2)" '2 429'
tap_run retry_after_http2 test "$(retry_after)" -gt 1 -a "$(retry_after)" -le 3600
tap_is total_http3 "$(get $ONE files --http3-only)" '3 429'
tap_run retry_after_http3 test "$(retry_after)" -gt 1 -a "$(retry_after)" -le 3600
tap_is refusal_as_json "$(get $ONE files -H 'Accept: application/json'; jq -r .error.code "$WORK/page")" '2 429rate_limited'
tap_is refusals_counted "$(counter refused_rate)" 16
recorded() {
	[ "$(hoody logs query -c $CONTAINER_ID --status 429 --json 2>/dev/null | jq -s '[.[] | if type == "array" then .[] else . end] | length')" = 16 ]
}
tap_run refusals_recorded tap_wait 30 recorded
tap_like record_names_the_rule "$(hoody logs query -c $CONTAINER_ID --status 429 --json)" '1/h burst 12'
tap_like record_names_the_reason "$(hoody logs query -c $CONTAINER_ID --status 429 --json)" 'refused_limit'

# ---- a change holds when it is answered ----
tap_run delete_total limits delete
tap_is deleted_lets_all_in "$(statuses $ONE files 20)" '20 200'

# ---- each client has its own ----
tap_run set_client limits set --requests 1/h --burst 3 --per client
tap_is client_has_its_burst "$(statuses $ONE files 5)" '3 200 2 429'
tap_is other_client_has_another "$(statuses $OTHER files 5)" '3 200 2 429'
tap_is ipv6_is_limited "$(statuses 2001:db8:1:1::1 files 4)" '3 200 1 429'
tap_is ipv6_of_one_network_is_one_client "$(statuses 2001:db8:1:1::2 files 2)" '2 429'
tap_is ipv6_of_another_is_another "$(statuses 2001:db8:1:2::1 files 2)" '2 200'
tap_run delete_client limits delete --per client

# ---- of one service ----
tap_run set_service limits set --service terminal --requests 1/d --burst 1 --per client
tap_is service_is_limited "$(statuses $ONE terminal 3)" '1 200 2 429'
tap_is other_service_is_not "$(statuses $ONE files 5)" '5 200'
tap_run one_less limits delete --service terminal --per client
tap_run set_both limits set --requests 1/h --burst 4 --per client
limits set --service terminal --requests 1/d --burst 1 --per client >/dev/null
tap_is two_rules "$(limits show | awk 'NR > 1 { print $1, $2, $3, $4 }' | xargs)" '* client 1/h 4 terminal client 1/d 1'
# What the second refuses has taken nothing from the first.
tap_is both_hold "$(statuses $THIRD terminal 10)" '1 200 9 429'
tap_is refused_takes_nothing_else "$(statuses $THIRD files 6)" '3 200 3 429'
# A smaller bucket is no fuller than it can be: not 12 hours of waiting, but one.
limits set --requests 1/h --burst 1 >/dev/null
tap_is smaller_bucket "$(get $OTHER terminal)" '2 429'
tap_run smaller_bucket_waits_less test "$(retry_after)" -le 3600

# ---- it fills again ----
tap_is replace_all "$(api PUT $of_container '{"limits":[{"requests":"2/s","burst":1,"service":"files"}]}')" 200
get $ONE files >/dev/null
filled() { [ "$(get $ONE files)" = '2 200' ]; }
tap_run fills_again tap_wait 30 filled
tap_is burst_is_the_rate_otherwise "$(api POST $of_container '{"requests":"7/m","per":"client"}') $(jq -c '.data.limits[1].burst' "$WORK/answer")" '200 7'

# ---- what is not taken ----
tap_is bad_rate "$(api POST $of_container '{"requests":"fast"}') $(jq -r .error.field "$WORK/answer")" '422 requests'
tap_is bad_burst "$(api POST $of_container '{"requests":"1/d","burst":1000}') $(jq -r .error.field "$WORK/answer")" '422 burst'
tap_is unknown_field "$(api POST $of_container '{"requests":"1/d","brust":1}') $(jq -r .error.code "$WORK/answer")" '422 unknown_field'
tap_is two_of_a_kind "$(api PUT $of_container '{"limits":[{"requests":"1/d"},{"requests":"2/d"}]}') $(jq -r .error.field "$WORK/answer")" '422 service'
tap_refused no_such_rule limits delete --service nothing
tap_is nothing_has_changed "$(limits show --json | jq -c '[.limits[].requests]')" '["2/s","7/m"]'
tap_is unknown_container "$(api GET /api/v1/containers/cccccccccccccccccccccccc/proxy/limits)" 404

# ---- restart ----
limits set --requests 1/h --burst 2 >/dev/null
stop_agent
start_agent
tap_is restart_keeps_rules "$(limits show --json | jq -c '[.limits[].requests]')" '["2/s","7/m","1/h"]'
tap_is and_they_hold "$(statuses $OTHER terminal 3)" '2 200 1 429'
api PUT $of_container '{"limits":[]}' >/dev/null

# ---- permissions: strangers do not use up what is for all; tokens and permissions end ----
hoody containers proxy permissions replace -c $CONTAINER_ID --default deny \
	--groups api='{"type":"jwt","secret":"'$SECRET'","algorithms":["HS256"],"leeway":0}' \
	--permissions api='{"files":true}' >/dev/null || tap_not_ok permissions
limits set --requests 1/h --burst 2 >/dev/null
tap_is strangers_get_401 "$(statuses $ONE files 5)" '5 401'
limits delete >/dev/null
client() { PYTHONDONTWRITEBYTECODE=1 timeout 300 python3 "$HERE/limits_client.py" "$@"; }
tap_run expired_token_ends_what_it_let_in client expiry
tap_is expiry_counted "$(counter exchanges_expired)" 6
client withdrawn >"$WORK/open" 2>&1 &
pid=$!
tap_need 60 grep -q open "$WORK/open"
hoody containers proxy permissions patch -c $CONTAINER_ID --permissions api=null >/dev/null
wait $pid
tap_is withdrawn_permission_ends_what_it_let_in "$? $(cat "$WORK/open")" '0 open'
hoody containers proxy permissions replace -c $CONTAINER_ID --default allow >/dev/null

# ---- connections of a client, and new ones ----
tap_run reload_connections reload 'connections_per_client_max = 8' 'handshakes_per_client = 0'
tap_is connections_of_a_client "$(client connections $ONE 20)" 8
tap_is connections_counted "$(counter connections_refused_client)" 12
free() { [ "$(client connections $ONE 8)" = 8 ]; }
tap_run closed_ones_are_free_again tap_wait 60 free
tap_run reload_handshakes reload 'connections_per_client_max = 0' 'handshakes_per_client = 1'
tap_run handshakes_of_a_client test "$(client connections $ONE 200)" -lt 200
tap_run handshakes_counted test "$(counter connections_refused_rate)" -gt 0

# ---- memory ----
client full >"$WORK/full" 2>&1 &
pid=$!
tap_need 60 grep -q open "$WORK/full"
reload 'memory_max = 1' 'handshakes_per_client = 0' || tap_note "no reload"
tap_need 60 grep -q refused "$WORK/full"
reload 'memory_max = 0' 'handshakes_per_client = 0' || tap_note "no reload"
wait $pid
tap_is full_worker_keeps_what_it_has "$? $(xargs <"$WORK/full")" '0 open refused'
tap_run full_is_counted test "$(counter refused_memory)" -ge 1

# ---- the end ----
limits set --requests 1/h >/dev/null
hoody containers delete $CONTAINER_ID >/dev/null
stop_agent
tap_is deleted_container_has_no_rules "$(sqlite3 "$WORK/state/state.db" 'SELECT count(*) FROM documents WHERE kind = 8')" 0
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 20 "$WORK/log")"
tap_done
