# SPDX-License-Identifier: Apache-2.0
"""
An HTTP/3 client that does as it is told: aioquic without its event loop, on
sockets of ours, so that a test can lose, forge and move packets.

Environment: TLS (port), HOST, and SERVER (an address) where it is not this machine.
"""
import os
import select
import socket
import ssl
import time

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3Connection, encode_frame
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StopSendingReceived, StreamReset

PORT = int(os.environ["TLS"])
HOST = os.environ["HOST"]
SERVER = (os.environ.get("SERVER", "127.0.0.1"), PORT)


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(*what)


def head(path, method="GET", fields=(), host=HOST):
    return [(b":method", method.encode()), (b":scheme", b"https"), (b":authority", host.encode()),
            (b":path", path.encode())] + [(a.encode(), b.encode()) for a, b in fields]


class Stream:
    def __init__(self):
        self.fields, self.interims, self.body = None, [], b""
        self.trailers, self.ended, self.reset, self.stopped = None, False, None, None

    @property
    def status(self):
        return int(self.fields[":status"]) if self.fields else None


clients = []


def close_all():
    """So that nothing of a case is left open for the next."""
    for client in clients:
        if client.ready and client.ended is None:
            client.quic.close(error_code=0x100)
            client.send()


class Client:
    def __init__(self, source="127.0.0.1", versions=None, handshake=True, **options):
        self.tickets, self.tokens = [], []
        self.quic = QuicConnection(configuration=QuicConfiguration(
            is_client=True, alpn_protocols=options.pop("alpn", ["h3"]), server_name=HOST,
            verify_mode=ssl.CERT_NONE, **options),
            session_ticket_handler=self.tickets.append, token_handler=self.tokens.append)
        if versions:
            self.quic._configuration.supported_versions = versions
            self.quic._configuration.original_version = versions[0]
        self.streams, self.ended, self.ready, self.lost = {}, None, False, 0
        self.seen = []     # first bytes and versions of what came
        self.h3 = H3Connection(self.quic)
        clients.append(self)
        self.move(source)
        self.quic.connect(SERVER, now=time.time())
        if handshake:
            self.pump(lambda: self.ready)
            check(self.ready, "no handshake", self.ended)

    def move(self, source, keep=False):
        """Another socket: another address or port. @keep: the old one stays open."""
        if not keep and hasattr(self, "socket"):
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.socket.bind((source, 0))
        self.socket.setblocking(False)

    def send(self):
        for data, _ in self.quic.datagrams_to_send(now=time.time()):
            self.socket.sendto(data, SERVER)

    def receive(self):
        while True:
            try:
                data, _ = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            self.seen.append((data[0], data[1:5]))
            self.quic.receive_datagram(data, SERVER, now=time.time())

    def stream(self, number):
        return self.streams.setdefault(number, Stream())

    def event(self, event):
        if isinstance(event, HandshakeCompleted):
            self.ready = True
        elif isinstance(event, ConnectionTerminated):
            self.ended = event
        elif isinstance(event, StreamReset):
            self.stream(event.stream_id).reset = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.stream(event.stream_id).stopped = event.error_code
        for happened in self.h3.handle_event(event):
            stream = self.stream(happened.stream_id)
            if isinstance(happened, HeadersReceived):
                fields = {a.decode(): b.decode() for a, b in happened.headers}
                if fields.get(":status", "200")[0] == "1":
                    stream.interims.append(fields)
                elif stream.fields is None:
                    stream.fields = fields
                else:
                    stream.trailers = fields
            elif isinstance(happened, DataReceived):
                stream.body += happened.data
            stream.ended |= happened.stream_ended

    def step(self, wait):
        self.send()
        timer = self.quic.get_timer()
        if timer is not None:
            wait = max(0.0, min(wait, timer - time.time()))
        if select.select([self.socket], [], [], wait)[0]:
            self.receive()
        elif timer is not None and timer <= time.time():
            self.quic.handle_timer(now=time.time())
        while (event := self.quic.next_event()) is not None:
            self.event(event)
        self.send()

    def pump(self, done, seconds=30):
        end = time.time() + seconds
        while not done() and self.ended is None and time.time() < end:
            self.step(0.1)
        return done()

    # ---- requests ----

    def request(self, fields, end=True):
        number = self.quic.get_next_available_stream_id()
        self.h3.send_headers(number, fields, end_stream=end)
        self.send()
        return number

    def data(self, number, data, end=False):
        self.h3.send_data(number, data, end_stream=end)
        self.send()

    def wait(self, number, seconds=30):
        stream = self.stream(number)
        self.pump(lambda: stream.ended or stream.reset is not None, seconds)
        return stream

    def get(self, path, *fields, method="GET", host=HOST, seconds=30):
        return self.wait(self.request(head(path, method, fields, host)), seconds)

    def wait_end(self, code, seconds=30):
        self.pump(lambda: False, seconds)
        check(self.ended and self.ended.error_code == code, self.ended)

    def raw_stream(self, data, end=False):
        """Bytes on a request stream that aioquic would not write."""
        number = self.quic.get_next_available_stream_id()
        self.quic.send_stream_data(number, data, end)
        self.send()
        return number

    def block(self, fields):
        """A header block without the dynamic table: literal names and values."""
        out = b"\x00\x00"
        for name, value in fields:
            length = len(name)
            out += bytes([0x20 | min(length, 7)])
            if length >= 7:
                out += prefix_rest(length - 7)
            out += name
            length = len(value)
            out += bytes([min(length, 127)])
            if length >= 127:
                out += prefix_rest(length - 127)
            out += value
        return out

    def raw_request(self, fields, end=True, after=b""):
        return self.raw_stream(encode_frame(1, self.block(fields)) + after, end)


def prefix_rest(number):
    out = b""
    while number >= 128:
        out += bytes([128 | number & 127])
        number >>= 7
    return out + bytes([number])


def frame(kind, data):
    return encode_uint_var(kind) + encode_uint_var(len(data)) + data
