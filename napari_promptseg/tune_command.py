"""The command ``tune``: from a few labelled images to a prompt file."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from napari_promptseg import __version__
from napari_promptseg.command_options import (
    CANCELLED,
    FINE,
    add_method_options,
    add_model_options,
    check_tune_options,
    command,
    count,
    make_segmenter,
    values_of,
)
from napari_promptseg.errors import CancelledError, InputError, OutputError
from napari_promptseg.modality_options import ModalityChoice, add_modality_options
from napari_promptseg.progress_line import ProgressLine

if TYPE_CHECKING:
    from napari_promptseg.evaluation.pack_tuning import PackTuning
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.learning.teaching import Taught
    from napari_promptseg.prompts.prompt_file import SavedPrompts
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

_EXAMPLES = """\
examples:
  napari-promptseg tune --images in --labels masks --classes classes.json -o cells.promptseg
  napari-promptseg tune --images in --labels masks --classes classes.json --shots 1 --seed 3 -o cells.promptseg
  napari-promptseg tune --images in --labels masks --classes classes.json --method student -o cells.promptseg
  napari-promptseg tune --images in --labels masks --classes classes.json --method roi --shots 1 -o cells.promptseg
  napari-promptseg tune --images rgb --labels masks --classes classes.json --modality thermal=ir --method modalities \
      -o night.promptseg
  napari-promptseg segment more/ --prompts cells.promptseg -o labels

Images and masks are paired by name; images without a mask are left out. A mask's pixels are ids that the class file
names, {"1": "cat", ...}; 255 is not annotated, and 0 is background where the class file calls it so, with
"0": "background", otherwise not annotated. A quarter of the labels is held out and judges: what is no better on it
is left out of the file. Ctrl-C while tuning keeps the best so far.

