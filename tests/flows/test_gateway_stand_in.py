"""The simulator as a stand-in for the gateway, as the demo runs it; and processes that outlive us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ibtui
from ibtui.gateway import pidfile, procs
from ibtui.gateway.health import Kind, probe
from ibtui.gateway.process import GatewayProcess
from ibtui.gateway.spec import Spec, command_spec
from ibtui.gateway.state import State

pytestmark = pytest.mark.timeout(90)
ROOT = Path(ibtui.__file__).parents[1]
"""So that the programs find the package in a checkout that is not installed, too."""
SIMULATOR = (sys.executable, "-m", "ibtui.sim.main", "--port", "0", "--seed", "7")


def simulator(folder: Path, *, tied: bool) -> Spec:
    ready = folder / "ready.json"
    words = ("--tied",) if tied else ()
    return command_spec(
        (*SIMULATOR, *words, "--ready", str(ready)),
        folder / "run",
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        tied=tied,
        ends_at_eof=tied,
        ready_file=ready,
    )


async def gone(group: int) -> None:
    async with asyncio.timeout(10):
        while procs.group_members(group):
            await asyncio.sleep(0.05)


async def test_tied_simulator_is_the_gateway(tmp_path: Path) -> None:
    gateway = GatewayProcess(simulator(tmp_path, tied=True))
    info = await gateway.start()
    assert info.state is State.RUNNING and info.tied and info.pid and info.port
    assert gateway.ca_file is not None
    seen = await probe(gateway.url, ca_file=gateway.ca_file)
    assert seen.kind is Kind.UP and seen.status == 302
    await gateway.close()
    assert procs.group_members(info.pid) == [] and procs.port_free(info.port)


async def test_tied_simulator_dies_with_a_killed_owner(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_gateway_stand_in import simulator\n"
        "from ibtui.gateway.process import GatewayProcess\n"
        "async def main():\n"
        "    gateway = GatewayProcess(simulator(Path(sys.argv[1]), tied=True))\n"
        "    print((await gateway.start()).pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert owner.stdout is not None
    pid = int(await asyncio.wait_for(owner.stdout.readline(), 45))
    assert procs.group_members(pid)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    await gone(pid)


async def test_detached_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_gateway_stand_in import simulator\n"
        "from ibtui.gateway.process import GatewayProcess\n"
        "async def main():\n"
        "    gateway = GatewayProcess(simulator(Path(sys.argv[1]), tied=False))\n"
        "    await gateway.start()\n"
        "    await gateway.close()\n"
        "asyncio.run(main())\n"
    )
    strict = ("-X", "dev", "-W", "error")
    command = (sys.executable, *strict, "-c", code, str(tmp_path), str(Path(__file__).parent))
    owner = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, cwd=ROOT)
    gateway = GatewayProcess(simulator(tmp_path, tied=False))
    try:
        _, complaints = await asyncio.wait_for(owner.communicate(), 45)
        assert owner.returncode == 0 and b"ResourceWarning" not in complaints
        info = await gateway.adopt()
        assert info is not None and info.pid and info.state is State.RUNNING and not info.outdated
        assert os.getsid(info.pid) == info.pid
        assert Path(f"/proc/{info.pid}/fd/0").resolve() == Path("/dev/null") or sys.platform != "linux"
        record = pidfile.read(gateway.spec.folder.pid)
        assert record is not None and record.url == gateway.url
        assert (await gateway.health()).up
    finally:
        stopped = await gateway.stop()
    assert stopped
    await gone(info.pid)
