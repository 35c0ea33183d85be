"""What is said of classifiers with few labels."""

from ae_jax import experiment


def row(lane, way, seed, accuracy, rate=0.1):
    return {
        "lane": lane,
        "way": way,
        "labels": 100,
        "learning_rate": rate,
        "seed": seed,
        "status": "ok",
        "accuracy": accuracy,
    }


def test_gains_are_of_the_same_labels_and_in_words():
    rows = [
        row(0, "from scratch", 0, 80.0),
        row(1, "from scratch", 1, 70.0),
        row(2, "pre-trained", 0, 83.0),
        row(3, "pre-trained", 1, 75.0),
    ]
    (said,) = experiment.accuracy_gains(rows, "way", "from scratch")
    # gains of 3 and 5 points: mean 4, deviation sqrt(2)
    assert said == (
        "With 100 labels, pre-trained: 4.0 ± 1.4 percentage points of accuracy over from "
        "scratch (2 seeds, each with the same labels)."
    )
    both = [*rows, row(4, "from scratch", 0, 60.0, 0.2), row(5, "pre-trained", 0, 61.0, 0.2)]
    said = experiment.accuracy_gains(both, "way", "from scratch", ("learning_rate",))
    assert [line.split(":")[0] for line in said] == [
        "With 100 labels, pre-trained, learning rate 0.1",
        "With 100 labels, pre-trained, learning rate 0.2",
    ]
    (figure,) = experiment.accuracy_curves(both, "way", ("learning_rate",)).values()
    assert len(figure.axes[0].lines) >= 4
