#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A browser (headless Chromium) in front of the agent: a page, what the page fetches,
# events, a WebSocket, over HTTP/2 and, where QUIC is forced, over HTTP/3 (but for the
# WebSocket, which this browser opens over TCP); and a password that the browser is
# asked for. What the page found it sends to the app, which writes it down; which
# protocol it came by is in the audit trail.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces
BROWSER=$(command -v chromium-headless-shell) || tap_skip_all "there is no chromium-headless-shell"

PROJECT_ID=aaaaaaaaaaaaaaaaaaaaaaaa
CONTAINER_ID=bbbbbbbbbbbbbbbbbbbbbbbb
BASE=node-us.containers.example.com
TLS=8455
NETNS=hoody-browser-$$

tap_plan 11

netns_container $NETNS veth-b 10.82.0.1/24 10.82.0.2/24
# An address that comes a second later, as IPv6's own does, is a change of the network
# to a browser: it fails what is under way.
ip link set veth-b down
ip link set veth-b addrgenmode none
ip link set veth-b up
cat >"$WORK/app.js" <<'JS'
const fs = require('fs'), http = require('http'), ws = require('ws');
const page = `<!doctype html><title>app</title><script>
(async () => {
	/* Not of the page's own address: that may have a password in it. */
	const at = path => location.origin + path, seen = { page: document.title };
	const echo = await fetch(at('/echo?way=') + location.search.slice(1), { method: 'POST', body: 'x'.repeat(200000) });
	seen.fetched = echo.status + ' ' + await echo.text();
	const many = await Promise.all([...Array(50).keys()].map(n => fetch(at('/number/') + n).then(r => r.text())));
	seen.many = many.every((text, n) => text === String(n));
	const events = await fetch(at('/events')).then(r => r.text());
	seen.events = events.split('data: ').length - 1;
	seen.websocket = await new Promise(done => {
		const socket = new WebSocket('wss://' + location.host + '/socket' + location.search);
		let got = [];
		socket.onopen = () => { socket.send('hello'); socket.send(new Uint8Array(100000)); };
		socket.onmessage = e => { got.push(e.data.length || e.data.size); if (got.length === 2) socket.close(1000, 'enough'); };
		socket.onclose = e => done(got + ' ' + e.code + ' ' + e.reason + ' ' + e.wasClean);
		socket.onerror = () => got.push('error');
	});
	await fetch(at('/seen?') + location.search.slice(1), { method: 'POST', body: JSON.stringify(seen) });
})();
</script>`;
function body(q, then) { let text = ''; q.on('data', d => text += d); q.on('end', () => then(text)); }
const server = http.createServer((q, r) => body(q, text => {
	const path = q.url.split('?')[0];
	if (path === '/echo') r.end(String(text.length));
	else if (path === '/events') {
		r.writeHead(200, { 'Content-Type': 'text/event-stream' });
		let n = 0;
		const timer = setInterval(() => { r.write('data: ' + n + '\n\n'); if (++n === 3) { clearInterval(timer); r.end(); } }, 20);
	} else if (path.startsWith('/number/')) r.end(path.slice(8));
	else if (path === '/seen') { fs.appendFileSync(process.argv[2], q.url.split('?')[1] + ' ' + text + '\n'); r.end(); }
	else if (path === '/favicon.ico') { r.writeHead(404); r.end(); }
	else { r.writeHead(200, { 'Content-Type': 'text/html' }); r.end(page); }
}));
const sockets = new ws.WebSocketServer({ server });
sockets.on('connection', socket => socket.on('message', (data, binary) => socket.send(data, { binary })));
server.listen(8000, '10.82.0.2');
JS
: >"$WORK/seen"
ip netns exec $NETNS node "$WORK/app.js" "$WORK/seen" 2>"$WORK/app.log" &
tap_cleanup "kill $!"
tap_up 10.82.0.2/8000 "$WORK/app.log" ip netns exec $NETNS

