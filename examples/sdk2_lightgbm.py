# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: LightGBM from JumpStart, trained, deployed, asked, by the name of the model.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_lightgbm.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker.jumpstart.estimator import JumpStartEstimator

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # the label first, no header
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "data.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/lightgbm/train")

estimator = JumpStartEstimator(
    model_id="lightgbm-classification-model",
    hyperparameters={"num_boost_round": "200", "learning_rate": "0.05"},
    role=sagemaker.get_execution_role(),
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
