"""How the players of a GAN are told of which class an example is to be.

The generator sees the label one-hot beside its latents. The discriminator judges examples beside
their labels in one of three ways, or is asked for them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax.core import (
    NOT_NEGATIVE,
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    Network,
    require,
    traced,
)
from ae_jax.methods.adversarial.contest import Task
from ae_jax.methods.learners import gradient
from ae_jax.methods.parts.labels import beside, drawn_one_hot, given_one_hot
from ae_jax.nets import mlp, spectral


class Condition(NamedTuple):
    """What labels a GAN's players are told, and how its discriminator uses them.

    Labels are `given` as one-hot vectors [B, C], or as () where there are no classes.

    Attributes:
      classes: C, the number of values of the batch's `label`; 0 where nothing is told.
      frequencies: of the classes [C], by which they are drawn where no batch says them; all the
        same where None.
      network: of the network that a GAN is built with, the discriminator as it is trained.
      shown: (examples [B, ...], given) -> what the discriminator is shown.
      verdict: (what the discriminator gives, given) -> logits of "real" [B]; with a task, those
        and the answers to it. None where it gives the logits themselves, [B, ..., 1].
      predict: of what the discriminator gives, logits of classes [B, C]; None where it tells none.
      task: what it is asked beside whether examples are real.
      hparams: the task's traced hyperparameters and their defaults.
      domains: the values that each of them may take.
    """

    classes: int = 0
    frequencies: Sequence[float] | None = None
    network: Callable[[Network], Network] = lambda discriminator: discriminator
    shown: Callable[[Array, Any], Array] = lambda x, given: x
    verdict: Callable[[Array, Any], Any] | None = None
    predict: Callable[[Array], Array] | None = None
    task: Task | None = None
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


def concatenation(
    classes: int, *, flat: bool = False, frequencies: Sequence[float] | None = None
) -> Condition:
    """The discriminator is shown the label with the example.

    It stands one-hot behind a vector, and as planes behind the channels of an image.

    Args:
      classes: C.
      flat: whether images are made vectors, so that a dense discriminator is shown the label
        once and not beside every pixel.
      frequencies: of classes in samples whose labels nobody says; all the same where None.

    Raises:
      InputError: if there are fewer than two classes, or the frequencies are not theirs.

    Reference:
      Mirza and Osindero (2014), Conditional Generative Adversarial Nets.
    """

    def shown(x: Array, given: Array) -> Array:
        return beside(x.reshape(len(x), -1) if flat else x, given)

    return Condition(**_checked(classes, frequencies), shown=shown)


def projection(
    classes: int, *, spectral_norm: bool = False, frequencies: Sequence[float] | None = None
) -> Condition:
    """The logit is v_y . phi(x) + psi(phi(x)), with a vector v_y for each class and psi linear.

    The discriminator that the GAN is built with gives the features phi, [B, F].

    Args:
      classes: C.
      spectral_norm: whether v and psi are divided by their largest singular values; that of the
        features is `nets.spectral`.
      frequencies: as for `concatenation`.

    Raises:
      InputError: as `concatenation`; when traced, if there are no features [B, F].

    Reference:
      Miyato and Koyama (2018), cGANs with Projection Discriminator, section 3.
    """

    def verdict(output: Array, given: Array) -> Array:
        return output[:, 0] + jnp.sum(given.astype(output.dtype) * output[:, 1:], axis=1)

    wrap = spectral if spectral_norm else _same
    heads = {"head": wrap(mlp(1, ())), "embedding": wrap(_products(classes))}
    return Condition(
        **_checked(classes, frequencies),
        network=lambda features: _with_heads(features, heads),
        verdict=verdict,
    )


def auxiliary(
    classes: int,
    *,
    weight: float = 1.0,
    classify_fakes: bool = True,
    frequencies: Sequence[float] | None = None,
) -> Condition:
    """The discriminator also says the class of examples, which both players want to be right.

    The discriminator that the GAN is built with gives features [B, F], of which one linear layer
    makes the logit of "real" and another those of the classes; the view `predict` gives these.

    Args:
      classes: C.
      weight: of the cross-entropy of labels, in nats, in both players' losses; swept as
        `class_weight`.
      classify_fakes: whether the discriminator learns the classes from generated examples too,
        as in the paper, or from real ones alone. The generator's loss has them in any case.
      frequencies: as for `concatenation`.

    Raises:
      InputError: as `projection`.

    Reference:
      Odena, Olah and Shlens (2017), Conditional Image Synthesis with Auxiliary Classifier GANs,
      equations 2 and 3.
    """

    def cost(logits: Array, given: Array, hparams: HParams) -> Array:
        nll = optax.softmax_cross_entropy(logits, given.astype(logits.dtype))
        return hparams["class_weight"] * nll

    def discriminator(real: Array, fake: Array, given: Array, hparams: HParams) -> Array:
        loss = cost(real, given, hparams)
        return loss + cost(fake, given, hparams) if classify_fakes else loss

    checked = _checked(classes, frequencies)
    heads = {"head": mlp(1, ()), "classes": mlp(classes, ())}
    return Condition(
        **checked,
        network=lambda features: _with_heads(features, heads),
        verdict=lambda output, given: (output[:, 0], output[:, 1:]),
        predict=lambda output: output[:, 1:],
        task=Task(discriminator, cost),
        **traced(class_weight=(weight, NOT_NEGATIVE)),
    )


def given_of(batch: Batch, condition: Condition) -> Any:
    """Returns what is given of a batch: its labels one-hot, [B, C], or () without classes.

    Those that are no class are NaN where they are traced, so that nobody misses them.

    Raises:
      InputError: if there are classes and the batch has no `label`, or one that is none of them.
    """
    return given_one_hot(batch, condition.classes, ", or leave out condition")


def drawn_labels(key: Array, count: int, condition: Condition) -> Array:
    """Returns labels [count, C], one-hot, by the condition's frequencies."""
    return drawn_one_hot(key, count, condition.classes, condition.frequencies)


