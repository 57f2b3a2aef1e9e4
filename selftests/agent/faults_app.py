# SPDX-License-Identifier: Apache-2.0
"""
The application behind faults.sh: one port that answers, one that reads a request's
head and nothing more, and one that answers with what no HTTP is.

usage: faults_app.py ADDRESS
"""
import http.server
import socket
import socketserver
import sys
import threading

ADDRESS = sys.argv[1]
OK = b"HTTP/1.1 200 OK\r\n"
# By the path: the bytes of an answer, after which the connection is closed.
GARBAGE = {
    "/nothing": b"",
    "/binary": bytes(range(256)) * 64,
    "/words": b"hello, here is no status line\r\n\r\n",
    "/version": b"HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/status": b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/field": OK + b"no colon in this line\r\nContent-Length: 5\r\n\r\nhello",
    "/name": OK + b"na me: value\r\nContent-Length: 5\r\n\r\nhello",
    "/zero": OK + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "/lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "/negative": OK + b"Content-Length: -5\r\n\r\nhello",
    "/huge": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "/both": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "/coding": OK + b"Transfer-Encoding: gzip, identity\r\n\r\nhello",
    "/half": OK + b"Content-Le",
    "/head": OK + b"X: " + b"y" * 1000000 + b"\r\n\r\n",
    "/fields": OK + b"X: y\r\n" * 20000 + b"\r\n",
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    # From here on the head is good and the client has it already.
    "/short": OK + b"Content-Length: 50\r\n\r\nhello",
    "/chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXYZ\r\n",
    "/chunks": OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello",
}


class Good(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512


def answer(connection):
    head = b""
    while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
        head += piece
    try:
        connection.sendall(GARBAGE.get(head.split(b" ")[1].decode(), b"") if b" " in head else b"")
    except OSError:
        pass
    connection.close()


def serve_garbage():
    listener = socket.create_server((ADDRESS, 8002), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def serve_nothing():
    held = []
    listener = socket.create_server((ADDRESS, 8001), backlog=128)
    while True:
        connection, _ = listener.accept()
        connection.recv(1)
        held.append(connection)


if ADDRESS == "list":
    print("\n".join(GARBAGE))
    sys.exit(0)
for serve in (serve_garbage, serve_nothing):
    threading.Thread(target=serve, daemon=True).start()
Server((ADDRESS, 8000), Good).serve_forever()
