#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The main job: unmodified servers in real containers see the real client, an
# nftables rule inside a container works on it, and deleting ends everything.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"
FIREWALL=auto	# as it is shipped

ROUTED=890abcdef12345678901cdef BRIDGED=890abcdef12345678901cde0
tap_plan 24

system_client_net "$CLIENT4" 203.0.113.51 "$CLIENT6" 2001:db8:1::51
system_module
system_config
system_agent
system_bridge

tap_run container_starts_routed container web "$ROUTED" routed 2 "$NODE_SERVER"
tap_run container_starts_bridged container files "$BRIDGED" bridge 3 "$PYTHON_SERVER"
container_ready web || tap_note "web: $(lxc-attach -n web -- ss -ltn 2>&1)"
container_ready files || tap_note "files: $(lxc-attach -n files -- ss -ltn 2>&1)"
tap_like hook_registers_running "$(hoody containers list)" "$ROUTED.*running"

tap_like node_sees_the_client_v4 "$(fetch --interface $CLIENT4 "$(host_of $ROUTED)" / 2>&1)" "Your IP: (::ffff:)?$CLIENT4\$"
tap_like node_sees_the_client_v6 "$(fetch -6 --interface $CLIENT6 "$(host_of $ROUTED)" / 2>&1)" "Your IP: $CLIENT6\$"
tap_like python_serves_bridged_v4 "$(fetch --interface $CLIENT4 "$(host_of $BRIDGED)" / 2>&1)" "Directory listing"
tap_like python_logs_the_client_v4 "$(lxc-attach -n files -- cat /var/log/http)" "^(::ffff:)?$CLIENT4 .*GET / HTTP"
tap_like python_serves_bridged_v6 "$(fetch -6 --interface $CLIENT6 "$(host_of $BRIDGED)" / 2>&1)" "Directory listing"
tap_like python_logs_the_client_v6 "$(lxc-attach -n files -- cat /var/log/http)" "^$CLIENT6 .*GET / HTTP"

# A container of this host as the client, by the public URL of another.
from_container() { # NAME HOST
	lxc-attach -n "$1" -- curl -sk --max-time 60 --connect-to ::203.0.113.1:443 "https://$2/"
}
tap_like bridged_container_is_seen_by_routed "$(from_container files "$(host_of $ROUTED)" 2>&1)" 'Your IP: (::ffff:)?10\.80\.1\.3$'
tap_like routed_container_gets_bridged_page "$(from_container web "$(host_of $BRIDGED)" 2>&1)" "Directory listing"
tap_like routed_container_is_seen_by_bridged "$(lxc-attach -n files -- cat /var/log/http)" '^(::ffff:)?10\.80\.0\.2 .*GET / HTTP'

# Ordinary nftables, inside, for one client's address.
lxc-attach -n web -- nft -f - <<RULES
table inet office {
	chain input {
		type filter hook input priority 0; policy accept;
		ip saddr 203.0.113.51 tcp dport 8080 counter reject with tcp reset
		ip6 saddr 2001:db8:1::51 tcp dport 8080 counter reject with tcp reset
	}
}
RULES
tap_is nftables_inside_blocks_that_client "$(fetch --interface 203.0.113.51 -o /dev/null -w '%{http_code}' "$(host_of $ROUTED)" / 2>&1)" 502
tap_is nftables_inside_blocks_that_client_v6 "$(fetch -6 --interface 2001:db8:1::51 -o /dev/null -w '%{http_code}' "$(host_of $ROUTED)" / 2>&1)" 502
tap_like nftables_inside_lets_the_other_pass "$(fetch --interface $CLIENT4 "$(host_of $ROUTED)" / 2>&1)" "Your IP: (::ffff:)?$CLIENT4\$"

