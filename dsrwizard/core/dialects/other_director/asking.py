"""The script that asks dsrwizard on another director, and the reader of what it answers. Pure.

The answer's markers are those of the scripts for real servers, so that the progress of steps is read alike. What comes
back is decoded as the types of the facts alone.
"""

from __future__ import annotations

import base64
from typing import Literal

import msgspec

from dsrwizard.core.dialects.linux.observe import sections
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, UsageError
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.steps import Step

Errand = Literal["look", "steps"]
END = "DSRWIZARD"
_ASK = body(__package__, "ask.sh")
_LINE = 76


class DirectorOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What another director is asked: to look at itself, or to carry `steps` out first. `version` is that of whoever
    asks; the deployment is as that director has it."""

    version: str
    nonce: str
    deployment: Deployment
    steps: tuple[Step, ...] = ()


def ask_script(what: Errand, order: DirectorOrder) -> str:
    """The script."""
    text = base64.b64encode(msgspec.json.encode(order)).decode()
    lines = "\n".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return filled(_ASK, {"@NONCE@": order.nonce, "@WHAT@": what, "@ORDER@": lines, "@END@": END})


def read_order(text: bytes) -> DirectorOrder:
    """What was asked. Raises UsageError."""
    try:
        return msgspec.json.decode(text, type=DirectorOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UsageError(
            "What was asked of this director cannot be read.", "Standard input is not what dsrwizard writes.",
            "This is for the dsrwizard of another director; its apply and verify run it here by SSH.",
        ) from None  # fmt: skip


def marker(nonce: str, *words: object) -> str:
    """The line that says what comes next, or how far the steps are."""
    return f"==dsr:{nonce}:{':'.join(map(str, words))}=="


def parse_answer(host: str, nonce: str, answer: str, said: str, version: str) -> tuple[DirectorFacts, str]:
    """The facts, and why the table was not saved for the next boot there (empty: it was). `said`: what it wrote to
    standard error. Raises CommandFailed where there is no dsrwizard of this version, AnswerUnreadable."""
    found = sections(nonce, answer)
    if "absent" in found:
        raise CommandFailed(
            f"{host}: dsrwizard is not installed there.", "It sets that director up, and its guard runs there.",
            "Install it there as on this machine, then run this again.",
        )  # fmt: skip
    theirs = next((one_line(name[8:], 40) for name in found if name.startswith("version:")), version)
    if theirs != version:
        raise CommandFailed(
            f"{host}: dsrwizard {theirs} is installed there, and {version} here.",
            "They may not mean the same by a step.",
            "Install the same version on every director.",
        )  # fmt: skip
    try:
        if "end" not in found:
            raise ValueError
        facts = msgspec.json.decode("".join(found.get("facts", ())), type=DirectorFacts)
    except (ValueError, RecursionError):
        why = one_line(said, 300) or "It said nothing."
        raise AnswerUnreadable(
            f"{host}: what dsrwizard there says cannot be read.", why,
            "See there whether `dsrwizard --version` works for that user.",
        ) from None  # fmt: skip
    return facts, one_line(" ".join(found.get("unsaved", ())), 300)
