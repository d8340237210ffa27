"""A program that floods a server until its stdin ends: `python -m tests.fault.flooder URL FRAME`.

The key is in PLUMBLINE_KEY. One client after another sends the frame (hex) as fast as it can and comes back when
it is cut. It says each close code and each new error code as a line, and `end` when it stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket as sockets
import sys
import threading

from websockets.frames import Opcode

from tests.fault.parts import Raw


def flood(url: str, frame: bytes, done: threading.Event) -> None:
    client = Raw(url, os.environ["PLUMBLINE_KEY"])

    def write() -> None:
        with contextlib.suppress(OSError):
            while not done.is_set():
                client.socket.sendall(frame * 200)
        with contextlib.suppress(OSError):
            client.socket.shutdown(sockets.SHUT_RDWR)

    writer = threading.Thread(target=write)
    writer.start()
    said = set()
    for opcode, payload in client.frames():
        if opcode == Opcode.CLOSE:
            print("close", int.from_bytes(payload[:2]), flush=True)
            break
        if opcode == Opcode.TEXT and (code := json.loads(payload).get("error", {}).get("code")) not in said:
            said.add(code)
            print("error", code, flush=True)
    with contextlib.suppress(OSError):
        client.socket.shutdown(sockets.SHUT_RDWR)
    writer.join()
    client.close()


def main(url: str, frame: str) -> None:
    done = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    while not done.is_set():
        flood(url, bytes.fromhex(frame), done)
    print("end", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
