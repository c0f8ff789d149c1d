"""Every error that knobctl raises on purpose. One tree; each leaf knows its exit code and what to do next.

KnobctlError                      1   something went wrong; the message says what, the hint what to do
├── UsageError                    2   what was asked for cannot be done as it was asked
│   ├── PlanError                 2   the plan is malformed or breaks a rule
│   ├── RequestNotUnderstood      2   no playbook fits the words
│   └── ConsentMissing            2   nobody said yes, and nobody can be asked
├── WorkloadError                 1   the benchmark cannot be used
│   ├── ToolMissing               1   a program is not installed
│   ├── ServiceFailed             1   a throw-away server did not come up
│   └── BenchmarkBroken           1   it fails at the default configuration too
├── TargetError                   1   the machine did not do what it was told
│   ├── AgentLost                 1   the agent's process ended or broke the protocol
│   └── WriteFailed               1   the kernel refused a value or read back another
├── StoreError                    1   a record could not be written or read
├── ModelError                    1   the language model could not be used
├── SafetyStop                    4   a guard tripped during the run; the machine was restored
│   ├── HealthStop                4   the machine was in trouble, and going on would not have helped it
│   └── KnobChangedByOther        4   somebody else changed a knob during the run
├── RestoreIncomplete             5   a knob is not back: look now
├── PreflightRefused              6   the run was not started: too noisy, or another tuner owns the machine
├── Busy                         75   another run holds the lock
└── NotPermitted                 77   neither root nor passwordless sudo, or a read-only kernel interface

Interrupted                     130   Ctrl-C, SIGTERM or SIGHUP; the machine was restored. Outside the tree
"""

from __future__ import annotations


class KnobctlError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: One sentence that says what went wrong, with the value.
        hint: What the reader can do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(KnobctlError):
    """What was asked for cannot be done as it was asked."""

    exit_code = 2


class PlanError(UsageError):
    """The plan is malformed or breaks a rule of the catalogue."""


class RequestNotUnderstood(UsageError):
    """No playbook fits the words of the request."""


class ConsentMissing(UsageError):
    """A confirmation is needed and was not given."""


class WorkloadError(KnobctlError):
    """The benchmark cannot be used."""


class ToolMissing(WorkloadError):
    """A program that the workload needs is not installed."""


class ServiceFailed(WorkloadError):
    """A throw-away server did not come up."""


class BenchmarkBroken(WorkloadError):
    """The benchmark fails at the default configuration, so no configuration can be blamed."""


class TargetError(KnobctlError):
    """The machine did not do what it was told."""


class AgentLost(TargetError):
    """The agent's process ended or broke the protocol."""


class WriteFailed(TargetError):
    """The kernel refused a value, or something else was read back."""


class StoreError(KnobctlError):
    """A record could not be written or read."""


class ModelError(KnobctlError):
    """The language model could not be reached, refused, or gave nothing that can be used."""


class SafetyStop(KnobctlError):
    """A guard tripped during the run; the machine was restored."""

    exit_code = 4


class HealthStop(SafetyStop):
    """The target's health guard tripped where the run cannot go on: too often, or where no configuration is to blame.

    The knobs are at what was found.
    """


class KnobChangedByOther(SafetyStop):
    """Somebody else changed a knob during the run; their value was left alone."""


class RestoreIncomplete(KnobctlError):
    """At least one knob does not have the value that was found."""

    exit_code = 5


class PreflightRefused(KnobctlError):
    """The run was not started: too noisy to prove anything, or another tuner owns the machine."""

    exit_code = 6


class Busy(KnobctlError):
    """Another run holds the machine's lock."""

    exit_code = 75


class NotPermitted(KnobctlError):
    """Neither root nor passwordless sudo, or the kernel interface is read-only."""

    exit_code = 77


class Interrupted(BaseException):
    """The run was interrupted from outside; the machine was restored.

    Like ``KeyboardInterrupt`` it is no ``Exception``: it may come at any moment, and whoever goes on after an error
    must not go on after this.

    Attributes:
        message: What interrupted it.
        hint: Empty.
    """

    exit_code = 130

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = ""
