"""A machine reached through an agent: the local one, or a simulated one. Configurations in, read-back values out."""

from knobctl.target.base import (
    Clock,
    Command,
    CommandOutcome,
    HostFacts,
    RestoreReport,
    Service,
    Target,
)

__all__ = ["Clock", "Command", "CommandOutcome", "HostFacts", "RestoreReport", "Service", "Target"]
