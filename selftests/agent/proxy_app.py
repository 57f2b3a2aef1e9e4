#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
An app for selftests/agent/proxy.sh that does on its wire what well-behaved
servers cannot be made to do: it answers early, dies in the middle, closes kept
connections, sends any bytes. What it received is recorded, byte by byte.

usage: proxy_app.py PORT RECORD
"""
import base64
import hashlib
import os
import socket
import sys
import threading
import urllib.parse

connections = 0
lock = threading.Lock()
record = None


class Gone(Exception):
    pass


class Connection:
    def __init__(self, sock, number):
        self.sock, self.number, self.buffer, self.requests = sock, number, b"", 0
        self.recording = True

    def more(self):
        data = self.sock.recv(262144)
        if not data:
            raise Gone
        if self.recording:
            with lock:
                record.write(data)
                record.flush()
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        lines = [self.line()]
        while True:
            line = self.line()
            if not line:
                break
            lines.append(line)
        self.requests += 1
        self.lines = [line.decode("latin-1") for line in lines]
        self.method, self.target, _ = self.lines[0].split(" ")
        self.fields = {}
        for text in self.lines[1:]:
            name, value = text.split(":", 1)
            self.fields[name.lower()] = value.strip()

    def body(self):
        """Yields the pieces; self.trailers holds what follows a chunked one."""
        self.trailers = []
        if self.fields.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.line(), 16)
                if not size:
                    break
                yield self.take(size)
                assert self.take(2) == b"\r\n"
            while True:
                line = self.line()
                if not line:
                    return
                self.trailers.append(line.decode("latin-1"))
        left = int(self.fields.get("content-length", 0))
        while left:
            if not self.buffer:
                self.more()
            piece = self.take(min(left, len(self.buffer)))
            left -= len(piece)
            yield piece

    def send(self, data):
        self.sock.sendall(data)

    def answer(self, body, extra="", status="200 OK"):
        if isinstance(body, str):
            body = body.encode("latin-1")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        self.send(head.encode() + (b"" if self.method == "HEAD" else body))

    def drain(self):
        for _ in self.body():
            pass

    # ---- what each path does; a true result closes the connection ----

    def do_head(self):
        self.drain()
        self.answer("\n".join(self.lines) + "\n", "Server: app\r\nX-Hop: 1\r\nConnection: x-hop\r\n")

    def do_count(self):
        self.drain()
        self.answer(f"{self.number} {self.requests}\n")

    def do_upload(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        self.answer(f"{length} {digest.hexdigest()} {' '.join(self.trailers)}\n")

    def do_sink(self):
        """Counts only: what is a gigabyte is not recorded."""
        length, self.recording = 0, False
        for piece in self.body():
            length += len(piece)
        self.recording = True
        self.answer(f"{length}\n")

    def do_big(self):
        self.drain()
        length = int(self.query)
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        block = bytes(range(256)) * 256
        while length:
            piece = block[:min(length, len(block))]
            self.send(piece)
            length -= len(piece)

    def do_chunked(self):
        self.drain()
        self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        for piece in (b"one ", b"two ", b"three"):
            self.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
        self.send(b"0\r\nX-Sum: 3\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nX-Hoody-X: y\r\n\r\n")

    def do_until_close(self):
        self.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        return True

    def do_no_content(self):
        self.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    def do_not_modified(self):
        self.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n")

    def do_hints(self):
        self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        self.answer("hinted")

    def do_continue(self):
        if self.fields.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.do_upload()

    def do_early(self):
        """Refuses before the body has come, and closes."""
        self.answer("too much", "Connection: close\r\n", "413 Content Too Large")
        return True

    def do_early_read(self):
        """Answers while the body is on its way, and goes on reading it."""
        self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        length = sum(len(piece) for piece in self.body())
        tail = b" %d" % length
        self.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(tail), tail))

    def do_die(self):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        return True

    def do_die_chunked(self):
        self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        return True

    def do_die_head(self):
        self.drain()
        return True

    def do_stale(self):
        """The next request on this connection is met by its end."""
        self.drain()
        self.answer(f"{self.number}\n")
        self.more()
        return True

    def do_raw(self):
        self.drain()
        if self.query == "long":
            self.send(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40000 + b"\r\n\r\n")
        self.send(urllib.parse.unquote_to_bytes(self.query))
        return True

    def do_upgrade(self):
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        try:
            while True:
                if self.buffer:
                    self.send(self.take(len(self.buffer)))
                self.more()
        except Gone:
            self.send(b"bye")
        return True

    def do_upgrade_first(self):
        """Half-closes first, and then still reads."""
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
        self.sock.shutdown(socket.SHUT_WR)
        try:
            while True:
                self.more()
        except Gone:
            return True

    def do_deaf(self):
        """Takes the head and not a byte of the body."""
        threading.Event().wait()

    def do_websocket(self):
        """Echoes bytes, whatever the frames; the query may spoil the handshake."""
        accept = hashlib.sha1(self.fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        accept = base64.b64encode(accept.digest()).decode()
        if self.query == "wrong":
            accept = accept[::-1]
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: %s\r\nX-Version: %s\r\n\r\n"
                  % (accept.encode(), self.fields["sec-websocket-version"].encode()))
        if self.query == "first":
            self.send(b"hello")
            self.sock.shutdown(socket.SHUT_WR)
        try:
            while True:
                if self.buffer and self.query != "first":
                    self.send(self.take(len(self.buffer)))
                self.more()
        except Gone:
            if self.query != "first":
                self.send(b"bye")
        return True

    def do_hang(self):
        self.drain()
        self.more()
        return True

    def do_trickle(self):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        self.more()
        return True

    def serve(self):
        try:
            while True:
                self.head()
                path, _, self.query = self.target.partition("?")
                if getattr(self, "do_" + path.strip("/"))():
                    break
        except (Gone, ConnectionError):
            pass
        with lock:
            record.write(b"<end %d>" % self.number)
            record.flush()
        self.sock.close()


def main():
    global connections, record
    record = open(sys.argv[2], "ab")
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
    while True:
        sock, _ = listener.accept()
        connections += 1
        threading.Thread(target=Connection(sock, connections).serve, daemon=True).start()


main()
