"""A place where the steps of a language model are kept. Imports no client, so that it costs nothing."""

from __future__ import annotations

from knobctl.events import Event, StrategistStep


class Listener:
    """Keeps every step that was told."""

    def __init__(self) -> None:
        self.steps: list[StrategistStep] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, StrategistStep)
        self.steps.append(event)

    @property
    def kinds(self) -> list[str]:
        return [step.step for step in self.steps]

    def texts(self, kind: str) -> list[str]:
        return [step.text for step in self.steps if step.step == kind]
