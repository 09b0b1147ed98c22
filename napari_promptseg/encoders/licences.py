"""Licences of weights, by the hub repository that they are fetched from, and only where one was seen written down.

Seen, in November 2026, on the repository's own hub page (``page``), in the ``license`` field of timm's record of the
same image tower (``timm``), or in the publisher's source repository (``source``). What was not seen is not asserted.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

#: What the catalogue says of weights whose licence was not seen.
SEE_PAGE = "see the model's page"

#: Apple's own terms for research, as its hub pages and timm name them.
APPLE_RESEARCH = "Apple AMLR (research)"

# the first pattern that fits
_SEEN: tuple[tuple[str, str], ...] = (
    ("microsoft/BiomedCLIP-*", "MIT"),  # page
    ("laion/CLIP-ViT-*roberta*", SEE_PAGE),
    ("laion/CLIP-*", "MIT"),  # pages of twelve: LAION-2B, LAION-400M, DataComp and CommonPool
    ("laion/*CoCa-*", "MIT"),  # pages
    ("timm/resnet*.openai", "MIT"),  # timm; source
    ("timm/vit_*.openai", "MIT; Apache-2.0 for timm's copy"),  # source; page and timm
    ("timm/resnet*.yfcc15m", "MIT"),  # timm
    ("timm/resnet*.cc12m", "MIT"),  # timm
    ("timm/vit_*.laion400m_*", "MIT"),  # timm
    ("timm/eva*", "MIT"),  # timm
    ("timm/*.metaclip*", "CC BY-NC 4.0"),  # timm
    ("timm/ViT-*-SigLIP*", "Apache-2.0"),  # timm
    ("timm/PE-Core-*", "Apache-2.0"),  # page of one; timm
    ("timm/MobileCLIP2-*", APPLE_RESEARCH),  # timm
    ("apple/MobileCLIP-*", APPLE_RESEARCH),  # timm
    # the pages of DFN models changed between Apple's sample code licence and its research licence
    ("apple/DFN*", SEE_PAGE),
    ("jienengchen/ViTamin-*", "MIT"),  # timm
    ("UCSC-VLAA/ViT-L-14-CLIPA-datacomp1B", "Apache-2.0"),  # page
    ("visheratin/nllb-clip-base-oc", "CC BY-NC 4.0"),  # page
)


def weights_licence(repository: str) -> str:
    """Licence of the weights in a hub repository ``"organisation/name"``; `SEE_PAGE` where none was seen."""
    return next((licence for pattern, licence in _SEEN if fnmatchcase(repository, pattern)), SEE_PAGE)
