# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: processing jobs of a script and of a folder of modules.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_processing.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker.processing import FrameworkProcessor, ProcessingInput, ProcessingOutput
from sagemaker.s3 import S3Downloader
from sagemaker.sklearn import SKLearn
from sagemaker.sklearn.processing import SKLearnProcessor

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
session = sagemaker.Session()
role = sagemaker.get_execution_role()
inputs = [ProcessingInput(source=str(data), destination="/opt/ml/processing/input/data", input_name="data")]


def outputs():
    return [ProcessingOutput(output_name=name, source=f"/opt/ml/processing/output/{name}") for name in ("train", "test")]


def rows(processor):
    """How many rows each output has."""
    found = {}
    for output in processor.latest_job.outputs:
        with tempfile.TemporaryDirectory() as folder:
            S3Downloader.download(output.destination, folder, sagemaker_session=session)
            found[output.output_name] = sum(len(p.read_text().splitlines()) for p in pathlib.Path(folder).iterdir())
    return found


# One file.
with tempfile.TemporaryDirectory() as folder:
    script = pathlib.Path(folder, "count.py")
    script.write_text("""
import sklearn, pandas
table = pandas.read_csv("/opt/ml/processing/input/data/breast_cancer.csv", header=None, skiprows=1)
print(f"scikit-learn {sklearn.__version__} sees {len(table)} rows")
table.head(10).to_csv("/opt/ml/processing/output/train/head.csv", index=False, header=False)
""")
    processor = SKLearnProcessor(framework_version="1.2-1", role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session)
    processor.run(code=str(script), inputs=inputs, outputs=outputs())
print("SKLearnProcessor:", rows(processor))

# A folder with several modules and a requirements.txt.
processor = FrameworkProcessor(
    estimator_cls=SKLearn, framework_version="1.2-1", role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session)
processor.run(code="process.py", source_dir=str(here / "code/processing"), inputs=inputs, outputs=outputs(), arguments=["--share", "0.8"])
print("FrameworkProcessor:", rows(processor))
