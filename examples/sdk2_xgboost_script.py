# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: XGBoost in script mode with k-fold cross-validation.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_xgboost_script.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker.deserializers import CSVDeserializer
from sagemaker.serializers import CSVSerializer
from sagemaker.xgboost import XGBoost

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/kfold")

estimator = XGBoost(
    entry_point="train.py",
    source_dir=str(here / "code/kfold"),
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.large",
    framework_version="1.7-1",
    hyperparameters={"num_round": 40, "max_depth": 4, "eta": 0.2, "objective": "binary:logistic", "folds": 5},
    metric_definitions=[{"Name": "mean:auc", "Regex": r"mean_auc=([0-9.]+)"}],
    sagemaker_session=session,
)
estimator.fit({"train": uri})

predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large", serializer=CSVSerializer(), deserializer=CSVDeserializer())
answer = predictor.predict([row[1:] for row in held_out])
scores = [float(v) for line in answer for v in line]
right = sum((p > 0.5) == (row[0] == "1") for p, row in zip(scores, held_out))
print(f"\n{right} of {len(held_out)} held-out rows are right")

predictor.delete_model()
predictor.delete_endpoint()
