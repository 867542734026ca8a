"""The population and its split: no row lost or doubled, no feature row on either side, the same every time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.clean import clean
from ml.data.conditions import meets
from ml.data.quality import DataRefused
from ml.data.split import split
from ml.errors import InputRefused
from ml.problem import Condition, load_problem
from tests.conftest import REFERENCE

PROBLEM = load_problem()
RAW = pd.read_parquet(REFERENCE / "data" / "2015.parquet")
TARGET = PROBLEM.target.column


def feature_rows(frame: pd.DataFrame) -> set[tuple[int, ...]]:
    return set(frame[PROBLEM.feature_names].itertuples(index=False, name=None))


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 400),
    kinds=st.integers(1, 400),
    positives=st.floats(0, 1),
    fraction=st.floats(0.05, 0.45),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_row_is_lost_or_doubled_and_no_feature_row_straddles(
    rows: int, kinds: int, positives: float, fraction: float, seed: int
) -> None:
    problem = PROBLEM.model_copy(
        update={"split": PROBLEM.split.model_copy(update={"validation_fraction": fraction, "seed": seed})}
    )
    random = np.random.default_rng(seed)
    frame = RAW.iloc[random.integers(0, kinds, rows)].assign(id=np.arange(rows))
    frame[TARGET] = (random.random(rows) < positives).astype("int8")
    try:
        train, validation = split(problem, frame)
    except InputRefused:
        return  # too few rows for both outcomes on both sides
    both = pd.concat([train, validation]).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(both, frame.reset_index(drop=True))
    assert not feature_rows(train) & feature_rows(validation)
    groups = len(feature_rows(frame))
    assert abs(len(feature_rows(validation)) - fraction * groups) <= 1


def test_rows_that_are_all_alike_cannot_be_split() -> None:
    frame = RAW.iloc[[0] * 50].assign(employed=[0, 1] * 25)
    with pytest.raises(InputRefused, match=r"50 rows are too few to split.*'employed'"):
        split(PROBLEM, frame)


def test_the_split_of_the_real_data_keeps_size_and_balance() -> None:
    frame = clean(PROBLEM, RAW)
    train, validation = split(PROBLEM, frame)
    assert len(validation) / len(frame) == pytest.approx(PROBLEM.split.validation_fraction, abs=0.005)
    assert validation[TARGET].mean() == pytest.approx(train[TARGET].mean(), abs=0.005)
    assert not feature_rows(train) & feature_rows(validation)
    assert train["id"].is_monotonic_increasing


def test_the_split_depends_on_the_rows_and_the_seed_alone() -> None:
    frame = clean(PROBLEM, RAW.head(5000))
    held_out = set(split(PROBLEM, frame)[1]["id"])
    assert set(split(PROBLEM, frame.sample(frac=1, random_state=1))[1]["id"]) == held_out
    other = PROBLEM.model_copy(update={"split": PROBLEM.split.model_copy(update={"seed": PROBLEM.split.seed + 1})})
    assert set(split(other, frame)[1]["id"]) != held_out


def test_cleaning_keeps_the_population_in_order_and_its_types() -> None:
    shuffled = RAW.sample(frac=1, random_state=3)
    cleaned = clean(PROBLEM, shuffled)
    pd.testing.assert_frame_equal(cleaned, RAW[RAW["AGEP"].between(17, 89)].reset_index(drop=True))
    pd.testing.assert_frame_equal(clean(PROBLEM, cleaned), cleaned)
    assert len(shuffled) == len(RAW)


def test_data_without_anyone_of_the_population_is_refused() -> None:
    with pytest.raises(DataRefused, match="0 rows"):
        clean(PROBLEM, RAW[RAW["AGEP"] < 10])


def test_every_bound_of_a_condition_counts_and_a_null_meets_none() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, np.nan], "b": [1, 2, 2, 2]})
    conditions = (Condition(column="a", at_least=2, at_most=9), Condition(column="b", is_in=(2, 4)))
    assert meets(frame, conditions).tolist() == [False, True, True, False]
    assert meets(frame, (Condition(column="a", at_most=2),)).tolist() == [True, True, False, False]
    assert meets(frame, ()).all()
