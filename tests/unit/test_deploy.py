"""The files in deploy/: checked with systemd's own tools where they are, else as what they say."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ibtui import config
from ibtui.service import http
from tests.headless.serve_tools import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=30)


@needs_systemd
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "ibtui.service"
    # The program lies elsewhere here, and must be one that can be run.
    unit.write_text((DEPLOY / "ibtui.service").read_text().replace("/opt/ibtui/bin/ibtui", sys.executable))
    done = analyze("verify", str(unit))
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ibtui" in line]
    assert said == []


@needs_systemd
def test_the_unit_is_hardened() -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(DEPLOY / "ibtui.service"))
    if "unrecognized option" in done.stderr or "Unknown command" in done.stderr:
        pytest.skip("this systemd-analyze looks at no files")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_leaves_java_its_compiler_and_secrets_their_place() -> None:
    lines = (DEPLOY / "ibtui.service").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert {"Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=ibtui"} <= set(
        rules
    )
    assert any(line.startswith("LoadCredential=password:") for line in rules)
    assert not any(line.startswith("MemoryDenyWriteExecute=") for line in rules)
    assert not any(line.startswith("Environment=") and "HOME=" not in line for line in rules)


def test_nothing_is_published_beyond_loopback() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    ports = re.findall(r'(?m)^ +- "([\d.:]+)"', text)
    assert sorted(ports) == ["127.0.0.1:5000:5000", "127.0.0.1:5050:5050"]
    assert "network_mode" not in text and "privileged" not in text.replace("no-new-privileges", "")
    assert "enroll" in text and "tty: true" in text


def test_the_containers_settings_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load(DEPLOY / "config.toml", env={})
    profile, serve = settings.chosen(), settings.serve
    assert profile.trading is False and profile.stop_gateway_on_exit
    assert http.problem_of(serve.host, token=bool(profile.serve_token), insecure=serve.insecure_bind) is None
    assert http.problem_of(serve.host, token=False, insecure=False) is not None
    compose = (DEPLOY / "compose.yaml").read_text()
    found = re.search(r"subnet: (\S+)\n +gateway: (\S+)", compose)
    assert found is not None and found[2] in profile.allowed_addresses
    assert ipaddress.ip_address(found[2]) in ipaddress.ip_network(found[1])
    for source in (profile.serve_token, profile.password):
        assert source.file.startswith("/run/secrets/")
        assert f"./secrets/{Path(source.file).name}" in compose


def test_the_image_gets_what_exists_and_runs_as_nobody() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for words in re.findall(r"(?m)^COPY (?!--from)(.+)$", text):
        for name in words.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}\n" in let_in, name
    assert re.search(r"(?m)^USER ibtui$", text) and "EXPOSE 5050 5000" in text
    assert "was not built" in (DEPLOY / "README.md").read_text()


def test_the_image_knows_whether_the_service_lives() -> None:
    found = re.search(r"(?m)^    CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text())
    assert found is not None
    program, *words = json.loads(found[1])
    assert program == "python"

    def healthy(port: str) -> int:
        argv = [sys.executable, *(word.replace("5050", port) for word in words)]
        return subprocess.run(argv, capture_output=True, timeout=20).returncode

    with serving({"IB_GATEWAY_PORT": "1"}) as served:
        port = served.url.rpartition(":")[2]
        assert healthy(port) == 0
    assert healthy(port) != 0
