"""Which model was asked for, where it is, and which key goes there. Nobody asked: none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knobctl.config import Config, ModelConfig, load_config
from knobctl.errors import ModelError, UsageError
from knobctl.llm.choice import ModelChoice, choose_model, is_loopback

LOCAL = "http://localhost:8080/v1"


def choose(flag: str | None = None, config: ModelConfig | None = None, **environ: str) -> ModelChoice | None:
    return choose_model(flag, environ, Config(config or ModelConfig()))


def chosen(flag: str | None = None, config: ModelConfig | None = None, **environ: str) -> ModelChoice:
    choice = choose(flag, config, **environ)
    assert choice is not None
    return choice


def key_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


# --- is there a choice at all


@pytest.mark.parametrize(
    "environ",
    [{}, {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, {"KNOBCTL_LLM_API_KEY": "k"}, {"OLLAMA_HOST": "h"}],
)
def test_a_key_alone_is_no_choice(environ: dict[str, str]) -> None:
    assert choose(**environ) is None


def test_an_empty_variable_is_no_choice() -> None:
    assert choose(KNOBCTL_MODEL="", KNOBCTL_LLM_BASE_URL="") is None


def test_flag_before_environment_before_configuration() -> None:
    config = ModelConfig(name="ollama:from-config")
    assert chosen("ollama:from-flag", config, KNOBCTL_MODEL="ollama:from-environment").name == "from-flag"
    assert chosen(None, config, KNOBCTL_MODEL="ollama:from-environment").name == "from-environment"
    assert chosen(None, config).name == "from-config"


def test_limits_come_from_the_configuration() -> None:
    choice = chosen("ollama:x", ModelConfig(timeout=5.0, requests=2, tokens=30))
    assert (choice.timeout, choice.requests, choice.tokens) == (5.0, 2, 30)


def test_choosing_loads_none_of_the_providers_libraries() -> None:
    code = (
        "import sys, knobctl.config, knobctl.llm.base, knobctl.llm.choice, knobctl.llm.conversation\n"
        "print(*sorted({'pydantic_ai', 'openai', 'anthropic', 'httpx2', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_this_test_run_knows_no_model() -> None:
    assert choose_model(None, os.environ, load_config(os.environ, Path("/nowhere"))) is None


# --- spelling


@pytest.mark.parametrize(
    ("spelled", "provider", "name"),
    [
        ("ollama:qwen2.5-coder:7b", "ollama", "qwen2.5-coder:7b"),
        ("openai-compatible:org/model", "openai-compatible", "org/model"),
        ("OpenAI:gpt-4o", "openai", "gpt-4o"),
        ("anthropic:claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6"),
        ("qwen2.5-coder:7b", "openai-compatible", "qwen2.5-coder:7b"),
        ("plain", "openai-compatible", "plain"),
        ("openai-compatible:", "openai-compatible", ""),
    ],
)
def test_provider_and_name(spelled: str, provider: str, name: str) -> None:
    choice = chosen(spelled, KNOBCTL_LLM_BASE_URL=LOCAL, KNOBCTL_LLM_API_KEY="k")
    assert (choice.provider, choice.name) == (provider, name)


def test_an_address_alone_leaves_the_model_to_the_server() -> None:
    choice = chosen(KNOBCTL_LLM_BASE_URL=LOCAL)
    assert (choice.provider, choice.name, choice.base_url, choice.key) == ("openai-compatible", "", LOCAL, None)


@pytest.mark.parametrize("spelled", ["qwen2.5-coder:7b", "gpt-4o", "gogle:gemini"])
def test_a_name_without_provider_and_address_lists_the_providers(spelled: str) -> None:
    with pytest.raises(UsageError, match=f"{spelled!r} names no provider") as refusal:
        choose(spelled)
    for provider in ("openai ", "anthropic ", "ollama ", "openai-compatible "):
        assert provider in refusal.value.hint


@pytest.mark.parametrize("spelled", ["", "ollama:", "openai:  "])
def test_a_provider_without_a_name_is_refused(spelled: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        choose(spelled, OPENAI_API_KEY="k")


@pytest.mark.parametrize("spelled", ["ollama:a\x1b[31m", "ollama:a\nb", "ollama:" + "x" * 300])
def test_a_name_that_cannot_be_shown_is_refused(spelled: str) -> None:
    with pytest.raises(UsageError, match="not printable or too long") as refusal:
        choose(spelled)
    assert "\x1b" not in refusal.value.message


def test_a_compatible_server_needs_an_address() -> None:
    with pytest.raises(UsageError, match="where is the server of openai-compatible:x") as refusal:
        choose("openai-compatible:x")
    assert "KNOBCTL_LLM_BASE_URL" in refusal.value.hint


# --- addresses


def test_the_environments_address_before_the_configurations() -> None:
    config = ModelConfig(base_url="http://localhost:1/v1")
    assert chosen("x", config, KNOBCTL_LLM_BASE_URL=LOCAL).base_url == LOCAL
    assert chosen("x", config).base_url == "http://localhost:1/v1"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (None, "http://localhost:11434/v1"),
        ("gpu-box", "http://gpu-box:11434/v1"),
        ("gpu-box:99", "http://gpu-box:99/v1"),
        (":99", "http://localhost:99/v1"),
        ("0.0.0.0", "http://localhost:11434/v1"),
        ("0.0.0.0:99", "http://localhost:99/v1"),
        ("https://models.example.net", "https://models.example.net/v1"),
        ("http://127.0.0.1:99/", "http://127.0.0.1:99/v1"),
    ],
)
def test_where_ollama_is(host: str | None, address: str) -> None:
    assert chosen("ollama:x", **({"OLLAMA_HOST": host} if host else {})).base_url == address


@pytest.mark.parametrize(
    ("provider", "given", "used"),
    [
        ("ollama", "http://localhost:11434", "http://localhost:11434/v1"),
        ("anthropic", "http://localhost:9/v1/", "http://localhost:9"),
        ("openai", "http://localhost:9/v1/", "http://localhost:9/v1"),
        ("openai-compatible", "http://[::1]:9/api", "http://[::1]:9/api"),
    ],
)
def test_an_address_is_brought_into_the_librarys_form(provider: str, given: str, used: str) -> None:
    assert chosen(f"{provider}:x", KNOBCTL_LLM_BASE_URL=given, KNOBCTL_LLM_API_KEY="k").base_url == used


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("localhost:8080", "neither http nor https"),
        ("ftp://localhost/v1", "neither http nor https"),
        ("http:///v1", "names no host"),
        ("http://localhost:99999/v1", "is not an address"),
        ("http://localhost:0/v1", "port 0"),
        ("http://[::1/v1", "is not an address"),
        ("http://me:sesame@localhost/v1", "holds a user name or a password"),
        ("http://localhost/v1?key=1", "holds a ?"),
        ("http://localhost/v1#x", "holds a ? or a #"),
        ("http://local host/v1", "holds spaces"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        choose("x", KNOBCTL_LLM_BASE_URL=address)
    assert message in refusal.value.message
    assert "KNOBCTL_LLM_BASE_URL" in refusal.value.message
    assert "sesame" not in refusal.value.message + refusal.value.hint


@pytest.mark.parametrize("provider", ["openai", "openai-compatible"])
def test_a_key_never_crosses_a_network_in_the_clear(provider: str) -> None:
    with pytest.raises(UsageError, match="a key would cross the network unencrypted") as refusal:
        choose(f"{provider}:x", KNOBCTL_LLM_BASE_URL="http://gpu-box:8080/v1", KNOBCTL_LLM_API_KEY="sk-secret")
    assert "sk-secret" not in refusal.value.message + refusal.value.hint
    assert chosen(f"{provider}:x", KNOBCTL_LLM_BASE_URL="https://gpu-box/v1", KNOBCTL_LLM_API_KEY="k").key == "k"


def test_without_a_key_plain_http_is_no_secret() -> None:
    assert chosen("x", KNOBCTL_LLM_BASE_URL="http://gpu-box:8080/v1").base_url == "http://gpu-box:8080/v1"


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("10.0.0.1", False), ("localhost.example.net", False), ("127.0.0.1.example.net", False), ("0.0.0.0", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


# --- keys


def test_the_order_of_keys(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "knobctl-llm-api-key").write_text("from-systemd")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = ModelConfig(api_key_file=key_file(tmp_path, "from-config\n"))
    named = {**systemd, "KNOBCTL_LLM_API_KEY_FILE": str(key_file(tmp_path / "other", "from-named\n"))}
    provider = {**named, "OPENAI_API_KEY": "from-provider"}
    ours = {**provider, "KNOBCTL_LLM_API_KEY": "from-ours"}
    assert chosen("openai:x", config, **ours).key == "from-ours"
    assert chosen("openai:x", config, **provider).key == "from-provider"
    assert chosen("openai:x", config, **named).key == "from-named"
    assert chosen("openai:x", config, **systemd).key == "from-config"
    assert chosen("openai:x", **systemd).key == "from-systemd"


@pytest.mark.parametrize("provider", ["ollama", "openai-compatible"])
def test_a_providers_own_key_never_reaches_another_server(provider: str) -> None:
    choice = chosen(
        f"{provider}:x", KNOBCTL_LLM_BASE_URL="https://models.example.net/v1",
        OPENAI_API_KEY="sk-openai", ANTHROPIC_API_KEY="sk-anthropic",
    )  # fmt: skip
    assert choice.key is None


def test_each_provider_gets_its_own_key() -> None:
    keys = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic"}
    assert chosen("openai:x", **keys).key == "sk-openai"
    assert chosen("anthropic:x", **keys).key == "sk-anthropic"


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("openai", "https://eu.api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com"),
    ],
)
def test_a_providers_own_key_goes_to_its_own_address(provider: str, address: str) -> None:
    keys = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic"}
    assert chosen(f"{provider}:x", **keys, KNOBCTL_LLM_BASE_URL=address).key == f"sk-{provider}"


@pytest.mark.parametrize(("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
@pytest.mark.parametrize("address", [LOCAL, "https://gateway.example.net/v1", "https://notapi.openai.com.example.net"])
def test_a_providers_own_key_is_never_combined_with_a_foreign_address(
    provider: str, variable: str, address: str
) -> None:
    environ = {variable: "sk-own", "KNOBCTL_LLM_BASE_URL": address}
    with pytest.raises(UsageError) as refusal:
        choose(f"{provider}:x", **environ)
    assert refusal.value.message == (
        f"KNOBCTL_LLM_BASE_URL is not the server of {provider}, and {variable} is sent to no other one"
    )
    assert refusal.value.hint == (
        f"Unset KNOBCTL_LLM_BASE_URL to ask {provider} itself, or set KNOBCTL_LLM_API_KEY to the key of that server."
    )
    given = chosen(f"{provider}:x", **environ, KNOBCTL_LLM_API_KEY="given")
    assert given.key == "given", "a key that was given for this address is used there"
    assert given.base_url is not None


def test_a_key_file_beside_a_foreign_address_is_used_rather_than_the_providers_own_variable(tmp_path: Path) -> None:
    named = {"KNOBCTL_LLM_API_KEY_FILE": str(key_file(tmp_path, "from-file")), "OPENAI_API_KEY": "sk-openai"}
    assert chosen("openai:x", KNOBCTL_LLM_BASE_URL=LOCAL, **named).key == "from-file"


def test_a_foreign_address_in_the_configuration_gets_no_providers_key_either() -> None:
    config = ModelConfig("openai:gpt-4o", "https://gateway.example.net/v1")
    with pytest.raises(UsageError, match=r"^\[model\] base_url is not the server of openai") as refusal:
        choose(None, config, OPENAI_API_KEY="sk-openai")
    assert refusal.value.hint.startswith("Take [model] base_url out of the configuration to ask openai itself, or set ")


def test_an_address_without_a_name_in_the_configuration_belongs_to_no_provider(tmp_path: Path) -> None:
    config = ModelConfig(None, "https://gateway.example.net/v1", key_file(tmp_path, "gateway-key"))
    other = chosen("openai:gpt-4o-mini", config, OPENAI_API_KEY="sk-openai")
    assert (other.base_url, other.key) == (None, "sk-openai")
    assert chosen("ollama:x", config).base_url == "http://localhost:11434/v1"
    same = chosen("local-model", config)
    assert (same.provider, same.base_url, same.key) == ("openai-compatible", config.base_url, "gateway-key")


def test_address_and_key_of_another_providers_configuration_are_left_alone(tmp_path: Path) -> None:
    config = ModelConfig("openai-compatible:local", LOCAL, key_file(tmp_path, "local-key"))
    other = chosen("openai:gpt-4o", config, OPENAI_API_KEY="sk-openai")
    assert (other.base_url, other.key) == (None, "sk-openai")
    same = chosen("openai-compatible:other", config)
    assert (same.base_url, same.key) == (LOCAL, "local-key")


@pytest.mark.parametrize("address", ["https://other.example/v1", LOCAL, "https://api.openai.com.example/v1"])
def test_a_configured_key_file_of_a_provider_meets_no_other_server(address: str, tmp_path: Path) -> None:
    config = ModelConfig("openai:gpt-5", None, key_file(tmp_path, "config-key"))
    environ = {"KNOBCTL_LLM_BASE_URL": address, "OPENAI_API_KEY": ""}
    with pytest.raises(UsageError) as refusal:
        choose(None, config, **environ)
    assert refusal.value.message == (
        "KNOBCTL_LLM_BASE_URL is not the server of openai, and neither OPENAI_API_KEY nor [model] api_key_file is sent "
        "to another one"
    )
    assert chosen(None, config, **environ, KNOBCTL_LLM_API_KEY="given").key == "given"
    (tmp_path / "other").mkdir()
    named = str(key_file(tmp_path / "other", "named-key"))
    assert chosen(None, config, **environ, KNOBCTL_LLM_API_KEY_FILE=named).key == "named-key"
    assert chosen(None, config, KNOBCTL_LLM_BASE_URL="https://eu.api.openai.com/v1").key == "config-key"


@pytest.mark.parametrize(
    ("name", "base_url", "environ", "gets_it"),
    [
        (None, "https://corp.example/v1", {"KNOBCTL_LLM_BASE_URL": "https://other.example/v1"}, False),
        (None, "https://corp.example/v1", {"KNOBCTL_LLM_BASE_URL": "https://corp.example:8443/v1"}, False),
        (None, "http://localhost/v1", {"KNOBCTL_LLM_BASE_URL": "https://localhost/v1"}, False),
        (None, "https://corp.example/v1", {"KNOBCTL_LLM_BASE_URL": "https://CORP.example:443/other"}, True),
        ("openai-compatible:q", "https://corp.example/v1", {}, True),
        ("openai-compatible:q", None, {"KNOBCTL_LLM_BASE_URL": "https://other.example/v1"}, False),
        ("ollama:q", None, {"OLLAMA_HOST": "https://other.example"}, False),
        ("ollama:q", None, {"KNOBCTL_LLM_BASE_URL": "https://other.example"}, False),
        ("ollama:q", None, {"OLLAMA_HOST": "localhost"}, True),
        ("ollama:q", None, {}, True),
    ],
)
def test_a_configured_key_file_is_for_the_configured_server(
    name: str | None, base_url: str | None, environ: dict[str, str], gets_it: bool, tmp_path: Path
) -> None:
    config = ModelConfig(name, base_url, key_file(tmp_path, "config-key"))
    assert chosen(None, config, **environ).key == ("config-key" if gets_it else None)


@pytest.mark.parametrize(("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
def test_a_missing_key_names_its_variable(provider: str, variable: str) -> None:
    with pytest.raises(ModelError, match=f"there is no key for {provider}") as failure:
        choose(f"{provider}:x")
    assert f"Set {variable}" in failure.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, "sk-secret", mode)
    with pytest.raises(UsageError, match=rf"others may read the key file .* \(mode {mode:o}\)") as refusal:
        choose("openai:x", KNOBCTL_LLM_API_KEY_FILE=str(path))
    assert refusal.value.hint == f"Run: chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("sk-one\nsk-two\n", "has more than one line"),
        ("sk one", "is no key"),
        ("sk-\x1b[31m", "is no key"),
        ("sk-schlüssel", "is no key"),
    ],
)
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = key_file(tmp_path, content)
    with pytest.raises(UsageError, match=message) as refusal:
        choose("openai:x", ModelConfig(api_key_file=path))
    assert str(path) in refusal.value.message
    assert not content.strip() or content.strip() not in refusal.value.message + refusal.value.hint


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the key file .*No such file") as refusal:
        choose("openai:x", KNOBCTL_LLM_API_KEY_FILE=str(tmp_path / "none"))
    assert "chmod 600" in refusal.value.hint


def test_a_pipe_is_no_key_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UsageError, match="is not a regular file"):
        choose("openai:x", KNOBCTL_LLM_API_KEY_FILE=str(tmp_path / "pipe"))


def test_a_key_with_odd_characters_in_the_environment_is_refused_unseen() -> None:
    with pytest.raises(UsageError, match="the key in OPENAI_API_KEY is no key") as refusal:
        choose("openai:x", OPENAI_API_KEY="sk-se cret")
    assert "cret" not in refusal.value.message + refusal.value.hint


def test_no_text_form_shows_the_key() -> None:
    choice = chosen("openai:gpt-4o", KNOBCTL_LLM_API_KEY="sk-secret", KNOBCTL_LLM_BASE_URL=LOCAL)
    assert "sk-secret" not in f"{choice!r} {choice} {choice!s}"
    assert str(choice) == f"openai:gpt-4o at {LOCAL} with a key"
    assert str(chosen(KNOBCTL_LLM_BASE_URL=LOCAL)) == f"openai-compatible:(the first model there) at {LOCAL}"
