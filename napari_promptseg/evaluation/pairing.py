"""Which class of a prompt file stands for which id of a pack: the one of the same name."""

from __future__ import annotations

from dataclasses import replace

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import renumbered_notes


def pair_by_name(prompts: PromptSet, pack: PromptSet, what: str = "the prompts") -> tuple[PromptSet, tuple[str, ...]]:
    """Give the classes of a prompt set the ids of a pack.

    Parameters
    ----------
    prompts : PromptSet
        Of a prompt file, with whatever was learned.
    pack : PromptSet
        The pack's own names (`DataPack.prompts`), whose values are its ids.
    what : str
        How the sentences call `prompts`.

    Returns
    -------
    paired : PromptSet
        One class for each id of the pack, in its order: the class of `prompts` of that name, case aside, or else the
        pack's bare name.
    notices : tuple of str
        A sentence for classes on one side only: those of `prompts` that the pack lacks are left out.

    Raises
    ------
    InputError
        If they have no name in common.
    """
    mine = {c.name.casefold(): c for c in prompts.classes}
    common = {c.name.casefold() for c in pack.classes} & set(mine)
    if not common:
        raise InputError(
            f"None of the classes of {what} ({', '.join(prompts.names)}) is in the pack ({', '.join(pack.names)}): "
            "name the pack's ids after them in its class file."
        )
    extra = [c.name for c in prompts.classes if c.name.casefold() not in common]
    missing = [c.name for c in pack.classes if c.name.casefold() not in common]
    classes = tuple(
        replace(mine[c.name.casefold()], value=c.value, colour=c.colour) if c.name.casefold() in common else c
        for c in pack.classes
    )
    ids = {mine[c.name.casefold()].value: c.value for c in pack.classes if c.name.casefold() in common}
    notices = []
    if extra:
        notices.append(f"The pack does not have {_listed(extra)} of {what}: left out.")
    if missing:
        notices.append(f"{what} does not have {_listed(missing)} of the pack: measured by name alone.")
    learned = prompts.learned.renumbered(ids) if prompts.learned is not None else None
    metadata = renumbered_notes(prompts.metadata, ids)
    return replace(prompts, classes=classes, learned=learned, metadata=metadata), tuple(notices)


def _listed(names: list[str], most: int = 6) -> str:
    quoted = ", ".join(repr(n) for n in names[:most])
    return f"{quoted} and {len(names) - most} more" if len(names) > most else quoted
