"""What a hostile WinRM endpoint answers: floods, silence, half answers, wrong types, escapes, bombs."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import os
import zlib
from collections.abc import Iterator

from tests.hostile.winrm_server import Hostile, Messages, Mode, Reply, Talk, after_request, constant, raising
from tests.windows import wsman
from tests.windows.answers import framed
from tests.windows.wsman import Fault, Request

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2028"
HUGE = "9" * 5_000
_ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
BILLION = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{_ENTITIES}]><x>&e11;</x>'.encode()
QUADRATIC = f'<!DOCTYPE x [<!ENTITY a "{"A" * 100_000}">]><x>{"&a;" * 60_000}</x>'.encode()
OUTSIDE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
CLIXML = b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="x">'


def _gigabyte() -> bytes:
    """A gigabyte of zeros in a megabyte of gzip, cut where the host would go on."""
    pressed = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(pressed.compress(bytes(1 << 20)) for _ in range(64)) + pressed.flush()


# -- the connection


def _endless(before: bytes, piece: bytes) -> Mode:
    def mode(talk: Talk) -> None:
        talk.send(before)
        talk.flood(piece)

    return after_request(mode)


def _dripping(before: bytes, piece: bytes) -> Mode:
    def mode(talk: Talk) -> None:
        talk.send(before)
        talk.drip(itertools.repeat(piece))

    return after_request(mode)


def _half(answer: bytes) -> Mode:
    def mode(host: Hostile, talk: Talk) -> None:
        if talk.request() is not None:
            talk.send(answer)

    return mode


def _silent(host: Hostile, talk: Talk) -> None:
    talk.wait()


def _no_body(talk: Talk) -> None:
    talk.send(OK + b"Content-Length: 5\r\n\r\n")
    talk.wait()


def _challenge(token: bytes) -> Mode:
    encoded = base64.b64encode(token).decode()
    return after_request(lambda talk: talk.answer(b"", "401 Unauthorized", f"WWW-Authenticate: NTLM {encoded}"))


def _at_once(piece: bytes) -> Mode:
    """Talks before it was asked."""
    return lambda host, talk: talk.flood(piece)


SEALED = "application/HTTP-SPNEGO-session-encrypted"
WAYS = ", ".join(f"W{number}" for number in range(9_000))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
PLAIN: dict[str, Mode] = {
    "flood before anything": _at_once(b"\x00" * 65_536),
    "flood of lines before anything": _at_once(b"HTTP/1.1 200 OK\r\n" * 4_096),
    "status line without end": _endless(b"HTTP/1.1 200 ", b"x" * 65_536),
    "header without end": _endless(OK + b"X: ", b"x" * 65_536),
    "headers without end": _endless(OK, b"X-A: b\r\n" * 8_192),
    "continue without end": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_048),
    "body of 10 GB": _endless(OK + b"Content-Length: 10000000000\r\n\r\n", b"<" * 65_536),
    "body until the end of days": _endless(OK + b"Connection: close\r\n\r\n", b" " * 65_536),
    "chunks without end": _endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4_096 + b"\r\n"),
    "a chunk's length without end": _endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65_536),
    "a chunk of 16 GB": _endless(OK + b"Transfer-Encoding: chunked\r\n\r\n3ffffffff\r\n", b"x" * 65_536),
    "401 without end": _endless(
        b"HTTP/1.1 401 No\r\nContent-Length: 9999999999\r\nWWW-Authenticate: NTLM\r\n\r\n", b"x" * 65_536
    ),
    "status line drips": _dripping(b"HTTP/1.1 2", b"0"),
    "headers drip": _dripping(OK + b"X: ", b"x"),
    "header lines drip": _dripping(OK, b"X-A: b\r\n"),
    "body drips": _dripping(OK + b"Content-Length: 100000\r\n\r\n", b"<"),
    "chunks drip": _dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "silence": _silent,
    "silence after the headers": after_request(_no_body),
    "nothing": _half(b""),
    "half a status line": _half(b"HTTP/1.1 2"),
    "half the headers": _half(OK),
    "half a body": _half(OK + b"Content-Length: 1000\r\n\r\n<s:Envelope"),
    "no HTTP": _half(b"SSH-2.0-OpenSSH_9.2\r\n" + ESCAPES.encode()),
    "status of 5,000 digits": _half(f"HTTP/1.1 {HUGE} x\r\n\r\n".encode()),
    "length below 0": _half(OK + b"Content-Length: -1\r\n\r\n<x/>"),
    "length of 5,000 digits": _half(OK + f"Content-Length: {HUGE}\r\n\r\n<x/>".encode()),
    "two lengths": _half(OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n<x/>x"),
    "escapes in a header": after_request(
        lambda talk: talk.answer(b"", "401 Unauthorized", f"WWW-Authenticate: {ESCAPES} x, {ESCAPES}z")
    ),
    "ten thousand ways to log in": after_request(
        lambda talk: talk.answer(b"", "401 Unauthorized", f"WWW-Authenticate: {WAYS}")
    ),
    "a challenge that is none": _challenge(os.urandom(600)),
    "a challenge cut short": _challenge(b"NTLMSSP\0\2\0\0\0"),
    "a challenge that is no base64": after_request(
        lambda talk: talk.answer(b"", "401 Unauthorized", "WWW-Authenticate: NTLM \xe9\xe9=")
    ),
    "a proxy's challenge": after_request(
        lambda talk: talk.answer(b"", "407 Proxy", "Proxy-Authenticate: NTLM TlRMTVNTUAACAAAA")
    ),
    "an error page of escapes": after_request(
        lambda talk: talk.answer(f"<html>{ESCAPES}".encode() * 1_000, "503 Service", kind="text/html")
    ),
    "a sealed answer that is not": after_request(
        lambda talk: talk.answer(
            b"--Encrypted Boundary\r\n" * 20_000,
            kind=f'multipart/encrypted;protocol="{SEALED}";boundary="Encrypted Boundary"',
        )
    ),
}
"""Modes over plain HTTP, where the first message asks for a login by NTLM."""


# -- messages


def _returning(body: str) -> Reply:
    """A well-formed answer with this for its body."""
    return lambda host, asked: wsman.reply(asked, body)


def _printing(out: bytes = b"", err: bytes = b"", status: int | None = None, marked: bool = True) -> Messages:
    """Prints this at every Receive, behind the marker at the first."""
    begun: set[int] = set()

    def reply(host: Hostile, asked: Request) -> bytes:
        text = host.marked(out) if marked and id(host) not in begun else out
        begun.add(id(host))
        return host.output(asked, text, err, status)

    return Messages({"Receive": reply})


def _in_pieces(data: bytes) -> Messages:
    """Prints this much, as WinRM cuts it, and ends well."""
    left: dict[int, Iterator[bytes]] = {}

    def reply(host: Hostile, asked: Request) -> bytes:
        if id(host) not in left:
            whole = host.marked(data.replace(b"@NONCE@", host.nonce.encode()))
            left[id(host)] = (whole[at : at + 300_000] for at in range(0, len(whole), 300_000))
        piece = next(left[id(host)], None)
        return host.output(asked, piece or b"", status=0 if piece is None else None)

    return Messages({"Receive": reply})


class Telling(Messages):
    """Prints one frame of facts with what `document` gives for its JSON."""

    def __init__(self, json_text: str) -> None:
        self._json = json_text
        self._left: dict[int, list[bytes]] = {}
        super().__init__({"Receive": self._reply})

    def _reply(self, host: Hostile, asked: Request) -> bytes:
        if id(host) not in self._left:
            text = f'{{"nonce":"{host.nonce}","kind":"facts",{self._json}'
            whole = host.marked(framed(text.encode()).encode() + b"\r\n")
            self._left[id(host)] = [whole[at : at + 300_000] for at in range(0, len(whole), 300_000)]
        left = self._left[id(host)]
        piece = left.pop(0) if left else b""
        return host.output(asked, piece, status=None if left else 0)


_SIZE = 5_500_000
"""Bytes of JSON that still fit."""


def _many(piece: str, count: int = 0) -> str:
    """A list of the same, as many as fit."""
    return f"[{','.join([piece] * (count or _SIZE // (len(piece) + 1)))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _done(inner: str) -> Reply:
    def reply(host: Hostile, asked: Request) -> bytes:
        return wsman.reply(asked, f"<rsp:ReceiveResponse>{inner}</rsp:ReceiveResponse>")

    return reply


_RULE = '{"name":"","enabled":true,"protocol":6}'
_LISTENER = '{"protocol":"tcp","address":"::1","port":80}'
_FAMILY, _ADAPTER = '{"family":4}', '{"name":"","index":1}'
_SETTINGS = '{"name":"","index":1,"settings":%s}'
_RULE_NAMED = '{"name":"a1","enabled":true,"protocol":6,"group":"b2","ports":"c3","addresses":"d4"}'
_EVENT = '{"event":4199,"address":"::1","mac":"02","age":1}'
_SSL = '"%d":["","",""]'
_ATTRIBUTES = "<a " + " ".join(f"b{number}=''" for number in range(400_000)) + "/>"
_SITE = "<SITE><binding/></SITE>"
_STATE = f'<rsp:CommandState CommandId="x" State="{wsman.SHELL}/CommandState/Done">'
_DEEP = b"<a>" * 190_000
MESSAGES: dict[str, Mode] = {
    "billion laughs": Messages({"Create": constant(BILLION)}),
    "quadratic blow-up": Messages({"Create": constant(QUADRATIC)}),
    "an entity of a file": Messages({"Create": constant(OUTSIDE)}),
    "billion laughs in a fault": Messages({"Create": constant(BILLION)}, "500 Internal Server Error"),
    "billion laughs in UTF-16": Messages({"Receive": constant(BILLION.decode().encode("utf-16"))}),
    "billion laughs as output": Messages({"Receive": constant(BILLION)}),
    "depth": Messages({"Create": constant(_DEEP)}),
    "a hundred thousand elements": Messages({"Receive": constant(b"<a>" + b"<b/>" * 140_000 + b"</a>")}),
    "a hundred thousand attributes": Messages({"Receive": constant(_ATTRIBUTES[:500_000].encode() + b"'/>")}),
    "no XML": Messages({"Create": constant(b"\x00\x01" + ESCAPES.encode())}),
    "half XML": Messages({"Command": constant(b"<s:Envelope><s:Body>")}),
    "an empty answer": Messages({"Create": constant(b"")}),
    "no shell's name": Messages({"Create": _returning("")}),
    "a shell's name without text": Messages({"Create": _returning('<w:Selector Name="ShellId"/>')}),
    "a shell's name of escapes": Messages(
        {"Create": _returning('<w:Selector Name="ShellId">&#x9b;2J&#x202e;</w:Selector>')}
    ),
    "a shell's name of 200,000 letters": Messages(
        {"Create": _returning(f'<w:Selector Name="ShellId">{"x" * 200_000}</w:Selector>')}
    ),
    "no command's name": Messages({"Command": _returning("<rsp:CommandResponse/>")}),
    "output that is no base64": Messages({"Receive": _done('<rsp:Stream Name="stdout">!!!</rsp:Stream>')}),
    "output beyond ASCII": Messages({"Receive": _done('<rsp:Stream Name="stdout">\u65e5\u672c</rsp:Stream>')}),
    "output of no stream": Messages({"Receive": _done("<rsp:Stream>QUJD</rsp:Stream>")}),
    "a status of 5,000 digits": Messages(
        {"Receive": _done(f"{_STATE}<rsp:ExitCode>{HUGE}</rsp:ExitCode></rsp:CommandState>")}
    ),
    "a status of words": Messages(
        {"Receive": _done(f"{_STATE}<rsp:ExitCode>&#xb2;</rsp:ExitCode></rsp:CommandState>")}
    ),
    "done without a status": Messages({"Receive": _done(f"{_STATE}</rsp:CommandState>")}),
    "done twice": Messages({"Receive": _done(f"{_STATE}</rsp:CommandState>" * 2)}),
    "done at once": Messages({"Receive": _done(f"{_STATE}<rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>")}),
    "nothing for ever": _printing(),
    "time is up, for ever": Messages({"Receive": raising(wsman.timed_out())}),
    "a fault of escapes": Messages(
        {"Create": raising(Fault(5_555, "s:Sender", "w:X", "\x9b2J\u202e" + "x" * 100_000))}
    ),
    "a fault of 5,000 digits": Messages({"Command": raising(Fault(HUGE, "s:Sender", "w:X", "no"))}),  # type: ignore[arg-type]
    "a fault without an end to it": Messages({"Receive": raising(Fault(1, "s:Sender", "w:QuotaLimit" * 9_000, "x"))}),
    "the shell is gone, always": Messages({"Command": raising(wsman.no_shell()), "Receive": raising(wsman.no_shell())}),
    "flood before the marker": _printing(b"x" * 300_000, marked=False),
    "flood of lines before the marker": _printing(b"noise\n" * 50_000, marked=False),
    "flood behind the marker": _printing(b"x\n" * 150_000),
    "a line without end": _printing(b"A" * 300_000),
    "flood of errors": _printing(err=b"\x1b[31mno\r\n" * 40_000),
    "errors of a single line": _printing(err=CLIXML + b'<S S="Error">' * 20_000, status=1, marked=False),
    "errors of escapes": _printing(
        err=CLIXML + b'<S S="Error">_x001B_[2J_x009B_2J_x202E_ no</S>', status=1, marked=False
    ),
    "escapes before the marker": _printing(ESCAPES.encode() * 100, status=1, marked=False),
    "escapes behind the marker": _printing(ESCAPES.encode() * 100, status=0),
    "a frame of 12 MB": _in_pieces(b"<<DSR:" + b"A" * 12_000_000 + b":DSR>>\n"),
    "a frame that never closes": _in_pieces(b"<<DSR:" * 1_000_000),
    "empty lists in a frame": Telling(f'"version":"6.3","listeners":{_many("[]")}}}'),
    "lists in lists in a frame": Telling(f'"version":"6.3","adapters":{"[" * 400_000 + "]" * 400_000}}}'),
    "objects nobody asked for": Telling(f'"version":"6.3","other":{_many("{}")}}}'),
    "addresses in a frame": Telling(f'"version":"6.3","listen_list":{_many(_quoted("::1"))}}}'),
    "as many addresses as fit in a frame": Telling(f'"version":"6.3","listen_list":{_many(_quoted("::1"), 33_000)}}}'),
    "rules in a frame": Telling(f'"version":"6.3","rules":{_many(_RULE)}}}'),
    "rules with names in a frame": Telling(f'"version":"6.3","rules":{_many(_RULE_NAMED)}}}'),
    "listeners in a frame": Telling(f'"version":"6.3","listeners":{_many(_LISTENER)}}}'),
    "settings in a frame": Telling(f'"version":"6.3","adapters":[{_SETTINGS % _many(_FAMILY)}]}}'),
    "as many settings as fit in a frame": Telling(
        f'"version":"6.3","adapters":[{_SETTINGS % _many(_FAMILY, 153_000)}]}}'
    ),
    "adapters in a frame": Telling(f'"version":"6.3","adapters":{_many(_ADAPTER, 95_000)}}}'),
    "certificates in a frame": Telling(f'"version":"6.3","ssl":{{{",".join(_SSL % n for n in range(250_000))}}}}}'),
    "as many certificates as fit in a frame": Telling(
        f'"version":"6.3","ssl":{{{",".join(_SSL % n for n in range(50_000))}}}}}'
    ),
    "conflicts in a frame": Telling(f'"version":"6.3","events":{_many(_EVENT, 9_000)}}}'),
    "one text of 5 MB": Telling(f'"version":"{"x" * _SIZE}"}}'),
    "one key of 5 MB": Telling(f'"version":"6.3","ssl":{{"{"x" * _SIZE}":["","",""]}}}}'),
    "sites of elements": Telling(f'"version":"6.3","site_xml":{_quoted("<a>" + "<b/>" * 1_300_000 + "</a>")}}}'),
    "sites of depth": Telling(f'"version":"6.3","site_xml":{_quoted("<a>" * 1_500_000)}}}'),
    "sites of attributes": Telling(f'"version":"6.3","site_xml":{_quoted(_ATTRIBUTES)}}}'),
    "sites of sites": Telling(f'"version":"6.3","site_xml":{_quoted(f"<a>{_SITE * 200_000}</a>")}}}'),
    "deaf when the shell is closed": Messages(deaf="Delete"),
    "deaf when the script is ended": Messages({"Receive": raising(wsman.timed_out())}, deaf="Signal"),
}
"""Modes over TLS with Basic, so that every message is the host's own."""


def _pressed(coding: str, body: bytes) -> Mode:
    return after_request(lambda talk: talk.answer(body, "200 OK", f"Content-Encoding: {coding}"))


def pressed() -> dict[str, Mode]:
    """Answers in a compressed form, made when they are needed."""
    body = _gigabyte()
    return {
        "gzip of a gigabyte": _pressed("gzip", body),
        "gzip of gzip": _pressed("gzip, gzip", gzip.compress(body)),
        "deflate of a gigabyte": _pressed("deflate", zlib.compress(bytes(1 << 26), 9)),
        "a coding nobody knows": _pressed(f"x{ESCAPES}", b"<x/>"),
    }
