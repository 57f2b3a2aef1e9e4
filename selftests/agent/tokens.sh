#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The control API over HTTPS: who gets in with which token from where, what a
# realm's token sees, that nothing of a client can stand in for a worker's word,
# and that a container deleted over it is gone.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need

PROJECT=67e89abc123def456789abcd
OTHER_PROJECT=77e89abc123def456789abcd
ID=890abcdef12345678901cdef
OTHER=990abcdef12345678901cdef
BASE=containers.example.com
APP=10.80.0.2
NETNS=hoody-tokens-$$

tap_plan 66

netns_container $NETNS veth-t 10.80.0.1/24 $APP/24 10.80.0.3/24
ip addr add 203.0.113.50/32 dev lo
tap_cleanup "ip addr del 203.0.113.50/32 dev lo"
cat >"$WORK/app.py" <<'APP'
import http.server, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"01234")
        self.wfile.flush()
        while self.path == "/hold": time.sleep(1)
        self.wfile.write(b"56789")
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("10.80.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
tap_cleanup "kill $!"
self_signed "$WORK/server" "DNS:*.node-us.$BASE" "DNS:*.$BASE" "DNS:*.api.$BASE"
cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = $BASE
state_directory = $WORK/state
control_socket = $SOCKET
threads = 2
real_ip = off
[listen]
tls = 0.0.0.0:8454
plain = 0.0.0.0:8092
[tls]
certificate = $WORK/server.crt
key = $WORK/server.key
CONF

# at HOST TOKEN METHOD PATH [OPTION...]: the status; the answer in $WORK/answer
at() {
	local host=$1 token=$2 method=$3 path=$4
	shift 4
	: >"$WORK/answer"
	curl -s --path-as-is --max-time 30 --cacert "$WORK/server.crt" --connect-to "::127.0.0.1:8454" -X "$method" \
		${token:+-H "Authorization: Bearer $token"} -H 'Content-Type: application/json' \
		-D "$WORK/head" -o "$WORK/answer" -w '%{http_code}' "$@" "https://$host$path"
}
answer() { jq -r "$1" "$WORK/answer" 2>/dev/null; }
page() { # PATH: of the container's own URL, the status
	curl -s --max-time 30 --cacert "$WORK/server.crt" --connect-to "::127.0.0.1:8454" -o "$WORK/page" \
		-w '%{http_code}' "https://$PROJECT-$ID-http-8000.node-us.$BASE$1"
}
API=api.$BASE
ACME=acme.api.$BASE

start_agent
tap_up "$APP/8000" "$WORK/app.log"
{ hoody containers register --id $ID --project $PROJECT --realm acme --address $APP &&
	hoody containers start $ID &&
	hoody containers register --id $OTHER --project $OTHER_PROJECT --realm other --address 10.80.0.3; } >/dev/null ||
	tap_bail "containers cannot be registered"

# --- without a token there is no API ----------------------------------------------
tap_is no_token_no_api "$(at $API x GET /api/v1/containers)" 404
tap_refused realm_has_to_exist hoody tokens create --realm acme
tap_like realm_is_created "$(hoody realms create acme)" "https://$ACME"
hoody realms create other >/dev/null
tap_refused realm_is_created_once hoody realms create acme
root=$(hoody tokens create --name operations 2>/dev/null)
tap_like token_is_shown "$root" '^hoody_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$'
acme=$(hoody tokens create --realm acme 2>/dev/null)
other=$(hoody tokens create --realm other 2>/dev/null)
secret=${root#hoody_*_}	# which may have underscores of its own
tap_is token_is_shown_once "$(hoody tokens list --json | grep -cFe "$secret")" 0
stop_agent
tap_is token_is_not_stored "$(grep -rlaF -e "$secret" -e "$root" "$WORK/state" "$WORK/log" | wc -l)" 0
start_agent

# --- getting in ---------------------------------------------------------------------
open_now() { [ "$(at $API "$root" GET /api/v1/containers)" = 200 ]; }
tap_run token_lets_in tap_wait 30 open_now
tap_is host_token_sees_all "$(answer '[.data[].id] | sort | join(" ")')" "$ID $OTHER"
tap_is http2_too "$(at $API "$root" GET /api/v1/status --http2; answer .data.node)" "200node-us"
tap_is http1_too "$(at $API "$root" GET /api/v1/status --http1.1)" 200
tap_is no_token_is_refused "$(at $API '' GET /api/v1/containers)" 401
tap_like refusal_asks_for_a_token "$(cat "$WORK/head")" '^[Ww][Ww][Ww]-[Aa]uthenticate: Bearer'
tap_is wrong_secret_is_refused "$(at $API "${root%?????}AAAAA" GET /api/v1/containers)" 401
tap_is wrong_id_is_refused "$(at $API "hoody_0000000000000000_$secret" GET /api/v1/containers)" 401
tap_is garbage_is_refused "$(at $API "hoody_" GET /api/v1/containers)" 401
tap_is basic_is_refused "$(at $API '' GET /api/v1/containers -u "x:$root")" 401
tap_is two_authorizations_are_refused "$(at $API "$root" GET /api/v1/containers --http1.1 -H "Authorization: Bearer $acme")" 400
tap_is plain_http_is_refused "$(curl -s -o /dev/null -w '%{http_code}' --connect-to ::127.0.0.1:8092 -H "Authorization: Bearer $root" "http://$API/api/v1/containers")" 403
tap_is other_hosts_are_no_api "$(at x.y.api.$BASE "$root" GET /api/v1/containers -k)" 404
tap_is unknown_realm_is_no_api "$(at nobody.api.$BASE "$root" GET /api/v1/containers)" 404
tap_is control_id_is_no_container "$(at ffffffffffffffffffffffff-ffffffffffffffffffffffff-http-1.node-us.$BASE "$root" GET /api/v1/containers)" 503
tap_refused control_id_cannot_be_registered hoody containers register --id ffffffffffffffffffffffff --project $PROJECT

# --- from where -----------------------------------------------------------------------
office=$(hoody tokens create --ip 203.0.113.0/24 --ip 2001:db8::/32 2>/dev/null)
tap_is address_outside_is_refused "$(at $API "$office" GET /api/v1/containers)" 403
tap_is refusal_says_why "$(answer .error.code)" address_not_allowed
tap_is address_inside_is_let_in "$(at $API "$office" GET /api/v1/containers --interface 203.0.113.50)" 200
for field in X-Forwarded-For X-Real-IP Forwarded X-Hoody-Client; do
	tap_is "client_cannot_say_$field" "$(at $API "$office" GET /api/v1/containers -H "$field: 203.0.113.50")" 403
done
tap_is smuggled_address_is_refused "$(at $API "$office" GET /api/v1/containers --http1.1 -H $'X-A: b\r\n X-Forwarded-For: 203.0.113.50')" 400
tap_refused bad_prefix_is_refused hoody tokens create --ip 203.0.113.1/24
tap_refused past_expiry_is_refused hoody tokens create --expires 2020-01-01

# --- for how long -----------------------------------------------------------------------
id=$(cut -d_ -f2 <<<"$office")
hoody tokens disable "$id" >/dev/null
tap_is disabled_is_refused "$(at $API "$office" GET /api/v1/containers --interface 203.0.113.50)" 401
hoody tokens enable "$id" >/dev/null
tap_is enabled_again_is_let_in "$(at $API "$office" GET /api/v1/containers --interface 203.0.113.50)" 200
hoody tokens delete "$id" >/dev/null
tap_is deleted_is_refused "$(at $API "$office" GET /api/v1/containers --interface 203.0.113.50)" 401
short=$(hoody tokens create --expires "$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ)" 2>/dev/null)
expired() { [ "$(at $API "$short" GET /api/v1/containers)" = 401 ]; }
tap_run token_expires tap_wait 30 expired
tap_like list_shows_tokens "$(hoody tokens list)" 'operations.*enabled'

# --- a realm ------------------------------------------------------------------------------
tap_is realm_sees_its_own "$(at $ACME "$acme" GET /api/v1/containers; answer '[.data[].id] | join(" ")')" "200$ID"
tap_is realm_at_the_hosts_name_too "$(at $API "$acme" GET /api/v1/containers; answer '[.data[].id] | join(" ")')" "200$ID"
tap_is realm_host_narrows_a_host_token "$(at $ACME "$root" GET /api/v1/containers; answer '[.data[].id] | join(" ")')" "200$ID"
tap_is other_realm_host_is_not_there "$(at $ACME "$other" GET /api/v1/containers)" 404
unknown=$(at $API "$acme" GET /api/v1/containers/000000000000000000000000; cat "$WORK/answer")
tap_is others_container_is_not_there "$(at $API "$acme" GET /api/v1/containers/$OTHER; cat "$WORK/answer")" "$unknown"
for call in "PATCH containers/$OTHER" "DELETE containers/$OTHER" "POST containers/$OTHER/stop" \
	"PUT containers/$OTHER/proxy/permissions" "GET projects/$OTHER_PROJECT/proxy/permissions" \
	"GET tokens" "GET realms" "GET status" "GET syscalls/profiles"; do
	tap_is "realm_gets_404: $call" "$(at $API "$acme" "${call% *}" "/api/v1/${call#* }" -d '{}')" 404
done
tap_is realm_registers_nothing "$(at $API "$acme" POST /api/v1/containers -d "{\"id\":\"$ID\",\"project\":\"$PROJECT\"}")" 403
tap_is realm_moves_nothing "$(at $API "$acme" PATCH /api/v1/containers/$ID -d '{"realm":"other"}')" 422
tap_is realm_renames_its_own "$(at $API "$acme" PATCH /api/v1/containers/$ID -d '{"name":"web"}'; answer .data.name)" 200web
tap_is realm_has_its_project "$(at $API "$acme" GET /api/v1/projects/$PROJECT/proxy/permissions)" 200
page / >/dev/null
tap_is realm_reads_its_log "$(at $ACME "$acme" GET '/api/v1/logs?limit=1000'; answer '[.data[].realm] | unique | join(" ")')" 200acme
tap_is others_log_is_apart "$(at $API "$other" GET '/api/v1/logs?kind=exchange'; answer '.data | length')" 2000
tap_refused realm_in_use_is_not_deleted hoody realms delete acme

# --- the command line, and a container's end -------------------------------------------------
export HOODY_TOKEN=$root HOODY_CA=$WORK/server.crt
grep -q " $API" /etc/hosts || { echo "127.0.0.1 $API" >>/etc/hosts && tap_cleanup "sed -i '/ $API\$/d' /etc/hosts"; }
tap_like command_speaks_https "$(HOODY_API=https://$API:8454 hoody containers list)" "$ID"
curl -sN --max-time 60 --cacert "$WORK/server.crt" --connect-to ::127.0.0.1:8454 -o "$WORK/held" \
	"https://$PROJECT-$ID-http-8000.node-us.$BASE/hold" &
held=$!
holding() { [ "$(cat "$WORK/held" 2>/dev/null)" = 01234 ]; }
tap_need 30 holding
tap_is delete_over_https "$(at $ACME "$acme" DELETE /api/v1/containers/$ID; answer .data.deleted)" 200true
tap_is url_is_dead "$(page /)" 404
wait $held
tap_like connection_is_cut "$?" '^(18|56|92)$' # curl's: partial file, receive error, stream error
tap_is change_names_its_token "$(hoody logs query --kind change --json | jq -r '[.[] | select(.method == "DELETE" and .status == 200)][0] | .actor + " " + .realm + " " + .client')" \
	"token:$(cut -d_ -f2 <<<"$acme") acme 127.0.0.1"
hoody tokens list --json | jq -r '.[].id' | while read -r id; do hoody tokens delete "$id" >/dev/null; done
closed() { [ "$(at $API "$root" GET /api/v1/containers)" = 404 ]; }
tap_run last_token_closes_the_api tap_wait 30 closed

# As many as there can be, by the database: a thousand calls would be seconds.
hoody tokens create >/dev/null 2>&1
stop_agent
sqlite3 "$WORK/state/state.db" "WITH RECURSIVE n(i) AS (SELECT count(*) + 1 FROM documents WHERE kind = 66 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
	INSERT INTO documents SELECT kind, CAST(printf('%016x', i) AS BLOB), body, updated_at FROM n, (SELECT * FROM documents WHERE kind = 66 LIMIT 1)"
start_agent
tap_like one_token_more_is_refused "$(hoody tokens create 2>&1)" 'there are 1024 tokens, more cannot be kept'
tap_done
