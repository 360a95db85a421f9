"""Certificates that somebody in between makes up: their names must not forge the question about their fingerprint."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyte
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backends.winrm import trust
from backends.winrm.place import WinrmListener
from backends.winrm.reach import ShownCertificate
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.ports import HostKeyQuestion
from screens.questions.modals import HostKeyModal
from tests.hostile.conftest import Tally

Scale = Callable[[int, int], int]
Count = Callable[[str], Tally]
KEY = ec.generate_private_key(ec.SECP256R1())
FORGED = "SHA256:" + "0123456789ABCDEF" * 4
IMITATION = re.compile(r"[\s│]*(SHA-?256:?\s*)?[0-9A-Fa-f]{24,}")
"""A row that an operator would take for a fingerprint."""
PARTS = (
    FORGED, f"\n  {FORGED}\n", f"\r\n  {FORGED}\x1b[8m", f"\x1b[2J\x1b[1;1H{FORGED}", f"\u2028{FORGED}",
    f"\u202e{FORGED[::-1]}\u202c", f"\x9b2K{FORGED}", " " * 70 + FORGED, "\u3000" * 33 + FORGED,
    "\u200b" * 200 + FORGED,
    "x" * 5000, '", valid until 2099-01-01\n  ', f'" {FORGED} "', "\x1b]0;owned\x07",
    "a\u0301\u0301\u0301\u0301\u0301\u0301",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "[bold red]x[/]", "\x00\x07\x08\x7f", "WIN1",
)  # fmt: skip
REASONS = ((18, "self-signed certificate"), (20, "unable to get local issuer certificate"), (10, "expired"), (9, ""))


pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length must be")  # cryptography's, as we make them


def name(generator: random.Random) -> str:
    return "".join(generator.choice(PARTS) for _ in range(generator.randint(1, 3)))


def made(generator: random.Random) -> bytes:
    """A certificate in DER, with such names wherever one can stand."""
    subject, issuer = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name(generator), _validate=False)]) for _ in range(2)
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=generator.choice((1, 30, 2_000_000))))
    )
    if generator.random() < 0.5:
        names = [
            x509.DNSName(name(generator).encode("ascii", "ignore").decode()) for _ in range(generator.randint(1, 30))
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class Terminal(TerminalAsker):
    """Keeps what would be written to the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.question: HostKeyQuestion | None = None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        self.question = question
        return super().accept_key(question)

    def _line(self, text: str, *, echo: bool) -> str:
        self.text += text
        return "n"


def acts(sign: str) -> bool:
    """Whether a terminal obeys it, or nobody sees it."""
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def rows(text: str, columns: int) -> list[str]:
    """What a terminal of this width shows."""
    screen = pyte.Screen(columns, 60)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [row.rstrip() for row in screen.display]


def place(tmp_path: Path) -> WinrmListener:
    return WinrmListener("win1", "10.0.0.101", 5986, True, "Administrator", "ntlm", None, "")


def asked(tmp_path: Path, der: bytes, code: int, problem: str) -> Terminal:
    terminal = Terminal()
    try:
        trust.check_certificate(
            place(tmp_path), ShownCertificate(der, verified=code == 0, code=code, problem=problem), terminal
        )
    except DsrError as error:
        for line in error.lines():
            assert harmless(line), line
    return terminal


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_no_name_forges_the_fingerprint(tmp_path: Path, scale: Scale, tally: Count) -> None:
    counted = tally("certificates of WinRM with forged names")
    for seed in range(scale(60, 2_000)):
        generator = random.Random(seed)
        der = made(generator)
        code, problem = generator.choice((*REASONS, (0, "")))
        with counted.case(f"seed {seed}"):
            terminal = asked(tmp_path, der, code, problem)
            question = terminal.question
            assert question is not None
            true = trust.fingerprint(der)
            assert question.fingerprint == f"SHA256:{true}"
            assert not [sign for sign in terminal.text if sign != "\n" and acts(sign)]
            for columns in (80, 132):
                found = [row.strip() for row in rows(terminal.text, columns) if IMITATION.match(row)]
                assert found == [question.fingerprint], found
            modal = HostKeyModal(question)
            body = str(modal._body)
            for columns in (70, 76):
                found = [row.strip() for row in rows(body, columns) if IMITATION.match(row)]
                assert "".join(found) == true, found
    counted.settle()


def test_bytes_that_are_no_certificate_end_in_a_sentence(tmp_path: Path, scale: Scale, tally: Count) -> None:
    counted = tally("damaged certificates of WinRM")
    for seed in range(scale(300, 20_000)):
        generator = random.Random(seed)
        der = bytearray(made(random.Random(seed % 7)))
        for _ in range(generator.randint(1, 6)):
            der[generator.randrange(len(der))] = generator.randrange(256)
        code, problem = generator.choice(REASONS)
        with counted.case(f"seed {seed}"):
            terminal = asked(tmp_path, bytes(der), code, problem)
            assert not [sign for sign in terminal.text if sign != "\n" and acts(sign)]
    counted.settle()
