"""What is mapped, what maps keep of it, and its planes, against plain NumPy and scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse.csgraph import floyd_warshall
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.manifold import TSNE, Isomap, LocallyLinearEmbedding

from ae_jax import data, experiment, metrics
from ae_jax.core import InputError, Views
from ae_jax.experiment import maps

CONFIG = experiment.Config()
DRAWN = np.random.default_rng(0)
NEAR = 4
#: A bent strip, of which a class has one member.
STRIP = DRAWN.uniform(-1, 1, (40, 2))
TRAIN = maps.Points(
    np.column_stack([STRIP, STRIP[:, 0] ** 2, 0 * STRIP[:, 0]]), np.repeat([0, 1, 2], [20, 19, 1])
)
TEST = maps.Points(DRAWN.uniform(-1, 1, (12, 4)), np.repeat([0, 1], 6))


@pytest.fixture
def own(monkeypatch):
    """Has `load` give some points or images, of which the last ones are the test split."""

    def prepare(x, label=None, test=50):
        label = None if label is None else np.asarray(label, int)
        whole = data.stored(np.asarray(x, np.float32), label)
        parts = {name: data.subset(whole, slice(-test, None)) for name in ("test", "validation")}
        parts["train"] = data.subset(whole, slice(0, -test))
        monkeypatch.setattr(data, "load", lambda name, split, **_: parts[split])

    return prepare


def nearest(queries, points, count):
    return np.argsort(cdist(queries, points), axis=1, kind="stable")[:, :count]


def test_points_are_chosen_at_random_centred_and_scaled_by_one_number(own):
    x = np.arange(300.0)[:, None] * [1.0, -2.0, 3.0]
    own(x, np.arange(300) // 30)  # sorted by their class, as data of one's own often are
    train, test = maps.points(CONFIG, "own", 100, 20, NEAR)
    places = [np.random.RandomState(0).permutation(n)[:m] for n, m in ((250, 100), (50, 20))]
    chosen = x[places[0]]
    mean, scale = chosen.mean(axis=0), chosen.std()
    np.testing.assert_allclose(train.x, (chosen - mean) / scale, atol=1e-5)
    np.testing.assert_allclose(test.x, (x[250:][places[1]] - mean) / scale, atol=1e-5)
    np.testing.assert_array_equal(train.label, places[0] // 30)
    np.testing.assert_array_equal(test.label, (250 + places[1]) // 30)
    assert train.planes is None


def test_images_stay_as_they_are(own):
    x = DRAWN.uniform(0.2, 0.8, (60, 3, 3, 1)).astype(np.float32)
    own(x, np.arange(60) % 2)
    train, test = maps.points(CONFIG, "own", 60, 60, 2)
    assert (len(train.x), len(test.x)) == (10, 50)  # all that there are
    place = np.random.RandomState(0).permutation(10)
    np.testing.assert_array_equal(train.x, x[place])


def test_surfaces_have_tenths_and_planes():
    train, test = maps.points(CONFIG, "swiss_roll3d", 120, 30, NEAR)
    np.testing.assert_array_equal(np.bincount(train.label), 12)
    assert set(test.label) <= set(range(10))
    assert len(set(test.label)) > 3
    split = data.load("swiss_roll3d")
    chosen = np.random.RandomState(0).permutation(split.size)[:120]
    angle = np.asarray(split.fetch(split.arrays, chosen)["coordinates"], np.float64)[:, 0]
    np.testing.assert_array_equal(train.label, np.argsort(np.argsort(angle)) // 12)
    angle = angle[:100]
    along = np.stack(
        [np.cos(angle) - angle * np.sin(angle), 0 * angle, np.sin(angle) + angle * np.cos(angle)], 1
    )
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    true = np.stack([along, np.broadcast_to([0.0, 1, 0], along.shape)], axis=2)
    assert train.planes.shape == true.shape
    assert maps.angle(train.planes, true) < 0.01


LINE = np.arange(60.0)[:, None] * [1.0, 2.0, 3.0]
TWO = np.arange(60) % 2


@pytest.mark.parametrize(
    ("x", "label", "neighbours", "words"),
    [
        (LINE, None, 3, "own has neither classes nor coordinates: choose another"),
        (LINE[:, :2], TWO, 3, "own is in a plane already: choose another"),
        (0 * LINE, TWO, 3, "of own are all the same: there is nothing to map"),
        (LINE, 0 * TWO, 3, "own has one class, 0: give at least two"),
        (LINE, TWO, 4, "8 points of own are too few to judge 4 neighbours: take fewer"),
        (LINE[:55], TWO[:55], 1, "5 points of own are too few to judge 1"),
    ],
)
def test_what_cannot_be_mapped_is_refused(x, label, neighbours, words, own):
    own(x, label)
    with pytest.raises(InputError, match=words):
        maps.points(CONFIG, "own", 40, 8, neighbours)


def test_classical_maps_are_those_of_scikit_learn():
    found = maps.classical(TRAIN, TEST, NEAR, perplexity=6.0)
    assert [*found] == ["data", "PCA", "Isomap", "LLE", "t-SNE"]
    np.testing.assert_array_equal(found["data"][0], TRAIN.x)
    np.testing.assert_array_equal(found["data"][1], TEST.x)
    mean = TRAIN.x.mean(axis=0)
    basis = np.linalg.svd(TRAIN.x - mean)[2][:2]
    for own, x in zip(found["PCA"], (TRAIN.x, TEST.x), strict=True):
        np.testing.assert_allclose(np.abs(own), np.abs((x - mean) @ basis.T), atol=1e-9)
    theirs = {
        "Isomap": Isomap(n_neighbors=NEAR),
        "LLE": LocallyLinearEmbedding(n_neighbors=NEAR, method="modified", random_state=0),
    }
    for name, own in theirs.items():
        np.testing.assert_allclose(found[name][0], own.fit_transform(TRAIN.x), atol=1e-6)
        np.testing.assert_allclose(found[name][1], own.transform(TEST.x), atol=1e-6)
    own = TSNE(perplexity=6.0, init="pca", random_state=0).fit_transform(TRAIN.x)
    np.testing.assert_allclose(found["t-SNE"][0], own, rtol=1e-5)
    assert found["t-SNE"][1] is None


def test_what_a_map_keeps():
    y, new = TRAIN.x[:, :2] * [1.0, 0.3], TEST.x[:, 1:3]
    found = maps.kept(TRAIN, TEST, y, new, NEAR)

    def trust(x, mapped):
        count = len(x)
        own, other = cdist(x, x), cdist(mapped, mapped)
        for distances in (own, other):
            np.fill_diagonal(distances, -1)
        rank = np.argsort(np.argsort(own, axis=1), axis=1)
        near = np.argsort(other, axis=1)[:, 1 : NEAR + 1]
        lost = np.maximum(np.take_along_axis(rank, near, axis=1) - NEAR, 0).sum()
        return 1 - 2 * lost / (count * NEAR * (2 * count - 3 * NEAR - 1))

    apart = cdist(y, y)
    np.fill_diagonal(apart, np.inf)  # no vote for itself
    votes = TRAIN.label[np.argsort(apart, axis=1)[:, :5]]
    told = [np.bincount(vote).argmax() for vote in votes]
    graph = cdist(TRAIN.x, TRAIN.x)
    joined = np.zeros(graph.shape, bool)
    np.put_along_axis(joined, nearest(TRAIN.x, TRAIN.x, NEAR + 1), True, axis=1)
    paths = floyd_warshall(np.where(joined | joined.T, graph, np.inf))
    pairs = np.triu_indices(len(graph), 1)
    new_told = [np.bincount(v).argmax() for v in TRAIN.label[nearest(new, y, 5)]]
    expected = {
        "trust": trust(TRAIN.x, y),
        "continuity": trust(y, TRAIN.x),
        "knn": np.mean(told == TRAIN.label),
        "distances": spearmanr(paths[pairs], cdist(y, y)[pairs]).statistic,
        "new_trust": trust(TEST.x, new),
        "new_knn": np.mean(new_told == TEST.label),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert found["trust"] < 1 > found["new_trust"]


def test_maps_without_new_points_and_data_that_fall_apart():
    apart = TRAIN._replace(x=TRAIN.x + 50 * (TRAIN.label[:, None] == 1))
    found = maps.kept(apart, TEST, apart.x, None, NEAR)
    assert found.keys() == {"trust", "continuity", "knn"}
    assert found["trust"] == found["continuity"] == 1
    assert found["knn"] == 39 / 40  # all but the class of one
    assert maps.classical(apart, TEST, NEAR, 6.0).keys() == {
        "data",
        *("PCA", "Isomap", "LLE", "t-SNE"),
    }


TURN = np.linalg.qr(DRAWN.normal(size=(5, 5)))[0]


def test_planes_of_neighbours_of_what_is_flat():
    x = STRIP @ TURN[:, :2].T + 3
    tilted = np.stack([TURN[:, 0], np.cos(0.5) * TURN[:, 1] + np.sin(0.5) * TURN[:, 2]], axis=1)
    points = maps.Points(x, TRAIN.label, np.broadcast_to(tilted, (7, 5, 2)))
    planes = maps.neighbour_planes(points, NEAR)
    assert planes.shape == (7, 5, 2)
    assert maps.angle(planes, points.planes) == pytest.approx(np.degrees(0.5))
    assert maps.angle(planes, points.planes[..., :1]) == pytest.approx(0, abs=1e-5)


def test_planes_and_codes_of_a_linear_model():
    encoder, decoder = TURN[:, :3] * [3.0, 2, 1], TURN[:, 1:4] * [1.0, 3, 2]

    def encode(state, batch, hparams):
        return hparams["gain"] * (batch["image"] @ state["encoder"])

    def decode(state, latent, hparams):
        return latent @ state["decoder"].T

    state = {"encoder": encoder.astype(np.float32), "decoder": decoder.astype(np.float32)}
    views = Views(encode=encode, decode=decode)
    model = SimpleNamespace(
        method=SimpleNamespace(views=views), state=state, hparams={"gain": np.float32(2)}
    )
    x = DRAWN.normal(size=(6, 5)).astype(np.float32)
    latent = maps.codes(model, x)
    np.testing.assert_allclose(latent, 2 * x @ encoder, rtol=1e-5)
    for size in (1, 2):
        true = np.broadcast_to(TURN[:, :size], (4, 5, size))
        found = maps.model_planes(model, maps.Points(x, np.zeros(6), true), latent)
        assert {name: planes.shape for name, planes in found.items()} == dict.fromkeys(
            ("encoder", "decoder"), (4, 5, size)
        )
        assert maps.angle(found["encoder"], true) == pytest.approx(0, abs=0.01)
        own = np.broadcast_to(TURN[:, [2, 3]][:, :size], (4, 5, size))
        assert maps.angle(found["decoder"], own) == pytest.approx(0, abs=0.01)
    model.method.views = Views(encode=encode)
    one = latent[:, :1]  # a plane of fewer dimensions than the surface
    found = maps.model_planes(model, maps.Points(x, np.zeros(6), true), one)
    assert {name: planes.shape for name, planes in found.items()} == {"encoder": (4, 5, 1)}


def test_dimensions():
    assert maps.dimension(STRIP, NEAR) == {"dimension": metrics.intrinsic_dimension(STRIP, NEAR)}
    assert maps.dimension(np.repeat(STRIP, 2, axis=0), NEAR) == {}

    found = maps.dimensions("discs1", 400, 10)
    assert [*found] == ["true", "estimate", "TwoNN", "hard-edged estimate", "hard-edged TwoNN"]
    soft = data.all_images(data.subset(data.load("discs1"), slice(0, 400))).reshape(400, -1)
    hard = np.unique(soft > 0.5, axis=0)
    assert len(hard) < 400
    assert found["true"] == 1
    assert found["estimate"] == pytest.approx(metrics.intrinsic_dimension(soft, 10), rel=1e-6)
    assert found["TwoNN"] == pytest.approx(metrics.two_nn_dimension(soft), rel=1e-5)
    assert found["hard-edged estimate"] == pytest.approx(metrics.intrinsic_dimension(hard, 10))
    assert found["hard-edged TwoNN"] == pytest.approx(metrics.two_nn_dimension(hard))
    assert abs(found["estimate"] - 1) < 0.1
    assert found["hard-edged estimate"] > 1.5

    count = len(np.unique(soft[:60] > 0.5, axis=0))
    few = maps.dimensions("discs1", 60, count)
    assert [*few] == ["true", "estimate", "TwoNN"]  # copies leave no more than the neighbours
    assert [*maps.dimensions("sphere:2in4", 30, 5)] == ["true", "estimate", "TwoNN"]
    with pytest.raises(InputError, match="unknown manifold 'wrong'"):
        maps.dimensions("wrong", 30, 5)


def test_which_map_keeps_most_and_which_loses():
    given = [
        ("a", "data", 0, 1.0, 1.0),  # no map
        ("a", "PCA", 0, 0.9, 0.8),
        ("a", "own", 0, 0.9, 0.9),
        ("a", "own", 1, 0.7, 0.9),
        ("a", "lost", 0, np.nan, np.nan),
        ("b", "t-SNE", 0, 0.9, None),
        ("b", "own", 0, 0.95, 0.5),
    ]
    names = ("dataset", "map", "seed", "trust", "new_trust")
    rows = [{**dict(zip(names, row, strict=True)), "status": "ok"} for row in given]
    assert maps.compared(rows, ["own", "lost"]) == [
        "trust of a: most by PCA, 0.900; own -0.100.",
        "new_trust of a: most by own, 0.900.",
        "trust of b: most by own, 0.950.",
        "new_trust of b: most by own, 0.500.",
    ]
