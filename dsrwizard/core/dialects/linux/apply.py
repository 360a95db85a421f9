"""The one script that carries out steps on a Linux host, and the reader of its progress.

Each change first makes sure that what it replaces is still what was observed; a step that fails takes back its own
earlier changes, and says so where it could not; the steps after it do not run. When all went well the observing
script follows in the same run, so that seeing the result costs no further round trip.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Sequence

from dsrwizard.core.dialects.commands import HERE_DOC, commands, here_document
from dsrwizard.core.dialects.keepalived.putting import in_one_line
from dsrwizard.core.dialects.linux import revert
from dsrwizard.core.dialects.linux.writing import exactly, folder_of, leave_or_remove, placed, proc_path
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.changes import (
    Change,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    SysctlChange,
    aside,
)
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step

_PREAMBLE = body(__package__, "apply.sh")


def apply_script(
    nonce: str,
    steps: Sequence[Step],
    afterwards: str,
    revert_after: float = 0.0,
    places: Sequence[str] = revert.PLACES,
) -> str:
    """The script. `afterwards` is the observing script, run only when every step worked. `revert_after` above 0 arms
    the host's own revert (`core.dialects.linux.revert`) where a step touches its network; `places` are for tests."""
    seconds = math.ceil(revert_after) if revert.touches_network(steps) else 0
    parts = [filled(_PREAMBLE, {"@NONCE@": nonce}), revert.take_over(places)]
    parts += [revert.arming(nonce, steps, seconds, places)] if seconds else []
    parts.append("ok=1")
    parts += [_step(number, step, armed=bool(seconds)) for number, step in enumerate(steps, 1)]
    parts += [revert.after_steps()] if seconds else []
    parts.append(f'if [ "$ok" = 1 ]; then\n{afterwards}\nfi\nexit 0')
    return "\n".join(parts) + "\n"


def _step(number: int, step: Step, *, armed: bool) -> str:
    functions: list[str] = []
    forward: list[str] = []
    back: list[str] = []
    for index, change in enumerate(step.changes, 1):
        name = f"s{number}c{index}"
        begun = [f"begun {revert.mark(number, index)}"] if armed else []
        functions.append(_function(name, [*precondition(change), *begun, *_marked(change, f"n={index}")]))
        functions.append(_function(f"{name}u", _restore(change)))
        forward.append(name)
        back.insert(0, f'[ "$n" -lt {index} ] || {name}u || word=halfway')
    folders = dict.fromkeys(folder_of(change.path) for change in step.changes if isinstance(change, FileChange))
    if folders:
        forward.append(f"on_disk {' '.join(map(shlex.quote, folders))}")
    chain = " && ".join(forward) or ":"
    back += [f'[ "$word" = halfway ] || rm -f "$d"/s{number}c*'] if armed else []
    undo = "\n    ".join(back) or ":"
    tick = "\n  tick" if armed else ""
    return f"""{"".join(functions)}
if [ "$ok" = 1 ]; then
  n=0{tick}
  printf '\\n%s:start:{number}==\\n' "$m"
  if {{ {chain}; }} 2>&1; then printf '\\n%s:done:{number}==\\n' "$m"
  else
    ok=0 word=failed
    {{ {undo}
    }} 2>&1
    printf '\\n%s:%s:{number}==\\n' "$m" "$word"
  fi
fi"""


def _function(name: str, lines: Sequence[str]) -> str:
    body = []
    for line in lines:
        first, newline, rest = line.partition("\n")  # a here-document's text stays as it is
        body.append(f"{first} || return 1{newline}{rest}")
    return f"{name}() {{\n" + ("\n".join(body) or ":") + "\n}\n"


def _marked(change: Change, begun: str) -> list[str]:
    """The change's commands with `begun` where from then on there is something to take back: after the first command,
    but before a file is written, because a disk that fills up leaves half of it."""
    lines = list(_run(change))
    writes = isinstance(change, FileChange) and change.new is not None and change.new.target is None
    lines.insert(0 if writes else 1, begun)
    return lines


def _restore(change: Change) -> tuple[str, ...]:
    """Takes the change back, whether it was carried out whole or in part."""
    back = _run(change.inverse())
    if not isinstance(change, FileChange):
        return back
    clear = f"rm -f {shlex.quote(aside(change.path))}"
    if change.old is not None and change.old.target is None:
        (unharmed,) = precondition(change)
        return (clear, f"if {unharmed} >/dev/null; then return 0; fi", *back)
    return (clear, *back)


def _run(change: Change) -> tuple[str, ...]:
    if isinstance(change, FileChange) and change.new is not None:
        folder = shlex.quote(folder_of(change.path))
        make = (f"[ -d {folder} ] || mkdir -p {folder}",)
        if change.new.target is not None:
            return (*make, *commands(change))
        beside = aside(change.path)
        plain = _plain(change.new)
        write = here_document(change.new, shlex.quote(beside)) if plain else exactly(change.new, beside)
        return (*make, *placed(change, change.new, write))
    if isinstance(change, KeepalivedChange):
        return in_one_line(change)
    if isinstance(change, FolderChange) and not change.new:
        return (leave_or_remove(change.path),)
    return commands(change)


def _plain(state: FileState) -> bool:
    """Whether a here-document writes exactly this."""
    text = state.content
    if state.target is not None:
        return True
    return text.endswith("\n") and text.isascii() and HERE_DOC not in text and "\r" not in text and "\0" not in text


def precondition(change: Change) -> tuple[str, ...]:
    """Commands that fail when what the change replaces is no longer what was observed. Adding an address or a link
    that exists fails by itself."""
    match change:
        case SysctlChange(key=key, old=old):
            return (f"same {shlex.quote(proc_path(key))} {shlex.quote(old)}",)
        case FileChange(path=path, old=None) | FolderChange(path=path, old=False):
            return (f"absent {shlex.quote(path)}",)
        case FileChange(path=path, old=FileState(target=str(target))):
            return (f"linked {shlex.quote(path)} {shlex.quote(target)}",)
        case FileChange(path=path, old=FileState(content=content)):
            return (f"still {shlex.quote(path)} {hashlib.sha256(content.encode()).hexdigest()}",)
        case _:
            return ()


_DIGITS = 6
"""Of a step's number; no plan has more steps."""


class LineProgress(Progress):
    """Reads the script's lines as they come; those that are no marker are what the host said."""

    _observing = False

    def feed(self, text: str) -> None:
        """One line of the host's output, without its newline."""
        opening = f"==dsr:{self._nonce}:"
        if self._observing:
            return
        if not (text.startswith(opening) and text.endswith("==")):
            if text.strip():
                self._hear(text)
            return
        word, _, number = text[len(opening) : -2].partition(":")
        if word == "begin":
            self._observing = True
        elif word == "unarmed":
            self.unarmed = True
        elif word == "busy":
            self.refused = "steps of another run" if number == "0" else "taking back what another run did there"
        elif word == "disarmed":
            self._disarm()
        elif word == "armed" and number.isascii() and number.isdigit() and len(number) <= _DIGITS and not self.armed:
            self.armed = True
            self._watch.armed(float(number))
        elif number.isascii() and number.isdigit() and len(number) <= _DIGITS:
            self._reached(word, int(number))
