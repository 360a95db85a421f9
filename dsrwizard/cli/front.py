"""The front page of the command line: commands in groups, examples, and exit codes in plain words."""

from __future__ import annotations

import inspect
import shlex

import click

from dsrwizard.core.model.errors import UsageError

GROUPS = (
    ("Set up", ("adopt", "plan", "apply", "teardown")),
    ("Check and fix", ("verify", "mend", "explain")),
    ("Watch", ("status", "watch", "events", "metrics", "guard")),
    ("Servers set up by hand, and Windows", ("runbook", "prepare", "rehearse")),
    ("Several directors, and load balancers of the trade", ("answer", "balancer")),
    ("After a reboot or a loss", ("restore", "forget")),
    ("Try it on this machine", ("lab",)),
)
EXAMPLES = (
    ("The wizard:", ("dsrwizard",)),
    (
        "Look, change, check, watch, and undo it all:",
        (
            "dsrwizard plan shop.toml", "dsrwizard apply shop.toml", "dsrwizard verify shop.toml",
            "dsrwizard watch shop.toml", "dsrwizard teardown shop.toml",
        ),
    ),
    ("A script asks for JSON:", ("dsrwizard verify shop.toml --json | jq .verdict",)),
    ("A complete DSR network on this machine, with a fault in it:", ("dsrwizard lab --fault vip-missing@web2",)),
)  # fmt: skip
EXIT_CODES = (
    (0, "Success."),
    (1, "A check failed, or a host failed."),
    (2, "Usage or file error. Nothing was checked or changed."),
    (
        3,
        "Could not check, or stopped early: no privilege, no IPVS, interrupted, another run is under way, "
        "or nobody reads the output.",
    ),
)


class FrontPage(click.Group):
    """The group of all commands; its help has them by purpose, with their first sentence whole."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name.endswith(".toml") and self.get_command(ctx, name) is None:
            file = shlex.quote(name)
            raise UsageError(
                f"{name} is a file, and a command comes before it.",
                "",
                f"Watch it: dsrwizard watch {file}. See what apply would change: dsrwizard plan {file}. "
                "All commands: dsrwizard --help.",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        for title, names in GROUPS:
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), sentence(self.commands[name])) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for about, lines in EXAMPLES:
                formatter.write_text(about)
                formatter.indent()
                for line in lines:
                    formatter.write(f"{' ' * formatter.current_indent}{line}\n")
                formatter.dedent()
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), words) for code, words in EXIT_CODES])
        with formatter.section("More"):
            formatter.write_dl(
                [
                    ("dsrwizard COMMAND --help", "every option of a command"),
                    ("man dsrwizard", "all of it on one page"),
                    ("TAB", "completes commands, options and causes in bash, zsh and fish"),
                ]
            )


def sentence(command: click.Command) -> str:
    """The first sentence of a command's help, without its full stop."""
    first = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
    return first.split(". ")[0].removesuffix(".")
