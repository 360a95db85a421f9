"""`watch --json` and `metrics` for days: what they write to goes away, is full, or stands still."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.fakes.started import started
from tests.unit.test_cli import Shell, shell
from tests.unit.test_outlets import CHILD

__all__ = ["shell"]


@contextmanager
def running(
    folder: Path, *arguments: str, ignored: tuple[signal.Signals, ...] = (), **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A command over a farm in its own memory."""
    command = [sys.executable, "-c", CHILD, str(folder / "child"), *arguments]
    with subprocess.Popen(
        started(command, ignored), stdin=subprocess.PIPE, env=os.environ | {"XDG_STATE_HOME": str(folder)}, **streams
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def words(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.read().decode()


def sees_a_fault(process: subprocess.Popen[bytes], folder: Path) -> None:
    """It watches: a fault that comes is in the timeline."""
    assert process.stdin is not None
    process.stdin.write(b"break\n")
    process.stdin.flush()
    timeline = folder / "child" / "events" / "shop.jsonl"
    for _ in range(600):
        if process.poll() is not None or (timeline.exists() and '"vip-dead"' in timeline.read_text()):
            break
        threading.Event().wait(0.1)
    assert process.poll() is None
    assert '"vip-dead"' in timeline.read_text()


@pytest.mark.parametrize("arguments", [("watch", "FILE", "--json"), ("status", "FILE"), ("explain",), ("--help",)])
def test_a_full_disk_is_told_in_words(tmp_path: Path, shell: Shell, arguments: tuple[str, ...]) -> None:
    command = [str(shell.file) if word == "FILE" else word for word in arguments]
    with (
        Path("/dev/full").open("wb") as full,
        running(tmp_path, *command, stdout=full, stderr=subprocess.PIPE) as process,
    ):
        said = words(process.stderr)
        assert process.wait(60) == 3
    assert os.strerror(errno.ENOSPC) in said
    assert "Standard output" in said
    assert "Traceback" not in said
    assert "dsrwizard itself failed" not in said


def test_a_terminal_that_is_gone_ends_the_watch_also_where_its_signal_is_ignored(tmp_path: Path, shell: Shell) -> None:
    master, slave = os.openpty()
    with running(
        tmp_path, "watch", str(shell.file), "--json", ignored=(signal.SIGHUP,), stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        os.close(slave)
        assert b'"snapshot"' in os.read(master, 65_536)
        os.close(master)
        assert process.wait(30) == 0


def test_a_reader_that_stands_still_does_not_keep_it_from_ending(tmp_path: Path, shell: Shell) -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"\n" * size)  # nothing more fits
    with running(tmp_path, "watch", str(shell.file), "--json", stdout=writing, stderr=subprocess.PIPE) as process:
        sees_a_fault(process, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert words(process.stderr) == ""
    os.close(writing)
    assert os.read(reading, 2 * size) == b"\n" * size, "no half of a line"
    os.close(reading)


def test_metrics_are_served_though_standard_error_is_gone(tmp_path: Path, shell: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with running(
        tmp_path, "metrics", str(shell.file), "--listen", "127.0.0.1:0", stdout=writing, stderr=writing
    ) as one:
        os.close(writing)
        sees_a_fault(one, tmp_path)
        one.send_signal(signal.SIGTERM)
        assert one.wait(30) == 0
