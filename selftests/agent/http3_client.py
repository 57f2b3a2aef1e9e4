#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Cases of selftests/agent/http3.sh that need an HTTP/3 client which does as it is
told (http3_peer.py).

usage: http3_client.py CASE; environment: TLS (port), HOST, PREFIX, DOMAIN, RECORD
(what the app received). Exits 0 where the case went as it should, else 1 with a
word about it.
"""
import os
import socket
import sys
import time

from http3_peer import *

H3_NO_ERROR, H3_INTERNAL_ERROR, H3_FRAME_UNEXPECTED, H3_FRAME_ERROR = 0x100, 0x102, 0x105, 0x106
H3_EXCESSIVE_LOAD, H3_SETTINGS_ERROR, H3_MISSING_SETTINGS, H3_MESSAGE_ERROR = 0x107, 0x109, 0x10a, 0x10e
H3_CLOSED_CRITICAL_STREAM, H3_REQUEST_CANCELLED, H3_STREAM_CREATION_ERROR, H3_ID_ERROR = 0x104, 0x10c, 0x103, 0x108
QPACK_DECOMPRESSION_FAILED, QPACK_ENCODER_STREAM_ERROR = 0x200, 0x201
INVALID_TOKEN, CONNECTION_REFUSED, NO_APPLICATION_PROTOCOL = 0xb, 0x2, 0x178


def recorded():
    with open(os.environ["RECORD"], "rb") as f:
        return f.read()


def alive(client=None):
    client = client or Client()
    stream = client.get("/count")
    check(stream.status == 200 and stream.ended, stream.__dict__, client.ended)


# ---- ordinary use ----

def announced():
    client = Client()
    alive(client)
    check(client.pump(lambda: client.h3.received_settings is not None), "no settings")
    settings = client.h3.received_settings
    check(settings.get(1) == 4096 and settings.get(7) == 16 and settings.get(8) == 1, settings)
    check(6 in settings, settings)


def methods():
    client = Client()
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"a" * 100000, end=True)
    check(client.wait(number).body.startswith(b"100000 "), client.stream(number).body)
    number = client.request(head("/upload", "PUT", [("content-length", "3")]), end=False)
    client.data(number, b"abc", end=True)
    check(client.wait(number).body.startswith(b"3 "), client.stream(number).body)
    check(client.get("/head", ("content-length", "0"), method="POST").body.count(b"Content-Length: 0\n") == 1)
    stream = client.get("/no_content")
    check(stream.status == 204 and stream.ended and not stream.body, stream.__dict__)
    check(client.get("/until_close").body == b"until the end")
    check(client.get("/x", host="nowhere.example").status == 404)
    check(client.get("/x", method="TRACE").status == 405)
    stream = client.wait(client.request([(b":method", b"CONNECT"), (b":authority", HOST.encode())]))
    check(stream.status == 501, "CONNECT", stream.__dict__)


def five_hundred():
    """Streams of one connection, as many at once as may be."""
    client, numbers = Client(), []
    alive(client)
    for _ in range(500):
        numbers.append(client.request(head("/count")))
        if len(numbers) == 100:
            check(client.wait(numbers.pop(0)).status == 200)
    for number in numbers:
        check(client.wait(number).status == 200, client.stream(number).__dict__)


def streams_given():
    """Room for new streams is told now and then, and is there when it is needed."""
    client, told = Client(), set()
    for _ in range(100):
        check(client.get("/count").status == 200)
        told.add(client.quic._remote_max_streams_bidi)
    check(len(told) <= 4, "told one by one", told)
    numbers = [client.request(head("/sink", "POST"), end=False) for _ in range(128)]
    check(client.pump(lambda: not client.quic._streams_blocked_bidi), "no room", told)
    for number in numbers:
        client.data(number, b"", True)
    check(all(client.wait(number).status == 200 for number in numbers))


def late_priority():
    """PRIORITY_UPDATE (RFC 9218 7.2) for a stream that the client was given in time."""
    client = Client()
    for _ in range(150):
        check(client.get("/count").status == 200)
    control(frame(0xf0700, encode_uint_var(client.quic.get_next_available_stream_id()) + b"u=1"))(client)
    alive(client)
    ends(H3_ID_ERROR, control(frame(0xf0700, encode_uint_var(4 * 500) + b"u=1")))


def request_fields():
    client = Client()
    text = client.get("/head", ("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("cookie", "c=3"),
                      ("te", "trailers"), ("x-forwarded-for", "6.6.6.6"), ("x_real_ip", "6.6.6.6"),
                      ("x-hoody-instance", "666"), ("forwarded", "for=6.6.6.6"), ("x-empty", "")).body.decode()
    check(text.count("cookie: a=1; b=2; c=3\n") == 1 and text.count("cookie") == 1, text)
    check("6.6.6.6" not in text and "666" not in text and text.count("TE: trailers\nConnection: TE\n") == 1, text)
    check(text.startswith(f"GET /head HTTP/1.1\nHost: {HOST}\n") and "X-Forwarded-Proto: https\n" in text, text)
    check("X-Forwarded-For: 127.0.0.1\n" in text, text)


def trailers():
    client = Client()
    stream = client.get("/chunked")
    check(stream.body == b"one two three" and stream.trailers == {"x-sum": "3"}, stream.__dict__)
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"abc")
    client.h3.send_headers(number, [(b"x-t", b"v"), (b"x-hoody-secret", b"1"), (b"content-type", b"a/b")],
                           end_stream=True)
    body = client.wait(number).body
    check(body.startswith(b"3 ") and body.endswith(b" x-t: v\n"), body)


def early_response():
    """An answer before the request is complete: the rest is not wanted."""
    client = Client()
    number = client.request(head("/early", "POST", [("content-length", "1000000")]), end=False)
    client.data(number, b"a" * 1000)
    stream = client.wait(number)
    check(stream.status == 413 and stream.body == b"too much", stream.__dict__)
    check(client.pump(lambda: stream.stopped is not None) and stream.stopped == H3_NO_ERROR, stream.stopped)
    alive(client)


def app_dies():
    client = Client()
    for path in ("/die", "/die_chunked"):
        stream = client.get(path)
        # A reset may overtake the head.
        check(stream.status in (None, 200) and stream.reset == H3_INTERNAL_ERROR, path, stream.__dict__)
    check(client.get("/die_head").status == 502)
    alive(client)


def cancel():
    """The app sees a client that goes; the connection lives on."""
    client = Client()
    number = client.request(head("/trickle"))
    stream = client.stream(number)
    client.pump(lambda: stream.body)
    ends = recorded().count(b"<end ")
    client.quic.stop_stream(number, H3_REQUEST_CANCELLED)
    check(client.pump(lambda: recorded().count(b"<end ") > ends), "the app was not told")
    number = client.request(head("/upload", "POST", [("content-length", "10")]), end=False)
    client.pump(lambda: b"POST /upload" in recorded()[-200:], 5)
    client.quic.reset_stream(number, H3_REQUEST_CANCELLED)
    alive(client)


def deaf_app():
    """A body that no app takes stays at the client: its window is not given back."""
    client = Client()
    number = client.request(head("/deaf", "POST"), end=False)
    client.data(number, b"a" * 8000000)
    stream = client.quic._streams[number]
    client.pump(lambda: False, 2)
    sent = stream.sender._buffer_start
    check(sent < 7000000, sent)
    alive(client)


def slow_client():
    """A response that its client does not take stays at the app."""
    client = Client(max_stream_data=65536)
    client.quic._write_stream_limits = lambda *_, **__: None     # gives no more window
    number = client.request(head("/big?50000000"))
    client.pump(lambda: False, 1)
    check(1000 < len(client.stream(number).body) <= 65536, len(client.stream(number).body))
    alive(client)


# ---- WebSocket ----

def websocket_head(path, host=HOST):
    return [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https"),
            (b":authority", host.encode()), (b":path", path.encode()), (b"sec-websocket-version", b"13")]


def websocket():
    client = Client()
    number = client.request(websocket_head("/websocket"), end=False)
    stream = client.stream(number)
    check(client.pump(lambda: stream.fields) and stream.status == 200, stream.__dict__)
    check(stream.fields["x-version"] == "13" and "sec-websocket-accept" not in stream.fields, stream.fields)
    client.data(number, b"\x81\x05hello")
    check(client.pump(lambda: stream.body == b"\x81\x05hello"), stream.body)
    client.data(number, b"x" * 300000)
    check(client.pump(lambda: len(stream.body) == 300007), len(stream.body))
    client.data(number, b"", end=True)
    check(client.wait(number).body.endswith(b"bye") and stream.ended, stream.body[-10:])
    alive(client)


def websocket_app_first():
    client = Client()
    number = client.request(websocket_head("/websocket?first"), end=False)
    stream = client.stream(number)
    check(client.pump(lambda: stream.ended) and stream.body == b"hello", stream.__dict__)
    client.data(number, b"still here", end=True)
    check(client.pump(lambda: b"still here" in recorded()), "the app's reading half was closed")


def websocket_early():
    """What comes before the app agrees waits for that."""
    client = Client()
    number = client.request(websocket_head("/websocket"), end=False)
    client.data(number, b"early")
    stream = client.stream(number)
    check(client.pump(lambda: stream.body == b"early"), stream.__dict__)


def websocket_refused():
    client = Client()
    for path, status in (("/websocket?wrong", 502), ("/count", 502), ("/early", 413)):
        stream = client.wait(client.request(websocket_head(path), end=False))
        check(stream.status == status, path, stream.__dict__)
    fields = [(a, b"tunnel" if a == b":protocol" else b) for a, b in websocket_head("/websocket")]
    check(client.wait(client.request(fields, end=False)).status == 501)
    alive(client)


# ---- what QUIC does ----

def key_update():
    client = Client()
    alive(client)
    for _ in range(3):
        client.quic.request_key_update()
        alive(client)


def version_negotiation():
    """An unknown version is answered with those that are known; both of them work."""
    packet = bytes([0xc0]) + bytes.fromhex("1a2a3a4a") + bytes([8]) + b"\x11" * 8 + bytes([8]) + b"\x22" * 8
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(packet.ljust(1200, b"\0"), SERVER)
        data = sock.recv(2000)
        check(data[0] & 0x80 and data[1:5] == b"\0\0\0\0", data)
        check(data[5:23] == bytes([8]) + b"\x22" * 8 + bytes([8]) + b"\x11" * 8, data)
        versions = {data[at:at + 4] for at in range(23, len(data), 4)}
        check(versions >= {bytes.fromhex("00000001"), bytes.fromhex("6b3343cf")}, versions)
        # A short datagram gets nothing: it would be a lever.
        sock.sendto(packet, SERVER)
        sock.sendto(packet.ljust(1200, b"\0"), SERVER)
        check(sock.recv(2000)[1:5] == b"\0\0\0\0")
        sock.settimeout(0.5)
        try:
            check(False, "answered", sock.recv(2000))
        except TimeoutError:
            pass
    for version in (0x00000001, 0x6b3343cf):
        alive(Client(versions=[version]))


def wrong_protocol():
    client = Client(alpn=["hq-interop"], handshake=False)
    client.pump(lambda: False, 10)
    check(client.ended and client.ended.error_code == NO_APPLICATION_PROTOCOL, client.ended)


def stateless_reset():
    """A packet of a connection that is gone is answered so that its client knows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        packet = bytes([0x40]) + b"\x00" * 16 + os.urandom(100)
        sock.sendto(packet, SERVER)
        first = sock.recv(2000)
        check(len(first) < len(packet) and not first[0] & 0x80 and first[0] & 0x40, first)
        sock.sendto(packet, SERVER)
        second = sock.recv(2000)
        check(first[-16:] == second[-16:] and first != second, first, second)


