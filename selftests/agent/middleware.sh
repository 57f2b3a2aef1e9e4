#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Middlewares end to end, without the module: a service of one container is routed
# through a service of another (in Python, then in node), which changes, refuses and
# misuses what it is given. Both containers are network namespaces.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

agent_need namespaces

PROJECT_ID=aaaaaaaaaaaaaaaaaaaaaaaa
APP_ID=bbbbbbbbbbbbbbbbbbbbbbbb MIDDLE_ID=cccccccccccccccccccccccc
BASE=node-us.containers.example.com
CLIENT=203.0.113.50
export TLS=8455
export HOST=$PROJECT_ID-$APP_ID-http-8000.$BASE

tap_plan 62

# ---- two containers and a client's address ----
netns_container app-$$ veth-app 10.82.1.1/24 10.82.1.2/24
netns_container mid-$$ veth-mid 10.82.2.1/24 10.82.2.2/24
ip addr add $CLIENT/32 dev lo
tap_cleanup "ip addr del $CLIENT/32 dev lo"

cat >"$WORK/app.js" <<-'JS'
const http = require('http'), fs = require('fs');
const server = http.createServer((request, response) => {
	let bytes = 0;
	fs.appendFileSync(process.argv[2], request.url + '\n');
	request.on('data', d => { bytes += d.length; });
	request.on('end', () => response.end(JSON.stringify({ method: request.method, url: request.url, bytes, headers: request.headers }) + '\n'));
});
server.on('upgrade', (request, socket) => {
	socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
	socket.on('error', () => {});
	socket.pipe(socket);
});
server.listen(8000, '10.82.1.2');
server.on('error', () => process.exit(1));
JS
: >"$WORK/asked"
: >"$WORK/record"
: >"$WORK/record2"
start_in() { # NAME ADDRESS PORT CMD...: in the container, until the test ends; sets STARTED
	local name=$1 address=$2 port=$3
	shift 3
	ip netns exec "$name-$$" "$@" 2>>"$WORK/$name.log" &
	STARTED=$!
	tap_cleanup "kill $STARTED"
	tap_up "$address/$port" "$WORK/$name.log" ip netns exec "$name-$$"
}
start_in app 10.82.1.2 8000 node "$WORK/app.js" "$WORK/asked"
start_in mid 10.82.2.2 9000 python3 "$HERE/middleware_app.py" 10.82.2.2 9000 10.82.2.1 $TLS "$WORK/record"
python_app=$STARTED
start_in mid 10.82.2.2 9002 python3 "$HERE/middleware_app.py" 10.82.2.2 9002 10.82.2.1 $TLS "$WORK/record2"
start_in mid 10.82.2.2 9001 node "$HERE/middleware.js" 10.82.2.2 9001 10.82.2.1 $TLS

# ---- the agent ----
self_signed "$WORK/server" "DNS:*.$BASE"
cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $SOCKET
	threads = 2
	real_ip = off
	drain_timeout = 5m
	[listen]
	tls = 0.0.0.0:$TLS
	[tls]
	certificate = $WORK/server.crt
	key = $WORK/server.key
	[services]
	exec = 9000
CONF
start_agent
for id in $APP_ID:10.82.1.2 $MIDDLE_ID:10.82.2.2; do
	hoody containers register --id "${id%:*}" --project $PROJECT_ID --address "${id#*:}" >/dev/null &&
		hoody containers start "${id%:*}" >/dev/null || tap_bail "a container cannot be registered"
done

get() { # PATH [OPTION...]: the status; the body in $WORK/page, the head in $WORK/head
	local path=$1
	shift
	curl -s --max-time 60 --cacert "$WORK/server.crt" --interface $CLIENT -o "$WORK/page" -D "$WORK/head" \
		-w '%{http_code}' --resolve "$HOST:$TLS:127.0.0.1" "$@" "https://$HOST:$TLS$path"
}
seen() { jq -r "$1" "$WORK/page"; }
asked() { grep -cFx "$1" "$WORK/asked"; }
counter() { hoody status --json | jq ".worker.counters.$1"; }
services() { hoody proxy services "$@"; }
through() { services set -c $APP_ID --service http --instance 8000 --middleware "$1"; }

# ---- there and back ----
tap_is straight "$(get /straight) $(seen '.headers["x-changed"]')" '200 null'
tap_run set_middleware through $MIDDLE_ID-exec-1
tap_is shown "$(services show -c $APP_ID --json | jq -c .services)" \
	'[{"service":"http","instance":8000,"protocol":"http1","middleware":{"container":"'$MIDDLE_ID'","service":"exec","instance":1}}]'
