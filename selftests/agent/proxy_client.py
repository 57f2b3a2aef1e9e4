#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Cases of selftests/agent/proxy.sh that need bytes which no HTTP client sends.

usage: proxy_client.py CASE [ARGUMENT...]; environment: PLAIN and TLS (ports),
HOST, RECORD (what the app received), WORKER (process id). Exits 0 where the case
went as it should, else 1 with a word about it.
"""
import fcntl
import os
import re
import socket
import ssl
import sys
import termios
import threading
import time

HOST = os.environ["HOST"]
PLAIN, TLS = int(os.environ["PLAIN"]), int(os.environ["TLS"])
RECORD = os.environ["RECORD"]


class Failed(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(repr(w) for w in what))


def connect(tls=False, rcvbuf=None):
    sock = socket.socket()
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", TLS if tls else PLAIN))
    if tls:
        context = ssl._create_unverified_context()
        sock = context.wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False)
    return sock


def request(path, method="GET", fields="", version="1.1", body=b""):
    return f"{method} {path} HTTP/{version}\r\nHost: {HOST}\r\n{fields}\r\n".encode("latin-1") + body


def read_all(sock):
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data, "end"
            data += piece
    except ConnectionError:
        return data, "reset"


def read_until(sock, mark):
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        check(piece, "ended after", data)
        data += piece
    return data


def recorded():
    with open(RECORD, "rb") as f:
        return f.read()


def wait_for(condition, what):
    end = time.monotonic() + 30
    while not condition():
        check(time.monotonic() < end, "waited in vain for", what)
        time.sleep(0.02)


def queued(sock, which):
    """Bytes in the kernel: TIOCOUTQ not yet arrived, FIONREAD not yet read."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), which, b"\0" * 4), sys.byteorder)


# ---- well-behaved, but unusual ----

def pipelining(tls=False):
    sock = connect(tls)
    count = 50
    sock.sendall(b"".join(request(f"/upload", "POST", f"Content-Length: {i}\r\n", body=b"x" * i)
                          for i in range(count)) + request("/count", fields="Connection: close\r\n"))
    data, how = read_all(sock)
    lengths = [int(m) for m in re.findall(rb"\r\n\r\n(\d+) [0-9a-f]{64} \n", data)]
    check(lengths == list(range(count)) and how == "end", lengths, how)


def pipelining_tls():
    pipelining(True)


