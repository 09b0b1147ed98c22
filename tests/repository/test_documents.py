"""What the documents tell a reader to do can be done."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_and_pictures_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_make_targets_exist(document: Path) -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    text = document.read_text(encoding="utf-8")
    wanted = set(re.findall(r"^make ([a-z-]+)", text, flags=re.M)) | set(re.findall(r"`make ([a-z-]+)`", text))
    assert wanted <= rules


def subcommand_help(name: str) -> str:
    command = [sys.executable, "-m", "napari_promptseg", name, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["segment", "evaluate", "models"])
def test_command_line_has_every_option_the_documents_show(name: str) -> None:
    help_text = subcommand_help(name)
    for document in DOCUMENTS:
        for line in re.findall(rf"^napari-promptseg {name}\b.*", document.read_text(encoding="utf-8"), flags=re.M):
            for option in re.findall(r"(?<!\w)--[a-z-]+", line.split("#")[0]):
                assert option in help_text, f"{named(document)}: {option}"


def test_python_of_the_first_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "(300, 451)" in capsys.readouterr().out
    share = names["result"].area_share(1)
    assert 0.2 < share < 0.95, "the cat fills about half of its picture"


def test_make_alone_lists_the_two_commands() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    text = subprocess.run([make, "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make demo" in text
    assert "make test" in text