tap_is passes "$(get '/through?a=b%20c') $(seen .url)" '200 /through?a=b%20c'
tap_is request_was_changed "$(seen '.headers["x-changed"]')" 'by the middleware'
tap_is response_was_changed "$(tr -d '\r' <"$WORK/head" | sed -n 's/^X-Middleware: //Ip')" 'was here'
tap_is app_sees_the_client "$(seen '.headers["x-forwarded-for"]')" $CLIENT
tap_is app_sees_its_name "$(seen .headers.host)" "$HOST:$TLS"
tap_is app_sees_no_pass "$(seen '.headers["x-hoody-pass"]')" null
tap_is app_is_asked_once "$(asked '/through?a=b%20c')" 1
tap_is body_passes "$(get /body --data-binary @"$HERE/middleware.sh" >/dev/null; seen '"\(.method) \(.bytes)"')" "POST $(wc -c <"$HERE/middleware.sh")"
for version in --http1.1 --http2; do
	tap_is "over${version#-}" "$(get /versions $version) $(seen '.headers["x-changed"]')" '200 by the middleware'
done

# ---- what it may not ----
tap_is may_refuse "$(get /refused -H 'X-Do: refuse') $(asked /refused)" '418 0'
before=$(counter refused_pass)
tap_is a_pass_is_good_once "$(get /twice -H 'X-Do: twice') $(asked /twice)" '403 1'
tap_is a_pass_is_for_one_service "$(get /other -H 'X-Do: other') $(asked /other)" '403 0'
get /kept -H 'X-Do: keep' >/dev/null
tap_like a_pass_is_a_word "$(cat "$WORK/page")" '^[0-9a-f]{104}$'
tap_is a_pass_ends_with_its_request "$(get /late -H "X-Hoody-Pass: $(cat "$WORK/page")") $(asked /late)" '403 0'
tap_is a_made_up_pass "$(get /forged -H "X-Hoody-Pass: $(printf '%0104d' 0)") $(asked /forged)" '403 0'
tap_is two_passes "$(get /forged -H 'X-Hoody-Pass: a' -H 'X-Hoody-Pass: b') $(asked /forged)" '403 0'
tap_is refusals_counted "$(($(counter refused_pass) - before))" 5
tap_is a_loop_is_refused "$(get /loop -H 'X-Do: loop') $(asked /loop)" '508 0'
tap_is a_loop_is_counted "$(counter refused_loop)" 1
tap_is middleware_saw_the_loop_once "$(grep -c ' /loop ' "$WORK/record")" 1

# ---- one behind the other: http-9002, which exec-1 stands before ----
tap_run chain_of_two eval "through $MIDDLE_ID-http-9002 && services set -c $MIDDLE_ID --service http --instance 9002 --middleware $MIDDLE_ID-exec-1"
before=$(counter middleware_passed)
tap_is chain_passes "$(get /chain) $(asked /chain) $(seen '.headers["x-hoody-pass"]')" '200 1 null'
tap_like first_of_the_chain_is_asked_first "$(grep ' /chain ' "$WORK/record")" ' [0-9a-f]{104} -$'
tap_like second_gets_what_the_first_made_of_it "$(grep ' /chain ' "$WORK/record2")" ' [0-9a-f]{104} by the middleware$'
tap_is each_with_a_pass_of_its_own "$(cat "$WORK/record" "$WORK/record2" | grep ' /chain ' | grep -oE '[0-9a-f]{104}' | sort -u | wc -l) $(($(counter middleware_passed) - before))" '2 2'
tap_is first_may_refuse "$(get /chain_refused -H 'X-Do: refuse') $(grep -c ' /chain_refused ' "$WORK/record2") $(asked /chain_refused)" '418 0 0'
tap_refused chain_must_not_lead_back services set -c $MIDDLE_ID --service exec --instance 1 --middleware $APP_ID-http-8000
longer() { # COUNT: one middleware before the other, from http-9100 on
	local i
	for ((i = 0; i < $1; i++)); do
		services set -c $MIDDLE_ID --service http --instance $((9100 + i)) --middleware $MIDDLE_ID-http-$((9101 + i)) || return
	done
}
tap_run chain_of_eight longer 8
tap_refused chain_of_nine through $MIDDLE_ID-http-9100
tap_refused chain_made_longer_from_behind services set -c $MIDDLE_ID --service http --instance 9108 --middleware $MIDDLE_ID-http-9109
services delete -c $MIDDLE_ID --service http --instance 9002 >/dev/null
through $MIDDLE_ID-exec-1 >/dev/null

# ---- permissions are asked once, before ----
hoody containers proxy permissions replace -c $APP_ID --groups 'ci={"type":"token","value":"the-secret-token"}' \
	--permissions 'ci={"http":true}' --default deny >/dev/null || tap_bail 'no permissions'
tap_is denied_before_the_middleware "$(get /denied) $(grep -c ' /denied ' "$WORK/record")" '401 0'
tap_is allowed_and_passed "$(get /allowed -H 'Authorization: Bearer the-secret-token') $(asked /allowed)" '200 1'
tap_is credentials_stay_here "$(seen .headers.authorization)" null
recorded() { # PATH: has both records
	[ "$(logged "$1" | wc -l)" = 2 ]
}
logged() { hoody logs query -c $APP_ID --json | jq -c '(if type == "array" then .[] else . end) | (.records // [.])[] | select(.path == "'"$1"'")'; }
tap_run both_requests_recorded tap_wait 30 recorded /allowed
tap_is record_of_the_client "$(logged /allowed | jq -r 'select(.reason != "passed") | "\(.group) \(.status)"')" 'ci 200'
tap_is record_of_the_pass "$(logged /allowed | jq -r 'select(.reason == "passed") | "\(.group) \(.status) \(.client)"' | cut -d: -f1)" "$MIDDLE_ID 200 $CLIENT"
hoody containers proxy permissions replace -c $APP_ID --default allow >/dev/null