def splits():
    """Every cut of a request with a chunked body gives the same answer."""
    data = request("/upload", "POST", "Transfer-Encoding: chunked\r\n",
                   body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: v\r\n\r\n")
    answers = set()
    sock = connect()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for cut in range(1, len(data)):
        sock.sendall(data[:cut])
        wait_for(lambda: queued(sock, termios.TIOCOUTQ) == 0, "the first piece to arrive")
        sock.sendall(data[cut:])
        answers.add(read_until(sock, b" X-T: v\n"))
    check(len(answers) == 1, answers)


def bytewise():
    sock = connect(True)
    for byte in request("/upload", "POST", "Content-Length: 3\r\n", body=b"abc"):
        sock.sendall(bytes([byte]))
    check(b"\r\n\r\n3 " in read_until(sock, b" \n"))


def http10_chunked():
    sock = connect()
    sock.sendall(request("/chunked", version="1.0"))
    data, how = read_all(sock)
    head, body = data.split(b"\r\n\r\n", 1)
    check(body == b"one two three" and b"chunked" not in head.lower() and how == "end", data)


def http10_keepalive():
    sock = connect()
    for _ in range(2):
        sock.sendall(request("/count", version="1.0", fields="Connection: keep-alive\r\n"))
        check(b"Connection: keep-alive\r\n" in read_until(sock, b"\r\n\r\n"))


def until_close_chunked():
    sock = connect()
    sock.sendall(request("/until_close"))
    data = read_until(sock, b"0\r\n\r\n")
    check(b"Transfer-Encoding: chunked\r\n" in data and b"\r\nd\r\nuntil the end\r\n" in data, data)
    sock.sendall(request("/count"))
    check(b"200 OK" in read_until(sock, b"\n"))


def trailers():
    sock = connect()
    sock.sendall(request("/chunked"))
    data = read_until(sock, b"X-Sum: 3\r\n\r\n")
    check(b"\r\n0\r\nX-Sum: 3\r\n\r\n" in data and b"Set-Cookie" not in data and
          b"Content-Length" not in data and b"X-Hoody" not in data and b"ext=" not in data, data)


def trailers_up():
    sock = connect()
    sock.sendall(request("/upload", "POST", "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n",
                         body=b"2\r\nhi\r\n0\r\nX-A: 1\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"))
    data = read_until(sock, b"X-A: 1")
    check(b"Host" not in data.split(b"\r\n\r\n", 1)[1], data)


def bodiless():
    for path, status in (("/no_content", b"204"), ("/not_modified", b"304")):
        sock = connect()
        sock.sendall(request(path) + request("/count"))
        data = read_until(sock, b"HTTP/1.1 200")
        check(data.startswith(b"HTTP/1.1 " + status) and b"chunked" not in data, data)
    check(b"Content-Length: 77\r\n" in data, data)


def head_method():
    sock = connect()
    sock.sendall(request("/big?1000", "HEAD") .replace(b"/big?1000", b"/count") + request("/hints"))
    data = read_until(sock, b"hinted")
    first = data.split(b"\r\n\r\n", 1)[1]
    check(first.startswith(b"HTTP/1.1 103 Early Hints\r\n") and data.count(b"Content-Length") == 2, data)


def hints_10():
    sock = connect()
    sock.sendall(request("/hints", version="1.0"))
    data, _ = read_all(sock)
    check(data.startswith(b"HTTP/1.1 200") and data.endswith(b"hinted"), data)


def expect_continue():
    sock = connect()
    sock.sendall(request("/continue", "POST", "Content-Length: 4\r\nExpect: 100-continue\r\n"))
    check(read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n")
    sock.sendall(b"body")
    check(b"\r\n\r\n4 " in read_until(sock, b" \n"))


def expect_refused():
    sock = connect()
    sock.sendall(request("/early", "POST", "Content-Length: 400000\r\nExpect: 100-continue\r\n"))
    data, how = read_all(sock)
    check(data.startswith(b"HTTP/1.1 413") and data.endswith(b"too much") and how == "end", data, how)


def early_response():
    """A client that sends all before it reads still finds the answer."""
    sock = connect()
    sock.sendall(request("/early", "POST", "Content-Length: 8000000\r\n", body=b"x" * 8000000))
    data, how = read_all(sock)
    check(data.startswith(b"HTTP/1.1 413") and data.endswith(b"too much") and how == "end", data, how)


def early_response_read():
    sock = connect()
    sock.sendall(request("/early_read", "POST", "Content-Length: 200000\r\n", body=b"x" * 100000))
    read_until(sock, b"early")
    sock.sendall(b"x" * 100000 + request("/count"))
    data = read_until(sock, b"0\r\n\r\nHTTP/1.1 200")
    check(b" 200000\r\n" in data, data)


def request_fields():
    sock = connect(True)
    sock.sendall(request("/head", fields="X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n"
                         "Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Hoody-Real-IP: socket\r\n"
                         "X-Hoody-Instance: 9\r\nConnection: x-one, keep-alive\r\nX-One: 1\r\nX-Two: 2\r\n"
                         "TE: trailers\r\nKeep-Alive: 3\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n"))
    data = read_until(sock, b"X-Hoody-Real-IP: header\n").decode()
    head, body = data.split("\r\n\r\n", 1)
    check("6.6.6.6" not in body and "X-One" not in body and "X-Two: 2" in body, body)
    check("X-Forwarded-For: 127.0.0.1\n" in body and "X-Forwarded-Proto: https\n" in body, body)
    check(f"X-Forwarded-Host: {HOST}\n" in body and "X-Forwarded-Port: 443\n" in body, body)
    check(body.count("X-Hoody-") == 2 and "Keep-Alive" not in body and "Proxy-" not in body, body)
    check("Upgrade" not in body and "TE:" not in body and body.count("Host: ") == 2, body)
    check("Server: app" in head and "X-Hop" not in head and "Date" not in head, head)


def te_trailers():
    sock = connect()
    sock.sendall(request("/head", fields="TE: gzip, trailers\r\nConnection: TE\r\n"))
    data = read_until(sock, b"X-Hoody-Real-IP: header\n")
    check(b"\nTE: trailers\nConnection: TE\n" in data, data)


# ---- what goes wrong ----

def app_dies():
    for path in ("/die", "/die_chunked"):
        sock = connect(True)
        sock.sendall(request(path))
        data, how = read_all_tls(sock)
        check(b"half" in data and not data.endswith(b"0\r\n\r\n"), path, data)


def read_all_tls(sock):
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data, "end"
            data += piece
    except (ConnectionError, ssl.SSLError):
        return data, "reset"


def app_dies_10():
    """Where only the end tells that a body is over, a broken one ends in a reset."""
    sock = connect()
    sock.sendall(request("/die_chunked", version="1.0"))
    data, how = read_all(sock)
    check(how == "reset", data, how)


def malformed_responses():
    for raw in ("HTTP/1.1 200 OK%0AContent-Length: 2%0A%0Ahi", "garbage%0D%0A%0D%0A",
                "HTTP/1.1 200 OK%0D%0AContent-Length: 2%0D%0AContent-Length: 3%0D%0A%0D%0Ahi",
                "HTTP/1.1 200 OK%0D%0AContent-Length: 2%0D%0ATransfer-Encoding: chunked%0D%0A%0D%0Ahi",
                "HTTP/1.1 200 OK%0D%0ATransfer-Encoding: gzip%0D%0A%0D%0Ahi",
                "HTTP/1.1 200 OK%0D%0AX : a%0D%0A%0D%0Ahi", "HTTP/1.1 200 OK%0D%0AX: a%00%0D%0A%0D%0Ahi",
                "HTTP/1.1 101 Switch%0D%0AConnection: upgrade%0D%0AUpgrade: x%0D%0A%0D%0A",
                "long", ""):
        sock = connect()
        sock.sendall(request("/raw?" + raw.replace(" ", "%20")))
        data = read_until(sock, b"\r\n\r\n")
        check(data.startswith(b"HTTP/1.1 502"), raw[:100], data)


def response_splitting():
    """Bytes behind a complete response never become another one's."""
    raw = ("HTTP/1.1 200 OK%0D%0AContent-Length: 2%0D%0A%0D%0AhiHTTP/1.1 200 OK%0D%0A"
           "Content-Length: 4%0D%0A%0D%0Aevil").replace(" ", "%20")
    sock = connect()
    for _ in range(5):
        sock.sendall(request("/raw?" + raw) + request("/count"))
        data = read_until(sock, b" 1\n")
        check(b"evil" not in data and data.count(b"HTTP/1.1 200") == 2, data)


def stale():
    """A kept connection that dies with the request on it: sent once more, where that is safe."""
    sock = connect()
    for method, wanted in (("GET", b"200"), ("PUT", b"200"), ("POST", b"502")):
        sock.sendall(request("/stale"))
        read_until(sock, b"\r\n\r\n")
        body = b"" if method == "GET" else b"abc"
        sock.sendall(request("/upload", method, f"Content-Length: {len(body)}\r\n", body=body))
        data = read_until(sock, b" \n" if wanted == b"200" else b"closed this one\n")
        check(wanted in data, method, data)


def client_gone():
    """A client that leaves ends the request at the app."""
    before = recorded().count(b"<end")
    for path in ("/hang", "/trickle"):
        sock = connect()
        sock.sendall(request(path))
        if path == "/trickle":
            read_until(sock, b"data: 1")
        else:
            wait_for(lambda: b"/hang" in recorded(), "the request")
        sock.close()
    wait_for(lambda: recorded().count(b"<end") >= before + 2, "the app to notice")


def upload_aborted():
    before = recorded().count(b"<end")
    sock = connect()
    sock.sendall(request("/upload", "POST", "Content-Length: 1000\r\n", body=b"x" * 100))
    wait_for(lambda: b"x" * 100 in recorded(), "the body")
    sock.close()
    wait_for(lambda: recorded().count(b"<end") > before, "the app to notice")


# ---- tunnels ----

UPGRADE = "Connection: Upgrade\r\nUpgrade: echo\r\n"


def upgrade(tls=False):
    sock = connect(tls)
    sock.sendall(request("/upgrade", fields=UPGRADE) + b"early bytes ")
    data = read_until(sock, b"early bytes ")
    check(data.startswith(b"HTTP/1.1 101 ") and b"Upgrade: echo\r\n" in data, data)
    block = os.urandom(1 << 20)
    threading.Thread(target=sock.sendall, args=(block,)).start()
    got = b""
    while len(got) < len(block):
        got += sock.recv(65536)
    check(got == block, "bytes changed")
    return sock


def upgrade_half_close():
    sock = upgrade()
    sock.shutdown(socket.SHUT_WR)
    data, how = read_all(sock)
    check(data == b"bye" and how == "end", data, how)


def upgrade_tls():
    upgrade(True).close()


def upgrade_app_half_close():
    sock = connect()
    sock.sendall(request("/upgrade_first", fields=UPGRADE))
    data, how = read_all(sock)
    check(data.endswith(b"hello") and how == "end", data, how)
    sock.sendall(b"after-the-end")
    wait_for(lambda: b"after-the-end" in recorded(), "bytes after the app's end")
    sock.close()


def upgrade_refused():
    """An app that does not switch answers like any other."""
    sock = connect()
    sock.sendall(request("/count", fields=UPGRADE))
    check(b"200 OK" in read_until(sock, b"\r\n\r\n"))
    sock.sendall(request("/count"))
    read_until(sock, b"200 OK")


# ---- memory and patience ----

def slow_reader():
    """A client that does not read stops the app, not the worker's memory; nothing is lost."""
    length = 67108864
    sock = connect(rcvbuf=16384)
    sock.sendall(request(f"/big?{length}"))
    head, body = read_until(sock, b"\r\n\r\n").split(b"\r\n\r\n", 1)
    seen = []

    def stalled():
        seen.append(queued(sock, termios.FIONREAD))
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_for(stalled, "the response to stall")
    peak = rss()
    check(peak < 200000, "worker grew to", peak, "kB")
    got = len(body)
    while got < length:
        piece = sock.recv(1 << 20)
        check(piece, "ended after", got)
        got += len(piece)


def rss():
    with open(f"/proc/{os.environ['WORKER']}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


# ---- bytes that must not get through ----

def smuggling():
    good = f"Host: {HOST}\r\n"
    secret = "GET /smuggled HTTP/1.1\r\n" + good + "\r\n"
    cases = {
        "cl_cl": f"POST /x HTTP/1.1\r\n{good}Content-Length: 0\r\nContent-Length: {len(secret)}\r\n\r\n{secret}",
        "cl_te": f"POST /x HTTP/1.1\r\n{good}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{secret}",
        "te_te": f"POST /x HTTP/1.1\r\n{good}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{secret}",
        "te_x": f"POST /x HTTP/1.1\r\n{good}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{secret}",
        "te_tab": f"POST /x HTTP/1.1\r\n{good}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{secret}",
        "te_10": f"POST /x HTTP/1.0\r\n{good}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{secret}",
        "te_space": f"POST /x HTTP/1.1\r\n{good}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{secret}",
        "te_fold": f"POST /x HTTP/1.1\r\n{good}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{secret}",
        "cl_plus": f"POST /x HTTP/1.1\r\n{good}Content-Length: +0\r\n\r\n{secret}",
        "bare_lf": f"GET /x HTTP/1.1\n{good}\n\n",
        "bare_lf_name": f"GET /x HTTP/1.1\r\n{good}X: a\nTransfer-Encoding: chunked\r\n\r\n",
        "bare_cr": f"GET /x HTTP/1.1\r\n{good}X: a\rHost: evil\r\n\r\n",
        "nul": f"GET /x HTTP/1.1\r\n{good}X: a\0b\r\n\r\n",
        "two_hosts": f"GET /x HTTP/1.1\r\n{good}Host: evil\r\n\r\n",
        "no_host": "GET /x HTTP/1.1\r\n\r\n",
        "no_host_10": "GET /x HTTP/1.0\r\n\r\n",
        "absolute": f"GET http://evil/x HTTP/1.1\r\n{good}\r\n",
        "name_bytes": f"GET /x HTTP/1.1\r\n{good}X(: a\r\n\r\n",
        "trace": f"TRACE /x HTTP/1.1\r\n{good}\r\n",
        "connect": f"CONNECT {HOST}:80 HTTP/1.1\r\n{good}\r\n",
        "http09": f"GET /x\r\n{good}\r\n",
        "http2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "long_line": f"GET /{'x' * 70000} HTTP/1.1\r\n{good}\r\n",
        "long_field": f"GET /x HTTP/1.1\r\n{good}X: {'x' * 70000}\r\n\r\n",
        "many_fields": f"GET /x HTTP/1.1\r\n{good}{'A: b' + chr(13) + chr(10)}" + "A: b\r\n" * 200 + "\r\n",
    }
    before = recorded()
    for name, text in cases.items():
        sock = connect()
        try:
            sock.sendall(text.encode("latin-1"))
        except ConnectionError:
            pass
        data, how = read_all(sock)
        if name.startswith(("trace", "connect")):
            check(b"Connection: close" in data, name, data)
        check(re.match(rb"HTTP/1.1 (4\d\d|50[15]) ", data) or (not data and how == "reset"), name, data[:200])
        check(data.count(b"Content-Length: ") <= 1, name, data[:400])
        check(how == "end" or name.startswith(("long", "many")), name, how)
    check(recorded() == before, "the app received", recorded()[len(before):])


def smuggling_bodies():
    """Malformed chunks end the request; what follows them is no request."""
    for body in ("5\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
                 "5\r\nhelloX0\r\n\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\n",
                 "5;a\nb\r\nhello\r\n0\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\n X: y\r\n\r\n"):
        sock = connect()
        sock.sendall(request("/upload", "POST", "Transfer-Encoding: chunked\r\n", body=body.encode()) +
                     request("/smuggled"))
        data, _ = read_all(sock)
        check(data.startswith(b"HTTP/1.1 400") and data.count(b"HTTP/1.1") == 1, body, data)
    check(b"smuggled" not in recorded(), "a request came through")


def idle_closed(milliseconds):
    sock = connect()
    start = time.monotonic()
    data, how = read_all(sock)
    check(not data and how == "end", data, how)


def slow_head():
    sock = connect()
    sock.sendall(b"GET / HTTP/1.1\r\nHost:")
    data, how = read_all(sock)
    check(data.startswith(b"HTTP/1.1 408") and how == "end", data, how)


def slow_app():
    sock = connect()
    sock.sendall(request("/hang"))
    check(read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 504"))


def cut():
    """Prints "open" once a response has begun, and ends when it is cut."""
    sock = connect()
    sock.sendall(request("/trickle"))
    read_until(sock, b"data: 1")
    print("open", flush=True)
    data, how = read_all(sock)
    check(not data.endswith(b"0\r\n\r\n"), data, how)


def main():
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except Failed as failed:
        print(f"{sys.argv[1]}: {failed}", file=sys.stderr)
        sys.exit(1)


main()
