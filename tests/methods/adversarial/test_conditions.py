"""Labels in a GAN: each way of using them against NumPy, at its optimum, and by its symmetries."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, softmax

from ae_jax import losses, methods, nets
from ae_jax.core import NOT_NEGATIVE, InputError, Network
from ae_jax.methods import conditions, regularisers

pytestmark = pytest.mark.usefixtures("x64")

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


@pytest.mark.parametrize("way", WAYS)
def test_a_step(way):
    """Non-saturating losses with R1: its slope is that by the example, not by the label."""
    condition, discriminator, judge, weight, of_fakes = WAYS[way]
    method = built(condition, discriminator, regularisers=[regularisers.r1(0.8)])
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    after, info = jax.jit(method.step)(jax.random.key(6), state, BATCH, hparams)
    before = jax.tree.map(np.asarray, state.params)

    def made(params, key):
        latent_key = jax.random.split(jax.random.split(key)[0])[0]
        z = np.asarray(jax.random.normal(latent_key, (len(LABELS), LATENTS), float))
        return np.concatenate([z, ONE_HOT], axis=1) @ params["weights"][:, 0]

    d_key, g_key = jax.random.split(jax.random.key(6))
    x, fake = np.asarray(BATCH["image"])[:, 0], made(before["generator"], d_key)

    def lowered(params):
        real_logit, slope, real_cost = judge(params, x, ONE_HOT)
        fake_logit, _, fake_cost = judge(params, fake, ONE_HOT)
        cost = weight * (real_cost + of_fakes * fake_cost)
        return np.mean(softplus(-real_logit) + softplus(fake_logit) + 0.4 * slope**2 + cost)

    slopes = derivative(lowered, before["discriminator"])
    moved = jax.tree.map(lambda p, d: p - 0.7 * d, before["discriminator"], slopes)
    chex.assert_trees_all_close(after.params["discriminator"], moved, rtol=1e-12, atol=1e-14)
    loss = lowered(before["discriminator"])
    np.testing.assert_allclose(info["discriminator_loss"], loss, rtol=1e-12)

    def deceived(params):
        logit, _, cost = judge(moved, made(params, g_key), ONE_HOT)
        return np.mean(softplus(-logit) + weight * cost)

    slopes = derivative(deceived, before["generator"])
    expected = jax.tree.map(lambda p, d: p - 0.3 * d, before["generator"], slopes)
    chex.assert_trees_all_close(after.params["generator"], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(info["generator_loss"], deceived(before["generator"]), rtol=1e-12)

    values = method.evaluate(KEY, after, BATCH, hparams)
    d_key, g_key = jax.random.split(KEY)
    logits = [judge(moved, x, ONE_HOT), judge(moved, made(expected, d_key), ONE_HOT)]
    cost = weight * (logits[0][2] + of_fakes * logits[1][2])
    found = softplus(-logits[0][0]) + softplus(logits[1][0]) + cost
    np.testing.assert_allclose(values["discriminator_loss"], found, rtol=1e-12)
    logit, _, cost = judge(moved, made(expected, g_key), ONE_HOT)
    np.testing.assert_allclose(
        values["generator_loss"], softplus(-logit) + weight * cost, rtol=1e-12
    )
    assert (method.views.predict is not None) == (weight > 0)
    if weight:
        scores = method.views.predict(after, BATCH, hparams)
        _, _, nll = judge(moved, x, ONE_HOT)
        found = -np.sum(ONE_HOT * log_softmax(scores, axis=1), axis=1)
        np.testing.assert_allclose(found, nll, rtol=1e-12)
        assert method.domains["class_weight"] == NOT_NEGATIVE


def test_the_logit_of_a_projection():
    """`conditional.logits_y0_y1`."""
    condition = conditions.projection(2)
    network = condition.network(Network(lambda key, x: {}, lambda params, x: x))
    phi = jnp.array([[0.5, -1.0, 2.0]] * 2)
    params = jax.jit(network.init)(KEY, phi)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes["head"] == {"Dense_0": {"kernel": (3, 1), "bias": (1,)}}
    assert shapes["embedding"] == {"kernel": (3, 2)}
    np.testing.assert_array_equal(params["head"]["Dense_0"]["bias"], 0)
    params["head"]["Dense_0"]["kernel"] = jnp.ones((3, 1))
    params["embedding"]["kernel"] = jnp.array([[1.0, 0, 0], [0, 1, 1]]).T
    found = condition.verdict(network.apply(params, phi), jnp.eye(2))
    np.testing.assert_allclose(found, [2.0, 2.5], rtol=1e-12)


def test_the_class_of_an_example_is_told_by_logits():
    """`conditional.acgan_ce_label1`; of their softmax it would be another loss."""
    logits, given = jnp.array([[1.0, 2.0, 0.5]]), jnp.eye(3)[1:2]
    task, one = conditions.auxiliary(3).task, {"class_weight": 1.0}
    np.testing.assert_allclose(task.generator(logits, given, one), [0.4643687841079447], rtol=1e-12)
    both = task.discriminator(logits, logits, given, {"class_weight": 0.5})
    np.testing.assert_allclose(both, [0.4643687841079447], rtol=1e-12)
    of_real = conditions.auxiliary(3, classify_fakes=False).task
    found = of_real.discriminator(logits, -logits, given, one)
    np.testing.assert_allclose(found, [0.4643687841079447], rtol=1e-12)
    twice = task.generator(jnp.asarray(softmax(logits, axis=1)), given, one)
    np.testing.assert_allclose(twice, [0.826718], rtol=1e-6)


# Counts of x = 0, 1, 2 among examples of either class: of the data, and of the generator.
REAL = np.array([[3, 2, 1], [1, 4, 5]])
FAKE = np.array([[1, 3, 2], [5, 4, 1]])


def counted(counts):
    """One-hot x, for the classes one after the other."""
    return np.concatenate([np.eye(3)[np.repeat(np.arange(3), row)] for row in counts])


def table():
    """A logit for each x and y."""

    def init(key, shown):
        return {"logits": jnp.zeros((3, 2))}

    def apply(params, shown):
        return jnp.einsum("bx,by,xy->b", shown[:, :3], shown[:, 3:], params["logits"])[:, None]

    return Network(init, apply)


@pytest.mark.parametrize("way", ["concatenation", "projection"])
def test_the_best_discriminator_on_a_table(way):
    """log p(x | y) / q(x | y); in a projection log p(y | x) / q(y | x) and log p(x) / q(x)."""
    label = np.repeat([0, 1], np.sum(REAL, axis=1))
    batch = {"image": jnp.asarray(counted(REAL)), "label": jnp.asarray(label)}
    condition = getattr(conditions, way)(2)
    identity = Network(lambda key, x: {}, lambda params, x: x)
    method = methods.gan(
        Network(lambda key, x: {"w": jnp.ones(())}, lambda params, x: params["w"] * x[:, :3]),
        table() if way == "concatenation" else identity,
        3,
        condition=condition,
        prior=lambda key, shape: jnp.asarray(counted(FAKE))[: shape[0]],
        output=lambda x: x,
    )
    state = jax.jit(method.init)(KEY, batch, dict(method.hparams))
    p, q = REAL / len(label), FAKE / len(label)  # joint, [y, x]
    if way == "concatenation":
        params = {"logits": jnp.asarray(np.log(p / q).T)}
    else:
        of_x = np.log(p.sum(axis=0) / q.sum(axis=0))
        of_y = np.log((p / p.sum(axis=0)) / (q / q.sum(axis=0)))
        params = {
            "features": {},
            "head": {"Dense_0": {"kernel": jnp.asarray(of_x)[:, None], "bias": jnp.zeros(1)}},
            "embedding": {"kernel": jnp.asarray(of_y.T)},
        }
    best = state._replace(params={**state.params, "discriminator": params})
    step = jax.jit(method.step)
    _, info = step(KEY, best, batch, dict(method.hparams))
    assert info["discriminator_gradient_norm"] < 1e-14
    mixture = (p + q) / 2
    jsd = np.sum(p * np.log(p / mixture) + q * np.log(q / mixture)) / 2
    np.testing.assert_allclose(info["discriminator_loss"], np.log(4) - 2 * jsd, rtol=1e-12)
    # of generated examples whose classes are as frequent as each other it is not the best
    even = {**batch, "label": jnp.asarray(np.repeat([0, 1], 8))}
    _, info = step(KEY, best, even, dict(method.hparams))
    assert info["discriminator_gradient_norm"] > 0.01


def relabelled(params, way, order):
    """With the weights of label order[i] in the place of those of i."""

    def rows(kernel, first):
        return jnp.concatenate([kernel[:first], kernel[first:][order]])

    params = jax.tree.map(lambda x: x, params)  # anew
    kernel = params["generator"]["weights"]
    params["generator"]["weights"] = rows(kernel, LATENTS)
    judging = params["discriminator"]
    if way == "concatenation":
        judging["weights"] = rows(judging["weights"], 1)
    elif way == "projection":
        judging["embedding"]["kernel"] = judging["embedding"]["kernel"][:, order]
    else:
        judging["classes"]["Dense_0"] = {
            name: x[..., order] for name, x in judging["classes"]["Dense_0"].items()
        }
    return params


@pytest.mark.parametrize("way", ["concatenation", "projection", "auxiliary"])
def test_names_of_classes_do_not_matter(way):
    condition, discriminator, *_ = WAYS[way]
    method = built(condition, discriminator)
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    order = np.array([2, 0, 1])
    other = {**BATCH, "label": np.argsort(order)[LABELS]}
    step = jax.jit(method.step)
    after, info = step(KEY, state, BATCH, hparams)
    given = state._replace(params=relabelled(state.params, way, order))
    renamed, told = step(KEY, given, other, hparams)
    chex.assert_trees_all_close(told, info, rtol=1e-12)
    expected = relabelled(after.params, way, order)
    chex.assert_trees_all_close(renamed.params, expected, rtol=1e-12, atol=1e-14)
    # with the old weights it is another game
    _, confused = step(KEY, state, other, hparams)
    assert abs(confused["discriminator_loss"] - info["discriminator_loss"]) > 1e-3


def blind(network, size):
    """It sees the first numbers alone."""
    return Network(
        lambda key, x: network.init(key, x[..., :size]),
        lambda params, x: network.apply(params, x[..., :size]),
    )


def test_players_who_ignore_labels_play_the_game_without_them():
    """Bit for bit."""
    condition = conditions.concatenation(CLASSES)
    told = methods.gan(blind(linear(1), LATENTS), blind(linear(1), 1), LATENTS, condition=condition)
    plain = methods.gan(linear(1), linear(1), LATENTS)
    hparams = dict(plain.hparams)
    states = [jax.jit(method.init)(KEY, BATCH, hparams) for method in (told, plain)]
    chex.assert_trees_all_equal(*states)
    steps = [jax.jit(method.step)(KEY, states[1], BATCH, hparams) for method in (told, plain)]
    chex.assert_trees_all_equal(*steps)
    assert plain.views.generate is None
    assert plain.views.predict is None


def seen(condition, x):
    """What a discriminator is shown of the batch's labels."""
    return np.asarray(condition.shown(jnp.asarray(x), jnp.asarray(ONE_HOT)))


