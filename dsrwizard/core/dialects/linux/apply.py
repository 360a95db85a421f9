"""The one script that carries out steps on a Linux host, and the reader of its progress.

Each change first makes sure that what it replaces is still what was observed; a step that fails takes back its own
earlier changes, and says so where it could not; the steps after it do not run. When all went well the observing
script follows in the same run, so that seeing the result costs no further round trip.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence

from dsrwizard.core.dialects.commands import HERE_DOC, commands, replaces_link
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.changes import Change, FileChange, FileState, SysctlChange
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step

_PREAMBLE = body(__package__, "apply.sh")


def apply_script(nonce: str, steps: Sequence[Step], afterwards: str) -> str:
    """The script. `afterwards` is the observing script, run only when every step worked."""
    parts = [filled(_PREAMBLE, {"@NONCE@": nonce}), "ok=1"]
    parts += [_step(number, step) for number, step in enumerate(steps, 1)]
    parts.append(f'if [ "$ok" = 1 ]; then\n{afterwards}\nfi\nexit 0')
    return "\n".join(parts) + "\n"


def _step(number: int, step: Step) -> str:
    functions: list[str] = []
    forward: list[str] = []
    back: list[str] = []
    for index, change in enumerate(step.changes, 1):
        name = f"s{number}c{index}"
        functions.append(_function(name, [*precondition(change), *_marked(change, f"n={index}")]))
        functions.append(_function(f"{name}u", _restore(change)))
        forward.append(name)
        back.insert(0, f'[ "$n" -lt {index} ] || {name}u || word=halfway')
    chain = " && ".join(forward) or ":"
    undo = "\n    ".join(back) or ":"
    return f"""{"".join(functions)}
if [ "$ok" = 1 ]; then
  n=0
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
    if isinstance(change, FileChange) and change.old is not None and change.old.target is None:
        (unharmed,) = precondition(change)
        return (f"if {unharmed} >/dev/null; then return 0; fi", *back)
    return back


def _run(change: Change) -> tuple[str, ...]:
    if isinstance(change, FileChange) and change.new is not None:
        folder = shlex.quote(change.path.rpartition("/")[0])
        make = (f"[ -d {folder} ] || mkdir -p {folder}",)
        if _plain(change.new):
            return (*make, *commands(change))
        unlink = (f"rm -f {shlex.quote(change.path)}",) if replaces_link(change) else ()
        return (*make, *unlink, *_exact(change.path, change.new))
    return commands(change)


def _plain(state: FileState) -> bool:
    """Whether a here-document writes exactly this."""
    text = state.content
    if state.target is not None:
        return True
    return text.endswith("\n") and text.isascii() and HERE_DOC not in text and "\r" not in text and "\0" not in text


def _exact(path: str, state: FileState) -> tuple[str, ...]:
    """Any bytes whatever, for restoring what was there."""
    encoded = base64.b64encode(state.content.encode()).decode()
    return (f"printf %s {encoded} | base64 -d > {shlex.quote(path)}", f"chmod {state.mode:o} {shlex.quote(path)}")


def precondition(change: Change) -> tuple[str, ...]:
    """Commands that fail when what the change replaces is no longer what was observed. Adding an address or a link
    that exists fails by itself."""
    match change:
        case SysctlChange(key=key, old=old):
            path = "/proc/sys/" + key.translate(str.maketrans("./", "/."))
            return (f"same {shlex.quote(path)} {shlex.quote(old)}",)
        case FileChange(path=path, old=None):
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
        elif number.isascii() and number.isdigit() and len(number) <= _DIGITS:
            self._reached(word, int(number))
