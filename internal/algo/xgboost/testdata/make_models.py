# SPDX-License-Identifier: Apache-2.0
"""Writes small models in every form that the running release of xgboost has, with what it predicts for data.json.

    python make_models.py          # under each release
    python make_models.py --pack   # at last: models.zip

Run under xgboost 0.90, 1.0.2, 1.3.3, 1.5.2 (Python 3.7 for the first three), 1.7.6, 2.1.4, 3.0.5 and 3.2.0.
The files are vNNN-CASE.FORM, the list of them vNNNall.json. Forms: model (no extension: binary before 2.1,
UBJSON since), json, ubj, pkl (the Booster pickled as SageMaker's containers before 1.3 did), p2 and p4 (other
protocols of pickle), raw (save_raw with its configuration), binf and bs64 (the heads of 0.x's command line).
"""

import base64
import glob
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import xgboost as xgb

VERSION = xgb.__version__.split(".")
SHORT = "v" + "".join(VERSION[:3])
MAJOR = (int(VERSION[0]), int(VERSION[1]))

CASES = {
    "logistic": ("binary", {"objective": "binary:logistic"}),
    "base": ("binary", {"objective": "binary:logistic", "base_score": 0.3}),
    "softprob": ("class", {"objective": "multi:softprob", "num_class": 3}),
    "poisson": ("count", {"objective": "count:poisson"}),
    "parallel": ("real", {"objective": "reg:squarederror", "num_parallel_tree": 2}),
    "dart": ("binary", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}),
    "gblinear": ("real", {"objective": "reg:squarederror", "booster": "gblinear"}),
}
if MAJOR >= (2, 0):
    CASES["quantile"] = ("real", {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.7]})
    CASES["targets"] = ("two", {"objective": "reg:squarederror"})
    CASES["vector"] = ("two", {"objective": "reg:squarederror", "multi_strategy": "multi_output_tree"})


def main():
    with open("data.json") as f:
        data = json.load(f)
    x = np.array([np.nan if v is None else v for v in data["values"]], dtype=np.float32).reshape(-1, data["cols"])
    labels = {k: np.array(v, dtype=np.float32) for k, v in data["labels"].items()}
    labels["two"] = np.stack([labels["real"], labels["amount"]], axis=1)
    out = []
    for case, (label, params) in sorted(CASES.items()):
        d = xgb.DMatrix(x, label=labels[label])
        params = dict(params, max_depth=2, nthread=1, seed=1)
        if params.get("booster") != "gblinear":
            params["tree_method"] = "hist"
        b = xgb.train(params, d, 3)
        # Without a limit dart of 0.90 leaves trees out when it predicts, too.
        limit = {"ntree_limit": 3} if MAJOR == (0, 90) and case == "dart" else {}
        want = [round(float(v), 6) for v in np.asarray(b.predict(d, **limit)[:40]).ravel()]

        def keep(form, write):
            name = "%s-%s.%s" % (SHORT, case, form)
            write(name)
            out.append({"file": name, "predictions": want})

        def put(what):
            def write(name):
                with open(name, "wb") as f:
                    f.write(what)
            return write

        def save(name):
            b.save_model("tmp-model")
            os.rename("tmp-model", name)

        if MAJOR < (3, 1) or case in ("logistic", "vector"):
            keep("model", save)
        if MAJOR >= (1, 0) and (case in ("softprob", "dart", "gblinear", "vector") or MAJOR >= (2, 0)):
            keep("json", b.save_model)
        if MAJOR >= (1, 6) and case in ("logistic", "dart", "quantile", "targets"):
            keep("ubj", b.save_model)
        if case in ("logistic", "softprob"):
            keep("pkl", put(pickle.dumps(b)))
        if case == "base" and MAJOR in ((0, 90), (1, 3), (3, 2)):
            keep("p2", put(pickle.dumps(b, 2)))
            keep("p4", put(pickle.dumps(b, 4)))
        if MAJOR == (0, 90) and case == "base":
            raw = bytes(b.save_raw())
            keep("binf", put(b"binf" + raw))
            keep("bs64", put(b"bs64\t" + base64.b64encode(raw) + b"\n"))
    with open(SHORT + "all.json", "w") as f:
        json.dump(out, f)


def pack():
    """Puts the files of all releases into models.zip."""
    out = []
    for name in sorted(glob.glob("v*all.json")):
        with open(name) as f:
            out += json.load(f)
    with zipfile.ZipFile("models.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for entry in out:
            with open(entry["file"], "rb") as f:
                z.writestr(zipfile.ZipInfo(entry["file"]), f.read(), zipfile.ZIP_DEFLATED)
        z.writestr(zipfile.ZipInfo("list.json"), json.dumps(out), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    pack() if "--pack" in sys.argv else main()
