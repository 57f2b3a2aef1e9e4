#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Requests that must not reach an app: HTTP/2 that is no HTTP, or that HTTP/1.1
would carry as something else. Each names /evil; the app's record must never.

usage: http2_malformed.py heads|frames|bodies; environment as http2_client.py.
"""
import sys

from http2_client import *
from http2_peer import *

H = HOST.encode()


def base(**change):
    """GET /evil with pseudo-headers changed, or left out by None."""
    fields = {"method": b"GET", "scheme": b"https", "authority": H, "path": b"/evil"}
    fields.update(change)
    return [(b":" + name.encode(), value) for name, value in fields.items() if value is not None]


def plus(*fields, **change):
    return base(**change) + list(fields)


def post(*fields):
    return base(method=b"POST") + list(fields)


CONNECT = base(method=b"CONNECT", protocol=b"websocket")

# Complete heads. Those marked with a stream that goes on come in OPEN.
HEADS = [
    # pseudo-header fields
    base(method=None), base(scheme=None), base(path=None), base(authority=None), base(path=b""),
    base(method=b""), base(scheme=b""), base(authority=b""), base(scheme=b"ftp"),
    plus((b":method", b"GET")), plus((b":path", b"/evil")), plus((b":scheme", b"https")), plus((b":authority", H)),
    plus((b":evil", b"1")), plus((b":status", b"200")), plus((b":", b"1")), plus((b":protocol", b"websocket")),
    [(b"x-a", b"1")] + base(), base(path=None) + [(b"x-a", b"1"), (b":path", b"/evil")],
    # the method, which would be the request line
    base(method=b"GET /evil HTTP/1.1\r\nX: y"), base(method=b"GE T"), base(method=b"GET\r\n"), base(method=b"get"),
    base(method=b"PRI"), base(method=b"EVIL"), base(method=b"G\0T"), base(method=b"G\xc3T"), base(method=b"G(T"),
    base(method=b"TRACE"), base(method=b"CONNECT"), base(method=b"CONNECT", scheme=None, path=None),
    # the path, likewise
    base(path=b"evil"), base(path=b"*"), base(path=b"/evil HTTP/1.1\r\nX: y"), base(path=b"/ evil"),
    base(path=b"/evil\t"), base(path=b"/evil\r"), base(path=b"/evil\n"), base(path=b"/evil\0"), base(path=b"/evil#x"),
    base(path=b"/evil\x7f"), base(path=b"/evil\x80"), base(path=b"/evil\xff"), base(path=b"https://" + H + b"/evil"),
    base(path=b"?evil"), base(path=b"*/evil", method=b"OPTIONS"), base(path=b" /evil"), base(path=b"/evil\x01"),
    # whom it is for
    base(authority=b"a@" + H), base(authority=H + b" x"), base(authority=H + b"\r\nX: y"), base(authority=H + b"/"),
    base(authority=H + b":x"), base(authority=H + b"\0"), base(authority=b"." + H), base(authority=H + b","),
    plus((b"host", b"other.example")), plus((b"host", H), (b"host", H)), plus((b"host", b"")),
    plus((b"host", H), (b"host", b"other.example")), plus((b"host", H + b"\r\nX: y"), authority=None),
    plus((b"host", b""), authority=None), plus((b"host", H), (b"host", H), authority=None),
    # fields of a connection (RFC 9113 8.2.2)
    plus((b"connection", b"close")), plus((b"connection", b"host")), plus((b"keep-alive", b"1")),
    plus((b"proxy-connection", b"close")), plus((b"transfer-encoding", b"chunked")),
    plus((b"transfer-encoding", b"identity")), plus((b"upgrade", b"h2c")), plus((b"te", b"gzip")),
    plus((b"te", b"trailers, gzip")), plus((b"transfer_encoding", b"chunked")), plus((b"content_length", b"0")),
    # names
    plus((b"X-A", b"1")), plus((b"x-A", b"1")), plus((b"", b"1")), plus((b"x a", b"1")), plus((b"x:a", b"1")),
    plus((b"x\r\na", b"1")), plus((b"x\na", b"1")), plus((b"x\0", b"1")), plus((b"x\x80", b"1")), plus((b" x", b"1")),
    plus((b"x ", b"1")), plus((b"x(", b"1")), plus((b"x\x7f", b"1")),
    # values
    plus((b"x-a", b"1\r\nX: y")), plus((b"x-a", b"1\r")), plus((b"x-a", b"1\n")), plus((b"x-a", b"\r\n\r\nGET /evil")),
    plus((b"x-a", b"1\0")), plus((b"x-a", b" 1")), plus((b"x-a", b"1 ")), plus((b"x-a", b"\t1")), plus((b"x-a", b"1\t")),
    plus((b"x-a", b"\x01")), plus((b"x-a", b"\x7f")), plus((b"cookie", b"a=1\r\nX: y")),
    plus((b"cookie", b"a=1"), (b"cookie", b"b=2\n")),
    # lengths
    post((b"content-length", b"abc")), post((b"content-length", b"-1")), post((b"content-length", b"+0")),
    post((b"content-length", b"0, 0")), post((b"content-length", b"0x0")), post((b"content-length", b"")),
    post((b"content-length", b"0"), (b"content-length", b"0")), post((b"content-length", b"0"), (b"content-length", b"5")),
    post((b"content-length", b"5")), post((b"content-length", b"99999999999999999999")),
    post((b"content-length", b"0"), (b"content_length", b"5")), post((b"content-length", b"0"), (b"transfer-encoding", b"chunked")),
    # size
    plus((b"x-a", b"a" * 40000)), plus(*[(b"x-%d" % i, b"1") for i in range(200)]),
    # WebSocket
    CONNECT, CONNECT + [(b"content-length", b"0")],
]

OPEN = [
    base(method=b"CONNECT", protocol=b"evil"), base(method=b"CONNECT", protocol=b""),
    base(method=b"CONNECT", protocol=b"websocket", scheme=None), base(method=b"CONNECT", protocol=b"websocket", path=None),
    base(method=b"CONNECT", protocol=b"websocket", authority=None),
    base(method=b"CONNECT", protocol=b"websocket", path=b"/evil\r\nX: y"),
    CONNECT + [(b"content-length", b"5")], CONNECT + [(b"upgrade", b"websocket")], CONNECT + [(b"connection", b"upgrade")],
    post((b"content-length", b"1e3")), post((b"content-length", b" 5")), post((b"content-length", b"999999999999999999999")),
    post((b"transfer-encoding", b"chunked")), post((b"content-length", b"5"), (b"content-length", b"6")),
]


def refused(fields, end):
    """One head on a connection of its own; a word where it was not refused."""
    client = Client()
    stream = client.verdict(client.request(fields, end))
    if stream is None:
        check(client.goaways, "ended without a word", fields)
    elif stream.reset is None or stream.fields:
        check(stream.status >= 400, stream.status, fields)
    check(b"evil" not in recorded(), "reached the app", fields)


def heads():
    alive()
    for fields in HEADS:
        refused(fields, True)
    for fields in OPEN:
        refused(fields, False)
    check(len(HEADS) + len(OPEN) >= 60)
    print(len(HEADS) + len(OPEN))


def frames():
    """Wrong frames: the connection or the stream ends with a code, and nothing else does."""
    block = Client().encode(base())
    number = struct.pack(">I", 1)
    raw = Client.bytes_of
    wrong = [
        raw(DATA, 0, 0, b"x"), raw(DATA, END_STREAM, 1, b"x"), raw(HEADERS, END_HEADERS | END_STREAM, 0, block),
        raw(HEADERS, END_HEADERS | END_STREAM, 2, block), raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"),
        raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe"),
        raw(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block),
        raw(HEADERS, END_STREAM, 1, block) + raw(PING, 0, 0, bytes(8)),
        raw(HEADERS, END_STREAM, 1, block) + raw(CONTINUATION, END_HEADERS, 3, b""),
        raw(CONTINUATION, END_HEADERS, 1, block), raw(RST, 0, 1, number), raw(RST, 0, 0, number),
        raw(RST, 0, 1, b"\0"), raw(SETTINGS, 0, 1), raw(SETTINGS, 0, 0, b"12345"), raw(SETTINGS, ACK, 0, bytes(6)),
        raw(SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)),
        raw(SETTINGS, 0, 0, struct.pack(">HI", 5, 100)), raw(PUSH, END_HEADERS, 1, number + block),
        raw(PING, 0, 0, b"short"), raw(PING, 0, 1, bytes(8)), raw(GOAWAY, 0, 1, bytes(8)), raw(GOAWAY, 0, 0, b"1"),
        raw(WINDOW, 0, 0, bytes(4)), raw(WINDOW, 0, 0, b"123"), raw(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)),
        raw(WINDOW, 0, 1, number), b"\xff\xff\xff" + raw(HEADERS, END_HEADERS, 1)[3:],
        b"\0\x40\x01" + raw(DATA, 0, 1, bytes(16385))[3:], raw(0x10, 0, 1, number),
        raw(0x10, 0, 0, b"123"), b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n",
    ]
    for data in wrong[:-1]:
        client = Client()
        client.send(data)
        try:
            check(client.goaway_code() != NO_ERROR, data[:40], client.goaways)
        except TimeoutError:
            raise Failed(f"nothing came for {data[:40]}")
    client = Client(preface=False)
    client.send(wrong[-1])
    check(client.goaway_code() != NO_ERROR)
    client = Client()
    number = client.request(head("/count"))
    client.data(number, b"after the end")
    stream = client.verdict(number)
    check(stream is None or stream.status == 200 or stream.reset is not None)
    alive()
    print(len(wrong))


def bodies():
    """A body that is not as long as was said is not passed as one, and nothing in it is a request."""
    inner = b"GET /evil HTTP/1.1\r\nHost: %s\r\n\r\n" % H
    for length, body in ((5, b"12345" + inner), (0, inner), (len(inner) + 1, inner), (10, b"1234"), (1, b"")):
        client = Client()
        number = client.request(head("/upload", "POST", [("content-length", str(length))]), end=False)
        client.data(number, body, end=True)
        stream = client.verdict(number)
        # A body of nothing is complete with its head: the app may have answered by now.
        check(stream is None or stream.reset is not None or stream.status >= 400 or
              not length and stream.body.startswith(b"0 "), length, stream and stream.__dict__)
    client = Client()
    number = client.request(head("/upload", "POST"), end=False)
    client.data(number, b"0\r\n\r\n" + inner, end=True)
    check(client.wait(number).body.startswith(b"%d " % (5 + len(inner))), "chunked by us")
    # Trailers are fields too.
    for fields in ([(b"x\r\ny", b"1")], [(b"x", b"1\r\n\r\n" + inner)], [(b":path", b"/evil")], [(b"content-length", b"5")],
                   [(b"transfer-encoding", b"chunked")], [(b"host", b"evil")], [(b"X", b"1")], [(b"connection", b"close")]):
        client = Client()
        number = client.request(head("/upload", "POST"), end=False)
        client.data(number, b"abc")
        client.frame(HEADERS, END_HEADERS | END_STREAM, number, client.encode(fields))
        stream = client.verdict(number)
        check(stream is None or stream.reset is not None, fields, stream and stream.__dict__)
    # The body of a request that was refused is not the next one.
    client = Client()
    number = client.request(head("/x", "POST", host="nowhere.example"), end=False)
    client.data(number, inner, end=True)
    check(client.wait(number).status == 404)
    alive(client)
    text = recorded().replace(b"%x\r\n0\r\n\r\n" % (5 + len(inner)) + inner, b"")
    check(b"\r\n0\r\n\r\nGET /evil" not in text and b"Host: evil" not in text, "smuggled")


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]]()
    except (Failed, AssertionError, OSError) as error:
        print(f"{sys.argv[1]}: {type(error).__name__}: {str(error)[:2000]}")
        sys.exit(1)
