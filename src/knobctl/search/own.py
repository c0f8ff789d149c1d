"""A name like ``module:object`` in, somebody's own searcher out."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, cast

from knobctl.errors import UsageError
from knobctl.search.base import Searcher


def own_searcher(name: str, seed: int) -> Searcher:
    """The searcher that the object makes of a seed: a class, or any function.

    The module is looked for in the present folder and among what is installed.

    Raises:
        UsageError: It cannot be imported, or what it makes cannot play.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        made = found(seed)
    except Exception as error:
        raise UsageError(
            f"cannot make the searcher {name}: {type(error).__name__}: {error}",
            "Give it as module:object, in this folder or installed; object(seed) makes the searcher.",
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(getattr(made, "play", None)):
        raise UsageError(
            f"{name} makes a {type(made).__name__}, which has no play(env)",
            "A searcher has play(env), which calls env.step(action) until that raises SearchOver.",
        )
    return cast(Searcher, made)
