from __future__ import annotations

from pathlib import Path

import pytest

from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway.java import Java
from ibtui.gateway.spec import JAR, check_install, clean_env, command_spec, java_spec, port_of

JAVA = Java(Path("/usr/bin/java"), "17.0.1", (17, 1))


def install(folder: Path) -> Path:
    for part in (JAR, Path("build/lib/runtime/x.jar"), Path("root/conf.yaml")):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("")
    return folder


def test_java_command_line(tmp_path: Path) -> None:
    gateway, run = install(tmp_path / "gw"), tmp_path / "run"
    spec = java_spec("https://localhost:5001", gateway, run, java=JAVA, env={"HOME": "/h", "TOKEN": "t"})
    path = spec.argv[spec.argv.index("-cp") + 1].split(":")
    assert path == [str(run), str(gateway / "root"), str(gateway / JAR), str(gateway / "build/lib/runtime/*")]
    assert spec.argv[0] == "/usr/bin/java" and spec.argv[-2:] == ("--conf", "conf.yaml")
    assert spec.cwd == run and spec.env == {"HOME": "/h"} and spec.port == 5001
    assert spec.ca_file == run / "gateway.pem" and not spec.tied
    again = java_spec("https://localhost:5001", gateway, run, java=Java(Path("java"), "", (0, 0)), env={})
    other = java_spec("https://localhost:5001", gateway, run, java=JAVA, env={}, proxy_host="https://x.test")
    assert again.digest == spec.digest != other.digest
    assert not run.exists()  # nothing is written before a start
    spec.prepare()
    assert 'proxyRemoteHost: "https://api.ibkr.com"' in spec.folder.conf.read_text()
    assert "proxyRemoteSsl: true" in spec.folder.conf.read_text()


def test_java_behind_plain_http(tmp_path: Path) -> None:
    gateway = install(tmp_path / "gw")
    spec = java_spec(
        "http://127.0.0.1:5001",
        gateway,
        tmp_path / "run",
        java=JAVA,
        env={},
        proxy_host="http://127.0.0.1:6000",
    )
    spec.prepare()
    text = spec.folder.conf.read_text()
    assert "listenSsl: false" in text and "proxyRemoteSsl: false" in text and spec.ca_file is None


def test_own_configuration(tmp_path: Path) -> None:
    gateway, own = install(tmp_path / "gw"), tmp_path / "mine" / "conf.yaml"
    spec = java_spec("https://localhost:5001", gateway, tmp_path / "run", java=JAVA, env={}, own_conf=own)
    spec.folder.path.mkdir()
    spec.folder.conf.write_text("ours of an earlier start")
    spec.prepare()
    assert not spec.folder.conf.exists() and spec.folder.logback.exists()
    path = spec.argv[spec.argv.index("-cp") + 1].split(":")
    assert path[:2] == [str(tmp_path / "run"), str(own.parent)]
    assert spec.argv[-1] == "conf.yaml" and spec.ca_file is None


def test_what_is_not_a_gateway(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no gateway folder") as caught:
        check_install(tmp_path / "nothing")
    assert "gateway install" in caught.value.fix
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not a Client Portal Gateway: dist/"):
        check_install(tmp_path / "empty")
    gateway = install(tmp_path / "gw")
    (gateway / "build/lib/runtime/x.jar").unlink()
    with pytest.raises(UsageError, match="not complete"):
        check_install(gateway)


def test_only_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        java_spec("https://gw.example.com:5000", install(tmp_path / "gw"), tmp_path, java=JAVA, env={})


def test_colon_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(GatewayFault, match="colon"):
        java_spec("https://localhost:5000", install(tmp_path / "g:w"), tmp_path, java=JAVA, env={})


def test_environment_is_an_allow_list() -> None:
    env = {"PATH": "p", "LC_ALL": "C", "LANG": "C", "JAVA_HOME": "j", "IBTUI_X": "s", "AWS_SECRET": "s"}
    assert set(clean_env(env)) == {"PATH", "LC_ALL", "LANG", "JAVA_HOME"}


def test_command(tmp_path: Path) -> None:
    spec = command_spec(["prog", "-x"], tmp_path, env={}, url="http://localhost", cwd=Path("/"))
    assert spec.kind == "command" and spec.port == 80 and spec.cwd == Path("/") and spec.tied
    other = command_spec(["prog", "-y"], tmp_path, env={}, url="https://localhost")
    assert other.port == 443 and other.digest != spec.digest and other.cwd == tmp_path
    with pytest.raises(UsageError, match="empty"):
        command_spec([], tmp_path, env={}, url="http://localhost")
    with pytest.raises(UsageError, match="no address"):
        command_spec(["prog"], tmp_path, env={})


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://localhost", "https://", "https://localhost:x", ""])
def test_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="not a gateway's address"):
        port_of(url)