def migration():
    """Another port, another address, with a new connection id and with the old one."""
    for source, change in (("127.0.0.1", False), ("127.0.0.7", True), ("127.0.0.8", False)):
        client = Client()
        alive(client)
        client.move(source)
        if change:
            client.quic.change_connection_id()
        alive(client)
        # The new address has to be proved; until then the old one counts.
        check(client.pump(lambda: f"X-Forwarded-For: {source}\n" in client.get("/head").body.decode(), 10), source)


def migration_again():
    """One client, on the move."""
    client = Client()
    alive(client)
    for source in ("127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.7"):
        client.move(source)
        client.quic.change_connection_id()
        alive(client)
        check(client.pump(lambda: f"X-Forwarded-For: {source}\n" in client.get("/head").body.decode(), 10),
              source, client.ended)


JOURNEY = (("127.0.0.1", False), ("127.0.0.7", False), ("127.0.0.7", False), ("127.0.0.8", True),
           ("127.0.0.1", False), ("127.0.0.1", True), ("127.0.0.9", False), ("127.0.0.9", True),
           ("127.0.0.7", True), ("127.0.0.7", False), ("127.0.0.1", True), ("127.0.0.8", False),
           ("127.0.0.8", True), ("127.0.0.9", True))


def travel(moves):
    """One client, to another port or address each time, with a new id or the old one."""
    client = Client()
    alive(client)
    for source, change in moves:
        client.move(source)
        if change:
            client.quic.change_connection_id()
        check(client.pump(lambda: f"X-Forwarded-For: {source}\n" in client.get("/head").body.decode()),
              source, change, client.ended)
        alive(client)


