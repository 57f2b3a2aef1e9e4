#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Request smuggling: some hundred requests that two programs might read in two ways
# (smuggling.txt), over HTTP/1.1 and HTTP/2, to nginx, Apache, Node and Python behind
# the worker. Each writes down what it was asked; it must be what the table says.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

export PLAIN=18081 TLS=18444 PREFIX DOMAIN HOST=$PREFIX-http-19101.$DOMAIN
declare -A servers=([nginx]=19101 [apache]=19102 [node]=19103 [python]=19104)

mkdir -p "$WORK/www"
chmod 755 "$WORK" "$WORK/www"
cat >"$WORK/nginx.conf" <<-NGINX
	daemon off; master_process off; pid $WORK/nginx.pid; error_log stderr crit;
	events {}
	http { log_format asked '\$request_method \$request_uri'; access_log $WORK/nginx.log asked;
	client_body_temp_path $WORK/t1; proxy_temp_path $WORK/t2; fastcgi_temp_path $WORK/t3;
	uwsgi_temp_path $WORK/t4; scgi_temp_path $WORK/t5; keepalive_requests 100000;
	server { listen 127.0.0.1:19101; location / { return 200 "ok\n"; } } }
NGINX
cat >"$WORK/apache.conf" <<-APACHE
	ServerRoot $WORK
	ServerName apache
	PidFile $WORK/apache.pid
	Listen 127.0.0.1:19102
	LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
	LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
	DocumentRoot $WORK/www
	User www-data
	Group www-data
	MaxKeepAliveRequests 0
	ErrorLog $WORK/apache.err
	LogFormat "%m %U" asked
	CustomLog $WORK/apache.log asked
	StartServers 1
	ServerLimit 2
	ThreadsPerChild 64
	MaxRequestWorkers 128
APACHE
cat >"$WORK/app.js" <<-'JS'
	const fs = require('fs'), http = require('http'), log = fs.openSync(process.argv[2], 'a');
	const server = http.createServer((q, r) => {
		fs.writeSync(log, q.method + ' ' + q.url + '\n');
		q.resume(); q.on('end', () => r.end('ok\n'));
	});
	server.on('clientError', (error, socket) => {
		if (error.code !== 'ECONNRESET' && error.code !== 'HPE_INVALID_EOF_STATE') fs.writeSync(log, 'ERROR ' + error.code + '\n');
		socket.destroy();
	});
	server.on('upgrade', (q, socket) => { fs.writeSync(log, 'UPGRADE ' + q.url + '\n'); socket.destroy(); });
	server.listen(19103, '127.0.0.1');
JS
cat >"$WORK/app.py" <<-'PY'
	import http.server, socketserver, sys
	class Handler(http.server.BaseHTTPRequestHandler):
	    protocol_version = "HTTP/1.1"
	    def log_message(self, *args): pass
	    def log_error(self, text, *args): note("ERROR %s" % (text % args))
	    def answer(self):
	        note("%s %s" % (self.command, self.path))
	        left = int(self.headers.get("Content-Length", 0))
	        while left: left -= len(self.rfile.read(min(left, 65536)) or exit())
	        while self.headers.get("Transfer-Encoding") == "chunked":
	            line = self.rfile.readline()
	            if not line: self.close_connection = True; return
	            if not int(line, 16):
	                while self.rfile.readline().strip(): pass
	                break
	            self.rfile.read(int(line, 16) + 2)
	        self.send_response(200)
	        self.send_header("Content-Length", "3")
	        self.end_headers()
	        self.wfile.write(b"ok\n")
	    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer
	def note(text):
	    with open(sys.argv[1], "a") as log: log.write(text + "\n")
	class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
	    daemon_threads = True
	    request_queue_size = 128
	    def handle_error(self, request, address): pass
	Server(("127.0.0.1", 19104), Handler).serve_forever()
PY
for name in "${!servers[@]}"; do : >"$WORK/$name.log"; done
serve 19101 nginx -c "$WORK/nginx.conf" -e stderr
serve 19102 apache2 -f "$WORK/apache.conf" -DFOREGROUND
serve 19103 node "$WORK/app.js" "$WORK/node.log"
serve 19104 python3 "$WORK/app.py" "$WORK/python.log"

certificate "$WORK/pem"
driver_start -l 127.0.0.1:$PLAIN -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1 -t 2
corpus() { PYTHONDONTWRITEBYTECODE=1 timeout 300 python3 "$HERE/smuggling.py" "$1" "$HERE/smuggling.txt" "${@:2}"; }

tap_plan 7
count=$(corpus count)
tap_run "smuggling_cases ($count)" test "$count" -ge 200
tap_run smuggling_answers corpus send "${servers[@]}"
for name in nginx apache node python; do
	tap_need 60 corpus complete "$WORK/$name.log" "${servers[$name]}"
	tap_run "smuggling_$name" corpus check "$WORK/$name.log" "${servers[$name]}"
done
tap_run smuggling_worker_lives kill -0 "$WORKER"
driver_stop
tap_done
