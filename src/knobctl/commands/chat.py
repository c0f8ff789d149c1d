"""``chat``: a conversation at a terminal. Also what plain ``knobctl`` does there."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from knobctl import planning
from knobctl.chat.conversation import Conversation
from knobctl.chat.line import History, Interrupts, LineTerminal
from knobctl.commands import options
from knobctl.commands.edge import guarded, interactive, say
from knobctl.commands.run import settings_of
from knobctl.errors import StoreError, UsageError
from knobctl.report.narration import Narrator
from knobctl.report.terminal import LineView
from knobctl.state import state_folder
from knobctl.store import Store


@click.command("chat")
@options.strategist
@options.measuring
@options.target
@options.workdir
@options.verbose
@guarded
def chat_command(**given: Any) -> int:
    """Talk: say what should be fast, ask why, make it permanent.

    Every plan is shown before it runs, and nothing is touched without your own yes. Ctrl-C stops what is going on and
    restores the machine; Ctrl-D or quit leaves.
    """
    if not interactive():
        raise UsageError("a conversation needs a terminal", 'For one run without one: knobctl tune "REQUEST".')
    strategist = given["strategist"]
    warn = LineView(Narrator(), sys.stderr)
    model = planning.open_strategist_model(strategist, given["model"], os.environ, warn)
    target = options.open_target(given["target_name"], given["workdir"], given["seed"])
    store = _store()
    try:
        with Interrupts() as interrupts:
            history = History(state_folder() / "chat-history")
            terminal = LineTerminal(history, interrupts, verbose=given["verbose"])
            required = strategist == "llm"
            Conversation(target, store, model, settings_of(given), terminal, required=required).hold()
    finally:
        target.close()
        if store is not None:
            store.close()
    return 0


def _store() -> Store | None:
    try:
        return Store()
    except StoreError as error:
        say(f"{error.message}; this conversation is not recorded, and nothing can be run in it")
        if error.hint:
            say(f"  hint: {error.hint}")
        return None