def migration_port_then_address():
    travel(JOURNEY)


def migration_address_then_port():
    travel(JOURNEY[::-1])


def migration_between_two():
    """To and fro between two networks, on each of which the client keeps its port."""
    client = Client()
    alive(client)
    sockets = [client.socket]
    client.move("127.0.0.7", keep=True)
    sockets.append(client.socket)
    for i in range(1, 13):
        client.socket = sockets[i % 2]
        client.quic.change_connection_id()
        check(client.pump(lambda: f"X-Forwarded-For: {('127.0.0.1', '127.0.0.7')[i % 2]}\n" in
                          client.get("/head").body.decode()), i, client.ended)
        alive(client)


def migration_unproved():
    """Packets from addresses that get nothing are not the client's word for where it is."""
    client = Client()
    alive(client)
    sockets = []
    for source in ("127.0.0.9", "127.0.0.7"):
        client.move(source, keep=True)
        sockets.append(client.socket)
    # To and fro: one that has been left must not count as one that was proved.
    for turn in range(6):
        path = b"/unproved_%d" % turn
        number = client.quic.get_next_available_stream_id()
        client.h3.send_headers(number, head(path.decode()), end_stream=True)
        end, asked = time.time() + 30, b""
        while b"\r\n\r\n" not in asked and time.time() < end:
            for data, _ in client.quic.datagrams_to_send(now=time.time()):
                sockets[turn % 2].sendto(data, SERVER)
            time.sleep(0.02)
            asked = recorded().partition(b"GET " + path)[2]
        check(b"X-Forwarded-For: 127.0.0.1\r\n" in asked.partition(b"\r\n\r\n")[0] + b"\r\n", path, asked)


