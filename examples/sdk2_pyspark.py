# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: PySparkProcessor. It needs Java where the job runs.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_pyspark.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.s3 import S3Downloader
from sagemaker.spark.processing import PySparkProcessor

here = pathlib.Path(__file__).resolve().parent
session = sagemaker.Session()
rows = [line.split(",") for line in (here.parent / "internal/demo/data/breast_cancer.csv").read_text().splitlines()[1:]]
header = [f"f{i}" for i in range(len(rows[0]) - 1)] + ["label"]
table = pathlib.Path(tempfile.mkdtemp(), "cancer.csv")
table.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))

processor = PySparkProcessor(
    base_job_name="count", framework_version="3.5", role=sagemaker.get_execution_role(),
    instance_count=1, instance_type="ml.m5.xlarge", sagemaker_session=session)
processor.run(
    submit_app=str(here / "code/spark/count.py"),
    arguments=["--input", "/opt/ml/processing/input/data/cancer.csv", "--output", "/opt/ml/processing/output/counts/result"],
    inputs=[ProcessingInput(source=str(table), destination="/opt/ml/processing/input/data", input_name="data")],
    outputs=[ProcessingOutput(source="/opt/ml/processing/output/counts", output_name="counts")],
)
with tempfile.TemporaryDirectory() as folder:
    S3Downloader.download(processor.latest_job.outputs[0].destination, folder, sagemaker_session=session)
    for path in sorted(pathlib.Path(folder).rglob("*.csv")):
        print(path.read_text())
