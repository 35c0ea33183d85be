"""The 1,797 handwritten digits that come with scikit-learn: real data without a network."""

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
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("digits comes with scikit-learn: pip install scikit-learn") from error

    digits = load_digits()
    chosen = part(stratified(digits.target), split, HELD_OUT, "digits")
    images = digits.images[chosen].astype(np.uint8)
    return stored(images, digits.target[chosen], value_range=(0, 16), origin="digits")
