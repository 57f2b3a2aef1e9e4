#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Cases of selftests/agent/http2.sh that need an HTTP/2 client which does as it is
told (http2_peer.py).

usage: http2_client.py CASE; environment: TLS (port), HOST, PREFIX, DOMAIN, RECORD
(what the app received). Exits 0 where the case went as it should, else 1 with a
word about it.
"""
import os
import struct
import sys

from http2_peer import *

RECORD = os.environ["RECORD"]
NO_ERROR = 0


def recorded():
    with open(RECORD, "rb") as f:
        return f.read()


def alive(client=None):
    stream = (client or Client()).get("/count")
    check(stream.status == 200 and stream.ended, stream.__dict__)


# ---- ordinary use ----

def announced():
    client = Client()
    alive(client)
    check(client.settings[3] == 128 and client.settings[8] == 1 and client.settings[9] == 1, client.settings)
    check(4 in client.settings and 6 in client.settings, client.settings)


def methods():
    client = Client()
    stream = client.get("/upload", method="HEAD")
    check(stream.status == 200 and stream.body == b"" and int(stream.fields["content-length"]) > 60, stream.__dict__)
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"a" * 100000, end=True)
    check(client.wait(number).body.startswith(b"100000 "), client.streams[number].body)
    number = client.request(head("/upload", "PUT", [("content-length", "3")]), end=False)
    client.data(number, b"abc", end=True)
    check(client.wait(number).body.startswith(b"3 "), client.streams[number].body)
    check(client.get("/head", ("content-length", "0"), method="POST").body.count(b"Content-Length: 0\n") == 1)
    for path, status in (("/no_content", 204), ("/not_modified", 304)):
        stream = client.get(path)
        check(stream.status == status and stream.ended and not stream.body, path, stream.__dict__)
    check(client.get("/until_close").body == b"until the end")
    check(client.get("/x", host="nowhere.example").status == 404)


def thousand():
    """1,000 streams of one connection, as many at once as may be."""
    client = Client()
    alive(client)
    open_ones, done = [], 0
    for _ in range(1000):
        open_ones.append(client.request(head("/count")))
        if len(open_ones) == client.settings[3]:
            check(client.wait(open_ones.pop(0)).status == 200)
            done += 1
    for number in open_ones:
        check(client.wait(number).status == 200)
        done += 1
    check(done == 1000 and not client.goaways)


def request_fields():
    client = Client()
    text = client.get("/head", ("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("cookie", "c=3"),
                      ("te", "trailers"), ("x-forwarded-for", "6.6.6.6"), ("x_real_ip", "6.6.6.6"),
                      ("x-hoody-instance", "666"), ("forwarded", "for=6.6.6.6"), ("x-empty", "")).body.decode()
    check(text.count("cookie: a=1; b=2; c=3\n") == 1 and text.count("cookie") == 1, text)
    check("6.6.6.6" not in text and "666" not in text and text.count("TE: trailers\nConnection: TE\n") == 1, text)
    check(text.startswith(f"GET /head HTTP/1.1\nHost: {HOST}\n") and "X-Forwarded-Proto: https\n" in text, text)
    check("x-empty: \n" in text, text)
    fields = client.streams[1].fields
    check("x-hop" not in fields and "connection" not in fields and fields["server"] == "app", fields)
    # The host name may come as a field alone.
    fields = [f for f in head("/head") if f[0] != b":authority"] + [(b"host", HOST.encode())]
    check(f"\nHost: {HOST}\n".encode() in client.wait(client.request(fields)).body)


def hosts():
    """Each stream has its own way."""
    client, numbers = Client(), {}
    for service, status in (("http-19000", 200), ("http-19999", 502), ("nothing-1", 404), ("http-19000", 200)):
        host = f"{os.environ['PREFIX']}-{service}.{os.environ['DOMAIN']}"
        numbers[client.request(head("/count", host=host))] = status
    for number, status in numbers.items():
        check(client.wait(number).status == status, number, client.streams[number].status)


def trailers():
    client = Client()
    stream = client.get("/chunked")
    check(stream.body == b"one two three" and stream.trailers == {"x-sum": "3"}, stream.__dict__)
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"abc")
    client.frame(HEADERS, END_HEADERS | END_STREAM, number,
                 client.encode([(b"x-t", b"v"), (b"x-hoody-secret", b"1"), (b"content-type", b"a/b")]))
    body = client.wait(number).body
    check(body.startswith(b"3 ") and body.endswith(b" x-t: v\n"), body)


def interims():
    client = Client()
    stream = client.get("/hints")
    check([i[":status"] for i in stream.interims] == ["103"] and stream.interims[0]["link"] == "</style.css>"
          and stream.body == b"hinted", stream.__dict__)
    number = client.request(head("/continue", "POST", [("expect", "100-continue"), ("content-length", "5")]), end=False)
    stream = client.streams[number]
    client.pump(lambda: stream.interims)
    check(stream.interims[0][":status"] == "100" and stream.fields is None)
    client.data(number, b"hello", end=True)
    check(client.wait(number).body.startswith(b"5 "), stream.body)


def early_response():
    """The answer comes before the body is complete: it is whole, and no more is asked for."""
    client = Client()
    number = client.request(head("/early", "POST"), end=False)
    stream = client.streams[number]
    client.data(number, b"x")
    client.pump(lambda: stream.reset is not None)
    check(stream.status == 413 and stream.ended and stream.body == b"too much" and stream.reset == NO_ERROR,
          stream.__dict__)
    alive(client)


def app_dies():
    client = Client()
    for path in ("/die", "/die_chunked"):
        stream = client.get(path)
        check(stream.body == b"half" and stream.reset == INTERNAL_ERROR and not stream.ended, stream.__dict__)
    check(client.get("/die_head").status == 502)
    alive(client)


def cancel():
    """A stream that the client resets ends at the app."""
    client = Client()
    before = recorded().count(b"<end ")
    number = client.request(head("/trickle"))
    client.pump(lambda: client.streams[number].body)
    client.frame(RST, 0, number, struct.pack(">I", CANCEL))
    wait_for(lambda: recorded().count(b"<end ") > before, "the app's connection to end")
    alive(client)


# ---- flow control ----

def slow_stream():
    """A stream that is not read holds up no other, and is not read ahead of."""
    client = Client()
    alive(client)
    number = client.open()
    client.held.add(number)
    client.frame(HEADERS, END_HEADERS | END_STREAM, number, client.encode(head("/big?300000000")))
    stream = client.streams[number]
    client.pump(lambda: len(stream.body) == 65535)
    for _ in range(50):
        alive(client)
    check(client.get("/big?5000000").body == (bytes(range(256)) * 19532)[:5000000])
    check(len(stream.body) == 65535)
    client.frame(WINDOW, 0, number, struct.pack(">I", 100000))
    client.pump(lambda: len(stream.body) == 165535)
    check(stream.body == (bytes(range(256)) * 1000)[:165535])


def deaf_app():
    """An app that does not read stops its stream, and no other."""
    client = Client()
    alive(client)
    number = client.request(head("/deaf", "POST"), end=False)
    stream, sent, piece = client.streams[number], 0, bytes(16384)
    while sent < 64 << 20:
        if stream.window < len(piece):
            pongs = client.pongs
            client.frame(PING, 0, 0, bytes(8))
            client.pump(lambda: client.pongs > pongs)
            alive(client)
            if stream.window < len(piece):
                break
        client.data(number, piece)
        sent += len(piece)
    check(not stream.over and stream.window < len(piece), stream.__dict__)
    check(sent < 32 << 20 and client.window > 512 << 10, sent, client.window)
    other = client.request(head("/upload", "POST"), end=False)
    client.data(other, bytes(3000000), end=True)
    check(client.wait(other).body.startswith(b"3000000 "))


def many_slow():
    """All streams at once without a window: memory stays bounded, new ones are answered."""
    client = Client(settings=[(4, 0)])
    numbers = [client.request(head("/big?10000000")) for _ in range(100)]
    client.pump(lambda: all(client.streams[n].fields for n in numbers[:8]))
    stream = client.get("/count", method="HEAD")
    check(stream.status == 200)
    for number in numbers:
        client.frame(RST, 0, number, struct.pack(">I", CANCEL))
    stream = client.get("/count", method="HEAD")
    check(stream.status == 200)


def padding():
    """Padding is given back to the window, and left out of the body."""
    client = Client()
    number = client.request(head("/upload", "POST"), end=False)
    for _ in range(4000):
        while min(client.window, client.streams[number].window) < 256:
            check(client.take())
        client.frame(DATA, PADDED, number, b"\xfa" + b"abcde" + bytes(250))
        client.window -= 256
        client.streams[number].window -= 256
    client.data(number, b"", end=True)
    check(client.wait(number).body.startswith(b"20000 "), client.streams[number].body)


# ---- WebSocket ----

def websocket_head(path, host=HOST):
    return [(b":method", b"CONNECT"), (b":protocol", b"websocket")] + head(path, host=host)[1:] + \
        [(b"sec-websocket-version", b"13")]


def websocket_open(client, path):
    number = client.request(websocket_head(path), end=False)
    client.pump(lambda: client.streams[number].fields or client.streams[number].over)
    return number, client.streams[number]


def websocket():
    client = Client()
    alive(client)
    number, stream = websocket_open(client, "/websocket")
    check(stream.status == 200 and stream.fields["x-version"] == "13", stream.fields)
    check(not {"upgrade", "connection", "sec-websocket-accept", "content-length"} & set(stream.fields), stream.fields)
    sent = os.urandom(1000000)
    for i in range(0, len(sent), 50000):
        client.data(number, sent[i:i + 50000])
        client.pump(lambda: len(stream.body) == i + 50000)
        alive(client)
    check(stream.body == sent)
    client.data(number, b"last", end=True)
    client.wait(number)
    check(stream.body == sent + b"lastbye" and stream.ended and stream.reset is None, stream.reset)
    alive(client)


def websocket_app_first():
    client = Client()
    number, stream = websocket_open(client, "/websocket?first")
    client.wait(number)
    check(stream.body == b"hello" and stream.ended and stream.reset is None, stream.__dict__)
    client.data(number, b"heard", end=True)
    wait_for(lambda: b"heard" in recorded(), "the app to hear it")
    alive(client)


def websocket_early():
    """What is sent before the app agrees reaches it only inside the tunnel."""
    client = Client()
    number = client.request(websocket_head("/websocket"), end=False)
    client.data(number, b"early", end=True)
    stream = client.wait(number)
    check(stream.status == 200 and stream.body == b"earlybye", stream.__dict__)
    number = client.request(websocket_head("/count"), end=False)
    client.data(number, b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    stream = client.wait(number)
    check(stream.status == 502 and b"smuggled" not in recorded(), stream.__dict__)
    alive(client)


def websocket_refused():
    client = Client()
    for path, status in (("/count", 502), ("/websocket?wrong", 502), ("/early", 413)):
        number, stream = websocket_open(client, path)
        check(stream.status == status, path, stream.fields)
        client.wait(number)
    stream = client.wait(client.request(websocket_head("/count", "nowhere.example"), end=False))
    check(stream.status == 404)
    alive(client)


# ---- the end ----

def cut():
    """Prints "open", and waits for the container to go: its streams do, the connection does not."""
    client = Client()
    numbers = [client.request(head("/trickle")), websocket_open(client, "/websocket")[0]]
    client.pump(lambda: client.streams[numbers[0]].body and client.streams[numbers[1]].fields)
    print("open", flush=True)
    for number in numbers:
        check(client.wait(number).reset is not None and not client.streams[number].ended)
    check(client.get("/count").status == 503)
    check(not client.goaways)


def drain():
    """Prints "open"; is told to finish, does, and is told the end."""
    client = Client()
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"abc")
    pongs = client.pongs
    client.frame(PING, 0, 0, bytes(8))
    client.pump(lambda: client.pongs > pongs)
    print("open", flush=True)
    client.pump(lambda: len(client.goaways) == 2)
    check(client.goaways == [(0x7fffffff, NO_ERROR), (number, NO_ERROR)], client.goaways)
    client.data(number, b"def", end=True)
    check(client.wait(number).body.startswith(b"6 "))
    client.pump_all()
    check(client.ended)


def requests_bounded():
    """requests_per_connection_max=3: the third is answered, and GOAWAY says so."""
    client = Client()
    for _ in range(3):
        alive(client)
    check(client.goaway_code() == NO_ERROR, client.goaways)


# ---- times ----

def times():
    """With short times: what does not move ends, alone where it is a stream."""
    client = Client(settings=[(4, 0)])
    number = client.request(head("/big?100000"))
    check(client.wait(number).reset == CANCEL, client.streams[number].__dict__)
    number = client.request(head("/upload", "POST"), end=False)
    client.pump(lambda: client.streams[number].fields)
    check(client.streams[number].status == 408, client.streams[number].fields)
    check(client.goaway_code() == NO_ERROR, "idle")
    client = Client()
    client.get("/count")
    client.frame(HEADERS, END_STREAM, 3, client.encode(head("/count")))
    check(client.goaway_code() == NO_ERROR, "slow head", client.goaways)
    check(Client(preface=False).goaway_code() == NO_ERROR, "no preface")


# ---- abuse: each ends the connection with ENHANCE_YOUR_CALM ----

def calm(client):
    check(client.goaway_code() == CALM, client.goaways)
    alive()


def rapid_reset():
    client = Client()
    for _ in range(600):
        number = client.request(head("/hang"))
        client.frame(RST, 0, number, struct.pack(">I", CANCEL))
        if client.ended:
            break
    calm(client)


def made_reset():
    """Streams that the server has to reset, by the client's fault."""
    client = Client()
    for _ in range(600):
        number = client.request(head("/hang"))
        client.frame(WINDOW, 0, number, struct.pack(">I", 0x7fffffff))
        if client.ended:
            break
    calm(client)