def retry():
    """Half-open handshakes: from the hundredth on a client has to show its address."""
    half = []
    for _ in range(110):
        client = Client(handshake=False)
        client.send()
        half.append(client)
    time.sleep(0.2)
    client = Client()
    check(any(first & 0xf0 == 0xf0 for first, _ in client.seen), client.seen)
    alive(client)
    # A made-up token of the right kind.
    client = Client(handshake=False, token=b"\xb7" + os.urandom(60))
    client.pump(lambda: False, 10)
    check(client.ended and client.ended.error_code == INVALID_TOKEN, client.ended)
    for client in half:
        client.socket.close()


# ---- what clients must not do ----

def ends(code, act):
    client = Client()
    alive(client)
    act(client)
    client.wait_end(code, 10)


def control(data):
    return lambda client: client.quic.send_stream_data(client.h3._local_control_stream_id, data)


def malformed_frames():
    def second_control(client):
        number = client.quic.get_next_available_stream_id(is_unidirectional=True)
        client.quic.send_stream_data(number, b"\x00" + frame(4, b""))

    def encoder(client):
        client.quic.send_stream_data(client.h3._local_encoder_stream_id, b"\x3f\xff\xff\xff\xff\x0f")

    ends(H3_FRAME_UNEXPECTED, control(frame(4, b"")))            # SETTINGS twice
    ends(H3_FRAME_UNEXPECTED, control(frame(0, b"data")))        # DATA on the control stream
    ends(H3_FRAME_UNEXPECTED, lambda c: c.raw_stream(frame(0, b"data")))     # DATA before HEADERS
    ends(H3_FRAME_UNEXPECTED, lambda c: c.raw_stream(frame(4, b"")))         # SETTINGS on a request
    ends(H3_FRAME_UNEXPECTED, lambda c: c.raw_stream(frame(2, b"")))         # of HTTP/2
    ends(H3_STREAM_CREATION_ERROR, second_control)
    ends(H3_CLOSED_CRITICAL_STREAM, lambda c: c.quic.send_stream_data(c.h3._local_control_stream_id, b"", True))
    ends(QPACK_DECOMPRESSION_FAILED, lambda c: c.raw_stream(frame(1, b"\x00\x00\xff\xff\xff\x7f")))
    ends(QPACK_ENCODER_STREAM_ERROR, encoder)


