#!/usr/bin/env python3
"""A service and a client of gRPC (PyPI grpcio) for tests/gateway/grpc.rs.

server            serves echo.Echo on a port of its own and prints "port N"; prints "ended METHOD" when a call ends early
client ADDRESS CASE [CA]   plays one case against the address, with TLS where a file of authorities is given; fails where
                           the outcome is not the one expected
"""

import sys
import threading
import time
from concurrent import futures

import grpc

PATIENCE = 30
BIG = 3 << 20


class Echo:
    """The methods of the service. Messages are bytes as they are."""

    @staticmethod
    def say(request, context):
        seen = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-initial", seen.get("x-in", "")), ("x-initial-bin", b"\x00\xff\x01")))
        context.set_trailing_metadata((("x-t", "9"), ("x-seen-bin", seen.get("x-in-bin", b""))))
        return request

    @staticmethod
    def left(_request, context):
        """How many milliseconds the call has by the service's clock."""
        return str(int((context.time_remaining() or 0) * 1000)).encode()

    @staticmethod
    def count(request, _context):
        for number in range(int(request)):
            yield str(number).encode()

    @staticmethod
    def gather(requests, _context):
        return b"+".join(requests)

    @staticmethod
    def chat(requests, _context):
        for request in requests:
            yield b"re: " + request

    @staticmethod
    def fail(request, context):
        context.set_trailing_metadata((("x-why-bin", b"\x00why"),))
        context.abort(grpc.StatusCode(grpc_code(int(request))), "kein Fund: 100 % ü\nEnde")

    @staticmethod
    def refuse(requests, context):
        next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    @staticmethod
    def fail_late(_request, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "late")

    @staticmethod
    def hang(_request, context):
        ended = threading.Event()
        context.add_callback(lambda: (print("ended hang", flush=True), ended.set()))
        ended.wait(PATIENCE)
        return b""

    @staticmethod
    def hang_late(_request, context):
        ended = threading.Event()
        context.add_callback(lambda: (print("ended hang_late", flush=True), ended.set()))
        yield b"first"
        ended.wait(PATIENCE)


def grpc_code(number):
    return next(code.value for code in grpc.StatusCode if code.value[0] == number)


def serve():
    kinds = {
        "say": grpc.unary_unary_rpc_method_handler,
        "left": grpc.unary_unary_rpc_method_handler,
        "fail": grpc.unary_unary_rpc_method_handler,
        "hang": grpc.unary_unary_rpc_method_handler,
        "count": grpc.unary_stream_rpc_method_handler,
        "fail_late": grpc.unary_stream_rpc_method_handler,
        "hang_late": grpc.unary_stream_rpc_method_handler,
        "gather": grpc.stream_unary_rpc_method_handler,
        "refuse": grpc.stream_unary_rpc_method_handler,
        "chat": grpc.stream_stream_rpc_method_handler,
    }
    methods = {name: kind(getattr(Echo, name)) for name, kind in kinds.items()}
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    server.wait_for_termination()


