"""A method written outside the package passes the public check, and its mutants fail by name."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, testing, training
from ae_jax.core import NOT_NEGATIVE, POSITIVE, Domain, InputError, Method, Views
from ae_jax.testing import promises
from tests.marks import rare

# With --full alone: they take long.
pytestmark = pytest.mark.full

LATENT = 4


def flat(batch):
    return batch["image"].reshape(len(batch["image"]), -1)


def decode(state, latent, hparams):
    return (latent @ state["weights"].T).reshape(-1, 8, 8, 1)


def encode(state, batch, hparams):
    return flat(batch) @ state["weights"]


def squared(weights, x):
    return jnp.sum((x - x @ weights @ weights.T) ** 2, axis=1)


def evaluate(key, state, batch, hparams):
    return {"loss": squared(state["weights"], flat(batch))}


def sample(key, state, count, hparams):
    return decode(state, jax.random.normal(key, (count, LATENT)), hparams)


def generate(key, state, batch, hparams):
    latent = encode(state, batch, hparams)
    return decode(state, latent + jax.random.normal(key, latent.shape), hparams)


def init(key, batch, hparams):
    weights = 0.1 * jax.random.normal(key, (flat(batch).shape[1], LATENT))
    return {"weights": weights, "steps": jnp.zeros((), weights.dtype)}


def step(key, state, batch, hparams):
    x = flat(batch)
    noisy = x + hparams["noise"] * jax.random.normal(key, x.shape)

    def objective(weights):
        return jnp.mean(jnp.sum((x - noisy @ weights @ weights.T) ** 2, axis=1))

    loss, gradient = jax.value_and_grad(objective)(state["weights"])
    weights = state["weights"] - hparams["learning_rate"] * gradient
    return {"weights": weights, "steps": state["steps"] + 1}, {
        "loss": loss,
        "gradient_norm": jnp.sqrt(jnp.sum(gradient**2)),
    }


VIEWS = Views(
    encode=encode,
    decode=decode,
    reconstruct=lambda state, batch, h: decode(state, encode(state, batch, h), h),
    predict=lambda state, batch, h: encode(state, batch, h)[:, 0],
    sample=sample,
    generate=generate,
    log_likelihood=lambda key, state, batch, h: -squared(state["weights"], flat(batch)),
)
#: A linear autoencoder that denoises, by plain gradient descent.
OWN = Method(
    hparams={"learning_rate": 1e-3, "noise": 0.1},
    init=init,
    step=step,
    evaluate=evaluate,
    views=VIEWS,
    domains={"learning_rate": POSITIVE, "noise": NOT_NEGATIVE},
    inference=lambda state: {**state, "steps": ()},
)


@functools.cache
def digits():
    return data.load("digits", "train")


def test_a_method_of_ones_own_keeps_all_promises():
    testing.check(OWN, digits(), full=True)


def with_view(**views):
    return OWN._replace(views=VIEWS._replace(**views))


def with_hparam(name, value, **domains):
    return OWN._replace(hparams={**OWN.hparams, name: value}, domains={**OWN.domains, **domains})


def after_step(change):
    """The state of a step is changed."""

    def mutant(key, state, batch, hparams):
        after, info = step(key, state, batch, hparams)
        return {**after, **change(after)}, info

    return OWN._replace(step=mutant)


def with_info(change):
    def mutant(key, state, batch, hparams):
        after, info = step(key, state, batch, hparams)
        return after, {**info, **change(after, info)}

    return OWN._replace(step=mutant)


def evaluated(change):
    return OWN._replace(evaluate=lambda key, *rest: change(key, rest, evaluate(key, *rest)["loss"]))


def key_twice(key, state, batch, hparams):
    x = flat(batch)
    jitter = 1e-3 * jax.random.normal(key, x.shape)
    return step(key, state, {"image": (x + jitter).reshape(-1, 8, 8, 1)}, hparams)


def schur(state):
    """Which XLA has for CPUs alone."""
    turned = jax.scipy.linalg.schur(state["weights"].T @ state["weights"])[1]
    return {"weights": state["weights"] @ turned @ turned.T}


SHAPES = "a step keeps the state's shapes"
FINITE = "everything is finite"
VIEW_SHAPES = "views have their shapes"
KEYS = "no key is used twice"
TRACES = "neither steps nor new hyperparameters trace again"
EFFECTS = "every hyperparameter has its effect"
DOMAINS = "every hyperparameter has a domain that holds its default"
MUTANTS = {
    "a state that grows": (
        SHAPES,
        after_step(lambda after: {"steps": after["steps"][None]}),
    ),
    "no Info": (SHAPES, OWN._replace(step=lambda *x: (step(*x)[0], {}))),
    "Info of each example": (SHAPES, with_info(lambda after, info: {"loss": after["weights"][0]})),
    "an evaluation that is a mean": (
        SHAPES,
        evaluated(lambda key, rest, loss: {"loss": jnp.mean(loss)}),
    ),
    "control flow on a hyperparameter": (
        SHAPES,
        OWN._replace(step=lambda k, s, b, h: step(k, s, b, h) if h["noise"] > 0 else 1 / 0),
    ),
    "NaN of a view": (FINITE, with_view(log_likelihood=lambda k, s, b, h: jnp.log(-flat(b)[:, 0]))),
    "NaN of Info": (FINITE, with_info(lambda after, info: {"loss": info["loss"] / 0})),
    "no view": (VIEW_SHAPES, OWN._replace(views=Views())),
    "a flat reconstruction": (
        VIEW_SHAPES,
        with_view(reconstruct=lambda s, b, h: encode(s, b, h) @ s["weights"].T),
    ),
    "a prediction of a batch": (
        VIEW_SHAPES,
        with_view(predict=lambda s, b, h: jnp.mean(encode(s, b, h))),
    ),
    "too few samples": (VIEW_SHAPES, with_view(sample=lambda k, s, n, h: sample(k, s, n - 1, h))),
    "generates one image": (VIEW_SHAPES, with_view(generate=lambda *x: generate(*x)[:1])),
    "a key used twice in a step": (KEYS, OWN._replace(step=key_twice)),
    "a key used twice in a view": (
        KEYS,
        with_view(sample=lambda k, s, n, h: sample(k, s, n, h) + sample(k, s, n, h)),
    ),
    "a state whose dtype is weak at first": (
        TRACES,
        after_step(lambda after: {"steps": jnp.asarray(after["steps"], float)})._replace(
            init=lambda *x: {**init(*x), "steps": 0.0}
        ),
    ),
    "a number that is not read": (EFFECTS, with_hparam("idle", 1.0, idle=POSITIVE)),
    "no domain": (DOMAINS, OWN._replace(domains={"noise": NOT_NEGATIVE})),
    "a domain of nothing": (DOMAINS, OWN._replace(domains={**OWN.domains, "other": POSITIVE})),
    "a default outside its domain": (DOMAINS, with_hparam("noise", -0.1)),
    "an evaluation that depends on the batch": (
        "the evaluation of an example does not depend on the others",
        evaluated(lambda key, rest, loss: {"loss": loss - jnp.mean(loss)}),
    ),
    "a conclusion from all that there is": (
        "what is padding counts for nothing in what is concluded",
        OWN._replace(conclude=lambda values, present, h: {"loss": jnp.mean(values["loss"])}),
    ),
    "inference that drops what a view needs": (
        "inference needs only what is kept for it",
        OWN._replace(inference=lambda state: {**state, "weights": ()}),
    ),
    "inference that computes": (
        "inference needs only what is kept for it",
        OWN._replace(inference=lambda state: {**state, "weights": 2 * state["weights"]}),
    ),
    "a constant of 32 bits": (
        "all is of 64 bits where those are enabled",
        OWN._replace(init=lambda *x: {**init(*x), "steps": np.float32(0)}),
    ),
    "a range of nothing": (
        "data out of a range are refused",
        OWN._replace(ranges={"picture": POSITIVE}),
    ),
    "what only a CPU has": ("a step lowers for CUDA and TPU", after_step(schur)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_promise_is_named(name):
    promise, mutant = MUTANTS[name]
    with pytest.raises(AssertionError, match=f"^{promise}") as caught:
        testing.check(mutant, digits())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("a key used twice in a step", "the step"),
        ("a key used twice in a view", "the evaluation or a view"),
    ],
)
def test_where_a_key_is_used_twice_is_said(name, where):
    with pytest.raises(AssertionError, match=f"{KEYS}: by {where}: "):
        testing.check(MUTANTS[name][1], digits())


def test_an_error_of_the_method_is_said_with_its_kind():
    lost = OWN._replace(evaluate=lambda key, state, batch, h: {"loss": batch["picture"]})
    with pytest.raises(AssertionError, match=f"^{SHAPES}.*: KeyError: 'picture'$"):
        testing.check(lost, digits())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((lambda: OWN, digits), "check.. takes a Method, not a function"),
        ((OWN, lambda: "digits"), "check.. takes a Dataset, not a str"),
        ((OWN, lambda: data.subset(digits(), slice(0, 40))), "has 40 examples: give 64 or more"),
        ((OWN, digits, "words"), "the data have no words: .* of image, label"),
    ],
)
def test_what_cannot_be_checked_is_refused(given, message):
    method, dataset, *entry = given
    with pytest.raises(InputError, match=message):
        testing.check(method, dataset(), **({"entry": entry[0]} if entry else {}))


def test_what_is_trained_outside_its_domain_is_named(monkeypatch):
    """As by an engine that does not look."""
    monkeypatch.setattr(training, "run", lambda *args, **options: None)
    with pytest.raises(AssertionError, match="learning_rate nan is trained with"):
        testing.PROMISES["values outside a domain are refused"](testing.Subject(OWN, digits()))


def test_what_is_trained_out_of_its_range_is_named(monkeypatch):
    """As by an engine that looks at no data, and as by one that looks at what is trained on."""
    labelled = OWN._replace(ranges={"label": Domain(0, 9, whole=True)})
    subject, run = testing.Subject(labelled, digits()), training.run
    promise = testing.PROMISES["data out of a range are refused"]
    promise(subject)
    monkeypatch.setattr(training, "run", lambda *args, **options: None)
    with pytest.raises(AssertionError, match="a label of -1 in training data is trained with"):
        promise(subject)
    others = {"validation": None, "test": None}
    monkeypatch.setattr(training, "run", lambda *args, **options: run(*args, **options | others))
    with pytest.raises(AssertionError, match="a label of -1 in validation data"):
        promise(subject)


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_each_end_of_a_domain_is_tried(value):
    assert value in promises._outside(POSITIVE)
    assert value not in POSITIVE


TRACES = itertools.count(1)


def counts_traces(key, state, batch, hparams):
    """A hidden state, so that every compilation is of another step."""
    after, info = step(key, state, batch, hparams)
    return {**after, "weights": after["weights"] + 1e-4 * next(TRACES)}, info


def breaks_at_seven(after, info):
    return {"loss": jnp.where(after["steps"] == 7, jnp.nan, info["loss"])}


def limited(key, state, batch, hparams):
    """A rate that should break its lane is lowered in silence."""
    rate = jnp.minimum(hparams["learning_rate"], 1e-3)
    return step(key, state, batch, {**hparams, "learning_rate": rate})


STILL = OWN._replace(step=lambda k, s, *x: (s, step(k, s, *x)[1]))
IMPURE = OWN._replace(step=counts_traces)
SWEPT = {
    "it learns": STILL,
    "a sweep is one compilation": with_info(breaks_at_seven),
    "a lane equals the same run alone": IMPURE,
    "backends agree": IMPURE,
    "a lane that breaks leaves its siblings untouched": OWN._replace(step=limited),
}


@functools.cache
def impure():
    """They share a sweep."""
    return testing.Subject(IMPURE, digits())


@pytest.mark.xdist_group("broken sweeps")
@pytest.mark.parametrize("promise", [name if name == "it learns" else rare(name) for name in SWEPT])
def test_a_promise_that_takes_sweeps_can_be_broken(promise):
    mutant = SWEPT[promise]
    subject = impure() if mutant is IMPURE else testing.Subject(mutant, digits())
    with pytest.raises(AssertionError):
        testing.FULL[promise](subject)


def test_there_is_a_mutant_for_every_promise():
    told = [promise for promise, _ in MUTANTS.values()]
    untold = {p for p in testing.PROMISES if not any(p.startswith(start) for start in told)}
    assert untold == {"values outside a domain are refused"}  # the engine's, tried below
    assert testing.FULL.keys() == SWEPT.keys()


def test_options_of_a_subject_are_used():
    """A number of a view alone is said to change no step; a score of ones own is lowered."""
    weighted = with_hparam("weight", 1.0, weight=POSITIVE)._replace(
        views=VIEWS._replace(predict=lambda s, b, h: h["weight"] * encode(s, b, h))
    )
    with pytest.raises(AssertionError, match="weight changes no step"):
        testing.check(weighted, digits())
    testing.check(weighted, digits(), no_step=("weight",))
    with pytest.raises(AssertionError, match="noise is said to change no step, but does"):
        testing.check(weighted, digits(), no_step=("weight", "noise"))
    with pytest.raises(AssertionError, match="idle changes nothing"):
        testing.check(with_hparam("idle", 1.0, idle=POSITIVE), digits(), no_step=("idle",))


def test_the_loss_of_a_batch_is_a_whole_sets():
    def method(values, conclude=None):
        return Method({}, None, None, lambda *_: values, conclude=conclude)

    values = {"loss": jnp.array([1.0, 2.0, 6.0])}
    assert testing.evaluated_loss(method(values), None, None, None, {}) == 3
    concluding = method(values, lambda values, present, hparams: {"loss": present.sum()})
    assert testing.evaluated_loss(concluding, None, None, None, {}) == 3
    with pytest.raises(InputError, match="give a score that learning lowers"):
        testing.evaluated_loss(method({"error": jnp.ones(3)}), None, None, None, {})
