"""What models there are, with plain facts: everything OpenCLIP can load, the useful ones first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from napari_promptseg.encoders.licences import weights_licence
from napari_promptseg.encoders.model_sizes import MILLIONS
from napari_promptseg.encoders.specs import ModelSpec, cached_weights, directory_weights, parse_spec
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import ModelError
from napari_promptseg.resource_files import resource

#: Whether a model ships with the package, lies on this machine, or would have to be fetched.
ModelState = Literal["embedded", "on disk", "can be fetched"]


@dataclass(frozen=True)
class ModelEntry:
    """Facts about one model.

    Parameters
    ----------
    spec : str
        What `load_encoder` takes.
    title : str
    parameters : int or None
        Of both towers; None where not counted.
    licence : str
        Of the weights, where it was seen written down (see :mod:`.licences`).
    download_mb : float or None
        About, at four bytes a parameter; 0 for what is shipped.
    good_at : str
        One plain phrase.
    family : str
        As `families.ImageTower.family` names it.
    state : ModelState
    """

    spec: str
    title: str
    parameters: int | None
    licence: str
    download_mb: float | None
    good_at: str
    family: str
    state: ModelState


# spec: title, good at; in the order a user should look at them
_RECOMMENDED: dict[str, tuple[str, str]] = {
    "ViT-B-16-quickgelu/openai": (
        "CLIP ViT-B/16 (OpenAI)",
        "everyday photos; the model most published figures are about",
    ),
    "MobileCLIP2-S0/dfndr2b": ("MobileCLIP2-S0 (Apple)", "everyday photos on a CPU: the fastest of these"),
    "MobileCLIP2-B/dfndr2b": ("MobileCLIP2-B (Apple)", "everyday photos, better than CLIP at the same size"),
    "ViT-B-32/laion2b_s34b_b79k": ("CLIP ViT-B/32 (LAION-2B)", "many objects and scenes, fast, coarse masks"),
    "ViT-B-16/laion2b_s34b_b88k": ("CLIP ViT-B/16 (LAION-2B)", "many objects and scenes, openly trained"),
    "ViT-B-16/datacomp_xl_s13b_b90k": ("CLIP ViT-B/16 (DataComp)", "many objects and scenes, openly trained"),
    "ViT-B-16-quickgelu/metaclip_400m": ("MetaCLIP ViT-B/16", "everyday photos, broad vocabulary"),
    "RN50-quickgelu/openai": ("CLIP ResNet-50 (OpenAI)", "a convolutional CLIP, any picture size"),
    "ViT-B-16-SigLIP2/webli": ("SigLIP2 ViT-B/16 (Google)", "names in many languages, independent class scores"),
    "PE-Core-B-16/meta": ("Perception Encoder B/16 (Meta)", "photos and video frames, fine-grained names"),
    "PE-Core-T-16-384/meta": ("Perception Encoder T/16 (Meta)", "small and quick, larger pictures"),
    "EVA02-B-16/merged2b_s8b_b131k": ("EVA02-CLIP B/16 (BAAI)", "everyday photos, strong for its size"),
    "convnext_base_w/laion2b_s13b_b82k": ("CLIP ConvNeXt-B (LAION-2B)", "a convolutional CLIP, any picture size"),
    "ViT-L-14-quickgelu/openai": ("CLIP ViT-L/14 (OpenAI)", "finer distinctions, three times slower"),
}

_HUB: dict[str, tuple[str, str, int, str]] = {
    "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224": (
        "BiomedCLIP (Microsoft)",
        "medicine and biology: radiology, microscopy, histology, endoscopy",
        195_900_000,
        "timm ViT",
    ),
}


def list_models(*, everything: bool = True) -> list[ModelEntry]:
    """All models that can be chosen by name: the embedded one, recommended ones, then the rest by size.

    Parameters
    ----------
    everything : bool
        Whether to go on after the recommended ones.

    Notes
    -----
    Looks at files on this machine only, never at the network. Any other hub model, model directory or checkpoint
    file can be chosen by typing its name (see `load_encoder`).
    """
    entries = _embedded()
    for spec, (title, good_at, parameters, family) in _HUB.items():
        licence, state = weights_licence(spec.removeprefix("hf-hub:")), _state(parse_spec(spec))
        entries.append(
            ModelEntry(spec, title, parameters, licence, _megabytes(parameters), good_at, family, state),
        )
    entries += [_built_in(spec, title, good_at) for spec, (title, good_at) in _RECOMMENDED.items()]
    if everything:
        rest = [_built_in(s, s.replace("/", ", "), _good_at(s)) for s in _all_built_in() if s not in _RECOMMENDED]
        entries += sorted(rest, key=lambda e: (e.parameters is None, e.parameters or 0, e.spec))
    return entries


def family_of(configuration: dict[str, Any]) -> str:
    """Family of the image tower an OpenCLIP configuration describes; ``"not supported"`` for the others."""
    vision = configuration["vision_cfg"]
    name = vision.get("timm_model_name")
    if name is None:
        return "CLIP ResNet" if isinstance(vision.get("layers"), list) else "OpenCLIP ViT"
    for beginning, family in (
        ("eva", "EVA ViT"),
        ("vit_pe_core", "EVA ViT"),
        ("convnext", "ConvNeXt"),
        ("fastvit", "FastViT"),
        ("vit_relpos", "not supported"),
        ("swin", "not supported"),
    ):
        if name.startswith(beginning):
            # EVA01 and the largest EVA02 have no rotary positions
            return "timm ViT" if name.startswith(("eva_giant", "eva02_enormous")) else family
    if name.startswith("vit"):
        return "SigLIP ViT" if vision.get("timm_pool") == "map" else "timm ViT"
    return "timm CNN"


def _embedded() -> list[ModelEntry]:
    try:
        directory = resource("embedded")
    except ModelError:
        return []  # a checkout in which it has not been built yet
    weights = directory_weights(directory)
    parameters = None if weights is None else _count(str(weights))
    good_at = "works at once and offline: everyday objects, street scenes, some microscopy and skin lesions"
    return [
        ModelEntry("embedded", "Embedded", parameters, "Apache-2.0", 0.0, good_at, "aligned CNN", "embedded"),
    ]


def _count(path: str) -> int:
    """Numbers in a safetensors file, from its header."""
    from safetensors import safe_open

    total = 0
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  (the file is no mapping)
            size = 1
            for length in file.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def _built_in(spec: str, title: str, good_at: str) -> ModelEntry:
    model, tag = spec.split("/")
    millions = MILLIONS.get(model.removesuffix("-quickgelu"))
    parameters = None if millions is None else round(millions * 1e6)
    family = family_of(open_clip_module().get_model_config(model))
    state = _state(ModelSpec("tag", model, tag))
    return ModelEntry(spec, title, parameters, _licence(model, tag), _megabytes(parameters), good_at, family, state)


def _all_built_in() -> list[str]:
    """``MODEL/TAG`` of every pretrained model; one name where two stand for the same weights."""
    open_clip = open_clip_module()
    known = set(open_clip.list_models())
    return [
        f"{model}/{tag}"
        for model, tag in open_clip.list_pretrained()
        if not (open_clip.get_pretrained_cfg(model, tag).get("quick_gelu") and f"{model}-quickgelu" in known)
    ]


def _licence(model: str, tag: str) -> str:
    repository = (open_clip_module().get_pretrained_cfg(model, tag) or {}).get("hf_hub") or ""
    return weights_licence("/".join(repository.split("/")[:2]))


def _good_at(spec: str) -> str:
    model = spec.split("/")[0]
    if any(part in model for part in ("i18n", "SigLIP2", "xlm", "nllb", "mt5", "worldwide")):
        return "names in many languages"
    if any(
        part in model for part in ("-L-", "-H-", "-g-", "bigG", "SO400M", "gopt", "large", "xlarge", "E-14", "RN50x")
    ):
        return "finer distinctions; wants a GPU"
    return "everyday photos"


def _megabytes(parameters: int | None) -> float | None:
    return None if parameters is None else round(parameters * 4 / 1e6)


def _state(spec: ModelSpec) -> ModelState:
    return "on disk" if cached_weights(spec) is not None else "can be fetched"
