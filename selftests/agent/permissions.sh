#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Permissions end to end, without the module: the command line and API calls as
# the product's papers print them, real requests through the worker, what the
# app gets to see, and that what is taken away ends at once.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces

PROJECT_ID=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef
BASE=node-us.containers.example.com
OFFICE=203.0.113.50
OUTSIDE=198.51.100.7
NETNS=hoody-permissions-$$

tap_plan 78

# --- a container -----------------------------------------------------------------
netns_container $NETNS veth-p 10.78.0.1/24 10.78.0.2/24
for address in $OFFICE $OUTSIDE; do
	ip addr add $address/32 dev lo
	tap_cleanup "ip addr del $address/32 dev lo"
done
cat >"$WORK/app.py" <<'APP'
import hashlib, http.server, json, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline(), 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if not size: return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def answer(self):
        data = self.body()
        if self.path == "/hold":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"01234")
            self.wfile.flush()
            while True: time.sleep(1)
        text = json.dumps({"authorization": self.headers.get_all("Authorization"), "method": self.command,
                           "path": self.path, "bytes": len(data), "sha": hashlib.sha256(data).hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(text)
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("10.78.0.2", 8000), Handler).serve_forever()
APP
ip netns exec $NETNS python3 "$WORK/app.py" 2>"$WORK/app.log" &
tap_cleanup "kill $!"

# --- the agent -------------------------------------------------------------------
mkdir "$WORK/jwks"
self_signed "$WORK/server" "DNS:*.$BASE"
cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $SOCKET
threads = 2
real_ip = off
[listen]
tls = 0.0.0.0:8453
plain = 0.0.0.0:8090
[tls]
certificate = $WORK/server.crt
key = $WORK/server.key
[permissions]
jwks_directory = $WORK/jwks
[services]
terminal = 8000
files = 8000
display = 8000
exec = 8000
sqlite = 8000
CONF
tap_up 10.78.0.2/8000 "$WORK/app.log" ip netns exec $NETNS
start_agent
hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --address 10.78.0.2 >/dev/null &&
	hoody containers start $CONTAINER_ID >/dev/null || tap_bail "the container cannot be registered"

# get FROM SERVICE PATH [OPTION...]: the status; the body in $WORK/page, the head in $WORK/head.
get() {
	local from=$1 service=$2 path=$3
	shift 3
	: >"$WORK/page"
	curl -s --path-as-is --max-time 60 --interface "$from" -o "$WORK/page" -D "$WORK/head" -w '%{http_code}' \
		--resolve "$PROJECT_ID-$CONTAINER_ID-$service-1.$BASE:8090:127.0.0.1" "$@" \
		"http://$PROJECT_ID-$CONTAINER_ID-$service-1.$BASE:8090$path"
}
# The same over HTTP/2.
get2() {
	local from=$1 service=$2 path=$3
	shift 3
	: >"$WORK/page"
	curl -s --http2 --cacert "$WORK/server.crt" --max-time 60 --interface "$from" -o "$WORK/page" -D "$WORK/head" \
		-w '%{http_version} %{http_code}' --resolve "$PROJECT_ID-$CONTAINER_ID-$service-1.$BASE:8453:127.0.0.1" "$@" \
		"https://$PROJECT_ID-$CONTAINER_ID-$service-1.$BASE:8453$path"
}
app_saw() { jq -r "$1" "$WORK/page" 2>/dev/null; }
api() { # METHOD PATH BODY: the status; the answer in $WORK/answer
	curl -s --unix-socket "$SOCKET" -X "$1" -H 'Content-Type: application/json' --data-binary "$3" \
		-o "$WORK/answer" -w '%{http_code}' "http://agent$2"
}
of_container=/api/v1/containers/$CONTAINER_ID/proxy/permissions

tap_is open_without_permissions "$(get $OUTSIDE terminal /)" 200
tap_is open_keeps_authorization "$(get $OUTSIDE terminal / -H 'Authorization: Bearer of-the-app'; app_saw .authorization[0])" "200Bearer of-the-app"

# --- "Set project-level proxy permissions" -------------------------------------------
tap_run seed_project_replace hoody projects proxy permissions replace --project $PROJECT_ID \
	--groups office='{"type":"ip","range":"203.0.113.0/24"}' \
	--permissions office='{"terminal":true,"files":true,"display":true}' \
	--default deny
tap_is project_office_terminal "$(get $OFFICE terminal /)" 200
tap_is project_office_files "$(get $OFFICE files /)" 200
tap_is project_office_other_service "$(get $OFFICE sqlite /)" 403
tap_is project_outside "$(get $OUTSIDE terminal /)" 403
tap_is project_show "$(hoody projects proxy permissions show --project $PROJECT_ID --json | jq -c .groups.office)" '{"type":"ip","range":"203.0.113.0/24"}'

# --- "Set container-level permissions" ------------------------------------------------
tap_is seed_container_patch "$(api PATCH $of_container '{
    "project": "'$PROJECT_ID'",
    "container": "'$CONTAINER_ID'",
    "groups": {
      "office": { "type": "ip", "range": "203.0.113.0/24" },
      "ci": { "type": "token", "value": "ci-secret-token" }
    },
    "permissions": {
      "office": { "terminal": true, "display": true, "files": true },
      "ci": { "terminal": true, "exec": true, "files": true }
    },
    "default": "deny"
  }')" 200
