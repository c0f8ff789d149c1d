"""A recorded session in, one file with all its evidence out; and the verdict again from such a file, on any machine."""

from knobctl.evidence.bundle import Bundle, Manifest, Member, SessionDocument, bundle_of
from knobctl.evidence.reading import read_bundle
from knobctl.evidence.recompute import Recomputed, recompute
from knobctl.evidence.suitable import differing_facts, differing_values, require_suitable
from knobctl.evidence.writing import write_bundle

__all__ = [
    "Bundle",
    "Manifest",
    "Member",
    "Recomputed",
    "SessionDocument",
    "bundle_of",
    "differing_facts",
    "differing_values",
    "read_bundle",
    "recompute",
    "require_suitable",
    "write_bundle",
]
