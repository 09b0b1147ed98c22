"""Importing torchvision beside a torch that does not fit it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from napari_promptseg.encoders import torchvision_bridge as bridge
from napari_promptseg.errors import ModelError


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    bridge.ensure_torchvision.cache_clear()
    yield
    bridge.ensure_torchvision.cache_clear()


def test_open_clip_imports_in_a_new_process() -> None:
    code = "from napari_promptseg.encoders.torchvision_bridge import open_clip_module as o; o().list_models()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_missing_operators_are_declared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ["first_of_test", "second_of_test"]

    def load(name: str) -> None:
        if missing:
            raise RuntimeError(f"operator torchvision::{missing.pop(0)} does not exist")

    monkeypatch.setattr(bridge, "import_module", load)
    modules = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "torchvision"}
    bridge.ensure_torchvision()
    sys.modules.update(modules)
    import torch

    assert hasattr(torch.ops.torchvision, "first_of_test")
    assert hasattr(torch.ops.torchvision, "second_of_test")


def test_nothing_is_declared_where_torchvision_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(bridge._declared)
    monkeypatch.setattr(bridge, "import_module", lambda name: None)
    bridge.ensure_torchvision()
    assert len(bridge._declared) == before


@pytest.mark.parametrize("error", [RuntimeError("something else"), ImportError("no module named torchvision")])
def test_other_failures_are_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(name: str) -> None:
        raise error

    monkeypatch.setattr(bridge, "import_module", load)
    with pytest.raises(ModelError, match="reinstall"):
        bridge.ensure_torchvision()
