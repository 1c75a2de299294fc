"""A source that answers every request after a fixed time: `slow.py PORT MILLISECONDS FILE`, the file being its body."""
import collections
import socket
import sys
import time

from paced import Waiter, sharpen


def serve(port, delay, body):
    """Answers for ever; who sends the next request before the answer came has to wait for both."""
    answer = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    waiter, clients, parts = Waiter(), {}, {}
    waiter.add(listener)
    due = collections.deque()  # (moment, client): the time is the same for all, so who came first is due first
    while True:
        now = time.perf_counter()
        while due and due[0][0] <= now:
            try:
                due.popleft()[1].send(answer)
            except OSError:
                pass  # it has left; its number tells of that by itself
        wait = max(0.0, due[0][0] - time.perf_counter()) if due else None
        for number in waiter.ready(wait):
            if number == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setblocking(False)
                clients[client.fileno()], parts[client.fileno()] = client, b""
                waiter.add(client)
                continue
            try:
                data = clients[number].recv(65536)
            except OSError:
                data = b""
            if not data:
                clients.pop(number).close()
                continue
            parts[number] += data
            if parts[number].endswith(b"\r\n\r\n"):
                parts[number] = b""
                due.append((time.perf_counter() + delay, clients[number]))


def main():
    """Serves until it is ended."""
    port, delay, path = sys.argv[1:]
    with open(path, "rb") as file:
        body = file.read()
    sharpen()
    serve(int(port), float(delay) / 1e3, body)


if __name__ == "__main__":
    main()
