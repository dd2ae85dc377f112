"""The units of `ctscribe service-unit`, read by systemd itself where it is."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from configparser import ConfigParser, SectionProxy
from pathlib import Path

import pytest
from click.testing import CliRunner

from plugin.cli import main
from plugin.commands.administrator.service_unit import PARTS

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture
def config(tmp_path: Path):
    def config(text: str = "") -> Path:
        path = tmp_path / "ctscribe.toml"
        path.write_text(text)
        return path

    return config


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["service-unit", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def service(*arguments: object) -> SectionProxy:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(printed(*arguments))
    return parser["Service"]


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze (Debian package systemd)")
@pytest.mark.parametrize("part", PARTS)
def test_systemd_finds_no_fault_in_it(config, part, tmp_path):
    unit = tmp_path / f"ctscribe-{part}.service"
    unit.write_text(printed(part, "-c", config(), "--user", getpass.getuser()))
    done = subprocess.run(
        [str(SYSTEMD_ANALYZE), "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, told) == (0, []), done.stderr


@pytest.mark.parametrize(("part", "reloads"), [("serve", True), ("work", True), ("receive", False)])
def test_a_reload_reaches_only_what_has_rules(config, part, reloads):
    assert ("ExecReload" in service(part, "-c", config())) is reloads


def test_it_starts_the_installed_package_with_the_settings_of_the_command(config):
    path = config()
    start = f"{sys.executable} -P -m plugin"
    assert service("-c", path)["ExecStart"] == f"{start} serve -c {path}"
    assert service("work", "-c", path)["ExecStart"] == f"{start} work -c {path}"


def test_it_writes_where_the_settings_say_and_nowhere_else(config, tmp_path):
    unit = service("-c", config('[storage]\nspool = "slices"\ndatabase = "sqlite:////db/x.db"'))
    assert unit["ReadWritePaths"] == f"{tmp_path / 'slices'} /db"
    assert unit["ProtectSystem"] == "strict"


def test_a_path_with_spaces_and_signs_of_systemd_stays_one_path(config):
    unit = service("-c", config('[storage]\nspool = "/srv/100% of $CT"\n'))
    assert unit["ReadWritePaths"] == '"/srv/100%% of $CT"'


def test_the_user_and_the_file_of_secrets_are_named(config):
    unit = service("-c", config(), "--user", "pacs", "--secrets", "/etc/pacs.env")
    assert unit["User"] == "pacs"
    assert unit["EnvironmentFile"] == "-/etc/pacs.env"


def test_a_file_of_secrets_that_the_settings_need_must_be_there(config):
    path = config(
        '[engine]\nurl = "http://gpu:1"\ntoken_env = "TOKEN"\n'
        '[[destinations]]\nname = "o"\nkind = "orthanc"\nurl = "http://o"\n'
        'credentials_env = "LOGIN"\n'
        '[destinations.tls]\npassphrase_env = "PASSPHRASE"\n'
    )
    assert service("-c", path)["EnvironmentFile"] == "/etc/ctscribe/secrets.env"
    assert "# It sets LOGIN, PASSPHRASE, TOKEN" in printed("-c", path)


def test_only_a_port_of_the_system_takes_a_right(config):
    assert service("-c", config())["CapabilityBoundingSet"] == ""
    path = config("[receiver]\nport = 104\n")
    assert service("receive", "-c", path)["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert service("work", "-c", path)["AmbientCapabilities"] == ""


@pytest.mark.parametrize("closing", ["PrivateDevices", "ProtectClock", "DevicePolicy"])
def test_what_may_need_a_gpu_sees_it(config, closing):
    """ProtectClock closes every device but the clock's."""
    for part in ("serve", "work", "deliver", "upkeep", "engine"):
        assert closing not in service(part, "-c", config())


def test_the_receiver_sees_no_device(config):
    assert service("receive", "-c", config())["PrivateDevices"] == "yes"


def test_an_engine_has_the_time_to_drain(config):
    path = config("[engine_server]\ndrain_s = 300\n")
    assert int(service("engine", "-c", path)["TimeoutStopSec"]) > 300


def test_the_units_of_parts_have_names_of_their_own(config):
    path = config()
    assert "/etc/systemd/system/ctscribe.service" in printed("-c", path)
    assert "/etc/systemd/system/ctscribe-work.service" in printed("work", "-c", path)
