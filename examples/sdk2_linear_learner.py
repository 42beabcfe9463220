# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: train Linear Learner from arrays, deploy it, predict by records.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_linear_learner.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib

import numpy
import sagemaker
from sagemaker import LinearLearner

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = numpy.loadtxt(data, delimiter=",", skiprows=1, dtype="float32")
features, labels = rows[:, :-1], rows[:, -1]

session = sagemaker.Session()
learner = LinearLearner(
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    predictor_type="binary_classifier",
    binary_classifier_model_selection_criteria="f1",
    output_path=f"s3://{session.default_bucket()}/linear-learner/output",
    data_location=f"s3://{session.default_bucket()}/linear-learner/data",
    sagemaker_session=session,
)
train = learner.record_set(features[0::2], labels[0::2])  # RecordIO-protobuf in S3
validation = learner.record_set(features[1::4], labels[1::4], channel="validation")
learner.fit([train, validation], mini_batch_size=50)  # shows the job's log while it runs

# The predictor sends RecordIO-protobuf and reads it: RecordSerializer, RecordDeserializer.
predictor = learner.deploy(initial_instance_count=1, instance_type="ml.m5.large")
answer = predictor.predict(features[3::4])
predicted = [record.label["predicted_label"].float32_tensor.values[0] for record in answer]
right = sum(a == b for a, b in zip(predicted, labels[3::4]))
print(f"\n{right} of {len(predicted)} held-out rows are right; the first has the score {answer[0].label['score'].float32_tensor.values[0]:.4f}")

predictor.delete_model()
predictor.delete_endpoint()
