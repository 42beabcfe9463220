# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: batch transform, with each prediction beside the ID of its row.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_transform.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import image_uris
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.s3 import S3Downloader

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
role = sagemaker.get_execution_role()


def upload(name, lines):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, name)
        path.write_text("".join(",".join(line) + "\n" for line in lines))
        return session.upload_data(str(path), key_prefix="breast-cancer/transform")


xgboost = Estimator(
    image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    role,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path=f"s3://{session.default_bucket()}/breast-cancer/output",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=50, max_depth=4, eta=0.2)
xgboost.fit({"train": TrainingInput(upload("train.csv", train), content_type="text/csv")}, logs=False)

# What is sent is the features alone; what is written, the ID and the score.
ids = [f"patient-{i}" for i in range(len(held_out))]
uri = upload("held_out.csv", [[i, *row[1:]] for i, row in zip(ids, held_out)])
transformer = xgboost.transformer(
    instance_count=1,
    instance_type="ml.m5.large",
    strategy="MultiRecord",
    accept="text/csv",
    assemble_with="Line",
    max_payload=1,
)
transformer.transform(
    uri,
    content_type="text/csv",
    split_type="Line",
    input_filter="$[1:]",
    join_source="Input",
    output_filter="$[0,-1]",
    wait=True,
    logs=True,  # shows the job's logs while it runs
)

(text,) = [S3Downloader.read_file(f, session) for f in S3Downloader.list(transformer.output_path, sagemaker_session=session)]
scored = dict(line.split(",") for line in text.splitlines())
assert list(scored) == ids, "one line for each row, in their order"
print(f"\n{text.splitlines()[0]}")
right = sum((float(scored[i]) > 0.5) == (row[0] == "1") for i, row in zip(ids, held_out))
print(f"{right} of {len(held_out)} held-out rows are right")

transformer.delete_model()
