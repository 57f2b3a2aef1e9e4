# SPDX-License-Identifier: Apache-2.0
"""
The application behind selftests/agent/upgrade.sh: a short answer, one that goes on
until the file $WORK/stop is there, and a WebSocket that sends back what it gets.

usage: upgrade_app.py ADDRESS PORT
"""
import base64
import hashlib
import http.server
import os
import socketserver
import sys
import time

STOP = os.environ["WORK"] + "/stop"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path == "/websocket":
            self.websocket()
        elif self.path == "/stream":
            self.stream()
        else:
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"beginend")

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not os.path.exists(STOP):
            self.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(b"3\r\nend\r\n0\r\n\r\n")

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"]
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(6)
            if len(head) < 6:
                return
            payload = bytes(b ^ head[2 + i % 4] for i, b in enumerate(self.rfile.read(head[1] & 0x7f)))
            self.wfile.write(bytes([head[0], len(payload)]) + payload)
            self.wfile.flush()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
