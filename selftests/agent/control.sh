#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The control process as an operator meets it: every call of its API, refusals
# that name the field, what it and its worker may do, crashes of either, reload,
# drain, a damaged database. Runs without the module, in a network namespace of
# its own, with one container that is a namespace with a small web server.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces

SOCKET=$WORK/run/control.sock
export HOODY_API=unix:$SOCKET
STATE=$WORK/state
CONFIG=$WORK/agent.conf
PROJECT=aaaaaaaaaaaaaaaaaaaaaaaa
ID=bbbbbbbbbbbbbbbbbbbbbbbb
BASE=node-us.containers.example.com
NETNS=hoody-control-$$
CGROUPS=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
CGROUP=hoody-control-test-$$

tap_plan 181

# --- a container -------------------------------------------------------------
netns_container $NETNS veth-c 10.77.0.1/24 10.77.0.2/24
cat >"$WORK/app.py" <<'APP'
import http.server, os, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"01234")
        self.wfile.flush()
        if self.path == "/hold":
            while True:
                time.sleep(1)
        if self.path.startswith("/until"):
            while not os.path.exists(os.path.dirname(__file__) + "/go"):
                time.sleep(0.02)
        self.wfile.write(b"56789")
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("10.77.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
APP_PID=$!
tap_cleanup "kill $APP_PID"
tap_up 10.77.0.2/8000 "$WORK/app.log"

# --- helpers -----------------------------------------------------------------
config() { # [SED EXPRESSION]...: writes the configuration, edited
	cat >"$CONFIG" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $STATE
control_socket = $SOCKET
threads = 1
real_ip = on
cgroup = /$CGROUP
drain_timeout = 20s
[listen]
tls = 127.0.0.1:8443
plain = 127.0.0.1:8080
[tls]
certificate = $WORK/first.crt
key = $WORK/first.key
[services]
mine = 8000
CONF
	local expression
	for expression in "$@"; do sed -i "$expression" "$CONFIG"; done
}

# api METHOD PATH [JSON]: the body goes to standard output, the status to $WORK/code.
api() {
	local data=()
	rm -f "$WORK/body"
	[ $# -lt 3 ] || data=(-H 'Content-Type: application/json' --data-binary "$3")
	curl -s --max-time 30 --unix-socket "$SOCKET" -X "$1" "${data[@]}" -o "$WORK/body" \
		-w '%{http_code}' "http://agent$2" >"$WORK/code"
	cat "$WORK/body" 2>/dev/null
}

# api_is NAME STATUS JQ METHOD PATH [JSON]: status, and a jq filter that is true.
api_is() {
	local name=$1 status=$2 filter=$3 body
	shift 3
	body=$(api "$@")
	if [ "$(cat "$WORK/code")" = "$status" ] && jq -e "$filter" >/dev/null 2>&1 <<<"$body"; then
		tap_ok "$name"
	else
		tap_not_ok "$name" "wanted $status and $filter, got $(cat "$WORK/code"): $body"
	fi
}

# refuses FIELD JSON: 422 that names FIELD, from a registration.
refuses() { api_is "api_refuses_${1//[^a-zA-Z0-9]/_}: $2" 422 ".error.field == \"$1\" and (.error.message | length > 5)" POST /api/v1/containers "$2"; }

# fetch PATH [HOST]: the status of a request through the plain listener; the body to $WORK/page.
fetch() {
	curl -s --max-time 20 -o "$WORK/page" -w '%{http_code}' \
		-H "Host: ${2:-$PROJECT-$ID-http-8000.$BASE}" "http://127.0.0.1:8080$1"
}
served() { [ "$(fetch "$1" "${3:-}")" = "$2" ]; }

worker_pid() { api GET /api/v1/status | jq -r .data.worker.pid; }
gone() { ! kill -0 "$1" 2>/dev/null; }
field() { awk -v f="$2:" '$1 == f { $1 = ""; sub(/^ /, ""); gsub(/\t/, " "); print }' "/proc/$1/status"; }
logged() { grep -qE -- "$1" "$WORK/log"; }
tap_cleanup 'rmdir "$CGROUPS/$CGROUP"'

self_signed "$WORK/first" "DNS:*.$BASE"
self_signed "$WORK/second" "DNS:*.$BASE"
config

# --- command line ------------------------------------------------------------
tap_like "agent_version" "$("$AGENT" --version)" '^hoody-agent [0-9]'
tap_like "agent_help_names_its_options" "$("$AGENT" --help)" '--check'
tap_refused "agent_refuses_unknown_option" "$AGENT" --frobnicate
tap_refused "agent_refuses_argument" "$AGENT" start
tap_like "agent_check_good" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'good: node node-us'
config 's/^threads.*/threads = x/'
tap_like "agent_check_names_line_and_key" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'agent.conf:6: \[agent\] threads'
tap_refused "agent_check_bad_status" "$AGENT" --config "$CONFIG" --check
config "s/first.key/second.key/"
tap_like "agent_check_key_of_another_certificate" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'is not the key of the first certificate'
config "s,$WORK/first.crt,/nonexistent.pem,"
tap_like "agent_check_missing_certificate" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'nonexistent.pem cannot be read'
config 's/^node = .*/node = node-eu/'
tap_like "agent_check_warns_of_other_names" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'warning: .*not valid for \*\.node-eu'
config '/^real_ip/a worker_user = no-such-user'
tap_like "agent_check_missing_user" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'worker_user: there is no user no-such-user'
config '/^real_ip/a worker_user = root'
tap_like "agent_check_refuses_root_worker" "$("$AGENT" --config "$CONFIG" --check 2>&1)" 'worker_user: root is root'

# --- start, and what the processes may do --------------------------------------
config
NOTIFY=$WORK/notify
python3 - "$NOTIFY" >"$WORK/notified" <<'PY' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
PY
tap_cleanup "kill $!"
tap_wait 30 test -S "$NOTIFY" || tap_bail "no notification socket"
export NOTIFY_SOCKET=$NOTIFY
start_agent
unset NOTIFY_SOCKET
WORKER=$(worker_pid)
tap_run "agent_tells_ready" tap_wait 30 grep -q READY=1 "$WORK/notified"
tap_is "control_runs_as_root" "$(field $AGENT_PID Uid)" "0 0 0 0"
tap_is "control_keeps_only_its_capabilities" "$(field $AGENT_PID CapEff) $(field $AGENT_PID CapPrm)" "000000c0000015e4 000000c0000015e4"
tap_is "control_bounds_its_capabilities" "$(field $AGENT_PID CapBnd)" "000000c0000015e4"
tap_is "control_no_new_privs" "$(field $AGENT_PID NoNewPrivs)" 1
user=$(id -u hoody)
tap_is "worker_has_its_own_user" "$(field "$WORKER" Uid)" "$user $user $user $user"
tap_is "worker_has_no_groups" "$(field "$WORKER" Groups | tr -d ' ')" ""
tap_is "worker_has_no_capability" "$(for set in CapInh CapPrm CapEff CapBnd CapAmb; do field "$WORKER" $set; done | sort -u)" 0000000000000000
tap_is "worker_no_new_privs" "$(field "$WORKER" NoNewPrivs)" 1
tap_is "worker_seccomp_filter" "$(field "$WORKER" Seccomp)" 2
tap_is "worker_name" "$(field "$WORKER" Name)" hoody-worker
tap_is "worker_environment_is_clean" "$(tr '\0' '\n' <"/proc/$WORKER/environ" | cut -d= -f1 | sort | tr '\n' ' ')" "LC_ALL "
tap_is "worker_holds_no_file_of_the_state" "$(readlink "/proc/$WORKER/fd/"* | grep -cE "state|run/control")" 0
tap_is "worker_shares_the_agents_cgroup" "$(grep ^0:: "/proc/$WORKER/cgroup")" "0::/$CGROUP"
tap_is "control_socket_mode" "$(stat -c '%a %U' "$SOCKET")" "600 root"
tap_is "state_directory_mode" "$(stat -c %a "$STATE")" 700
tap_is "database_mode" "$(stat -c %a "$STATE/state.db")" 600
api_is "status_shape" 200 '.data | .version and .protocol == 1 and .node == "node-us" and
	.base_domain == "containers.example.com" and .uptime_seconds >= 0 and .generation == 0 and
	.containers == {"registered": 0, "running": 0, "tombstones": 0} and .worker.threads == 1 and
	.worker.restarts == 0 and .worker.image_sequence >= 1 and (.worker.counters | length > 30)' GET /api/v1/status
api_is "status_says_that_the_module_is_missing" 200 '.data.real_ip | .state == "unavailable" and (.reason | test("modprobe hoody"))' GET /api/v1/status
tap_run "log_says_how_to_get_the_module" logged 'real IP is unavailable.*modprobe hoody'
api_is "status_listeners" 200 '.data.listeners == [{"address":"127.0.0.1:8443","tls":true,"quic":false},{"address":"127.0.0.1:8080","tls":false,"quic":false},
	{"address":"127.0.0.1:8443","tls":true,"quic":true}]' GET /api/v1/status

# --- one container's life --------------------------------------------------------
api_is "list_is_empty" 200 '.data == [] and .next_cursor == null' GET /api/v1/containers
api_is "show_unknown" 404 '.error.code == "not_found"' GET /api/v1/containers/$ID
tap_is "serve_unknown_is_503" "$(fetch /)" 503
api_is "register" 201 ".data | .id == \"$ID\" and .project == \"$PROJECT\" and .state == \"stopped\" and .name == \"web\" and
	.addresses == [\"10.77.0.2\", \"fd77::2\"] and .ports == {\"terminal\": 7681} and .generation == 1 and .gateway == false and
	.realm == null and .cgroup == null and .netdev == null and .real_ip == \"unavailable\" and
	(.created_at | test(\"^20[0-9-]+T[0-9:]+Z\$\")) and .created_at == .updated_at" \
	POST /api/v1/containers "{\"id\":\"$ID\",\"project\":\"$PROJECT\",\"name\":\"web\",\"addresses\":[\"10.77.0.2\",\"fd77::2\"],\"ports\":{\"terminal\":7681}}"
api_is "show" 200 '.data.name == "web"' GET /api/v1/containers/$ID
api_is "show_id_in_upper_case" 200 '.data.name == "web"' GET /api/v1/containers/${ID^^}
tap_is "serve_stopped_is_503" "$(fetch /)" 503
api_is "start" 200 '.data.state == "running" and .data.generation == 2' POST /api/v1/containers/$ID/start
tap_is "serve_started" "$(fetch /) $(cat "$WORK/page")" "200 0123456789"
tap_is "serve_default_service" "$(fetch / $PROJECT-$ID-mine-1.$BASE)" 200
api_is "register_again_keeps_the_state" 200 '.data.state == "running" and .data.name == "web two" and (.data.addresses | length) == 2' \
	POST /api/v1/containers "{\"id\":\"$ID\",\"project\":\"$PROJECT\",\"name\":\"web two\"}"
api_is "patch" 200 '.data | .name == null and .realm == "acme" and .gateway == true and .ports == {"other": 8000}' \
	PATCH /api/v1/containers/$ID '{"name":null,"realm":"acme","gateway":true,"ports":{"other":8000}}'
tap_is "serve_patched_port_at_once" "$(fetch / $PROJECT-$ID-other-1.$BASE)" 200
tap_is "serve_removed_port_goes_to_the_default" "$(fetch / $PROJECT-$ID-terminal-1.$BASE)" 502
api_is "patch_refuses_last_address_of_a_running_one" 422 '.error.field == "addresses"' PATCH /api/v1/containers/$ID '{"addresses":[]}'
api_is "patch_refuses_id" 422 '.error.field == "id" and .error.code == "unknown_field"' PATCH /api/v1/containers/$ID "{\"id\":\"$ID\"}"
api_is "refuses_other_project" 409 '.error.code == "other_project" and .error.field == "project"' POST /api/v1/containers "{\"id\":\"$ID\",\"project\":\"cccccccccccccccccccccccc\"}"
api_is "refuses_address_of_another" 409 ".error.code == \"address_in_use\" and .error.field == \"addresses[1]\" and (.error.message | test(\"$ID\"))" \
	POST /api/v1/containers "{\"id\":\"dddddddddddddddddddddddd\",\"project\":\"$PROJECT\",\"addresses\":[\"10.77.0.3\",\"fd77:0::2\"]}"
tap_is "serve_project_of_another_is_503" "$(fetch / cccccccccccccccccccccccc-$ID-http-8000.$BASE)" 503

hold() { # a response that never ends; its curl is HOLD
	rm -f "$WORK/held"
	curl -sN --max-time 60 -o "$WORK/held" -H "Host: $PROJECT-$ID-http-8000.$BASE" "http://127.0.0.1:8080${1:-/hold}" &
	HOLD=$!
	tap_need 30 test -s "$WORK/held"
}
hold
api_is "stop" 200 '.data.state == "stopped"' POST /api/v1/containers/$ID/stop
tap_run "stop_cuts_what_is_open" tap_wait 30 gone $HOLD
wait $HOLD
tap_is "cut_response_is_an_error" $(($? != 0)) 1
tap_is "serve_stopped_again" "$(fetch /)" 503
api POST /api/v1/containers/$ID/start >/dev/null
hold
api_is "delete" 200 ".data == {\"id\": \"$ID\", \"deleted\": true}" DELETE /api/v1/containers/$ID
tap_is "serve_deleted_is_404" "$(fetch /)" 404
tap_run "delete_cuts_what_is_open" tap_wait 30 gone $HOLD
api_is "status_counts_what_was_cut" 200 '.data.worker.counters.exchanges_cut >= 2 and .data.containers == {"registered":0,"running":0,"tombstones":1}' GET /api/v1/status
api_is "show_deleted" 404 '.error.code == "deleted"' GET /api/v1/containers/$ID
api_is "delete_again" 404 '.error.code == "deleted"' DELETE /api/v1/containers/$ID
api_is "ids_are_never_used_again" 409 '.error.code == "deleted" and .error.field == "id"' POST /api/v1/containers "{\"id\":\"$ID\",\"project\":\"$PROJECT\"}"

# --- refusals --------------------------------------------------------------------
I='"id":"eeeeeeeeeeeeeeeeeeeeeeee","project":"aaaaaaaaaaaaaaaaaaaaaaaa"'
refuses id '{"project":"aaaaaaaaaaaaaaaaaaaaaaaa"}'
refuses project '{"id":"eeeeeeeeeeeeeeeeeeeeeeee"}'
refuses id '{"id":"eeeeeeeeeeeeeeeeeeeeeee","project":"aaaaaaaaaaaaaaaaaaaaaaaa"}'
refuses id '{"id":"eeeeeeeeeeeeeeeeeeeeeeeg","project":"aaaaaaaaaaaaaaaaaaaaaaaa"}'
refuses id '{"id":"000000000000000000000000","project":"aaaaaaaaaaaaaaaaaaaaaaaa"}'
refuses id '{"id":17,"project":"aaaaaaaaaaaaaaaaaaaaaaaa"}'
refuses colour "{$I,\"colour\":\"red\"}"
refuses state "{$I,\"state\":\"running\"}"
refuses name "{$I,\"name\":\"\"}"
refuses name "{$I,\"name\":\"a\\u0000b\"}"
refuses name "{$I,\"name\":\"a\\nb\"}"
refuses name "{$I,\"name\":\"$(printf 'x%.0s' {1..128})\"}"
refuses name "{$I,\"name\":5}"
refuses realm "{$I,\"realm\":\"Not A Label\"}"
refuses realm "{$I,\"realm\":\"-a\"}"
refuses netdev "{$I,\"netdev\":\"a/b\"}"
refuses netdev "{$I,\"netdev\":\"abcdefghijklmnop\"}"
refuses cgroup "{$I,\"cgroup\":\"lxc.payload.web\"}"
refuses cgroup "{$I,\"cgroup\":\"/\"}"
refuses cgroup "{$I,\"cgroup\":\"/a/../../etc\"}"
refuses cgroup "{$I,\"cgroup\":\"/a//b\"}"
refuses gateway "{$I,\"gateway\":\"yes\"}"
refuses addresses "{$I,\"addresses\":\"10.77.0.2\"}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"10.77.0\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"127.0.0.1\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"0.0.0.0\"]}"
refuses 'addresses[1]' "{$I,\"addresses\":[\"10.77.0.2\",\"224.0.0.1\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"::1\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"fe80::1\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"::ffff:10.77.0.2\"]}"
refuses 'addresses[0]' "{$I,\"addresses\":[\"10.77.0.1\"]}"
refuses 'addresses[1]' "{$I,\"addresses\":[\"10.77.0.2\",\"10.77.0.2\"]}"
refuses 'addresses[8]' "{$I,\"addresses\":[$(printf '"10.78.0.%d",' {1..8})\"10.78.0.9\"]}"
refuses ports "{$I,\"ports\":[7681]}"
refuses ports.Terminal "{$I,\"ports\":{\"Terminal\":7681}}"
refuses ports.http "{$I,\"ports\":{\"http\":81}}"
refuses ports.terminal "{$I,\"ports\":{\"terminal\":0}}"
refuses ports.terminal "{$I,\"ports\":{\"terminal\":65536}}"
refuses ports.terminal "{$I,\"ports\":{\"terminal\":\"7681\"}}"
# Quoted and cut, but between characters.
refuses "ports.a$(printf 'ä%.0s' {1..39})?" "{$I,\"ports\":{\"a$(printf 'ä%.0s' {1..60})\":1}}"
refuses ports "{$I,\"ports\":{$(printf '"s%d":1,' {1..32})\"t\":1}}"
api_is "nothing_of_that_was_kept" 200 '.data == []' GET /api/v1/containers
api_is "refuses_unknown_call" 404 '.error.code == "not_found"' GET /api/v1/nothing
api_is "refuses_id_that_is_none" 404 '.error.code == "invalid_id"' GET /api/v1/containers/xyz
api_is "refuses_method" 405 '.error.code == "method_not_allowed"' PUT /api/v1/containers
tap_like "method_refusal_lists_what_is_allowed" "$(curl -si --unix-socket "$SOCKET" -X PUT http://agent/api/v1/containers)" '^Allow: GET, POST'
api_is "refuses_bad_json" 400 '.error.code == "invalid_json" and (.error.message | test("byte"))' POST /api/v1/containers '{"id":'
api_is "refuses_list_as_body" 400 '.error.code == "invalid_json"' POST /api/v1/containers '[]'
api_is "refuses_field_given_twice" 400 '.error.code == "duplicate_field" and .error.field == "name"' POST /api/v1/containers "{$I,\"name\":\"a\",\"name\":\"b\"}"
api_is "refuses_empty_body" 400 '.error.code == "invalid_json"' POST /api/v1/containers
api_is "refuses_body_where_none_belongs" 400 '.error.code == "unexpected_body"' GET /api/v1/status '{}'
api_is "refuses_unknown_query" 422 '.error.field == "page"' GET '/api/v1/containers?page=2'
api_is "refuses_limit" 422 '.error.field == "limit"' GET '/api/v1/containers?limit=1001'
api_is "refuses_cursor" 422 '.error.field == "cursor"' GET '/api/v1/containers?cursor=zz'
tap_is "refuses_other_media_type" "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -d 'a=b' http://agent/api/v1/containers)" 415
head -c 4300000 /dev/zero | tr '\0' ' ' >"$WORK/large"
tap_is "refuses_large_body" "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -H 'Content-Type: application/json' -H 'Expect:' --data-binary @"$WORK/large" http://agent/api/v1/containers)" 413
tap_is "refuses_large_head" "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -H "X: $(printf 'x%.0s' {1..20000})" http://agent/api/v1/status)" 431
tap_like "refuses_what_is_no_http" "$(printf 'HELLO\r\n\r\n' | timeout 10 socat -t 5 - "UNIX-CONNECT:$SOCKET")" '^HTTP/1.1 400 '
tap_like "refuses_smuggled_length" "$(printf 'GET /api/v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc' | timeout 10 socat -t 5 - "UNIX-CONNECT:$SOCKET")" '^HTTP/1.1 400 '
tap_is "answers_pipelined_requests_in_order" "$(printf 'GET /api/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /api/v1/containers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' | timeout 10 socat -t 5 - "UNIX-CONNECT:$SOCKET" | grep -oE 'HTTP/1.1 [0-9]+' | tr '\n' ' ')" "HTTP/1.1 404 HTTP/1.1 200 "
tap_refused "socket_refuses_other_users" setpriv --reuid hoody --clear-groups curl -s --unix-socket "$SOCKET" http://agent/api/v1/status
chmod 666 "$SOCKET"
tap_like "peer_credentials_are_looked_at" "$(setpriv --reuid hoody --clear-groups curl -s --unix-socket "$SOCKET" http://agent/api/v1/status)" 'only root'
chmod 600 "$SOCKET"

# --- many at once, pages ------------------------------------------------------------
many() { # PATH BODY-OF-NUMBER...: 200 calls, forty at a time; prints the statuses
	local i
	for i in $(seq 1 200); do
		printf 'unix-socket = "%s"\nurl = "http://agent/api/v1/containers%s"\ndata = "%s"\nheader = "Content-Type: application/json"\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\n' \
			"$SOCKET" "$("$1" "$i")" "$("$2" "$i")"
		[ "$i" = 200 ] || echo next
	done >"$WORK/many"
	curl -s --parallel --parallel-max 40 -K "$WORK/many" | sort | uniq -c | tr -s ' '
}
images() { api GET /api/v1/status | jq .data.worker.image_sequence; }
nowhere() { :; }
registration() { printf '{\\"id\\":\\"%024x\\",\\"project\\":\\"%s\\",\\"addresses\\":[\\"10.79.0.%d\\"]}' "$1" $PROJECT "$1"; }
starting() { printf '/%024x/start' "$1"; }
stopping() { printf '/%024x/stop' "$1"; }
nothing() { printf '{}'; }
before=$(images)
tap_is "registers_200_at_once" "$(many nowhere registration)" " 200 201"
tap_is "registration_needs_no_image" "$(images)" "$before"
tap_is "starts_200_at_once" "$(many starting nothing)" " 200 200"
after=$(images)
tap_note "200 starts went out in $((after - before)) images"
tap_run "many_writes_share_an_image" test $((after - before)) -lt 200
tap_is "stops_200_at_once" "$(many stopping nothing)" " 200 200"
cursor='' pages=0 ids=''
while :; do
	page=$(api GET "/api/v1/containers?limit=64${cursor:+&cursor=$cursor}")
	ids+=$(jq -r '.data[].id' <<<"$page")$'\n'
	pages=$((pages + 1))
	cursor=$(jq -r '.next_cursor // empty' <<<"$page")
	[ -n "$cursor" ] && [ $pages -lt 20 ] || break
done
tap_is "pages_show_each_container_once" "$pages $(grep -c . <<<"$ids") $(sort -u <<<"$ids" | grep -c .)" "4 200 200"
python3 - "$SOCKET" >"$WORK/idle" <<'PY' &
import socket, sys, time
held = []
for _ in range(64):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s)
print("held", flush=True)
time.sleep(600)
PY
IDLE_PID=$!
tap_need 30 test -s "$WORK/idle"
api_is "idle_connections_lock_nobody_out" 200 '.data' GET /api/v1/status
kill $IDLE_PID

# --- crashes --------------------------------------------------------------------------
ID=cccccccccccccccccccccc01
mkdir "$CGROUPS/$CGROUP/box"
tap_cleanup "rmdir $CGROUPS/$CGROUP/box"
api POST /api/v1/containers "{\"id\":\"$ID\",\"project\":\"$PROJECT\",\"addresses\":[\"10.77.0.2\"]}" >/dev/null
api_is "start_refuses_missing_cgroup" 422 '.error.field == "cgroup"' POST /api/v1/containers/$ID/start '{"cgroup":"/no/such/cgroup"}'
api_is "start_refuses_missing_interface" 422 '.error.field == "netdev"' POST /api/v1/containers/$ID/start '{"netdev":"nonesuch0"}'
api_is "start_refuses_other_fields" 422 '.error.field == "name"' POST /api/v1/containers/$ID/start '{"name":"x"}'
api_is "start_refuses_without_address" 422 '.error.field == "addresses"' POST /api/v1/containers/$ID/start '{"addresses":[]}'
api_is "refused_start_changes_nothing" 200 '.data.state == "stopped" and .data.cgroup == null and .data.addresses == ["10.77.0.2"]' GET /api/v1/containers/$ID
api_is "start_with_cgroup_and_interface" 200 '.data.state == "running" and .data.netdev == "veth-c"' POST /api/v1/containers/$ID/start "{\"cgroup\":\"/$CGROUP/box\",\"netdev\":\"veth-c\"}"

REQUESTS=$(api GET /api/v1/status | jq .data.worker.counters.requests)
WORKER=$(worker_pid)
kill -KILL "$WORKER"
replaced() { local now; now=$(worker_pid) && [ "$now" != null ] && [ "$now" != "$WORKER" ] && serving; }
tap_run "killed_worker_is_replaced" tap_wait 30 replaced
tap_is "served_by_the_new_worker" "$(fetch /)" 200
api_is "status_counts_restarts" 200 '.data.worker.restarts == 1' GET /api/v1/status
api_is "counters_outlive_a_worker" 200 ".data.worker.counters.requests > $REQUESTS" GET /api/v1/status

WORKER=$(worker_pid)
kill -STOP "$WORKER"
api_is "change_with_a_stuck_worker_is_answered" 200 '.data.state == "stopped"' POST /api/v1/containers/$ID/stop
tap_run "answer_waits_until_the_stuck_worker_is_gone" gone "$WORKER"
tap_run "stuck_worker_is_replaced" tap_wait 30 replaced
tap_is "revoked_behind_the_stuck_worker" "$(fetch /)" 503
api POST /api/v1/containers/$ID/start >/dev/null

WORKER=$(worker_pid)
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
tap_run "worker_ends_without_control" tap_wait 30 gone "$WORKER"
start_agent
api_is "containers_come_back" 200 '.data.containers == {"registered":201,"running":1,"tombstones":1}' GET /api/v1/status
tap_is "running_container_is_served_after_sigkill" "$(fetch /)" 200
tap_is "tombstone_comes_back" "$(fetch / $PROJECT-bbbbbbbbbbbbbbbbbbbbbbbb-http-8000.$BASE)" 404
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
rmdir "$CGROUPS/$CGROUP/box"
start_agent
api_is "vanished_container_is_stopped" 200 '.data.state == "stopped"' GET /api/v1/containers/$ID
tap_run "vanished_container_is_logged" logged 'marked stopped'
api POST /api/v1/containers/$ID/start '{"cgroup":null}' >/dev/null

# --- reload ------------------------------------------------------------------------------
names() { openssl s_client -connect 127.0.0.1:8443 -servername a.$BASE </dev/null 2>/dev/null | openssl x509 -noout -subject; }
WORKER=$(worker_pid)
reload() { : >"$WORK/log"; kill -HUP $AGENT_PID; tap_wait 30 logged "$1"; }
config 's/^threads.*/threads = nonsense/'
tap_run "reload_refuses_a_bad_file" reload 'reload: refused'
tap_is "reload_refused_goes_on_serving" "$(fetch /)" 200
config "s,$STATE,$STATE-other,"
tap_run "reload_refuses_another_state_directory" reload 'state_directory has changed'
config "s/first/second/" "s/^mine.*/yours = 8000/"
tap_run "reload_takes_a_good_file" reload 'reloaded: worker=kept'
second() { [ "$(names)" = "subject=CN = second" ] || [ "$(names)" = "subject=CN=second" ]; }
tap_run "reload_changes_the_certificate" tap_wait 30 second
tap_run "reload_changes_services" tap_wait 30 served / 200 "$PROJECT-$ID-yours-1.$BASE"
tap_is "reload_keeps_the_worker" "$(worker_pid)" "$WORKER"
config 's/^threads.*/threads = 2/'
tap_run "reload_refuses_another_number_of_threads" reload 'threads has changed'
config "s/first/second/" 's/^plain.*/plain = 127.0.0.1:8080, 127.0.0.1:8081/'
hold /until
tap_run "reload_with_new_addresses_replaces_the_worker" reload 'reloaded: worker=replaced'
tap_run "new_worker_serves" tap_wait 30 replaced
tap_is "new_address_is_served" "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $PROJECT-$ID-http-8000.$BASE" http://127.0.0.1:8081/)" 200
tap_is "old_address_is_still_served" "$(fetch /)" 200
touch "$WORK/go"
wait $HOLD
tap_is "old_worker_finished_its_request" "$? $(cat "$WORK/held")" "0 0123456789"
tap_run "old_worker_has_gone" tap_wait 30 gone "$WORKER"
rm "$WORK/go"

# --- the end -------------------------------------------------------------------------------
tap_refused "second_agent_is_refused" timeout 20 "$AGENT" --config "$CONFIG"
hold /until
: >"$WORK/log"
kill $AGENT_PID
tap_run "drain_closes_the_control_socket" tap_wait 30 test ! -e "$SOCKET"
touch "$WORK/go"
wait $HOLD
tap_is "drain_finishes_what_is_open" "$? $(cat "$WORK/held")" "0 0123456789"
wait $AGENT_PID
tap_is "drained_agent_ends_well" $? 0

# --- a damaged database -----------------------------------------------------------------------
# Its copy takes its place, with all that was acknowledged.
damage() { dd if=/dev/urandom of="$STATE/$1" bs=1024 seek=5 count=6 conv=notrunc 2>/dev/null; }
before=$(sqlite3 "file:$STATE/state.db?mode=ro" 'SELECT hex(id), generation FROM containers' | sort | sha256sum)
rm -f "$STATE"/state.copy.*
: >"$WORK/log"
start_agent
api POST /api/v1/containers "{\"id\":\"dddddddddddddddddddddd01\",\"project\":\"$PROJECT\"}" >/dev/null
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
damage state.db
start_agent
tap_run "damaged_database_is_restored" logged "state.db was damaged .*nothing is lost"
api_is "restored_database_has_what_was_acknowledged" 200 '.data.id' GET /api/v1/containers/dddddddddddddddddddddd01
api_is "status_tells_that_it_was_restored" 200 '.data.database | .copy == "kept" and (.restored | test("put back"))' GET /api/v1/status
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
tap_is "restored_database_lacks_nothing" "$(sqlite3 "file:$STATE/state.db?mode=ro" 'SELECT hex(id), generation FROM containers' | grep -vi '^d*01|' | sort | sha256sum)" "$before"
# Without one that is known to be complete, nothing is put in its place.
damage state.db
for copy in "$STATE"/state.copy.*; do mv "$copy" "${copy%/*}/state.copy.0000000000000000.0000000000000000"; done
sum=$(sha256sum <"$STATE/state.db")
: >"$WORK/log"
timeout 20 "$AGENT" --config "$CONFIG" 2>>"$WORK/log"
tap_is "damaged_database_is_refused" $? 1
tap_run "damaged_database_is_named" logged "state.db cannot be used: .*left as it is"
tap_is "damaged_database_is_left_alone" "$(sha256sum <"$STATE/state.db")" "$sum"

# --- no room on the disk -----------------------------------------------------------------------
mkdir "$WORK/small"
mount -t tmpfs -o size=512k,mode=700 tmpfs "$WORK/small"
tap_cleanup "umount -l $WORK/small"
config "s,$STATE,$WORK/small,"
start_agent
for i in $(seq 1 100); do
	api POST /api/v1/containers "{\"id\":\"$(printf %024x "$i")\",\"project\":\"$PROJECT\"}" >"$WORK/answer"
	[ "$(cat "$WORK/code")" = 201 ] || break
done
tap_is "full_disk_is_507" "$(cat "$WORK/code") $(jq -r .error.code "$WORK/answer")" "507 full"
api_is "full_disk_keeps_what_was_acknowledged" 200 "(.data | length) == $((i - 1))" GET /api/v1/containers
api_is "full_disk_refused_one_is_unknown" 404 '.error.code == "not_found"' GET "/api/v1/containers/$(printf %024x "$i")"
kill -KILL $AGENT_PID
wait $AGENT_PID 2>/dev/null
start_agent
api_is "full_disk_after_sigkill" 200 "(.data | length) == $((i - 1))" GET /api/v1/containers
tap_done
