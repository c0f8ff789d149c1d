"""The kernel is one, and the likelihood is that of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from knobctl.search.process import LENGTHS, SIGNALS, Comparison, Correlations, best_fit, evidences, whiten

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("atoms", [0, 1, 2, 40])
def test_correlations_are_those_of_something_with_any_number_of_atoms(length: float, atoms: int) -> None:
    axis = np.concatenate([np.linspace(0.0, 1.0, 80), 2.0 + np.arange(atoms)])[:, None]
    found = Correlations(axis, axis).of({0: length})
    assert np.diag(found) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(found).min() > -1e-9


@pytest.mark.parametrize("count", [2, 3, 40])
def test_the_evidence_is_the_density_of_the_gains(count: int) -> None:
    points, gains = RANDOM.random((count, 3)), RANDOM.standard_normal(count)
    correlation = Correlations(points, points).of({0: 0.4, 2: 1.0})
    rest = 0.1 * np.eye(count) + 0.3
    densities = [
        multivariate_normal(cov=rest + signal * correlation).logpdf(gains) + 0.5 * count * np.log(2.0 * np.pi)
        for signal in SIGNALS
    ]
    assert evidences(correlation, whiten(rest, gains), np.array(SIGNALS)) == pytest.approx(np.array(densities))
    best, signal = best_fit({0: 0.4, 2: 1.0}, Correlations(points, points), whiten(rest, gains), 1.0)
    assert (best, signal) == (pytest.approx(max(densities)), SIGNALS[int(np.argmax(densities))])


def test_a_comparison_is_what_the_covariances_say() -> None:
    points, coordinates, reference = RANDOM.random((9, 2)), RANDOM.random((4, 2)), RANDOM.random((1, 2))
    gains, lengths, signal = RANDOM.standard_normal(9), {0: 0.4, 1: 1.0}, 0.7
    everything = np.concatenate([points, coordinates, reference])
    effects = signal * Correlations(everything, everything).of(lengths)
    inverse = np.linalg.inv(effects[:9, :9] + 0.1 * np.eye(9))
    contrast = np.concatenate([np.eye(4), -np.ones((4, 1))], axis=1)
    known = contrast @ effects[9:, :9]
    means, variances = Comparison(points, coordinates, reference).posterior(lengths, signal, inverse @ gains, inverse)
    assert means == pytest.approx(known @ inverse @ gains)
    assert variances == pytest.approx(np.diag(contrast @ effects[9:, 9:] @ contrast.T - known @ inverse @ known.T))
