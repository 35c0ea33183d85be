"""What a discriminator and whoever deceives it lower, whatever examples they contend about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import Array, HParams, InputError, Network, require_each, require_kind
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.regularisers import Regulariser, together
from ae_jax.methods.learners import gradient

#: (key, parameters, x [B, ...], given, training) -> logits of "real" [B, ...], and what the pass
#: moves of the parameters. `given` is what an example is judged beside, such as its label. Where
#: there is a `Task`, the logits are a pair: those, and the answers to it.
Judge = Callable[[Array, Any, Array, Any, bool], tuple[Any, Mapping[str, Any]]]


class Task(NamedTuple):
    """What a judge is asked of examples beside whether they are real, such as of which class.

    Attributes:
      discriminator: (answers about real examples, about generated ones, given, hparams) -> [B],
        what they cost the discriminator.
      generator: (answers about generated examples, given, hparams) -> [B], what they cost
        whoever made them.
    """

    discriminator: Callable[[Any, Any, Any, HParams], Array]
    generator: Callable[[Any, Any, HParams], Array]


class Discriminating(Protocol):
    """The discriminator's loss."""

    def __call__(
        self,
        key: Array,
        params: Any,
        real: Array,
        fake: Array,
        hparams: HParams,
        training: bool,
        given: Any = (),
    ) -> tuple[Array, Mapping[str, Any]]:
        """Real and generated examples [B, ...] -> [B], and what the passes move of `params`."""


class Deceiving(Protocol):
    """The loss of whoever made the examples; differentiable in them."""

    def __call__(
        self,
        key: Array,
        params: Any,
        real: Array,
        fake: Array,
        hparams: HParams,
        training: bool,
        given: Any = (),
    ) -> Array:
        """Real and generated examples [B, ...] -> [B]."""


class Contest(NamedTuple):
    """The two losses of a contest about what is real; `params` are the discriminator's.

    Attributes:
      discriminating: in training with its regularisers, and no gradient for the examples.
      deceiving: of the same passes. Real examples are looked at where the objective is
        relativistic.
      regulariser: all of them as one, a part of the method.
    """

    discriminating: Discriminating
    deceiving: Deceiving
    regulariser: Regulariser


def contest(
    judge: Judge,
    objective: Adversarial,
    regularisers: Sequence[Regulariser],
    task: Task | None = None,
) -> Contest:
    """Returns the losses of a contest.

    Training passes judge real and generated examples apart, as both players see them: with noise,
    where a regulariser adds some. Both begin with the same parameters, so that all examples face
    one discriminator, and of what they move, such as running statistics, the mean is kept. What
    answers to a task cost is added to both losses; penalties are of the slope of the logits alone.

    Raises:
      InputError: if the objective or a regulariser is something else, or two regularisers share a
        hyperparameter.
    """
    require_kind(Adversarial, "losses.adversarial.hinge()", objective=objective)
    require_each(Regulariser, "regularisers.r1()", regularisers=regularisers)
    regulariser = together(*regularisers)

    def asked(
        key: Array, params: Any, x: Array, given: Any, training: bool
    ) -> tuple[Array, Any, Mapping[str, Any]]:
        """Logits, answers and what the pass moves."""
        said, moved = judge(key, params, x, given, training)
        return (said, None, moved) if task is None else (*said, moved)

    def discriminating(
        key: Array,
        params: Any,
        real: Array,
        fake: Array,
        hparams: HParams,
        training: bool,
        given: Any = (),
    ) -> tuple[Array, Mapping[str, Any]]:
        keys, smoothing = jax.random.split(key, 5), 0.0
        if training:
            real = regulariser.shown(keys[2], jax.lax.stop_gradient(real), hparams)
            fake = regulariser.shown(keys[3], jax.lax.stop_gradient(fake), hparams)
            smoothing = regulariser.smoothing(hparams)
        real_logit, of_real, moved = asked(keys[0], params, real, given, training)
        fake_logit, of_fake, moved_too = asked(keys[1], params, fake, given, training)
        loss = objective.discriminator(real_logit, fake_logit, smoothing)
        if task is not None:
            loss += task.discriminator(of_real, of_fake, given, hparams)
        if training and regularisers:
            pass_key, penalty_key = jax.random.split(keys[4])

            def critic(x: Array) -> Array:  # every penalty sees the same dropout
                return asked(jax.random.clone(pass_key), params, x, given, training)[0]

            loss += regulariser.penalty(penalty_key, critic, real, fake, hparams)
        return loss, mean_moved(moved, moved_too)

    def deceiving(
        key: Array,
        params: Any,
        real: Array,
        fake: Array,
        hparams: HParams,
        training: bool,
        given: Any = (),
    ) -> Array:
        keys = jax.random.split(key, 4)

        def judged(pass_key: Array, noise_key: Array, x: Array) -> tuple[Array, Any]:
            x = regulariser.shown(noise_key, x, hparams) if training else x
            return asked(pass_key, params, x, given, training)[:2]

        real_logit = judged(keys[0], keys[2], real)[0] if objective.relativistic else None
        fake_logit, answers = judged(keys[1], keys[3], fake)
        loss = objective.generator(real_logit, fake_logit)
        return loss if task is None else loss + task.generator(answers, given, hparams)

    return Contest(discriminating, deceiving, regulariser)


def judged_by(
    discriminator: Network,
    shown: Callable[[Array, Any], Array] = lambda x, given: x,
    verdict: Callable[[Array, Any], Any] | None = None,
) -> Judge:
    """Returns how a network judges examples: alone, where it is told no more.

    Args:
      discriminator: the network.
      shown: (examples, given) -> what it is shown.
      verdict: (what it gives, given) -> logits, with a task those and the answers; None where it
        gives logits [B, 1], or [B, ..., 1] of patches.

    Raises:
      InputError: when traced, if there is no verdict and it does not give such logits.
    """

    def judge(
        key: Array, params: Any, x: Array, given: Any, training: bool
    ) -> tuple[Any, Mapping[str, Any]]:
        output, moved = gradient.forward(discriminator, key, params, shown(x, given), training)
        said = one_logit(output, len(x)) if verdict is None else verdict(output, given)
        return said, jax.lax.stop_gradient(moved)

    return judge


def one_logit(logits: Array, count: int) -> Array:
    """Logits [B, ..., 1] without their last axis.

    Raises:
      InputError: if they are not `count` of one logit, or one for each patch.
    """
    if logits.shape[0] != count or logits.ndim < 2 or logits.shape[-1] != 1:
        raise InputError(
            "the discriminator must give one logit, [B, 1], or one for each patch, "
            f"[B, ..., 1], and gives {list(logits.shape)}"
        )
    return jnp.squeeze(logits, -1)


def mean_moved(*passes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mean of what passes moved that all began with the same; of integers the first's."""

    def mean(first: Array, *others: Array) -> Array:
        exact = not jnp.issubdtype(first.dtype, jnp.inexact)
        return first if exact else sum(others, first) / (1 + len(others))

    return jax.tree.map(mean, *passes)
