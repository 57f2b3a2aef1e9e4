# SPDX-License-Identifier: Apache-2.0
"""A crowd: more and more TLS connections to a server, each with one request, all kept
until this program is ended. A server that refuses or is gone is tried again.

    crowd.py ADDRESS PORT HOST CA-FILE
"""
import resource
import socket
import ssl
import sys
import time

address, port, host, ca = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
context = ssl.create_default_context(cafile=ca)
request = ("GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host).encode()
kept = []
while True:
    try:
        plain = socket.create_connection((address, int(port)), timeout=10)
        secure = context.wrap_socket(plain, server_hostname=host)
        secure.sendall(request)
        kept.append((secure, secure.recv(4096)))
    except OSError:
        time.sleep(0.1)
