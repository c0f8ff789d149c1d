"""The catalogue that the zipapp carries: whatever main says, nothing outside of it is ever written."""

import json
import pkgutil

from knobctl.knobs import Catalogue


def carried() -> Catalogue:
    """The knobs of the zipapp's own data file."""
    data = pkgutil.get_data("knobctl.knobs", "catalogue.json")
    assert data is not None
    return Catalogue.from_records(json.loads(data))
