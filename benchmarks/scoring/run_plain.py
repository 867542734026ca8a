"""Score as a notebook does: pandas reads, the pipeline's predict_proba scores, pandas writes. No checks, no release."""

import pickle
import sys
import time
from pathlib import Path

from benchmarks.drift import measure

ROWS_IN_A_BATCH = 65_536


def whole(pipeline, threshold, source, output):
    """All rows at once."""
    import pandas as pd

    frame = pd.read_parquet(source)
    scores = pipeline.predict_proba(frame[pipeline.feature_names_in_])[:, 1]
    made = pd.DataFrame({"id": frame["id"], "score": scores, "decision": (scores >= threshold).astype("int32")})
    made.to_parquet(output, index=False)
    return len(made)


def batches(pipeline, threshold, source, output):
    """Batch by batch, for memory."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, writer = 0, None
    for batch in pq.ParquetFile(source).iter_batches(ROWS_IN_A_BATCH):
        frame = batch.to_pandas()
        scores = pipeline.predict_proba(frame[pipeline.feature_names_in_])[:, 1]
        made = pd.DataFrame({"id": frame["id"], "score": scores, "decision": (scores >= threshold).astype("int32")})
        table = pa.Table.from_pandas(made, preserve_index=False)
        writer = writer or pq.ParquetWriter(output, table.schema)
        writer.write_table(table)
        rows += len(made)
    writer.close()
    return rows


if __name__ == "__main__":
    source, output, model, core, how = sys.argv[1:]
    measure.pin(int(core))
    import pandas  # noqa: F401 # importing is not timed, here or there
    import sklearn.ensemble
    import sklearn.pipeline  # noqa: F401

    def work() -> int:
        """Loading the model is part of the job, as it is for the others."""
        pipeline = pickle.loads(Path(model).read_bytes())  # noqa: S301 # this benchmark's own
        return (whole if how == "whole" else batches)(pipeline, 0.5, source, output)

    before = time.process_time()
    done, measured = measure.timed(work)
    measured["cpu_seconds"] = time.process_time() - before
    measure.report({"rows": done, **measured}, ["numpy", "pyarrow", "scikit-learn", "pandas"])
