"""The contract: what a learning method and a data set are.

A learning method is a bundle of pure functions, as an optimizer is in optax. The
engine (`ae_jax.training`) trains whatever honours this contract; it never looks inside.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array
#: Named arrays of B examples: `image` float [B, H, W, C] in [0, 1], `label` int [B],
#: `factors` int [B, K], `coordinates` float [B, K], `tokens` int [B, T], `sequence` float
#: [B, T, D].
Batch = Mapping[str, Array]
#: Traced hyperparameters, each a scalar.
HParams = Mapping[str, Array | float]
#: What a method carries from step to step: a pytree of arrays and nothing else.
State = Any
#: What a method reports about a step: scalars by name.
Info = Mapping[str, Array]


class InputError(ValueError):
    """The caller's input cannot be used; the message is one line and says what to do."""


class Domain(NamedTuple):
    """The values that a hyperparameter may take: the finite numbers of an interval.

    Attributes:
      low: the least value.
      high: the largest value.
      low_open: whether `low` itself is left out.
      high_open: whether `high` itself is left out.
      whole: whether only whole numbers are meant.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        try:
            if not math.isfinite(value):
                return False
        except (TypeError, OverflowError):  # no number, or none that is computed with
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and (not self.whole or value % 1 == 0)

    def __str__(self) -> str:
        low, high = self.low > -math.inf, self.high < math.inf
        least = f"more than {self.low:g}" if self.low_open else f"{self.low:g} or more"
        most = f"less than {self.high:g}" if self.high_open else f"{self.high:g} or less"
        if low and high and not (self.low_open or self.high_open):
            interval = f"from {self.low:g} to {self.high:g}"
        elif low and high:
            interval = f"{least} and {most}"
        else:
            interval = least if low else most if high else ""
        kind = "a whole number" if self.whole else "" if interval else "a finite number"
        return ", ".join(filter(None, [kind, interval]))


REAL = Domain()
NOT_NEGATIVE = Domain(low=0)
POSITIVE = Domain(low=0, low_open=True)
#: From 0 to 1: a probability.
FRACTION = Domain(0, 1)
#: From 0 to less than 1: a rate of dropout, a momentum.
BELOW_ONE = Domain(0, 1, high_open=True)
#: Between 0 and 1: the mean of a unit that is neither always off nor always on.
BETWEEN = Domain(0, 1, low_open=True, high_open=True)
#: A number of things.
COUNT = Domain(1, whole=True)
#: A number of things, or none.
WHOLE = Domain(0, whole=True)


def require(domain: Domain, **values: Any) -> None:
    """Raises InputError where a static number, given by its argument's name, is not allowed.

    Args:
      domain: what is allowed; where it is of whole numbers, 4 is one and 4.0 none.
      **values: by name, with spaces for underscores where the name is no argument's.
    """
    kind = Integral if domain.whole else Real
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, kind) or value not in domain:
            raise InputError(f"{name} is {value!r}: use {domain}")


def require_counts(**lists: Sequence[int]) -> None:
    """Raises InputError where what is given by an argument's name is no list of numbers of things.

    A list may be empty.
    """
    for name, counts in lists.items():
        if np.ndim(counts) != 1:
            raise InputError(f"{name} is {counts!r}: use a list of numbers, as [64, 32]")
        require(COUNT, **{f"{name}[{i}]": count for i, count in enumerate(counts)})


def shaped(name: str, lengths: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the shape that an argument of that name gives, as one length or as several.

    Raises:
      InputError: if there is no length, or one is no whole number of 1 or more.
    """
    shape = tuple(lengths) if np.ndim(lengths) == 1 else (lengths,)
    if not shape:
        raise InputError(f"{name} is {lengths!r}: use one length, or several")
    require_counts(**{name: shape})
    return shape


def traced(**numbers: tuple[float, Domain]) -> dict[str, dict[str, Any]]:
    """Returns the fields `hparams` and `domains` of a method, or of a part of one.

    Args:
      numbers: by name, each one's default and domain.
    """
    return {
        "hparams": {name: default for name, (default, _) in numbers.items()},
        "domains": {name: domain for name, (_, domain) in numbers.items()},
    }


