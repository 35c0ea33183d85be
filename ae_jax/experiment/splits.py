"""The data of an experiment: loaded, checked, and whose labels are seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ae_jax import data
from ae_jax.core import Dataset, InputError
from ae_jax.experiment.checks import classes, same_kind
from ae_jax.experiment.config import Config


class Splits(NamedTuple):
    """A data set's parts."""

    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.train.spec["image"].shape


def load_splits(
    config: Config,
    held_out: int = 10_000,
    whole: bool = False,
    kinds: Sequence[str] = ("image",),
) -> Splits:
    """Loads a configuration's data set.

    Args:
      config: names it.
      held_out: the most validation examples to keep.
      whole: every split is all of the data: an enumerated distribution of zeros and ones.
      kinds: what the examples must have one of.

    Raises:
      InputError: if it cannot be used.
    """
    names = ("all",) * 3 if whole else ("train", "validation", "test")
    loaded = {
        name: data.load(config.dataset, name, value_range=config.value_range)
        for name in dict.fromkeys(names)
    }
    train, validation, test = (loaded[name] for name in names)
    same_kind(config.dataset, (train, validation, test), kinds)
    if whole:
        if not np.isin(data.all_images(train), (0, 1)).all():
            raise InputError(
                f"an exact likelihood needs images of zeros and ones: {config.dataset}"
            )
        return Splits(train, train, train)
    return Splits(train, data.subset(validation, slice(0, held_out)), test)


def label_orders(config: Config, splits: Splits, labels: Sequence[int]) -> tuple[np.ndarray, int]:
    """Draws the training images whose labels each seed sees.

    Args:
      config: of the experiment.
      splits: with labels.
      labels: the numbers of labels that are to be compared.

    Returns:
      Indices [seeds, the most labels], of which every stretch holds each class in its
      proportion: the first n are a seed's n labelled images. And the number of classes.

    Raises:
      InputError: as `classes`, or if there are not that many.
    """
    count = classes(config.dataset, splits)
    label = np.asarray(data.head(splits.train, splits.train.size)["label"])
    low, high = min(labels, default=0), max(labels, default=0)
    if low < count or high > len(label):
        raise InputError(
            f"labels must be from {count}, the number of classes, to {len(label)}, the number "
            f"of training images; got {low} to {high}"
        )
    return data.labelled(label, high, config.seeds), count
