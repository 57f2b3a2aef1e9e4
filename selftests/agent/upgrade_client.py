#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Clients of selftests/agent/upgrade.sh: each goes on until the file $WORK/stop is
there, tells nothing but "open" and, at its end, what it has counted, and fails at
the first request or message that does.

usage: upgrade_client.py CASE; environment: TLS (port), HOST, WORK
"""
import base64
import os
import socket
import ssl
import sys
import time

HOST, TLS, WORK = os.environ["HOST"], int(os.environ["TLS"]), os.environ["WORK"]
PAUSE = 0.01


def over():
    return os.path.exists(WORK + "/stop")


def check(condition, *what):
    if not condition:
        print("failed:", *what, flush=True)
        sys.exit(1)


def opened():
    print("open", flush=True)


# ---- HTTP/1.1 ----

def dial():
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", TLS), 60), server_hostname=HOST)


def receive_head(sock, buffered=b""):
    while b"\r\n\r\n" not in buffered:
        piece = sock.recv(65536)
        check(piece, "the connection ended without an answer", buffered)
        buffered += piece
    text, rest = buffered.split(b"\r\n\r\n", 1)
    return text.decode(), rest


def ask(sock):
    """Whether the connection is kept."""
    sock.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head, body = receive_head(sock)
    check(head.startswith("HTTP/1.1 200 "), head)
    while len(body) < 8:
        piece = sock.recv(65536)
        check(piece, "the body was cut", body)
        body += piece
    check(body == b"beginend", body)
    return "connection: close" not in head.lower()


def load_h1():
    """One connection as long as it is kept, and a new one for every other request."""
    kept, requests = dial(), 0
    opened()
    while not over():
        if not ask(kept):
            kept.close()
            kept = dial()
        with dial() as fresh:
            ask(fresh)
        requests += 2
        time.sleep(PAUSE)
    print(requests, "requests")


def idle_h1():
    """A connection that asks once before and once long after is answered both times."""
    sock = dial()
    ask(sock)
    opened()
    while not over():
        time.sleep(0.05)
    check(not ask(sock), "the old worker keeps it")
    print("2 requests")


def half_h1():
    """A handshake that is under way when the worker is replaced."""
    raw = socket.create_connection(("127.0.0.1", TLS), 60)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outgoing.read()
    raw.sendall(hello[:len(hello) // 2])
    opened()
    while not os.path.exists(WORK + "/replaced"):
        time.sleep(0.02)
    raw.sendall(hello[len(hello) // 2:])
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            piece = raw.recv(65536)
            check(piece, "turned away in the handshake")
            incoming.write(piece)
    tls.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    raw.sendall(outgoing.read())
    text = b""
    while b"beginend" not in text:
        piece = raw.recv(65536)
        check(piece, "turned away after the handshake", text)
        incoming.write(piece)
        try:
            while decrypted := tls.read(65536):
                text += decrypted
        except ssl.SSLWantReadError:
            pass
    print("1 request")


def websocket_frame(payload):
    return bytes([0x82, 0x80 | len(payload)]) + b"\0\0\0\0" + payload


def websocket_h1(until_cut=False):
    sock = dial()
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall((f"GET /websocket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    head, rest = receive_head(sock)
    check(head.startswith("HTTP/1.1 101 "), head)
    opened()
    messages, wanted = 0, b""
    while until_cut or not over():
        payload = b"message %d" % messages
        wanted = bytes([0x82, len(payload)]) + payload
        try:
            sock.sendall(websocket_frame(payload))
            while len(rest) < len(wanted):
                piece = sock.recv(65536)
                if not piece:
                    break
                rest += piece
        except OSError:
            pass
        if until_cut and len(rest) < len(wanted):
            break
        check(rest == wanted, "message", messages, rest)
        rest = b""
        messages += 1
        time.sleep(PAUSE)
    print(messages, "messages")


def websocket_cut():
    websocket_h1(until_cut=True)


# ---- HTTP/2 ----

def load_h2():
    import http2_peer as peer
    client, requests = peer.Client(), 0
    opened()
    while not over():
        for one in (client, peer.Client()):
            stream = one.get("/")
            check(stream.status == 200 and stream.body == b"beginend" and stream.ended, stream.__dict__)
            requests += 1
            if one is not client:
                one.sock.close()
        # It was told to go elsewhere: with what it asks next.
        if client.goaways:
            client.sock.close()
            client = peer.Client()
        time.sleep(PAUSE)
    print(requests, "requests")


def websocket_h2():
    import http2_peer as peer
    client = peer.Client()
    number = client.request([(b":method", b"CONNECT"), (b":protocol", b"websocket")] + peer.head("/websocket")[1:] +
                            [(b"sec-websocket-version", b"13")], end=False)
    stream = client.streams[number]
    client.pump(lambda: stream.fields or stream.over)
    check(stream.status == 200, stream.fields)
    opened()
    messages = 0
    while not over():
        payload = b"message %d" % messages
        wanted = stream.body + bytes([0x82, len(payload)]) + payload
        client.data(number, websocket_frame(payload))
        client.pump(lambda: len(stream.body) >= len(wanted) or stream.over)
        check(stream.body == wanted and not stream.over, "message", messages, stream.reset)
        messages += 1
        time.sleep(PAUSE)
    print(messages, "messages")


# ---- HTTP/3 ----

def load_h3():
    import http3_peer as peer
    requests = 0
    opened()
    while not over():
        client = peer.Client()
        stream = client.get("/")
        check(stream.status == 200 and stream.body == b"beginend" and stream.ended, stream.__dict__, client.ended)
        client.quic.close(error_code=0x100)
        client.send()
        client.socket.close()
        peer.clients.clear()
        requests += 1
    print(requests, "requests")


def long_h3():
    """A transfer that lives across all of it, and then its connection's end."""
    import http3_peer as peer
    client = peer.Client()
    number = client.request(peer.head("/stream"))
    stream = client.stream(number)
    check(client.pump(lambda: stream.body), client.ended)
    opened()
    check(client.pump(lambda: stream.ended, 120), "cut", len(stream.body), client.ended)
    check(stream.status == 200 and stream.body.endswith(b"end"), stream.body[-20:])
    client.pump(lambda: False, 30)
    check(client.ended and client.ended.error_code == 0x100, "not told to go", client.ended)
    print(len(stream.body), "bytes")


globals()[sys.argv[1]]()
