"""What a bundle takes from the record of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from knobctl.errors import UsageError
from knobctl.events import CandidateChosen, MachineRestored, NoiseMeasured
from knobctl.evidence import Bundle, bundle_of
from knobctl.store import Store
from tests.commands.plans import COMMANDS, plan


def test_it_says_how_the_session_was_run(improved: Bundle) -> None:
    session = improved.session
    assert (session.searcher, session.budget, session.seed) == ("random", 6, 5)
    assert (session.request, session.target, session.simulated) == ("make it fast", "simulated:file-write", True)
    assert session.commands == (COMMANDS["file-write"],)
    assert session.settings["given"]["pairs"] == 8
    assert {knob.name for knob in improved.result.knobs} <= set(session.settings["found"])


def test_everything_that_the_verdict_rests_on_is_in_it(improved: Bundle) -> None:
    assert len(improved.trials) == improved.result.trials
    assert len(improved.pairs) == improved.result.pairs
    assert {NoiseMeasured, CandidateChosen, MachineRestored} <= {type(event) for event in improved.events}
    assert improved.facts.simulated


def test_a_session_without_a_result_proves_nothing(improved: Bundle, tmp_path: Path) -> None:
    with Store(tmp_path / "knobctl.db") as store:
        session = store.begin(
            request="", plan=plan("null"), facts=improved.facts, target="local", simulated=False, searcher="ppo",
            budget=8, seed=1,
        )  # fmt: skip
        store.end(session, "interrupted")
        with pytest.raises(UsageError) as caught:
            bundle_of(store.session(session), store)
    assert caught.value.message == (f"session {session} is interrupted and has no result, so there is nothing to prove")
    assert caught.value.hint == "Choose a finished one from `knobctl sessions`."
