"""The look at keepalived on another director: read, and nonsense in it kept out."""

from __future__ import annotations

import errno
import subprocess

import pytest

from backends.director.keepalived import with_keepalived
from dsrwizard.core.dialects.linux.keepalived import parse_look
from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.errors import AnswerUnreadable, LookError
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF, TableEntry, TableService
from dsrwizard.core.plan.keepalived_proof import unfinished
from tests.unit.test_keepalived_plan import SHOP

LOOK = """
==dsr:N:begin==
==dsr:N:version==
Keepalived v2.2.7 (01/16,2022)
==dsr:N:systemd==
no
==dsr:N:running==
812
/usr/sbin/keepalived -f /srv/ka.conf -P
==dsr:N:unit==
/lib/systemd/system/keepalived.service
==dsr:N:settings==
/proc/sys/net/ipv4/vs/sloppy_tcp:1
==dsr:N:table==
table
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A00000A:0050 mh persistent 300 FFFFFFFF
  -> 0A000065:0050      Route   3      2          1
FWM  00000001 rr
  -> 0A000066:0000      Masq    1      0          0
UDP  [fd00:0000:0000:0000:0000:0000:0000:0010]:0035 rr
  -> [fd00:0000:0000:0000:0000:0000:0000:0101]:0035      Tunnel  1      0          0
==dsr:N:text:/etc/keepalived/keepalived.conf==
IyBoaQo=
==dsr:N:folders==
yes /etc/keepalived
no /etc/keepalived/dsrwizard.d
==dsr:N:modes==
644 /etc/keepalived/keepalived.conf
==dsr:N:file:/etc/keepalived/keepalived.conf==
file
IyBoaQo=
==dsr:N:end==
"""


def test_the_look_is_read() -> None:
    found = parse_look("lb2", "N", LOOK)
    assert (found.version, found.running, found.other_config) == ("2.2.7", True, "/srv/ka.conf")
    assert found.sysctls == {"net.ipv4.vs.sloppy_tcp": "1"}
    assert found.texts == {KEEPALIVED_CONF: "# hi\n"}
    assert found.files == {KEEPALIVED_CONF: FileState(content="# hi\n")}
    assert found.table == (
        TableService(
            protocol="tcp", address="10.0.0.10", port=80, scheduler="mh", persistence=300,
            entries=(TableEntry(address="10.0.0.101", port=80, method="dr", weight=3, active=2),),
        ),
        TableService(
            protocol="udp", address="fd00::10", port=53, scheduler="rr",
            entries=(TableEntry(address="fd00::101", port=53, method="tun", weight=1),),
        ),
    )  # fmt: skip
    with pytest.raises(AnswerUnreadable):
        parse_look("lb2", "N", LOOK.partition("==dsr:N:modes")[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sloppy_tcp:1", "sloppy_tcp:\x1b[2J"),
        ("Route   3 ", f"Route   {'9' * 5000} "),
        ("0A000065:0050", "ZZ000065:0050"),
        ("persistent 300", f"persistent {'3' * 5000}"),
        ("v2.2.7", f"v{'2' * 5000}"),
        ("IyBoaQo=\n==dsr:N:folders", "not base64!\n==dsr:N:folders"),
        ("[fd00:0000:0000:0000:0000:0000:0000:0010]", "[fd00::%eth0$(reboot)]"),
    ],
)
def test_nonsense_from_another_director_is_unreadable_or_left_out(old: str, new: str) -> None:
    assert old in LOOK
    try:
        found = parse_look("lb2", "N", LOOK.replace(old, new))
    except AnswerUnreadable:
        return
    assert unfinished(SHOP, found)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (subprocess.TimeoutExpired(["/bin/sh", "-s"], 60), "did not finish within 60 s"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "/bin/sh could not be run: Cannot allocate memory."),
    ],
)
def test_a_look_that_fails_says_why_and_shows_no_program_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("backends.director.keepalived.subprocess.run", run)
    with pytest.raises(LookError) as caught:
        with_keepalived(SHOP, DirectorFacts())
    told = " ".join(caught.value.lines())
    assert words in told
    assert "[" not in told
