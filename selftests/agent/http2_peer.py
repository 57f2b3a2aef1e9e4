# SPDX-License-Identifier: Apache-2.0
"""
An HTTP/2 client that sends any frame it is told to, right or wrong, and keeps
what comes back by stream. HPACK is the library's, everything else is by hand: a
library that refuses to send a mistake cannot test for one.
"""
import os
import socket
import ssl
import struct
import time

import hpack

HOST = os.environ["HOST"]
TLS = int(os.environ["TLS"])

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 4, 8, 32
ACK = 1
PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, CALM = 1, 2, 8, 11


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(repr(w) for w in what))


def wait_for(condition, what):
    end = time.monotonic() + 30
    while not condition():
        check(time.monotonic() < end, "waited in vain for", what)
        time.sleep(0.02)


def head(path, method="GET", fields=(), host=HOST):
    return [(b":method", method.encode()), (b":scheme", b"https"), (b":authority", host.encode()),
            (b":path", path.encode())] + [tuple(x.encode() if isinstance(x, str) else x for x in f) for f in fields]


class Stream:
    def __init__(self, window):
        self.interims, self.fields, self.trailers = [], None, None
        self.body, self.ended, self.reset, self.window = b"", False, None, window

    @property
    def status(self):
        return int(self.fields[":status"]) if self.fields else None

    @property
    def over(self):
        return self.ended or self.reset is not None


class Client:
    def __init__(self, settings=(), preface=True, update=True, rcvbuf=None):
        raw = socket.socket()
        if rcvbuf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", TLS))
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(raw, server_hostname=HOST, suppress_ragged_eofs=False)
        check(self.sock.selected_alpn_protocol() == "h2", "no h2")
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams, self.next, self.buffer = {}, 1, b""
        self.settings, self.window, self.stream_window = {}, 65535, 65535
        self.goaways, self.pongs, self.ended, self.update, self.block = [], 0, False, update, None
        self.held = set()       # streams whose window is not given back
        self.preface = preface
        if preface:
            self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            self.frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *s) for s in settings))

    # ---- out ----

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            self.pump_all()

    @staticmethod
    def bytes_of(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def frame(self, kind, flags, stream, payload=b""):
        self.send(self.bytes_of(kind, flags, stream, payload))

    def open(self):
        number = self.next
        self.next += 2
        self.streams[number] = Stream(self.stream_window)
        return number

    def encode(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def request(self, fields, end=True):
        """The stream's number; a large block goes in as many frames as it needs."""
        number, block = self.open(), self.encode(fields)
        parts = [block[i:i + 16384] for i in range(0, len(block), 16384)] or [b""]
        for i, part in enumerate(parts):
            flags = (END_HEADERS if i == len(parts) - 1 else 0) | (END_STREAM if end and not i else 0)
            self.frame(CONTINUATION if i else HEADERS, flags, number, part)
        return number

    def get(self, path, *fields, method="GET", host=HOST):
        return self.wait(self.request(head(path, method, fields, host)))

    def data(self, number, body, end=False):
        """As the windows allow; ends early where the stream is over."""
        stream, at = self.streams[number], 0
        while at < len(body) or end:
            room = min(16384, self.window, stream.window, len(body) - at)
            if room <= 0 and at < len(body):
                self.pump(lambda: stream.over or min(self.window, stream.window) > 0)
                if stream.over:
                    return
                continue
            last = at + room == len(body)
            self.frame(DATA, END_STREAM if end and last else 0, number, body[at:at + room])
            self.window -= room
            stream.window -= room
            at += room
            if last:
                return

    # ---- in ----

    def pump(self, condition):
        """Takes frames until @condition; fails at the connection's end."""
        while not condition():
            check(self.take(), "the connection ended", self.goaways)

    def pump_all(self):
        while self.take():
            pass

    def wait(self, number):
        stream = self.streams[number]
        self.pump(lambda: stream.over)
        return stream

    def verdict(self, number):
        """How a request ended that is not to succeed: its stream, or None with the connection."""
        stream = self.streams[number]
        while not stream.over and self.take():
            pass
        return stream if stream.over else None

    def take(self):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                piece = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLError):
                piece = b""
            if not piece:
                self.ended = True
                return False
            self.buffer += piece
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, number = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        self.handle(kind, flags, number & 0x7fffffff, payload)
        return True

    def handle(self, kind, flags, number, payload):
        stream = self.streams.get(number)
        if kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[i:i + 6])
                self.settings[name] = value
                if name == 4:
                    for other in self.streams.values():
                        other.window += value - self.stream_window
                    self.stream_window = value
            if self.preface:
                self.frame(SETTINGS, ACK, 0)
        elif kind == PING:
            if flags & ACK:
                self.pongs += 1
            else:
                self.frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", payload[:8]))
        elif kind == WINDOW and number == 0:
            self.window += struct.unpack(">I", payload)[0]
        elif kind == WINDOW and stream:
            stream.window += struct.unpack(">I", payload)[0]
        elif kind == RST and stream:
            stream.reset = struct.unpack(">I", payload)[0]
        elif kind == DATA:
            stream.body += payload
            stream.ended |= bool(flags & END_STREAM)
            if self.update and payload:
                self.frame(WINDOW, 0, 0, struct.pack(">I", len(payload)))
                if number not in self.held and not stream.ended:
                    self.frame(WINDOW, 0, number, struct.pack(">I", len(payload)))
        elif kind in (HEADERS, CONTINUATION):
            self.block = payload if kind == HEADERS else self.block + payload
            if kind == HEADERS:
                self.block_ends = bool(flags & END_STREAM)
            if flags & END_HEADERS:
                self.headers(stream, dict(self.decoder.decode(self.block)))

    def headers(self, stream, fields):
        if stream.fields:
            stream.trailers = fields
        elif fields[":status"].startswith("1"):
            stream.interims.append(fields)
        else:
            stream.fields = fields
        stream.ended |= self.block_ends

    def goaway_code(self):
        """The code that ends the connection, whatever is sent to it still."""
        self.pump_all()
        check(self.goaways, "no GOAWAY")
        return self.goaways[-1][1]
