"""What a distribution of latents is: where they lie, the posterior of each example, the prior."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from ae_jax.core import Array, Batch, Domain, HParams, InputError
from ae_jax.methods.parts.labels import Classes


@dataclasses.dataclass(frozen=True)
class Ball:
    """The Poincare ball of curvature -c, where c is `curvature`."""

    curvature: float

    def __str__(self) -> str:
        return f"ball of curvature {-self.curvature:g}"


@dataclasses.dataclass(frozen=True)
class Simplex:
    """Probabilities of so many categories, of one variable after the other."""

    categories: int

    def __str__(self) -> str:
        return f"simplex of {self.categories} categories"


@dataclasses.dataclass(frozen=True)
class Vertices:
    """One of so many categories, one-hot, of one variable after the other."""

    categories: int

    def __str__(self) -> str:
        return f"vertices of {self.categories} categories"


@dataclasses.dataclass(frozen=True)
class Product:
    """Where several latents lie side by side, by name."""

    parts: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return "product of " + ", ".join(f"{name}: {part}" for name, part in self.parts)


#: Where latents lie: in R^Z, at length 1 in it, at whole numbers, in a ball with a geometry of its
#: own, among categories, or in several of these side by side.
Support = Literal["plane", "sphere", "codes"] | Ball | Simplex | Vertices | Product


class Posterior(NamedTuple):
    """A distribution of latents for each example, q(z | x).

    Its parameters are whatever `read` makes of the encoder's outputs, a pytree of [B, ...]; who
    holds them (`jax.lax.stop_gradient`) holds the distribution.

    Attributes:
      outputs: latent_size -> how many numbers an encoder has to give.
      read: (outputs [B, O], latent_size, hparams) -> parameters; where there is an `init`,
        (outputs, latent_size, hparams, params, batch), with the parameters of all networks by
        name. Raises InputError, when traced, for outputs of another shape.
      sample: (key, parameters) -> [B, Z], one draw each, through which gradients flow.
      log_prob: (z [B, Z], parameters) -> [B], nats; None where it is known of own draws alone.
      mean: parameters -> [B, Z], what stands for the distribution where one latent is asked for.
      kl_standard: parameters -> [B], nats: the divergence from the standard prior of its support,
        the Gaussian N(0, I) in the plane and the uniform density on the sphere. None where it has
        no closed form.
      log_probs: (z, parameters) -> nats of single numbers, elementwise in z and parameters of one
        shape, [B, Z] or any other; None where dimensions depend on each other.
      variance: parameters -> [B, Z], of each dimension; likewise.
      support: of its density.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
      init: (key, latent_size) -> parameters of its own, the entry `posterior` beside `encoder` and
        `decoder`; None where it is read of the encoder's outputs alone.
      draw: (key, parameters) -> [B, Z] and [B], one draw each and its nats, where they are found
        together; None where `log_prob` finds them.
      size: Z, where it takes no other; None where it takes any.
      parts: what it joins, by name, as its parameters are by name; nothing where it is one.
    """

    outputs: Callable[[int], int]
    read: Callable[..., Any]
    sample: Callable[[Array, Any], Array]
    log_prob: Callable[[Array, Any], Array] | None
    mean: Callable[[Any], Array]
    kl_standard: Callable[[Any], Array] | None = None
    log_probs: Callable[[Array, Any], Array] | None = None
    variance: Callable[[Any], Array] | None = None
    support: Support = "plane"
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}
    init: Callable[[Array, int], Any] | None = None
    draw: Callable[[Array, Any], tuple[Array, Array]] | None = None
    size: int | None = None
    parts: Mapping[str, "Posterior"] = {}


class Prior(NamedTuple):
    """A density of latents.

    Its functions see the parameters of all networks by name: those of a prior that is learned are
    the entry `prior`, moved by what moves encoder and decoder, and a mixture of an encoder's own
    posteriors reads `encoder` as well.

    Attributes:
      sample: (key, params, (count, Z), hparams) -> [count, Z].
      log_prob: (z [B, Z], params, hparams) -> [B], nats.
      init: (key, x [B, ...], latent_size) -> its own parameters; None where there are none.
      predict: (z [B, Z], params, hparams) -> log-probabilities of its clusters, [B, K]; None where
        it has none.
      standard: whether it is the standard one of its support, from which a posterior may have its
        divergence in closed form.
      support: of its density.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
      of: labels one-hot [B, C] -> the prior of those B examples, which takes no others; None where
        it is of all alike.
      classes: C, or those of several factors, that it has to be told.
      size: Z, where it takes no other; None where it takes any.
      reads_encoder: whether it is made of the encoder's posteriors, of what no label goes with.
    """

    sample: Callable[[Array, Mapping[str, Any], tuple[int, int], HParams], Array]
    log_prob: Callable[[Array, Mapping[str, Any], HParams], Array]
    init: Callable[[Array, Array, int], Any] | None = None
    predict: Callable[[Array, Mapping[str, Any], HParams], Array] | None = None
    standard: bool = False
    support: Support = "plane"
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}
    of: Callable[[Array], "Prior"] | None = None
    classes: Classes = 0
    size: int | None = None
    reads_encoder: bool = False


def require_size(what: str, part: Posterior | Prior, size: int, advice: str) -> None:
    """Raises InputError where a part that takes one number of latents only is given another."""
    if part.size not in (None, size):
        raise InputError(f"the {what} is of {part.size} numbers, and is given {size}: {advice}")


def drawn(posterior: Posterior, key: Array, parameters: Any) -> tuple[Array, Array | None]:
    """One draw each, [B, Z], and its nats [B] where they are found with it, else None."""
    if posterior.draw is not None:
        return posterior.draw(key, parameters)
    return posterior.sample(key, parameters), None


def parameters_of(
    posterior: Posterior,
    outputs: Array,
    latent_size: int,
    params: Mapping[str, Any],
    batch: Batch,
    hparams: HParams,
) -> Any:
    """Reads a posterior's parameters, with its own where it has some, of an encoder's outputs.

    Args:
      posterior: of whom.
      outputs: [B, O], of the encoder.
      latent_size: Z.
      params: of all networks by name.
      batch: what the encoder was shown.
      hparams: of the method.
    """
    own = () if posterior.init is None else (params, batch)
    return posterior.read(outputs, latent_size, hparams, *own)
