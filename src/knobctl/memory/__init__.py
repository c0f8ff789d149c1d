"""Finished sessions in, what a new session of a similar kind begins with out; and memories that travel as a file."""

from knobctl.memory.fingerprint import Fingerprint, fingerprint_of_run
from knobctl.memory.left import Memory, memory_of
from knobctl.memory.likeness import Difference, Likeness, compare
from knobctl.memory.recalling import Recollection, Similar, fingerprint_in, look, memory_named, recall, require
from knobctl.memory.travelling import Carried, Imported, read_memories, remember, write_memories

__all__ = [
    "Carried",
    "Difference",
    "Fingerprint",
    "Imported",
    "Likeness",
    "Memory",
    "Recollection",
    "Similar",
    "compare",
    "fingerprint_in",
    "fingerprint_of_run",
    "look",
    "memory_named",
    "memory_of",
    "read_memories",
    "recall",
    "remember",
    "require",
    "write_memories",
]
