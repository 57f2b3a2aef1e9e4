#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Clients of selftests/agent/limits.sh that curl cannot be: they hold responses and
WebSockets over all three protocols, or many connections.

usage: limits_client.py CASE [ARGUMENT...]; environment: PLAIN, TLS (ports), HOST,
SECRET (of the container's tokens). Exits 0 where the case went as it should, else
1 with a word about it.
"""
import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import time

import http2_peer
import http3_peer

HOST, PLAIN = os.environ["HOST"], int(os.environ["PLAIN"])
REASONABLE = 60     # seconds; only a failure takes that long


def check(condition, *what):
    if not condition:
        print(*what, file=sys.stderr, flush=True)
        sys.exit(1)


def token(lifetime):
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    text = b64(b'{"alg":"HS256"}') + b"." + b64(json.dumps({"exp": time.time() + lifetime}).encode())
    mac = hmac.new(os.environ["SECRET"].encode(), text, hashlib.sha256).digest()
    return ("Bearer " + (text + b"." + b64(mac)).decode())


class Http1:
    """A response or a WebSocket on a plain connection of its own."""

    def __init__(self, websocket, authorization):
        self.name = "http1 websocket" if websocket else "http1"
        self.socket = socket.create_connection(("127.0.0.1", PLAIN))
        fields = "Host: %s\r\nAuthorization: %s\r\n" % (HOST, authorization)
        if websocket:
            fields += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        path = "/websocket" if websocket else "/trickle"
        self.socket.sendall(("GET %s HTTP/1.1\r\n%s\r\n" % (path, fields)).encode())
        self.data, self.over = b"", False
        self.socket.settimeout(REASONABLE)
        while b"\r\n\r\n" not in self.data and not self.over:
            self.read()
        self.status = int(self.data.split(b" ", 2)[1]) if self.data else 0
        self.opened = self.status == (101 if websocket else 200)
        self.socket.settimeout(0.05)

    def read(self):
        try:
            more = self.socket.recv(65536)
        except TimeoutError:
            return
        except OSError:
            more = b""
        self.over = not more
        self.data += more

    def received(self):
        return len(self.data)


class Multiplexed:
    """A stream of one of the others."""

    def __init__(self, client, name, websocket, authorization):
        self.client, self.name = client, name
        fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket")] if websocket else [(b":method", b"GET")]
        fields += [(b":scheme", b"https"), (b":authority", HOST.encode()),
                   (b":path", b"/websocket" if websocket else b"/trickle"),
                   (b"authorization", authorization.encode())]
        if websocket:
            fields += [(b"sec-websocket-version", b"13")]
        self.number = client.request(fields, end=not websocket)
        client.pump(lambda: self.stream().fields or self.over)
        self.opened = bool(self.stream().fields) and self.stream().status == 200

    def stream(self):
        return self.client.streams.get(self.number) or self.client.stream(self.number)

    @property
    def over(self):
        stream = self.client.streams.get(self.number)
        return bool(stream and (stream.ended or stream.reset is not None))

    def read(self):
        if isinstance(self.client, http3_peer.Client):
            self.client.step(0.02)
        else:
            self.client.sock.settimeout(0.05)
            try:
                self.client.take()
            except (TimeoutError, OSError):
                pass
            self.client.sock.settimeout(REASONABLE)

    def received(self):
        return len(self.stream().body)


def open_all(two, three, authorization):
    held = []
    for websocket in (False, True):
        held.append(Http1(websocket, authorization))
        held.append(Multiplexed(two, "http2" + " websocket" * websocket, websocket, authorization))
        held.append(Multiplexed(three, "http3" + " websocket" * websocket, websocket, authorization))
    return held


def pump(held, done, what):
    end = time.monotonic() + REASONABLE
    while not done():
        for one in held:
            one.read()
        check(time.monotonic() < end, what, [(one.name, one.over, one.received()) for one in held])


def goes_on(held, what):
    """Each gets more than it has now."""
    before = [one.received() for one in held]
    pump(held, lambda: all(one.received() > n for one, n in zip(held, before)), what)


def expiry():
    """What a short token let in ends by itself; what a long one did goes on."""
    two, three = http2_peer.Client(), http3_peer.Client()
    lasting = open_all(two, three, token(3600))
    check(all(one.opened for one in lasting), "not let in", [(one.name, one.opened) for one in lasting])
    # On a slow machine a token may be over before all are open: a longer one then.
    for lifetime in (3, 10, 40):
        begun = time.time()
        short = open_all(two, three, token(lifetime))
        if all(one.opened for one in short):
            break
    check(all(one.opened for one in short), "not let in", [(one.name, one.opened) for one in short])
    pump(short + lasting, lambda: all(one.over for one in short), "not ended")
    check(time.time() >= begun + lifetime, "ended before their time")
    check(not any(one.over for one in lasting), "ended too", [one.name for one in lasting if one.over])
    goes_on(lasting, "does not go on")


def withdrawn():
    """All end when their permission is taken away."""
    two, three = http2_peer.Client(), http3_peer.Client()
    held = open_all(two, three, token(3600))
    check(all(one.opened for one in held), "not let in", [(one.name, one.opened) for one in held])
    goes_on(held, "does not trickle")
    print("open", flush=True)
    pump(held, lambda: all(one.over for one in held), "not ended")


def connect(source):
    sock = socket.socket()
    sock.bind((source, 0))
    sock.settimeout(REASONABLE)
    sock.connect(("127.0.0.1", PLAIN))
    return sock


def served(sock):
    """What the connection answers to a request; None where it was closed."""
    try:
        sock.sendall(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % HOST).encode())
        data = b""
        while b"ok\n" not in data and b"error" not in data and b"overloaded" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        return data
    except ConnectionError:
        return None


def connections():
    """SOURCE COUNT: opens so many at once and says how many of them are served."""
    source, count = sys.argv[2], int(sys.argv[3])
    held = [connect(source) for _ in range(count)]
    print(sum(served(sock) is not None for sock in held), flush=True)


def full():
    """Opened while there was room: told to come again while there is none, and kept."""
    kept, streaming = connect("127.0.0.1"), Http1(False, token(3600))
    check(b" 200 " in served(kept) and streaming.opened, "not served before")
    print("open", flush=True)
    end = time.monotonic() + REASONABLE
    while True:
        answer = served(kept)
        check(answer, "closed")
        if b" 503 " in answer:
            break
        check(time.monotonic() < end, "still served")
        time.sleep(0.05)
    check(b"Retry-After: 1\r\n" in answer, answer)
    goes_on([streaming], "the response that was under way stops")
    print("refused", flush=True)
    while b" 200 " not in (answer := served(kept) or b""):
        check(answer and time.monotonic() < end, "not served again", answer)
        time.sleep(0.05)


globals()[sys.argv[1]]()
http3_peer.close_all()
