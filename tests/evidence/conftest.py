"""Sessions of several kinds on machines whose truth is known, each as its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knobctl import pipeline
from knobctl.events import Event, PhaseStarted
from knobctl.evidence import Bundle, bundle_of, write_bundle
from knobctl.knobs import Value
from knobctl.plan import TuningPlan, plan_from
from knobctl.safety import Consent
from knobctl.settings import Settings
from knobctl.store import Store
from knobctl.target.simulated import SimulatedTarget, simulated_target
from tests.commands.plans import document, plan
from tests.env.invented import Hill, number, plan_for

GUARDED = {**document("postgresql"), "guardrails": [{"metric": "latency_average_ms", "tolerance_percent": 5}]}
SETTINGS = Settings(searcher="random", seed=5, budget=6, pairs=8)


@dataclass
class Changing:
    """A machine on which more of the knob is better, until the verification begins."""

    afterwards: Callable[[float], float | None]
    verifying: bool = field(default=False)

    def read(self, event: Event) -> None:
        self.verifying = self.verifying or (isinstance(event, PhaseStarted) and event.phase == "verify")

    def score(self, configuration: Mapping[str, Value]) -> float | None:
        gain = number(configuration) / 1000
        return self.afterwards(gain) if self.verifying else 1000.0 * (1.0 + gain)


def recorded(
    store: Store, target: SimulatedTarget, proposed: TuningPlan, emit: Callable[[Event], None], **changes: Any
) -> Bundle:
    safe = pipeline.validate(proposed, target, Consent())
    settings = Settings(**(vars(SETTINGS) | changes))
    result = pipeline.execute(safe, target, store, emit, settings, "make it fast")
    return bundle_of(store.session(result.session_id), store)


def verified(store: Store, target: SimulatedTarget, proposed: TuningPlan, candidate: Mapping[str, Value]) -> Bundle:
    """A session that searched nothing."""
    safe = pipeline.validate(proposed, target, Consent())
    settings = Settings(seed=5, pairs=20, force=True)
    result = pipeline.verify_candidate(candidate, "another", safe, target, store, lambda event: None, settings)
    return bundle_of(store.session(result.session_id), store)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    def nobody(event: Event) -> None:
        pass

    made = {}
    with Store(tmp_path_factory.mktemp("evidence") / "knobctl.db") as store:
        made["improved"] = recorded(store, simulated_target("file-write", seed=1), plan("file-write"), nobody)
        made["nothing matters"] = recorded(store, simulated_target("null", seed=2), plan("null"), nobody)
        flat = Hill(1, lambda configuration: 1000.0)
        made["no candidate"] = recorded(store, SimulatedTarget(flat, noise=0.0), plan_for(flat), nobody)
        made["only verified"] = verified(
            store, simulated_target("null", noise=0.03, seed=8), plan("null"), {"vm.swappiness": 10}
        )
        longer = {"budget": 12}
        made["cut and run off"] = recorded(
            store, simulated_target("file-write", seed=2), plan("file-write"), nobody, **longer
        )
        steep = Hill(1, lambda configuration: 1000.0 + number(configuration) if number(configuration) < 300 else None)
        made["failed search"] = recorded(store, SimulatedTarget(steep, noise=0.01), plan_for(steep), nobody, **longer)
        made["guarded"] = recorded(store, simulated_target("postgresql", seed=1), plan_from(GUARDED), nobody)
        for name, afterwards in {
            "no change": lambda gain: 1000.0,
            "worse": lambda gain: 1000.0 * (1.0 - 0.5 * gain),
            "failed runs": lambda gain: None if gain else 1000.0,
        }.items():
            machine = Changing(afterwards)
            hill = Hill(1, machine.score)
            made[name] = recorded(store, SimulatedTarget(hill, noise=0.01), plan_for(hill), machine.read)
    return made


@pytest.fixture
def improved(bundles: dict[str, Bundle]) -> Bundle:
    return bundles["improved"]


@pytest.fixture
def written(improved: Bundle, tmp_path: Path) -> Path:
    """The file of a session with a proven gain."""
    path = tmp_path / "improved.knobctl.zip"
    write_bundle(improved, path)
    return path