def test_labels_stand_behind_vectors_and_in_planes_behind_images():
    image = np.random.default_rng(0).random((5, 2, 4, 2))
    planes = np.broadcast_to(ONE_HOT[:, None, None], (5, 2, 4, CLASSES))
    whole, flat = (conditions.concatenation(CLASSES, flat=flat) for flat in (False, True))
    np.testing.assert_array_equal(seen(whole, image), np.concatenate([image, planes], -1))
    vectors = image.reshape(5, -1)
    beside = np.concatenate([vectors, ONE_HOT], -1)
    np.testing.assert_array_equal(seen(flat, image), beside)
    for condition in (whole, flat):
        np.testing.assert_array_equal(seen(condition, vectors), beside)
    half = whole.shown(jnp.asarray(image, jnp.bfloat16), jnp.asarray(ONE_HOT))
    assert half.dtype == jnp.bfloat16


def telling(frequencies=None):
    """A GAN that generates (z, y)."""
    method = methods.gan(
        Network(lambda key, x: {"w": jnp.ones(())}, lambda params, x: params["w"] * x),
        linear(1),
        1,
        condition=conditions.concatenation(CLASSES, frequencies=frequencies),
        output=lambda x: x,
    )
    batch = {"image": jnp.zeros((5, 1 + CLASSES)), "label": BATCH["label"]}
    return method, jax.jit(method.init)(KEY, batch, dict(method.hparams))


