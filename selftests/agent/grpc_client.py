#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# gRPC through the agent: one case a run; exit status 0 where it went as it must.
# CERTIFICATE, HOST and TLS (a port of 127.0.0.1) come from the environment.
import os, sys, threading, time
import grpc

MIB = 1 << 20
CREDENTIALS = grpc.ssl_channel_credentials(open(os.environ['CERTIFICATE'], 'rb').read())


def open_channel(host=os.environ['HOST']):
    options = (('grpc.ssl_target_name_override', host), ('grpc.default_authority', host),
               ('grpc.max_receive_message_length', -1), ('grpc.enable_retries', 0),
               ('grpc.use_local_subchannel_pool', 1))
    return grpc.secure_channel('127.0.0.1:' + os.environ['TLS'], CREDENTIALS, options)


channel = open_channel()


def is_equal(got, wanted):
    if got != wanted:
        sys.exit('%r, not %r' % (got, wanted))


def code_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def unary():
    call = channel.unary_unary('/test.App/Unary')
    answer, state = call.with_call(b'hello', metadata=(('x-word', 'given'),), timeout=60)
    is_equal(answer, b'HELLO')
    is_equal(dict(state.initial_metadata()).get('x-first'), 'given')
    trailing = dict(state.trailing_metadata())
    is_equal((trailing.get('x-last'), trailing.get('x-raw-bin')), ('done', b'\x00\xff'))
    for size in (0, 1, 16384, 3 * MIB):
        is_equal(len(call(b'a' * size, timeout=60)), size)


def server_stream():
    call = channel.unary_stream('/test.App/Count')
    is_equal(list(call(b'1000', timeout=60)), [b'%d' % n for n in range(1000)])


def client_stream():
    call = channel.stream_unary('/test.App/Total')
    is_equal(call((bytes(1000 * n) for n in range(200)), timeout=60), b'19900000')


def bidirectional():
    asked, lock = [b'first'], threading.Condition()

    # Each message is sent when the answer to the one before has come.
    def questions():
        for number in range(200):
            with lock:
                lock.wait_for(lambda: asked, 60)
                yield asked.pop()

    count = 0
    for answer in channel.stream_stream('/test.App/Chat')(questions(), timeout=60):
        is_equal(answer[::-1], b'first' if not count else b'number %d' % count)
        count += 1
        with lock:
            asked.append(b'number %d' % count)
            lock.notify()
    is_equal(count, 200)


def status():
    call = channel.unary_unary('/test.App/Fail')
    try:
        call(b'later', timeout=60)
    except grpc.RpcError as error:
        is_equal((error.code(), error.details()),
                 (grpc.StatusCode.FAILED_PRECONDITION, 'not now: later'))
    else:
        sys.exit('no error')
    is_equal(code_of(channel.unary_unary('/test.App/None'), b'', timeout=60),
             grpc.StatusCode.UNIMPLEMENTED)


def deadline():
    # The app knows the deadline too, and may be a little earlier. Where this process
    # is that late that the app's end of it comes first, it reads of a broken upstream.
    for timeout in 0.5, 2, 8:
        code = code_of(channel.unary_unary('/test.App/Hang'), b'', timeout=timeout)
        if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return
    sys.exit('%s at the deadline' % code)


def big():
    got = sum(len(part) for part in channel.unary_stream('/test.App/Big')(b'128', timeout=120))
    is_equal(got, 128 * MIB)


def unread():
    # A response that nobody reads, and others on the same connection that go on.
    stuck = channel.unary_stream('/test.App/Big')(b'64', timeout=120)
    next(stuck)
    call = channel.unary_unary('/test.App/Unary')
    for _ in range(50):
        is_equal(call(b'x', timeout=60), b'X')
    is_equal(sum(len(part) for part in stuck), 63 * MIB)


def many():
    call, done = channel.unary_unary('/test.App/Unary'), []
    futures = [call.future(b'%d' % n, timeout=60) for n in range(1000)]
    for future in futures:
        done.append(future.result())
    is_equal(done, [b'%d' % n for n in range(1000)])


def goodbyes():
    call, end = channel.unary_unary('/test.App/Unary'), time.monotonic() + 4
    while time.monotonic() < end:
        is_equal(call(b'x', timeout=60), b'X')


def no_app():
    other = open_channel(os.environ['DEAD'])
    is_equal(code_of(other.unary_unary('/test.App/Unary'), b'', timeout=60),
             grpc.StatusCode.UNAVAILABLE)


def unmarked():
    # The same app through a name that is not marked: it gets HTTP/1.1, and fails.
    other = open_channel(os.environ['PLAIN'])
    is_equal(code_of(other.unary_unary('/test.App/Unary'), b'', timeout=60),
             grpc.StatusCode.UNAVAILABLE)


def open_stream():
    # Stays open until the container is taken away under it.
    answers = channel.stream_stream('/test.App/Chat')(iter(lambda: threading.Event().wait(), 0))
    try:
        next(answers)
    except grpc.RpcError as error:
        print(error.code().name)


globals()[sys.argv[1]]()
# What waits for requests that never come must not keep the process.
sys.stdout.flush()
os._exit(0)
