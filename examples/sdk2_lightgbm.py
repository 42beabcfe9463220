# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: LightGBM from JumpStart, trained, deployed, asked, in the two ways that AWS's notebooks have.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_lightgbm.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import hyperparameters, image_uris, model_uris, script_uris
from sagemaker.estimator import Estimator
from sagemaker.jumpstart.estimator import JumpStartEstimator

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # the label first, no header
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
role = sagemaker.get_execution_role()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "data.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/lightgbm/train")

model_id = "lightgbm-classification-model"

# By the name of the model.
estimator = JumpStartEstimator(
    model_id=model_id,
    hyperparameters={"num_boost_round": "200", "learning_rate": "0.05", "metric": "auc"},
    role=role,
    sagemaker_session=session,
)
estimator.fit({"training": uri})  # shows the job's log while it runs
predictor = estimator.deploy(initial_instance_count=1)
answer = predictor.predict("\n".join(",".join(row[1:]) for row in held_out))
right = sum((p[1] > 0.5) == (row[0] == "1") for p, row in zip(answer["probabilities"], held_out))
print(f"\n{right} of {len(held_out)} held-out rows are right")

response = session.sagemaker_runtime_client.invoke_endpoint(
    EndpointName=predictor.endpoint_name, ContentType="text/csv", Accept="application/json;verbose", Body=",".join(held_out[0][1:]))
print(response["Body"].read().decode())
predictor.delete_model()
predictor.delete_endpoint()

# By its parts.
chosen = hyperparameters.retrieve_default(model_id=model_id, model_version="*")
chosen["num_boost_round"] = "50"
classic = Estimator(
    role=role,
    image_uri=image_uris.retrieve(region=None, framework=None, model_id=model_id, model_version="*",
                                  image_scope="training", instance_type="ml.m5.large"),
    source_dir=script_uris.retrieve(model_id=model_id, model_version="*", script_scope="training"),
    model_uri=model_uris.retrieve(model_id=model_id, model_version="*", model_scope="training"),
    entry_point="transfer_learning.py",
    instance_count=1,
    instance_type="ml.m5.large",
    max_run=360000,
    hyperparameters=chosen,
    output_path=f"s3://{session.default_bucket()}/breast-cancer/lightgbm/output",
    metric_definitions=[{"Name": "loss", "Regex": "binary_logloss: ([0-9\\.]+)"}],
    sagemaker_session=session,
)
classic.fit({"training": uri})
predictor = classic.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    entry_point="inference.py",
    image_uri=image_uris.retrieve(region=None, framework=None, model_id=model_id, model_version="*",
                                  image_scope="inference", instance_type="ml.m5.large"),
    source_dir=script_uris.retrieve(model_id=model_id, model_version="*", script_scope="inference"),
    serializer=sagemaker.serializers.CSVSerializer(),
    deserializer=sagemaker.deserializers.JSONDeserializer(),
)
print(predictor.predict(held_out[0][1:]))
predictor.delete_model()
predictor.delete_endpoint()
