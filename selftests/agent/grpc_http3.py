#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
gRPC over HTTP/3, which Python's gRPC does not speak: its frames by hand, sent by
http3_peer.py to grpc_app.py.

usage: grpc_http3.py CASE; environment: TLS (port), HOST. Exits 0 where it went as it
must, else 1 with a word about it.
"""
import struct
import sys

from http3_peer import *

client = Client()


def begin(method):
    return client.request(head("/test.App/" + method, "POST", [
        ("content-type", "application/grpc"), ("te", "trailers"), ("x-word", "given")]), end=False)


def framed(message):
    return struct.pack(">BI", 0, len(message)) + message


def messages(stream):
    """The whole ones that have come."""
    data, found = stream.body, []
    while len(data) >= 5 and len(data) >= 5 + struct.unpack(">I", data[1:5])[0]:
        size = struct.unpack(">I", data[1:5])[0]
        check(data[0] == 0, "compressed")
        found.append(data[5:5 + size])
        data = data[5 + size:]
    return found


def call(method, *requests):
    number = begin(method)
    for request in requests:
        client.data(number, framed(request))
    client.data(number, b"", end=True)
    return client.wait(number, 60)


def status_of(stream):
    """Of the trailers, which are the head where there is nothing else."""
    return (stream.trailers or stream.fields or {}).get("grpc-status")


def unary():
    stream = call("Unary", b"hello")
    check(messages(stream) == [b"HELLO"] and status_of(stream) == "0" and stream.ended, stream.__dict__, client.ended)
    check(stream.fields["x-first"] == "given" and stream.trailers["x-last"] == "done", stream.__dict__)
    for size in (0, 1, 16384, 1 << 20):
        stream = call("Unary", b"a" * size)
        check(messages(stream) == [b"A" * size] and status_of(stream) == "0", size, len(stream.body), client.ended)


def server_stream():
    stream = call("Count", b"1000")
    check(messages(stream) == [b"%d" % n for n in range(1000)] and status_of(stream) == "0", stream.__dict__)


def client_stream():
    stream = call("Total", *(bytes(100 * n) for n in range(100)))
    check(messages(stream) == [b"495000"] and status_of(stream) == "0", stream.__dict__)


def bidirectional():
    """Each message is sent when the answer to the one before has come."""
    number = begin("Chat")
    stream = client.stream(number)
    for i in range(50):
        client.data(number, framed(b"number %d" % i))
        check(client.pump(lambda: len(messages(stream)) > i), i, stream.__dict__, client.ended)
    check(not stream.ended, stream.__dict__)
    client.data(number, b"", end=True)
    client.wait(number)
    check(messages(stream) == [(b"number %d" % i)[::-1] for i in range(50)] and status_of(stream) == "0", stream.__dict__)


def status():
    stream = call("Fail", b"later")
    fields = stream.trailers or stream.fields
    check(status_of(stream) == "9" and fields["grpc-message"] == "not now: later", stream.__dict__)
    check(status_of(call("None", b"")) == "12", "a method that there is not")


def main():
    try:
        globals()[sys.argv[1]]()
        close_all()
    except Failed as failed:
        print(*failed.args, file=sys.stderr)
        sys.exit(1)


main()