tap_is answer_shows_no_secret "$(jq -c .data.groups.ci "$WORK/answer")" '{"type":"token","value":null}'
tap_is container_ci_exec "$(get $OUTSIDE exec / -H 'Authorization: Bearer ci-secret-token')" 200
tap_is app_does_not_see_our_token "$(app_saw .authorization)" null
tap_is container_ci_wrong_token "$(get $OUTSIDE exec / -H 'Authorization: Bearer ci-secret-tokeN')" 401
tap_like challenge_bearer "$(cat "$WORK/head")" 'WWW-Authenticate: Bearer realm="exec", error="invalid_token"'
tap_is container_office_exec "$(get $OFFICE exec /)" 401
tap_is office_brings_the_apps_token "$(get $OFFICE terminal / -H 'Authorization: Bearer mine'; app_saw .authorization[0])" "200Bearer mine"
tap_is two_authorizations "$(get $OFFICE terminal / -H 'Authorization: Bearer a' -H 'Authorization: Bearer b')" 400
tap_is refusal_as_json "$(get $OUTSIDE terminal / -H 'Accept: application/json'; jq -r .error.code "$WORK/page")" 401unauthorized

# --- "Lock down a container for production" --------------------------------------------
tap_is seed_container_replace "$(api PUT $of_container '{"project":"'$PROJECT_ID'","container":"'$CONTAINER_ID'",
	"groups":{"office":{"type":"ip","range":"10.0.0.0/8"},"ci":{"type":"token","value":"secret-production-token"}},
	"permissions":{"office":{"http":true,"files":true},"ci":{"http":true,"exec":true}},"default":"deny"}')" 200
tap_is replaced_token_is_dead "$(get $OUTSIDE exec / -H 'Authorization: Bearer ci-secret-token')" 401
tap_is new_token_lives "$(get $OUTSIDE exec / -H 'Authorization: Bearer secret-production-token')" 200
tap_is office_is_elsewhere "$(get $OFFICE files /)" 403

# --- actions -----------------------------------------------------------------------------
tap_run actions_replace hoody containers proxy permissions replace -c $CONTAINER_ID \
	--groups guest='{"type":"token","value":"guest-token"}' \
	--permissions guest='{"terminal":["execute"],"files":["read"],"display":["view"],"sqlite":["query"]}' --default deny
guest=(-H 'Authorization: Bearer guest-token')
tap_is action_execute "$(get $OUTSIDE terminal /api/v1/terminal/execute "${guest[@]}" -d x)" 200
tap_is action_terminal_read "$(get $OUTSIDE terminal / "${guest[@]}")" 403
tap_is action_files_read "$(get $OUTSIDE files /a "${guest[@]}")" 200
tap_is action_files_write "$(get $OUTSIDE files /a "${guest[@]}" -X PUT -d x)" 403
tap_is action_files_delete "$(get $OUTSIDE files /a "${guest[@]}" -X DELETE)" 403
tap_is action_files_override "$(get $OUTSIDE files /a "${guest[@]}" -H 'X-HTTP-Method-Override: DELETE')" 403
tap_is action_database_query "$(get $OUTSIDE sqlite /api/v1/sqlite/query "${guest[@]}" -d x)" 200
tap_is action_database_modify "$(get $OUTSIDE sqlite '/api/v1/sqlite/db?db=/hoody/databases/app.db' "${guest[@]}" -d x)" 403
tap_is action_two_readings "$(get $OUTSIDE sqlite /api/v1/sqlite/query/../db "${guest[@]}" -d x)" 403
tap_is action_websocket_controls "$(get $OUTSIDE display / "${guest[@]}" -H 'Connection: Upgrade' -H 'Upgrade: websocket')" 403

