"""Makes the man page and the completions for bash, zsh and fish from the commands: `make manual`. They go to share/.

The wheel installs share/ as it is, so each file stands where its reader looks: below the prefix of the installation.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from dsrwizard import __version__
from dsrwizard.cli.front import EXAMPLES, EXIT_CODES
from dsrwizard.cli.main import commands

SHARE = Path(__file__).parents[1] / "share"
NAME = "dsrwizard"
COMPLETIONS = {
    "bash": f"bash-completion/completions/{NAME}",
    "zsh": f"zsh/site-functions/_{NAME}",
    "fish": f"fish/vendor_completions.d/{NAME}.fish",
}
MAN_PAGE = f"man/man1/{NAME}.1"

_ROFF = {"\\": r"\e", "-": r"\-", "~": r"\(ti", "^": r"\(ha", "'": r"\(aq"}

ENVIRONMENT = [
    ("XDG_STATE_HOME", "Folder below which dsrwizard keeps its state; without it ~/.local/state."),
    ("DSRWIZARD_METRICS_TOKEN", "Bearer token of `dsrwizard metrics`, where no --token-file is given."),
    ("SSH_AUTH_SOCK", "The SSH agent that is asked for keys."),
    ("NO_COLOR", "Set to anything: no colours."),
    ("TERM", "Where it is dumb, the wizard and the live pane do not start."),
    ("LC_ALL, LC_CTYPE, LANG", "Where they say C or POSIX, the screens use ASCII signs only."),
    ("DSRWIZARD_LAB", "Set inside the lab: its deployment file."),
]
FILES = [
    ("FILE", "The deployment file, TOML. It holds no secrets."),
    ("~/.local/state/dsrwizard/journal/", "One journal for each deployment: what teardown works from. Keep it."),
    ("~/.local/state/dsrwizard/deployments/", "The file of each deployment that the wizard applied."),
    ("~/.local/state/dsrwizard/events/", "The timelines, at most 10 MB for each deployment."),
    ("~/.local/state/dsrwizard/known_certificates", "Certificates of WinRM hosts that were accepted."),
    ("~/.local/state/dsrwizard/crash.txt", "Details where dsrwizard itself failed."),
    ("~/.ssh/config, ~/.ssh/known_hosts", "Read as ssh reads them. An accepted host key is added to known_hosts."),
]


def roff(text: str) -> str:
    """Text as roff prints it literally; `words` between backticks are bold."""
    plain = "".join(_ROFF.get(letter, letter) for letter in text)
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", plain)


def line(text: str) -> str:
    """One line of text; a dot in front would be a request."""
    words = roff(text)
    return rf"\&{words}" if words.startswith(".") else words


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring, each on one line with `.PP` between them."""
    found = [line(" ".join(each.split())) for each in inspect.cleandoc(text).split("\n\n")]
    return [part for each in found for part in (".PP", each)][1:]


def listed(rows: list[tuple[str, str]]) -> list[str]:
    return [part for term, text in rows for part in (".TP", rf"\fB{roff(term)}\fR", line(text))]


def options(command: click.Command, context: click.Context) -> list[str]:
    """Every option as `--help` has it; --help itself once, for all commands."""
    given = command.get_params(context) if context.parent is None else command.params
    records = [each.get_help_record(context) for each in given if isinstance(each, click.Option)]
    return listed([(record[0], record[1]) for record in records if record])


def synopsis(command: click.Command, context: click.Context) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    return rf"\fB{roff(context.command_path)}\fR {roff(pieces)}"


def man_page() -> str:
    """dsrwizard(1)."""
    top = click.Context(commands, info_name=NAME, help_option_names=["-h", "--help"])
    first, *rest = inspect.cleandoc(commands.help or "").split("\n\n")
    parts = [
        f'.TH {NAME.upper()} 1 "" "{NAME} {__version__}" "User Commands"',
        ".nh", ".SH NAME", rf"{NAME} \- set up, prove and watch Layer\-4 Direct Server Return (LVS\-DR)",
        ".SH SYNOPSIS", synopsis(commands, top),
        ".SH DESCRIPTION", *paragraphs("\n\n".join([first, *rest])),
        ".SH OPTIONS", line("Every command has --help, too."), *options(commands, top),
        ".SH COMMANDS",
    ]  # fmt: skip
    for name in sorted(commands.commands):
        command = commands.commands[name]
        inner = click.Context(command, info_name=name, parent=top)
        parts += [f".SS {name}", synopsis(command, inner), ".PP", *paragraphs(command.help or "")]
        parts += options(command, inner)
    parts += [".SH EXIT STATUS", *listed([(str(code), words) for code, words in EXIT_CODES])]
    parts += [".SH ENVIRONMENT", *listed(ENVIRONMENT)]
    parts += [".SH FILES", *listed(FILES), ".SH EXAMPLES"]
    for about_it, shown in EXAMPLES:
        parts += [".PP", line(about_it), ".PP", ".RS 4", ".nf", *map(line, shown), ".fi", ".RE"]
    parts += [".SH SEE ALSO", r"\fBip\fR(8), \fBipvsadm\fR(8), \fBssh_config\fR(5)"]
    return "\n".join(parts) + "\n"


def completion(shell: str) -> str:
    """What the shell reads: it asks the program itself which words there are."""
    cls = get_completion_class(shell)
    assert cls is not None
    return cls(commands, {}, NAME, f"_{NAME.upper()}_COMPLETE").source().strip() + "\n"


def made() -> dict[str, str]:
    """Every generated file below share/, by its path there."""
    return {MAN_PAGE: man_page(), **{path: completion(shell) for shell, path in COMPLETIONS.items()}}


def main() -> None:
    for path, text in made().items():
        (SHARE / path).parent.mkdir(parents=True, exist_ok=True)
        (SHARE / path).write_text(text)
        print(f"share/{path}")


if __name__ == "__main__":
    main()
