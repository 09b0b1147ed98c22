"""The catalogue: true facts, names that exist, and no network."""

from __future__ import annotations

import pytest
import torch

from napari_promptseg.encoders import catalogue, specs
from napari_promptseg.encoders.catalogue import family_of, list_models
from napari_promptseg.encoders.families import wrap_tower
from napari_promptseg.encoders.licences import APPLE_RESEARCH, SEE_PAGE, weights_licence
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


_TIMM_SAYS = {"mit": "MIT", "apache-2.0": "Apache-2.0", "cc-by-nc-4.0": "CC BY-NC 4.0", "apple-amlr": APPLE_RESEARCH}


def test_licences_are_those_in_timms_own_records() -> None:
    open_clip = open_clip_module()
    from timm.models import get_pretrained_cfg
    from timm.models import list_models as timm_models

    names = set(timm_models(pretrained=True))
    checked = 0
    for model, tag in open_clip.list_pretrained():
        repository = (open_clip.get_pretrained_cfg(model, tag).get("hf_hub") or "").rstrip("/")
        name = repository.removeprefix("timm/")
        if name in names and (licence := get_pretrained_cfg(name).license) is not None:
            assert _TIMM_SAYS[licence] in weights_licence(repository), repository
            checked += 1
    assert checked > 20


@pytest.mark.parametrize(
    ("tower", "repository"),
    [
        ("fastvit_mci0.apple_mclip2_dfndr2b", "timm/MobileCLIP2-S0-OpenCLIP"),
        ("fastvit_mci1.apple_mclip", "apple/MobileCLIP-S1-OpenCLIP"),
        ("vit_base_patch16_siglip_224.v2_webli", "timm/ViT-B-16-SigLIP2"),
        ("vit_pe_core_base_patch16_224.fb", "timm/PE-Core-B-16"),
        ("eva02_base_patch16_clip_224.merged2b", "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k"),
        ("vitamin_base_224.datacomp1b_clip", "jienengchen/ViTamin-B"),
    ],
)
def test_licences_of_pairs_are_those_of_their_image_towers(tower: str, repository: str) -> None:
    open_clip_module()
    from timm.models import get_pretrained_cfg

    assert weights_licence(repository) == _TIMM_SAYS[get_pretrained_cfg(tower).license]


@pytest.mark.parametrize(
    "repository",
    ["apple/DFN2B-CLIP-ViT-B-16", "somebody/new-model", "laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k", ""],
)
def test_a_licence_that_was_not_seen_is_not_asserted(repository: str) -> None:
    assert weights_licence(repository) == SEE_PAGE


def test_recommended_models_have_a_licence_that_was_seen() -> None:
    assert not [e.spec for e in list_models(everything=False) if e.licence == SEE_PAGE]
