"""The WebSockets of PyPI's `websockets`, over TLS.

    websockets.py serve CERTIFICATE KEY   prints its port, and sends every message back
    websockets.py talk URL CA             says some things, closes, and prints what came of it
    websockets.py stay URL CA             the same, but waits until the other end closes
"""
import sys

sys.path.pop(0)  # this file has the name of the package

import ssl

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve


def echo(socket):
    try:
        while True:
            socket.send(socket.recv())
    except ConnectionClosed as end:
        print("broken off" if isinstance(end.__cause__, OSError) else "closed", flush=True)


def answer(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(echo, "127.0.0.1", 0, ssl=context, subprotocols=["chat"]) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


def talk(url, ca, stays):
    def echoed(message):
        socket.send(message)
        return str(socket.recv() == message).lower()

    with connect(url, ssl=ssl.create_default_context(cafile=ca), subprotocols=["chat"]) as socket:
        short, long = echoed("hello"), echoed(b"long" * 75_000)
        pong = str(socket.ping(b"p").wait(20)).lower()
        print(socket.subprotocol, short, long, pong, flush=True)
        if not stays:
            socket.close(4001)
        try:
            socket.recv()
        except ConnectionClosed:
            print(socket.protocol.close_code, flush=True)


mode, first, second = sys.argv[1:]
if mode == "serve":
    answer(first, second)
else:
    talk(first, second, mode == "stay")
