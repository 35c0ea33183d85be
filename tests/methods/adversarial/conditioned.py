"""GANs of three classes that can be written out, and each way of using labels in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import methods
from ae_jax.core import Network
from ae_jax.methods import conditions

KEY = jax.random.key(3)
LATENTS, CLASSES = 2, 3
HPARAMS = {"learning_rate": 0.3, "discriminator_learning_rate": 0.7}
LABELS = np.array([2, 0, 1, 2, 2])
BATCH = {"image": np.array([[0.9], [-0.2], [0.7], [1.5], [0.3]]), "label": LABELS}
ONE_HOT = np.eye(CLASSES)[LABELS]


def linear(outputs):
    """x . weights, without a bias."""

    def init(key, x):
        return {"weights": jax.random.normal(key, (x.shape[1], outputs), float)}

    return Network(init, lambda params, x: x @ params["weights"])


def curved():
    """Two features of a number."""

    def init(key, x):
        return {"scale": jax.random.normal(key, (2,), float)}

    return Network(init, lambda params, x: jnp.tanh(x * params["scale"][None]))


def built(condition, discriminator, **options):
    return methods.gan(
        linear(1),
        discriminator,
        LATENTS,
        condition=condition,
        optimizer=optax.identity(),
        output=lambda x: x,
        **options,
    )


def softplus(x):
    return np.log(1 + np.exp(x))


def concatenated(params, x, given):
    """Logits, their slopes by x alone, and no answers."""
    weights = params["weights"][:, 0]
    return x * weights[0] + given @ weights[1:], weights[0] + 0 * x, 0


def features(params, x):
    scale = params["features"]["scale"]
    phi = np.tanh(x[:, None] * scale)
    return phi, (1 - phi**2) * scale


def projected(params, x, given):
    phi, slope = features(params, x)
    head = params["head"]["Dense_0"]
    v = head["kernel"][:, 0] + given @ params["embedding"]["kernel"].T
    return np.sum(phi * v, axis=1) + head["bias"][0], np.sum(slope * v, axis=1), 0


def classified(params, x, given):
    phi, slope = features(params, x)
    head, classes = (params[name]["Dense_0"] for name in ("head", "classes"))
    kernel = head["kernel"][:, 0]
    scores = phi @ classes["kernel"] + classes["bias"]
    nll = np.log(np.sum(np.exp(scores), axis=1)) - np.sum(given * scores, axis=1)
    return phi @ kernel + head["bias"][0], slope @ kernel, nll


def derivative(function, tree):
    """By complex steps, which lose no digits."""
    leaves, shape = jax.tree.flatten(jax.tree.map(lambda x: np.array(x, complex), tree))
    found = [np.zeros(leaf.shape) for leaf in leaves]
    for leaf, slopes in zip(leaves, found, strict=True):
        for at in np.ndindex(leaf.shape):
            leaf[at] += 1e-30j
            slopes[at] = np.imag(function(jax.tree.unflatten(shape, leaves))) / 1e-30
            leaf[at] = leaf[at].real
    return jax.tree.unflatten(shape, found)


WAYS = {
    "concatenation": (conditions.concatenation(CLASSES), linear(1), concatenated, 0, 0),
    "projection": (conditions.projection(CLASSES), curved(), projected, 0, 0),
    "auxiliary": (conditions.auxiliary(CLASSES, weight=0.6), curved(), classified, 0.6, 1),
    "of real ones": (
        conditions.auxiliary(CLASSES, weight=0.6, classify_fakes=False),
        curved(),
        classified,
        0.6,
        0,
    ),
}


def seen(condition, x):
    """What a discriminator is shown of the batch's labels."""
    return np.asarray(condition.shown(jnp.asarray(x), jnp.asarray(ONE_HOT)))
