#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Certificates from files, and the plain port: which one is served for which name,
# what a changed, a broken and a removed file do, that no connection notices, that
# sessions are resumed by another worker and after their key was changed, and that
# the plain port leads to TLS and does nothing else.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need

PROJECT=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef
BASE=node-us.containers.test
ROUTE=$PROJECT-$CONTAINER_ID-http-1.$BASE

tap_plan 46

pair() { self_signed "$1" "${@/#/DNS:}"; } # FILE NAME...
mkdir "$WORK/new" "$WORK/certs"
for name in node node2; do pair "$WORK/new/$name" "*.$BASE"; done
pair "$WORK/new/shop" shop.example
pair "$WORK/new/shop2" shop.example
pair "$WORK/new/wild" '*.wild.example' wild.example
cp "$WORK/new/node.crt" "$WORK/new/node.key" "$WORK"
cp "$WORK/new/shop.crt" "$WORK/new/shop.key" "$WORK/certs"
cat "$WORK/new/wild.crt" "$WORK/new/wild.key" >"$WORK/certs/wild.pem"
write_config() { # [LINES for limits]
	cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.test
state_directory = $WORK/state
control_socket = $WORK/control.sock
threads = 2
real_ip = off
[firewall]
enabled = off
[listen]
tls = 127.0.0.1:8453
http = 127.0.0.1:8083
[tls]
certificate = $WORK/node.crt
key = $WORK/node.key
directory = $WORK/certs
ticket_rotation = ${2:-8h}
[limits]
connections_max = ${1:-1000}
CONF
}
write_config
start_agent
worker() { hoody status --json 2>/dev/null | jq -r .worker.pid; }

# --- which certificate -------------------------------------------------------------------
subject() { # NAME [OPTION...]
	local name=$1
	shift
	openssl s_client -connect 127.0.0.1:8453 -servername "$name" "$@" </dev/null 2>/dev/null |
		openssl x509 -noout -subject 2>/dev/null | sed 's/.*CN *= *//'
}
shows() { [ "$(subject "$1")" = "$2" ]; }
tap_is node_names_get_the_nodes "$(subject $ROUTE)" node
tap_is other_names_too "$(subject nobody.example)" node
tap_is no_name_too "$(openssl s_client -connect 127.0.0.1:8453 -noservername </dev/null 2>/dev/null | openssl x509 -noout -subject | sed 's/.*CN *= *//')" node
tap_is file_for_its_name "$(subject shop.example)" shop
tap_is name_in_any_case "$(subject SHOP.Example)" shop
tap_is file_with_both "$(subject wild.example)" wild
tap_is wildcard "$(subject a.wild.example)" wild
tap_is wildcard_is_one_label "$(subject b.a.wild.example)" node
tap_is tls_1_2_too "$(subject shop.example -tls1_2)" shop
tap_is http3_too "$(curl -sk --http3-only --max-time 30 --resolve shop.example:8453:127.0.0.1 -o /dev/null -w '%{certs}' https://shop.example:8453/ | sed -n 's/^Subject:.*CN *= *//p')" shop
tap_is no_challenge_no_protocol "$(openssl s_client -connect 127.0.0.1:8453 -servername shop.example -alpn acme-tls/1 </dev/null 2>&1 | grep -c 'no application protocol')" 1

