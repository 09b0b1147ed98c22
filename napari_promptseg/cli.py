"""The command line: ``segment``, ``evaluate``, ``tune``, ``describe`` and ``models``.

Nothing heavy is imported before a command runs, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_promptseg import __version__
from napari_promptseg.command_options import (
    BAD_INPUT,
    BAD_MODEL,
    CANCELLED,
    EPILOGUE,
    FINE,
    SOME_FAILED,
    add_model_options,
    command,
    fit_model,
    make_segmenter,
    prompts_from_file,
    prompts_from_names,
    quality_of,
    values_of,
)
from napari_promptseg.describe_command import add_describe
from napari_promptseg.errors import CancelledError, InputError, ModelError, OutputError, PromptSegError
from napari_promptseg.format_options import add_format_option, shared_file, write_shared
from napari_promptseg.modality_options import ModalityChoice, add_modality_options
from napari_promptseg.progress_line import ProgressLine
from napari_promptseg.run_options import add_run_options, run_plan_of, with_tiles
from napari_promptseg.tune_command import add_tune
from napari_promptseg.volume_options import add_volume_options, merge_tables, volume_plan_of

if TYPE_CHECKING:
    from napari_promptseg.batch import Outcome
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

_SEGMENT = """\
examples:
  napari-promptseg segment cat.jpg --classes "cat, sofa | couch" -o labels
  napari-promptseg segment photos/ "more/*.tif" --classes "person,dog" --quality fast -o labels
  napari-promptseg segment scan.nii.gz --classes "liver,kidney" --image-kind ct -o labels
  napari-promptseg segment scan.nii.gz --classes liver --axis coronal --axes three --planes 10-40 --smooth 1 \\
    --keep-largest --fill-holes --min-size 50 --window liver --table volumes.csv --image-kind ct -o labels
  napari-promptseg segment cells.tif --classes @names.txt --model hf-hub:org/name -o labels
  napari-promptseg segment photos/ --prompts cells.promptseg --format coco -o labels
  napari-promptseg segment ct_series/ --classes "liver, left kidney" --image-kind ct --format dicom-seg -o labels
  napari-promptseg segment rgb/ --classes "person, car" --modality thermal=ir/ --modality-weight thermal=0.3 -o labels

