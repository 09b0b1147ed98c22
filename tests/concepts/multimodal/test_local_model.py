"""A model in a folder: a tiny one of random weights, and folders that hold none."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from endpoint_server import GOOD

from napari_promptseg.concepts.multimodal.crop import Crop, crop_region
from napari_promptseg.concepts.multimodal.filling import ask_about
from napari_promptseg.concepts.multimodal.local_model import LocalModel
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.concepts.multimodal.teller import NoAnswerError
from napari_promptseg.errors import CancelledError, ModelError
from napari_promptseg.progress import silent

BLACK = Crop(np.zeros((64, 64, 3), np.uint8))
TEMPLATE = (
    "{% for m in messages %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def build(folder):
    """LLaVA of one layer whose words are bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from napari_promptseg.encoders.torchvision_bridge import ensure_torchvision

    ensure_torchvision()
    import transformers as t

    words = ["<pad>", "<s>", "</s>", "<image>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = t.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", additional_special_tokens=["<image>"]
    )
    side = {"height": 32, "width": 32}
    processor = t.LlavaProcessor(
        image_processor=t.CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    size = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    torch.manual_seed(0)
    vision = t.CLIPVisionConfig(**size, num_hidden_layers=2, image_size=32, patch_size=16, projection_dim=16)
    text = t.LlamaConfig(**size, vocab_size=len(words), num_hidden_layers=1, num_key_value_heads=2, pad_token_id=0)
    model = t.LlavaForConditionalGeneration(t.LlavaConfig(vision_config=vision, text_config=text, image_token_index=3))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    try:
        build(folder)
    except (ImportError, AttributeError, TypeError, ModelError) as error:
        pytest.skip(f"this transformers makes no tiny LLaVA ({error})")
    return folder


def test_it_writes_and_nothing_of_it_is_believed(folder, stack, disc, concept):
    model = LocalModel(folder, device="cpu", tokens=6)
    heard = []
    filled = ask_about(model, stack, disc, progress=lambda *said: heard.append(said)).fill(concept)
    assert not filled.answered
    assert "The model tiny-llava replied with no JSON object" in filled.sentence
    assert [done for done, _, words in heard if "writes" in words] == [1, 2, 3, 4, 5, 6]
    assert not model.disclosure(crop_region(stack, disc)).leaves_machine


def test_a_good_answer_fills_the_concept(folder, stack, disc, concept, monkeypatch):
    model = LocalModel(folder, device="cpu", tokens=2)
    processor, _ = model._loaded
    monkeypatch.setattr(type(processor), "batch_decode", lambda self, *_, **__: [f"```json\n{json.dumps(GOOD)}\n```"])
    filled = ask_about(model, stack, disc).fill(concept)
    assert filled.answered
    assert filled.concept.attribute("shape").source == "tiny-llava"


def test_the_model_sees_the_crop_and_the_question(folder, monkeypatch):
    model = LocalModel(folder, device="cpu", tokens=4)
    processor, network = model._loaded
    seen = []
    monkeypatch.setattr(network, "generate", lambda **given: seen.append(given) or given["input_ids"])
    white = Crop(np.full((64, 64, 3), 255, np.uint8))
    for crop in (BLACK, white):
        assert model.ask(crop, Question.about(), silent) == "", "the question is not part of the answer"
    first, other = (given["pixel_values"] for given in seen)
    assert float(other.min()) > float(first.max())
    question = processor.batch_decode(seen[0]["input_ids"], skip_special_tokens=True)[0]
    assert question == Question.about().instruction()
    assert seen[0]["do_sample"] is False


def test_stopping_and_time(folder):
    def stop(done, total, description):
        if done == 3:
            raise CancelledError("Stopped at your request.")

    model = LocalModel(folder, device="cpu", tokens=200)
    with pytest.raises(CancelledError):
        model.ask(BLACK, Question.about(), stop)
    hasty = LocalModel(folder, device="cpu", tokens=200, seconds=1e-6)
    with pytest.raises(NoAnswerError, match="did not answer within"):
        hasty.ask(BLACK, Question.about(), silent)


def test_a_model_without_a_chat_template(folder, tmp_path):
    import shutil

    mute = tmp_path / "mute"
    shutil.copytree(folder, mute)
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(NoAnswerError, match="no chat template"):
        LocalModel(mute, device="cpu").ask(BLACK, Question.about(), silent)


def test_code_in_the_folder_is_not_run(tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n", encoding="utf-8")
    auto = dict.fromkeys(("AutoConfig", "AutoProcessor", "AutoModelForImageTextToText"), "evil.Evil")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}), encoding="utf-8")
    with pytest.raises(ModelError, match="no image-text-to-text model"):
        LocalModel(tmp_path).ask(BLACK, Question.about(), silent)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_refused(folder, tmp_path):
    import shutil

    import torch

    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no image-text-to-text model"):
        LocalModel(pickled).ask(BLACK, Question.about(), silent)


def test_folders_that_hold_no_model(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="no folder"):
        LocalModel(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        LocalModel(tmp_path)
    for content in ("{}", "[1]", "not json"):
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError):
            LocalModel(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ModelError, match="no image-text-to-text model"):
        LocalModel(tmp_path).ask(BLACK, Question.about(), silent)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install transformers"):
        LocalModel(tmp_path)


def test_importing_the_room_loads_nothing_heavy():
    modules = "endpoint", "exchange", "local_model", "filling", "crop", "keys"
    banned = ("openai", "keyring", "transformers", "torch", "qtpy", "httpx", "httpx2")
    code = "; ".join(f"import napari_promptseg.concepts.multimodal.{m}" for m in modules)
    code += f"; import sys; print(','.join(m for m in {banned!r} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