def malformed_heads():
    """Each is refused, reset or the end; no app sees any."""
    base = head("/evil")
    cases = [
        [f for f in base if f[0] != b":path"],
        base + [(b":path", b"/evil")],
        base + [(b"x", b"1"), (b":evil", b"1")],
        base + [(b"Upper", b"1")],
        base + [(b"transfer-encoding", b"chunked")],
        base + [(b"connection", b"close")],
        base + [(b"te", b"gzip")],
        base + [(b"content-length", b"1"), (b"content-length", b"2")],
        base + [(b"content-length", b"x")],
        base + [(b"content-length", b"5")],
        base + [(b"host", b"other.example")],
        head("evil"), head("/evil bad"), head("/evil#x"), head("/evil", "BAD METHOD"), head("/evil", "UNKNOWN"),
        [(a, b"ftp" if a == b":scheme" else b) for a, b in base],
        base + [(b"transfer_encoding", b"chunked")],
        base + [(b"content_length", b"0")],
    ]
    for fields in cases:
        client = Client()
        stream = client.wait(client.raw_request(fields))
        # What the library finds ends the connection (RFC 9114 8 allows it), what we find the stream.
        check(stream.reset is not None or stream.status in (400, 405, 501) or
              client.ended and client.ended.error_code == H3_MESSAGE_ERROR, fields, stream.__dict__, client.ended)
        alive(client if client.ended is None else None)
    check(b"/evil" not in recorded(), "an app got one of them")
    # A field with a line break in it is never passed on, whatever else happens to it.
    client = Client()
    client.wait(client.raw_request(head("/head") + [(b"x-a", b"1\r\nx-b: 2")]))
    check(b"x-b: 2" not in recorded())
    alive()


def bodies():
    """More or less than was announced."""
    for announced, sent in ((5, b"abcdef"), (5, b"abc")):
        client = Client()
        number = client.raw_request(head("/upload", "POST", [("content-length", str(announced))]),
                                    after=frame(0, sent))
        stream = client.wait(number)
        check(stream.status is None and (stream.reset == H3_MESSAGE_ERROR or
              client.ended and client.ended.error_code == H3_MESSAGE_ERROR), stream.__dict__, client.ended)
        alive()


def large_heads():
    client = Client()
    stream = client.wait(client.raw_request(head("/count") + [(b"x", b"a" * 20000)] * 2))
    check(stream.status == 431, stream.__dict__)
    stream = client.wait(client.raw_request(head("/count") + [(b"x-%d" % i, b"1") for i in range(120)]))
    check(stream.status == 431, stream.__dict__)
    alive(client)


def header_bomb():
    ends(H3_EXCESSIVE_LOAD, lambda c: c.raw_request(head("/count") + [(b"x", b"a" * 30000)] * 5))


