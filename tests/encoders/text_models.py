"""Small text towers of every kind, with tokenizers that need no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_models
import torch

from napari_promptseg.encoders.loading import LoadedModel, load_directory
from napari_promptseg.encoders.openclip import OpenClipEncoder
from napari_promptseg.encoders.torchvision_bridge import open_clip_module

WORDS = """a photo of the an with in on cat cats dog dogs red cell x q z j wall big small and . , ' - ! "
qu ##o ##ted""".split()  # noqa: SIM905  (a vocabulary reads better as a text)


def clip_tokenizer(context: int = 24) -> Any:
    return open_clip_module().SimpleTokenizer(context_length=context)


class LastTokenizer:
    """As SigLIP's: end mark, then padding up to the last place, which is what the tower reads."""

    def __init__(self, context: int = 24) -> None:
        self.context_length = context
        self._clip = clip_tokenizer(context)

    def __call__(self, texts: list[str], context_length: int | None = None) -> torch.Tensor:
        context = context_length or self.context_length
        rows = [[*self._clip.encode(t)[: context - 1], 1] for t in texts]
        return torch.tensor([r + [1] * (context - len(r)) for r in rows])


def causal() -> tuple[Any, Any]:
    return tiny_models.native_vit(), clip_tokenizer()


def custom_causal() -> tuple[Any, Any]:
    vision = {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 2}
    return tiny_models.build(vision, custom=True), clip_tokenizer()


def eos_pooled() -> tuple[Any, Any]:
    text = {"pool_type": "eos", "eos_id": 49407}
    vision = {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 2}
    return tiny_models.build(vision, text, custom=True), clip_tokenizer()


def siglip() -> tuple[Any, Any]:
    text = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    vision = {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 2}
    return tiny_models.build(vision, text, custom=True, init_logit_bias=-10), LastTokenizer()


def coca_text() -> tuple[Any, Any]:
    text = {"embed_cls": True, "output_tokens": True}
    vision = {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 2}
    return tiny_models.build(vision, text, custom=True), clip_tokenizer()


def write_bert_directory(folder: Path, pooler: str = "mean_pooler") -> dict[str, Any]:
    """A complete OpenCLIP directory with a BERT text tower: configuration, weights and tokenizer."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    configuration = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=0,
    )
    configuration.save_pretrained(folder)
    facts = {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 64, "head_width": 16, "layers": 3},
            "text_cfg": {
                "hf_model_name": "some/text-model",
                "hf_tokenizer_name": "some/text-model",
                "hf_proj_type": "mlp",
                "hf_pooler_type": pooler,
                "context_length": 20,
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(facts), encoding="utf-8")
    local = json.loads(json.dumps(facts["model_cfg"]))
    local["text_cfg"]["hf_model_name"] = str(folder)
    local["text_cfg"]["hf_model_pretrained"] = False
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = open_clip_module().CustomTextCLIP(**local)
        tiny_models.redraw(model)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return facts


def encoder_of(kind: str, folder: Path) -> OpenClipEncoder:
    """An encoder with a tower of that kind; `folder` takes the BERT's files."""
    if kind == "bert":
        write_bert_directory(folder / "bert")
        return OpenClipEncoder(load_directory(folder / "bert", "bert"), torch.device("cpu"))
    model, tokenizer = {"clip": causal, "siglip": siglip}[kind]()
    return OpenClipEncoder(LoadedModel(kind, model, tokenizer), torch.device("cpu"))