self_signed "$WORK/server" "DNS:*.$BASE"
pin=$(openssl x509 -in "$WORK/server.crt" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $WORK/control.sock
	threads = 2
	real_ip = off
	[listen]
	tls = 127.0.0.1:$TLS
	[tls]
	certificate = $WORK/server.crt
	key = $WORK/server.key
	[audit]
	query = keep
CONF
start_agent
hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --address 10.82.0.2 >/dev/null &&
	hoody containers start $CONTAINER_ID >/dev/null || tap_bail "the container cannot be registered"

host=$PROJECT_ID-$CONTAINER_ID-http-8000.$BASE
has_seen() { grep -q "^$1 " "$WORK/seen"; }
browse() { # WAY URL [OPTION...]: until the page has said what it found
	local way=$1 url=$2 pid status=0
	shift 2
	HOME=$WORK "$BROWSER" --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking \
		--disable-component-update --no-first-run --user-data-dir="$WORK/$way" --remote-debugging-port=0 \
		--host-resolver-rules="MAP *.$BASE 127.0.0.1" --ignore-certificate-errors-spki-list="$pin" \
		"$@" "$url" >"$WORK/$way.log" 2>&1 &
	pid=$!
	tap_cleanup "kill $pid"
	tap_wait 120 has_seen "$way" || status=1
	kill $pid
	wait $pid 2>/dev/null
	[ $status = 0 ] || tail -n 20 "$WORK/$way.log"
	return $status
}
found() { sed -n "s/^$1 //p" "$WORK/seen" | head -n 1; }
# Which way a request came, by the trail: "protocol status upgraded".
came() {
	hoody logs query -c $CONTAINER_ID --limit 500 --json | jq -rs --arg path "$1" \
		'[.[] | if type == "array" then .[] else . end | select(.path == $path)][0] | "\(.protocol) \(.status) \(.upgraded)"'
}
came_by() { [ "$(came "$1")" = "$2" ]; }

tap_run http2_page browse h2 "https://$host:$TLS/?h2"
tap_is http2_found "$(found h2)" '{"page":"app","fetched":"200 200000","many":true,"events":3,"websocket":"5,100000 1000 enough true"}'
tap_run http2_page_by tap_wait 60 came_by '/?h2' 'h2 200 false'
tap_run http2_websocket_by tap_wait 60 came_by '/socket?h2' 'h2 101 true'

tap_run http3_page browse h3 "https://$host:$TLS/?h3" --enable-quic --origin-to-force-quic-on="$host:$TLS"
tap_is http3_found "$(found h3)" '{"page":"app","fetched":"200 200000","many":true,"events":3,"websocket":"5,100000 1000 enough true"}'
tap_run http3_page_by tap_wait 60 came_by '/?h3' 'h3 200 false'
tap_run http3_fetch_by tap_wait 60 came_by '/echo?way=h3' 'h3 200 false'

# ---- a password, which the browser has but gives only to one that asks ----
hoody containers proxy permissions replace -c $CONTAINER_ID --default deny \
	--groups web='{"type":"password","username":"anna","password":"correct horse"}' \
	--permissions web='{"http":true}' >/dev/null || tap_note "no permissions"
tap_run password_page browse password "https://anna:correct%20horse@$host:$TLS/?password"
tap_is password_found "$(found password)" '{"page":"app","fetched":"200 200000","many":true,"events":3,"websocket":"5,100000 1000 enough true"}'
asked() {
	hoody logs query -c $CONTAINER_ID --limit 500 --json | jq -rs '[.[] | if type == "array" then .[] else . end | select(.path == "/?password") | .status] | sort | unique | @csv'
}
has_asked() { [ "$(asked)" = '200,401' ]; }
tap_run password_was_asked_for tap_wait 60 has_asked
[ "${tap_failed:?}" = 0 ] || tap_note "$(cat "$WORK/seen"; tail -n 5 "$WORK/log")"
tap_done