# --- files that change -------------------------------------------------------------------
# One connection through all of it: a request now and one at the end.
cat >"$WORK/held.py" <<'PY'
import socket, ssl, sys
context = ssl._create_unverified_context()
s = context.wrap_socket(socket.create_connection(("127.0.0.1", 8453), 30), server_hostname="shop.example")
s.settimeout(60)
def ask():
    s.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        got = s.recv(4096)
        if not got:
            return "closed"
        data += got
    length = int(data.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = data.split(b"\r\n\r\n", 1)[1]
    while len(body) < length:
        body += s.recv(4096)
    return data.split(b" ")[1].decode()
for line in sys.stdin:
    print(ask(), flush=True)
PY
mkfifo "$WORK/ask" "$WORK/said"
python3 "$WORK/held.py" <"$WORK/ask" >"$WORK/said" 2>>"$WORK/held.log" &
tap_cleanup "kill $!"
exec 7>"$WORK/ask" 6<"$WORK/said"
held() { echo >&7; read -r -t 60 -u 6 line && echo "$line"; }
tap_is connection_is_there "$(held)" 404
cp "$WORK/new/shop2.key" "$WORK/certs/.k" && cp "$WORK/new/shop2.crt" "$WORK/certs/.c"
mv "$WORK/certs/.k" "$WORK/certs/shop.key" && mv "$WORK/certs/.c" "$WORK/certs/shop.crt"
tap_run renamed_files_are_served tap_wait 30 shows shop.example shop2
cp "$WORK/new/node2.key" "$WORK/node.key" && cp "$WORK/new/node2.crt" "$WORK/node.crt"
tap_run nodes_files_written_over_are_served tap_wait 30 shows $ROUTE node2
refused() { grep -q "certificate refused: file=$1 .*$2" "$WORK/log"; }
echo rubbish >"$WORK/certs/shop.crt"
tap_run broken_file_is_said tap_wait 30 refused shop.crt 'no certificate in PEM.*stays in force'
tap_is and_the_one_before_is_served "$(subject shop.example)" shop2
cp "$WORK/new/shop.crt" "$WORK/certs/shop.crt"
tap_run key_of_another_is_said tap_wait 30 refused shop.crt 'not the key of the first certificate'
tap_is and_again "$(subject shop.example)" shop2
: >"$WORK/node.crt"
tap_run broken_nodes_file_is_said tap_wait 30 refused "$WORK/node.crt" 'no file of 1 to'
tap_is and_the_nodes_is_served "$(subject $ROUTE)" node2
cp "$WORK/new/shop.key" "$WORK/certs/shop.key"
tap_run put_right_it_is_served tap_wait 30 shows shop.example shop
cp "$WORK/new/node.key" "$WORK/node.key" && cp "$WORK/new/node.crt" "$WORK/node.crt"
tap_run nodes_put_right_is_served tap_wait 30 shows $ROUTE node
rm "$WORK/certs/wild.pem"
tap_run removed_file_is_not_served tap_wait 30 shows wild.example node
cat "$WORK/new/wild.crt" "$WORK/new/wild.key" >"$WORK/certs/wild.pem"
tap_run new_file_is_served tap_wait 30 shows wild.example wild
tap_is connection_has_not_noticed "$(held)" 404
tap_is worker_is_the_same "$(hoody status --json | jq -r .worker.restarts)" 0

# --- sessions ----------------------------------------------------------------------------
cat >"$WORK/session.py" <<'PY'
import socket, ssl, sys
versions = {"2": ssl.TLSVersion.TLSv1_2, "3": ssl.TLSVersion.TLSv1_3}
context = ssl._create_unverified_context()
context.minimum_version = context.maximum_version = versions[sys.argv[1]]
def ask(session):
    raw = socket.create_connection(("127.0.0.1", 8453), 30)
    s = context.wrap_socket(raw, server_hostname="shop.example", session=session)
    s.sendall(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
    while s.recv(4096):
        pass
    return s.session_reused, s.session
session = ask(None)[1]
for line in sys.stdin:
    reused, _ = ask(session)
    print("resumed" if reused else "new", flush=True)
PY
session_start() { # TLS VERSION, FDS
	rm -f "$WORK/in$1" "$WORK/out$1"
	mkfifo "$WORK/in$1" "$WORK/out$1"
	python3 "$WORK/session.py" "$1" <"$WORK/in$1" >"$WORK/out$1" 2>>"$WORK/held.log" &
	tap_cleanup "kill $!"
	eval "exec $2>'$WORK/in$1' $3<'$WORK/out$1'"
	ask "$2" "$3" >"$WORK/first$1"
}
ask() { echo >&"$1"; read -r -t 60 -u "$2" line && echo "$line"; }
session_start 2 20 21
session_start 3 22 23
tap_is session_is_resumed_tls_1_2 "$(cat "$WORK/first2")" resumed
tap_is session_is_resumed_tls_1_3 "$(cat "$WORK/first3")" resumed
old=$(worker)
write_config 1001
kill -HUP $AGENT_PID
replaced() { serving && [ "$(worker)" != "$old" ]; }
tap_run worker_is_replaced tap_wait 60 replaced
tap_is another_worker_resumes_tls_1_2 "$(ask 20 21)" resumed
tap_is another_worker_resumes_tls_1_3 "$(ask 22 23)" resumed
write_config 1001 1s
kill -HUP $AGENT_PID
# Three keys are known: after three changes the first one's tickets are worth nothing.
forgotten() { [ "$(ask 20 21)" = new ]; }
tap_run tickets_of_forgotten_keys_are_not_resumed tap_wait 60 forgotten
tap_is they_are_served_all_the_same "$(ask 22 23)" new

# --- the plain port ----------------------------------------------------------------------
plain() { # HOST PATH [CURL-OPTION...]
	local host=$1 path=$2
	shift 2
	curl -s --max-time 30 -o "$WORK/page" -w '%{http_code} %{redirect_url}' --path-as-is "$@" -H "Host: $host" "http://127.0.0.1:8083$path"
}
tap_is leads_to_tls "$(plain $ROUTE '/a/b?c=d&e=%20')" "308 https://$ROUTE:8453/a/b?c=d&e=%20"
tap_is any_case_and_port "$(plain "${ROUTE^^}:80" /)" "308 https://$ROUTE:8453/"
tap_is post_is_redirected_unread "$(plain $ROUTE /x -d body)" "308 https://$ROUTE:8453/x"
tap_is name_of_nobody "$(plain nobody.example /)" "404 "
tap_is no_name "$(plain '' / )" "400 "
tap_is challenge_of_nobody "$(plain $ROUTE /.well-known/acme-challenge/x)" "404 "
raw() { # BYTES as printf has them: the status lines that come
	exec 5<>/dev/tcp/127.0.0.1/8083
	printf "$1" >&5
	timeout 60 cat <&5 | grep -a '^HTTP/' | cut -d' ' -f2 | tr '\n' ' '
	exec 5<&-
}
tap_is two_lengths "$(raw "POST / HTTP/1.1\r\nHost: $ROUTE\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")" "400 "
tap_is length_and_chunked "$(raw "POST / HTTP/1.1\r\nHost: $ROUTE\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: $ROUTE\r\n\r\n")" "400 "
tap_is line_in_a_target "$(raw "GET /a\\nLocation:b HTTP/1.1\r\nHost: $ROUTE\r\n\r\n")" "400 "
tap_is two_hosts "$(raw "GET / HTTP/1.1\r\nHost: $ROUTE\r\nHost: x\r\n\r\n")" "400 "
tap_is a_tunnel "$(raw "CONNECT $ROUTE:443 HTTP/1.1\r\nHost: $ROUTE:443\r\n\r\n")" "501 "
tap_is http2_is_not_spoken "$(raw "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")" "505 "
long=$(head -c 20000 /dev/zero | tr '\0' a)
tap_is long_target "$(raw "GET /$long HTTP/1.1\r\nHost: $ROUTE\r\n\r\n")" "414 "

tap_done
