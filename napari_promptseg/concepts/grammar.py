"""English for names: which noun is the head, its plural, and whether it is counted at all."""

from __future__ import annotations

from functools import cache

from napari_promptseg.concepts.vocabulary import shipped_vocabularies

_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "tooth": "teeth",
    "foot": "feet",
    "goose": "geese",
    "mouse": "mice",
    "louse": "lice",
    "leaf": "leaves",
    "knife": "knives",
    "wife": "wives",
    "life": "lives",
    "loaf": "loaves",
    "wolf": "wolves",
    "calf": "calves",
    "half": "halves",
    "shelf": "shelves",
    "thief": "thieves",
    "ox": "oxen",
    "nucleus": "nuclei",
    "nucleolus": "nucleoli",
    "alveolus": "alveoli",
    "glomerulus": "glomeruli",
    "bronchus": "bronchi",
    "bronchiolus": "bronchioli",
    "thrombus": "thrombi",
    "embolus": "emboli",
    "villus": "villi",
    "gyrus": "gyri",
    "sulcus": "sulci",
    "stimulus": "stimuli",
    "fungus": "fungi",
    "bacillus": "bacilli",
    "nevus": "nevi",
    "naevus": "naevi",
    "radius": "radii",
    "calculus": "calculi",
    "bacterium": "bacteria",
    "mitochondrion": "mitochondria",
    "atrium": "atria",
    "cilium": "cilia",
    "flagellum": "flagella",
    "diverticulum": "diverticula",
    "septum": "septa",
    "acinus": "acini",
    "vertebra": "vertebrae",
    "alga": "algae",
    "hypha": "hyphae",
    "larva": "larvae",
    "lamina": "laminae",
    "trabecula": "trabeculae",
    "bulla": "bullae",
    "papilla": "papillae",
    "fistula": "fistulae",
    "macula": "maculae",
    "ganglion": "ganglia",
    "phenomenon": "phenomena",
    "criterion": "criteria",
    "carcinoma": "carcinomas",
    "appendix": "appendices",
    "cortex": "cortices",
    "matrix": "matrices",
    "vertex": "vertices",
    "calyx": "calyces",
    "phalanx": "phalanges",
    "larynx": "larynges",
    "meninx": "meninges",
    "foramen": "foramina",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "hero": "heroes",
    "echo": "echoes",
    "mango": "mangoes",
    "quiz": "quizzes",
}

#: One form for one and for many.
_SAME_TEXT = "sheep fish deer aircraft spacecraft series species salmon trout squid moose offspring shrimp"
_SAME = frozenset(_SAME_TEXT.split())

#: Names of stuff: not "two grasses" but "two areas of grass".
_STUFF_TEXT = """
    sky grass water sand snow ice mud soil dirt gravel earth hair fur skin blood mucus bile fat muscle tissue cartilage
    air smoke fire fog rain wood metal plastic glass paper concrete asphalt furniture clothing food rice bread meat
    equipment machinery vegetation foliage background foreground debris cytoplasm chromatin stroma epithelium necrosis
    fluid pus oedema edema cement enamel dentin wheat maize barley traffic litter garbage plankton ascites
    cerebrospinal-fluid white-matter grey-matter gray-matter matter mucosa parenchyma fibrosis inflammation steatosis
    mesenchyme endothelium keratin melanin collagen pavement land farmland ground bone stool faeces feces gas"""
_STUFF = frozenset(_STUFF_TEXT.split())

_PLURALS = frozenset(_IRREGULAR.values()) | {"cattle", "clothes", "data", "scissors", "trousers", "glasses"}
#: Ends like a plural, but is one thing.
_SINGULAR_S = ("ss", "us", "is", "as", "os", "lens", "ys")

_PREPOSITIONS = frozenset({"of", "in", "on", "with", "from", "at", "for", "under", "over", "by", "without", "near"})


#: Between the words of a name these say that it is in another language.
_FOREIGN_TEXT = (
    "de del della dello dell dei degli des du di da der dem el la le les lo il los las het och av und et y e"
)
_FOREIGN = frozenset(_FOREIGN_TEXT.split())
#: Ends that English nouns hardly have, and the English ones that have them.
_FOREIGN_ENDS = ("ung", "heit", "keit", "schaft", "zione", "cion", "miento", "o", "i", "u")
_ENGLISH_TEXT = """
    lung dung photo video embryo studio piano logo radio zero memento torso volcano buffalo domino flamingo mosquito
    cargo casino dingo ego ghetto halo kilo lasso memo motto patio pesto poncho rhino silo solo tempo turbo yo-yo
    broccoli taxi ski kiwi bikini safari menu emu tofu guru"""
_ENGLISH = frozenset(_ENGLISH_TEXT.split())


def head_index(words: list[str]) -> int:
    """Place of the noun that is counted: the last word, or the one before "of", "with" and the like."""
    for i, word in enumerate(words[1:], 1):
        if word.casefold() in _PREPOSITIONS:
            return i - 1
    return len(words) - 1


def is_english(name: str) -> bool:
    """Whether English rules may be used on a name: plain Latin letters only. Others are never changed."""
    return bool(name) and name.isascii() and any(ch.isalpha() for ch in name)


def is_stuff(name: str) -> bool:
    """Whether a name is that of stuff, which is not counted."""
    return is_english(name) and _head(name) in _STUFF


def is_plural(name: str) -> bool:
    """Whether an English name already stands for several."""
    if not is_english(name):
        return False
    head = _head(name)
    if head in _PLURALS:
        return True
    return len(head) > 3 and head.endswith("s") and not head.endswith(_SINGULAR_S) and head not in _SAME


def plural(name: str) -> str:
    """The name for more than one; unchanged where it is plural already or in another language."""
    if not is_english(name) or is_plural(name):
        return name
    words = name.split()
    if _seems_foreign(words):
        return name
    at = head_index(words)
    words[at] = _plural_word(words[at])
    return " ".join(words)


def _seems_foreign(words: list[str]) -> bool:
    """Whether a name in plain letters looks like one of another language, whose plurals are not ours to form.

    A capital in front is how German writes its nouns; names that the vocabularies hold may be written so too.
    """
    if any(word.casefold() in _FOREIGN for word in words[1:-1]):
        return True
    head = words[head_index(words)]
    low = head.casefold()
    if (
        head.isupper()
        or low in _IRREGULAR
        or low in _ENGLISH
        or low in _SAME
        or low.endswith("oo")
        or low in _known_heads()
    ):
        return False
    if head[:1].isupper() and head[1:].islower() and len(head) > 1:
        return True
    return len(head) > 2 and low.endswith(_FOREIGN_ENDS)


@cache
def _known_heads() -> frozenset[str]:
    """Head nouns of the shipped vocabularies, all English."""
    return frozenset(_head(name) for v in shipped_vocabularies().values() for name in v.names)


def _plural_word(word: str) -> str:
    low = word.casefold()
    if low in _SAME:
        return word
    for singular, many in _IRREGULAR.items():
        if low == singular:
            return many if word.islower() else many.upper() if word.isupper() and len(word) > 1 else many.capitalize()
    if word.isupper() and len(word) <= 5:
        return f"{word}s"  # "MRIs": the letters of an abbreviation stay
    if low.endswith(("man", "woman")) and low not in ("human", "german", "roman"):
        return f"{word[:-2]}en"
    if low.endswith("sis"):
        return f"{word[:-2]}es"
    if low.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if low.endswith("y") and len(low) > 1 and low[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def _head(name: str) -> str:
    words = name.split()
    return words[head_index(words)].casefold()
