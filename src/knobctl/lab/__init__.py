"""Whole sessions on machines whose truth is known: what a search finds, what it claims, and what is true.

``run_session(surface, noise, searcher, budget, seed)`` plays one. Surfaces are drawn from families
(:func:`~knobctl.target.families.draw`), fitted to recorded sweeps, or anybody's own.
"""

from knobctl.lab.session import LabSession, named_surface, run_session
from knobctl.target.families import FAMILIES, draw
from knobctl.target.noise import NOISES, NoiseModel

__all__ = ["FAMILIES", "NOISES", "LabSession", "NoiseModel", "draw", "named_surface", "run_session"]
