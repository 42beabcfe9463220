# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: your own scikit-learn script by ModelTrainer, and a processing job.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_script.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import logging
import pathlib
import tempfile

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

logging.basicConfig(level=logging.INFO)  # the SDK shows a job's log by its logger
here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]

session = Session()
role = get_execution_role()
image = image_uris.retrieve("sklearn", session.boto_region_name, "1.2-1", py_version="py3", instance_type="ml.m5.large")
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/sdk3")

trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="forest",
    source_code=SourceCode(source_dir=str(here / "code/sklearn"), entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"trees": 40, "criterion": "entropy"},
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source=uri)], wait=True, logs=True)
print("model:", trainer._latest_training_job.model_artifacts.s3_model_artifacts)

with tempfile.TemporaryDirectory() as folder:
    script = pathlib.Path(folder, "count.py")
    script.write_text("""
import pandas
table = pandas.read_csv("/opt/ml/processing/input/data/train.csv", header=None)
print("processing sees", len(table), "rows")
table.head(5).to_csv("/opt/ml/processing/output/head/head.csv", index=False, header=False)
""")
    processor = ScriptProcessor(image_uri=image, command=["python3"], role=role, instance_count=1, instance_type="ml.m5.large",
                                base_job_name="count", sagemaker_session=session)
    processor.run(
        code=str(script),
        inputs=[ProcessingInput(input_name="data", s3_input=ProcessingS3Input(
            s3_uri=uri, local_path="/opt/ml/processing/input/data", s3_data_type="S3Prefix", s3_input_mode="File"))],
        outputs=[ProcessingOutput(output_name="head", s3_output=ProcessingS3Output(
            s3_uri=f"s3://{session.default_bucket()}/breast-cancer/head", local_path="/opt/ml/processing/output/head", s3_upload_mode="EndOfJob"))],
    )
