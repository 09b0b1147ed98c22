"""What each class is: the words, regions and learned vectors that stand for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.palette import colour_for
from napari_promptseg.prompts.region_notes import notes_without

#: Names are matched to these words when nothing else is known about the picture.
DEFAULT_BACKGROUND: tuple[str, ...] = (
    "background",
    "sky",
    "wall",
    "floor",
    "ground",
    "grass",
    "tree",
    "road",
    "water",
    "building",
    "ceiling",
    "texture",
)

#: Kind of picture, which chooses the template sentences a name is put into.
ImageKind = Literal[
    "natural", "microscopy", "endoscopy", "ct", "mr", "ultrasound", "xray", "histology", "dermoscopy", "aerial"
]

#: How several texts of one class become one score: average their embeddings, or take the best score.
Pooling = Literal["mean", "max"]


@dataclass(frozen=True)
class ClassPrompt:
    """One class the user asks for.

    Parameters
    ----------
    name : str
        As the user typed it; also the first text.
    value : int
        Its integer in the label map, 1 or more.
    synonyms : tuple of str
        Further texts for the same class.
    colour : str
        ``"#rrggbb"``.
    threshold : float
        Probability in ``[0, 1]`` under which a pixel stays background.
    visible : bool
        A hidden class still competes for pixels but is not drawn.
    sentences : tuple of str
        What was seen in regions drawn for the class, in words: further texts, embedded as they stand.
    """

    name: str
    value: int
    synonyms: tuple[str, ...] = ()
    colour: str = "#ff7f0e"
    threshold: float = 0.5
    visible: bool = True
    sentences: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Name and synonyms."""
        return (self.name, *self.synonyms)

    @property
    def label(self) -> str:
        """As typed: ``"sofa | couch"``."""
        return " | ".join(self.texts)


@dataclass(frozen=True)
class PromptSet:
    """Ordered classes and what they are told apart from.

    Parameters
    ----------
    classes : tuple of ClassPrompt
        In the user's order; names unique without regard to case.
    background : tuple of str
        Words for everything else; a pixel that fits one of them better than any class is background.
    image_kind : ImageKind
    pooling : Pooling
    metadata : dict
        Plain JSON that goes with the classes and changes no score; ``"regions"`` holds what was said of drawn
        regions (`prompts.region_notes`). Sets that differ in it alone are equal.
    learned : LearnedPrompts, optional
        What tuning added; classes it does not hold are scored by their words.
    """

    classes: tuple[ClassPrompt, ...]
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    image_kind: ImageKind = "natural"
    pooling: Pooling = "mean"
    metadata: dict[str, Any] = field(default_factory=dict, compare=False)
    learned: LearnedPrompts | None = None

    @classmethod
    def from_text(cls, text: str, **keywords: Any) -> PromptSet:
        """Read ``"cat, sofa | couch"``: commas, semicolons or line ends part classes, ``|`` parts synonyms.

        A part in double quotes keeps its commas: ``'"red, round cell"'``.

        Raises
        ------
        InputError
            If no class is left or one is named twice.
        """
        return cls((), **keywords).with_added(split_names(text))

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def find(self, name: str) -> ClassPrompt:
        """The class of that name (case does not matter); `InputError` if there is none."""
        for c in self.classes:
            if c.name.casefold() == name.casefold():
                return c
        raise InputError(f"There is no class {name!r}; there are: {', '.join(self.names) or 'none yet'}.")

    def with_added(self, groups: Iterable[tuple[str, ...]]) -> PromptSet:
        """Add classes given as ``(name, *synonyms)``; values go on from the highest in use."""
        classes = list(self.classes)
        for name, *synonyms in groups:
            if not name.strip():
                raise InputError("A class needs a name.")
            if any(c.name.casefold() == name.casefold() for c in classes):
                raise InputError(f"The class {name!r} is there twice: give each class one name.")
            value = max((c.value for c in classes), default=0) + 1
            classes.append(ClassPrompt(name, value, tuple(synonyms), colour_for(value)))
        if not classes:
            raise InputError("No class is named: type at least one, for example: cat, sofa | couch.")
        return replace(self, classes=tuple(classes))

    def with_replaced(self, value: int, **changes: Any) -> PromptSet:
        """Change fields of the class with that label value."""
        new = tuple(replace(c, **changes) if c.value == value else c for c in self.classes)
        seen: set[str] = set()
        for c in new:
            if not c.name.strip():
                raise InputError("A class needs a name.")
            if c.name.casefold() in seen:
                raise InputError(f"The class {c.name!r} is there twice: give each class one name.")
            seen.add(c.name.casefold())
        return replace(self, classes=new)

    def without(self, value: int) -> PromptSet:
        """Remove the class with that label value; the others keep theirs."""
        return replace(
            self,
            classes=tuple(c for c in self.classes if c.value != value),
            learned=self.learned and self.learned.without(value),
            metadata=notes_without(self.metadata, value),
        )


def split_names(text: str) -> list[tuple[str, ...]]:
    """Split what the user typed into ``(name, *synonyms)`` groups; empty parts are dropped.

    Notes
    -----
    A double quote opens a quoted part only at the beginning of a name, so that ``5" pipe`` stays itself.
    """
    groups: list[list[str]] = [[]]
    part, quoted, fresh = "", False, True

    def close() -> None:
        nonlocal part, fresh
        if part.strip():
            groups[-1].append(" ".join(part.split()))
        part, fresh = "", True

    for ch in text:
        if quoted:
            if ch == '"':
                quoted = False
            else:
                part += ch
        elif ch == '"' and fresh and not part.strip():
            quoted, fresh = True, False
        elif ch == "|":
            close()
        elif ch in ",;\n，、":
            close()
            groups.append([])
        else:
            part += ch
    close()
    return [tuple(dict.fromkeys(g)) for g in groups if g]
