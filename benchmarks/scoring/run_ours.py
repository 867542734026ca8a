"""Score with `mlops score`'s own function: with the release's compiled scorer, or with its pipeline."""

import sys
import time

from benchmarks.drift import measure

if __name__ == "__main__":
    source, output, store, release, core, how = sys.argv[1:]
    measure.pin(int(core))
    from ml.lean import keep_pandas_out
    from ml.model.scorer import load_exact_scorer
    from ml.scoring import model
    from ml.scoring.job import Job, run

    if how == "pipeline":
        import pandas  # noqa: F401 # importing is not timed, here or there
        import sklearn.ensemble
        import sklearn.pipeline  # noqa: F401

        model.load_scorer = load_exact_scorer  # as for a model that can't be compiled
    keep_pandas_out()  # as the command does
    job = Job(input=source, output=output, store_uri=store, release=release, identifiers=("id",))
    before = time.process_time()
    outcome, measured = measure.timed(lambda: run(job))
    measured["cpu_seconds"] = time.process_time() - before
    measure.report({"rows": outcome.rows, **measured}, ["numpy", "pyarrow", "scikit-learn", "pandas"])