For every image NAME a label image NAME_labels.tif appears in the folder, where each pixel holds a class's
number (0 is background), with a legend NAME_labels.json: numbers, names, colours, area shares and what made it.
All planes of a stack are segmented; medical volumes (NIfTI, DICOM, NRRD, MetaImage) give NIfTI labels in the same
place. A folder of DICOM slices and a Zarr folder are one image each: patients/* takes many. Of COCO there is one
file per picture and, of several pictures, one for all.
"""

_EVALUATE = """\
example:
  napari-promptseg evaluate --images pack/images --labels pack/masks --classes pack/classes.json --json figures.json

Images and masks are paired by name. A mask's pixels are ids that the class file names, {"1": "cat", ...};
0 is background or unlabelled, 255 is left out. Two sets of figures: "labelled pixels only" gives each labelled
pixel to the best of the classes; "with background" compares what the tool draws with all pixels but 255.
Classes that are never predicted count 0 and stay in the mean. With --prompts a class of the pack that the file does
not hold is measured by its name alone.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process where not given.

    Returns
    -------
    int
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A class name that the terminal cannot show must not end the run.
            stream.reconfigure(errors="backslashreplace")
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return BAD_INPUT
    try:
        return int(options.run(options))
    except (KeyboardInterrupt, CancelledError):
        print("\nCancelled; what was finished is kept.", file=sys.stderr)
        return CANCELLED
    except PromptSegError as error:
        if options.debug:
            traceback.print_exc()
        print(f"napari-promptseg: {error}", file=sys.stderr)
        if isinstance(error, ModelError):
            return BAD_MODEL
        return SOME_FAILED if isinstance(error, OutputError) else BAD_INPUT
    except BrokenPipeError:
        # The reader went away (`| head`): say nothing, and keep Python from complaining at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="napari-promptseg",
        description="Type class names, get masks: segment images by words, on your own machine.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"napari-promptseg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_segment(commands)
    _add_evaluate(commands)
    add_tune(commands)
    add_describe(commands)
    _add_models(commands)
    return parser


def _add_segment(commands: Any) -> None:
    parser = command(commands, "segment", "label images by class names", _SEGMENT, run_segment)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders or patterns")
    parser.add_argument("--series", metavar="N", help="number of the series, where a DICOM folder holds several")
    words = parser.add_mutually_exclusive_group(required=True)
    words.add_argument(
        "--classes",
        metavar="NAMES",
        help='commas part classes, | parts synonyms: "cat, sofa | couch"; @FILE reads them from a text file',
    )
    words.add_argument("--prompts", metavar="FILE", help="a .promptseg file, instead of names")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the labels; made if missing")
    add_format_option(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace labels that exist")
    parser.add_argument("--background", metavar="NAMES", help="words for everything else, instead of the usual ones")
    add_modality_options(parser)
    add_volume_options(parser)
    add_run_options(parser)
    add_model_options(parser)


def _add_evaluate(commands: Any) -> None:
    parser = command(commands, "evaluate", "measure a model on labelled images", _EVALUATE, run_evaluate)
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of images")
    parser.add_argument("--labels", required=True, metavar="DIR", help="folder of masks with integer ids")
    parser.add_argument("--classes", required=True, metavar="FILE", help="JSON file of ids and names")
    parser.add_argument("--prompts", metavar="FILE", help="measure a .promptseg file; its classes are paired by name")
    parser.add_argument("--json", metavar="OUT", help="also write the figures as JSON; - writes only JSON, to stdout")
    add_modality_options(parser)
    add_model_options(parser)


def _add_models(commands: Any) -> None:
    parser = command(commands, "models", "list the models that can be used", "", run_models)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--all", action="store_true", help="every model that OpenCLIP knows, not only the chosen few")


def run_segment(options: argparse.Namespace) -> int:
    """``segment``: label images by class names."""
    from napari_promptseg.images.writers import check_writable
    from napari_promptseg.label_jobs import find_images, plan
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.many_files import ManyFiles

    folder = Path(options.output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{options.output!r} is a file: name a folder for the labels.")
    check_writable(folder)
    saved = prompts_from_file(options) if options.prompts else None
    prompts = saved.prompts if saved else prompts_from_names(options)
    shared = shared_file(options, folder)
    choice = ModalityChoice.of(options)
    images = choice.without_partners(find_images(options.images, leave_out=folder))
    choice, prompts = choice.fitted(prompts, images, kind=values_of(prompts.image_kind), series=options.series)
    run, volume = run_plan_of(options), volume_plan_of(options, saved)
    with ProgressLine(sys.stderr) as line:
        jobs = [replace(j, volume=volume) for j in choice.jobs(plan(images, folder, options.format), line.say)]
        place = {job: f"[{number}/{len(jobs)}] {job.image.name}" for number, job in enumerate(jobs, start=1)}
        line.show("loading the model")
        segmenter = make_segmenter(options, quality_of(saved))
        if saved:
            fit_model(options.prompts, segmenter)
        with_tiles(segmenter, options.tile)
        _advise(segmenter, prompts, line)
        for sentence in choice.unmet(prompts):
            line.say(sentence)
        files = ManyFiles(
            segmenter,
            prompts,
            Setup.of(segmenter, prompts, model=options.model, device=options.device),
            run,
            kind=values_of(prompts.image_kind),
            series=options.series,
            form=options.format,
            overwrite=options.overwrite,
            progress=lambda job: line.listener(place[job]),
            debug=options.debug,
        )
        written = [outcome.job for outcome in files.outcomes(jobs, line.say) if _tell(outcome, line)]
        if merge_tables(options.table, written, resumed=options.resume):
            line.say(f"Sizes are in {options.table}.")
        if write_shared(shared, [job.labels for job in written]):
            line.say(f"Those of all pictures are in {shared} too.")
        done = len(written)
        line.say(f"{done} of {len(jobs)} images segmented, labels in {folder}" if done else "No image was segmented.")
    return SOME_FAILED if done < len(jobs) else FINE


def _tell(outcome: Outcome, line: ProgressLine) -> bool:
    """Say what became of an image; gives whether its labels are there."""
    from napari_promptseg.batch import notes_of_job

    if outcome.error is not None:
        line.say(f"{outcome.job.image}: {outcome.error}")
        return False
    shares = ", ".join(f"{name} {share:.1%}" for name, share in outcome.shares.items())
    line.clear()
    print(f"{outcome.job.labels}\t{shares}", flush=True)
    for note in notes_of_job(outcome.job):
        line.say(f"{outcome.job.image.name}: {note}")
    return True


def run_evaluate(options: argparse.Namespace) -> int:
    """``evaluate``: measure a model on labelled images."""
    from napari_promptseg.evaluation.evaluate import evaluate
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.evaluation.pairing import pair_by_name
    from napari_promptseg.evaluation.report import as_json, as_table

    pack = DataPack.from_folders(options.images, options.labels, options.classes)
    prompts = pack.prompts(threshold=options.threshold, image_kind=options.image_kind or "natural")
    notices: tuple[str, ...] = ()
    saved = prompts_from_file(options) if options.prompts else None
    if saved:
        prompts, notices = pair_by_name(saved.prompts, prompts, Path(options.prompts).name)
    choice = ModalityChoice.of(options)
    choice, prompts = choice.fitted(prompts, [p.image for p in pack], kind=values_of(prompts.image_kind))
    with ProgressLine(sys.stderr) as line:
        pack = choice.pack(pack, line.say)
        for notice in notices:
            line.say(notice)
        if pack.unused_masks:
            line.say(f"{len(pack.unused_masks)} masks have no image and are left out.")
        line.show("loading the model")
        segmenter = make_segmenter(options, quality_of(saved))
        if options.prompts:
            fit_model(options.prompts, segmenter)
        figures = evaluate(
            segmenter,
            pack,
            prompts=prompts,
            kind=values_of(prompts.image_kind),
            progress=lambda done, total, name: line.show(f"[{min(done + 1, total)}/{total}] {name}"),
        )
    text = json.dumps(as_json(figures), indent=1, ensure_ascii=False) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
        return FINE
    print(as_table(figures))
    if options.json:
        from napari_promptseg.images.writers import write_files

        write_files({Path(options.json): text.encode("utf-8", "backslashreplace")})
    return FINE


def run_models(options: argparse.Namespace) -> int:
    """``models``: list the models that can be used."""
    from dataclasses import asdict

    from napari_promptseg.encoders.catalogue import list_models

    entries = list_models(everything=options.all)
    if options.json:
        print(json.dumps([asdict(e) for e in entries], indent=1, ensure_ascii=False))
        return FINE
    rows = [("MODEL", "PARAMETERS", "DOWNLOAD", "STATE", "LICENCE", "GOOD AT")]
    for e in entries:
        size = "" if e.parameters is None else f"{e.parameters / 1e6:.0f} M"
        megabytes = "" if e.download_mb is None else f"{e.download_mb:.0f} MB"
        rows.append((e.spec, size, megabytes, e.state, e.licence, e.good_at))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]]))
    return FINE


def _advise(segmenter: Segmenter, prompts: PromptSet, line: ProgressLine) -> None:
    """Say which names the model does not know, and what to do."""
    tuned = prompts.learned.taught if prompts.learned is not None else frozenset[int]()
    names = [c.name for c in prompts.classes if c.value not in tuned]
    for name, (known, nearest) in zip(names, segmenter.encoder.familiarity(names), strict=True):
        if known == "unknown":
            near = f" (nearest: {', '.join(nearest[:3])})" if nearest else ""
            line.say(f"{name!r} is unknown to this model{near}: give a synonym after |, or choose another model.")
