"""A small DNS server on loopback, over UDP and TCP on one port, whose answers a test chooses."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rrset
import pytest

from backends.ssh import sshfp

Mood = Literal["answers", "signed", "silent", "truncated", "cut", "noise", "fails"]
"""`truncated`: UDP says so, and TCP has it all, signed. `cut`: half of the message. `noise`: no DNS at all."""


class NameServer:
    """Answers for `records`: SSHFP rdata as text, by name. `asked`: the queries, as they came."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.raw: bytes = b""
        """Rdata of one more record, whatever its length."""
        self.mood: Mood = "answers"
        self.asked: list[dns.message.QueryMessage] = []
        self.by_tcp = 0
        self._tcp, self._udp = _pair()
        self.port: int = self._udp.getsockname()[1]
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def used(self, monkeypatch: pytest.MonkeyPatch, folder: Path, text: str = "nameserver 127.0.0.1\n") -> NameServer:
        """Makes it the resolver of a resolv.conf of its own."""
        (folder / "resolv.conf").write_text(text)
        monkeypatch.setattr(sshfp, "RESOLV_CONF", folder / "resolv.conf")
        monkeypatch.setattr(sshfp, "PORT", self.port)
        return self

    def close(self) -> None:
        for one in (self._udp, self._tcp):
            one.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                data, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            if (reply := self._reply(data, tcp=False)) is not None:
                self._udp.sendto(reply, sender)

    def _serve_tcp(self) -> None:
        while True:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                return
            with client:
                self.by_tcp += 1
                client.settimeout(5.0)
                (length,) = struct.unpack("!H", client.recv(2))
                reply = self._reply(client.recv(length), tcp=True) or b""
                client.sendall(struct.pack("!H", len(reply)) + reply)

    def _reply(self, data: bytes, *, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        assert isinstance(query, dns.message.QueryMessage)
        self.asked.append(query)
        if self.mood == "silent":
            return None
        reply = dns.message.make_response(query)
        if self.mood == "fails":
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        if self.mood == "truncated" and not tcp:
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        if self.mood in ("signed", "truncated"):
            reply.flags |= dns.flags.AD
        name = query.question[0].name
        if name.to_text(omit_final_dot=True) not in self.records:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := [*self.records[name.to_text(omit_final_dot=True)]]:
            answer = dns.rrset.from_text(name, 300, "IN", "SSHFP", *texts)
            if self.raw:
                answer.items[dns.rdata.GenericRdata(answer.rdclass, answer.rdtype, self.raw)] = None
            reply.answer.append(answer)
        wire = reply.to_wire(max_size=65535)
        return {"cut": wire[: len(wire) // 2], "noise": b"\x1b[2J" * 50}.get(self.mood, wire)


def _pair() -> tuple[socket.socket, socket.socket]:
    """A listener for TCP and a socket for UDP on the same port of loopback."""
    for _ in range(50):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return tcp, udp
    raise OSError("no port is free for both")
