"""Words, live weights, tuned prompts and a student of them, learned from a few images and tested on the others.

The student's images without labels are the test images themselves, or some of them; their masks are not read. That is
the use it is made for: a few labelled images of a folder, and the rest to be labelled.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks import _shots

METHODS = ("live", "prompts", "student")
#: What is measured: the student's teacher too.
ROWS = ("live", "prompts", "teacher", "student")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _shots.add_arguments(parser)
    parser.set_defaults(unseen=0.0)
    parser.add_argument("--shots", default="1,5,10", help="numbers of labelled images (default: 1,5,10)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--unlabelled", type=int, default=0, metavar="N", help="test images labelled; 0 for all")
    parser.add_argument("--student-steps", type=int, default=90, help="steps on the teacher's labels (default: 90)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Learn from the first images of one order, more of them each time; the tests are the same for all."""
    counts = sorted({int(n) for n in args.shots.split(",")})
    parting = _shots.part(args, counts[-1])
    segmenter = _shots.make_segmenter(args, len(parting.tests) + counts[-1])
    case = Case(args, parting, segmenter)
    words = _shots.measure(segmenter, parting, case.prompts)
    found = {str(n): case.play(n) for n in counts}
    return {
        **_shots.described(args, parting, segmenter),
        "unlabelled_images": len(case.unlabelled),
        "student_options": case.described(),
        "text": words,
        "shots": found,
        "mean_over_shots": {
            m: {
                k: statistics.fmean(f[m][k] for f in found.values())
                for k in ("mean_dice", "mean_iou", "delivered_dice")
            }
            for m in ROWS
            if all(m in f for f in found.values())
        },
    }


class Case:
    """One pack, and the ways to learn from its first images."""

    def __init__(self, args: argparse.Namespace, parting: _shots.Parting, segmenter: Any) -> None:
        from napari_promptseg.learning.student import StudentOptions
        from napari_promptseg.learning.tuning_options import TuningOptions

        self.args, self.parting, self.segmenter = args, parting, segmenter
        self.prompts = parting.pack.prompts()
        pairs = parting.tests.pairs
        n = min(args.unlabelled or len(pairs), len(pairs))
        self.unlabelled = [pairs[int((i + 0.5) * len(pairs) / n)] for i in range(n)]
        self.tuning = TuningOptions(steps=args.steps, seed=args.seed)
        own = max(1, 2 * args.student_steps // 3)
        self.student = StudentOptions(steps=args.student_steps, own_steps=own, seed=args.seed)

    def play(self, n: int) -> dict[str, Any]:
        """Figures of every method for `n` labelled images."""
        from napari_promptseg.learning.live_across import AcrossSettings, learn_live
        from napari_promptseg.learning.prompt_tuning import tune_prompts
        from napari_promptseg.learning.student import train_student
        from napari_promptseg.learning.teaching import to_be_tuned_on

        segmenter, found = self.segmenter, {}
        samples = _shots.shots(segmenter, self.parting, n, self.args.seed)
        if "live" in self.args.methods:
            settings = AcrossSettings(seed=self.args.seed)
            found["live"] = self.figures(learn_live(segmenter, self.prompts, samples, settings=settings))
        if "prompts" in self.args.methods:
            tuned = tune_prompts(segmenter.encoder, self.prompts, samples, options=self.tuning)
            found["prompts"] = self.figures(tuned)
        if "student" in self.args.methods:
            planes = ((self.parting.pack.load(p)[0], 0) for p in self.unlabelled)
            shown = to_be_tuned_on(samples, self.student)
            tuned = tune_prompts(segmenter.encoder, self.prompts, shown, options=self.tuning)
            result = train_student(segmenter, tuned.prompts, samples, planes, options=self.student)
            teacher = _shots.measure(segmenter, self.parting, result.teacher)
            found["teacher"] = {**teacher, "delivered_dice": teacher["mean_dice"]}
            found["student"] = {
                **self.figures(result),
                "teacher": result.facts()["teacher"],
                "teacher_kept": result.teacher_kept,
                "parameters": result.parameters,
            }
        return found

    def figures(self, result: Any) -> dict[str, Any]:
        """Agreement with what was learned, kept or not, and with what the user gets."""
        start = time.perf_counter()
        learned = _shots.measure(self.segmenter, self.parting, result.candidate)
        took = time.perf_counter() - start
        given = learned if result.kept else _shots.measure(self.segmenter, self.parting, result.prompts)
        return {
            **learned,
            "held_out_dice": [result.verdict.before, result.verdict.after],
            "kept": result.kept,
            "delivered_dice": given["mean_dice"],
            "delivered_iou": given["mean_iou"],
            "seconds": result.seconds,
            "seconds_per_test_image": took / len(self.parting.tests),
        }

    def described(self) -> dict[str, Any]:
        """The student's options."""
        from dataclasses import asdict

        return asdict(self.student)
