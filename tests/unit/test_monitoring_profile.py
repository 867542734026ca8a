import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml.errors import InputRefused
from ml.monitoring.profile import (
    CategoricalColumn,
    CategoricalSpec,
    NumericColumn,
    NumericSpec,
    Profile,
    merge,
    reference_profile,
)
from ml.problem import load_problem

pytestmark = pytest.mark.slow

SPECS = [NumericSpec("binned"), NumericSpec("exact", exact=True), CategoricalSpec("code", (1, 2, 3))]
REFERENCE = pl.DataFrame(
    {
        "binned": np.random.default_rng(1).normal(size=500),
        "exact": np.random.default_rng(2).integers(0, 9, 500),
        "code": np.random.default_rng(3).integers(1, 4, 500),
    }
)
LAYOUT = Profile.layout(REFERENCE, SPECS)

rows = st.lists(
    st.tuples(
        st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]),
        st.none() | st.integers(-5, 20),
        st.none() | st.integers(-1, 6),
    ),
    max_size=40,
)


def table(values: list[tuple[float | None, int | None, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(values, schema={"binned": pl.Float64, "exact": pl.Int16, "code": pl.Int8}, orient="row")


def numeric(profile: Profile, name: str) -> NumericColumn:
    column = profile.columns[name]
    assert isinstance(column, NumericColumn)
    return column


def assert_same(a: Profile, b: Profile) -> None:
    """Counts to the last one; mean and variance up to the rounding of their sums."""
    assert a.rows == b.rows
    assert list(a.columns) == list(b.columns)
    for name, column in a.columns.items():
        other = b.columns[name]
        if isinstance(column, CategoricalColumn):
            assert column == other
            continue
        assert isinstance(other, NumericColumn)
        assert (column.bins, column.missing, column.values) == (other.bins, other.missing, other.values)
        x, y = column.moments, other.moments
        assert (x.count, x.minimum, x.maximum) == (y.count, y.minimum, y.maximum)
        if x.count:
            assert x.mean == pytest.approx(y.mean, rel=1e-9, abs=1e-6)
            assert x.m2 == pytest.approx(y.m2, rel=1e-9, abs=1e-3)  # of values up to 1e6


@given(rows, rows)
def test_partitions_add_up_to_the_whole(a, b):
    parts = merge(Profile.of(table(a), LAYOUT), Profile.of(table(b), LAYOUT))
    assert_same(parts, Profile.of(table(a + b), LAYOUT))


@given(rows, rows)
@example([(0.0, None, None)] * 3, [(0.0, None, None)] * 5 + [(-883043.0, None, None), (-596562.0, None, None)])
def test_merge_is_commutative(a, b):
    p, q = Profile.of(table(a), LAYOUT), Profile.of(table(b), LAYOUT)
    assert merge(p, q) == merge(q, p)


@given(rows, rows, rows)
def test_merge_is_associative(a, b, c):
    p, q, r = (Profile.of(table(part), LAYOUT) for part in (a, b, c))
    assert_same(merge(merge(p, q), r), merge(p, merge(q, r)))


@given(rows)
def test_the_empty_profile_is_neutral(a):
    profile = Profile.of(table(a), LAYOUT)
    assert merge(profile, profile.empty()) == profile == merge(LAYOUT, profile)


@given(rows)
def test_every_row_is_counted_once_in_each_column(a):
    profile = Profile.of(table(a), LAYOUT)
    assert profile.rows == len(a)
    assert all(column.frequencies.sum() == len(a) for column in profile.columns.values())


@given(rows)
def test_json_gives_back_the_same_profile(a):
    profile = Profile.of(table(a), LAYOUT)
    assert Profile.from_json(profile.to_json()) == profile
    assert Profile.from_json(profile.to_json()).to_json() == profile.to_json()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_at_the_end_of_the_float_range_survive_json(values):
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    layout = Profile.layout(frame, [NumericSpec("x", exact=True)])
    profile = merge(Profile.of(frame, layout), Profile.of(frame, layout))
    assert Profile.from_json(profile.to_json()) == profile


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200), st.lists(st.floats(-200, 200), max_size=200))
def test_bins_are_what_their_edges_say(reference, live):
    frame = pl.DataFrame({"x": reference}, schema={"x": pl.Float64})
    layout = Profile.layout(frame, [NumericSpec("x")])
    edges = numeric(layout, "x").edges
    counted = numeric(Profile.of(pl.DataFrame({"x": live}, schema={"x": pl.Float64}), layout), "x")
    expected = [sum(v < edges[0] for v in live)]
    expected += [sum(a <= v < b for v in live) for a, b in itertools.pairwise(edges[:-1])]
    expected += [sum(edges[-2] <= v <= edges[-1] for v in live), sum(v > edges[-1] for v in live)]
    assert list(counted.bins) == expected
    own = numeric(Profile.of(frame, layout), "x")
    assert own.bins[0] == own.bins[-1] == 0, "the reference lies within its own edges"


def test_moments_are_numpys():
    x = np.random.default_rng(5).normal(1e6, 3, 10_000)  # a mean far from 0 shows cancellation
    layout = Profile.layout(pl.DataFrame({"x": x}), [NumericSpec("x")])
    parts = [Profile.of(pl.DataFrame({"x": part}), layout) for part in np.array_split(x, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merge(merged, part)
    moments = numeric(merged, "x").moments
    assert moments.mean == pytest.approx(x.mean(), rel=1e-13)
    assert moments.standard_deviation == pytest.approx(x.std(), rel=1e-9)
    assert (moments.minimum, moments.maximum) == (x.min(), x.max())


def test_a_lazy_scan_in_batches_gives_the_same_profile(tmp_path):
    r = np.random.default_rng(6)
    frame = pl.DataFrame(
        {"binned": r.normal(size=300_000), "exact": r.integers(0, 9, 300_000), "code": r.integers(0, 5, 300_000)}
    )
    frame.write_parquet(tmp_path / "live.parquet")
    assert_same(Profile.of(pl.scan_parquet(tmp_path / "live.parquet"), LAYOUT), Profile.of(frame, LAYOUT))


def test_null_nan_and_infinity_are_missing():
    profile = Profile.of(table([(None, None, None), (math.nan, 3, 1), (math.inf, 3, 9), (0.0, 3, 9)]), LAYOUT)
    assert numeric(profile, "binned").missing == 3
    assert numeric(profile, "binned").moments.maximum == 0.0
    code = profile.columns["code"]
    assert isinstance(code, CategoricalColumn)
    assert (code.counts, code.unknown, code.missing) == ((1, 0, 0), 2, 1)


@pytest.mark.parametrize("dtype", [pl.Null, pl.Float64, pl.Int8, pl.Boolean])
def test_an_all_null_live_column_of_any_type_is_all_missing(dtype):
    frame = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name in ("binned", "exact", "code")})
    profile = Profile.of(frame, LAYOUT)
    assert [column.missing for column in profile.columns.values()] == [2, 2, 2]
    assert Profile.from_json(profile.to_json()) == profile


def test_codes_that_pandas_made_floats_are_the_same_codes_and_what_lies_between_is_unknown():
    layout = Profile.layout(pl.DataFrame({"code": [1, 2]}), [CategoricalSpec("code", (1, 2))])
    column = Profile.of(pl.DataFrame({"code": [1.0, 2.0, 1.5, math.nan]}), layout).columns["code"]
    assert isinstance(column, CategoricalColumn)
    assert (column.counts, column.unknown, column.missing) == ((1, 1), 1, 1)


def test_a_constant_column_has_a_bin_below_of_and_above_its_value():
    layout = Profile.layout(pl.DataFrame({"x": [7.0] * 50}), [NumericSpec("x")])
    assert numeric(Profile.of(pl.DataFrame({"x": [6.9, 7.0, 7.0, 7.1]}), layout), "x").bins == (1, 2, 1)


def test_a_value_that_most_rows_have_gets_a_bin_of_its_own():
    reference = pl.DataFrame({"x": [0.0] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0]})
    layout = Profile.layout(reference, [NumericSpec("x")])
    before, after = (
        numeric(Profile.of(frame, layout), "x").bins for frame in (reference, pl.DataFrame({"x": [0.5] * 100}))
    )
    assert 95 in before
    assert after[before.index(95)] == 0, "half-way up is not zero"


