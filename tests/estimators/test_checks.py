"""scikit-learn's own checks of an estimator: a few by default, all with --full."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from ae_jax.estimators import AnomalyDetector, DeepClustering

ESTIMATORS = [
    AnomalyDetector(steps=20, widths=(8,), latent_size=1),
    DeepClustering(pretraining_steps=20, steps=20, refresh_every=10, widths=(8,), n_init=1),
]

#: Those that train nothing, or hardly anything.
QUICK = {
    "check_complex_data",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_array",
    "check_estimator_tags_renamed",
    "check_fit_check_is_fitted",
    "check_no_attributes_set_in_init",
    "check_set_params",
}


def name_of(check):
    return check.func.__name__


CASES = [
    pytest.param(
        estimator,
        check,
        marks=[] if name_of(check) in QUICK else [pytest.mark.full],
        id=f"{type(estimator).__name__}-{name_of(check)}",
    )
    for each in ESTIMATORS
    for estimator, check in estimator_checks_generator(each)
]


@pytest.mark.filterwarnings("ignore:.*held-out rows are too few:UserWarning")
@pytest.mark.parametrize(("estimator", "check"), CASES)
def test_scikit_learn_finds_what_it_expects(estimator, check):
    check(estimator)
