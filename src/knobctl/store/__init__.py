"""Events in, sessions and conversations out: one SQLite file with every raw sample, every word and every result."""

from knobctl.store.memories import FinishedSession, ImportedMemory
from knobctl.store.records import ConversationRecord, SessionRecord
from knobctl.store.result import KnobChange, Result, conclude
from knobctl.store.store import Store, default_path, new_conversation_id, new_session_id

__all__ = [
    "ConversationRecord",
    "FinishedSession",
    "ImportedMemory",
    "KnobChange",
    "Result",
    "SessionRecord",
    "Store",
    "conclude",
    "default_path",
    "new_conversation_id",
    "new_session_id",
]