# --- passwords: checked by helpers while the request waits ------------------------------------
tap_run password_replace hoody containers proxy permissions replace -c $CONTAINER_ID \
	--groups web='{"type":"password","username":"anna","password":"correct horse"}' \
	--permissions web='{"files":true}' --default deny
head -c 3000000 /dev/urandom >"$WORK/blob"
sum=$(sha256sum <"$WORK/blob" | cut -d ' ' -f 1)
tap_is password_asks "$(get $OUTSIDE files /)" 401
tap_like challenge_basic "$(cat "$WORK/head")" 'WWW-Authenticate: Basic realm="files", charset="UTF-8"'
tap_is password_body_waits "$(get $OUTSIDE files / -u 'anna:correct horse' -T "$WORK/blob" -H 'Expect:'; app_saw .sha)" "200$sum"
tap_is app_does_not_see_our_password "$(app_saw .authorization)" null
tap_is password_remembered_chunked "$(get $OUTSIDE files / -u 'anna:correct horse' -T "$WORK/blob" -H 'Transfer-Encoding: chunked' -H 'Expect:'; app_saw .sha)" "200$sum"
tap_is password_wrong "$(get $OUTSIDE files / -u 'anna:wrong horse' -T "$WORK/blob" -H 'Expect:')" 401
tap_is password_unknown_user "$(get $OUTSIDE files / -u 'bert:correct horse')" 401
hoody containers proxy permissions patch -c $CONTAINER_ID --groups web='{"password":"new horse"}' >/dev/null
tap_is password_old_is_dead "$(get $OUTSIDE files / -u 'anna:correct horse')" 401
tap_is password_chunked_waits "$(get $OUTSIDE files / -u 'anna:new horse' -T "$WORK/blob" -H 'Transfer-Encoding: chunked' -H 'Expect:'; app_saw .sha)" "200$sum"
hoody containers proxy permissions patch -c $CONTAINER_ID --groups web='{"password":"third horse"}' >/dev/null
tap_is http2_asks "$(get2 $OUTSIDE files /)" '2 401'
tap_like http2_challenge_basic "$(cat "$WORK/head")" '^www-authenticate: Basic realm="files"'
tap_is http2_password_body_waits "$(get2 $OUTSIDE files / -u 'anna:third horse' -T "$WORK/blob"; app_saw .sha)" "2 200$sum"
tap_is http2_app_does_not_see_our_password "$(app_saw .authorization)" null
hoody containers proxy permissions patch -c $CONTAINER_ID --groups web='{"password":"fourth horse"}' >/dev/null
tap_is http2_password_wrong "$(get2 $OUTSIDE files / -u 'anna:third horse' -T "$WORK/blob")" '2 401'
tap_is http2_many_wait "$(python3 - "$WORK/server.crt" "$PROJECT_ID-$CONTAINER_ID-files-1.$BASE" <<'PY'
import base64, socket, ssl, sys
import h2.connection, h2.events
context = ssl.create_default_context(cafile=sys.argv[1])
context.set_alpn_protocols(["h2"])
s = context.wrap_socket(socket.create_connection(("127.0.0.1", 8453)), server_hostname=sys.argv[2])
c = h2.connection.H2Connection()
c.initiate_connection()
basic = "Basic " + base64.b64encode(b"anna:fourth horse").decode()
for n in range(20):
    stream = c.get_next_available_stream_id()
    c.send_headers(stream, [(":method", "POST"), (":scheme", "https"), (":authority", sys.argv[2]), (":path", "/%d" % n), ("authorization", basic)])
    c.send_data(stream, b"x" * 1000)
    c.send_headers(stream, [("x-sum", "1")], end_stream=True)
s.sendall(c.data_to_send())
statuses, ended = {}, 0
while ended < 20:
    data = s.recv(65536)
    if not data: break
    for e in c.receive_data(data):
        if isinstance(e, h2.events.ResponseReceived): statuses[dict(e.headers)[b":status"]] = statuses.get(dict(e.headers)[b":status"], 0) + 1
        if isinstance(e, h2.events.DataReceived): c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        if isinstance(e, h2.events.StreamEnded): ended += 1
    s.sendall(c.data_to_send())
