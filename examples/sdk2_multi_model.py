# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: many models behind one endpoint, each loaded when it is first asked.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_multi_model.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
role = sagemaker.get_execution_role()
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/multi")


def model(rounds):
    """A model of so many trees, as SageMaker keeps it."""
    xgboost = Estimator(image, role, instance_count=1, instance_type="ml.m5.large",
                        output_path=f"s3://{session.default_bucket()}/breast-cancer/output", sagemaker_session=session)
    xgboost.set_hyperparameters(objective="binary:logistic", num_round=rounds, max_depth=4, eta=0.2)
    xgboost.fit({"train": TrainingInput(uri, content_type="text/csv")}, logs=False)
    return xgboost.model_data


name = sagemaker.utils.name_from_base("breast-cancer-multi")
models = MultiDataModel(name=name, model_data_prefix=f"s3://{session.default_bucket()}/breast-cancer/{name}/",
                        image_uri=image, role=role, sagemaker_session=session)
models.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name=name)
predictor = Predictor(name, session, CSVSerializer(), JSONDeserializer())

for rounds in (5, 50):  # models come while the endpoint serves
    models.add_model(model(rounds), f"trees-{rounds}.tar.gz")
print("\nmodels:", sorted(models.list_models()))
for key in sorted(models.list_models()):
    answer = predictor.predict([row[1:] for row in held_out], target_model=key)
    right = sum((p["score"] > 0.5) == (row[0] == "1") for p, row in zip(answer["predictions"], held_out, strict=True))
    print(f"{key}: {right} of {len(held_out)} held-out rows are right")

predictor.delete_endpoint()
models.delete_model()
