"""Settings: where each may come from, which of two counts, and one clear line without the value for a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.relay.__main__ import cli
from tools.relay.settings import SECRETS, Settings, load

EXAMPLE = Path(__file__).parents[1] / "tools" / "relay" / "deploy" / "relay.toml"


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BROKER": "h:1", "GAP_WAIT_S": "7", "RESEND_AFTER_S": "0.5", "DELIVER": "no"}.items():
        monkeypatch.setenv(f"RELAY_{name}", value)
    assert load() == Settings(broker="h:1", gap_wait_s=7, resend_after_s=0.5, deliver=False)


def test_every_setting_is_an_option_with_its_default() -> None:
    text = " ".join(CliRunner().invoke(cli, ["run", "--help"]).output.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text, name
        assert field.description and field.description in text, name


def test_an_option_counts_before_the_environment_before_a_secret_before_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('web_token = "file"\nlwa_client_secret = "file"\ntoken = "file"\nkey = "file"\nsenders = 9\n')
    for name in ("web_token", "lwa_client_secret", "token"):
        (tmp_path / f"relay_{name}").write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RELAY_SETTINGS", str(file))
    monkeypatch.setenv("RELAY_WEB_TOKEN", "environment")
    monkeypatch.setenv("RELAY_LWA_CLIENT_SECRET", "environment")
    found = load(web_token="option")
    assert (found.web_token, found.lwa_client_secret, found.token, found.key, found.senders, found.lease_s) == (
        "option", "environment", "secret", "file", 9, 60.0,
    )  # fmt: skip


def test_a_container_s_secrets_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "relay_key").write_text("from-the-container")
    monkeypatch.setattr("tools.relay.settings.CONTAINER_SECRETS", str(tmp_path))
    assert load().key == "from-the-container"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gap_wait_s = 'soon'", "setting 'gap_wait_s': Input should be a valid integer"),
        ("brokr = 'h:1'", "setting 'brokr': Extra inputs are not permitted"),
        ("region = 'MARS'", "setting 'region': Input should be 'NA', 'EU' or 'FE'"),
        ("broker = ", "relay.toml: Invalid value"),
    ],
)
def test_a_bad_settings_file_is_one_clear_line_without_the_value(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    result = CliRunner().invoke(cli, ["--settings", str(file), "show"])
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert "soon" not in result.output and "MARS" not in result.output and len(result.output.splitlines()) < 5


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["--settings", str(tmp_path / "none.toml"), "show"])
    assert result.exit_code == 2 and "there is no settings file" in result.output


def test_no_secret_is_ever_printed() -> None:
    shown = repr(Settings(**dict.fromkeys(SECRETS, "hidden")))  # type: ignore[arg-type]
    assert "hidden" not in shown and {"token", "key", "web_token", "broker_password", "store"} <= set(SECRETS)
