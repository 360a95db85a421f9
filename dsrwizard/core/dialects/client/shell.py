"""The script for the client host: it pings, connects and reads the neighbour entries. POSIX sh, changes nothing.

TCP is tried with whatever is there. python3 tells most and captures the replies' frames (`program`); curl tells the
rest for HTTP; bash and nc tell no more than whether there was an answer, and are asked less often. Every line begins
with a nonce, so that nothing the host prints can pass for a result.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from dsrwizard.core.dialects.client.program import PROGRAM
from dsrwizard.core.model.deployment import Deployment

SECONDS = 3
"""How long the host waits for one answer: a lost SYN is sent again after one second."""
BUDGET = 6
"""Seconds after which no new connection is begun."""
HTTP = frozenset({80, 81, 591, 8000, 8008, 8080, 8081, 8088, 8888})
"""Ports whose service is sent an HTTP/1.0 HEAD; any other is given a second to send a banner."""
PLAIN = 4
"""Connections at most of one service in one go where there is no python3: each costs a process or two."""

Target = tuple[str, int]
"""VIP in canonical form, TCP port."""

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
have() { command -v "$1" >/dev/null 2>&1; }
one() { # ADDRESS PORT KIND: the first tool that can say decides
  r=none; t=-; more=
  if [ $3 = http ] && have curl; then
    m=$(curl -0 -I -sS -o /dev/null --noproxy '*' --connect-timeout @SECONDS@ -m $((@SECONDS@ + 1)) -w \
      'connected %{time_connect} %{local_ip} %{local_port} %{time_starttransfer} %{size_request} %{size_header}' \
      "http://$(bracket "$1"):$2/" 2>&1 </dev/null)
    case $m in
      *'connected 0.000000'*) r=$(word "$m" unknown);;
      *'connected '*) r=open; set -- "$1" "$2" "$3" ${m##*connected }; t=${4}s; more="$5 $6 ${7}s $8 $9 - -";;
    esac
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
    m=$(curl -sS -o /dev/null --noproxy '*' --connect-timeout @SECONDS@ -m @SECONDS@ \
      -w 'connected %{time_connect}' "telnet://$(bracket "$1"):$2" 2>&1 </dev/null)
    case $m in *'connected 0.000000'*|*'connected 0,000000'*) r=$(word "$m" unknown);; *connected*) r=open;; esac
  fi
  say "tcp $1 $2 $r $t $more"
}
bracket() { case $1 in *:*) echo "[$1]";; *) echo "$1";; esac; }
many='@PROGRAM@'
connections() { # lines of ADDRESS PORT COUNT KIND
  if have python3 && DSRWIZARD_NONCE=$n python3 -c "$many" "$1" @SECONDS@ @BUDGET@ </dev/null 2>/dev/null; then
    return
  fi
  say "tap python3"
  echo "$1" | {
    while read -r a p c k; do
      [ "$c" -gt @PLAIN@ ] && c=@PLAIN@
      while [ "$c" -gt 0 ]; do one "$a" "$p" "$k" & c=$((c - 1)); done
    done
    wait
  }
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
                print("%.1f %s" % (took * 1000, "-" if six else got[8]))
                sys.exit(0)
except OSError:
    pass
sys.exit(1)
'
reach() { # ADDRESS
  c=2; t=-; h=-
  if have ping; then
    m=$(limit @PATIENCE@ ping -n -c 2 -i 0.3 -W @SECONDS@ "$1" 2>&1); c=$?
    t=${m#*time=}; [ "$t" = "$m" ] && t=- || t=${t%% *}
    h=${m#*ttl=}; [ "$h" = "$m" ] && h=- || h=${h%% *}
    case $m in *transmitted*|*nreachable*|'') ;; *) [ $c = 0 ] || c=2;; esac
  fi
  if [ $c = 2 ] && have python3; then t=$(python3 -c "$echo" "$1" 2>/dev/null); c=$?; h=; fi
  case $c in
    0) say "ping $1 answered ${t:--} ${h:--}";;
    1|124) say "ping $1 silent -";;
    *) say "ping $1 unknown -";;
  esac
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
connections @PLAN@ &
wait
@NEAR@
say end
"""


def script(deployment: Deployment, nonce: str, plan: Mapping[Target, int], *, all_: bool = True) -> str:
    """The script with `plan` (how many connections to which service). `nonce` is unguessable text of letters and
    digits; `all_`: with pings and neighbour entries."""
    vips = [shlex.quote(str(vip.ip)) for vip in deployment.vips] if all_ else []
    lines = "\n".join(
        f"{vip} {port} {count} {'http' if port in HTTP else 'other'}" for (vip, port), count in plan.items() if count
    )
    text = _SCRIPT.replace("@TESTS@", "\n".join(f"reach {address} &" for address in vips))
    text = text.replace("@NEAR@", "\n".join(f"near {address}" for address in vips)).replace("@NONCE@", nonce)
    text = text.replace("@PLAN@", shlex.quote(lines)).replace("@PROGRAM@", PROGRAM).replace("@PLAIN@", str(PLAIN))
    return (
        text.replace("@SECONDS@", str(SECONDS)).replace("@PATIENCE@", str(SECONDS + 2)).replace("@BUDGET@", str(BUDGET))
    )
