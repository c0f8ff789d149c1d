"""The command line's entry point: arguments in, an exit code out. Loads a command's module only when it is called."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

import click

from knobctl.agent.places import Places
from knobctl.errors import NotPermitted
from knobctl.target.standing import was_cut_off

COMMANDS = {
    "tune": ("knobctl.commands.run", "Tune the machine for a workload described in words: the whole run."),
    "plan": ("knobctl.commands.run", "Show the plan for a request. Touches nothing."),
    "run": ("knobctl.commands.run", "Run a plan from a JSON file."),
    "verify": ("knobctl.commands.run", "Measure a session's candidate again, with fresh pairs."),
    "apply": ("knobctl.commands.manage", "Make a session's verified change permanent."),
    "rollback": ("knobctl.commands.manage", "Undo the last apply."),
    "restore": ("knobctl.commands.manage", "Put back what an interrupted run left."),
    "status": ("knobctl.commands.manage", "What is applied, does it still hold, how the last run ended."),
    "sessions": ("knobctl.commands.manage", "List the recorded sessions."),
    "report": ("knobctl.commands.manage", "Show the result of a session."),
    "memory": ("knobctl.commands.memory", "What earlier sessions left for later ones: list, carry elsewhere, forget."),
    "knobs": ("knobctl.commands.look", "List the kernel knobs, or explain one."),
    "workloads": ("knobctl.commands.look", "List what can be tuned for, and the benchmarks that are understood."),
    "chat": ("knobctl.commands.chat", "Talk: say what should be fast, ask why, make it permanent."),
    "lab": ("knobctl.commands.lab", "Try searchers on invented machines whose truth is known."),
    "doctor": ("knobctl.commands.look", "Check tools, permissions, other tuners and sources of noise."),
}
"""Name to (module, short help), in the order of ``knobctl --help``."""

LOOKS_ITSELF = {"restore", "status"}
"""Commands that deal with a run that was cut off in their own words; every other one finishes it first."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed, so that ``--help`` is quick."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """At a terminal, no arguments at all begin a conversation; elsewhere they show the help."""
        return super().parse_args(ctx, args or (["chat"] if _at_a_terminal() else []))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command. Words that make no sense are answered in JSON too, when that was asked for."""
        words = list(ctx.args)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if "--json" in words:
                from knobctl.commands.edge import put

                hint = f"Try '{(error.ctx or ctx).command_path} --help'."
                put({"success": False, "error": error.format_message(), "hint": hint, "exit_code": error.exit_code})
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="knobctl")
@click.pass_context
def cli(context: click.Context) -> None:
    """Tune a Linux machine for a workload, prove the gain, leave nothing behind.

    \b
    knobctl tune "optimize this system for a PostgreSQL database"

    Without arguments, at a terminal: a conversation.

    Exit codes: 0 done, improvement verified; 1 error; 2 usage or missing confirmation; 3 finished without a verified
    improvement; 4 safety stop; 5 restore incomplete, look now; 6 preflight refused; 75 another run holds the lock; 77
    not permitted; 130 interrupted. Except after 5, the machine is as it was.
    """
    with contextlib.suppress(NotPermitted):  # whether there is something to finish cannot be told: nothing is said
        if context.invoked_subcommand not in LOOKS_ITSELF and was_cut_off(Places()):
            from knobctl.commands.manage import finish_interrupted_run

            finish_interrupted_run()


def main() -> None:
    """Runs the command line and exits."""
    sys.exit(cli.main(standalone_mode=True, prog_name="knobctl"))


if __name__ == "__main__":
    main()
