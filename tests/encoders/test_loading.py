"""Loading models: every kind of name, and one clear sentence for everything that can be wrong."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import text_models
import tiny_models
import torch

from napari_promptseg.encoders import loading, openclip, specs
from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.encoders.openclip import LoadedModel, OpenClipEncoder
from napari_promptseg.encoders.specs import ModelSpec, parse_spec
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import InputError, ModelError, PromptSegError

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def bert_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bert"
    text_models.write_bert_directory(folder)
    return folder


@pytest.fixture
def copied(bert_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert_directory, tmp_path / "copy"))


def sentence(error: PromptSegError) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.endswith((".", "?"))
    return text


def test_a_directory_with_a_language_model_loads_offline(bert_directory: Path) -> None:
    encoder = load_encoder(f"local-dir:{bert_directory}", device="cpu")
    assert encoder.name == f"local-dir:{bert_directory}"
    assert encoder.encode_texts(["a cat", "the red dog"]).shape == (2, 32)
    assert encoder.encode_plane(PICTURE).semantic.shape[2] == 32
    assert encoder.describe()["source"] == str(bert_directory)


def test_a_moved_directory_is_the_same_model(bert_directory: Path, copied: Path) -> None:
    one = load_encoder(f"local-dir:{bert_directory}", device="cpu")
    other = load_encoder(f"local-dir:{copied}", device="cpu")
    assert one.fingerprint == other.fingerprint
    torch.testing.assert_close(one.encode_plane(PICTURE).semantic, other.encode_plane(PICTURE).semantic)


def test_preprocessing_comes_from_the_directory(bert_directory: Path, copied: Path) -> None:
    path = copied / "open_clip_config.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["preprocess_cfg"]["mean"] = [0.1, 0.2, 0.3]
    path.write_text(json.dumps(facts), encoding="utf-8")
    one = load_encoder(f"local-dir:{bert_directory}", device="cpu")
    other = load_encoder(f"local-dir:{copied}", device="cpu")
    assert one.fingerprint != other.fingerprint
    assert not torch.allclose(one.encode_plane(PICTURE).semantic, other.encode_plane(PICTURE).semantic, atol=1e-4)


@pytest.mark.parametrize(
    ("remove", "told"),
    [
        ("open_clip_model.safetensors", "no weights"),
        ("open_clip_config.json", "open_clip_config.json"),
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer"),
    ],
)
def test_a_missing_file_is_named_and_never_replaced_by_chance(copied: Path, remove: str, told: str) -> None:
    (copied / remove).unlink()
    with pytest.raises(ModelError, match=told) as raised:
        load_encoder(f"local-dir:{copied}", device="cpu")
    assert str(copied) in sentence(raised.value)


def test_damaged_weights_are_told(copied: Path) -> None:
    weights = copied / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged") as raised:
        load_encoder(f"local-dir:{copied}", device="cpu")
    assert "open_clip_model.safetensors" in sentence(raised.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"model_cfg": {}}', '{"model_cfg": {"text_cfg": 1, "vision_cfg": 2}}'])
def test_a_damaged_configuration_is_told(copied: Path, content: str) -> None:
    (copied / "open_clip_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"open_clip_config\.json is damaged") as raised:
        load_encoder(f"local-dir:{copied}", device="cpu")
    sentence(raised.value)


def test_weights_of_another_model_are_told(copied: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, copied / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match="another model"):
        load_encoder(f"local-dir:{copied}", device="cpu")


def test_a_checkpoint_file_loads_into_a_built_in_configuration(tmp_path: Path, monkeypatch: Any) -> None:
    open_clip = open_clip_module()
    configuration = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 2},
        "text_cfg": {**tiny_models.TEXT, "context_length": 77},
    }
    (tmp_path / "Tiny-Test.json").write_text(json.dumps(configuration), encoding="utf-8")
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS, tmp_path])
    open_clip.factory._rescan_model_configs()
    try:
        model = open_clip.CLIP(**configuration)
        checkpoint = tmp_path / "weights.pt"
        torch.save(model.state_dict(), checkpoint)
        encoder = load_encoder(f"Tiny-Test@{checkpoint}", device="cpu")
        pixels = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(
            encoder.image_tower.extract(pixels, "vanilla").pooled, model.eval().encode_image(pixels)
        )
        again = load_encoder(f"Tiny-Test@{checkpoint}", device="cpu")
        assert again.fingerprint == encoder.fingerprint
        checkpoint.write_bytes(b"not a checkpoint")
        with pytest.raises(ModelError, match=r"weights\.pt"):
            load_encoder(f"Tiny-Test@{checkpoint}", device="cpu")
    finally:
        monkeypatch.undo()
        open_clip.factory._rescan_model_configs()


def test_random_weights_are_the_same_on_every_start() -> None:
    one, other = (load_encoder("ViT-S-32-alt/random", device="cpu") for _ in range(2))
    assert one.fingerprint == other.fingerprint
    assert load_encoder("ViT-S-32-alt/random", device="cpu", dense_mode="vanilla").fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("ViT-B-61/openai", "ViT-B-16"),
        ("ViT-B-16", "ViT-B-16/openai"),
        ("ViT-B-16/opnai", "ViT-B-16/openai"),
        ("hf-hub:nothing", "hf-hub:organisation/name"),
        ("local-dir:/no/such/folder", "/no/such/folder"),
        ("ViT-B-32@/no/such/file.pt", "/no/such/file.pt"),
        ("swin_base_patch4_window7_224/random", "SwinTransformer"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(spec: str, told: str) -> None:
    with pytest.raises(ModelError, match=told) as raised:
        load_encoder(spec)
    sentence(raised.value)


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("ViT-B-16-quickgelu/openai", "open_clip_model.safetensors"),
        ("hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "open_clip_config.json"),
    ],
)
def test_without_a_network_the_missing_file_is_told_at_once(spec: str, file: str) -> None:
    start = time.monotonic()
    with pytest.raises(ModelError, match="no network") as raised:
        load_encoder(spec)
    assert time.monotonic() - start < 20  # not the library's minute of retries
    text = sentence(raised.value)
    assert file in text
    assert "the embedded model works now" in text


def test_the_network_is_looked_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    assert not specs.network_available()  # the tests run with the hub switched off
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(timeout)
        raise OSError("unreachable")

    monkeypatch.setattr(specs.socket, "create_connection", refuse)
    assert not specs.network_available()
    assert asked == [specs.NETWORK_PATIENCE]


def test_a_failed_fetch_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "network_available", lambda: True)
    with pytest.raises(ModelError, match="could not be fetched") as raised:
        load_encoder("ViT-B-16-quickgelu/openai")
    sentence(raised.value)


def test_tags_of_openai_bring_their_activation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def create(name: str, **keywords: Any) -> Any:
        seen.update(keywords, name=name)
        return tiny_models.native_vit()

    file = tmp_path / "open_clip_model.safetensors"
    monkeypatch.setattr(loading, "cached_weights", lambda spec: file)
    monkeypatch.setattr(open_clip_module(), "create_model", create)
    loading.load_model(ModelSpec("tag", "ViT-B-16", "openai"), "ViT-B-16/openai")
    assert seen["force_quick_gelu"] is True
    assert seen["pretrained"] == str(file)
    loading.load_model(ModelSpec("tag", "ViT-B-16", "laion2b_s34b_b88k"), "x")
    assert seen["force_quick_gelu"] is False


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("ViT-B-16-quickgelu/openai", ModelSpec("tag", "ViT-B-16-quickgelu", "openai")),
        ("ViT-B/16/openai", ModelSpec("tag", "ViT-B-16", "openai")),
        (" RN50/random ", ModelSpec("random", "RN50")),
        ("hf-hub:a/b", ModelSpec("hub", "a/b")),
        ("local-dir:/a b/c@d", ModelSpec("directory", "/a b/c@d")),
        ("ViT-B-32@/a/b@c.pt", ModelSpec("checkpoint", "ViT-B-32", "/a/b@c.pt")),
    ],
)
def test_names_are_read(text: str, spec: ModelSpec) -> None:
    assert parse_spec(text) == spec


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="'tpu'"):
        load_encoder("ViT-B-32/random", device="tpu")


class Full:
    """A tower whose device runs out of memory once."""

    def __init__(self, tower: Any) -> None:
        self._tower, self.calls = tower, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tower, name)

    def extract(self, pixels: torch.Tensor, mode: str) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._tower.extract(pixels, mode)


def tiny_encoder() -> OpenClipEncoder:
    loaded = LoadedModel("tiny", tiny_models.native_vit(), text_models.clip_tokenizer())
    return OpenClipEncoder(loaded, torch.device("cpu"))


def test_a_full_gpu_falls_back_to_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = tiny_encoder()
    expected = encoder.encode_plane(PICTURE)
    encoder.image_tower = Full(encoder.image_tower)  # type: ignore[assignment]
    # stands for a GPU: tensors stay where they are, as there is none here
    monkeypatch.setattr(encoder, "device", torch.device("cuda"))
    monkeypatch.setattr(openclip.torch.Tensor, "to", lambda self, *a, **k: self)
    features = encoder.encode_plane(PICTURE)
    assert encoder.device == torch.device("cpu")
    assert len(encoder.notices) == 1
    assert "cuda is full" in encoder.notices[0]
    assert "cuda is full" in caplog.text
    monkeypatch.undo()
    torch.testing.assert_close(features.semantic, expected.semantic)


def test_a_model_too_large_for_the_gpu_is_used_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    move = OpenClipEncoder._move

    def full(self: OpenClipEncoder, device: torch.device) -> None:
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        move(self, device)

    monkeypatch.setattr(OpenClipEncoder, "_move", full)
    loaded = LoadedModel("tiny", tiny_models.native_vit(), text_models.clip_tokenizer())
    encoder = OpenClipEncoder(loaded, torch.device("cuda"))
    assert encoder.device == torch.device("cpu")
    assert encoder.notices


def test_full_memory_on_the_cpu_and_other_errors_are_not_hidden() -> None:
    encoder = tiny_encoder()
    encoder.image_tower = Full(encoder.image_tower)  # type: ignore[assignment]
    with pytest.raises(torch.OutOfMemoryError):
        encoder.encode_plane(PICTURE)
    assert not encoder.notices


def test_names_are_not_judged_where_nothing_was_measured() -> None:
    assert tiny_encoder().familiarity(["cat", "qzxvk"]) == [("not judged", ()), ("not judged", ())]
