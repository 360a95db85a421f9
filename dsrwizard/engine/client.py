"""The view from the client host: one script that pings, connects and reads the neighbour entry, and its parser.

The script is POSIX sh, changes nothing and runs all tests side by side. TCP is tried with whatever is there: bash,
python3, nc, curl. Every line begins with a nonce, so that nothing the host prints can pass for a result; a line that
is not understood counts as not seen.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterable, Iterator
from typing import Literal, cast

from dsrwizard.core.diagnosis import ClientView, ClientVip
from dsrwizard.core.errors import AnswerUnreadable
from dsrwizard.core.model import Deployment
from dsrwizard.core.ports import Connector
from dsrwizard.core.wire import Connected

Result = Literal["open", "refused", "silent", "unreachable", "unknown"]
RESULTS: frozenset[str] = frozenset({"open", "refused", "silent", "unreachable", "unknown"})
SECONDS = 3
"""How long the host waits for one answer: a lost SYN is sent again after one second."""

_SCRIPT = r"""
export LC_ALL=C
n='@NONCE@'
say() { printf '\n%s %s\n' "$n" "$*"; }
now() { t=$(date +%s%N 2>/dev/null); case $t in *N|'') echo 0;; *) echo "$t";; esac; }
since() { echo $(( ($(now) - $1) / 1000000 )); }
limit() { if have timeout; then timeout "$@"; else shift; "$@"; fi; }
word() { # what a tool said, as one of our words
  case $1 in
    *refused*|*"Couldn't connect"*|*'Could not connect'*) echo refused;;
    *nreachable*|*'No route'*) echo unreachable;;
    *'timed out'*|*'imed out'*|*timeout*) echo silent;;
    *) echo "$2";;
  esac
}
py='
import socket, sys, time
try:
    began = time.monotonic()
    socket.create_connection((sys.argv[1], int(sys.argv[2])), @SECONDS@).close()
    print("%.1f" % ((time.monotonic() - began) * 1000))
except OSError as e:
    sys.exit("timed out" if isinstance(e, TimeoutError) else str(e))
'
have() { command -v "$1" >/dev/null 2>&1; }
tcp() { # ADDRESS PORT: the first tool that can say decides
  r=none; t=-
  if have python3; then
    m=$(python3 -c "$py" "$1" "$2" 2>&1) && { r=open; t=$m; } || r=$(word "$m" unknown)
  fi
  if [ $r = none ] || [ $r = unknown ] && have bash && have timeout; then
    b=$(now); m=$(timeout @SECONDS@ bash -c 'exec 3<>"/dev/tcp/$1/$2"' sh "$1" "$2" 2>&1); c=$?
    case $c in 0) r=open; t=$(since "$b");; 124) r=silent;; *) r=$(word "$m" unknown);; esac
  fi
  if [ $r = none ] || [ $r = unknown ] && have nc; then
    b=$(now)
    m=$(nc -v -z -w @SECONDS@ "$1" "$2" 2>&1 </dev/null) && { r=open; t=$(since "$b"); } || r=$(word "$m" unknown)
  fi
  if [ $r = none ] || [ $r = unknown ] && have curl; then
    case $1 in *:*) h="[$1]";; *) h=$1;; esac
    m=$(curl -sS -o /dev/null --noproxy '*' --connect-timeout @SECONDS@ -m @SECONDS@ \
      -w 'connected %{time_connect}' "telnet://$h:$2" 2>&1 </dev/null)
    case $m in *'connected 0.000000'*|*'connected 0,000000'*) r=$(word "$m" unknown);; *connected*) r=open;; esac
  fi
  say "tcp $1 $2 $r $t"
}
echo='
import os, socket, struct, sys, time
six = ":" in sys.argv[1]
try:
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1)
except OSError:
    sys.exit(2)
me, text = os.getpid() & 0xffff, b"dsrwizard."
def packet(check, number):
    return struct.pack("!BBHHH", 128 if six else 8, 0, check, me, number) + text
try:
    s.connect((sys.argv[1], 0))
    for number in 1, 2:
        total = sum(struct.unpack("!9H", packet(0, number)))
        total = (total & 0xffff) + (total >> 16)
        s.send(packet(0xffff - total, number)) # the kernel does it for IPv6
        began = time.monotonic()
        left = 1.0
        while left > 0:
            s.settimeout(left)
            try:
                got = s.recv(2048)
            except socket.timeout:
                break
            took = time.monotonic() - began
            left = 1.0 - took
            head = 0 if six else (got[0] & 15) * 4
            kind, _, _, whose = struct.unpack("!BBHH", got[head : head + 6].ljust(6))
            if kind == (129 if six else 0) and whose == me:
                print("%.1f" % (took * 1000))
                sys.exit(0)
except OSError:
    pass