def test_views():
    method, state = telling()
    found = method.views.generate(KEY, state, {"label": BATCH["label"]}, method.hparams)
    z = jax.random.normal(KEY, (5, 1), float)
    np.testing.assert_array_equal(found, np.concatenate([z, ONE_HOT], axis=1))
    np.testing.assert_array_equal(method.views.decode(state, found, method.hparams), found)
    count = 3000
    for frequencies, expected in ((None, [1, 1, 1]), ((0.2, 0, 0.6), [1, 0, 3])):
        method, state = telling(frequencies)
        drawn = np.asarray(method.views.sample(KEY, state, count, method.hparams))
        np.testing.assert_array_equal(np.sort(drawn[:, 1:], axis=1)[:, -1], 1)
        p = np.asarray(expected) / np.sum(expected)
        errors = np.abs(drawn[:, 1:].mean(axis=0) - p)
        assert np.all(errors <= 4 * np.sqrt(p * (1 - p) / count))
        # what is drawn does not tell the class
        latent = drawn[:, 0]
        assert abs(np.corrcoef(latent, drawn[:, 1])[0, 1]) < 4 / np.sqrt(count)


def test_spectral_normalisation_of_what_a_projection_adds():
    """Both passes of a step see one discriminator, whose directions then move once."""
    condition = conditions.projection(CLASSES, spectral_norm=True)
    method = built(condition, curved())
    hparams = {**method.hparams, **HPARAMS}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    judging = state.params["discriminator"]
    ((path, direction),) = judging["embedding"]["spectral"].items()
    kernel = np.asarray(judging["embedding"]["params"]["kernel"])
    np.testing.assert_allclose(np.linalg.norm(kernel @ direction), np.linalg.norm(kernel, 2))
    direction = np.array([0.6, 0.0, 0.8])  # far from that of the largest singular value
    judging["embedding"]["spectral"] = {path: jnp.asarray(direction)}
    before = jax.tree.map(np.asarray, state.params)
    after, info = jax.jit(method.step)(jax.random.key(6), state, BATCH, hparams)

    def divided(params, direction):
        head = params["head"]["params"]["Dense_0"]
        psi = head["kernel"] / np.linalg.norm(head["kernel"])
        kernel = params["embedding"]["params"]["kernel"]
        return {
            "features": params["features"],
            "head": {"Dense_0": {"kernel": psi, "bias": head["bias"]}},
            "embedding": {"kernel": kernel / np.linalg.norm(kernel @ direction)},
        }

    latent_key = jax.random.split(jax.random.split(jax.random.split(jax.random.key(6))[0])[0])[0]
    z = np.asarray(jax.random.normal(latent_key, (len(LABELS), LATENTS), float))
    fake = np.concatenate([z, ONE_HOT], axis=1) @ before["generator"]["weights"][:, 0]
    seen = divided(before["discriminator"], direction)
    real_logit, fake_logit = (projected(seen, x, ONE_HOT)[0] for x in (BATCH["image"][:, 0], fake))
    loss = np.mean(softplus(-real_logit) + softplus(fake_logit))
    np.testing.assert_allclose(info["discriminator_loss"], loss, rtol=1e-12)
    moved = kernel.T @ kernel @ direction
    found = after.params["discriminator"]["embedding"]["spectral"][path]
    np.testing.assert_allclose(found, moved / np.linalg.norm(moved), rtol=1e-12)