class Views(NamedTuple):
    """What a trained state can be used for; None where a method does not define it."""

    #: (state, batch, hparams) -> [B, Z], deterministic (a posterior's mean)
    encode: Callable[[State, Batch, HParams], Array] | None = None
    #: (state, latent [B, Z], hparams) -> [B, ...], in data space (a likelihood's mean)
    decode: Callable[[State, Array, HParams], Array] | None = None
    #: (state, batch, hparams) -> [B, ...], deterministic
    reconstruct: Callable[[State, Batch, HParams], Array] | None = None
    #: (state, batch, hparams) -> [B, ...], what a batch is thought to be: logits of classes
    predict: Callable[[State, Batch, HParams], Array] | None = None
    #: (key, state, count, hparams) -> [count, ...], in data space
    sample: Callable[[Array, State, int, HParams], Array] | None = None
    #: (key, state, batch, hparams) -> [B, ...], in data space, drawn for what the batch says
    generate: Callable[[Array, State, Batch, HParams], Array] | None = None
    #: (key, state, batch, hparams) -> [B], nats
    log_likelihood: Callable[[Array, State, Batch, HParams], Array] | None = None
    #: (key, state, batch, hparams) -> [B, ...], as `predict`, with the noise that training has
    predict_noisy: Callable[[Array, State, Batch, HParams], Array] | None = None


class Method(NamedTuple):
    """A learning method.

    Static choices (architecture, likelihood, penalties) are made by the factory that
    returns a Method. Numbers are in `hparams`: they are traced, so that one compiled
    program trains any of their values side by side.

    Attributes:
      hparams: the traced hyperparameters and their defaults.
      domains: the values that each of them may take; those of every lane are checked before
        anything is trained or written.
      init: (key, batch, hparams) -> State. The batch gives shapes and, where a method
        needs them, data statistics.
      step: (key, state, batch, hparams) -> (State, Info). Info must turn non-finite
        when the new state does (a loss and a gradient norm do): the engine freezes a
        lane at the state before such a step.
      evaluate: (key, state, batch, hparams) -> values by name, each [B], one per
        example, in nats or squared units summed over an example's dimensions. A method
        that minimises an objective reports it as `loss`. An example's values do not depend
        on the others in its batch, of which some may be padding.
      views: what the trained state can be used for.
      conclude: (values, present, hparams) -> scalars by name, of a whole data set: what is
        no mean over examples (a covariance, a discrepancy, a penalty of mean activations).
        `values` are those of `evaluate` for N examples; with a `conclude` they may have
        further axes, [N, ...]. `present`, bool [N], is False where an example is padding.
        The scalars stand beside the means of values [N], in the place of those of the same
        name. None where every figure is a mean.
      inference: state -> State, what `evaluate` and the views read of a state, in the same
        structure: optimizers and chains may be left out as `()`. It is kept of the best
        state. The whole state by default.
      ranges: the values that entries of a batch may have, such as a `label` of so many classes;
        those of every data set are checked before anything is trained or written.
    """

    hparams: Mapping[str, float]
    init: Callable[[Array, Batch, HParams], State]
    step: Callable[[Array, State, Batch, HParams], tuple[State, Info]]
    evaluate: Callable[[Array, State, Batch, HParams], Mapping[str, Array]]
    views: Views = Views()
    domains: Mapping[str, Domain] = {}
    conclude: Callable[[Mapping[str, Array], Array, HParams], Mapping[str, Array]] | None = None
    inference: Callable[[State], State] = lambda state: state
    ranges: Mapping[str, Domain] = {}


class Network(NamedTuple):
    """A network as a pair of pure functions: any library's, or hand-written.

    Attributes:
      init: (key, x [B, ...]) -> parameters, a pytree of arrays.
      apply: (parameters, x [B, ...]) -> output [B, ...], deterministic: the pass of an
        evaluation.
      train: (key, parameters, x [B, ...]) -> (output [B, ...], changes): the pass of a
        training step, with its noise (dropout) and the batch's own statistics. `changes`
        are what the pass itself moves of `parameters`, and nothing else, nested as they are,
        to be put in their place after the step: `{"batch_stats": ...}`, or nothing. No
        optimizer sees it. None where it is that of `apply`.
      noisy: (key, parameters, x [B, ...]) -> output [B, ...]: the pass of an evaluation, with a
        training step's dropout and without its statistics. None where there is none.
    """

    init: Callable[[Array, Array], Any]
    apply: Callable[[Any, Array], Array]
    train: Callable[[Array, Any, Array], tuple[Array, Mapping[str, Any]]] | None = None
    noisy: Callable[[Array, Any, Array], Array] | None = None


