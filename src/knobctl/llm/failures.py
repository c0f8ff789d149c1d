"""What went wrong between here and a model in, one clear :class:`~knobctl.errors.ModelError` with a hint out.

A provider's own words are untrusted: they are cleaned, cut, and never hold the key that was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from knobctl.errors import ModelError
from knobctl.llm.choice import COMPATIBLE, MODEL_VARIABLE
from knobctl.llm.keys import KEY_VARIABLE, OWN_VARIABLES
from knobctl.target.text import clean

MOST_WORDS = 200
REPLY_BYTES = 2_000_000


@dataclass(frozen=True)
class Failures:
    """Words for everything that can go wrong with one model.

    Attributes:
        label: Provider and model.
        provider: Its provider.
        address: Where requests go.
        key: The key that was sent, so that it can be kept out of every message.
        timeout: Seconds that a request may take.
    """

    label: str
    provider: str
    address: str
    key: str | None
    timeout: float

    def words(self, said: str) -> str:
        """The provider's own words, fit to be shown: one line, without the key."""
        text = " ".join(clean(said.replace(self.key, "[the key]") if self.key else said).split())
        return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 1] + "…"

    def _failed(self, what: str, said: str, hint: str) -> ModelError:
        words = self.words(said)
        return ModelError(f"{what}: {words}" if words else what, hint)

    def unreachable(self, said: str) -> ModelError:
        """No connection: refused, unknown host, no route, or a certificate that is not trusted."""
        if "certificate" in said.lower():
            return self._failed(
                f"the certificate of {self.address} is not trusted", said,
                "Check the address; SSL_CERT_FILE names a file of further certificates to trust.",
            )  # fmt: skip
        start = "Start it with: ollama serve" if self.provider == "ollama" else "Check the address and the network."
        return self._failed(f"nothing answers at {self.address}: is the server running?", said, start)

    def broken_off(self, said: str) -> ModelError:
        """The connection ended before the reply did."""
        return self._failed(
            f"{self.address} broke off its reply", said, "The server's own log says why; a smaller model may fit it."
        )

    def timed_out(self) -> ModelError:
        """No whole reply within the limit."""
        return ModelError(
            f"no reply from {self.label} within {self.timeout:g} s",
            "Raise it with [model] timeout in config.toml, or choose a faster model.",
        )

    def too_large(self) -> ModelError:
        """More bytes than a reply may have."""
        return ModelError(
            f"the reply of {self.label} is larger than {REPLY_BYTES // 1_000_000} MB and was not read",
            "Check that the address is that of a language model.",
        )

    def garbled(self, said: str) -> ModelError:
        """A reply that is not what the provider's interface promises."""
        end = "" if self.provider == "anthropic" else " Most addresses end in /v1."
        return self._failed(
            f"the reply of {self.address} is not that of a language model", said, f"Check the address.{end}"
        )

    def filtered(self, said: str) -> ModelError:
        """The provider's own filter stopped the model."""
        return self._failed(f"{self.label} refused to answer", said, "Say it in other words, or choose another model.")

    def context_exceeded(self, said: str) -> ModelError:
        """The conversation is longer than the model can read."""
        return self._failed(
            f"the request does not fit into the context window of {self.label}", said,
            "Choose a model with a larger context window, or start its server with one.",
        )  # fmt: skip

    def quota_exceeded(self, said: str) -> ModelError:
        """The account has nothing left."""
        return self._failed(
            f"the account at {self.provider} has no quota left", said, "Check its plan and its payments."
        )

    def status(self, code: int, said: str) -> ModelError:
        """The server's answer is an HTTP status other than success."""
        if code in (401, 403):
            variable = OWN_VARIABLES.get(self.provider, KEY_VARIABLE)
            what = "the key was refused" if self.key else "a key is needed"
            return self._failed(f"{what} by {self.address} ({code})", said, f"Set {variable} to a key that is valid.")
        if code == 404:
            fetch = f"Fetch it with: ollama pull {self.label.partition(':')[2]}" if self.provider == "ollama" else ""
            path = " and that the address ends in /v1" if self.provider == COMPATIBLE else ""
            return self._failed(
                f"{self.address} has no model {self.label.partition(':')[2]!r} (404)", said,
                fetch or f"Check the name in --model or {MODEL_VARIABLE}{path}.",
            )  # fmt: skip
        if code == 429:
            return self._failed(f"{self.address} asks to slow down (429)", said, "Wait a minute, then try again.")
        if 300 <= code < 400:
            return self._failed(f"{self.address} points to another address ({code})", said, "Name that one instead.")
        if code >= 500:
            return self._failed(f"{self.address} failed ({code})", said, "Try again later; the server's log says why.")
        return self._failed(f"{self.address} refused the request ({code})", said, "Choose another model or server.")
