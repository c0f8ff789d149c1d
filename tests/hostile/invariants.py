"""What holds for every case, wherever its text comes from: one function per promise."""

from __future__ import annotations

import shlex
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from knobctl.knobs import Catalogue
from knobctl.masking import mask_secrets
from knobctl.plan import TuningPlan
from knobctl.store import ConversationRecord
from knobctl.target.simulated import FACTS
from knobctl.workload.registry import adapter_for
from tests.hostile.case import KEY
from tests.hostile.watching import Seen
from tests.hostile.world import Outcome, World
from tests.llm.scripted_server import Call, Reply, Say, Status

SECONDS = 60.0
"""A case is over long before; a hanging one never is."""

MOST_STEPS = 80
MOST_OF_A_STEP = 20_000
MOST_BYTES = 4_000_000
_RAW = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_TOOLS = ("pgbench", "ab", "wrk", "sysbench", "fio")
_PATTERN_MATCHER = (sys.executable, "-I", "-S", "-c")


def nothing_ran(seen: Seen, *, matcher: bool = False) -> None:
    """No program was started; the process that matches a pattern of the user's own is none that text can choose."""
    assert [argv for argv in seen.programs if not (matcher and argv[:4] == _PATTERN_MATCHER)] == []


def nothing_was_written(seen: Seen, world: World, before: Mapping[str, bytes]) -> None:
    """Nothing changed outside of the state folder: no kernel file, no file of the user, no canary."""
    state = str(world.state)
    assert [path for path in seen.changed if path != state and not path.startswith(f"{state}/")] == []
    assert world.files() == before
    assert not world.canary.exists()


def only_the_model_was_called(seen: Seen, port: int) -> None:
    """No other address, whatever a reply or a request names."""
    assert [address for address in seen.called if address != ("127.0.0.1", port)] == []


def is_readable(words: str) -> None:
    """A terminal can be shown it: no control character but newline and tab, nothing invisible, no direction mark."""
    raw = sorted({f"U+{ord(each):04X}" for each in words if each not in "\n\t" and unicodedata.category(each) in _RAW})
    assert raw == [], words[:500]


def is_plain(outcome: Outcome) -> None:
    """Both streams are UTF-8 that a terminal can be shown, do not hold the key, and are of bounded length."""
    for stream in (outcome.out, outcome.err):
        words = stream.decode("utf-8")
        is_readable(words)
        assert KEY not in words
        assert len(words) < 200_000


def ends_well(outcome: Outcome) -> None:
    """It ended in time, with a result, or with one error and what to do about it."""
    assert outcome.seconds < SECONDS
    words = outcome.err.decode("utf-8")
    assert "Traceback" not in words
    assert "unexpected" not in words
    assert outcome.code in (0, 1, 2, 3)
    if outcome.code in (1, 2):
        said = [line for line in words.splitlines() if line.startswith("knobctl: ")]
        assert len(said) == 1, words
        assert 10 < len(said[0]) < 2000
        assert "  hint: " in words
        assert outcome.document["success"] is False
        assert outcome.document["hint"]


def is_on_record(conversation: ConversationRecord, served: Sequence[tuple[str, Reply]]) -> None:
    """What was asked, said and refused can be read again; keys are masked, and nothing is endless."""
    assert conversation.status == "closed"
    assert conversation.outcome
    assert 0 < len(conversation.steps) <= MOST_STEPS
    texts = [step.text for step in conversation.steps]
    assert max(map(len, texts)) <= MOST_OF_A_STEP
    kinds = [step.step for step in conversation.steps]
    assert "request" in kinds
    stopped = any(step.step == "rejected" and "stopped" in step.text for step in conversation.steps)
    for _phase, reply in served:
        if isinstance(reply, Status):
            assert "failed" in kinds
        elif isinstance(reply, Say) and len(reply.text) < 1_000_000:
            said = mask_secrets(reply.text.strip().replace(KEY, "[the key]"))[:60]
            said = said.encode("utf-8", "replace").decode()
            assert any(said in text for text in texts), said
        elif isinstance(reply, Call) and not stopped:
            assert any(step.step == "call" and step.name == reply.tool[:80] for step in conversation.steps)


def holds_no_key(database: Path) -> None:
    """The record as it lies on the disk is of bounded size, and nobody finds the key in it."""
    for file in database.parent.glob(f"{database.name}*"):
        content = file.read_bytes()
        assert KEY.encode() not in content
        assert len(content) < MOST_BYTES


def is_safe(plan: TuningPlan, catalogue: Catalogue, own_command: str = "") -> None:
    """Only safe knobs of the catalogue inside their ranges, a known benchmark or the user's own command, few trials."""
    for spec in plan.action_space:
        knob = catalogue.find(spec.param)
        assert knob is not None, spec.param
        assert knob.risk == "safe", spec.param
        assert spec.param.isascii()
        if spec.values:
            assert all(knob.allows(value, FACTS.quantities) for value in spec.values), spec
        else:
            low, high = knob.range_on(FACTS.quantities)
            assert low <= (low if spec.min is None else spec.min) <= (high if spec.max is None else spec.max) <= high
    names = {spec.param for spec in plan.action_space}
    assert all(set(each.configuration) <= names for each in plan.suggestions)
    argv = shlex.split(plan.benchmark_command)
    if plan.benchmark_command != own_command:
        assert argv[0] in _TOOLS
        assert adapter_for(argv).problems(argv) == []
        assert plan.metric_pattern is None
    assert plan.reset_command is None
    assert plan.training_config.total_timesteps <= 100
    is_readable(_texts(plan))


def _texts(plan: TuningPlan) -> str:
    """Every text of a plan that people are shown."""
    reasons = [each.reason for each in plan.suggestions]
    descriptions = [each.description for each in plan.action_space]
    return "\n".join([plan.workload_name, plan.benchmark_command, *descriptions, *reasons])
