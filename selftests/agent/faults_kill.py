# SPDX-License-Identifier: Apache-2.0
"""
Kills control and worker at random moments (SIGKILL) while containers are registered,
renamed, given limits and deleted, requests are served and the audit trail is read. In
the end everything that was acknowledged has to be there.

usage: faults_kill.py AGENT CONFIG SOCKET HOST:PORT HOSTNAME ROUNDS [SEED]

Prints what was acknowledged, what was done, and what of it was lost: the exit status is
0 where that is nothing. The agent runs and is left running; its process is printed first.
"""
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

AGENT, CONFIG, SOCKET, FRONT, HOSTNAME, ROUNDS = sys.argv[1:7]
SEED = int(sys.argv[7]) if len(sys.argv) > 7 else random.randrange(1 << 32)
PROJECT = "aaaaaaaaaaaaaaaaaaaaaaaa"
WRITERS = 3
GONE = "deleted"
stop = threading.Event()


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(SOCKET)


def call(method, path, body=None):
    """Status and data; (None, None) where nobody answered: done or not, nobody knows."""
    connection = Unix("agent")
    try:
        connection.request(method, "/api/v1" + path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json"} if body is not None else {})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"{}").get("data")
    except (OSError, http.client.HTTPException, ValueError):
        return None, None
    finally:
        connection.close()


def wait_for(what, condition):
    end = time.monotonic() + 120
    while not (result := condition()):
        if time.monotonic() > end:
            sys.exit(f"{what}: not within 120 s (seed {SEED})")
        time.sleep(0.02)
    return result


class Writer(threading.Thread):
    """
    Changes containers of its own, one after the other. For each, the set of states that
    it may be in: one, once a change was acknowledged; two, after one that nobody answered.
    """
    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.acknowledged, self.open, self.wrong = number, 0, 0, []
        self.may_be, self.generation = {}, 0

    def change(self, ident, new, good, *request):
        old = self.may_be.get(ident, {None})
        self.may_be[ident] = old | {new}
        status, data = call(*request)
        if status is None:
            self.open += 1
            time.sleep(0.01)
            return False
        if status not in good:
            self.wrong.append((request, status))
            return False
        self.may_be[ident] = {new}
        self.acknowledged += 1
        if isinstance(data, dict):
            self.generation = max(self.generation, data.get("generation") or 0)
        return True

    def run(self):
        number = 0
        while not stop.is_set():
            number += 1
            ident = f"{self.number + 1:02x}{number:022x}"
            first, second = (f"first {number}", 0), (f"second {number}", 0)
            limited = (f"second {number}", number)
            body = {"id": ident, "project": PROJECT, "name": first[0]}
            # Repeated until it is answered: registering again is the same registration.
            while not stop.is_set() and not self.change(ident, first, (200, 201), "POST", "/containers", body):
                if self.wrong:
                    return
            if number % 2 and self.change(ident, second, (200,), "PATCH", f"/containers/{ident}", {"name": second[0]}):
                self.change(ident, limited, (200,), "PUT", f"/containers/{ident}/proxy/limits",
                            {"limits": [{"requests": f"{number}/h"}]})
            if number % 5 == 0:
                self.change(ident, GONE, (200,), "DELETE", f"/containers/{ident}")


def state_of(ident):
    status, data = call("GET", f"/containers/{ident}")
    if status == 404:
        listed = call("POST", "/containers", {"id": ident, "project": PROJECT})[0]
        return GONE if listed == 409 else None
    limits = call("GET", f"/containers/{ident}/proxy/limits")[1]
    limits = limits if isinstance(limits, list) else (limits or {}).get("limits", [])
    return (data["name"], int(str(limits[0]["requests"]).split("/")[0]) if limits else 0)


class Client(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.served = 0

    def run(self):
        while not stop.is_set():
            connection = http.client.HTTPConnection(FRONT, timeout=60)
            try:
                while not stop.is_set():
                    connection.request("GET", "/", headers={"Host": HOSTNAME})
                    reply = connection.getresponse()
                    reply.read()
                    self.served += reply.status == 200
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            connection.close()


class Reader(threading.Thread):
    """Follows the audit trail: what it was shown has to stay."""
    def __init__(self):
        super().__init__(daemon=True)
        self.seen = {}

    def run(self):
        while not stop.is_set():
            last = max(self.seen, default=0)
            for entry in call("GET", f"/logs?after={last}&limit=500")[1] or []:
                self.seen[entry["id"]] = entry
            time.sleep(0.02)


def trail():
    entries, last = {}, 0
    while True:
        page = call("GET", f"/logs?after={last}&limit=1000")[1]
        if not page:
            return entries
        for entry in page:
            entries[entry["id"]] = entry
        last = max(entries)


def worker():
    data = call("GET", "/status")[1] or {}
    return data.get("worker", {}).get("state") == "serving" and data["worker"]["pid"]


def main():
    chance = random.Random(SEED)
    agent = None

    def start():
        nonlocal agent
        agent = subprocess.Popen([AGENT, "--config", CONFIG], stderr=open(CONFIG + ".log", "ab"))
        print("agent", agent.pid, flush=True)
        wait_for("the agent serves", worker)

    start()
    if call("POST", "/containers", {"id": HOSTNAME.split("-")[1], "project": HOSTNAME.split("-")[0],
                                    "addresses": [os.environ["APP"]]})[0] != 201:
        sys.exit("the container of the application cannot be registered")
    call("POST", f"/containers/{HOSTNAME.split('-')[1]}/start", {})
    writers, client, reader = [Writer(i) for i in range(WRITERS)], Client(), Reader()
    for thread in (*writers, client, reader):
        thread.start()
    # Each of both as often, in any order.
    victims = ["control", "worker"] * (int(ROUNDS) // 2)
    chance.shuffle(victims)
    for victim in victims:
        changes, served = sum(w.acknowledged for w in writers) + chance.randrange(10, 60), client.served + 5
        wait_for("load", lambda: any(w.wrong for w in writers) or
                 sum(w.acknowledged for w in writers) >= changes and client.served >= served)
        pid = wait_for("a worker", worker)
        if victim == "worker":
            os.kill(pid, signal.SIGKILL)
        else:
            agent.kill()
            agent.wait()
            start()
        wait_for("another worker", lambda: (now := worker()) and now != pid)
    stop.set()
    for thread in (*writers, client, reader):
        thread.join()

    wrong = [w for writer in writers for w in writer.wrong]
    lost = [(ident, list(may_be), found) for writer in writers for ident, may_be in writer.may_be.items()
            if (found := state_of(ident)) not in may_be]
    entries = trail()
    lost_entries = [ident for ident, entry in reader.seen.items() if entries.get(ident) != entry]
    generation = call("GET", "/status")[1]["generation"]
    print(f"acknowledged: {sum(w.acknowledged for w in writers)} changes; unanswered: {sum(w.open for w in writers)}; "
          f"served: {client.served} requests; read: {len(reader.seen)} audit entries; killed: {' '.join(victims)}; seed {SEED}")
    print(f"lost: {len(lost)} changes, {len(lost_entries)} audit entries")
    for example in (*wrong[:3], *lost[:3], *lost_entries[:3]):
        print("such as", example)
    if wrong or lost or lost_entries or generation < max(w.generation for w in writers):
        sys.exit(1)


main()