def refused(call, code, text=None):
    """The error of a call that fails with this code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert text is None or text in error.details(), error
        return error
    raise AssertionError(f"no {code}")


class Cases:
    def __init__(self, channel):
        self.channel = channel
        self.say = channel.unary_unary("/echo.Echo/say")
        self.chat = channel.stream_stream("/echo.Echo/chat")

    def unary(self):
        # s-095, s-103: the server resets a call without `te: trailers`.
        answer, call = self.say.with_call(b"hi", timeout=PATIENCE)
        assert (answer, call.code()) == (b"hi", grpc.StatusCode.OK)
        assert dict(call.trailing_metadata())["x-t"] == "9"
        assert self.say(b"", timeout=PATIENCE) == b""

    def streams(self):
        count = self.channel.unary_stream("/echo.Echo/count")
        assert list(count(b"1000", timeout=PATIENCE)) == [str(n).encode() for n in range(1000)]
        assert list(count(b"0", timeout=PATIENCE)) == []
        gather = self.channel.stream_unary("/echo.Echo/gather")
        pieces = [str(n).encode() for n in range(500)]
        assert gather(iter(pieces), timeout=PATIENCE) == b"+".join(pieces)
        assert gather(iter([]), timeout=PATIENCE) == b""

    def conversation(self):
        # Each message waits for the answer to the one before: nothing may be held back, on neither way.
        turns = threading.Semaphore(1)

        def messages():
            for number in range(50):
                assert turns.acquire(timeout=PATIENCE)
                yield str(number).encode()

        seen = []
        for answer in self.chat(messages(), timeout=PATIENCE):
            seen.append(answer)
            turns.release()
        assert seen == [b"re: %d" % number for number in range(50)]

    def pauses(self):
        # Longer than the route's `timeout` and the listener's `body_timeout`, but no longer than the upstream's `idle`.
        def messages():
            for number in range(4):
                yield str(number).encode()
                time.sleep(0.7)

        assert len(list(self.chat(messages()))) == 4
        gather = self.channel.stream_unary("/echo.Echo/gather")
        assert gather(messages()) == b"0+1+2+3"

    def metadata(self):
        sent = (("x-in", "ascii only"), ("x-in-bin", bytes(range(256))), ("x-many", "a"), ("x-many", "b"))
        _, call = self.say.with_call(b"hi", metadata=sent, timeout=PATIENCE)
        assert dict(call.initial_metadata())["x-initial"] == "ascii only"
        assert dict(call.initial_metadata())["x-initial-bin"] == b"\x00\xff\x01"
        assert dict(call.trailing_metadata())["x-seen-bin"] == bytes(range(256))

    def large(self):
        message = bytes(range(256)) * (BIG // 256)
        assert self.say(message, timeout=PATIENCE) == message
        assert list(self.chat(iter([message] * 3), timeout=PATIENCE)) == [b"re: " + message] * 3

    def statuses(self):
        fail = self.channel.unary_unary("/echo.Echo/fail")
        for code in grpc.StatusCode:
            if code == grpc.StatusCode.OK:
                continue
            error = refused(lambda: fail(b"%d" % code.value[0], timeout=PATIENCE), code, "kein Fund: 100 % ü\nEnde")
            assert dict(error.trailing_metadata())["x-why-bin"] == b"\x00why"
        late = self.channel.unary_stream("/echo.Echo/fail_late")(b"", timeout=PATIENCE)
        assert next(late) == b"first"
        refused(lambda: next(late), grpc.StatusCode.DATA_LOSS, "late")
        unknown = self.channel.unary_unary("/echo.Echo/unknown")
        refused(lambda: unknown(b"", timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)

    def early(self):
        answered = threading.Event()

        def messages():
            yield b"first"
            answered.wait(PATIENCE)

        refuse = self.channel.stream_unary("/echo.Echo/refuse")
        refused(lambda: refuse(messages(), timeout=PATIENCE), grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        answered.set()

    def deadline(self):
        left = int(self.channel.unary_unary("/echo.Echo/left")(b"", timeout=7))
        assert 5000 < left <= 7100, left
        hang = self.channel.unary_unary("/echo.Echo/hang")
        refused(lambda: hang(b"", timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED)

    def cancellation(self):
        call = self.channel.unary_stream("/echo.Echo/hang_late")(b"", timeout=PATIENCE)
        assert next(call) == b"first"
        call.cancel()
        refused(lambda: next(call), grpc.StatusCode.CANCELLED)
        # The connection goes on.
        assert self.say(b"hi", timeout=PATIENCE) == b"hi"

    def timeout(self):
        # The route's own.
        hang = self.channel.unary_unary("/echo.Echo/hang")
        refused(lambda: hang(b""), grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")

    def gone(self):
        refused(lambda: self.say(b"hi", timeout=PATIENCE), grpc.StatusCode.UNAVAILABLE, "upstream failure")

    def killed(self):
        call = self.channel.unary_stream("/echo.Echo/hang_late")(b"", timeout=PATIENCE)
        assert next(call) == b"first"
        print("begun", flush=True)
        refused(lambda: next(call), grpc.StatusCode.UNAVAILABLE, "upstream failure")


def play(address, case, authorities=None):
    options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 8 << 20)]
    if authorities:
        with open(authorities, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        options.append(("grpc.ssl_target_name_override", "a.test"))
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        getattr(Cases(channel), case)()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve()
    else:
        play(*sys.argv[2:])
