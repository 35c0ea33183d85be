"""The same letters in two typefaces, or in two renderings: as pairs, and as domains."""

import string
from collections.abc import Callable, Sequence

from ae_jax.core import Dataset, InputError
from ae_jax.data.pairs import paired, unpaired
from ae_jax.data.sources.glyphs import SIDE, glyphs


def glyph_pairs(
    count: int,
    faces: str | Sequence[str] = "DejaVuSans",
    renderings: str | Sequence[str] = "filled",
    letters: str = string.ascii_uppercase,
    size: int = SIDE,
    split: str = "all",
    skip: int = 0,
) -> Dataset:
    """Pairs of one letter in one place, in two faces or two renderings: the truth of a swap.

    Args:
      count: how many pairs.
      faces: one, or the condition's and the target's, of `sources.glyphs.FACES`.
      renderings: one, or the condition's and the target's, of those of `glyphs`.
      letters: of A to Z, 0 to 9 and a to z.
      size: height and width in pixels, from 8 to 256.
      split: train, validation, test, or all, as of `glyphs`.
      skip: how many combinations to pass over first.

    Returns:
      A Dataset as of `glyphs`, and `target` [size, size, 1].

    Raises:
      InputError: there are not two faces or two renderings, or as `glyphs` has it.
    """
    first, second = _styles(faces, renderings)
    return paired(
        first(count, letters=letters, size=size, split=split, skip=skip),
        second(count, letters=letters, size=size, split=split, skip=skip),
    )


def glyph_domains(
    count: int,
    faces: str | Sequence[str] = "DejaVuSans",
    renderings: str | Sequence[str] = "filled",
    letters: str = string.ascii_uppercase,
    size: int = SIDE,
    split: str = "all",
    skip: int = 0,
) -> Dataset:
    """Two domains without pairs: no letter is in one place in both.

    What is held out of one domain is held out of the other: the pairs of split test have no
    letter in a place where split train has it.

    Args:
      count: how many of each domain; twice as many combinations are used.
      faces: one, or the first domain's and the second's, of `sources.glyphs.FACES`.
      renderings: one, or the first domain's and the second's, of those of `glyphs`.
      letters: of A to Z, 0 to 9 and a to z.
      size: height and width in pixels, from 8 to 256.
      split: train, validation, test, or all, as of `glyphs`.
      skip: how many combinations to pass over first.

    Returns:
      A Dataset as of `glyphs`, of the first domain; `other` [size, size, 1] and `other_label`
      are of the second.

    Raises:
      InputError: as of `glyph_pairs`.
    """
    first, second = _styles(faces, renderings)
    return unpaired(
        first(count, letters=letters, size=size, split=split, skip=skip),
        second(count, letters=letters, size=size, split=split, skip=skip + count),
    )


def _styles(
    faces: str | Sequence[str], renderings: str | Sequence[str]
) -> list[Callable[..., Dataset]]:
    """How each of the two is drawn."""
    two = [[names] * 2 if isinstance(names, str) else list(names) for names in (faces, renderings)]
    styles = list(zip(*two, strict=True)) if {len(names) for names in two} == {2} else []
    if len(set(styles)) != 2:
        raise InputError(
            f"two faces or two renderings are compared, got {faces} and {renderings}: "
            'pass faces=("DejaVuSans", "DejaVuSerif"), say, or renderings=("filled", "outline")'
        )

    def style(face: str, rendering: str) -> Callable[..., Dataset]:
        return lambda count, **rest: glyphs(count, face, rendering=rendering, **rest)

    return [style(face, rendering) for face, rendering in styles]
