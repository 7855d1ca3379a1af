"""What a zip may not be: each refusal is a sentence, and leaves nothing behind."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from ibtui.errors import GatewayFault
from ibtui.gateway import archive
from ibtui.gateway.install import Shelf
from tests.unit.gateway import install_zips as zips
from tests.unit.gateway.install_zips import Entry, gateway, odd_name, special, zipped

EVIL: dict[str, list[Entry]] = {
    "out": [("../evil", b"x")],
    "out of a folder": [("root/../../evil", b"x")],
    "absolute": [("/tmp/ibtui-evil", b"x")],
    "windows": [odd_name("C:\\evil")],
    "backslash": [odd_name("root\\..\\..\\evil")],
    "stream": [("root/a:b", b"x")],
    "nothing": [("root//a", b"x")],
    "dot": [("root/./a", b"x")],
    "newline": [("root/a\nb", b"x")],
    "escape": [("root/\x1b[31m", b"x")],
    "long": [("root/" + "a" * 300, b"x")],
    "link": [special("root/link", stat.S_IFLNK)],
    "link to a folder": [special("root/link", stat.S_IFLNK), ("root/link/evil", b"x")],
    "fifo": [special("root/fifo", stat.S_IFIFO)],
    "device": [special("root/device", stat.S_IFCHR)],
    "socket": [special("root/socket", stat.S_IFSOCK)],
    "folder with contents": [special("root/folder", stat.S_IFDIR)],
    "twice": [("root/conf.YAML", b"x")],
    "accents": [("root/\u00e9", b"x"), ("root/e\u0301", b"x")],
    "file and folder": [("root/a", b"x"), ("root/a/b", b"x")],
    "bomb": [("root/zeros", bytes(8_000_000))],
}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data" / "gateway")


def leftovers(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.root.iterdir() if path.name != ".lock")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", sorted(EVIL))
def test_an_evil_zip_is_refused(name: str, shelf: Shelf, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "evil.zip", *gateway(), *EVIL[name])
    with shelf.alone(), pytest.raises(GatewayFault) as caught:
        shelf.add(path)
    assert "Nothing was unpacked" in caught.value.what and caught.value.fix
    assert leftovers(shelf) == []
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/ibtui-evil").exists()
    assert "\x1b" not in caught.value.what and "\n" not in caught.value.what


def test_too_many_files_and_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [zipfile.ZipInfo(f"root/{n}") for n in range(archive.MAX_ENTRIES + 1)]
    with pytest.raises(GatewayFault, match="5001 files"):
        archive.check(entries)
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    big = zipfile.ZipInfo("root/big")
    big.file_size = (1 << 20) + 1
    with pytest.raises(GatewayFault, match="larger than 1 MB"):
        archive.check([big])


def test_encrypted_or_packed_by_another_method(tmp_path: Path) -> None:
    secret, packed = zipfile.ZipInfo("a"), zipfile.ZipInfo("b")
    secret.flag_bits = 1
    packed.compress_type = zipfile.ZIP_LZMA
    for entry, word in ((secret, "encrypted"), (packed, "unusual")):
        with pytest.raises(GatewayFault, match=word):
            archive.check([entry])


def test_a_size_that_lies(shelf: Shelf, tmp_path: Path) -> None:
    """The directory says 10 bytes, the data hold more: never more than was checked is written."""
    raw = bytearray(zipped(*gateway(), ("root/liar", b"A" * 5000)))
    at = raw.rindex(b"root/liar") - 46  # its entry in the central directory
    assert raw[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<I", raw, at + 24, 10)
    path = tmp_path / "liar.zip"
    path.write_bytes(raw)
    with shelf.alone(), pytest.raises(GatewayFault, match=r"damaged"):
        shelf.add(path)
    assert leftovers(shelf) == []


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_half_a_zip(cut: int, shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "half.zip"
    path.write_bytes(zipped(*gateway())[:cut])
    with shelf.alone(), pytest.raises(GatewayFault, match=r"half.zip is damaged or no zip"):
        shelf.add(path)
    assert leftovers(shelf) == []


def test_a_flipped_bit(shelf: Shelf, tmp_path: Path) -> None:
    raw = bytearray(zipped(*gateway(), ("root/noise", os.urandom(5000))))
    raw[raw.index(b"root/noise") + 2000] ^= 1
    path = tmp_path / "flipped.zip"
    path.write_bytes(raw)
    with shelf.alone(), pytest.raises(GatewayFault, match=r"damaged"):
        shelf.add(path)
    assert leftovers(shelf) == []


def test_something_else_in_a_zip(shelf: Shelf, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "other.zip", ("readme.txt", b"hello"))
    with shelf.alone(), pytest.raises(GatewayFault, match="not a Client Portal Gateway"):
        shelf.add(path)
    path = zips.write(tmp_path / "other.zip", *[e for e in gateway() if e[0] != zips.RUNTIME])
    with shelf.alone(), pytest.raises(GatewayFault, match="build/lib/runtime is missing"):
        shelf.add(path)
    assert leftovers(shelf) == []


@pytest.mark.parametrize("top", ["", "clientportal.gw/"])
def test_a_good_one_is_private(top: str, shelf: Shelf, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with shelf.alone():
        found = shelf.add(zips.write(tmp_path / "gw.zip", *gateway(top=top)), lambda *step: told.append(step))
    assert found.folder.parent == shelf.root
    for path in [found.folder, *found.folder.rglob("*")]:
        runs = path.is_dir() or path.name == "run.sh"
        assert path.stat().st_mode & 0o777 == (0o700 if runs else 0o600), path
    assert told[-1][0] == told[-1][1] > 0
    assert leftovers(shelf) == [found.version, "current.json"]
