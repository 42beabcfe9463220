# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: your own scikit-learn script, trained, deployed, asked.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_sklearn.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import numpy
import sagemaker
from sagemaker.sklearn import SKLearn

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/sklearn")

estimator = SKLearn(
    entry_point="train.py",
    source_dir=str(here / "code/sklearn"),
    role=sagemaker.get_execution_role(),
    instance_type="ml.m5.large",
    framework_version="1.2-1",
    hyperparameters={"trees": 80, "criterion": "entropy"},
    metric_definitions=[{"Name": "oob:accuracy", "Regex": r"oob_accuracy=([0-9.]+)"}],
    sagemaker_session=session,
)
estimator.fit({"train": uri})  # shows the job's log while it runs

predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large")
answer = predictor.predict(numpy.array([row[1:] for row in held_out], dtype="float64"))
right = sum(int(p) == int(row[0]) for p, row in zip(answer, held_out))
print(f"\n{right} of {len(held_out)} held-out rows are right")

predictor.delete_model()
predictor.delete_endpoint()
