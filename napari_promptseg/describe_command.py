"""The command ``describe``: from a region of a picture to its concept in words."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_promptseg import __version__
from napari_promptseg.command_options import DEVICES, FINE, IMAGE_KINDS, command, values_of
from napari_promptseg.errors import InputError
from napari_promptseg.multimodal_options import add_multimodal_options, teller_of
from napari_promptseg.progress_line import ProgressLine

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_promptseg.concepts.concept import Concept
    from napari_promptseg.concepts.multimodal.teller import Teller
    from napari_promptseg.images.stack import ImageStack

_EXAMPLES = """\
examples:
  napari-promptseg describe frame.png --mask polyp.png --name polyp --kind endoscopy
  napari-promptseg describe frame.png --mask polyp.png --model none --json
  napari-promptseg describe cells.tif --mask instances.tif --label all --name "cell nucleus" --kind microscopy
  napari-promptseg describe scan.nii.gz --mask organs.nii.gz --label 5 --name liver --kind ct
  napari-promptseg describe frame.png --mask polyp.png --endpoint http://localhost:11434 --endpoint-model qwen2.5vl:7b

The region is the mask's pixels that are not 0, exactly as they are; it must have the image's size. A mask with
several labels needs --label: a number takes one of them, "all" takes them together, each as a part of its own.

The first line is the conceptual sentence. Below it stands one line for each attribute: its word, the chance that the
same region drawn a second time would get the same word, and the numbers behind it; "off" marks words that are not in
the sentence, because they are unsure or not asked for. Number, size, shape, brightness, colour, contrast, texture,
margin and place are measured from pixels; names and the kind of picture come from the model, and what it does not
know it does not guess. Left and right are those of the picture, not the patient's.

