#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# 1 GiB up and down through the whole agent with real IP, on a client path with
# an MTU of 1280, with bounded memory; and lost SYNs on both sides.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

ID=890abcdef12345678901cdef
GIB=$((1 << 30))
tap_plan 8

system_client_net "$CLIENT4" 203.0.113.51 203.0.113.52 "$CLIENT6"
system_module
system_config
system_agent

COUNT_SERVER='cat >/srv/count.py <<APP
import http.server, socket
GIB, PIECE = 1 << 30, bytearray(1 << 20)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def head(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
    def do_GET(self):
        self.head(GIB)
        for _ in range(GIB // len(PIECE)):
            self.wfile.write(PIECE)
    def do_PUT(self):
        room, got, length = memoryview(bytearray(1 << 20)), 0, int(self.headers.get("Content-Length", 0))
        while got < length:
            got += self.rfile.readinto(room[:min(len(room), length - got)]) or exit("cut off")
        answer = f"{self.client_address[0]} {got}\n".encode()
        self.head(len(answer))
        self.wfile.write(answer)
    do_POST = do_OPTIONS = do_PUT
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 8080), Handler).serve_forever()
APP
exec python3 /srv/count.py >/var/log/http 2>&1'
tap_run container_starts container web "$ID" routed 2 "$COUNT_SERVER"
container_ready web

url=http://$(host_of $ID)/
plain() { in_client curl -sS --max-time 400 --connect-to "::203.0.113.1:80" --interface "$CLIENT4" "$@" "$url"; }
peak() { awk '/VmHWM/ { print $2 }' "/proc/$(hoody status --json | jq -r .worker.pid)/status"; }

plain -o /dev/null -X OPTIONS >/dev/null
start=$(peak)
tap_is gib_down "$(plain -o /dev/null -w '%{http_code} %{size_download}' 2>&1)" "200 $GIB"
truncate -s $GIB "$WORK/gib"
tap_like gib_up "$(plain -T "$WORK/gib" 2>&1)" "^(::ffff:)?$CLIENT4 $GIB\$"
tap_note "worker's peak before and after: $start kB, $(peak) kB"
tap_run memory_stays_bounded test $(($(peak) - start)) -lt 16384

# A client behind a link of 1280 bytes, over TLS as well.
in_client ip link set eth0 mtu 1280
ip link set eth0 mtu 1280
truncate -s 16M "$WORK/small"
tap_like mtu_1280_up "$(plain -T "$WORK/small" 2>&1)" "^(::ffff:)?$CLIENT4 16777216\$"
tap_like mtu_1280_tls_v6_up "$(fetch -6 --interface "$CLIENT6" -T "$WORK/small" "$(host_of $ID)" / 2>&1)" "^$CLIENT6 16777216\$"
# And a container whose link is narrower than the host thinks. Its SYN-ACK says
# so, hence a client of its own: on a kept connection the larger segment size was
# agreed before the link became narrow, and nothing would ever tell the host.
lxc-attach -n web -- ip link set eth0 mtu 1280
tap_like narrow_container_up "$(plain -T "$WORK/small" --interface 203.0.113.52 2>&1)" "^(::ffff:)?203\.0\.113\.52 16777216\$"

# The first SYN towards the container is lost: TCP sends it again.
lxc-attach -n web -- nft -f - <<RULES
table inet lossy {
	chain input {
		type filter hook input priority 0;
		tcp flags & (syn | ack) == syn tcp dport 8080 limit rate over 1/minute burst 1 packets accept
		tcp flags & (syn | ack) == syn tcp dport 8080 drop
	}
}
RULES
# (a client of its own, so that no kept connection is used)
tap_like lost_syn_is_sent_again "$(plain -X POST -d x --interface 203.0.113.51 2>&1)" "^(::ffff:)?203\.0\.113\.51 1\$"
tap_done
