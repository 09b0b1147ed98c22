"""What the documents tell a reader to do can be done."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import names, parser, spelled
from napari_promptseg.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(p for f in ("docs", "resources", "scripts") for p in ROOT.glob(f"{f}/**/*.md"))]
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.S | re.M)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_and_pictures_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)\s]+)", text) if "://" not in t]
    missing = [t for t in targets if not (document.parent / t.split("#")[0]).exists()]
    assert not missing
    inside = [t.partition("#") for t in targets if "#" in t]
    places = [(document.parent / file if file else document, place) for file, _, place in inside]
    assert not [place for file, place in places if place not in headings(file)]


def headings(document: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_make_targets_exist(document: Path) -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    text = document.read_text(encoding="utf-8")
    wanted = set(re.findall(r"^make ([a-z-]+)", text, flags=re.M)) | set(re.findall(r"`make ([a-z-]+)`", text))
    assert wanted <= rules


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Calls of a program that the documents show, in blocks and within sentences, and where."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        lines = [line for _, block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        within = [call.replace("\n", " ") for call in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
        for call in [*lines, *within]:
            if call.startswith(f"{program} "):
                found.append((named(document), shlex.split(call, comments=True)[len(program.split()) :]))
    return found


def is_understood(parser: argparse.ArgumentParser, words: list[str]) -> bool:
    """Whether a parser takes the words; of a call that is shown in part it must know the options."""
    if "..." in words or not any(w.startswith("-") for w in words):
        return all(w in parser.format_help() for w in words if w.startswith("-"))
    words = ["0" if w in {"N", "S", "T", "W"} else w for w in words]
    try:
        parser.parse_args([re.sub(r"=W$", "=0.5", w) for w in words])
    except SystemExit as stop:
        return stop.code == 0
    return True


def subparser(name: str) -> argparse.ArgumentParser:
    (choices,) = [a.choices for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return choices[name]


def test_command_line_understands_what_the_documents_show(capsys: pytest.CaptureFixture[str]) -> None:
    shown = commands("napari-promptseg")
    assert {words[0] for _, words in shown} >= {"segment", "evaluate", "tune", "describe", "models"}
    wrong = [f"{where}: {words}" for where, words in shown if not is_understood(subparser(words[0]), words[1:])]
    assert not wrong, capsys.readouterr().err


def test_benchmarks_understand_what_the_documents_show(capsys: pytest.CaptureFixture[str]) -> None:
    shown = commands("python -m benchmarks")
    assert {"modalities", "big", "volume"} <= {words[0] for _, words in shown}
    parsers = {name: parser(name) for name in names()}
    wrong = [f"{where}: {words}" for where, words in shown if not is_understood(parsers[spelled(words[0])], words[1:])]
    assert not wrong, capsys.readouterr().err


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_python_imports_what_there_is(document: Path) -> None:
    blocks = BLOCK.findall(document.read_text(encoding="utf-8"))
    for code in (code for language, code in blocks if language == "python"):
        for statement in ast.walk(ast.parse(code)):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                exec(compile(ast.unparse(statement), named(document), "exec"), {})


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