# The client's share of checks is 16: what goes beyond may be told to come again.
print(statuses.get(b"200", 0) >= 16, sum(statuses.get(s, 0) for s in (b"200", b"429")), ended)
PY
)" 'True 20 20'
hoody containers proxy permissions patch -c $CONTAINER_ID --groups web='{"password":"third horse"}' >/dev/null
basic=$(printf 'anna:third horse' | base64)
answers=$(python3 - "$basic" "$PROJECT_ID-$CONTAINER_ID-files-1.$BASE" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", 8090))
one = "%s /%d HTTP/1.1\r\nHost: " + sys.argv[2] + "\r\nAuthorization: Basic " + sys.argv[1] + "\r\n%s\r\n"
s.sendall((one % ("GET", 1, "") + one % ("POST", 2, "Content-Length: 5\r\n") + "hello" + one % ("GET", 3, "Connection: close\r\n")).encode())
data = b""
while True:
    more = s.recv(65536)
    if not more: break
    data += more
print(data.count(b"200 OK"), [p in data for p in (b'"/1"', b'"/2", "bytes": 5', b'"/3"')])
PY
)
tap_is password_pipelined "$answers" '3 [True, True, True]'
for n in $(seq 60); do echo "$n"; done | xargs -P 30 -I{} curl -s -o /dev/null -w '%{http_code}\n' --max-time 60 \
	-u 'anna:guess {}' --resolve "$PROJECT_ID-$CONTAINER_ID-files-1.$BASE:8090:127.0.0.1" \
	"http://$PROJECT_ID-$CONTAINER_ID-files-1.$BASE:8090/" | sort -u >"$WORK/statuses"
tap_is password_guesses_are_refused "$(grep -cv -e 401 -e 429 "$WORK/statuses")" 0
tap_is password_right_after_guesses "$(get $OUTSIDE files / -u 'anna:third horse')" 200
abandon() { ! timeout 0.005 curl -s -o /dev/null -u "anna:gone $1" -H "Host: $PROJECT_ID-$CONTAINER_ID-files-1.$BASE" http://127.0.0.1:8090/; }
for n in $(seq 30); do abandon "$n"; done
tap_is clients_that_leave_while_they_wait "$(get $OUTSIDE files / -u 'anna:third horse')" 200

# --- JWT -------------------------------------------------------------------------------------
python3 - "$WORK" <<'PY'
import base64, json, sys, time
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
key = ec.generate_private_key(ec.SECP256R1())
point = key.public_key().public_numbers()
json.dump({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}]},
          open(sys.argv[1] + "/jwks/issuer.json", "w"))
