# SPDX-License-Identifier: Apache-2.0
"""Loads models written by Sagebrush and compares predictions.

    python check_models.py FOLDER...

Each FOLDER holds data.json (cols, values with null for missing), model folders and,
in each of them, predictions.json. Run by TestPythonReadsOurModels.
"""

import json
import pathlib
import sys

import numpy as np
import scipy.sparse
import xgboost as xgb


def check(folder):
    data = json.loads((folder / "data.json").read_text())
    x = np.array([np.nan if v is None else v for v in data["values"]], dtype=np.float32).reshape(-1, data["cols"])
    present = ~np.isnan(x)
    rows = scipy.sparse.csr_matrix((x[present], np.nonzero(present)), shape=x.shape)
    models = 0
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        want = np.array(json.loads((sub / "predictions.json").read_text()))
        for name in ("xgboost-model", "model.json"):
            b = xgb.Booster({"nthread": 1})
            b.load_model(sub / name)
            for form in (x, rows):
                got = b.predict(xgb.DMatrix(form, nthread=1)).ravel()
                worst = np.max(np.abs(got - want) / (1 + np.abs(got)))
                if not worst <= 1e-5:
                    sys.exit(f"{sub.name} {name}: off by {worst}")
                models += 1
    return models


def main():
    models = sum(check(pathlib.Path(folder)) for folder in sys.argv[1:])
    print(f"{models} loads agree with xgboost {xgb.__version__}")


if __name__ == "__main__":
    main()