def test_a_reference_without_values_still_counts_what_comes():
    layout = Profile.layout(pl.DataFrame({"x": pl.Series([None], dtype=pl.Float64)}), [NumericSpec("x")])
    column = numeric(Profile.of(pl.DataFrame({"x": [1.0, None]}), layout), "x")
    assert (column.edges, column.bins, column.missing) == ((), (1,), 1)


def test_the_problems_reference_profile_is_small_and_covers_features_and_score():
    problem = load_problem()
    frame = pl.read_parquet("tests/reference/data/2015.parquet")
    frame = frame.with_columns(score=np.random.default_rng(0).uniform(size=frame.height))
    profile = reference_profile(frame, problem, "score")
    assert list(profile.columns) == [*problem.feature_names, "score"]
    assert profile.rows == frame.height
    assert len(profile.to_json()) < 10_000
    ages = numeric(profile, "AGEP").values
    assert ages is not None
    assert dict(zip(ages.values.tolist(), ages.counts.tolist(), strict=True)) == dict(
        frame["AGEP"].value_counts().rows()
    )


def test_columns_that_are_missing_are_named():
    with pytest.raises(InputRefused, match=r"lacks 2 columns.*binned, code"):
        Profile.of(pl.DataFrame({"exact": [1]}), LAYOUT)
    with pytest.raises(InputRefused, match=r"lacks 2 columns.*binned, code"):
        Profile.of(pl.LazyFrame({"exact": [1]}), LAYOUT)
    with pytest.raises(InputRefused, match=r"lacks 1 columns.*exact"):
        Profile.layout(REFERENCE.drop("exact"), SPECS)


def test_text_where_numbers_are_profiled_is_refused_by_name():
    with pytest.raises(InputRefused, match="Column code holds String"):
        Profile.of(REFERENCE.with_columns(code=pl.lit("married")), LAYOUT)


def test_profiles_that_were_counted_differently_do_not_merge():
    profile = Profile.of(REFERENCE, LAYOUT)
    shifted = Profile.layout(REFERENCE.with_columns(pl.col("binned") + 1), SPECS)
    with pytest.raises(InputRefused, match="column binned don't merge"):
        merge(profile, shifted)
    with pytest.raises(InputRefused, match="different columns don't merge: code"):
        merge(profile, Profile.layout(REFERENCE, SPECS[:2]))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"rows":500', b'"rows":"many"'), (b'"counts":[', b'"counts":[1,'), (b'"bins":[', b'"bins":[1,'), (b"}", b"")],
)
def test_a_damaged_profile_is_refused_not_misread(old, new):
    data = Profile.of(REFERENCE, LAYOUT).to_json()
    assert old in data
    with pytest.raises(InputRefused, match="reference profile can't be read"):
        Profile.from_json(data.replace(old, new, 1))