def test_a_relativistic_objective_and_averages_go_with_a_condition():
    """The generator's class loss is of generated examples alone; the average is viewed."""
    options = {"objective": losses.adversarial.paired(), "average": True, "ema_decay": 0.5}
    method = built(conditions.auxiliary(CLASSES), curved(), **options)
    hparams = {**method.hparams, **HPARAMS, "discriminator_learning_rate": 0.0}
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    step = jax.jit(method.step)
    after, info = step(KEY, state, BATCH, hparams)
    _, without = step(KEY, state, BATCH, {**hparams, "class_weight": 0.0})
    before = jax.tree.map(np.asarray, state.params)
    key = jax.random.split(jax.random.split(jax.random.split(KEY)[1])[0])[0]
    z = np.asarray(jax.random.normal(key, (5, LATENTS), float))
    fake = np.concatenate([z, ONE_HOT], axis=1) @ before["generator"]["weights"][:, 0]
    _, _, nll = classified(before["discriminator"], fake, ONE_HOT)
    difference = info["generator_loss"] - without["generator_loss"]
    np.testing.assert_allclose(difference, np.mean(nll), rtol=1e-12)
    average = (before["generator"]["weights"] + after.params["generator"]["weights"]) / 2
    made = method.views.generate(KEY, after, BATCH, hparams)
    latent = np.asarray(jax.random.normal(KEY, (5, LATENTS), float))
    expected = np.concatenate([latent, ONE_HOT], axis=1) @ average
    np.testing.assert_allclose(made, expected, rtol=1e-12)


