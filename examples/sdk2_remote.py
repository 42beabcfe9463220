# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: a function that runs as a training job, and its result.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_remote.py
"""



import pandas
import sagemaker
from sagemaker import image_uris
from sagemaker.remote_function import remote

session = sagemaker.Session()
image = image_uris.get_base_python_image_uri(session.boto_region_name, py_version="310")  # whatever the client has is had there


@remote(instance_type="ml.m5.large", image_uri=image, role=sagemaker.get_execution_role(), sagemaker_session=session)
def describe(table, column):
    print("working on", len(table), "rows")
    return table.groupby("kind")[column].agg(["mean", "max"]).reset_index()


table = pandas.DataFrame({"kind": ["a", "b"] * 50, "size": range(100)})
print(describe(table, "size"))


@remote(instance_type="ml.m5.large", image_uri=image, role=sagemaker.get_execution_role(), sagemaker_session=session)
def divide(a, b):
    return a / b


try:
    divide(1, 0)
except ZeroDivisionError as err:
    print("raised here as there:", err)
