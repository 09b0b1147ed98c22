"""Why a pixel has its label: the score of every class there, and which text or learned view spoke for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.encoder import Encoder, Familiarity
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.embedding import class_questions, class_sentences
from napari_promptseg.prompts.multiview import learned_scores, view_maps
from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.scoring import SuppliesBackground

#: What a class can be spoken for by: a text of the user's, a learned view, or the model's own "none of these".
VoiceKind = Literal["text", "view", "model"]


@dataclass(frozen=True)
class Voice:
    """What spoke for a class.

    Parameters
    ----------
    kind : {"text", "view", "model"}
    label : str
        The text, ``"view 2"``, or a few words.
    similarity : float
        Cosine with the features at the pixel.
    sentence : str
        Of a text, the sentence that fits best.
    """

    kind: VoiceKind
    label: str
    similarity: float
    sentence: str = ""


@dataclass(frozen=True)
class ClassReason:
    """One class at one pixel.

    Parameters
    ----------
    value : int
        0 for background.
    name : str
    probability : float
        Calibrated, in ``[0, 1]``.
    known : {"known", "related", "unknown"}
    threshold : float
        That ``probability / (probability + that of background)`` must reach.
    presence : float or None
        For a tuned class, how far its global prompt finds it in the picture at all, in ``(0, 1)``.
    voices : tuple of Voice
        The one that fits the pixel best comes first.
    earlier : mapping of str to float
        Probability with words alone, and after each further thing that was learned but the last, by its name.
    apart : mapping of str to float
        Of several modalities, the probability that each would give by itself, by its name.
    """

    value: int
    name: str
    probability: float
    known: Familiarity = "known"
    threshold: float = 0.0
    presence: float | None = None
    voices: tuple[Voice, ...] = ()
    earlier: Mapping[str, float] = field(default_factory=dict)
    apart: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why a pixel has its label.

    Parameters
    ----------
    at : tuple of int
        ``(row, column)``.
    label, runner_up : int
        As the label map has them.
    reasons : tuple of ClassReason
        Background and every class, the most probable first.
    last : str
        What was learned last, see `ClassReason.earlier`; ``"words"`` where nothing was.
    """

    at: tuple[int, int]
    label: int
    runner_up: int
    reasons: tuple[ClassReason, ...]
    last: str = "words"

    def of(self, value: int) -> ClassReason:
        """The reason of one class; `InputError` if it is not there."""
        for reason in self.reasons:
            if reason.value == value:
                return reason
        raise InputError(f"No class has the value {value}.")

    @property
    def sentence(self) -> str:
        """Why this label and not the next: ``"cat 0.91, before sofa 0.05."``."""
        mine, second = self.of(self.label), self.of(self.runner_up)
        text = f"{mine.name} {mine.probability:.2f}, before {second.name} {second.probability:.2f}."
        if self.label or not second.value or second.probability <= 0:
            return text
        against = second.probability / (second.probability + mine.probability)
        if second.known == "unknown":
            return f"{text} The model does not know {second.name!r}, so it is drawn under a lower threshold only."
        if against < second.threshold:
            least = f"under its threshold {second.threshold:.2f}"
            return f"{text} Against background {second.name} has {against:.2f}, {least}."
        return text


def explain(
    encoder: Encoder,
    prompts: PromptSet,
    features: DenseFeatures,
    label_map: LabelMap,
    at: tuple[int, int],
    *,
    known: Sequence[Familiarity],
    chances: Mapping[str, torch.Tensor] | None = None,
    apart: Mapping[str, torch.Tensor] | None = None,
) -> Explanation:
    """Why one pixel of a plane has its label.

    Parameters
    ----------
    encoder : Encoder
    prompts : PromptSet
        That the label map was made with.
    features : DenseFeatures
        Of the plane; of several modalities those of the first, which is what texts and views are compared with.
    label_map : LabelMap
        With the probabilities of the classes.
    at : tuple of int
        ``(row, column)``.
    known : sequence of {"known", "related", "unknown"}
        Per class, see `Segmenter.known`.
    chances : mapping of str to torch.Tensor, optional
        From `learned_stages.stage_chances`, to say what each thing that was learned did to the pixel.
    apart : mapping of str to torch.Tensor, optional
        From `learned_stages.chances_apart`, to say what each modality would make of it.

    Raises
    ------
    InputError
        If the pixel lies outside, or the label map has no probabilities of the classes.
    """
    rows, columns = label_map.labels.shape
    if not (0 <= at[0] < rows and 0 <= at[1] < columns):
        raise InputError(f"The pixel {at} lies outside the plane of {rows} x {columns} pixels.")
    missing = [c.name for c in prompts.classes if c.value not in label_map.probabilities]
    if missing:
        raise InputError(f"The mask was made without the scores of {missing[0]!r}: segment again.")
    shares = [float(label_map.probabilities[c.value][at]) for c in prompts.classes]
    # independent classes leave what the best of them leaves
    rest = max(0.0, 1.0 - (max(shares) if encoder.sigmoid else sum(shares)))
    fitting = with_fitting_background(prompts, encoder)
    vector = _features_at(features, at)
    learned = learned_scores(prompts, features)
    found = {name: _map_values(maps, (rows, columns), at) for name, maps in (chances or {}).items()}
    last = found.popitem()[0] if found else "words"
    alone = {name: _map_values(maps, (rows, columns), at) for name, maps in (apart or {}).items()}
    earlier, by_itself = (
        [{name: float(values[i]) for name, values in each.items()} for i in range(len(prompts) + 1)]
        for each in (found, alone)
    )
    voices = _loudest(_background_voices(encoder, fitting, vector))
    reasons = [ClassReason(0, "background", rest, voices=voices, earlier=earlier[0], apart=by_itself[0])]
    for i, (c, share) in enumerate(zip(prompts.classes, shares, strict=True)):
        tuned = prompts.learned is not None and c.value in prompts.learned.global_views
        presence = float(learned.offsets[i].exp()) if learned is not None and tuned else None
        voices = _loudest(_class_voices(encoder, prompts, c, vector))
        more = (voices, earlier[i + 1], by_itself[i + 1])
        reasons.append(ClassReason(c.value, c.name, share, known[i], c.threshold, presence, *more))
    reasons.sort(key=lambda r: -r.probability)
    return Explanation(at, int(label_map.labels[at]), int(label_map.runner_up[at]), tuple(reasons), last)