def few_resets():
    """What a browser does when a page is left stays allowed."""
    client = Client()
    for number in [client.request(head("/hang")) for _ in range(100)]:
        client.frame(RST, 0, number, struct.pack(">I", CANCEL))
    alive(client)


def flood(make, count=4000, setup=None):
    client = Client()
    number = setup(client) if setup else 0
    frame = make(client, number)
    for _ in range(count // 100):
        client.send(frame * 100)
        if client.ended:
            break
    calm(client)


def ping_flood():
    flood(lambda c, n: c.bytes_of(PING, 0, 0, bytes(8)))


def settings_flood():
    flood(lambda c, n: c.bytes_of(SETTINGS, 0, 0))


def priority_update_flood():
    flood(lambda c, n: c.bytes_of(0x10, 0, 0, b"\0\0\0\1u=1"))


def empty_data_flood():
    flood(lambda c, n: c.bytes_of(DATA, 0, n), setup=lambda c: c.request(head("/hang", "POST"), end=False))


def padded_empty_data_flood():
    flood(lambda c, n: c.bytes_of(DATA, PADDED, n, b"\0"), setup=lambda c: c.request(head("/hang", "POST"), end=False))


def continuation_flood():
    client = Client()
    client.frame(HEADERS, END_STREAM, 1, client.encode(head("/count")))
    for i in range(1000):
        client.frame(CONTINUATION, 0, 1, client.encode([(b"x-%d" % i, b"")]))
        if client.ended:
            break
    calm(client)


def hpack_bomb():
    """4 KB that the table holds, named 12,000 times in a byte each."""
    client = Client()
    block = client.encode(head("/count")) + b"\x40\x01x" + b"\x7f" + b"\xc1\x1e" + b"a" * 4032 + b"\xbe" * 12000
    client.frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
    calm(client)


def too_many_streams():
    client = Client()
    alive(client)
    numbers = [client.request(head("/hang", "POST"), end=False) for _ in range(128)]
    last = client.request(head("/count"))
    stream = client.verdict(last)
    check(stream is None or stream.reset is not None, stream and stream.__dict__)
    check(not any(client.streams[n].status for n in numbers))
    alive()


def large_heads():
    client = Client()
    stream = client.get("/count", ("x-a", "a" * 40000))
    check(stream.status == 431, stream.__dict__)
    stream = client.get("/count", *[(f"x-{i}", "1") for i in range(101)])
    check(stream.status == 431, stream.__dict__)
    stream = client.get("/count", *[("cookie", f"c{i}=1") for i in range(150)])
    check(stream.status == 200, stream.__dict__)
    stream = client.get("/count", *[(f"x-{i}", "1") for i in range(98)])
    check(stream.status == 200, stream.__dict__)


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]]()
    except (Failed, AssertionError, OSError) as error:
        print(f"{sys.argv[1]}: {type(error).__name__}: {str(error)[:2000]}")
        sys.exit(1)
