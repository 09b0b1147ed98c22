"""The manifest says what napari then really shows."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from npe2 import PluginManager, PluginManifest

from napari_promptseg import samples

ROOT = Path(__file__).resolve().parents[2]


def test_manifest_is_valid_and_the_copy_in_the_package_is_the_same() -> None:
    manifest = ROOT / "napari.yaml"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "npe2", "validate", str(manifest)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (ROOT / "napari_promptseg" / "napari.yaml").read_text() == manifest.read_text()


def test_every_command_leads_to_something_callable() -> None:
    commands = PluginManifest.from_file(ROOT / "napari.yaml").contributions.commands or []
    assert commands
    for command in commands:
        module, name = str(command.python_name).split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_installed_plugin_offers_the_widget_and_at_least_five_samples() -> None:
    manager = PluginManager()
    manager.discover()
    manifest = manager.get_manifest("napari-promptseg")
    assert [w.display_name for w in manifest.contributions.widgets or []] == ["Prompt segmentation"]
    keys = {s.key for s in manifest.contributions.sample_data or []}
    assert len(keys) >= 5
    assert all(callable(getattr(samples, key)) for key in keys)