def voice_maps(
    encoder: Encoder, prompts: PromptSet, features: DenseFeatures, value: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Where each voice of a class is heard: its learned views, or its texts.

    Returns
    -------
    dict of str to numpy.ndarray
        ``(h, w)`` cosines on the features' grid, by the voice's label; a global prompt is ``"whole picture"``.

    Raises
    ------
    InputError
        If there is no such class.
    """
    if prompts.learned is not None and value in prompts.learned.views:
        maps = view_maps(prompts, value, features)
        names = [f"view {i + 1}" for i in range(len(prompts.learned.views[value]))]
        return dict(zip(["whole picture", *names][-len(maps) :], maps, strict=True))
    found = [c for c in prompts.classes if c.value == value]
    if not found:
        raise InputError(f"No class has the value {value}.")
    questions = class_questions(encoder, found[0], prompts.image_kind)
    vectors = torch.stack([_mean_vector(encoder, asked)[0] for _, asked in questions]).to(features.semantic.device)
    cosines = torch.einsum("hwd,kd->khw", features.semantic.float(), vectors)
    return dict(zip([text for text, _ in questions], cosines.cpu().numpy(), strict=True))


def _class_voices(encoder: Encoder, prompts: PromptSet, c: ClassPrompt, vector: torch.Tensor) -> list[Voice]:
    """A tuned class is spoken for by its views, another one by its texts."""
    if prompts.learned is not None and c.value in prompts.learned.views:
        return _view_voices(prompts.learned.views[c.value], vector)
    questions = class_questions(encoder, c, prompts.image_kind)
    return [_text_voice(encoder, text, asked, vector) for text, asked in questions]


def _background_voices(encoder: Encoder, prompts: PromptSet, vector: torch.Tensor) -> list[Voice]:
    kind = prompts.image_kind
    voices = [_text_voice(encoder, w, class_sentences(encoder, w, kind), vector) for w in prompts.background]
    if prompts.learned is not None and 0 in prompts.learned.views:
        voices += _view_voices(prompts.learned.views[0], vector)
    if isinstance(encoder, SuppliesBackground):
        own = encoder.background_vectors().to(vector) @ vector
        voices.append(Voice("model", "none of the classes", float(own.max())))
    return voices


def _view_voices(views: npt.NDArray[np.float32], vector: torch.Tensor) -> list[Voice]:
    cosines = torch.tensor(views).to(vector) @ vector
    return [Voice("view", f"view {i + 1}", float(cosine)) for i, cosine in enumerate(cosines)]


def _text_voice(encoder: Encoder, text: str, asked: list[str], vector: torch.Tensor) -> Voice:
    mean, vectors = _mean_vector(encoder, asked)
    best = int((vectors.to(vector) @ vector).argmax())
    return Voice("text", text, float(mean.to(vector) @ vector), asked[best])


def _mean_vector(encoder: Encoder, asked: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean direction of sentences ``(d,)``, and their own ``(n, d)``."""
    vectors = encoder.encode_texts(asked).detach().float()
    return F.normalize(vectors.mean(dim=0), dim=0), vectors


def _features_at(features: DenseFeatures, at: tuple[int, int]) -> torch.Tensor:
    """``(d,)`` joint-space features at a pixel, brought to unit length.

    Not every model's are of that length already; for one pixel it changes no order, and cosines can be compared.
    """
    return F.normalize(_map_values(features.semantic.permute(2, 0, 1), features.image_shape, at), dim=0)


def _map_values(maps: torch.Tensor, shape: tuple[int, int], at: tuple[int, int]) -> torch.Tensor:
    """``(n,)`` float32 values of ``(n, h, w)`` maps at the centre of a pixel of a plane of `shape`, interpolated."""
    rows, columns = shape
    place = torch.tensor([(at[1] + 0.5) / columns * 2 - 1, (at[0] + 0.5) / rows * 2 - 1])
    every = maps[None].float()
    grid = place.to(every)[None, None, None]
    picked = F.grid_sample(every, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return picked[0, :, 0, 0]


def _loudest(voices: Iterable[Voice]) -> tuple[Voice, ...]:
    return tuple(sorted(voices, key=lambda v: -v.similarity))
