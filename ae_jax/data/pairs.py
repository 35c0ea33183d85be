"""Data sets of two domains: pairs of a condition and its target, and domains without pairs."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError, require_kind
from ae_jax.data.content import derived, digest_of_arrays, shared
from ae_jax.data.stored import gather
from ae_jax.data.transforms import subset
from ae_jax.shuffle import index_shuffle

#: images [B, H, W, C] -> conditions [B, H', W', C'] and their targets
Pairing = Callable[[Array], tuple[Array, Array]]


def edges(image: Array) -> tuple[Array, Array]:
    """The inner edges of what is bright, [B, H, W, 1], and the images.

    Of each channel, what an erosion by the four neighbours takes away; of these the largest.
    """
    around = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = image.shape[1:3]
    eroded = image
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        eroded = jnp.minimum(eroded, around[:, row : row + height, column : column + width])
    return jnp.max(image - eroded, axis=-1, keepdims=True), image


def grey(image: Array) -> tuple[Array, Array]:
    """How bright colour images are, [B, H, W, 1], and the images.

    Raises:
      InputError: if they have not three channels.

    Reference:
      ITU-R Recommendation BT.601, of luma.
    """
    if image.shape[-1] != 3:
        raise InputError(f"grey pairs need images of three channels, got {image.shape[-1]}")
    weights = jnp.asarray([0.299, 0.587, 0.114], image.dtype)
    return jnp.sum(image * weights[None, None, None], axis=-1, keepdims=True), image


def halves(image: Array) -> tuple[Array, Array]:
    """The left and the right half: of pictures that hold a pair side by side, each of the two.

    Raises:
      InputError: if the width is odd.
    """
    if image.shape[2] % 2:
        raise InputError(f"images {image.shape[2]} pixels wide have no equal halves")
    middle = image.shape[2] // 2
    return image[:, :, :middle], image[:, :, middle:]


def turned(image: Array) -> tuple[Array, Array]:
    """The images, and the images turned a quarter anticlockwise.

    Raises:
      InputError: if they are not square.
    """
    if image.shape[1] != image.shape[2]:
        raise InputError(f"turned pairs need square images, got {list(image.shape[1:3])}")
    return image, jnp.rot90(image, axes=(1, 2))


#: How pairs are made of single images, by name.
PAIRINGS: Mapping[str, Pairing] = {
    pairing.__name__: pairing for pairing in (edges, grey, halves, turned)
}


#: So many pairs tell a function from others.
_SHOWN = 256


def pairs_of(dataset: Dataset, pairing: Pairing) -> Dataset:
    """A data set whose conditions and targets are made of single images, as they are fetched.

    Args:
      dataset: any with images.
      pairing: one of `edges`, `grey`, `halves`, `turned`, or one of your own, pure and traceable.

    Returns:
      A Dataset of as many pairs: `image`, the condition, `target`, and what else there was.

    Raises:
      InputError: if the images do not fit the pairing, or there are none, or it gives no two
        arrays.
    """
    _images(dataset)
    known = [name for name, function in PAIRINGS.items() if function is pairing]
    shape = dataset.spec["image"].shape
    if known and len(shape) != 3:
        raise InputError(
            f"{known[0]} pairs are made of images [H, W, C], and these are points {list(shape)}: "
            "choose another data set"
        )
    spec = jax.eval_shape(_single(pairing), dataset.spec)
    pairs = dataset._replace(spec=spec, fetch=_made_pairs(dataset.fetch, pairing))
    if not known:  # by what it makes: functions of the same name may be others
        some = pairs.fetch(pairs.arrays, np.arange(min(pairs.size, _SHOWN)))
        known = [digest_of_arrays({name: np.asarray(some[name]) for name in ("image", "target")})]
    return pairs._replace(digest=derived([dataset.digest], "pairs", *known))


def _single(pairing: Pairing) -> Callable[[Batch], Batch]:
    def made(example: Batch) -> Batch:
        pair = pairing(example["image"][None])
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError("a pairing returns two arrays: conditions, and their targets")
        condition, target = pair
        return {**example, "image": condition[0], "target": target[0]}

    return made


@shared
def _made_pairs(fetch: Callable, pairing: Pairing) -> Callable:
    def fetch_pairs(arrays: Any, indices: Array) -> Batch:
        batch = fetch(arrays, indices)
        condition, target = pairing(batch["image"])
        return {**batch, "image": condition, "target": target}

    return fetch_pairs


def paired(conditions: Dataset, targets: Dataset) -> Dataset:
    """Two data sets as one of pairs, the first with the first and so on.

    Args:
      conditions: what is given; its entries keep their names.
      targets: what is wanted of each; its images become `target`.

    Raises:
      InputError: if one has more examples than the other, or no images.
    """
    _images(conditions, targets)
    if conditions.size != targets.size:
        raise InputError(
            f"pairs need as many targets as conditions, got {targets.size} and {conditions.size}: "
            "leave out what has no partner, or use data.unpaired"
        )
    return beside(conditions, targets, {"image": "target"}, "paired")


def unpaired(first: Dataset, second: Dataset) -> Dataset:
    """Two domains as one data set, of which nothing says what belongs to what.

    The i-th example is the i-th of the first domain, and one of the second by a permutation that
    is fixed. The smaller domain is gone through again until the larger is.

    Args:
      first: a domain of images; its entries keep their names.
      second: another; its images become `other`, its labels `other_label`.

    Raises:
      InputError: if one has no images.
    """
    _images(first, second)
    size = max(first.size, second.size)
    every = np.arange(size, dtype=np.int32)
    key = jax.random.key(0, impl="threefry2x32")
    places = np.asarray(index_shuffle(key, every, size)) % second.size
    domains = subset(first, every % first.size), subset(second, places)
    return beside(*domains, {"image": "other", "label": "other_label"}, "unpaired")


def swapped(dataset: Dataset) -> Dataset:
    """Pairs the other way round: what was the target is the condition.

    Raises:
      InputError: if there are no targets.
    """
    _images(dataset)
    if "target" not in dataset.spec:
        raise InputError(f"only pairs can be swapped, and there are {', '.join(dataset.spec)}")
    return dataset._replace(
        spec=_exchanged(dataset.spec),
        fetch=_fetch_exchanged(dataset.fetch),
        digest=derived([dataset.digest], "swapped"),
    )


def _exchanged(batch: Batch) -> dict[str, Any]:
    return {**batch, "image": batch["target"], "target": batch["image"]}


@shared
def _fetch_exchanged(fetch: Callable) -> Callable:
    def fetch_exchanged(arrays: Any, indices: Array) -> Batch:
        return _exchanged(fetch(arrays, indices))

    return fetch_exchanged


def _images(*datasets: Dataset) -> None:
    for dataset in datasets:
        require_kind(Dataset, 'data.load("digits")', dataset=dataset)
        if "image" not in dataset.spec:
            raise InputError(f"pairs and domains are of images, not of {', '.join(dataset.spec)}")


def beside(first: Dataset, second: Dataset, names: Mapping[str, str], how: str) -> Dataset:
    """One example of each; of the second's entries those that are named."""
    _images(first, second)
    added = {name: new for name, new in names.items() if name in second.spec}
    first, second = _tabled(first), _tabled(second)
    return Dataset(
        {**first.spec, **{new: second.spec[name] for name, new in added.items()}},
        first.size,
        {"first": first.arrays, "second": second.arrays},
        _joined(first.fetch, second.fetch, tuple(added.items())),
        first.factor_sizes,
        derived([first.digest, second.digest], how),
    )


def _tabled(dataset: Dataset) -> Dataset:
    """With a table of indices, where the data are rendered: so that all of it has rows."""
    if jax.tree.leaves(dataset.arrays):
        return dataset
    every = np.arange(dataset.size, dtype=np.int32)
    return dataset._replace(arrays={"index": every}, fetch=_by_table(dataset.fetch))


@shared
def _by_table(fetch: Callable) -> Callable:
    def fetch_by_table(arrays: Any, indices: Array) -> Batch:
        return fetch({}, gather(arrays["index"], indices))

    return fetch_by_table


@shared
def _joined(first: Callable, second: Callable, names: tuple[tuple[str, str], ...]) -> Callable:
    def fetch_both(arrays: Any, indices: Array) -> Batch:
        other = second(arrays["second"], indices)
        return {
            **first(arrays["first"], indices),
            **{new: other[name] for name, new in names},
        }

    return fetch_both
