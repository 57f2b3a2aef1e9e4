#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# What a middleware does, as an operator would write it: takes a request, may change
# or refuse it, and sends it on to the name that it came for.
#
#	middleware_app.py ADDRESS PORT PROXY-ADDRESS PROXY-PORT RECORD
#
# The word in X-Do says what: refuse, twice (sends it on with the same pass again),
# loop (without the pass), other (to another instance), keep (lays the pass down in
# RECORD and answers), wait (sends it on once there is RECORD.go); anything else: sends
# it on.
import http.server, os, ssl, sys, http.client, socket, time

address, port, proxy, proxy_port, record = sys.argv[1:6]
context = ssl._create_unverified_context()


def send_on(request, body, host, headers):
    connection = http.client.HTTPSConnection(host, context=context)
    plain = socket.create_connection((proxy, int(proxy_port)))
    connection.sock = context.wrap_socket(plain, server_hostname=host.split(':')[0])
    connection.request(request.command, request.path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.getheaders(), answer.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, fields=()):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        what, host = self.headers.get('X-Do', ''), self.headers['Host']
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ('content-length', 'connection')}
        with open(record, 'a') as file:
            file.write('%s %s %s %s %s\n' % (self.client_address[0], self.path, what, headers.get('X-Hoody-Pass', '-'),
                                             headers.get('X-Changed', '-')))
        if what == 'refuse':
            self.answer(418, b'not today\n')
            return
        if what == 'keep':
            self.answer(200, headers['X-Hoody-Pass'].encode())
            return
        while what == 'wait' and not os.path.exists(record + '.go'):
            time.sleep(0.05)
        if what == 'loop':
            del headers['X-Hoody-Pass']
        if what == 'other':
            host = host.replace('-http-8000.', '-http-8001.')
            headers['Host'] = host
        headers['X-Changed'] = 'by the middleware'
        status, fields, answer = send_on(self, body, host, headers)
        if what == 'twice':
            status, fields, answer = send_on(self, body, host, headers)
        self.answer(status, answer, [('X-Middleware', 'was here')])

    do_POST = do_PUT = do_GET


http.server.ThreadingHTTPServer((address, int(port)), Handler).serve_forever()