class Dataset(NamedTuple):
    """Examples that a compiled program can fetch by index.

    Attributes:
      spec: shape and dtype of one example's entries, without the batch axis.
      size: the number of examples.
      arrays: what lies on the device: a pytree whose leaves have a leading axis of
        length `size`, or an empty mapping for rendered data.
      fetch: (arrays, indices int [B]) -> Batch; pure and traceable. Data sets that are
        fetched alike have the same function, so that one program serves them all.
      factor_sizes: the number of values of each generative factor, in the order of the
        batch's `factors` columns; empty where factors are unknown.
      digest: names the content: data sets of equal digests hold the same examples in the
        same order. Empty where nobody computed it; the engine then hashes `arrays`.
    """

    spec: Mapping[str, jax.ShapeDtypeStruct]
    size: int
    arrays: Any
    fetch: Callable[[Any, Array], Batch]
    factor_sizes: Mapping[str, int] = {}
    digest: str = ""


def require_kind(kind: type, example: str, **values: Any) -> None:
    """Raises InputError where a part, given by its argument's name, is of another kind.

    Args:
      kind: the part's class.
      example: a call that makes one.
      **values: parts by name.
    """
    for name, value in values.items():
        if not isinstance(value, kind):
            raise mistaken(name, value, example)


def require_each(kind: type, example: str, **values: Any) -> None:
    """Raises InputError where a list of parts, given by its argument's name, is none or has others.

    Args:
      kind: the parts' class.
      example: a call that makes one.
      **values: lists by name.
    """
    for name, parts in values.items():
        if isinstance(parts, (str, kind)) or not isinstance(parts, Sequence):
            raise mistaken(name, parts, f"a list of them, [{example}]")
        require_kind(kind, example, **{f"{name}[{i}]": part for i, part in enumerate(parts)})


def mistaken(name: str, value: Any, example: str) -> InputError:
    """Returns what is wrong with an argument that is no part, but perhaps what makes one."""
    if callable(value) and hasattr(value, "__name__"):
        return InputError(f"{name} is the function {value.__name__}: call it, as in {example}")
    shown = repr(value) if isinstance(value, (str, Real)) else f"a {type(value).__name__}"
    return InputError(f"{name} is {shown}: use what a function makes, such as {example}")


def require_function(example: str, **functions: Any) -> None:
    """Raises InputError where what is given by an argument's name cannot be called."""
    for name, function in functions.items():
        if not callable(function):
            raise InputError(f"{name} is {function!r}: use a function, such as {example}")


def require_networks(**networks: Network) -> None:
    """Raises InputError where what is given by an argument's name is no network."""
    for name, network in networks.items():
        if callable(getattr(network, "init", None)) and not hasattr(network, "train"):
            raise InputError(
                f"{name} is a {type(network).__name__}: make a network of a Linen module by "
                "nets.flax_network(module), of two functions by Network(init, apply)"
            )
    require_kind(Network, "nets.mlp(8)", **networks)


def check_ranges(ranges: Mapping[str, Domain], dataset: Dataset, which: str) -> None:
    """Raises InputError where stored data have a value that is out of a method's ranges.

    Args:
      ranges: a method's.
      dataset: of which only these entries are looked at; what is rendered is not.
      which: what the data are called.
    """
    if not jax.tree.leaves(dataset.arrays):
        return
    for name in ranges.keys() & dataset.spec.keys():
        # compiled, it reads no array that the entry is not made of
        entry = jax.jit(lambda arrays, rows, name=name: dataset.fetch(arrays, rows)[name])
        values = np.asarray(entry(dataset.arrays, np.arange(dataset.size)))
        whole = ranges[name].whole and np.issubdtype(values.dtype, np.floating)
        between = values[values % 1 != 0][:1] if whole else ()
        for value in (values.min(), values.max(), *between):
            if float(value) not in ranges[name]:
                raise InputError(
                    f"the {which} data have {name} {value}, and the method takes "
                    f"{ranges[name]}: change the data, or what the method was made for"
                )
