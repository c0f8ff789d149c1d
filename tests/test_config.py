"""Two files, one configuration: whose key counts, what is refused, and with which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from knobctl.config import Config, ModelConfig, load_config, user_file
from knobctl.errors import UsageError


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.toml"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "home" / "knobctl" / "config.toml"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def load(system: Path, user: Path) -> Config:
    return load_config({"XDG_CONFIG_HOME": str(user.parent.parent), "HOME": "/home/me"}, system)


def test_without_files_everything_has_its_default(system: Path, user: Path) -> None:
    assert load(system, user) == Config(ModelConfig(None, None, None, 300.0, 60, 300_000))


def test_every_key_is_read(system: Path, user: Path) -> None:
    write(
        system,
        '[model]\nname = "ollama:qwen2.5-coder:7b"\nbase_url = "http://localhost:11434/v1"\n'
        'api_key_file = "/etc/knobctl/key"\ntimeout = 2.5\nrequests = 7\ntokens = 900\n',
    )
    assert load(system, user).model == ModelConfig(
        "ollama:qwen2.5-coder:7b", "http://localhost:11434/v1", Path("/etc/knobctl/key"), 2.5, 7, 900
    )


def test_the_users_key_wins_key_by_key(system: Path, user: Path) -> None:
    write(system, '[model]\nname = "openai:gpt-4o"\nrequests = 7\n')
    write(user, '[model]\nname = "ollama:llama3.2"\ntimeout = 9\n')
    assert load(system, user).model == ModelConfig("ollama:llama3.2", timeout=9.0, requests=7)


@pytest.mark.parametrize(
    ("written", "meant"), [("~/key", "/home/me/key"), ("/run/key", "/run/key"), ("key", "{folder}/key")]
)
def test_where_a_key_file_is(system: Path, user: Path, written: str, meant: str) -> None:
    write(user, f'[model]\napi_key_file = "{written}"\n')
    assert load(system, user).model.api_key_file == Path(meant.format(folder=user.parent))


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/home/me"}, "/x/knobctl/config.toml"),
        ({"HOME": "/home/me"}, "/home/me/.config/knobctl/config.toml"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/home/me"}, "/home/me/.config/knobctl/config.toml"),
        ({"XDG_CONFIG_HOME": "", "HOME": "/home/me"}, "/home/me/.config/knobctl/config.toml"),
    ],
)
def test_where_the_users_file_is(environ: dict[str, str], path: str) -> None:
    assert user_file(environ) == Path(path)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[model\n", "is not TOML", "quotes"),
        ("[model]\nname = ollama\n", "is not TOML", "quotes"),
        ('[modell]\nname = "x"\n', "unknown key 'modell'", "Known here: model."),
        ('[model]\nnaem = "x"\n', "unknown key [model] 'naem'", "name, base_url, api_key_file, timeout"),
        ('model = "ollama:x"\n', "model must be a table", "[model]"),
        ('[model]\nname = ""\n', "[model] name is ''", "not empty"),
        ("[model]\nname = 3\n", "[model] name is 3", "text in quotes"),
        ('[model]\nname = "a\\u001b[31mb"\n', "[model] name is", "one line"),
        ("[model]\ntimeout = 0\n", "[model] timeout is 0", "more than 0"),
        ("[model]\ntimeout = inf\n", "[model] timeout is inf", "at most 3600"),
        ("[model]\ntimeout = true\n", "[model] timeout is True", "a number"),
        ("[model]\nrequests = 0\n", "[model] requests is 0", "at least 1"),
        ("[model]\ntokens = 1.5\n", "[model] tokens is 1.5", "a whole number"),
    ],
)
def test_what_is_refused_names_the_file_and_what_to_do(
    system: Path, user: Path, text: str, message: str, hint: str
) -> None:
    write(user, text)
    with pytest.raises(UsageError) as refusal:
        load(system, user)
    assert str(user) in refusal.value.message
    assert message in refusal.value.message
    assert hint in refusal.value.hint


@pytest.mark.parametrize("name", ["api_key", "API_KEY", "token"])
def test_a_key_in_the_file_is_refused_and_not_repeated(system: Path, user: Path, name: str) -> None:
    write(user, f'[model]\n{name} = "sk-secret"\n')
    with pytest.raises(UsageError, match="a key does not belong into this file") as refusal:
        load(system, user)
    assert "sk-secret" not in refusal.value.message + refusal.value.hint
    assert "api_key_file" in refusal.value.hint


def test_a_file_that_is_no_text_is_refused(system: Path, user: Path) -> None:
    write(user, "")
    user.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load(system, user)


def test_a_file_that_cannot_be_read_is_an_error(system: Path, user: Path) -> None:
    user.mkdir(parents=True)
    with pytest.raises(UsageError, match=f"cannot read {user}: Is a directory") as refusal:
        load(system, user)
    assert "Make it readable" in refusal.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_an_error(system: Path, user: Path) -> None:
    write(user, "[model]\n")
    user.chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        load(system, user)
