#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Aliases end to end: the product's own example as it is printed, domains, what
# is refused, permissions, realms, and that they end with their container.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need

PROJECT=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef
OTHER=990abcdef12345678901cdef
APP=10.81.0.2
NETNS=hoody-aliases-$$

tap_plan 44

netns_container $NETNS veth-l 10.81.0.1/24 $APP/24
cat >"$WORK/app.py" <<'APP'
import http.server, socketserver, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        text = ("%s %d %s" % (self.headers["Host"], self.server.server_address[1], self.headers["X-Hoody-Instance"])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
threading.Thread(target=Server(("10.81.0.2", 80), Handler).serve_forever).start()
Server(("10.81.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
tap_cleanup "kill -KILL $!"
cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.hoody.icu
state_directory = $WORK/state
control_socket = $SOCKET
threads = 2
real_ip = off
[listen]
tls = none
plain = 0.0.0.0:8093
[services]
terminal = 8000
CONF
get() { # HOST: the status, and what the app says
	curl -s --max-time 30 --connect-to "::127.0.0.1:8093" -o "$WORK/page" -w '%{http_code} ' "http://$1/"
	cat "$WORK/page"
}
status() { curl -s --max-time 30 --connect-to "::127.0.0.1:8093" -o /dev/null -w '%{http_code}' "http://$1/"; }
api() { # METHOD PATH [BODY]
	curl -s --unix-socket "$SOCKET" -X "$1" ${3:+-H 'Content-Type: application/json' --data-binary "$3"} \
		-o "$WORK/answer" -w '%{http_code}' "http://agent$2"
}
refuses() { # NAME STATUS FIELD BODY
	tap_is "$1" "$(api POST /api/v1/proxy/aliases "$4"; jq -r .error.field "$WORK/answer")" "$2$3"
}
body() { printf '{"container_id":"%s","alias":"%s","program":"%s","index":%s%s}' "$@"; }

start_agent
tap_up "$APP/8000" "$WORK/app.log"
{ hoody containers register --id $CONTAINER_ID --project $PROJECT --realm acme --address $APP &&
	hoody containers start $CONTAINER_ID &&
	hoody containers register --id $OTHER --project 77e89abc123def456789abcd --realm other; } >/dev/null ||
	tap_bail "containers cannot be registered"

tap_is nothing_before "$(status my-api.node-us.containers.hoody.icu)" 404
tap_is seed_command_as_printed "$(hoody proxy create \
	--container-id $CONTAINER_ID \
	--alias my-api \
	--program http \
	--index 1)" https://my-api.node-us.containers.hoody.icu
tap_is alias_leads_to_the_service "$(get my-api.node-us.containers.hoody.icu)" "200 my-api.node-us.containers.hoody.icu 80 1"
tap_is case_and_port_do_not_matter "$(status MY-API.Node-US.containers.hoody.icu.:8093)" 200
tap_is long_name_still_works "$(status $PROJECT-$CONTAINER_ID-http-1.node-us.containers.hoody.icu)" 200
tap_is alias_of_another_node_is_none "$(status my-api.node-eu.containers.hoody.icu)" 404
tap_is alias_without_node_is_none "$(status my-api.containers.hoody.icu)" 404
tap_is alias_is_no_prefix "$(status x.my-api.node-us.containers.hoody.icu) $(status my-ap.node-us.containers.hoody.icu)" "404 404"
tap_is seed_call_as_printed "$(api POST /api/v1/proxy/aliases '{ "container_id": "890abcdef12345678901cdef", "alias": "my-api-2", "program": "http", "index": 8000 }'; jq -r .data.host "$WORK/answer")" \
	201my-api-2.node-us.containers.hoody.icu
tap_is second_alias_of_one_container "$(get my-api-2.node-us.containers.hoody.icu)" "200 my-api-2.node-us.containers.hoody.icu 8000 8000"
tap_run alias_of_a_named_service hoody proxy create -c $CONTAINER_ID --alias shell --program terminal --index 2 --domain shell.example.org
tap_is instance_travels "$(get shell.node-us.containers.hoody.icu)" "200 shell.node-us.containers.hoody.icu 8000 2"
tap_is domain_leads_there "$(get shell.example.org)" "200 shell.example.org 8000 2"
tap_is domain_is_whole "$(status example.org) $(status x.shell.example.org)" "404 404"
tap_run service_that_is_not_there hoody proxy create -c $CONTAINER_ID --alias nothing --program nothing --index 1
tap_is unknown_service_is_404 "$(status nothing.node-us.containers.hoody.icu)" 404
tap_like list_shows_them "$(hoody proxy list)" 'my-api +890abcdef12345678901cdef +http +1 +my-api.node-us.containers.hoody.icu'
tap_is record_has_the_container "$(hoody logs query --service terminal -n 1 --json | jq -r '.[0].container')" $CONTAINER_ID

refuses name_twice 409 alias "$(body $CONTAINER_ID my-api http 1 '')"
refuses name_with_dot 422 alias "$(body $CONTAINER_ID a.b http 1 '')"
refuses name_upper_case 422 alias "$(body $CONTAINER_ID Abc http 1 '')"
refuses name_that_spells_a_route 422 alias "$(body $CONTAINER_ID $PROJECT-$CONTAINER_ID-http-1 http 1 '')"
refuses index_0 422 index "$(body $CONTAINER_ID n1 http 0 '')"
refuses index_65536 422 index "$(body $CONTAINER_ID n1 http 65536 '')"
refuses program_upper_case 422 program "$(body $CONTAINER_ID n1 Http 1 '')"
refuses unknown_container 404 container_id "$(body 000000000000000000000000 n1 http 1 '')"
refuses domain_of_ours 422 domain "$(body $CONTAINER_ID n1 http 1 ',"domain":"x.containers.hoody.icu"')"
refuses domain_twice 409 domain "$(body $CONTAINER_ID n1 http 1 ',"domain":"shell.example.org"')"
refuses domain_with_blank 422 domain "$(body $CONTAINER_ID n1 http 1 ',"domain":"a b.c"')"
refuses unknown_field 422 frobnicate "$(body $CONTAINER_ID n1 http 1 ',"frobnicate":1')"

# --- permissions, restart, end ---------------------------------------------------------
hoody containers proxy permissions replace -c $CONTAINER_ID --groups 'o={"type":"ip","range":"203.0.113.0/24"}' \
	--permissions 'o={"http":true}' --default deny >/dev/null
tap_is permissions_hold_for_aliases "$(status my-api.node-us.containers.hoody.icu)" 403
hoody containers proxy permissions replace -c $CONTAINER_ID >/dev/null
stop_agent
# As many as there can be: 65,536 calls would be minutes.
sqlite3 "$WORK/state/state.db" "WITH RECURSIVE n(i) AS (SELECT count(*) + 1 FROM documents WHERE kind = 65 UNION ALL SELECT i + 1 FROM n WHERE i < 65536)
	INSERT INTO documents SELECT kind, CAST('n-' || i AS BLOB), json_set(body, '\$.domain', ''), updated_at FROM n, documents
	WHERE kind = 65 AND key = CAST('my-api' AS BLOB)"
start_agent
tap_is aliases_survive_a_restart "$(status my-api.node-us.containers.hoody.icu) $(status shell.example.org)" "200 200"
tap_is the_last_one_leads_there_too "$(status n-65536.node-us.containers.hoody.icu)" 200
tap_is one_more_is_refused "$(api POST /api/v1/proxy/aliases "$(body $CONTAINER_ID more http 1 '')"; jq -r '.error | .code + " " + .message' "$WORK/answer")" \
	'507full there are 65536 aliases, more cannot be kept'
hoody proxy delete n-65536 >/dev/null
tap_is instead_of_one_it_is_not "$(api POST /api/v1/proxy/aliases "$(body $CONTAINER_ID more http 1 '')") $(status more.node-us.containers.hoody.icu)" '201 200'
hoody containers stop $CONTAINER_ID >/dev/null
tap_is stopped_container_is_unavailable "$(status my-api.node-us.containers.hoody.icu)" 503
hoody containers start $CONTAINER_ID >/dev/null
tap_run delete_is_done hoody proxy delete my-api-2
tap_is deleted_alias_is_gone "$(status my-api-2.node-us.containers.hoody.icu) $(status my-api.node-us.containers.hoody.icu)" "404 200"
tap_refused delete_twice_is_refused hoody proxy delete my-api-2
tap_run a_container_is_deleted_with_all_its_aliases hoody containers delete $CONTAINER_ID
ended() { [ "$(status my-api.node-us.containers.hoody.icu) $(status shell.example.org)" = "404 404" ]; }
tap_run aliases_end_with_their_container tap_wait 30 ended
none() { [ "$(hoody proxy list --json | jq length)" = 0 ]; }
tap_run list_is_empty_then tap_wait 30 none
stop_agent
tap_is the_database_has_none "$(sqlite3 "$WORK/state/state.db" 'SELECT count(*) FROM documents WHERE kind = 65')" 0
start_agent
tap_is and_they_do_not_come_back "$(hoody proxy list --json | jq length)" 0

tap_done