# A container that talks to the client from its service's own port: that client's
# next connection, from the same port, would make the same pair.
PEER=890abcdef12345678901cde1
PEER_SERVER='exec python3 -c "
import http.server, socket, threading, time
own = socket.socket()
own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
own.bind((\"10.80.0.4\", 8080))
own.connect((\"203.0.113.51\", 9001))
def echo():
    while True:
        own.sendall(own.recv(100))
threading.Thread(target=echo, daemon=True).start()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = \"{} {}\".format(*self.client_address).encode()
        self.send_response(200)
        self.send_header(\"Content-Length\", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer((\"10.80.0.4\", 8080), Handler).serve_forever()
"'
in_client python3 - "$(host_of $PEER)" "$WORK/go" >"$WORK/pair" 2>&1 <<'PYTHON' &
import os, socket, sys, time
host, go = sys.argv[1:]
def fresh():
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(120)
    made.bind(("203.0.113.51", 9001))
    return made
listener = fresh()
listener.listen(1)
print("listens", flush=True)
theirs, _ = listener.accept()
listener.close()
end = time.monotonic() + 120
while not os.path.exists(go) and time.monotonic() < end:
    time.sleep(0.05)
ours = fresh()
ours.connect(("203.0.113.1", 80))
ours.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
answer = b""
while piece := ours.recv(4096):
    answer += piece
print("app saw", answer.decode().split("\r\n")[-1], flush=True)
theirs.sendall(b"alive")
print("own", theirs.recv(100).decode(), flush=True)
PYTHON
PAIR=$!
tap_need 30 grep -q listens "$WORK/pair"
sysctl -qw net.ipv4.conf.eth0.forwarding=1
# Another program of the host takes what has a transparent socket; ours have.
nft -f - <<RULES
table inet other {
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		socket transparent 1 meta mark set 7 accept
	}
}
RULES
tap_cleanup nft delete table inet other
ip rule add fwmark 7 lookup 100
tap_cleanup ip rule del fwmark 7
ip route add local default dev lo table 100
tap_cleanup ip route flush table 100
HOOK_SETTINGS="forward = yes" tap_run container_starts_peer container peer "$PEER" routed 4 "$PEER_SERVER"
container_ready peer
touch "$WORK/go"
wait $PAIR
tap_like pair_taken_same_address_other_port "$(cat "$WORK/pair")" 'app saw 203\.0\.113\.51 [0-9]+$'
tap_like pair_taken_own_connection_lives "$(cat "$WORK/pair")" 'own alive'

# An idle connection of the client and one that is being served, then the delete.
mkfifo "$WORK/hold"
in_client python3 - "$(host_of $BRIDGED)" "$CA/ca.pem" >"$WORK/held" 2>&1 <<'PYTHON' &
import socket, ssl, sys
host, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
connection = context.wrap_socket(socket.create_connection(("203.0.113.1", 443)), server_hostname=host)
request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
connection.sendall(request)
connection.recv(65536)
# Half a request: its exchange is open at the agent and at the container.
connection.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nhalf".encode())
print("open", flush=True)
while True:
    data = connection.recv(65536)
    if not data:
        break
print("ended", flush=True)
PYTHON
HELD=$!
tap_need 60 grep -q open "$WORK/held"
tap_run delete hoody containers delete "$BRIDGED"
tap_is deleted_url_answers_404 "$(fetch --interface $CLIENT4 -o /dev/null -w '%{http_code}' "$(host_of $BRIDGED)" / 2>&1)" 404
tap_run open_connection_ends tap_wait 30 grep -qE 'ended|Error' "$WORK/held"
wait $HELD 2>/dev/null
lxc-stop -k -n web
tap_is stopped_container_answers_503 "$(fetch --interface $CLIENT4 -o /dev/null -w '%{http_code}' "$(host_of $ROUTED)" / 2>&1)" 503
tap_is unknown_container_answers_503 "$(fetch --interface $CLIENT4 -o /dev/null -w '%{http_code}' "$(host_of 000000000000000000000001)" / 2>&1)" 503
tap_is no_route_answers_404 "$(fetch --interface $CLIENT4 -o /dev/null -w '%{http_code}' "nothing.$NODE.$BASE" / 2>&1)" 404
tap_done
