"""What is measured: one adapter per benchmark tool, throw-away services, and commands of the user's own."""

from knobctl.workload.base import Adapter, Measurement, MetricSpec, Workload

__all__ = ["Adapter", "Measurement", "MetricSpec", "Workload"]
