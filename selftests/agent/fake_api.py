#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the agent's API, for the tests of the command line.

fake_api.py unix PATH LOG | fake_api.py tls PORT CERTIFICATE KEY LOG

It remembers containers, pages its lists by two, writes every request as a line
of JSON to LOG, and answers some ids with what no agent should ever send, to see
what the command line makes of it.
"""

import http.server
import json
import os
import socketserver
import ssl
import sys
import urllib.parse

ODD = {
    "f" * 23 + "0": "garbage",
    "f" * 23 + "1": "close",
    "f" * 23 + "2": "redirect",
    "f" * 23 + "3": "huge",
    "f" * 23 + "4": "escapes",
    "f" * 23 + "5": "success without data",
    "f" * 23 + "6": "refusal without error",
    "f" * 23 + "7": "minimal",
    "f" * 23 + "8": "endless",
}
containers = {}
log = None


def container(body):
    old = containers.get(body["id"], {})
    return {
        "id": body["id"].lower(), "project": body["project"].lower(),
        "name": body.get("name"), "realm": body.get("realm"), "state": old.get("state", "stopped"),
        "cgroup": body.get("cgroup"), "netdev": body.get("netdev"),
        "addresses": body.get("addresses", []), "ports": body.get("ports", {}),
        "gateway": body.get("gateway", False), "generation": old.get("generation", 0) + 1,
        "real_ip": "on", "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
    }


STATUS = {
    "version": "9.8.7", "protocol": 1, "node": "node-us", "base_domain": "containers.test",
    "uptime_seconds": 93784, "generation": 7,
    "containers": {"registered": 3, "running": 2, "tombstones": 1},
    "firewall": {"state": "loaded", "reason": None, "load_ms": 97, "enforced": 2, "failed": 1},
    "real_ip": {"state": "unavailable", "reason": "the module is not loaded: modprobe hoody",
                "module_version": None, "stats": {}},
    "worker": {"pid": 4711, "state": "serving", "restarts": 0, "threads": 2, "image_sequence": 12,
               "counters": {"connections_open": 1, "connections_accepted": 10, "requests": 100,
                            "refused_malformed": 3, "refused_deleted": 4, "upstream_failed": 1,
                            "upstream_timeout": 1, "upstream_connects": 5, "upstream_reused": 90}},
    "listeners": [{"address": "0.0.0.0:443", "tls": True}, {"address": "[::]:80", "tls": False}],
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages = 0

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def send(self, status, value, raw=None):
        body = raw if raw is not None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, message, field=None):
        error = {"code": code, "message": message}
        if field:
            error["field"] = field
        self.send(status, {"error": error})

    def odd(self, kind):
        if kind == "garbage":
            self.send(200, None, b"<html>not json")
        elif kind == "close":
            self.close_connection = True
        elif kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "/api/v1/status")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "huge":
            self.send(200, None, b'{"data":"' + b"x" * (20 << 20) + b'"}')
        elif kind == "escapes":
            self.refuse(422, "bad\x1b[31m", "text \x1b]0;title\x07 end", "na\nme")
        elif kind == "success without data":
            self.send(200, {"dat": 1})
        elif kind == "refusal without error":
            self.send(500, {"oops": 1})
        elif kind == "endless":
            # A list of which every page is the same one, and text that steers a terminal.
            # Short of its end, so that who follows it does end.
            self.pages += 1
            item = {"id": 7, "sequence": 7, "action": "allow", "exit": "a\x1b[31mb", "state": "c\nd"}
            more = self.pages < 10
            paged = {"data": [item] * 256 if more else [], "next_cursor": "7" if more else None}
            self.send(200, {"data": item} if self.path.endswith("network") else paged)
        else:
            self.send(200, {"data": {"id": "0" * 24}})

    def list(self, query):
        ids = sorted(containers)
        first = int(query.get("cursor", ["0"])[0])
        page = [containers[i] for i in ids[first:first + 2]]
        reply = {"data": page}
        if first + 2 < len(ids):
            reply["next_cursor"] = str(first + 2)
        self.send(200, reply)

    def register(self, body):
        if body["project"] == "e" * 24:
            return self.refuse(409, "conflict", "the container belongs to another project", "project")
        known = body["id"].lower() in containers
        body["id"] = body["id"].lower()
        containers[body["id"]] = container(body)
        return self.send(200 if known else 201, {"data": containers[body["id"]]})

    def one(self, method, identity, verb, body):
        known = containers.get(identity)
        if not known:
            return self.refuse(404, "not_found", "there is no container " + identity)
        if verb:
            known.update(body or {}, state="running" if verb == "start" else "stopped")
            known["generation"] += 1
        if method == "DELETE":
            del containers[identity]
        return self.send(200, {"data": known})

    def handle_any(self):
        length = int(self.headers.get("Content-Length", "0"))
        text = self.rfile.read(length)
        body = json.loads(text) if text else None
        with open(log, "a", encoding="utf-8") as file:
            json.dump({"method": self.command, "path": self.path, "body": body,
                       "headers": dict(self.headers)}, file)
            file.write("\n")
        url = urllib.parse.urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[:3] == ["api", "v1", "status"]:
            return self.send(200, {"data": STATUS})
        if parts[:3] == ["api", "v1", "posture"]:
            # Its pages stand in a file, each under the cursor that it is asked for with.
            with open(log + ".posture", encoding="utf-8") as file:
                pages = json.load(file)
            return self.send(200, pages[urllib.parse.parse_qs(url.query).get("cursor", [""])[0]])
        if len(parts) == 3 and self.command == "GET":
            return self.list(urllib.parse.parse_qs(url.query))
        if len(parts) == 3:
            return self.register(body)
        identity = parts[3].lower()
        if identity in ODD:
            return self.odd(ODD[identity])
        return self.one(self.command, identity, parts[4] if len(parts) > 4 else None, body)

    do_GET = do_POST = do_DELETE = do_PATCH = handle_any


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main():
    global log
    log = sys.argv[-1]
    if sys.argv[1] == "unix":
        server = UnixServer(sys.argv[2] + ".new", Handler)
        os.rename(sys.argv[2] + ".new", sys.argv[2])
    else:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
