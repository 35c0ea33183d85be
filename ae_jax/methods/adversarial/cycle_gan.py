"""Translation between two domains of images without pairs: there and back again.

Reference:
  Zhu et al. (2017), Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
  Networks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    Method,
    Network,
    Views,
    require,
    require_networks,
    traced,
)
from ae_jax.losses import absolute_error, adversarial
from ae_jax.losses.adversarial import Adversarial
from ae_jax.methods.adversarial import pool
from ae_jax.methods.adversarial.contest import contest, judged_by, mean_moved
from ae_jax.methods.adversarial.regularisers import Regulariser
from ae_jax.methods.learners import gradient
from ae_jax.methods.learners.composing import Numbers
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.learners.gradient import GradientState

_SIZE = Domain(0, whole=True)


def cycle_gan(
    forward: Network,
    backward: Network,
    discriminator_a: Network,
    discriminator_b: Network,
    *,
    objective: Adversarial | None = None,
    regularisers: Sequence[Regulariser] = (),
    cycle_weight: float = 5.0,
    identity_weight: float | None = 2.5,
    pool_size: int = 50,
    output: Callable[[Array], Array] = jax.nn.sigmoid,
    simultaneous: bool = False,
    average: bool = False,
    ema_decay: float = 0.999,
    learning_rate: float = 2e-4,
    discriminator_learning_rate: float = 2e-4,
    optimizer: optax.GradientTransformation | None = None,
    discriminator_optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns translators from domain A, a batch's `image`, to B, its `other`, and back.

    A step moves the discriminators of A and B, each on a real example and one that the pool gives
    for what was made; then both generators, G and F, in one move, which lowers

      the objective's losses of G(a) and F(b)
      + cycle_weight (|F(G(a)) - a| + |G(F(b)) - b|) + identity_weight (|G(b) - b| + |F(a) - a|)

    with means of absolute values over the numbers of an image. All passes of a move begin with the
    same parameters, and of what they move, such as running statistics, the mean is kept.

    Args:
      forward: G: images of A [B, H, W, C] -> [B, H, W, D], of which `output` makes images of B.
      backward: F, likewise from B to A.
      discriminator_a: images of A -> logits of "real", [B, 1] or [B, h, w, 1] of patches.
      discriminator_b: likewise of B.
      objective: of both contests; `losses.adversarial.least_squares()` where None.
      regularisers: of both discriminators.
      cycle_weight: traced. The authors' 10, and 5 for the identity, are of least squares that are
        not halved for generators: with ours 5 and 2.5 are the same.
      identity_weight: traced; None, without such a loss, where a domain has other channels.
      pool_size: of past images of each domain, 0 for none; the authors' 50 are at batches of 1.
      output: makes images of what generators give, such as pixels in [0, 1] of logits.
      simultaneous: all moves see the networks as they were before the step, as in the authors'
        code, whose discriminators are shown what the generators made before they moved.
      average: whether exponential moving averages of the generators are kept over steps, which
        evaluation and views then use.
      ema_decay: the fraction of it that a step keeps; traced.
      learning_rate: the generators'; traced.
      discriminator_learning_rate: of each, traced as `discriminator_a_learning_rate` and
        `discriminator_b_learning_rate`.
      optimizer: gives the direction for all players; Adam (0.5, 0.999) where None.
      discriminator_optimizer: for the discriminators alone.

    Returns:
      The method. Evaluation, per example, without noise: `cycle_error` and `identity_error`,
      of both domains, summed over an image's numbers; `adversarial_loss`, of both, and
      `discriminator_a_loss`, `discriminator_b_loss`, the objective's. Of its views, `generate`
      translates `image` to B, or, of a batch without one, `other` to A; `reconstruct` takes
      `image` there and back. Both use no noise.

    Raises:
      InputError: if there is no such pool; when traced, if a batch lacks a domain, networks do not
        fit the images, or a regulariser does not hold for a discriminator.

    Reference:
      Zhu et al. (2017), equations 1 to 3, sections 4 and 5.2 (identity loss).
    """
    require_networks(
        forward=forward,
        backward=backward,
        discriminator_a=discriminator_a,
        discriminator_b=discriminator_b,
    )
    require(_SIZE, pool_size=pool_size)
    objective = adversarial.least_squares() if objective is None else objective
    optimizer = optax.scale_by_adam(b1=0.5) if optimizer is None else optimizer
    generators = {"forward": forward, "backward": backward}
    discriminators = {"discriminator_a": discriminator_a, "discriminator_b": discriminator_b}
    # whose examples each judges, and who makes others of what
    entry = {"discriminator_a": "image", "discriminator_b": "other"}
    maker = {"discriminator_a": ("backward", "other"), "discriminator_b": ("forward", "image")}
    playing = {
        name: contest(judged_by(network), objective, regularisers)
        for name, network in discriminators.items()
    }

    def discriminating(name: str) -> Callable:
        by, of = maker[name]

        def terms(
            key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
        ) -> tuple[dict[str, Array], dict[str, Any]]:
            keys = jax.random.split(key, 3)
            made, _ = gradient.forward(generators[by], keys[0], params[by], batch[of], training)
            fake, changes = output(made), {}
            if training and pool_size:
                past, fake = pool.exchanged(keys[1], params[f"{name}_pool"], fake)
                changes = {f"{name}_pool": past}
            loss, moved = playing[name].discriminating(
                keys[2], params[name], batch[entry[name]], fake, hparams, training
            )
            return {"loss": loss}, changes | {name: moved}

        return terms

    def generating(
        key: Array, params: Mapping[str, Any], batch: Batch, hparams: HParams, training: bool
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        keys = iter(jax.random.split(key, 8))
        a, b = batch["image"], batch["other"]
        moved: dict[str, list[Any]] = {name: [] for name in generators}

        def translated(name: str, x: Array) -> Array:
            made, of_pass = gradient.forward(
                generators[name], next(keys), params[name], x, training
            )
            moved[name].append(jax.lax.stop_gradient(of_pass))
            return output(made)

        def error(made: Array, wanted: Array) -> tuple[Array, Array]:
            total = absolute_error(made, wanted)
            return total, total / (wanted.size // len(wanted))

        other_b = translated("forward", a)
        back_a = translated("backward", other_b)
        other_a = translated("backward", b)
        back_b = translated("forward", other_a)
        deceiving = sum(
            playing[name].deceiving(next(keys), params[name], real, fake, hparams, training)
            for name, real, fake in (
                ("discriminator_b", b, other_b),
                ("discriminator_a", a, other_a),
            )
        )
        (there, mean_there), (back, mean_back) = error(back_a, a), error(back_b, b)
        loss = deceiving + hparams["cycle_weight"] * (mean_there + mean_back)
        values = {"adversarial_loss": deceiving, "cycle_error": there + back}
        if identity_weight is not None:
            same_b, same_a = translated("forward", b), translated("backward", a)
            (of_b, mean_b), (of_a, mean_a) = error(same_b, b), error(same_a, a)
            loss += hparams["identity_weight"] * (mean_b + mean_a)
            values["identity_error"] = of_b + of_a
        changes = {name: mean_moved(*of_passes) for name, of_passes in moved.items()}
        return {"loss": loss, **values}, changes

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Any]:
        keys = jax.random.split(key, 4)
        a, b = _domains(batch)
        params = {"forward": forward.init(keys[0], a), "backward": backward.init(keys[1], b)}
        for name, x, y in (("forward", a, b), ("backward", b, a)):
            made = jax.eval_shape(generators[name].apply, params[name], x)
            if made.shape != y.shape:
                raise InputError(
                    f"the {name} generator makes {list(made.shape[1:])}, and images of that domain "
                    f"are {list(y.shape[1:])}: give it the outputs of these, or use domains of one "
                    "size"
                )
        if identity_weight is not None and a.shape != b.shape:
            raise InputError(
                "an identity loss is for domains of one shape, got "
                f"{list(a.shape[1:])} and {list(b.shape[1:])}: use identity_weight=None"
            )
        for (name, network), own in zip(discriminators.items(), keys[2:], strict=True):
            playing[name].regulariser.check(network, batch[entry[name]])
            params[name] = network.init(own, batch[entry[name]])
        return params

    def running(params: Mapping[str, Any], batch: Batch, hparams: HParams) -> dict[str, Any]:
        images = {name: batch[of] for name, of in entry.items()} if pool_size else {}
        return {
            f"{name}_pool": pool.empty(pool_size, x.shape[1:], x.dtype)
            for name, x in images.items()
        }

    def evaluate(
        key: Array, state: GradientState, batch: Batch, hparams: HParams
    ) -> dict[str, Array]:
        found = {
            move.name: move.terms(own, state.params, batch, hparams, training=False)[0]
            for move, own in zip(moves, jax.random.split(key, len(moves)), strict=True)
        }
        made = found.pop("generators")
        del made["loss"]
        return {**made, **{f"{name}_loss": values["loss"] for name, values in found.items()}}

    def moved_by(state: GradientState, name: str, x: Array) -> Array:
        return output(generators[name].apply(state.params[name], x))

    def generate(key: Array, state: GradientState, batch: Batch, hparams: HParams) -> Array:
        if "image" in batch:
            return moved_by(state, "forward", batch["image"])
        if "other" in batch:
            return moved_by(state, "backward", batch["other"])
        raise InputError("a translation needs an image, or an other to translate back")

    def reconstruct(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return moved_by(state, "backward", moved_by(state, "forward", batch["image"]))

    def inference(state: GradientState) -> GradientState:
        """What was made in the past is not looked at any more."""
        kept = {
            name: () if name.endswith("_pool") else value for name, value in state.running.items()
        }
        return state._replace(optimizer=(), running=kept)

    own = optimizer if discriminator_optimizer is None else discriminator_optimizer
    moves = (
        *(
            Move(name, (name,), discriminating(name), own, discriminator_learning_rate)
            for name in discriminators
        ),
        Move("generators", ("forward", "backward"), generating, optimizer, learning_rate),
    )
    weights = {"cycle_weight": (cycle_weight, NOT_NEGATIVE)}
    if identity_weight is not None:
        weights["identity_weight"] = (identity_weight, NOT_NEGATIVE)
    return game(
        init,
        [moves] if simultaneous else [moves[:2], moves[2:]],
        evaluate,
        Views(reconstruct=reconstruct, generate=generate),
        parts=[playing["discriminator_a"].regulariser, Numbers(**traced(**weights))],
        main="generators",
        running=running,
        average=list(generators) if average else (),
        ema_decay=ema_decay,
    )._replace(inference=inference)


def _domains(batch: Batch) -> tuple[Array, Array]:
    if missing := [name for name in ("image", "other") if name not in batch]:
        raise InputError(
            f"a domain is missing: a batch has no {missing[0]}; make the data with "
            "data.unpaired(first, second)"
        )
    return batch["image"], batch["other"]
