"""Events in, sessions out: one SQLite file with every raw sample, and the result that each run came to."""

from knobctl.store.result import KnobChange, Result, conclude
from knobctl.store.store import SessionRecord, Store, default_path, new_session_id

__all__ = ["KnobChange", "Result", "SessionRecord", "Store", "conclude", "default_path", "new_session_id"]
