"""Requests to models are blocked in this room from the start; only the scripted server opens the way."""

from __future__ import annotations

import pydantic_ai.models

pydantic_ai.models.ALLOW_MODEL_REQUESTS = False