def token(name, exp, role):
    data = b64(b'{"alg":"ES256","kid":"k"}') + "." + b64(json.dumps({"exp": exp, "role": role}).encode())
    r, s = decode_dss_signature(key.sign(data.encode(), ec.ECDSA(hashes.SHA256())))
    open(sys.argv[1] + "/" + name, "w").write(data + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big")))
token("good", time.time() + 600, "operator")
token("expired", time.time() - 600, "operator")
token("guest", time.time() + 600, "guest")
PY
tap_run jwt_replace hoody containers proxy permissions replace -c $CONTAINER_ID \
	--groups api='{"type":"jwt","jwks":"issuer.json","claims":{"role":"operator"}}' --permissions api='{"exec":true}' --default deny
tap_is jwt_good "$(get $OUTSIDE exec / -H "Authorization: Bearer $(cat "$WORK/good")")" 200
tap_is app_does_not_see_our_jwt "$(app_saw .authorization)" null
tap_is jwt_expired "$(get $OUTSIDE exec / -H "Authorization: Bearer $(cat "$WORK/expired")")" 401
tap_is jwt_other_role "$(get $OUTSIDE exec / -H "Authorization: Bearer $(cat "$WORK/guest")")" 401
tap_refused jwt_file_that_is_missing hoody containers proxy permissions patch -c $CONTAINER_ID --groups api='{"jwks":"other.json"}'

# --- levels, refusals, what is stored ------------------------------------------------------------
tap_run container_open_in_closed_project hoody containers proxy permissions replace -c $CONTAINER_ID --default allow
tap_is container_overrides_project "$(get $OUTSIDE sqlite /)" 200
tap_run container_says_nothing hoody containers proxy permissions replace -c $CONTAINER_ID
tap_is container_inherits "$(get $OUTSIDE terminal /) $(get $OFFICE terminal /)" '403 200'
tap_is bad_body_names_its_field "$(api PUT $of_container '{"groups":{"a":{"type":"ip","range":"10.0.0.1/8"}}}') $(jq -r .error.field "$WORK/answer")" '422 groups.a.range'
tap_is unknown_field_is_refused "$(api PATCH $of_container '{"grups":{}}') $(jq -r '.error | .code + " " + .field' "$WORK/answer")" '422 unknown_field grups'
tap_is other_project_is_refused "$(api PATCH $of_container '{"project":"'$CONTAINER_ID'"}') $(jq -r .error.field "$WORK/answer")" '422 project'
tap_is unknown_container "$(api PUT /api/v1/containers/aaaaaaaaaaaaaaaaaaaaaaaa/proxy/permissions '{}')" 404

# --- what is taken away ends ---------------------------------------------------------------------
hold() { # NAME FROM OPTION...: a response that goes on; its end's status goes to $WORK/NAME.status
	local name=$1 from=$2
	shift 2
	{
		curl -sN --max-time 120 --interface "$from" -o "$WORK/$name" -H "Host: $PROJECT_ID-$CONTAINER_ID-exec-1.$BASE" "$@" http://127.0.0.1:8090/hold
		echo $? >"$WORK/$name.status"
	} &
	tap_cleanup "kill $!"
	tap_need 30 test -s "$WORK/$name"
}
hoody projects proxy permissions replace --project $PROJECT_ID --default allow >/dev/null
hold from_open $OUTSIDE
hoody containers proxy permissions replace -c $CONTAINER_ID --default deny \
	--groups ci='{"type":"token","value":"first-token"}' --groups office='{"type":"ip","range":"203.0.113.0/24"}' \
	--permissions ci='{"exec":true}' --permissions office='{"exec":true}' >/dev/null
tap_run cut_what_was_open tap_wait 30 test -s "$WORK/from_open.status"
hold by_token $OUTSIDE -H 'Authorization: Bearer first-token'
hold by_address $OFFICE
{
	get2 $OUTSIDE exec /hold -N -H 'Authorization: Bearer first-token' >/dev/null
	echo $? >"$WORK/by_http2.status"
} &
tap_cleanup "kill $!"
tap_need 30 test -s "$WORK/page"
hoody containers proxy permissions patch -c $CONTAINER_ID --groups ci='{"value":"second-token"}' >/dev/null
tap_run cut_over_http2 tap_wait 30 test -s "$WORK/by_http2.status"
tap_run cut_by_changed_token tap_wait 30 test -s "$WORK/by_token.status"
tap_refused keep_what_is_still_allowed test -s "$WORK/by_address.status"
hoody containers proxy permissions patch -c $CONTAINER_ID --permissions office=null >/dev/null
tap_run cut_by_withdrawn_permission tap_wait 30 test -s "$WORK/by_address.status"

# --- restart, and the built-in table replaced -------------------------------------------------------
stop_agent
tap_is database_holds_no_secret "$(cat "$WORK"/state/state.db* | grep -ac -e second-token -e 'horse' -e secret-production-token)" 0
start_agent
tap_is restart_keeps_permissions "$(get $OUTSIDE exec /) $(get $OUTSIDE exec / -H 'Authorization: Bearer second-token')" '401 200'
printf 'exec GET /** look\nexec * /** touch\n' >"$WORK/actions"
sed -i "/^jwks_directory/a actions = $WORK/actions" "$WORK/agent.conf"
kill -HUP "$AGENT_PID"
reloaded() { grep -q 'reloaded:' "$WORK/log"; }
tap_need 30 reloaded
tap_run own_action hoody containers proxy permissions patch -c $CONTAINER_ID --permissions ci='{"exec":["look"]}'
tap_is own_table_decides "$(get $OUTSIDE exec / -H 'Authorization: Bearer second-token') $(get $OUTSIDE exec / -H 'Authorization: Bearer second-token' -d x)" '200 403'
hoody containers delete $CONTAINER_ID >/dev/null
tap_is deleted_container_has_no_permissions "$(curl -s --unix-socket "$SOCKET" -o /dev/null -w "%{http_code}" "http://agent$of_container")" 404
stop_agent
tap_is deleted_row_is_gone "$(sqlite3 "$WORK/state/state.db" 'SELECT count(*) FROM permissions WHERE level = 1')" 0
tap_done
