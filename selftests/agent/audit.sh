#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The audit trail and the metrics end to end, without the module: what is
# recorded of requests, refusals and changes, what is masked, searching and
# exporting, the file sink, the bound, a worker's death, and what Prometheus's
# own checker says of /metrics.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need

PROJECT=67e89abc123def456789abcd
ID=890abcdef12345678901cdef
OTHER=111111111111111111111111
BASE=node-us.containers.example.com
APP=10.79.0.2
NETNS=hoody-audit-$$

tap_plan 57

netns_container $NETNS veth-a 10.79.0.1/24 $APP/24
cat >"$WORK/app.py" <<'APP'
import http.server, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()
    def do_GET(self):
        if self.path == "/slow": time.sleep(0.2)
        code = int(self.path[1:4]) if self.path[1:4].isdigit() else 200
        self.send_response(code)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
Server(("10.79.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
tap_cleanup "kill $!"

config() { # [SED EXPRESSION]...
	cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $SOCKET
threads = 2
real_ip = off
[listen]
tls = none
plain = 0.0.0.0:8091
[audit]
file = $WORK/audit.ndjson
query = names
[metrics]
listen = 127.0.0.1:9746
CONF
	local expression
	for expression in "$@"; do sed -i "$expression" "$WORK/agent.conf"; done
}

get() { # PATH [OPTION...]: the status
	local path=$1
	shift
	curl -s --path-as-is --max-time 30 -o "$WORK/page" -w '%{http_code}' \
		--connect-to "::127.0.0.1:8091" "$@" "http://$PROJECT-$ID-http-8000.$BASE$path"
}
api() { curl -s --max-time 30 --unix-socket "$SOCKET" -D "$WORK/head" "http://agent$1"; }
# last FILTER [QUERY]: of the newest entry that the query gives.
last() { api "/api/v1/logs?limit=1&${2:-kind=exchange}" | jq -r ".data[0] | $1"; }
count() { api "/api/v1/logs?limit=1000&$1" | jq '.data | length'; }
counter() { hoody status --json | jq ".worker.counters.$1"; }

config
start_agent
tap_up 10.79.0.2/8000 "$WORK/app.log"
hoody containers register --id $ID --project $PROJECT --realm acme --address $APP >/dev/null &&
	hoody containers start $ID >/dev/null || tap_bail "the container cannot be registered"

# --- one exchange -------------------------------------------------------------------
tap_is request_is_served "$(get '/a/path?secret=hunter2&flag&x=1&y=a=b' -d 12345678)" 200
tap_is exchange_has_its_request "$(last '[.method, .protocol, .status, .outcome, .service, .port, .instance] | map(tostring) | join(" ")')" \
	"POST http/1.1 200 complete http 8000 8000"
tap_is exchange_has_ids "$(last '.project + " " + .container + " " + .realm')" "$PROJECT $ID acme"
tap_is exchange_has_bytes "$(last '"\(.bytes_in) \(.bytes_out)"')" "8 5"
tap_is exchange_has_client "$(last '.client')" 127.0.0.1
tap_like exchange_has_client_port "$(last '.client_port')" '^[1-9][0-9]+$'
tap_is query_values_are_masked "$(last .path)" '/a/path?secret=*&flag&x=*&y=*'
tap_is exchange_was_let_in_openly "$(last .reason)" allowed_open
get /slow >/dev/null
tap_is phases_add_up "$(last '.upstream_us >= 200000 and .total_us >= .upstream_us + .authorize_us and .path == "/slow"')" true
get "/p$(printf '%0300d' 7)" >/dev/null
tap_is long_path_is_cut "$(last '.path_cut and (.path | length) > 200')" true
tap_is no_value_is_stored "$(grep -c hunter2 "$WORK/state/audit.db" "$WORK/state/audit.db-wal" "$WORK/audit.ndjson" | grep -vc ':0$')" 0

# --- what is refused ---------------------------------------------------------------
curl -s -o /dev/null --connect-to ::127.0.0.1:8091 "http://$PROJECT-$OTHER-http-8000.$BASE/x"
tap_is unknown_container_is_recorded "$(last '"\(.status) \(.outcome) \(.container)"')" "503 unavailable null"
printf 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n' | timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8091; cat >&3; cat <&3' >/dev/null
tap_is malformed_request_is_recorded "$(last '"\(.status) \(.client)"')" "400 127.0.0.1"
hoody containers proxy permissions replace -c $ID --groups 'office={"type":"ip","range":"203.0.113.0/24"}' \
	--groups 'local={"type":"ip","range":"127.0.0.0/8"}' --permissions 'office={"http":true}' \
	--permissions 'local={"http":false}' --default deny >/dev/null || tap_note "permissions were refused"
tap_is forbidden_is_answered "$(get /private)" 403
tap_is refusal_names_group_and_rule "$(last '"\(.status) \(.outcome) \(.group) \(.reason)"')" "403 forbidden local refused_group"
hoody containers proxy permissions replace -c $ID --groups 'local={"type":"ip","range":"127.0.0.0/8"}' \
	--permissions 'local={"http":true}' --default deny >/dev/null
tap_is allowed_is_answered "$(get /private)" 200
tap_is admission_names_its_group "$(last '"\(.status) \(.group) \(.reason)"')" "200 local allowed_group"

# --- changes of policy ------------------------------------------------------------
tap_is change_is_recorded "$(last '"\(.method) \(.path) \(.status) \(.outcome) \(.actor) \(.container)"' kind=change)" \
	"PUT /api/v1/containers/$ID/proxy/permissions 200 done root $ID"
hoody containers stop $OTHER >/dev/null 2>&1
tap_is refused_change_is_recorded "$(last '"\(.method) \(.status) \(.outcome)"' kind=change)" "POST 404 refused"
tap_is start_is_recorded "$(api '/api/v1/logs?kind=change&after=0&limit=1' | jq -r .data[0].method)" START

# --- searching ---------------------------------------------------------------------
for _ in 1 2 3 4 5; do get /410 >/dev/null; done
get /500 >/dev/null
tap_is filter_by_status "$(count status=410)" 5
tap_is filter_by_class "$(count status=5xx)" 2
tap_is filter_by_container "$(count "container=$ID&kind=exchange&status=410")" 5
tap_is filter_by_other_container "$(count container=$OTHER)" 1
tap_is filter_by_client "$(count client=192.0.2.9)" 0
tap_is filter_by_service "$(count 'service=http&status=410')" 5
tap_is filter_by_time "$(count 'until=2020-01-01T00:00:00Z') $(count 'since=2020-01-01&status=410')" "0 5"
tap_is page_has_its_limit "$(api '/api/v1/logs?status=410&limit=2' | jq '.data | length')" 2
cursor=$(api '/api/v1/logs?status=410&limit=2' | jq -r .next_cursor)
tap_is cursor_goes_on "$(api "/api/v1/logs?status=410&limit=1000&cursor=$cursor" | jq '"\(.data | length) \(.next_cursor)"')" '"3 null"'
first=$(api '/api/v1/logs?status=410&after=0&limit=1' | jq .data[0].id)
tap_is after_goes_up "$(api "/api/v1/logs?status=410&after=$first" | jq -c '[.data[].id] | length, (. == sort)' | tr '\n' ' ')" "4 true "
for query in status=42 status=0xx container=zz client=host since=yesterday kind=all limit=x nothing=1; do
	tap_is "refuses_$query" "$(api "/api/v1/logs?$query" | jq -r .error.field)" "${query%%=*}"
done

# --- figures -----------------------------------------------------------------------
tap_is stats_by_status "$(api '/api/v1/logs/stats' | jq '.data.statuses[] | select(.status == 410) | .requests')" 5
tap_is stats_by_service "$(api '/api/v1/logs/stats?status=410' | jq -c '.data.services | map([.service, .requests])')" '[["http",5]]'
tap_is stats_have_percentiles "$(api '/api/v1/logs/stats' | jq '.data.total_us | .p50 <= .p90 and .p90 <= .p99 and .p99 <= .max and .max >= 200000')" true

# --- export and file ---------------------------------------------------------------
tap_is export_is_one_object_a_line "$(api '/api/v1/logs/export?status=410' | jq -s 'length')" 5
tap_is export_says_where_to_go_on "$(api '/api/v1/logs/export?status=410&limit=2' | wc -l) $(grep -ci '^hoody-next-cursor: [0-9]' "$WORK/head")" "2 1"
tap_is file_has_every_entry "$(wc -l <"$WORK/audit.ndjson")" "$(count '')"
tap_is command_exports "$(hoody logs export --status 410 | jq -s length)" 5
tap_like command_shows_a_table "$(hoody logs query -c $ID --status 410)" '410 .*GET'
tap_like command_shows_figures "$(hoody logs stats --since 1h)" 'requests'
(timeout 20 "$HOODY_BUILD/bin/hoody" logs follow --status 418 --json >"$WORK/follow" 2>/dev/null) &
followed() { get /418 >/dev/null; grep -q 418 "$WORK/follow"; }
tap_run command_follows tap_wait 30 followed

# --- metrics -----------------------------------------------------------------------
api /metrics >"$WORK/metrics"
tap_run promtool_accepts_metrics bash -c "promtool check metrics <'$WORK/metrics'"
tap_like metrics_count_requests "$(cat "$WORK/metrics")" '^hoody_requests_total [1-9]'
tap_is metrics_over_tcp "$(curl -s -o /dev/null -w '%{http_code} %{content_type}' http://127.0.0.1:9746/metrics)" "200 text/plain; version=0.0.4; charset=utf-8"
tap_is nothing_else_over_tcp "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9746/api/v1/containers)" 404

# --- a worker's death, many requests, a restart ------------------------------------
before=$(count status=200)
for _ in 1 2 3 4 5 6 7 8 9 10; do get /before-the-end >/dev/null; done
kill -KILL "$(hoody status --json | jq .worker.pid)"
tap_need 60 serving
tap_is death_takes_no_record "$(count status=200)" $((before + 10))
seq 1 2000 | sed "s|.*|url = \"http://$PROJECT-$ID-http-8000.$BASE/many?n=&\"\noutput = /dev/null|" >"$WORK/many"
curl -s --no-progress-meter -Z --parallel-max 20 --connect-to ::127.0.0.1:8091 -K "$WORK/many"
tap_is all_of_many_are_recorded "$(api '/api/v1/logs/stats' | jq '.data.requests') $(counter audit_lost)" "$(($(grep -c '"kind":"exchange"' "$WORK/audit.ndjson"))) 0"
stop_agent
config 's/^query.*/query = keep/' 's/^\[metrics\]/size_max = 1M\n[metrics]/'
start_agent
tap_is trail_survives_a_restart "$(count 'status=410')" 5
get '/kept?a=b' >/dev/null
tap_is query_can_be_kept "$(last .path)" '/kept?a=b'
trimmed() { [ "$(api '/api/v1/logs?after=0&limit=1' | jq .data[0].id)" -gt 1 ]; }
for _ in 1 2 3; do curl -s -Z --parallel-max 20 --connect-to ::127.0.0.1:8091 -K "$WORK/many"; done
tap_run size_is_bounded tap_wait 40 trimmed

tap_done
