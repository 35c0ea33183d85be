"""The 1,797 handwritten digits that come with scikit-learn: real data without a network."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from ae_jax.core import Dataset, InputError
from ae_jax.data.splits import part, stratified
from ae_jax.data.stored import stored

HELD_OUT = (300, 300)


def load(split: str) -> Dataset:
    """Digits of 8x8 pixels in 17 grey levels.

    Args:
      split: train (1,197 images), validation (300) or test (300), with each digit in its
        proportion, or all.

    Returns:
      A Dataset with `image` [8, 8, 1] and `label`, the digit.

    Raises:
      InputError: scikit-learn is not installed.

    Reference:
      Alpaydin & Kaynak (1998), "Optical recognition of handwritten digits", UCI repository.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.origin:
        raise InputError("digits comes with scikit-learn: pip install scikit-learn")
    # Its file alone: to import scikit-learn takes a second.
    with gzip.open(Path(found.origin).parent / "datasets/data/digits.csv.gz") as file:
        rows = np.loadtxt(file, int, delimiter=",")
    images, labels = rows[:, :-1].reshape(-1, 8, 8).astype(np.uint8), rows[:, -1]
    chosen = part(stratified(labels), split, HELD_OUT, "digits")
    return stored(images[chosen], labels[chosen], value_range=(0, 16), origin="digits")
