#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Sends every case of smuggling.txt to every app, and compares what the apps saw with
what they were to see.

usage: smuggling.py send TABLE PORT...           PORT: of an app, part of its host name
       smuggling.py count TABLE
       smuggling.py check TABLE LOG PORT         exits 1 where the log says otherwise
       smuggling.py complete TABLE LOG PORT      whether all that has to be seen was

environment: PLAIN, TLS (ports of the proxy), HOST (any app's), PREFIX, DOMAIN.
A log has one line a request: METHOD PATH.
"""
import itertools
import os
import re
import socket
import sys
import threading

import http2_peer

SEPARATE = " & "
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "s": " ", "\\": "\\", "|": "|", "{": "{", "}": "}"}
SENTINELS = 12      # at the end: what lies in a kept connection is read as a request by then
TIMEOUT = 20


def host_of(port):
    return "%s-http-%s.%s" % (os.environ["PREFIX"], port, os.environ["DOMAIN"])


def alternatives(text):
    """{a|b} in turn, from the inside out."""
    inner = re.search(r"(?<!\\)\{((?:[^{}\\]|\\.)*)\}", text)
    if not inner:
        return [text]
    choices = re.split(r"(?<!\\)\|", inner.group(1))
    return list(itertools.chain.from_iterable(
        alternatives(text[:inner.start()] + choice + text[inner.end():]) for choice in choices))


def unescape(text):
    return re.sub(r"\\(?:x([0-9a-f]{2})|(.))",
                  lambda m: chr(int(m.group(1), 16)) if m.group(1) else ESCAPES[m.group(2)], text)


class Case:
    def __init__(self, number, protocol, verdict, name, text):
        self.number, self.protocol, self.verdict, self.name, self.text = number, protocol, verdict, name, text
        self.path = "/case/%d" % number

    def fill(self, text, host):
        smuggled = "GET /smuggled/%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (self.number, host)
        after = "GET /after/%d HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (self.number, host)
        for mark, what in (("<N>", self.path), ("<H>", "Host: %s\r\n" % host), ("<S>", smuggled), ("<A>", after),
                           ("<Sn>", str(len(smuggled))), ("<Sx>", "%x" % len(smuggled)), ("<host>", host)):
            text = text.replace(mark, what)
        return text.encode("latin-1")

    def fields(self, host):
        """Of a case of HTTP/2: fields, body (or None), trailers."""
        fields, body, trailers = [], None, []
        own = {b":method": b"GET", b":scheme": b"https", b":authority": host.encode(), b":path": self.path.encode()}
        for part in self.text.split(SEPARATE):
            name, _, value = part.partition("=")
            name, value = self.fill(unescape(name), host), self.fill(unescape(value), host)
            if name == b"!data":
                body = value
            elif name.startswith(b"!trailer "):
                trailers.append((name[9:], value))
            else:
                if name.startswith(b"-"):
                    own.pop(name[1:])
                    continue
                own.pop(name, None)
                fields.append((name, value))
        return list(own.items()) + fields, body, trailers


def read_table(name):
    cases = []
    with open(name, encoding="ascii") as table:
        for line in table:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            head, text = line.split(": ", 1)
            protocol, verdict, name = head.split(" ")
            assert protocol in ("h1", "h2") and verdict in ("none", "one", "maybe", "two"), line
            for one in alternatives(text):
                cases.append(Case(len(cases) + 1, protocol, verdict, name, one))
    return cases


# ---- sending ----

def send_http1(case, host):
    """Until the proxy ends the connection, or has said all that it is to say."""
    sock = socket.create_connection(("127.0.0.1", int(os.environ["PLAIN"])), timeout=TIMEOUT)
    data, wanted = b"", {"two": 2}.get(case.verdict, 1)
    try:
        sock.sendall(case.fill(unescape(case.text), host))
        while len(re.findall(rb"(?:^|\n|})HTTP/1\.1 [2-5]", data)) < wanted or case.verdict == "none":
            more = sock.recv(65536)
            if not more:
                break
            data += more
    except TimeoutError:
        return "no answer and no end"
    except ConnectionError:
        pass
    sock.close()
    status = re.match(rb"HTTP/1\.1 (\d+)", data)
    return int(status.group(1)) if status else None


def send_http2(case, host):
    client = http2_peer.Client()
    fields, body, trailers = case.fields(host)
    number = client.open()
    client.frame(http2_peer.HEADERS, http2_peer.END_HEADERS | (body is None and not trailers), number,
                 client.encode(fields))
    if body is not None:
        client.frame(http2_peer.DATA, not trailers, number, body)
    if trailers:
        client.frame(http2_peer.HEADERS, http2_peer.END_HEADERS | http2_peer.END_STREAM, number, client.encode(trailers))
    stream = client.verdict(number)
    client.sock.close()
    return stream.status if stream else None


def send_one(case, host):
    got = (send_http1 if case.protocol == "h1" else send_http2)(case, host)
    if case.verdict == "none" and isinstance(got, int) and not (400 <= got < 600 and got != 502):
        return "%s %s was answered with %d" % (case.protocol, case.name, got)
    if isinstance(got, str) or (case.verdict in ("one", "two") and not got):
        return "%s %s: %r" % (case.protocol, case.name, got)
    return None


def send(cases, ports):
    work = [(case, host_of(port)) for case in cases for port in ports]
    lock, faults = threading.Lock(), []

    def run():
        while True:
            with lock:
                if not work:
                    return
                case, host = work.pop()
            try:
                fault = send_one(case, host)
            except Exception as error:     # pylint: disable=broad-except
                fault = "%s %s: %r" % (case.protocol, case.name, error)
            if fault:
                with lock:
                    faults.append("%s  (%s, case %d: %s)" % (fault, host, case.number, case.text))

    threads = [threading.Thread(target=run) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for port in ports:
        for _ in range(SENTINELS):
            with socket.create_connection(("127.0.0.1", int(os.environ["PLAIN"])), timeout=TIMEOUT) as sock:
                sock.sendall(("GET /sentinel HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host_of(port)).encode())
                while sock.recv(65536):
                    pass
    return faults


# ---- what was seen ----

def expected(cases, port):
    """Lines that must be in the log, and lines that may be."""
    must, may = {"GET /sentinel"}, set()
    for case in cases:
        if case.verdict == "none":
            continue
        if case.protocol == "h1":
            method = unescape(case.text).split(" ")[0]
        else:
            method = dict(case.fields(host_of(port))[0])[b":method"].decode()
        (may if case.verdict == "maybe" else must).add("%s %s" % (method, case.path))
        if case.verdict == "two":
            must.add("GET /after/%d" % case.number)
    return must, may


def read_log(name):
    with open(name, encoding="latin-1") as log:
        return {line.rstrip("\n") for line in log if line != "\n"}


def main():
    cases = read_table(sys.argv[2])
    if sys.argv[1] == "count":
        print(len(cases))
        return 0
    if sys.argv[1] == "send":
        faults = send(cases, sys.argv[3:])
        print(*faults, sep="\n", end="\n" if faults else "")
        return bool(faults)
    must, may = expected(cases, sys.argv[4])
    seen = read_log(sys.argv[3])
    if sys.argv[1] == "complete":
        return not must <= seen
    names = {case.number: "%s %s: %s" % (case.protocol, case.name, case.text) for case in cases}
    for line in sorted(seen - must - may) + sorted(must - seen):
        number = re.search(r"/(\d+)", line)
        print("not seen:" if line in must else "seen:", line, " ",
              names.get(int(number.group(1))) if number else "")
    return seen - must - may != set() or not must <= seen


sys.exit(main())
