"""Vectors laid out on a plane by t-SNE (van der Maaten and Hinton 2008), by scikit-learn where it is installed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import Missing

_PERPLEXITY = 30.0  # about how many neighbours count; fewer points than three times as many have fewer
_EXAGGERATION = 12.0  # of near pairs at the beginning; the step is the points by this (Belkina et al. 2019)
_FEWEST = 4


def perplexity(count: int) -> float:
    """Of so many points. Raises Missing for fewer than four, between which nothing is near or far."""
    if count < _FEWEST:
        raise Missing(f"t-SNE of {count} people: {_FEWEST} or more in the split")
    return min(_PERPLEXITY, (count - 1) / 3)


def placed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (n, d) as points (n, 2), the same for the same rows. Raises Missing without scikit-learn."""
    manifold, limits = libraries()
    step = max(len(vectors) / _EXAGGERATION, 1.0)  # scikit-learn's own is 50 or more, which scatters a few dozen points
    method = manifold.TSNE(
        perplexity=perplexity(len(vectors)),
        early_exaggeration=_EXAGGERATION,
        learning_rate=step,
        init="pca",
        random_state=0,
    )
    with limits(1):  # sums over several threads come in any order
        points: NDArray[np.float64] = method.fit_transform(vectors).astype(np.float64)
    return points


def libraries() -> tuple[Any, Any]:
    """scikit-learn's layouts, and how threads are limited. Raises Missing naming the command that installs them."""
    try:
        from sklearn import manifold  # type: ignore[import-untyped]
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn depends on it
    except ImportError as error:
        raise Missing(f"{error}: t-SNE is scikit-learn's: pip install scikit-learn") from error
    return manifold, threadpool_limits