def test_labels_that_are_no_classes():
    method = built(conditions.concatenation(CLASSES), linear(1))
    hparams = dict(method.hparams)
    with pytest.raises(
        InputError, match=r"need data with labels: use a .*, or leave out condition"
    ):
        method.init(KEY, {"image": BATCH["image"]}, hparams)
    state = jax.jit(method.init)(KEY, BATCH, hparams)
    step = jax.jit(method.step)
    for label, said in (([0, 1, 2, 3, 0], "got 0 to 3"), ([0, -1, 0, 0, 0], "got -1 to 0")):
        wrong = {**BATCH, "label": jnp.asarray(label)}
        for call in (method.init, lambda *args: method.views.generate(args[0], state, *args[1:])):
            with pytest.raises(InputError, match=f"labels must be from 0 to 2, {said}: give"):
                call(KEY, wrong, hparams)
        # where they cannot be looked at, the lane is frozen
        _, info = step(KEY, state, wrong, hparams)
        assert np.isnan(info["discriminator_loss"])
        assert np.isnan(info["generator_loss"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: conditions.concatenation(1), "classes is 1: use a whole number, 2 or more"),
        (lambda: conditions.projection(2.5), "classes is 2.5"),
        (lambda: conditions.auxiliary(0), "classes is 0"),
        (lambda: conditions.concatenation(2, frequencies=[1, 1, 1]), "must be 2 numbers"),
        (lambda: conditions.projection(2, frequencies=[1, -1]), "none below 0"),
        (lambda: conditions.auxiliary(2, frequencies=[0, 0]), "frequencies must be"),
        (lambda: conditions.projection(2, frequencies=[1, np.inf]), "frequencies must be"),
    ],
)
def test_what_is_no_condition_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_features_are_vectors():
    batch = {"image": jnp.zeros((5, 2, 2, 1)), "label": BATCH["label"]}
    method = methods.gan(
        nets.mlp((2, 2, 1), ()), nets.mlp((2, 2, 1), ()), 2, condition=conditions.projection(3)
    )
    with pytest.raises(InputError, match=r"must give features \[B, F\].*gives \[5, 2, 2, 1\]"):
        jax.eval_shape(method.init, KEY, batch, dict(method.hparams))
