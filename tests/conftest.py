"""What Hypothesis remembers lies in the environment, so that a checkout may be read-only. Tests that run scripts in
PowerShell are left out where there is none, and the last lines say so; with DSRWIZARD_PWSH_NEEDED=1 the run ends before
its first test."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.windows.pwsh.found import MISSING, NoPowerShell, asked_in_vain, pwsh

settings.register_profile("any-machine", deadline=None)  # a busy one takes its time
settings.load_profile("any-machine")

_LAB_ENDS = 0.8
"""The part of the modules among which those of the lab are spread: a long one last would be waited for alone."""
_LONGEST = "tests/lab/test_deploy.py"
"""The module of the lab that takes longest, some minutes in one worker: it begins first."""
set_hypothesis_home_dir(Path(sys.prefix) / ".hypothesis")


def pytest_configure() -> None:
    if os.environ.get("DSRWIZARD_PWSH_NEEDED") == "1" and pwsh() is None:
        raise pytest.UsageError(
            f"{MISSING} DSRWIZARD_PWSH_NEEDED=1 asks for every test, and those of Windows run in PowerShell. Install "
            "pwsh 7.4 or later on the path, or name it in DSRWIZARD_PWSH: see CONTRIBUTING.md."
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the modules of the lab among the others, the longest first: their tests wait for guests, which takes time
    and little of the processors."""
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    lab = [name for name in modules if name.startswith("tests/lab/")]
    lab.sort(key=lambda name: (name != _LONGEST, all(one.get_closest_marker("long") is None for one in modules[name])))
    others = [name for name in modules if name not in lab]
    place = {name: _LAB_ENDS * number / len(lab) for number, name in enumerate(lab)}
    place |= {name: number / len(others) for number, name in enumerate(others)}
    items[:] = [item for name in sorted(modules, key=place.__getitem__) for item in modules[name]]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and what they import stay to the end. Garbage is not looked for among them, neither while they
    are collected nor after every screen."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Workers beside each other are machines of their own: a run in one does not refuse a run in another."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dsrwizard.cli.wiring.SHARED", tmp_path_factory.mktemp("lock"))
        yield


@pytest.fixture(autouse=True)
def own_environment() -> Generator[None]:
    """What a test, or the program in it, sets in the environment ends with the test."""
    with mock.patch.dict(os.environ):
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    asked_in_vain.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that asked for PowerShell in vain, in whatever thread, is left out and not failed."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if report.failed and pwsh() is None and (asked_in_vain.is_set() or _caused_by_it(error)):
        report.outcome = "skipped"
        report.longrepr = ("tests", 0, MISSING)  # one place for all: pytest tells of them in one line
    return report


def _caused_by_it(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, NoPowerShell):
        error = error.__cause__ or error.__context__
    return error is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    orders = [value for report in terminalreporter.stats.get("passed", []) for name, value in report.user_properties
              if name == "orders"]  # fmt: skip
    wrong = sum("test_one_run_at_a_time" in report.nodeid for report in terminalreporter.stats.get("failed", []))
    if orders:
        terminalreporter.write_line(f"Concurrency orders tried / right: {len(orders) + wrong} / {len(orders)}")
    left = [report for report in terminalreporter.stats.get("skipped", []) if MISSING in str(report.longrepr)]
    program = pwsh()
    if left:
        terminalreporter.write_line(
            f"{len(left)} tests were left out: they run scripts in PowerShell, and there is none. Install pwsh 7.4 or "
            "later on the path, or name it in DSRWIZARD_PWSH: see CONTRIBUTING.md."
        )
    elif program is not None:
        terminalreporter.write_line(f"PowerShell for the scripts of Windows: {program}")
