#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The client of migration.sh: QUIC connections that go from one address to another.

usage: migration.py seen|stays|cut FROM TO; environment as of http3_peer.py. Exits 0
where it went as it should, else 1 with a word about it.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "agent"))
from http3_peer import *

# The machine's processor may be an emulated one.
PATIENCE = 120


def says(client, address):
    return client.get("/", seconds=PATIENCE).body.decode() == address


def moved(client, address):
    client.move(address)
    client.quic.send_ping(1)


def seen(there, here):
    """The app's socket has the client's address, before and after, and again."""
    client = Client(source=there)
    check(says(client, there), "at first")
    for address in (here, there, here):
        moved(client, address)
        # A new address has to be proved; until then the old one counts.
        check(client.pump(lambda: says(client, address), PATIENCE), "never seen", address, client.ended)


def cut(there, here):
    """What is under way ends where the client may not be, and nothing new begins there."""
    client = Client(source=there)
    number = client.request(head("/long"))
    stream = client.stream(number)
    check(client.pump(lambda: stream.body, PATIENCE) and stream.status == 200, stream.__dict__, client.ended)
    print("open", flush=True)
    moved(client, here)
    check(client.wait(number, PATIENCE).reset is not None and not stream.ended, "not cut", stream.reset, client.ended)
    check(client.get("/refused", seconds=PATIENCE).status in (401, 403), "let in from there")
    moved(client, there)
    check(client.pump(lambda: says(client, there), PATIENCE), "not let in again", client.ended)


def stays(there, here):
    """The same way between two addresses that are allowed: nothing ends."""
    client = Client(source=there)
    number = client.request(head("/long"))
    stream = client.stream(number)
    check(client.pump(lambda: stream.body, PATIENCE), stream.__dict__, client.ended)
    moved(client, here)
    check(client.pump(lambda: says(client, here), PATIENCE), "never seen", client.ended)
    had = len(stream.body)
    check(client.pump(lambda: len(stream.body) > had, PATIENCE) and stream.reset is None, "it stands", stream.reset)


def main():
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
        close_all()
    except Failed as failed:
        print(*failed.args, file=sys.stderr)
        sys.exit(1)


main()
