"""The catalogue: true facts, names that exist, and no network."""

from __future__ import annotations

import pytest
import torch

from napari_promptseg.encoders import catalogue, specs
from napari_promptseg.encoders.catalogue import family_of, list_models
from napari_promptseg.encoders.families import wrap_tower
from napari_promptseg.encoders.model_sizes import MILLIONS
from napari_promptseg.encoders.specs import parse_spec
from napari_promptseg.encoders.torchvision_bridge import open_clip_module


def test_every_named_model_exists_in_open_clips_lists() -> None:
    pretrained = set(open_clip_module().list_pretrained())
    built_in = [e.spec for e in list_models() if e.spec != "embedded" and not e.spec.startswith("hf-hub:")]
    assert {tuple(s.split("/")) for s in built_in} <= pretrained
    assert set(catalogue._RECOMMENDED) <= set(built_in)
    for spec in catalogue._HUB:
        assert parse_spec(spec).kind == "hub"


def test_no_model_is_listed_twice_and_the_recommended_come_first() -> None:
    entries = [e for e in list_models() if e.spec != "embedded"]
    assert len({e.spec for e in entries}) == len(entries) > 100
    first = [e.spec for e in list_models(everything=False) if e.spec != "embedded"]
    assert [e.spec for e in entries][: len(first)] == first
    assert first == [*catalogue._HUB, *catalogue._RECOMMENDED]


def test_every_pretrained_weight_is_listed_under_some_name() -> None:
    listed = {e.spec.replace("-quickgelu", "") for e in list_models()}
    wanted = {f"{m}/{t}".replace("-quickgelu", "") for m, t in open_clip_module().list_pretrained()}
    assert wanted <= listed


def test_facts_are_complete() -> None:
    for entry in list_models():
        assert entry.title
        assert entry.licence
        assert entry.good_at
        assert entry.family != "not supported", entry.spec
        assert entry.state in ("embedded", "on disk", "can be fetched")
        if entry.parameters is not None and entry.state != "embedded":
            assert entry.download_mb == pytest.approx(entry.parameters * 4e-6, abs=1)


@pytest.mark.parametrize(
    "name", ["ViT-B-32", "RN50", "MobileCLIP2-S0", "PE-Core-T-16-384", "convnext_tiny", "EVA02-B-16"]
)
def test_families_and_parameters_are_those_of_the_built_model(name: str) -> None:
    open_clip = open_clip_module()
    configuration = open_clip.get_model_config(name)
    kind = open_clip.CustomTextCLIP if configuration.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        model = kind(**configuration)
    assert wrap_tower(model.visual).family == family_of(open_clip.get_model_config(name))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(MILLIONS[name] * 1e6, abs=6e4)


def test_unsupported_configurations_are_told() -> None:
    open_clip = open_clip_module()
    assert family_of(open_clip.get_model_config("swin_base_patch4_window7_224")) == "not supported"
    assert family_of(open_clip.get_model_config("vit_relpos_medium_patch16_cls_224")) == "not supported"


def test_weights_in_the_cache_are_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    file.touch()
    wanted = specs.tag_files("ViT-B-16-quickgelu", "openai")[0]
    monkeypatch.setattr(specs, "hub_file", lambda *place: file if place == wanted else None)
    states = {e.spec: e.state for e in list_models(everything=False)}
    assert states["ViT-B-16-quickgelu/openai"] == "on disk"
    assert states["MobileCLIP2-S0/dfndr2b"] == "can be fetched"
