#!/usr/bin/env python3
"""A small service for faults: `service.py PORT STATUS` answers every request with that status, at once; `/count` tells
how many others it has had. It listens on 127.0.0.1 and ends when it is told to."""
import asyncio
import sys

sys.dont_write_bytecode = True

PORT, STATUS = int(sys.argv[1]), sys.argv[2]
BODY = b'{"id":42,"name":"Ada"}'


def answer(status, body):
    return (f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


class Service(asyncio.Protocol):
    seen = 0

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        self.rest += data
        while b"\r\n\r\n" in self.rest:
            head, self.rest = self.rest.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /count "):
                self.transport.write(answer(200, str(Service.seen).encode()))
            else:
                Service.seen += 1
                self.transport.write(READY)


READY = answer(STATUS, BODY)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Service, "127.0.0.1", PORT, backlog=1024, reuse_address=True)
    await server.serve_forever()


asyncio.run(main())
