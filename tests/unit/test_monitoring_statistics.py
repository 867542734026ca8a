import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ml.monitoring._columns import NumericColumn, ValueCounts
from ml.monitoring._statistics import chi_square, jensen_shannon, kolmogorov_smirnov, psi

pytestmark = pytest.mark.slow

counts = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any)


def column(values, edges=(0.0, 0.0), exact=True):
    return NumericColumn.empty(tuple(edges), exact=exact).count(pl.Series("x", np.asarray(values, dtype=float)))


def same_as_scipy(reference, live, rel=1e-12):
    want = stats.ks_2samp(reference, live)
    got = kolmogorov_smirnov(column(reference), column(live))
    assert got.exact
    assert got.statistic == pytest.approx(want.statistic, abs=1e-15)  # SciPy's own versions differ in the last bit
    assert got.p_value == pytest.approx(want.pvalue, rel=rel, abs=0)


small = st.lists(st.integers(-5, 5) | st.floats(-5, 5), min_size=1, max_size=60)


@given(small, small)
def test_ks_of_small_samples_is_scipys(reference, live):
    same_as_scipy(reference, live)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 50, 3000, 20_000]), st.floats(0, 0.5), st.booleans())
def test_ks_of_large_samples_is_scipys_ties_or_not(seed, rows, shift, has_ties):
    r = np.random.default_rng(seed)
    reference, live = r.normal(size=12_000), r.normal(shift, 1, rows)
    if has_ties:
        reference, live = reference.round(1), live.round(1)
    same_as_scipy(reference, live, rel=1e-8)


@pytest.mark.parametrize("rows", [1, 70_000])
@pytest.mark.parametrize("shift", [-9.0, 9.0])
def test_ks_of_samples_that_do_not_overlap_is_scipys(rows, shift):
    r = np.random.default_rng(4)
    same_as_scipy(r.normal(size=70_000), r.normal(size=rows) + shift)


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.02, 0.05, 0.1, 0.2])
def test_ks_in_the_tail_that_scipy_computes_slowly_is_scipys(shift):
    r = np.random.default_rng(7)
    same_as_scipy(r.normal(size=100_000), r.normal(shift, 1, 60_000), rel=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_ks_at_bin_edges_is_a_lower_bound_and_its_p_value_an_upper_one(seed):
    r = np.random.default_rng(seed)
    reference, live = r.normal(size=11_000), r.normal(0.05, 1, 4000)
    edges = np.quantile(reference, np.linspace(0, 1, 11))
    binned = kolmogorov_smirnov(column(reference, edges, exact=False), column(live, edges, exact=False))
    exact = stats.ks_2samp(reference, live)
    assert not binned.exact
    assert binned.statistic <= exact.statistic + 1e-12
    assert binned.p_value >= exact.pvalue * (1 - 1e-8)


def test_chi_square_is_scipys():
    table = np.array([[500, 300, 120, 80], [240, 170, 50, 40]])
    got, want = chi_square(*table), stats.chi2_contingency(table, correction=False)
    assert (got.statistic, got.p_value) == pytest.approx((want.statistic, want.pvalue), rel=1e-12)
    equal = np.array([[500, 300, 200], [450, 330, 220]])
    assert chi_square(*equal).cramers_v == pytest.approx(stats.contingency.association(equal, method="cramer"))


def test_cramers_v_does_not_shrink_when_a_day_is_compared_with_years():
    before, now = np.array([500, 500]), np.array([300, 700])
    small_window, large_reference = chi_square(before * 1000, now).cramers_v, chi_square(before, now).cramers_v
    assert small_window == pytest.approx(large_reference, rel=0.05)


@given(counts, st.data())
def test_any_table_gives_a_p_value_and_an_effect(reference, data):
    live = data.draw(st.lists(st.integers(0, 1000), min_size=len(reference), max_size=len(reference)).filter(any))
    result = chi_square(np.array(reference), np.array(live))
    assert 0 <= result.p_value <= 1
    assert np.isfinite([result.statistic, result.cramers_v]).all()


@pytest.mark.parametrize("window", [100, 1000, 20_000])
def test_without_drift_p_values_with_thin_bins_are_not_too_small(window):
    """Of 500 windows from the reference's own distribution, at most about 5 % have p < 0.05."""
    r = np.random.default_rng(8)
    shares = np.array([0.5, 0.3, 0.15, 0.03, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0005, 0.001])
    p_values = [chi_square(r.multinomial(50_000, shares), r.multinomial(window, shares)).p_value for _ in range(500)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.07


def test_a_bin_that_is_new_in_a_small_window_is_not_pooled_away():
    assert chi_square(np.array([100_000, 0]), np.array([0, 100])).p_value < 1e-200
    assert chi_square(np.array([1500, 98_500, 0]), np.array([0, 0, 100])).p_value < 1e-100
    assert chi_square(np.array([60_000, 40_000, 0]), np.array([576, 394, 30])).p_value < 1e-10


def test_two_tests_of_one_table_count_twice():
    """Bonferroni: the thin bins together by Fisher, the others by chi-square, twice the smaller p-value of both."""
    reference, live = np.array([40_000, 30_000, 2, 1]), np.array([420, 280, 3, 2])
    thin = np.array([[3, 70_000], [5, 700]])
    others = np.array([reference[:2], live[:2]])
    p_values = stats.fisher_exact(thin).pvalue, stats.chi2_contingency(others, correction=False).pvalue
    assert chi_square(reference, live).p_value == pytest.approx(2 * min(p_values), rel=1e-9)
    alike = np.array([[40_000, 30_000, 100], [400, 300, 1]])
    assert chi_square(*alike).p_value == 1.0


def test_two_thin_bins_are_tested_by_fisher():
    table = np.array([[300, 2], [200, 4]])
    assert chi_square(*table).p_value == stats.fisher_exact(table).pvalue


@given(counts, st.data())
def test_distances_are_zero_of_itself_symmetric_and_bounded(reference, data):
    live = data.draw(st.lists(st.integers(0, 1000), min_size=len(reference), max_size=len(reference)).filter(any))
    p, q = np.array(reference), np.array(live)
    assert psi(p, p) == 0
    assert jensen_shannon(p, 3 * p) == pytest.approx(0, abs=1e-7)
    assert psi(p, q) == pytest.approx(psi(q, p))
    assert psi(p, q) >= 0
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(q / q.sum(), p / p.sum(), base=2), abs=1e-7)
    assert 0 <= jensen_shannon(p, q) <= 1


def test_psi_is_the_textbooks_and_finite_for_an_empty_bin():
    p, q = np.array([50, 30, 20]), np.array([40, 30, 30])
    assert psi(p, q) == pytest.approx(0.1 * np.log(50 / 40) + 0.1 * np.log(30 / 20))
    assert np.isfinite(psi(np.array([10, 0]), np.array([0, 10])))


def test_value_counts_of_two_runs_merge_into_sorted_ones():
    a, b = ValueCounts.of(np.array([3.0, 1.0, 3.0])), ValueCounts.of(np.array([2.0, 3.0]))
    merged = a.merge(b)
    assert (merged.values.tolist(), merged.counts.tolist()) == ([1.0, 2.0, 3.0], [1, 1, 3])
    assert merged.repeated().tolist() == [1, 2, 3, 3, 3]
