#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# A gRPC service without generated code: bytes in, bytes out.
#
#	grpc_app.py PORT RECORD
#
# Every call is a line in RECORD: method, peer, and "cancelled" where its client
# has gone before the end.
import sys, threading
from concurrent import futures
import grpc

record = open(sys.argv[2], 'a', buffering=1)


def note(context, *words):
    record.write(' '.join([words[0], context.peer(), *words[1:]]) + '\n')


def unary(request, context):
    fields = dict(context.invocation_metadata())
    note(context, 'unary', fields.get('x-hoody-instance', ''), fields.get('x-hoody-real-ip', ''))
    context.send_initial_metadata((('x-first', fields.get('x-word', 'none')),))
    context.set_trailing_metadata((('x-last', 'done'), ('x-raw-bin', b'\x00\xff')))
    return request.upper()


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'not now: ' + request.decode())


def count(request, context):
    for number in range(int(request)):
        yield b'%d' % number


def total(requests, context):
    return b'%d' % sum(len(r) for r in requests)


def chat(requests, context):
    for request in requests:
        yield request[::-1]


def big(request, context):
    for _ in range(int(request)):
        yield bytes(1 << 20)


def hang(request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait()
    note(context, 'hang', 'cancelled')
    return b''


methods = {
    'Unary': grpc.unary_unary_rpc_method_handler(unary),
    'Fail': grpc.unary_unary_rpc_method_handler(fail),
    'Hang': grpc.unary_unary_rpc_method_handler(hang),
    'Count': grpc.unary_stream_rpc_method_handler(count),
    'Big': grpc.unary_stream_rpc_method_handler(big),
    'Total': grpc.stream_unary_rpc_method_handler(total),
    'Chat': grpc.stream_stream_rpc_method_handler(chat),
}
# Connections are said goodbye to all the time (GOAWAY); calls must not notice.
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32),
                     options=(('grpc.max_connection_age_ms', 1000),
                              ('grpc.max_connection_age_grace_ms', 120000)))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('test.App', methods),))
server.add_insecure_port('127.0.0.1:' + sys.argv[1])
server.start()
server.wait_for_termination()
