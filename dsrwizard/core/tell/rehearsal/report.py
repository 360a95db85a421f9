"""The report of a rehearsal as text that can be pasted into a bug report. It names neither the user
nor the server's addresses; what a failure quotes may name the server."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.tell.rehearsal.record import Expectation, Rehearsal

_WORDS = {"as-expected": "as expected", "differs": "DIFFERS", "unknown": "not known"}
_STAGES = {
    "look": "The look",
    "set-up": "After the set-up",
    "restart": "After the restart",
    "undo": "After the undo",
}


def report(made: Rehearsal) -> str:
    """The text, in lines."""
    return "\n".join(_lines(made)) + "\n"


def _lines(made: Rehearsal) -> Iterator[str]:
    windows = made.before.windows
    yield f"Rehearsal of dsrwizard {made.dsrwizard} on a Windows server"
    if windows is not None:
        yield f"{windows.product or 'Windows'} {windows.version}, PowerShell {windows.powershell}, {windows.bits} bits"
        until = "R2" if windows.dialect == "2008" else "later"
        yield f"Login: {made.login}; scripts for Windows Server {windows.dialect} and {until}"
    yield "Seconds: " + ", ".join(f"{timing.what} {timing.seconds:.1f}" for timing in made.timings)
    for stage, title in _STAGES.items():
        found = [finding for finding in made.findings if finding.stage == stage]
        if found:
            yield ""
            yield title
            yield from (_line(finding) for finding in found)
    for problem in made.problems:
        yield ""
        yield f"Failure: {problem}"
    yield ""
    yield _sum(made)


def _line(finding: Expectation) -> str:
    head = f"  {_WORDS[finding.agreement]:<12} {finding.expected}"
    told = finding.seen and (finding.agreement != "as-expected" or finding.stage == "look" or finding.id == "steps")
    return f"{head}\n               seen: {finding.seen}" if told else head


def _sum(made: Rehearsal) -> str:
    count = {word: sum(one.agreement == word for one in made.findings) for word in _WORDS}
    text = f"{count['as-expected']} as expected, {count['differs']} different, {count['unknown']} not known. "
    if made.set_up is None and not made.complete:
        return text + "Nothing was changed."
    if made.complete:
        return text + "Everything was undone."
    return text + "Something of it is still on the server."
