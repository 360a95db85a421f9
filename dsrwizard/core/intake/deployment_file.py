"""The deployment file (docs/deployment-file.md): reads TOML as a `Deployment` and writes it back.

Any problem with a file, from its path to its meaning, raises `FileRefused`.
"""

from __future__ import annotations

import errno
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from dsrwizard import files
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.intake.toml_lines import key_lines, line_of, too_deep, too_much
from dsrwizard.core.intake.validate import problems_of, with_plain_addresses
from dsrwizard.core.model.deployment import SHARED_SCHEDULER, Deployment, Service
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.foreign import harmless

MAX_BYTES = 1_000_000
"""Enough for ten thousand servers; a bigger file is not a deployment file."""
PIPE_SECONDS = 10.0
"""The longest wait for a silent pipe, in seconds."""
_OTHERS = 8
_SMALLEST = (
    "It needs a name, [director], [[vips]] with [[vips.services]], and [[servers]]; Run `dsrwizard` without a file "
    "to enter them and have the file written."
)
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=\s*(.*)$")
_HEADER = "# dsrwizard deployment. Passwords and passphrases never go in here: dsrwizard asks for them.\n"


class FileRefused(UsageError):
    """The error for an invalid deployment file. `problems` has all problems found, in order, with lines where known."""

    def __init__(self, what: str, why: str = "", next_: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(what, why, next_)
        self.problems = problems


def load(path: Path) -> Deployment:
    """Reads a deployment file. Raises FileRefused when it cannot be read or is not a valid deployment."""
    name = str(path)
    try:
        raw = files.piped(path, MAX_BYTES, PIPE_SECONDS)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(name, error) from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileRefused(f"{_safe(name)} is UTF-16; it must be UTF-8.", "", "Save it as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileRefused(
            f"{_safe(name)}, line {line}: this is not UTF-8 text.",
            "" if b"\0" not in raw else "It looks like a binary file.",
            "Save it as UTF-8, or choose another file.",
        ) from None
    return loads(text, name)


def loads(text: str, name: str = "FILE") -> Deployment:
    """The deployment in a text; `name` is the file's in messages. Addresses come out as the kernel writes them.

    Raises FileRefused: first problem and what to write instead, the places of the others, all of them in `problems`.
    """
    if len(text) > MAX_BYTES:
        raise _too_big(name)
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    data = _toml(text, name)
    if not data:
        raise FileRefused(f"{_safe(name)} is empty.", "", _SMALLEST)
    from dsrwizard.core.intake.structure import structure_problems  # only files need it, not the wizard

    problems = structure_problems(data)
    if problems:
        raise _refused(text, name, problems)
    _usual_schedulers(data)
    try:
        deployment = msgspec.convert(data, Deployment)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at ")
        raise _refused(text, name, [Problem(key=key.strip("`").removeprefix("$."), message=f"{message}.")]) from None
    problems = problems_of(deployment)
    if problems:
        raise _refused(text, name, problems)
    return with_plain_addresses(deployment)


def dumps(deployment: Deployment) -> str:
    """The deployment as the text of a file, without defaults: `loads(dumps(d)) == d` for every valid `d`."""
    import tomli_w

    def table(header: str, value: dict[str, object]) -> str:
        return f"\n{header}\n{tomli_w.dumps(value)}"

    director = _flat(deployment.director)
    tables = {key: director.pop(key) for key in ("vrrp", "bgp") if key in director}
    director.pop("peers", None)
    parts = [_HEADER, tomli_w.dumps({"name": deployment.name}), table("[director]", director)]
    parts += [table("[[director.peers]]", _flat(peer)) for peer in deployment.director.peers]
    parts += [table(f"[director.{key}]", value) for key, value in tables.items() if isinstance(value, dict)]
    if deployment.balancer is not None:
        parts.append(table("[balancer]", _flat(deployment.balancer)))
    for vip in deployment.vips:
        parts.append(table("[[vips]]", {"address": vip.address}))
        parts += [f"[[vips.services]]\n{tomli_w.dumps(_service(deployment, service))}" for service in vip.services]
    parts += [table("[[servers]]", _flat(server)) for server in deployment.servers]
    if deployment.client is not None:
        parts.append(table("[client]", _flat(deployment.client)))
    return "".join(parts)


def _usual_schedulers(data: dict[str, Any]) -> None:
    """Several directors: a service without a scheduler gets the one by which all of them choose the same server for a
    client. The structure of the data has been checked."""
    if data["director"].get("peers") or data["director"].get("bgp"):
        for vip in data["vips"]:
            for service in vip["services"]:
                service.setdefault("scheduler", SHARED_SCHEDULER)


def _service(deployment: Deployment, service: Service) -> dict[str, object]:
    given = _flat(service)
    several = deployment.director.peers or deployment.director.bgp
    return {"scheduler": service.scheduler, **given} if several else given


def _flat(value: msgspec.Struct) -> dict[str, object]:
    flat: dict[str, object] = msgspec.to_builtins(value)
    return flat


def _too_big(name: str) -> FileRefused:
    most = f"The limit is {MAX_BYTES // 1_000_000} MB."
    return FileRefused(f"{_safe(name)} is too large for a deployment file.", most, "Choose another file.")


def _toml(text: str, name: str) -> dict[str, object]:
    problem = too_much(text)
    if problem is not None:
        raise _at_line(name, problem)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _at_line(name, too_deep(text)) from None
    except ValueError as error:  # TOMLDecodeError, and numbers with thousands of digits
        raise _syntax(text, name, str(error)) from None


def _at_line(name: str, problem: Problem) -> FileRefused:
    return FileRefused(f"{_safe(name)}, {problem.place}: {problem.message}", "", problem.hint, (problem,))


def _syntax(text: str, name: str, message: str) -> FileRefused:
    position = _POSITION.search(message)
    line = int(position[1]) if position and position[1] else None
    where = f", line {line}, column {position[2]}" if line and position else ""
    if position:
        message = message[: position.start()]
    lines = text.split("\n")
    fault = _syntax_fault(message, lines[line - 1] if line else "", end=bool(position) and line is None)
    return FileRefused(
        f"{_safe(name)}{where}: {fault.message}",
        "",
        fault.hint,
        (Problem(key="", message=fault.message, hint=fault.hint, line=line),),
    )


def _syntax_fault(message: str, line: str, *, end: bool) -> Refusal:
    """A syntax error in words. Values are never quoted, because the line may contain a secret."""
    if "twice" in message or "Cannot overwrite" in message or "immutable" in message or "Cannot mutate" in message:
        table = re.match(r"\s*\[\[?\s*(servers|vips)\s*\]", line)
        if table:
            return Refusal(
                f"The table [{table[1]}] appears more than once.",
                f"Write [[{table[1]}]] with double brackets for every entry.",
            )
        return Refusal("This key or table appears twice.", "Keep one of them.")
    if end:
        return Refusal("The file ends in the middle of a value.", "Close the quotes or brackets of its last value.")
    if "Exceeds the limit" in message:
        return Refusal("A number has thousands of digits.", "Write an ordinary whole number.")
    if not line.replace("\t", " ").rstrip("\r").isprintable():
        return Refusal("The line contains a character that is not allowed.", "Type the line again.")
    assignment = _ASSIGNMENT.match(line)
    if assignment and not assignment[2].strip():
        return Refusal("There is no value after “=”.", f'Write {shown(assignment[1])[1:-1]} = "…".')
    if assignment and not re.match(r"[\"'\[{]", assignment[2]):
        return Refusal(
            "The value is neither a quoted text nor a number.",
            f'Texts and addresses need quotes: {shown(assignment[1])[1:-1]} = "…".',
        )
    if re.match(r"\s*[A-Za-z0-9_.-]+\s*:", line):
        return Refusal("This is not TOML.", 'Write key = "value" instead of key: value.')
    detail = re.sub(r"['\"].*['\"]|\(.*\)", "…", message)
    return Refusal(f"This is not valid TOML: {shown(detail)[1:-1]}.", 'Write key = "value", [table] or [[table]].')


def _refused(text: str, name: str, problems: list[Problem]) -> FileRefused:
    lines = key_lines(text)
    located = tuple(
        Problem(key=problem.key, message=problem.message, hint=problem.hint, line=line_of(problem.key, lines))
        for problem in problems
    )
    first, others = located[0], located[1:]
    more = ""
    if others:
        places = list(dict.fromkeys(problem.place for problem in others))
        more = f"{len(others)} more problems: {'; '.join(places[:_OTHERS])}{'; …' if len(places) > _OTHERS else ''}."
    place = f", {first.place}" if first.place else ""
    return FileRefused(f"{_safe(name)}{place}: {first.message}", more, first.hint, located)


def _unreadable(name: str, error: Exception) -> FileRefused:
    shown_name = _safe(name)
    match error:
        case FileNotFoundError():
            return FileRefused(
                f"{shown_name} does not exist.", "", "Check the path, or run `dsrwizard` to write a new one."
            )
        case IsADirectoryError():
            return FileRefused(f"{shown_name} is a directory.", "", "Give the path of the deployment file in it.")
        case OSError(errno=errno.EFBIG):
            return _too_big(name)
        case OSError(errno=errno.EINVAL):
            return FileRefused(
                f"{shown_name} is neither a file nor a pipe.", "Reading a device might never end.",
                "Give the path of the deployment file.",
            )  # fmt: skip
        case PermissionError():
            return FileRefused(f"This user is not allowed to read {shown_name}.", "", "Make it readable for your user.")
        case OSError(strerror=reason) if reason:
            return FileRefused(f"{shown_name} cannot be read.", f"The system reports: {reason}.", "Check the path.")
        case _:
            return FileRefused(f"{shown_name} is not a valid path.", "", "Check the path.")


def _safe(name: str) -> str:
    """The file's name for a message: as given, unless it contains control characters."""
    return name if harmless(name) and name.isprintable() and len(name) < 300 else shown(name)[1:-1]