A larger model is asked only with --endpoint or --vlm-directory. It gets the crop around the region and a fixed
question, nothing else; what is sent where is said first, and an endpoint that is not on this machine needs
--send-to-remote. A key is taken from the variable PROMPTSEG_VLM_KEY or the system's keyring. Where it fails, the
measured words stay.
"""


def add_describe(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = command(commands, "describe", "say in words what a region of an image is", _EXAMPLES, run_describe)
    parser.add_argument("image", metavar="IMAGE", help="an image file")
    parser.add_argument("--mask", required=True, metavar="MASK", help="the region: a label image of the same size")
    parser.add_argument("--label", metavar="N", help='which label of the mask, or "all"; needed where it has several')
    parser.add_argument("--name", default="", help="what the region is called, in any language")
    parser.add_argument("--plural", default="", help="the name for several, where English would form another one")
    parser.add_argument(
        "--kind",
        choices=IMAGE_KINDS,
        metavar="KIND",
        help=f"what the picture is: {', '.join(IMAGE_KINDS)} (default: guessed, or left open)",
    )
    parser.add_argument("--plane", type=int, metavar="Z", help="plane of a stack (default: where most is marked)")
    parser.add_argument("--vocabulary", action="append", default=[], metavar="FILE", help="names to offer, as JSON")
    parser.add_argument("--json", action="store_true", help="as JSON; Concept.from_json reads it back")
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", default="embedded", metavar="MODEL", help="as for segment; none measures only (default: %(default)s)"
    )
    group.add_argument("--device", choices=DEVICES, default="auto", help="where the model runs (default: %(default)s)")
    add_multimodal_options(parser)


def run_describe(options: argparse.Namespace) -> int:
    """``describe``: say in words what a region of an image is."""
    from napari_promptseg.concepts.description import describe_region
    from napari_promptseg.concepts.region import Region
    from napari_promptseg.concepts.vocabulary import read_vocabulary, vocabularies
    from napari_promptseg.evaluation.packs import read_mask
    from napari_promptseg.images.readers import read_image

    # a missing file is said as such, before the image is decoded
    for path in (options.image, options.mask):
        if not Path(path).is_file():
            raise InputError(f"There is no file {path!r}: check the path.")
    teller = teller_of(options)
    stack = read_image(options.image, kind=values_of(options.kind or ""))
    mask, plane = _plane_of(read_mask(Path(options.mask), stack), stack, options)
    region = _chosen(mask, options)
    Region.from_mask(region, stack.plane_shape)  # refused before the model is loaded
    words = vocabularies(read_vocabulary(path) for path in options.vocabulary)
    with ProgressLine(sys.stderr) as line:
        encoder = None
        if options.model != "none":
            from napari_promptseg.encoders import loading

            line.show("loading the model")
            encoder = loading.load_encoder(options.model, device=options.device)
        line.show("looking at the region")
        concept = describe_region(
            stack,
            region,
            plane=plane,
            name=options.name,
            plural=options.plural,
            image_kind=options.kind,
            encoder=encoder,
            words=words,
        )
        if teller is not None:
            concept = _filled(concept, teller, stack, region, plane, options.hide_surroundings, line)
        for notice in () if options.json else concept.notices:
            line.say(notice)
    if options.json:
        made_by = {
            "image": options.image,
            "mask": options.mask,
            "label": options.label,
            "plane": plane,
            "model": options.model,
            "fingerprint": encoder.fingerprint if encoder is not None else None,
            "larger_model": teller.name if teller is not None else None,
            "version": __version__,
        }
        print(json.dumps({**concept.as_dict(), "made_by": made_by}, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(concept)))
    return FINE


def _filled(
    concept: Concept,
    teller: Teller,
    stack: ImageStack,
    region: npt.NDArray[Any],
    plane: int,
    hidden: bool,
    line: ProgressLine,
) -> Concept:
    """The concept with the words that a larger model gives it, once it is said what that model gets to see."""
    from napari_promptseg.concepts.multimodal.crop import crop_region
    from napari_promptseg.concepts.multimodal.filling import ask_about, is_grey_concept

    line.say(teller.disclosure(crop_region(stack, region, plane=plane, hidden=hidden)).sentence())
    asked = ask_about(
        teller,
        stack,
        region,
        plane=plane,
        hidden=hidden,
        grey=is_grey_concept(concept),
        progress=line.listener("larger model"),
    )
    return asked.fill(concept).concept


def _plane_of(mask: npt.NDArray[Any], stack: ImageStack, options: argparse.Namespace) -> tuple[npt.NDArray[Any], int]:
    """The mask of one plane, and which plane of the image it is."""
    import numpy as np

    if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[-1]) and len(stack.grid) == 2:
        mask = mask.squeeze()
    fits = mask.shape == stack.grid or (mask.shape == stack.plane_shape and options.plane is not None)
    if not fits:
        hint = "name its plane with --plane" if mask.shape == stack.plane_shape else "draw the region on this image"
        raise InputError(
            f"The mask {Path(options.mask).name!r} has the size {mask.shape} but the image {stack.grid}: {hint}."
        )
    if options.plane is not None and not 0 <= options.plane < stack.n_planes:
        raise InputError(f"Plane {options.plane} does not exist: the image has {stack.n_planes}, counted from 0.")
    if mask.ndim == 2:
        return mask, options.plane or 0
    if options.plane is None:
        label = int(options.label) if (options.label or "").isdecimal() else None
        marked = mask != 0 if label is None else mask == label
        plane = int(np.count_nonzero(marked, axis=(1, 2)).argmax())
    else:
        plane = options.plane
    return mask[plane], plane


def _chosen(mask: npt.NDArray[Any], options: argparse.Namespace) -> npt.NDArray[Any]:
    """The region that ``--label`` names, or the only one there is."""
    import numpy as np

    found = [int(v) for v in np.unique(mask) if v != 0]
    if options.label == "all":
        return mask if len(found) > 1 else np.not_equal(mask, 0)
    if options.label is not None:
        if not options.label.isdecimal() or int(options.label) == 0:
            raise InputError(f'The label {options.label!r} is neither a number above 0 nor "all".')
        if int(options.label) not in found:
            raise InputError(f"The mask has no label {options.label} in this plane; it has {_some(found)}.")
        one: npt.NDArray[Any] = np.equal(mask, int(options.label))
        return one
    if len(found) > 1:
        raise InputError(
            f"The mask holds {len(found)} labels ({_some(found)}): choose one with --label N, or take them together "
            "with --label all."
        )
    chosen: npt.NDArray[Any] = np.not_equal(mask, 0)
    return chosen


def _some(values: list[int], most: int = 6) -> str:
    return (", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")) or "none"


def _lines(concept: Concept) -> list[str]:
    """Sentence, attributes, what was left out, and names, for a terminal."""
    lines = [concept.sentence(), ""]
    wide = max([len(a.word) for a in concept.attributes] + [len(c.name) for c in concept.candidates] + [1])
    for a in concept.attributes:
        numbers = ", ".join(f"{x:.3g}" for x in a.measured)
        behind = a.unit + (f"; {a.source}" if a.source else "")
        lines.append(
            f"{a.kind:10} {a.word:{wide}}  {a.confidence:4.0%}  {'   ' if a.enabled else 'off'}  {numbers}  ({behind})"
        )
    lines += [f"{kind:10} -  {why}" for kind, why in concept.left_out.items()]
    if concept.image_kind:
        lines.append(f"{'kind':10} {concept.image_kind}")
    if concept.candidates:
        lines += ["", "names the model offers:"]
        lines += [
            f"{'':10} {c.name:{wide}}  {c.confidence:4.0%}  {c.familiarity}{c.source and f'  ({c.source})'}"
            for c in concept.candidates
        ]
    return lines