def rapid_reset():
    def act(client):
        for i in range(2000):
            number = client.quic.get_next_available_stream_id()
            client.h3.send_headers(number, head("/trickle"))
            client.quic.reset_stream(number, H3_REQUEST_CANCELLED)
            client.quic.stop_stream(number, H3_REQUEST_CANCELLED)
            if i % 16 == 0:
                client.step(0.01)
            if client.ended:
                break
    ends(H3_EXCESSIVE_LOAD, act)


# ---- with a word to the script in between ----

def cut():
    """A stopped container ends its streams, and them alone."""
    client = Client()
    numbers = [client.request(head("/trickle")), client.request(websocket_head("/websocket"), end=False)]
    check(client.pump(lambda: all(client.stream(n).fields for n in numbers)))
    print("open", flush=True)
    for number in numbers:
        check(client.wait(number, 60).reset == H3_INTERNAL_ERROR, client.stream(number).__dict__)
    check(client.get("/count").status == 503)


def drain():
    """What is under way is finished, and then the connection ends well."""
    client = Client()
    number = client.request(head("/upload", "POST", [("content-length", "10")]), end=False)
    client.data(number, b"12345")
    client.pump(lambda: False, 0.3)
    print("open", flush=True)
    client.pump(lambda: os.path.exists(os.environ["RECORD"] + ".drained"), 30)
    client.pump(lambda: False, 0.5)
    client.data(number, b"67890", end=True)
    check(client.wait(number).body.startswith(b"10 "), client.stream(number).__dict__)
    client.wait_end(H3_NO_ERROR, 10)


def lost():
    """Gone before it has acknowledged what it asked for."""
    client = Client()
    client.send = lambda: None
    number = client.quic.get_next_available_stream_id()
    client.h3.send_headers(number, head("/count"), end_stream=True)
    for data, _ in client.quic.datagrams_to_send(now=time.time()):
        client.socket.sendto(data, SERVER)
    check(client.pump(lambda: client.stream(number).ended), "no answer")


def hold():
    """A WebSocket that goes on while the worker is replaced."""
    client = Client()
    number = client.request(head("/slow"))
    check(client.pump(lambda: client.stream(number).fields), client.ended)
    print("open", flush=True)
    stream = client.wait(number, 60)
    check(stream.ended and stream.body.endswith(b"end"), stream.__dict__, client.ended)
    print("old", flush=True)
    alive()


def half():
    """A handshake that is finished with the certificates and keys of tickets changed."""
    client = Client(handshake=False)
    client.send()
    check(select.select([client.socket], [], [], 30)[0], "no answer")
    client.receive()
    print("half", flush=True)
    go = os.path.join(os.path.dirname(os.environ["RECORD"]), "go")
    end = time.time() + 60
    while not os.path.exists(go) and time.time() < end:
        time.sleep(0.02)
    check(client.pump(lambda: client.ready), "no handshake", client.ended)
    check(client.get("/").status == 200)
    print("finished", flush=True)


def permission_moves():
    """The client goes where its container does not let it in."""
    client = Client(source="127.0.0.1")
    number = client.request(head("/slow"))
    stream = client.stream(number)
    check(client.pump(lambda: stream.fields) and stream.status == 200, stream.__dict__, client.ended)
    client.move("127.0.0.9")
    client.quic.send_ping(1)
    check(client.wait(number).reset is not None, "not cut", stream.__dict__)
    check(client.get("/count").status in (401, 403), "let in from there")
    client.move("127.0.0.1")
    check(client.pump(lambda: client.get("/count").status == 200, 10), "not let in again")


def permission_travels():
    """Asked again after each of many moves: who is let in at one address is not at the others."""
    client = Client()
    check(client.get("/count").status == 200)
    for source, change in JOURNEY + JOURNEY[::-1]:
        client.move(source)
        if change:
            client.quic.change_connection_id()
        allowed = source == "127.0.0.1"
        check(client.pump(lambda: (client.get("/count").status == 200) == allowed), source, change, client.ended)


def main():
    try:
        globals()[sys.argv[1]]()
        close_all()
    except Failed as failed:
        print(*failed.args, file=sys.stderr)
        sys.exit(1)


main()
