"""What is read of files, or is said of them."""

import contextlib
import signal
import warnings

import numpy as np

from ae_jax.core import InputError
from ae_jax.data import load

SPLITS = ("train", "validation", "test")


class Hangs(BaseException):
    """Not to be taken for damage."""


@contextlib.contextmanager
def ends():
    """Fails instead of hanging."""

    def late(*_):
        raise Hangs

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(name, split="all", **options):
    """The data, or None where they are refused; and what was said."""
    with ends(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            data, words = load(name, split, **options), ""
        except InputError as error:
            data, words = None, str(error)
    assert not any("\n" in text for text in (words, *(str(one.message) for one in said)))
    return data, said


def images_of(data):
    return np.asarray(data.fetch(data.arrays, np.arange(data.size))["image"])