Methods: live finds weights on the frozen features (seconds); prompts learns tokens through the text tower (default);
student does that, labels the images that have no mask with the prompts, and trains a light decoder on both; roi
takes the masks as regions that someone drew, describes each in words, and learns what they look like beside their
surroundings, which are all pixels that are in no region; modalities learns to read several pictures of one scene
together (needs --modality).
"""


def add_tune(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = command(commands, "tune", "learn prompts from a few labelled images", _EXAMPLES, run_tune)
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--labels", required=True, metavar="DIR", help="folder of masks with integer ids, may be sparse"
    )
    parser.add_argument("--classes", required=True, metavar="FILE", help="JSON file of ids and names")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the .promptseg file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--shots", type=count, default=5, metavar="N", help="images to learn from, drawn by chance (default: 5)"
    )
    add_method_options(parser)
    add_modality_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn by chance (default: %(default)s)")
    parser.add_argument(
        "--zero-is",
        choices=("background", "unlabelled"),
        help="what the masks' 0 means (default: background if the class file calls it so, otherwise unlabelled)",
    )
    add_model_options(parser)


def run_tune(options: argparse.Namespace) -> int:
    """``tune``: learn prompts from a few labelled images."""
    from napari_promptseg.prompts.prompt_file import save_prompts

    check_tune_options(options)
    target = _target(options)
    tuning, choice = _tuning_of(options)
    with ProgressLine(sys.stderr) as line:
        tuning = replace(tuning, pack=choice.pack(tuning.pack, line.say))
        if choice.files and options.method not in ("live", "modalities"):
            line.say(f"--method {options.method} learns on the images themselves; masks weigh all modalities.")
        line.show("loading the model")
        segmenter = make_segmenter(options)
        shots = tuning.read(segmenter, lambda done, total, name: line.show(f"[{min(done + 1, total)}/{total}] {name}"))
        _say_missing(tuning.prompts, shots.values, line)
        if options.method == "student" and not tuning.alone:
            line.say("No image is without labels: the student learns from the labels alone (see --unlabelled).")
        began = time.perf_counter()
        with interruptions() as check:

            def listen(done: int, total: int, description: str) -> None:
                line.show(f"tuning, step {done} of {total}: {description}" if total else description)
                check()

            result = tuning.learn(segmenter, shots, listen)
        for notice in result.notices:
            line.say(notice)
        save_prompts(target, _saved(tuning, result, segmenter, time.perf_counter() - began))
        line.clear()
        print(f"{target}\t{result.sentence}", flush=True)
        if not result.kept:
            line.say("What was learned is no better, so the file holds the prompts as they were.")
        if result.cancelled:
            line.say("Stopped early; the best state so far was judged.")
    return CANCELLED if result.cancelled else FINE


def _tuning_of(options: argparse.Namespace) -> tuple[PackTuning, ModalityChoice]:
    """What the options ask for, and the further modalities, whose files are not looked up yet."""
    from napari_promptseg.evaluation.few_shot import draw
    from napari_promptseg.evaluation.pack_tuning import MethodSettings, PackTuning
    from napari_promptseg.evaluation.packs import DataPack, zero_is_background

    pack = DataPack.from_folders(options.images, options.labels, options.classes, all_labelled=False)
    background = zero_is_background(options.classes) if options.zero_is is None else options.zero_is == "background"
    prompts = pack.prompts(threshold=options.threshold, image_kind=options.image_kind or "natural")
    kind = values_of(prompts.image_kind)
    choice, prompts = ModalityChoice.of(options).fitted(prompts, [p.image for p in pack], kind=kind)
    settings = MethodSettings.of(
        options.seed,
        steps=options.steps,
        student_steps=options.student_steps,
        parts=options.regions or "whole",
        inference=None if options.inference in (None, "auto") else options.inference,
    )
    pairs = draw(pack, options.shots, options.seed)
    alone = _without_labels(options, pack) if options.method == "student" else []
    tuning = PackTuning(options.method, settings, pack, pairs, prompts, options.seed, background, kind, alone)
    return tuning, choice


def _saved(tuning: PackTuning, result: Taught, segmenter: Segmenter, seconds: float) -> SavedPrompts:
    """The prompt file's content, with all that it takes to do the same again."""
    from napari_promptseg.prompts.prompt_file import SavedPrompts

    return SavedPrompts(
        result.prompts,
        segmenter.encoder.name,
        segmenter.encoder.fingerprint,
        normalisation={"kind": tuning.kind, "quality": segmenter.settings.quality},
        validation=result.report,
        provenance={
            "napari_promptseg": __version__,
            "command": "tune",
            "method": tuning.method,
            "images": [p.name for p in tuning.pairs],
            "unlabelled": [p.name for p in tuning.alone],
            "modalities": tuning.prompts.metadata.get("modalities", []),
            "zero_is": "background" if tuning.zero_is_background else "unlabelled",
            **tuning.settings.noted(tuning.method),
            "device": str(segmenter.encoder.device),
            "seconds": round(seconds, 3),
        },
    )


def _without_labels(options: argparse.Namespace, pack: DataPack) -> list[Path]:
    """Images that a student's prompts label: those of ``--unlabelled``, or those of the folder without a mask."""
    from napari_promptseg.label_jobs import find_images

    labelled = {p.image.resolve() for p in pack}
    folder = options.unlabelled or options.images
    if not Path(folder).is_dir():
        raise InputError(f"There is no folder {folder!r}: name a folder of images after --unlabelled.")
    return [p for p in find_images([folder]) if p.resolve() not in labelled]


@contextmanager
def interruptions() -> Iterator[Callable[[], None]]:
    """Turn the first Ctrl-C into a `CancelledError` at the next check; a second one interrupts at once.

    Outside the main thread, where signals cannot be caught, the check does nothing.
    """
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    def check() -> None:
        if asked.is_set():
            raise CancelledError

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _target(options: argparse.Namespace) -> Path:
    """Where the file goes; what would stop it from being written is said before any work."""
    target = Path(options.output)
    if target.suffix.casefold() != ".promptseg":
        target = target.with_name(target.name + ".promptseg")
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(f"{str(target)!r} cannot be written: name a file in a folder that exists.")
    if target.exists() and not options.overwrite:
        raise OutputError(f"{str(target)!r} exists already: pass --overwrite or choose another name.")
    return target


def _say_missing(prompts: PromptSet, shown: set[int], line: ProgressLine) -> None:
    """Say which classes the images drawn do not show."""
    missing = [c.name for c in prompts.classes if c.value not in shown]
    if missing:
        more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        line.say(f"Not labelled in the images drawn, kept by their words: {', '.join(missing[:6])}{more}.")
