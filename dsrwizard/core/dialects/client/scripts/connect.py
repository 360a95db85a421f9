"""Opens fresh TCP connections side by side and notes the frames of their replies; runs on the client host.
Any Python 3 runs it, with the standard library alone. `argv`: the plan (lines of VIP, port, count and `http`, `other`,
`big` with a page, or `x` with hexadecimal digits to send), seconds to wait for one answer, seconds after which no
connection is begun, seconds that an application may take for its first byte. It prints all at its end, or nothing.
"""

import errno
import os
import select
import socket
import struct
import sys
import time

plan, wait, budget, greeting = [sys.argv[1]] + [float(word) for word in sys.argv[2:5]]
nonce = os.environ["DSRWIZARD_NONCE"]
asked = [line.split() for line in plan.splitlines() if line.strip()]
now = time.monotonic
out, seen, taps = [], {}, []
WIDE, CROWD, MOMENT, MOST, PAUSE, LARGE = 32, 4, 0.05, 65536, 0.3, 3000


def say(*words):
    out.append("\n" + " ".join([nonce] + [str(word) for word in words]))


def narrow(tap, addresses, offset):
    # Only frames from the VIPs come here (classic BPF, offsets from the network header): others have work, too.
    try:
        import ctypes

        if len(addresses) > 200:
            return
        code = struct.pack("HBBI", 0x20, 0, 0, 0xFFF00000 + offset)
        for left, address in zip(range(len(addresses), 0, -1), addresses):
            code += struct.pack("HBBI", 0x15, left, 0, struct.unpack("!I", address[-4:])[0])
        code += struct.pack("HBBI", 6, 0, 0, 0) + struct.pack("HBBI", 6, 0, 0, 128)
        kept = ctypes.create_string_buffer(code)
        tap.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", len(code) // 8, ctypes.addressof(kept)))
    except Exception:
        pass


def listen():
    for six in 0, 1:
        addresses = sorted(
            {
                socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, line[0])
                for line in asked
                if (":" in line[0]) == bool(six)
            }
        )
        if addresses:
            kind = 0x86DD if six else 0x0800
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind))
            tap.setblocking(False)
            narrow(tap, addresses, 20 if six else 12)
            taps.append((tap, six, set(addresses)))


def hear():
    for tap, six, addresses in taps:
        for _ in range(512):
            try:
                data, sender = tap.recvfrom(256)
            except (OSError, IOError):
                break
            head = 40 if six else (data[0] & 15) * 4 if data else 60
            if len(data) < head + 4 or data[6 if six else 9] != 6:
                continue
            source = data[8:24] if six else data[12:16]
            if source not in addresses:
                continue
            ports = struct.unpack("!HH", data[head : head + 4])
            mac = ":".join("%02x" % byte for byte in sender[4]) if len(sender[4]) == 6 else "-"
            found = seen.setdefault((source,) + ports, {})
            way = mac, data[7 if six else 8]
            found[way] = found.get(way, 0) + 1


def word(code):
    if code == errno.ECONNREFUSED:
        return "refused"
    if code == errno.ETIMEDOUT:
        return "silent"
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EACCES):
        return "unreachable"
    return "unknown"


class Try:
    def __init__(self, vip, port, kind, page="/"):
        self.vip, self.port, self.words, self.big = vip, port, b"", kind == "big"
        if kind == "http":
            host = "[%s]" % vip if ":" in vip else vip
            head = "HEAD / HTTP/1.0\r\nHost: %s\r\nUser-Agent: dsrwizard\r\nConnection: close\r\n\r\n" % host
            self.words = head.encode()
        elif kind == "big":
            host = "[%s]" % vip if ":" in vip else vip
            head = "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: dsrwizard\r\n" % (page, host)
            self.words = (head + "X-Padding: %s\r\n\r\n" % ("." * LARGE)).encode()
        elif kind[:1] == "x":
            self.words = bytes.fromhex(kind[1:])
        self.open = self.first = None
        self.ended = 0
        self.sent = self.received = 0
        self.socket = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.began = now()
        self.till = self.began + wait


def begin(vip, port, *kind):
    one = Try(vip, port, *kind)
    code = one.socket.connect_ex((vip, port))
    if code not in (0, errno.EINPROGRESS):
        end(one, word(code))
        return
    live[one.socket.fileno()] = one
    poll.register(one.socket.fileno(), select.POLLOUT)


def end(one, result):
    number = one.socket.fileno()
    if live.pop(number, None):
        poll.unregister(number)
    acked = arrived = "-"
    try:
        local = one.socket.getsockname()
        told = one.socket.getsockopt(6, 11, 256)
        if len(told) >= 136:
            acked, arrived = struct.unpack("QQ", told[120:136])
    except (OSError, IOError, AttributeError):
        local = ("-", 0)
    one.socket.close()

    def ms(at):
        return "-" if at is None else "%.2f" % ((at - one.began) * 1000)

    done.append((one.vip, one.port, local[0].split("%")[0], local[1]))
    say(
        "big" if one.big else "tcp",
        one.vip,
        one.port,
        result,
        ms(one.open),
        local[0].split("%")[0],
        local[1],
        ms(one.first),
        one.sent,
        one.received,
        acked,
        arrived,
        *([one.ended] if one.big else []),
    )


def write(one):
    code = one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        end(one, word(code))
        return
    one.open = now()
    one.till = one.open + (max(wait, greeting) if one.words else greeting)
    if one.words:
        try:
            one.sent = one.socket.send(one.words)
        except (OSError, IOError):
            end(one, "open")
            return
    poll.modify(one.socket.fileno(), select.POLLIN)


def read(one):
    try:
        data = one.socket.recv(MOST)
        one.ended = int(not data)
    except (OSError, IOError):
        data = b""
    if data:
        if one.first is None:
            one.first = now()
        one.received += len(data)
        one.till = min(now() + (greeting if one.big else PAUSE), one.began + 2 * max(wait, greeting))
    if not data or one.received > MOST:
        end(one, "open")


def crowd():
    return sum(one.open is None and now() - one.began < MOMENT for one in list(live.values()))


live, done, poll = {}, [], select.poll()
why = ""
try:
    listen()
except (OSError, IOError, AttributeError) as problem:
    why = "privilege" if getattr(problem, "errno", 0) in (errno.EPERM, errno.EACCES) else "socket"
for tap, _, _ in taps:
    poll.register(tap.fileno(), select.POLLIN)
queue, turn = [], 0
while any(turn < int(line[2]) for line in asked):
    queue += [[line[0], int(line[1])] + line[3:5] for line in asked if turn < int(line[2])]
    turn += 1
stop = now() + budget
while live or queue:
    if now() > stop:
        queue = []
    # Few at a time, so that one is timed and not the crowd; who takes longer than a moment holds up nobody.
    while queue and len(live) < WIDE and crowd() < CROWD:
        begin(*queue.pop(0))
    for number, _ in poll.poll(20 if not queue else 2):
        one = live.get(number)
        if one is None:
            continue
        if one.open is None:
            write(one)
        else:
            read(one)
    hear()
    for one in [one for one in live.values() if now() > one.till]:
        end(one, "silent" if one.open is None else "open")
hear()
for vip, port, _local, own in done:
    source = socket.inet_pton(socket.AF_INET6 if ":" in vip else socket.AF_INET, vip)
    for (mac, ttl), count in sorted(seen.get((source, port, own), {}).items())[:4]:
        say("frame", vip, port, own, mac, ttl, count)
say("tap", why or "on")
sys.stdout.write("".join(out) + "\n")
