"""A recorded session in, one HTML file out that needs nothing else: no network, no script, no font of its own."""

from knobctl.report.page.page import MARK, render
from knobctl.report.page.saving import save

__all__ = ["MARK", "render", "save"]
