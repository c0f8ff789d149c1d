"""What can be turned: the knob catalogue (data files in, typed :class:`Knob` records out).

Everything in this room is standard library only and runs on Python 3.9, because the agent carries a copy of it.
The one exception is ``files``, which reads the TOML data files and stays with the main program.
"""

from knobctl.knobs.catalogue import Catalogue, Coupling, UnknownKnob
from knobctl.knobs.knob import Bound, Knob, KnobState, Value, quantities_of

__all__ = ["Bound", "Catalogue", "Coupling", "Knob", "KnobState", "UnknownKnob", "Value", "quantities_of"]
