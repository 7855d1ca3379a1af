"""What IB_GATEWAY_BIN and IB_GATEWAY_CONF, or gateway_command, are run as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ibtui import config
from ibtui.config import Profile, load
from ibtui.errors import UsageError
from ibtui.gateway.spec import JAR, MAIN
from ibtui.service import program
from tests.headless.serve_tools import stand_in

URL = "https://localhost:5000"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What looks like the real gateway: the layout, and a jar that says nothing of a stand-in."""
    folder = tmp_path / "gw"
    for part in (JAR, Path("build/lib/runtime/x.jar"), Path("root/conf.yaml"), Path("bin/run.sh")):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("listenPort: 5000\n")
    return folder


async def spec(
    command: tuple[str, ...], cwd: Path, run: Path, *, start: bool = False, url: str = URL
) -> program.Spec:
    profile = Profile(gateway_command=command, gateway_cwd=str(cwd), gateway_url=url)
    return await program.spec_of(profile, run, os.environ, to_start=start)


@pytest.mark.parametrize("conf", ["root/conf.yaml", "mine.yaml", ""])
async def test_a_gateways_own_script_is_java(home: Path, tmp_path: Path, conf: str) -> None:
    (home / "mine.yaml").write_text("listenPort: 5000\n")
    found = await spec(("bin/run.sh", conf) if conf else ("bin/run.sh",), home, tmp_path / "run")
    assert found.kind == "java" and MAIN in found.argv and not any("run.sh" in word for word in found.argv)
    first = found.argv[found.argv.index("-cp") + 1].split(":")
    assert found.cwd == tmp_path / "run" and first[0] == str(tmp_path / "run")
    if conf:
        assert found.argv[-1] == Path(conf).name and first[1] == str((home / conf).parent)
        assert found.ca_file is None
    else:
        assert found.argv[-1] == "conf.yaml" and found.ca_file is not None


async def test_from_another_folder_and_through_a_link(home: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(home)
    found = await spec((str(link / "bin/run.sh"), "root/conf.yaml"), tmp_path, tmp_path / "run")
    assert found.kind == "java" and str(home / "root") in found.argv[found.argv.index("-cp") + 1]


async def test_any_other_program_is_run_as_it_is(home: Path, tmp_path: Path) -> None:
    for command in (("./start", "conf.yaml"), (str(home / "bin/run.sh"), "a", "b"), ("bin/run.sh", "a")):
        found = await spec(command, tmp_path, tmp_path / "run")
        assert (found.kind, found.argv, found.cwd) == ("command", command, tmp_path)
        assert found.any_answer and not found.tied


async def test_the_stand_in_is_a_program(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "gw")
    found = await spec(("bin/run.sh", "mine.yaml"), folder, tmp_path / "run")
    assert found.argv == (str(folder / "bin/run.sh"), "mine.yaml") and found.cwd == folder
    found = await spec(("bin/run.sh",), folder, tmp_path / "run")
    assert found.argv[1] == str(folder / "root/conf.yaml")


@pytest.mark.parametrize(
    ("text", "url", "says"),
    [
        ("listenPort: 5001\n", URL, "https://localhost:5001"),
        ("# listenPort: 1\n", "https://localhost:5001", "https://localhost:5000"),
        ("listenPort: 5000\nlistenSsl: false\n", URL, "http://localhost:5000"),
        ("listenPort: '5000'\nlistenSsl: true\n", URL, ""),
        ("other: 1\n", URL, ""),
        ("listenPort: 5000\nlistenSsl: false\n", "http://localhost:5000", ""),
    ],
)
def test_the_configuration_goes_with_the_address(text: str, url: str, says: str, tmp_path: Path) -> None:
    conf = tmp_path / "conf.yaml"
    conf.write_text(text)
    if not says:
        return program.check_conf(conf, url)
    with pytest.raises(UsageError, match=says) as caught:
        program.check_conf(conf, url)
    assert "IB_GATEWAY_PORT" in caught.value.fix
    return None


async def test_a_configuration_that_is_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no configuration none.yaml"):
        await spec(("bin/run.sh", "none.yaml"), home, tmp_path / "run")
    with pytest.raises(UsageError, match="cannot be read"):
        program.check_conf(tmp_path / "gone.yaml", URL)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('cors:\n  origin.allowed: "*"\nips:\n  allow:\n    - ::1\n  deny: []\n', ["any web page"]),
        ("cors:\n  origin.allowed: https://mine.example\nips:\n  allow: [127.0.0.1]\n", ["every address"]),
        ("listenPort: 5000\n# ips:\n#  allow:\n", ["every address"]),
        ("ips:\n  allow:\n    - 127.0.0.1\n  deny: []\n", []),
    ],
)
def test_what_an_own_configuration_risks_is_told(home: Path, text: str, says: list[str]) -> None:
    (home / "mine.yaml").write_text(text)

    def risks(*command: str) -> list[str]:
        return program.risks_of(Profile(gateway_command=command, gateway_cwd=str(home)))

    found = risks("bin/run.sh", "mine.yaml")
    assert len(found) == len(says) and all(say in one for say, one in zip(says, found, strict=True))
    # Where ibtui writes the configuration, or there is none, there is nothing to say.
    assert (
        risks("bin/run.sh")
        == risks("bin/run.sh", "none.yaml")
        == risks("./start", "mine.yaml")
        == risks()
        == []
    )
    home.chmod(0o777)
    assert "java runs them" in risks("bin/run.sh", "mine.yaml")[-1]


def test_the_node_services_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = {
        "IB_GATEWAY_BIN": "bin/run.sh",
        "IB_GATEWAY_CONF": "root/conf.yaml",
        "IB_GATEWAY_SERVICE_PORT": "5051",
    }
    settings = load(env=env)
    profile = settings.chosen()
    assert profile.gateway_command == ("bin/run.sh", "root/conf.yaml")
    assert profile.gateway_cwd == str(tmp_path) and settings.serve.port == 5051
    assert settings.origins["serve.port"] == "environment IB_GATEWAY_SERVICE_PORT"
    assert load(env={**env, "IBTUI_SERVE_PORT": "5052"}).serve.port == 5052
    assert load(env=env, flags={"serve.port": 0}).serve.port == 0
    # Without a configuration only a gateway's own script says what is to be run.
    assert load(env={"IB_GATEWAY_BIN": "/gw/bin/run.sh"}).chosen().gateway_command == ("/gw/bin/run.sh",)
    assert load(env={"IB_GATEWAY_BIN": "./start"}).chosen().gateway_command == ()
    assert load(env={"IB_GATEWAY_CONF": "conf.yaml"}).chosen().gateway_command == ()
    with pytest.raises(UsageError, match="IB_GATEWAY_SERVICE_PORT: serve.port: must be a whole number"):
        load(env={"IB_GATEWAY_SERVICE_PORT": "http"})
    assert config.load(env={"IB_GATEWAY_SERVICE_PORT": " "}).serve.port == 5050
