# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: an inference pipeline of two containers: your own preprocessing, then XGBoost.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_pipeline_model.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearn

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
role = sagemaker.get_execution_role()


def upload(name, lines):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, name)
        path.write_text("".join(line + "\n" for line in lines))
        return session.upload_data(str(path), key_prefix="breast-cancer/pipeline")


uri = upload("train.csv", [",".join(row) for row in train])
scaler = SKLearn(
    entry_point="scale.py",
    source_dir=str(here / "code/scale"),
    role=role,
    instance_type="ml.m5.large",
    framework_version="1.2-1",
    sagemaker_session=session,
)
scaler.fit({"train": uri})

# XGBoost learns from what the first step makes of the data, so that step is asked for it by a batch transform.
transformer = scaler.transformer(instance_count=1, instance_type="ml.m5.large", strategy="MultiRecord", assemble_with="Line",
                                 accept="text/csv", output_path=f"s3://{session.default_bucket()}/breast-cancer/scaled")
transformer.transform(upload("features.csv", [",".join(row[1:]) for row in train]), content_type="text/csv", split_type="Line")
transformer.wait()
scaled = session.read_s3_file(session.default_bucket(), "breast-cancer/scaled/features.csv.out").split()
uri = upload("scaled.csv", [row[0] + "," + line for row, line in zip(train, scaled, strict=True)])

xgboost = Estimator(
    image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    role,
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{session.default_bucket()}/breast-cancer/output",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=50, max_depth=4, eta=0.2)
xgboost.fit({"train": TrainingInput(uri, content_type="text/csv")})

pipeline = PipelineModel(models=[scaler.create_model(), xgboost.create_model()], role=role, sagemaker_session=session)
pipeline.deploy(initial_instance_count=1, instance_type="ml.m5.large")
predictor = Predictor(pipeline.endpoint_name, session, CSVSerializer(), CSVDeserializer())
answer = predictor.predict([row[1:] for row in held_out])
scores = [float(v) for line in answer for v in line]
right = sum((p > 0.5) == (row[0] == "1") for p, row in zip(scores, held_out, strict=True))
print(f"\n{right} of {len(held_out)} held-out rows are right")

predictor.delete_endpoint()
pipeline.delete_model()
transformer.delete_model()
