from pathlib import Path

import pytest

from fdl.modes import doctor as room
from fdl.modes.doctor import Finding, doctor


def found(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_doctor_names_the_devices_and_finds_them_right() -> None:
    said: list[str] = []
    findings = doctor(log=said.append)
    assert found(findings, "devices").seen.startswith("8 cpu devices")
    assert found(findings, "a product on each").seen == "right"
    native = found(findings, "native kernels")
    assert ("kernels-" in native.seen or "no C++ compiler" in native.seen, native.remedy) == (True, "")
    assert all(finding.name in "\n".join(said) for finding in findings)


def test_what_is_missing_comes_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "NEEDED", ("no-such-package",))
    said: list[str] = []
    assert found(doctor(log=said.append), "no-such-package").remedy == "pip install no-such-package"
    assert any("-> pip install no-such-package" in line for line in said)


def test_a_full_disk_and_a_file_for_a_folder_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    assert "holds mnist" in found(doctor(log=str), "tfds folder").seen
    monkeypatch.setattr(room, "FREE_DISK", 2**80)
    assert found(doctor(log=str), "tfds folder").remedy
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))
    assert "TFDS_DATA_DIR" in found(doctor(log=str), "tfds folder").remedy
