"""What a discriminator and whoever deceives it lower, whatever examples they contend about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from ae_jax.core import Array, HParams, InputError, Network
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial.regularisers import Regulariser, together
from ae_jax.methods.learners import gradient

#: (key, parameters, x [B, ...], given, training) -> logits of "real" [B, ...], and what the pass
#: moves of the parameters. `given` is what an example is judged beside, such as its label.
Judge = Callable[[Array, Any, Array, Any, bool], tuple[Array, Mapping[str, Any]]]


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


def contest(judge: Judge, objective: Adversarial, regularisers: Sequence[Regulariser]) -> Contest:
    """Returns the losses of a contest.

    Training passes judge real and generated examples apart, real ones first, as both players
    see them: with noise, where a regulariser adds some.
    """
    regulariser = together(*regularisers)

    def discriminating(
        key: Array,
        params: Any,
        real: Array,
        fake: Array,
        hparams: HParams,
        training: bool,
        given: Any = (),
    ) -> tuple[Array, Mapping[str, Any]]:
        keys = jax.random.split(key, 5)
        if not training:
            real_logit, _ = judge(keys[0], params, real, given, training)
            fake_logit, _ = judge(keys[1], params, fake, given, training)
            return objective.discriminator(real_logit, fake_logit), {}
        real = regulariser.shown(keys[2], jax.lax.stop_gradient(real), hparams)
        fake = regulariser.shown(keys[3], jax.lax.stop_gradient(fake), hparams)
        real_logit, moved = judge(keys[0], params, real, given, training)
        fake_logit, moved_after = judge(
            keys[1], gradient.replaced(params, moved), fake, given, training
        )
        loss = objective.discriminator(real_logit, fake_logit, regulariser.smoothing(hparams))
        if regularisers:
            pass_key, penalty_key = jax.random.split(keys[4])

            def critic(x: Array) -> Array:  # every penalty sees the same dropout
                return judge(jax.random.clone(pass_key), params, x, given, training)[0]

            loss += regulariser.penalty(penalty_key, critic, real, fake, hparams)
        return loss, gradient.replaced(moved, moved_after)

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

        def judged(pass_key: Array, noise_key: Array, x: Array) -> Array:
            x = regulariser.shown(noise_key, x, hparams) if training else x
            return judge(pass_key, params, x, given, training)[0]

        real_logit = judged(keys[0], keys[2], real) if objective.relativistic else None
        return objective.generator(real_logit, judged(keys[1], keys[3], fake))

    return Contest(discriminating, deceiving, regulariser)


def judged_by(discriminator: Network) -> Judge:
    """Returns how a network judges examples alone.

    Raises:
      InputError: when traced, if it does not give logits [B, 1], or [B, ..., 1] of patches.
    """

    def judge(
        key: Array, params: Any, x: Array, given: Any, training: bool
    ) -> tuple[Array, Mapping[str, Any]]:
        logits, moved = gradient.forward(discriminator, key, params, x, training)
        return one_logit(logits, len(x)), jax.lax.stop_gradient(moved)

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
