#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Clients of selftests/agent/early.sh that send requests before the handshake is
over. Over TCP that is openssl s_client, behind a relay that keeps what the server
says from it: until then it has nothing but early data to send. Over QUIC it is
aioquic (http3_peer.py), which reads nothing until then.

usage: early_client.py ticket|tcp|h2|quic ...; environment: TLS (port), HOST,
WORK. A case waits for the file $WORK/go before it lets the handshake go on, and
prints what it got.
"""
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time

WORK, PORT, HOST = os.environ["WORK"], int(os.environ["TLS"]), os.environ["HOST"]
SERVER = ("127.0.0.1", PORT)
GO = os.path.join(WORK, "go")


def wait_for(condition, what):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.02)


def go():
    return os.path.exists(GO)


# ---- TCP ----

class Relay(threading.Thread):
    """One connection to the server; its answers are held back until go()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.first = b""
        self.start()

    def run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(SERVER)
        released, ends = False, [client, server]
        while server in ends:
            released = released or go()
            for source in select.select(ends if released else ends[:-1], [], [], 0.02)[0]:
                try:
                    data = source.recv(65536)
                    if data:
                        (server if source is client else client).sendall(data)
                except OSError:
                    data = b""
                if source is client and not released:
                    self.first += data
                if not data:
                    ends.remove(source)
        client.close()
        server.close()


def s_client(port, *options, text=b"", timeout=60):
    """What it prints, after TEXT was sent in the ordinary way."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", HOST, "-ign_eof", *options]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout).stdout


def request(line):
    """"GET /a", "POST /b hello": in HTTP/1.1; the last one of several ends the connection."""
    method, path, *body = line.split(" ", 2)
    body = body[0] if body else ""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}".encode(), f"\r\n{body}".encode()


def ticket(alpn="http/1.1"):
    head, rest = request("GET /count?ticket")
    out = s_client(PORT, "-alpn", alpn, "-sess_out", f"{WORK}/session",
                   text=head + b"Connection: close\r\n" + rest)
    sys.stdout.buffer.write(out)


def send_early(data, alpn, text=b""):
    relay = Relay()
    with open(f"{WORK}/early", "wb") as f:
        f.write(data)
    out = s_client(relay.port, "-alpn", alpn, "-sess_in", f"{WORK}/session", "-early_data", f"{WORK}/early",
                   text=text)
    with open(f"{WORK}/first", "wb") as f:
        f.write(relay.first)
    sys.stdout.buffer.write(out)


def tcp(*lines):
    parts = [request(line) for line in lines]
    send_early(b"".join(head + (b"Connection: close\r\n" if i == len(parts) - 1 else b"") + rest
                        for i, (head, rest) in enumerate(parts)), "http/1.1")


def rejected(early, ordinary):
    """Early data that is not taken, and then something else in the ordinary way."""
    head, rest = request(ordinary)
    send_early(b"".join(request(early)), "http/1.1", head + b"Connection: close\r\n" + rest)


def h2():
    """A GET and a POST in one flight of HTTP/2, and GOAWAY behind them."""
    import hpack
    encoder = hpack.Encoder()

    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def head(method, path):
        return encoder.encode([(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)],
                              huffman=False)
    send_early(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, head("GET", "/count?early_get")) +
               frame(1, 4, 3, head("POST", "/upload?early_post")) + frame(0, 1, 3, b"hello") +
               frame(7, 0, 0, bytes(8)), "h2")


def replay():
    """The first flight of the last case once more. Prints nothing but that it was taken."""
    with open(f"{WORK}/first", "rb") as f, socket.create_connection(SERVER) as sock:
        sock.sendall(f.read())
        sock.settimeout(60)
        print(len(sock.recv(65536)) > 0, flush=True)
        wait_for(go, "go")


# ---- QUIC ----

def quic_ticket():
    from http3_peer import Client
    client = Client()
    client.get("/count?ticket")
    client.pump(lambda: client.tickets and client.tokens)
    if not client.tickets or not client.tokens:
        sys.exit("neither ticket nor token")
    with open(f"{WORK}/quic", "wb") as f:
        pickle.dump((client.tickets[-1], client.tokens[-1]), f)
    print(f"max_early_data {client.tickets[-1].max_early_data_size}")
    client.quic.close(error_code=0x100)
    client.send()


def quic(token, *lines):
    from http3_peer import Client, head
    with open(f"{WORK}/quic", "rb") as f:
        session, address = pickle.load(f)
    client = Client(handshake=False, session_ticket=session, **({"token": address} if token == "token" else {}))
    numbers, sent = [], []

    def send():
        for data, _ in client.quic.datagrams_to_send(now=time.time()):
            sent.append(data)
            client.socket.sendto(data, SERVER)
    client.send = send
    for line in lines:
        method, path, *body = line.split(" ", 2)
        numbers.append(client.request(head(path, method), end=not body))
        if body:
            client.data(numbers[-1], body[0].encode(), end=True)
    client.send()
    first = list(sent)
    wait_for(go, "go")
    for number in numbers:
        stream = client.wait(number)
        print(stream.status, stream.body.decode())
    print("accepted" if client.quic.tls.early_data_accepted else "not accepted")
    client.quic.close(error_code=0x100)
    client.send()
    with open(f"{WORK}/first", "wb") as f:
        pickle.dump(first, f)


def quic_replay():
    with open(f"{WORK}/first", "rb") as f, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in pickle.load(f):
            sock.sendto(data, SERVER)
        sock.settimeout(60)
        print(len(sock.recv(65536)) > 0, flush=True)
        wait_for(go, "go")


globals()[sys.argv[1]](*sys.argv[2:])
