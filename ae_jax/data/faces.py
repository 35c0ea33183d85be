"""The same letters in two typefaces or renderings, as pairs and as domains; sprites likewise."""

import string
from collections.abc import Callable, Sequence

import jax
import numpy as np

from ae_jax.core import COUNT, Dataset, InputError, require
from ae_jax.data.pairs import edges, paired, unpaired
from ae_jax.data.sources import shapes
from ae_jax.data.sources.glyphs import RENDERINGS, SIDE, glyphs
from ae_jax.data.stored import stored
from ae_jax.data.transforms import resized


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


def sprite_pairs(
    count: int,
    renderings: Sequence[str] = ("filled", "outline"),
    size: int = 16,
    split: str = "train",
    skip: int = 0,
) -> Dataset:
    """Pairs of one square, ellipse or heart in one place, in two renderings.

    They are those of `shapes32`, made smaller, in an order that is fixed.

    Args:
      count: how many pairs.
      renderings: the condition's and the target's: `filled`, white on black, smooth at the edges
        where size is below 32; `outline`, the inner edges of that; `dark`, black on white.
      size: height and width in pixels, a divisor of 32.
      split: train, validation, test or all, as of `shapes32`.
      skip: how many sprites to pass over first.

    Returns:
      A Dataset with `image` and `target` [size, size, 1], and `label`, the shape.

    Raises:
      InputError: there are not two such renderings; no such size or split; fewer sprites.
    """
    every = slice(None)
    return paired(*_sprites(count, renderings, (every, every), size, split, skip))


def sprite_domains(
    count: int,
    renderings: Sequence[str] = ("filled", "outline"),
    size: int = 16,
    split: str = "train",
    skip: int = 0,
) -> Dataset:
    """Two domains without pairs: no sprite is in both.

    Args:
      count: how many of each domain; twice as many sprites are used.
      renderings: the first domain's and the second's, as of `sprite_pairs`.
      size: height and width in pixels, a divisor of 32.
      split: train, validation, test or all, as of `shapes32`.
      skip: how many sprites to pass over first.

    Returns:
      A Dataset with `image` [size, size, 1] and `label`, the shape, of the first domain; `other`
      and `other_label` are of the second.

    Raises:
      InputError: as of `sprite_pairs`.
    """
    halves = slice(count), slice(count, None)
    return unpaired(*_sprites(2 * count, renderings, halves, size, split, skip))


def _sprites(
    count: int,
    renderings: Sequence[str],
    parts: Sequence[slice],
    size: int,
    split: str,
    skip: int,
) -> list[Dataset]:
    """A part of the same sprites in each rendering."""
    require(COUNT, count=count)
    if len(renderings) != 2 or len(set(renderings) & set(RENDERINGS)) != 2:
        raise InputError(
            f"two renderings of {', '.join(RENDERINGS)} are compared, got {', '.join(renderings)}"
        )
    drawn = resized(shapes.load(split, SIDE), size)
    if not 0 <= skip <= drawn.size - count:
        raise InputError(
            f"split {split!r} has {drawn.size:,} sprites, fewer than {skip + count:,}: take fewer"
        )
    batch = jax.jit(drawn.fetch)(drawn.arrays, np.arange(skip, skip + count))
    x, label = batch["image"], np.asarray(batch["factors"][:, 0])
    made = {"filled": x, "outline": edges(x)[0], "dark": 1 - x}
    return [
        stored(np.asarray(made[name])[part], label[part], origin="sprites")
        for name, part in zip(renderings, parts, strict=True)
    ]


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