def _checked(classes: int, frequencies: Sequence[float] | None) -> dict[str, Any]:
    require(Domain(2, whole=True), classes=classes)
    if frequencies is not None:
        given = np.asarray(frequencies, float)
        if given.shape != (classes,) or not (np.all(given >= 0) and 0 < np.sum(given) < np.inf):
            raise InputError(
                f"frequencies must be {classes} numbers, one for each class, none below 0"
            )
    return {"classes": classes, "frequencies": frequencies}


def _same(network: Network) -> Network:
    return network


def _products(classes: int) -> Network:
    """phi [B, F] -> v_y . phi of every class y, [B, C]."""

    def init(key: Array, phi: Array) -> dict[str, Array]:
        shape, dtype = (phi.shape[-1], classes), jnp.result_type(float)
        return {"kernel": jax.nn.initializers.lecun_normal()(key, shape, dtype)}

    return Network(init, lambda params, phi: phi @ params["kernel"])


def _with_heads(features: Network, heads: Mapping[str, Network]) -> Network:
    """The outputs of heads of features, one behind the other, as one network."""

    def called(
        keys: Any, params: Mapping[str, Any], x: Array, training: bool
    ) -> tuple[Array, dict[str, Any]]:
        phi, moved = gradient.forward(features, keys[0], params["features"], x, training)
        outputs, changes = [], {"features": moved}
        for own, (name, head) in zip(keys[1:], heads.items(), strict=True):
            output, changes[name] = gradient.forward(head, own, params[name], phi, training)
            outputs.append(output)
        return jnp.concatenate(outputs, axis=1), changes

    def init(key: Array, x: Array) -> dict[str, Any]:
        keys = jax.random.split(key, 1 + len(heads))
        params = {"features": features.init(keys[0], x)}
        phi = features.apply(params["features"], x)
        if phi.shape[:1] != x.shape[:1] or phi.ndim != 2:
            raise InputError(
                "the discriminator must give features [B, F], of which the condition makes logits, "
                f"and gives {list(phi.shape)}"
            )
        return params | {
            name: head.init(own, phi)
            for own, (name, head) in zip(keys[1:], heads.items(), strict=True)
        }

    def apply(params: Mapping[str, Any], x: Array) -> Array:
        return called([None] * (1 + len(heads)), params, x, False)[0]

    def train(key: Array, params: Mapping[str, Any], x: Array) -> tuple[Array, dict[str, Any]]:
        return called(jax.random.split(key, 1 + len(heads)), params, x, True)

    return Network(init, apply, train)
