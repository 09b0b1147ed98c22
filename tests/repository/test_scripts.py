"""Setting up, from the outside: a Python too old, a display that is not there, libraries that are missing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the two commands are for Linux and macOS")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = {path.stem for path in SCRIPTS.glob("*.py")}
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in names:
        sys.modules.pop(name, None)


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def find_python(path: Path, python: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "PYTHON": python}
    command = ["/bin/sh", str(SCRIPTS / "find_python.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def fake_python(path: Path, version: str, *, new_enough: bool) -> None:
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit {int(not new_enough)}\n'
    )
    path.chmod(0o755)


def test_a_python_too_old_is_named_in_one_sentence(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", "3.9.2", new_enough=False)
    result = find_python(tmp_path)
    assert result.returncode != 0
    assert "3.11" in result.stderr
    assert "Python 3.9.2" in result.stderr
    assert result.stdout == ""


def test_a_newer_python_beside_an_old_one_is_found(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", "3.9.2", new_enough=False)
    fake_python(tmp_path / "python3.12", "3.12.1", new_enough=True)
    result = find_python(tmp_path)
    assert result.returncode == 0
    assert result.stdout.strip() == "python3.12"


def test_a_python_chosen_by_hand_is_not_replaced_by_another(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", "3.12.1", new_enough=True)
    fake_python(tmp_path / "mine", "3.8.0", new_enough=False)
    result = find_python(tmp_path, str(tmp_path / "mine"))
    assert result.returncode != 0
    assert "mine" in result.stderr


@pytest.mark.usefixtures("scripts")
def test_environment_counts_as_installed_only_for_the_same_project_and_extras(tmp_path: Path) -> None:
    setup = load("setup_environment")
    assert not setup.is_installed(tmp_path, {"all"}, "a")
    (tmp_path / setup.STAMP).write_text('{"fingerprint": "a", "extras": ["all", "testing"]}')
    assert setup.is_installed(tmp_path, {"all"}, "a")
    assert not setup.is_installed(tmp_path, {"all", "other"}, "a")
    assert not setup.is_installed(tmp_path, {"all"}, "b")
    (tmp_path / setup.STAMP).write_text("{half a fi")
    assert not setup.is_installed(tmp_path, {"all"}, "a")


@pytest.mark.usefixtures("scripts")
def test_cpu_torch_is_taken_on_linux_without_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = load("setup_environment")
    for system, gpu, expected in (("Linux", False, True), ("Linux", True, False), ("Darwin", False, False)):
        monkeypatch.setattr(setup.platform, "system", lambda system=system: system)
        monkeypatch.setattr(setup, "has_nvidia_gpu", lambda gpu=gpu: gpu)
        assert setup.wants_cpu_torch() is expected
    assert setup.fingerprint(True) != setup.fingerprint(False)


@pytest.mark.usefixtures("scripts")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X displays")
def test_a_stale_display_does_not_count() -> None:
    display = load("display")
    assert not display.has_display({"DISPLAY": ":64999"})
    assert not display.has_display({"DISPLAY": "nonsense"})
    assert not display.has_display({})
    assert display.has_display({"WAYLAND_DISPLAY": "wayland-0"})


@pytest.mark.usefixtures("scripts")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="system packages of Linux")
def test_missing_libraries_give_one_command_and_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = load("system_packages")
    monkeypatch.setattr(packages, "missing_packages", lambda: ["libgl1", "xvfb"])
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "apt-get" else None)
    assert packages.main() == 1
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if "apt-get" in line]
    assert commands == ["sudo sh -c 'apt-get update && apt-get install -y libgl1 xvfb'"]


@pytest.mark.usefixtures("scripts")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="system packages of Linux")
def test_as_root_on_debian_missing_libraries_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = load("system_packages")
    calls: list[list[str]] = []
    states = iter([["xvfb"], []])

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(packages, "missing_packages", lambda: next(states))
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(packages.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages.subprocess, "run", run)
    assert packages.main() == 0
    assert [c[:2] for c in calls] == [["apt-get", "update"], ["apt-get", "install"]]
    assert calls[1][-1] == "xvfb"


@pytest.mark.usefixtures("scripts")
def test_nothing_is_asked_for_where_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = load("system_packages")
    monkeypatch.setattr(packages, "is_loadable", lambda library: True)
    monkeypatch.setattr(packages, "has_fonts", lambda: True)
    monkeypatch.setattr(packages, "has_display", lambda: True)
    assert packages.missing_packages() == []
    monkeypatch.setattr(packages, "is_loadable", lambda library: library != "libGL.so.1")
    assert packages.missing_packages() == ["libgl1", "libgl1-mesa-dri"]


@pytest.mark.usefixtures("scripts")
def test_checks_go_on_after_a_failure_and_end_with_the_test_runner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = load("checks")
    outcomes = iter([(1, "broken style"), (0, ""), (0, ""), (0, ""), (0, "== 3 passed in 1 s ==")])
    monkeypatch.setattr(checks, "run", lambda command: next(outcomes))
    monkeypatch.setattr(checks.sys, "argv", ["checks.py"])
    assert checks.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "== 3 passed in 1 s =="
    assert "Failed: style." in lines


@pytest.mark.usefixtures("scripts")
def test_the_last_line_of_a_check_is_caught_while_its_output_streams(capfd: pytest.CaptureFixture[str]) -> None:
    checks = load("checks")
    code, line = checks.run(
        [sys.executable, "-c", "print('first'); print('\\033[31mlast\\033[0m'); raise SystemExit(3)"]
    )
    assert (code, line) == (3, "last")
    assert "first" in capfd.readouterr().out