sys.exit(1)
'
reach() { # ADDRESS
  c=2; t=-
  if have ping; then
    m=$(limit @PATIENCE@ ping -n -c 2 -i 0.3 -W @SECONDS@ "$1" 2>&1); c=$?
    t=${m#*time=}; [ "$t" = "$m" ] && t=- || t=${t%% *}
    case $m in *transmitted*|*nreachable*|'') ;; *) [ $c = 0 ] || c=2;; esac
  fi
  if [ $c = 2 ] && have python3; then t=$(python3 -c "$echo" "$1" 2>/dev/null); c=$?; fi
  case $c in 0) say "ping $1 answered ${t:--}";; 1|124) say "ping $1 silent -";; *) say "ping $1 unknown -";; esac
}
near() { # ADDRESS: read after the tests, which made the entry
  have ip || { say "link $1 unknown"; return; }
  case $(ip route get "$1" 2>/dev/null) in
    *' via '*) say "link $1 far"; return;;
    *' dev lo '*|local*|'') say "link $1 unknown"; return;;
    *) say "link $1 near";;
  esac
  set -- "$1" $(ip neigh show "$1" 2>/dev/null)
  a=$1; shift
  while [ $# -gt 1 ]; do [ "$1" = lladdr ] && say "mac $a $2"; shift; done
}
@TESTS@
wait
@NEAR@
say end
"""


def look(deployment: Deployment, connector: Connector, deadline: float = 15.0) -> ClientView:
    """Asks the client host about every VIP. Raises HostError and its kinds."""
    nonce = f"dsr{secrets.token_hex(8)}"
    answer = connector.run(script(deployment, nonce), deadline=deadline)
    return parse(deployment, nonce, answer.stdout)


def script(deployment: Deployment, nonce: str) -> str:
    """The script. `nonce` is unguessable text of letters and digits."""
    tests, near = [], []
    for vip in deployment.vips:
        address = shlex.quote(str(vip.ip))
        tests.append(f"reach {address} &")
        tests += [f"tcp {address} {service.port} &" for service in vip.services if service.protocol == "tcp"]
        near.append(f"near {address}")
    text = _SCRIPT.replace("@TESTS@", "\n".join(tests)).replace("@NEAR@", "\n".join(near))
    return text.replace("@NONCE@", nonce).replace("@SECONDS@", str(SECONDS)).replace("@PATIENCE@", str(SECONDS + 2))


def parse(deployment: Deployment, nonce: str, text: str) -> ClientView:
    """What the script printed. Raises AnswerUnreadable when it did not run to its end."""
    lines = list(_lines(nonce, text))
    if ["end"] not in lines:
        raise AnswerUnreadable(
            "client: the host's answer is cut short.",
            "The script that tries the VIPs did not run to its end.",
            "Verify again; if it stays so, look at the shell of the client host.",
        )
    return ClientView(vips=tuple(_vip(str(vip.ip), lines) for vip in deployment.vips))


def _lines(nonce: str, text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        if first == nonce:
            yield rest.split()


def _vip(address: str, lines: Iterable[list[str]]) -> ClientVip:
    ping: Literal["answered", "silent", "unknown"] = "unknown"
    milliseconds: float | None = None
    on_link: bool | None = None
    neighbour = ""
    connects: list[Connected] = []
    for line in lines:
        match line:
            case ["ping", found, "answered" | "silent" as word, time] if found == address:
                ping, milliseconds = ("answered", _number(time)) if word == "answered" else ("silent", None)
            case ["link", found, "near" | "far" as word] if found == address:
                on_link = word == "near"
            case ["mac", found, text] if found == address and _is_mac(text):
                neighbour = text.lower()
            case ["tcp", found, port, word, time] if found == address and port.isdecimal() and len(port) < 6:
                connects.append(_connected(address, int(port), word, time))
            case _:
                pass
    return ClientVip(
        vip=address, ping=ping, milliseconds=milliseconds, on_link=on_link, neighbour=neighbour,
        connects=tuple(connects),
    )  # fmt: skip


def _connected(address: str, port: int, word: str, time: str) -> Connected:
    if word == "none":
        problem = "The client host has none of python3, bash with timeout, nc and curl."
        return Connected(address=address, port=port, result="unknown", problem=problem)
    if word not in RESULTS or word == "unknown":
        problem = "The client host's tools did not say why."
        return Connected(address=address, port=port, result="unknown", problem=problem)
    milliseconds = _number(time) if word == "open" else None
    return Connected(address=address, port=port, result=cast(Result, word), milliseconds=milliseconds)


def _number(text: str) -> float | None:
    """A plausible time in milliseconds; a clock that was set meanwhile gives none."""
    plain = text.replace(".", "", 1)
    if not (plain.isascii() and plain.isdecimal()) or len(text) > 12:
        return None
    value = float(text)
    return value if 0 < value < 60_000 else None


def _is_mac(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 6 and all(len(part) == 2 and set(part.lower()) <= set("0123456789abcdef") for part in parts)
