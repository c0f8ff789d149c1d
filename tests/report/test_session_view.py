"""A recorded session in, lines and a document out."""

from __future__ import annotations

from dataclasses import replace

from knobctl.events import MachineRestored
from knobctl.report.session_view import describe_session, session_document, session_line
from tests.report.page import recorded


def test_a_line_of_the_list() -> None:
    record = recorded.session().record
    assert session_line(record) == "20261122-184500-a1b2  IMPROVED        +8.1 %   49 runs  PostgreSQL OLTP"
    assert session_line(recorded.simulated().record).endswith("PostgreSQL OLTP SIMULATED")


def test_the_terminal_shows_estimates_as_such() -> None:
    lines = describe_session(recorded.session(), verbose=True).splitlines()
    assert lines[0].startswith("IMPROVED: transactions_per_second +8.1 %")
    assert any(line.startswith("  18 search           200 cut short  vm.dirty_ratio=") for line in lines)
    assert any(line.startswith("   1 baseline  ") and line.endswith("  default") for line in lines)


def test_a_session_without_a_result_shows_its_trials() -> None:
    lines = describe_session(recorded.without_a_result("failed", "no space left", trials=2)).splitlines()
    assert lines[0] == f"session {recorded.SESSION} (PostgreSQL OLTP) is failed: no space left"
    assert len(lines) == 3


def test_the_document_has_every_sample_pair_and_event() -> None:
    session = recorded.session()
    document = session_document(session)
    assert [len(document[key]) for key in ("trials", "pairs", "events")] == [49, 8, 5]
    assert document["trials"][0]["samples"][0] == [1.0, session.trials[0].samples[0][1]]
    assert document["events"][1]["event"] == "noise-measured" and document["events"][1]["within_percent"] == 1.4
    assert document["conversation"] is None
    assert session_document(replace(session, conversation=recorded.conversation("hm")))["conversation"]["id"] == "c-1"


def test_whether_every_knob_is_back_is_known_from_the_result_or_the_last_look() -> None:
    assert recorded.session().restored is True
    cut_off = recorded.without_a_result("interrupted", trials=3)
    assert cut_off.restored is None
    assert replace(cut_off, events=(MachineRestored(True, 1), MachineRestored(False, 1))).restored is False
