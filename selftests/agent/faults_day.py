# SPDX-License-Identifier: Apache-2.0
"""
A day of a host in minutes: the agent's wall clock is moved on by a minute at a time, and
in each minute containers are registered, started, asked, given limits and deleted; each
hour the certificate is renewed, the configuration read again and a token made, used up and
forgotten; each sixth hour the program replaces itself. Memory, descriptors and files
have to be at the end what they were after the first quarter.

usage: faults_day.py SHIM-STATE SOCKET HOST:PORT PREFIX BASE AGENT-PID RENEW-COMMAND [HOURS]
"""
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

STATE, SOCKET, FRONT, PREFIX, BASE, PID, RENEW = sys.argv[1:8]
HOURS = int(sys.argv[8]) if len(sys.argv) > 8 else 24
PROJECT = PREFIX.split("-")[0]
KEPT = 50


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(SOCKET)


def call(method, path, body=None):
    connection = Unix("agent")
    connection.request(method, "/api/v1" + path, None if body is None else json.dumps(body),
                       {"Content-Type": "application/json"} if body is not None else {})
    reply = connection.getresponse()
    data = json.loads(reply.read() or b"{}")
    connection.close()
    return reply.status, data.get("data")


def good(what, status, *wanted):
    if status not in wanted:
        sys.exit(f"{what}: {status}")


def set_clock(seconds):
    with open(STATE, "r+b") as file:
        file.write(struct.pack("=q", seconds))


def worker():
    return call("GET", "/status")[1]["worker"]


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def files():
    folder = os.path.dirname(SOCKET) + "/state"
    return sum(os.stat(f"{folder}/{name}").st_size for name in os.listdir(folder)) // 1024


def measure():
    now = worker()
    return {"control_kib": resident(PID), "worker_kib": resident(now["pid"]),
            "control_fds": len(os.listdir(f"/proc/{PID}/fd")), "worker_fds": len(os.listdir(f"/proc/{now['pid']}/fd")),
            "state_kib": files(), "children": len(open(f"/proc/{PID}/task/{PID}/children").read().split())}


def wait_for(what, condition):
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within 120 s")
        time.sleep(0.05)


def minute(number, front):
    ident = f"cc{number:022x}"
    good("register", call("POST", "/containers", {"id": ident, "project": PROJECT, "name": f"minute {number}",
                                                  "addresses": [f"10.84.{number // 200 % 200}.{number % 200 + 1}"]})[0], 201)
    good("start", call("POST", f"/containers/{ident}/start", {})[0], 200)
    good("limits", call("PUT", f"/containers/{ident}/proxy/limits", {"limits": [{"requests": "100/s"}]})[0], 200)
    front.request("GET", "/", headers={"Host": f"{PREFIX}-http-8000.{BASE}"})
    reply = front.getresponse()
    good("request", reply.status, 200)
    reply.read()
    if number >= KEPT:
        good("delete", call("DELETE", f"/containers/cc{number - KEPT:022x}")[0], 200)


def hour(number):
    subprocess.run(RENEW, shell=True, check=True)
    os.kill(int(PID), signal.SIGHUP)
    status, token = call("POST", "/tokens", {"name": f"hour {number}"})
    good("token", status, 201)
    good("token", call("DELETE", f"/tokens/{token['id']}")[0], 200)
    if number % 6 == 5:
        before = worker()["pid"]
        good("upgrade", call("POST", "/upgrade")[0], 200, 202)
        wait_for("another worker", lambda: worker()["pid"] not in (before, None) and worker()["state"] == "serving")
        wait_for("the worker of before ends", lambda: worker()["draining"] == 0)


def main():
    first, start = None, time.monotonic()
    for number in range(HOURS * 60):
        # One connection an hour: workers of before end with it.
        if number % 60 == 0:
            front = http.client.HTTPConnection(FRONT, timeout=120)
        set_clock((number + 1) * 60)
        minute(number, front)
        if number % 60 == 59:
            front.close()
            hour(number // 60)
            if number // 60 + 1 == max(HOURS // 4, 1):
                first = measure()
    last = measure()
    registered = call("GET", "/status")[1]["containers"]
    print(f"{HOURS} hours in {time.monotonic() - start:.0f} s; {registered}")
    print("after a quarter:", first)
    print("at the end:     ", last)
    grown = {key: last[key] - first[key] for key in first}
    # A container that is deleted leaves its tombstone, for a year: some 300 bytes each.
    allowed = {"control_kib": 3072, "worker_kib": 3072, "control_fds": 4, "worker_fds": 4, "state_kib": 16384, "children": 0}
    if bad := {key: grown[key] for key in grown if grown[key] > allowed[key]}:
        sys.exit(f"grows: {bad}")
    if registered["registered"] != KEPT + 1:
        sys.exit("not all that was deleted has gone, or too much")
    print("flat")


main()