# ---- workers come and go while requests are at the middleware ----
worker() { hoody status --json | jq -r .worker.pid; }
wait_in_middleware() { # PATH: in the background; its status in $WORK/status.PATH
	get "$1" --max-time 200 -H 'X-Do: wait' >"$WORK/status.${1#/}" &
	waiting+=($!)
	tap_wait 60 grep -q " $1 " "$WORK/record" || tap_note "$1 is not at the middleware"
}
waiting=()
another() { local now; now=$(worker 2>/dev/null) && [ -n "$now" ] && [ "$now" != null ] && [ "$now" != "$before" ] && serving; }
wait_in_middleware /upgraded
before=$(worker)
tap_run upgraded_meanwhile hoody upgrade
tap_run another_worker_serves tap_wait 60 another
wait_in_middleware /reloaded
before=$(worker)
printf '[limits]\nconnections_max = 4096\n' >>"$WORK/agent.conf"
kill -HUP $AGENT_PID
tap_run replaced_by_a_reload tap_wait 60 another
: >"$WORK/record.go"
wait "${waiting[@]}"
tap_is pass_outlives_an_upgrade "$(cat "$WORK/status.upgraded") $(asked /upgraded)" '200 1'
tap_is pass_outlives_a_reload "$(cat "$WORK/status.reloaded") $(asked /reloaded)" '200 1'
rm "$WORK/record.go"
wait_in_middleware /crashed
before=$(worker) refused=$(counter refused_pass)
kill -KILL "$before"
tap_wait 60 another || tap_note 'no worker after the crash'
: >"$WORK/record.go"
refused_one() { [ "$(counter refused_pass)" = $((refused + 1)) ]; }
tap_run pass_ends_with_a_crash tap_wait 60 refused_one
tap_is a_crash_lets_nothing_through "$(asked /crashed)" 0

# ---- nothing goes round it ----
hoody containers stop $MIDDLE_ID >/dev/null
tap_is stopped_is_refused "$(get /stopped) $(asked /stopped)" '503 0'
hoody containers start $MIDDLE_ID >/dev/null
tap_is started_passes "$(get /started)" 200
kill "$python_app"
wait "$python_app" 2>/dev/null
tap_is dead_is_refused "$(get /dead) $(asked /dead)" '502 0'

# ---- node: streams and upgrades ----
tap_run set_node through $MIDDLE_ID-http-9001
head -c 30000000 /dev/zero >"$WORK/big"
tap_is stream_passes "$(get /big -T "$WORK/big" -X POST) $(seen .bytes)" '200 30000000'
cat >"$WORK/upgrade.py" <<-'PY'
import os, socket, ssl
context = ssl._create_unverified_context()
stream = context.wrap_socket(socket.create_connection(('127.0.0.1', int(os.environ['TLS']))), server_hostname=os.environ['HOST'])
stream.settimeout(60)
stream.sendall(('GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n' % os.environ['HOST']).encode())
data = b''
while b'\r\n\r\n' not in data:
    data += stream.recv(65536)
print(data.split(b' ')[1].decode(), end=' ')
data, sent = data.split(b'\r\n\r\n', 1)[1], os.urandom(100000)
stream.sendall(sent)
while len(data) < len(sent):
    data += stream.recv(65536)
print(data == sent)
PY
tap_is upgrade_passes "$(timeout 60 python3 "$WORK/upgrade.py" 2>&1)" '101 True'

# ---- what cannot be meant ----
tap_refused not_through_itself through $APP_ID-http-8000
tap_refused not_through_nothing through dddddddddddddddddddddddd-http-1
tap_refused not_back_to_it services set -c $MIDDLE_ID --service http --instance 9001 --middleware $APP_ID-http-8000
tap_run another_service_may services set -c $MIDDLE_ID --service http --instance 9005 --middleware $APP_ID-http-8000
tap_refused not_to_what_leads_here through $MIDDLE_ID-http-9005
tap_is refused_changes_nothing "$(services show -c $APP_ID --json | jq -c '.services[].middleware.instance')" 9001

# ---- it is kept, and goes ----
kill $AGENT_PID
wait $AGENT_PID
start_agent
tap_is kept_over_a_restart "$(services show -c $APP_ID --json | jq -c '.services[].middleware.instance') $(get /again) $(counter middleware_passed)" '9001 200 1'
tap_run delete_middleware services delete -c $APP_ID --service http --instance 8000
tap_is straight_again "$(get /straight) $(counter middleware_passed)" '200 1'
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$WORK/log") $(tail -n 20 "$WORK/mid.log")"
tap_done
