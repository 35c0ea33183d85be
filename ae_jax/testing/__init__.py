"""The contract as a check, for people who write a method of their own.

    from ae_jax import testing
    testing.check(my_method(), my_dataset)

`PROMISES` are what every method owes, which one small program shows in seconds; `FULL` what it
owes the engine beyond that, which takes sweeps. Each is a function of a `Subject`.
"""

from typing import Any

from ae_jax.core import Dataset, InputError, Method
from ae_jax.testing.promises import PROMISES
from ae_jax.testing.subject import BATCH, Subject, evaluated_loss
from ae_jax.testing.sweeps import FULL

__all__ = ["FULL", "PROMISES", "Subject", "check", "evaluated_loss"]


def check(method: Method, dataset: Dataset, *, full: bool = False, **options: Any) -> None:
    """Checks that a method keeps the promises of `ae_jax.core.Method`.

    Args:
      method: small, as every promise is tried on it; with a `learning_rate` for `full`.
      dataset: what it learns from; at least 64 examples.
      full: whether to keep what takes sweeps as well, a minute or so; without, a few seconds.
      **options: further attributes of `Subject`.

    Raises:
      AssertionError: one line that names the first promise that is broken, and how.
      InputError: if it is given no method or no data set, or a data set that is too small or
        lacks the entry.
    """
    for given, kind in ((method, Method), (dataset, Dataset)):
        if not isinstance(given, kind):
            what = type(given).__name__
            raise InputError(
                f"check() takes a {kind.__name__}, not a {what}: give what is returned"
            )
    subject = Subject(method, dataset, **options)
    if dataset.size < 2 * BATCH:
        raise InputError(f"the data set has {dataset.size} examples: give {2 * BATCH} or more")
    if subject.entry not in dataset.spec:
        entries = ", ".join(dataset.spec)
        raise InputError(
            f"the data have no {subject.entry}: say which entry is meant, of {entries}"
        )
    if full and "learning_rate" not in method.hparams:
        raise InputError("sweeps are of a learning_rate, which the method has not: leave out full")
    for name, promise in (PROMISES | (FULL if full else {})).items():
        try:
            promise(subject)
        except Exception as error:
            told = isinstance(error, (AssertionError, InputError))
            how = " ".join(f"{'' if told else f'{type(error).__name__}: '}{error}".split())
            raise AssertionError(f"{name}: {how[:600]}") from error
