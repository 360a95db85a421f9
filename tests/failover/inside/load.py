"""Clients of a VIP: new connections at a steady rate, and transfers that go on.

    load.py VIP PORT RATE TRANSFERS

Prints `ready` once every transfer runs. At the end: `new`, each connection as [began, seconds until the answer or null,
what went wrong]; `transfers`, each with `heard` (when something arrived) and `ended` ([when, why] or null).
One thread: the guest has one processor, and the directors need it.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time

ANSWER_SECONDS = 4.0
"""A connection without an answer by then is lost."""
ASK, STREAM = b"GET / HTTP/1.0\r\n\r\n", b"GET /stream HTTP/1.0\r\n\r\n"


class _Talk:
    """One connection. `transfer`: what it heard; None: it asks once."""

    def __init__(self, place: tuple[str, int], *, transfer: bool) -> None:
        self.began = time.monotonic()
        self.transfer = transfer
        self.seconds: float | None = None
        self.wrong = ""
        self.heard: list[float] = []
        self.ended: tuple[float, str] | None = None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(place)


class Load:
    """The clients."""

    def __init__(self, place: tuple[str, int], rate: float, transfers: int) -> None:
        self._place, self._rate = place, rate
        self._selector = selectors.DefaultSelector()
        self._open: dict[_Talk, None] = {}  # in the order in which they began
        self.new: list[_Talk] = []
        self.transfers = [_Talk(place, transfer=True) for _ in range(transfers)]
        for talk in self.transfers:
            self._selector.register(talk.socket, selectors.EVENT_WRITE, talk)

    def run(self) -> None:
        """Until standard input ends and the last connection has its answer, or has waited long enough for one."""
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, None)
        following, stopping, told = time.monotonic(), False, False
        while self._open or not stopping:
            now = time.monotonic()
            if not stopping and told and now >= following:
                following = max(following + 1 / self._rate, now - 0.2)
                talk = _Talk(self._place, transfer=False)
                self.new.append(talk)
                self._open[talk] = None
                self._selector.register(talk.socket, selectors.EVENT_WRITE, talk)
            for key, mask in self._selector.select(max(0.0, min(0.02, following - time.monotonic()))):
                if key.data is None:
                    if not os.read(0, 1024):
                        stopping = True
                        self._selector.unregister(0)
                else:
                    self._turn(key.data, mask)
            self._give_up(time.monotonic() - ANSWER_SECONDS)
            if not told and all(talk.heard for talk in self.transfers):
                told, following = True, time.monotonic()
                print("ready", flush=True)

    def _turn(self, talk: _Talk, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                if error := talk.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(error, os.strerror(error))
                talk.socket.send(STREAM if talk.transfer else ASK)
                self._selector.modify(talk.socket, selectors.EVENT_READ, talk)
                return
            data = talk.socket.recv(65536)
        except OSError as error:
            self._end(talk, error.strerror or "error")
            return
        if not data:
            self._end(talk, "closed")
        elif talk.transfer:
            talk.heard.append(time.monotonic())
        else:
            talk.seconds = time.monotonic() - talk.began
            self._end(talk, "")

    def _give_up(self, before: float) -> None:
        while self._open and (oldest := next(iter(self._open))).began < before:
            self._end(oldest, "no answer")

    def _end(self, talk: _Talk, wrong: str) -> None:
        talk.wrong, talk.ended = wrong, (time.monotonic(), wrong)
        self._selector.unregister(talk.socket)
        talk.socket.close()
        self._open.pop(talk, None)

    def told(self) -> dict[str, object]:
        new = [(round(talk.began, 3), talk.seconds and round(talk.seconds, 3), talk.wrong) for talk in self.new]
        transfers = [
            {"heard": [round(one, 2) for one in talk.heard], "ended": talk.ended} for talk in self.transfers
        ]  # fmt: skip
        return {"new": new, "transfers": transfers}


def main() -> None:
    vip, port, rate, transfers = sys.argv[1:]
    load = Load((vip, int(port)), float(rate), int(transfers))
    load.run()
    print(json.dumps(load.told()), flush=True)


if __name__ == "__main__":
    main()
