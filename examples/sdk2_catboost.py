# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: CatBoost from JumpStart by its parts, as AWS's notebooks have it: image, programs, model, defaults.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_catboost.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md. The worst area of a nucleus is told from the
means of ten measures.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import hyperparameters, image_uris, model_uris, script_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import CSVSerializer

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[row[23], *row[:10]] for row in rows]  # what is told comes first; no header
parts = {"train": rows[0::2], "validation": rows[1::4]}
held_out = rows[3::4]

session = sagemaker.Session()
bucket = session.default_bucket()
with tempfile.TemporaryDirectory() as folder:
    for name, part in parts.items():
        path = pathlib.Path(folder, name, "data.csv")
        path.parent.mkdir()
        path.write_text("".join(",".join(row) + "\n" for row in part))
    uri = session.upload_data(folder, key_prefix="breast-cancer/catboost")

model = {"model_id": "catboost-regression-model", "model_version": "*"}
instance_type = "ml.m5.large"

chosen = hyperparameters.retrieve_default(**model)
chosen["iterations"] = "300"
chosen["learning_rate"] = "0.05"
estimator = Estimator(
    role=sagemaker.get_execution_role(),
    image_uri=image_uris.retrieve(region=None, framework=None, image_scope="training", instance_type=instance_type, **model),
    source_dir=script_uris.retrieve(script_scope="training", **model),
    model_uri=model_uris.retrieve(model_scope="training", **model),
    entry_point="transfer_learning.py",
    instance_count=1,
    instance_type=instance_type,
    max_run=360000,
    hyperparameters=chosen,
    output_path=f"s3://{bucket}/breast-cancer/catboost/output",
    metric_definitions=[{"Name": "RMSE", "Regex": "bestTest = ([0-9\\.]+)"}],
    sagemaker_session=session,
)
estimator.fit({"training": uri}, logs=True)

predictor = estimator.deploy(
    initial_instance_count=1,
    instance_type=instance_type,
    entry_point="inference.py",
    image_uri=image_uris.retrieve(region=None, framework=None, image_scope="inference", instance_type=instance_type, **model),
    source_dir=script_uris.retrieve(script_scope="inference", **model),
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
told = predictor.predict("\n".join(",".join(row[1:]) for row in held_out))["prediction"]
truth = [float(row[0]) for row in held_out]
mean = sum(truth) / len(truth)
error = sum((p - t) ** 2 for p, t in zip(told, truth)) / sum((t - mean) ** 2 for t in truth)
print(f"\nR2 of {len(held_out)} held-out rows: {1 - error:.10f}")

predictor.delete_model()
predictor.delete_endpoint()
