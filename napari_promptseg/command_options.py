"""What the commands share: exit codes, options, and how options become prompts and a segmenter.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.encoders.encoder import Quality
    from napari_promptseg.prompts.prompt_file import SavedPrompts
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Exit codes; the help says the same.
FINE, SOME_FAILED, BAD_INPUT, BAD_MODEL, CANCELLED = 0, 1, 2, 3, 130

# Written out because the modules that define them import torch; a test compares them.
DEVICES = ("auto", "cpu", "cuda", "mps")
EDGES = ("none", "guided", "superpixels", "pamr")
QUALITIES = ("fast", "fine")
METHODS = ("live", "prompts", "student", "roi", "modalities")
INFERENCES = ("auto", "words", "pseudo-text", "text-free")
REGION_PARTS = ("whole", "parts")
IMAGE_KINDS = (
    "natural",
    "microscopy",
    "endoscopy",
    "ct",
    "mr",
    "ultrasound",
    "xray",
    "histology",
    "dermoscopy",
    "aerial",
)

EPILOGUE = """\
exit codes:
  0    everything was done
  1    some images failed (each is named on stderr), or a result could not be written
  2    the command, a file or a class list cannot be used
  3    the model cannot be found, fetched or read
  130  cancelled with Ctrl-C; what was finished is kept

Results go to stdout, progress and errors to stderr.
"""


def command(commands: Any, name: str, help_: str, examples: str, run: Any) -> argparse.ArgumentParser:
    """Parser of one command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_,
        description=f"{help_[0].upper()}{help_[1:]}.",
        epilog=f"{examples}\n{EPILOGUE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that makes masks."""
    group = parser.add_argument_group("model and masks")
    group.add_argument(
        "--model",
        default="embedded",
        metavar="MODEL",
        help="embedded (default), NAME/TAG, hf-hub:ORG/NAME, local-dir:PATH or NAME@FILE; `models` lists them",
    )
    group.add_argument("--device", choices=DEVICES, default="auto", help="where the model runs (default: %(default)s)")
    group.add_argument(
        "--image-kind",
        choices=IMAGE_KINDS,
        metavar="KIND",
        help=f"what the pictures are, for the wording and the grey values: {', '.join(IMAGE_KINDS)} "
        "(default: natural, or what the prompt file says)",
    )
    group.add_argument(
        "--quality",
        choices=QUALITIES,
        help="fast: one look at the picture; fine: closer looks too, about three times as slow "
        "(default: fine for names; what a prompt file was learned with; fast for tune)",
    )
    group.add_argument("--edges", choices=EDGES, help="how masks are fitted to the picture's edges")
    group.add_argument(
        "--threshold",
        type=_share,
        metavar="T",
        help="probability from 0 to 1 that a class must reach against background (default: 0.5)",
    )


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """How ``tune`` learns, and the options of single ways."""
    parser.add_argument("--method", choices=METHODS, default="prompts", help="how to learn (default: %(default)s)")
    parser.add_argument(
        "--steps",
        type=count,
        metavar="N",
        help="prompts, roi, modalities: steps of the optimiser (default: the method's own)",
    )
    parser.add_argument("--unlabelled", metavar="DIR", help="student: images to label (default: those without a mask)")
    parser.add_argument(
        "--student-steps",
        type=count,
        metavar="N",
        help="student: steps on its teacher's labels, then two thirds on its own (default: 90)",
    )
    parser.add_argument(
        "--inference",
        choices=INFERENCES,
        help="roi: how the thing is looked for; auto takes what finds held-out regions best (default: auto)",
    )
    parser.add_argument(
        "--regions",
        choices=REGION_PARTS,
        help="roi: all pixels of a class in an image are one region, or each connected part is (default: whole)",
    )


def check_tune_options(options: argparse.Namespace) -> None:
    """Refuse options that the chosen way to learn does not have.

    Raises
    ------
    InputError
        Naming the first.
    """
    belongs = {
        "--unlabelled": (options.unlabelled, "student"),
        "--student-steps": (options.student_steps, "student"),
        "--inference": (options.inference, "roi"),
        "--regions": (options.regions, "roi"),
    }
    for name, (given, method) in belongs.items():
        if given is not None and options.method != method:
            raise InputError(f"{name} belongs to --method {method}: add that or leave {name} out.")
    if options.method == "modalities" and not options.modality:
        raise InputError("--method modalities needs a further picture of each scene: add --modality NAME=FOLDER.")
    if options.steps is not None and options.method == "live":
        raise InputError("--method live takes no steps, it solves at once: leave --steps out.")


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def prompts_from_names(options: argparse.Namespace) -> PromptSet:
    """Classes and background as ``--classes`` and ``--background`` name them."""
    from napari_promptseg.prompts.prompt_set import DEFAULT_BACKGROUND, PromptSet, split_names

    text = options.classes
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The class list {options.classes[1:]!r} cannot be read ({error}).") from error
    background = DEFAULT_BACKGROUND
    if options.background is not None:
        background = tuple(word for group in split_names(options.background) for word in group)
    prompts = PromptSet.from_text(text, background=background, image_kind=options.image_kind or "natural")
    return with_threshold(prompts, options.threshold)


def prompts_from_file(options: argparse.Namespace) -> SavedPrompts:
    """The prompt file that ``--prompts`` names, read before the model is; `fit_model` checks it against the model."""
    from dataclasses import replace

    from napari_promptseg.prompts.prompt_file import load_prompts

    for name in ("image_kind", "background"):
        if getattr(options, name, None) is not None:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is part of the prompt file {Path(options.prompts).name!r}: leave it out.")
    saved = load_prompts(options.prompts)
    return replace(saved, prompts=with_threshold(saved.prompts, options.threshold))


def fit_model(path: str, segmenter: Segmenter) -> None:
    """Refuse a prompt file that was made with another model than the one in use, saying which."""
    from napari_promptseg.prompts.prompt_file import load_prompts

    load_prompts(path, fingerprint=segmenter.encoder.fingerprint, model=segmenter.encoder.name)


def with_threshold(prompts: PromptSet, threshold: float | None) -> PromptSet:
    """The same threshold for every class; each one's own where none is given."""
    from dataclasses import replace

    if threshold is None:
        return prompts
    return replace(prompts, classes=tuple(replace(c, threshold=threshold) for c in prompts.classes))


def quality_of(saved: SavedPrompts | None) -> Quality:
    """How closely to look unless the user says so: closely for names, as when it was learned for a prompt file."""
    if saved is None:
        return "fine"
    return "fine" if saved.normalisation.get("quality") == "fine" else "fast"


def make_segmenter(options: argparse.Namespace, quality: Quality = "fast") -> Segmenter:
    """Model and settings as the options name them; `quality` and the settings' defaults where they do not."""
    from napari_promptseg.encoders import loading
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.settings import SegmentationSettings

    given = {"quality": options.quality or quality, "refinement": options.edges}
    settings = SegmentationSettings(**{name: value for name, value in given.items() if value is not None})
    return Segmenter(loading.load_encoder(options.model, device=options.device), settings=settings)


def values_of(image_kind: str) -> Any:
    """What the grey values of such pictures are."""
    return image_kind if image_kind in ("ct", "mr") else "auto"
