# SPDX-License-Identifier: Apache-2.0
"""A request that is refused, with its code and words, of operations that no other test refuses."""

import re

import botocore.config
import pytest

NONE = "no-such-thing"
ARN = "arn:aws:{service}:us-east-1:123456789012:{what}"
TARGET = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/none/variant/v", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
ALARM = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:none"
SCALABLE = "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/0000"
TOPIC = "arn:aws:sns:us-east-1:123456789012:none"
TAG = [{"Key": "k", "Value": "v"}]

REFUSED = {
    "application-autoscaling": {
        "describe_scaling_activities": ({"ServiceNamespace": "sagemaker", "NextToken": "nonsense"}, "InvalidNextTokenException"),
        "describe_scheduled_actions": ({"ServiceNamespace": "sagemaker", "NextToken": "nonsense"}, "InvalidNextTokenException"),
        "put_scheduled_action": ({**TARGET, "ScheduledActionName": "a", "Schedule": "at(never)", "ScalableTargetAction": {"MinCapacity": 1}}, "ValidationException|ObjectNotFoundException"),
        "tag_resource": ({"ResourceARN": SCALABLE, "Tags": {"k": "v"}}, "ResourceNotFoundException"),
        "untag_resource": ({"ResourceARN": SCALABLE, "TagKeys": ["k"]}, "ResourceNotFoundException"),
    },
    "cloudwatch": {
        "describe_alarm_history": ({"NextToken": "nonsense"}, "InvalidNextToken"),
        "describe_alarms": ({"MaxRecords": 101}, "ValidationError"),
        "describe_alarms_for_metric": ({"MetricName": "", "Namespace": "n"}, "ValidationError"),
        "disable_alarm_actions": ({"AlarmNames": [""]}, "ValidationError"),
        "enable_alarm_actions": ({"AlarmNames": [""]}, "ValidationError"),
        "list_tags_for_resource": ({"ResourceARN": ALARM}, "ResourceNotFoundException"),
        "tag_resource": ({"ResourceARN": ALARM, "Tags": TAG}, "ResourceNotFoundException"),
        "untag_resource": ({"ResourceARN": ALARM, "TagKeys": ["k"]}, "ResourceNotFoundException"),
    },
    "sagemaker": {
        "delete_inference_component": ({"InferenceComponentName": NONE}, "ValidationException"),
        "list_inference_components": ({"NextToken": "nonsense"}, "ValidationException"),
        "list_inference_experiments": ({"NextToken": "nonsense"}, "ValidationException"),
        "list_transform_jobs": ({"NextToken": "nonsense"}, "ValidationException"),
        "stop_inference_experiment": ({"Name": NONE, "ModelVariantActions": {"v": "Retain"}}, "ResourceNotFound"),
        "update_inference_component": ({"InferenceComponentName": NONE}, "ValidationException"),
        "update_inference_component_runtime_config": ({"InferenceComponentName": NONE, "DesiredRuntimeConfig": {"CopyCount": 1}}, "ValidationException"),
        "update_inference_experiment": ({"Name": NONE}, "ResourceNotFound"),
    },
    "sns": {
        "delete_topic": ({"TopicArn": "no ARN"}, "InvalidParameter"),
        "get_topic_attributes": ({"TopicArn": TOPIC}, "NotFound"),
        "list_subscriptions": ({"NextToken": "nonsense"}, "InvalidParameter"),
        "list_subscriptions_by_topic": ({"TopicArn": TOPIC}, "NotFound"),
        "list_topics": ({"NextToken": "nonsense"}, "InvalidParameter"),
        "tag_resource": ({"ResourceArn": TOPIC, "Tags": TAG}, "ResourceNotFound"),
        "unsubscribe": ({"SubscriptionArn": "no ARN"}, "InvalidParameter"),
        "untag_resource": ({"ResourceArn": TOPIC, "TagKeys": ["k"]}, "ResourceNotFound"),
    },
    "sqs": {
        "change_message_visibility_batch": ({"QueueUrl": "{queue}", "Entries": [{"Id": "1", "ReceiptHandle": "none", "VisibilityTimeout": 1}]}, "NonExistentQueue"),
        "delete_queue": ({"QueueUrl": "{queue}"}, "NonExistentQueue"),
        "list_queue_tags": ({"QueueUrl": "{queue}"}, "NonExistentQueue"),
        "list_queues": ({"MaxResults": 5000}, "InvalidParameterValue"),
        "tag_queue": ({"QueueUrl": "{queue}", "Tags": {"k": "v"}}, "NonExistentQueue"),
        "untag_queue": ({"QueueUrl": "{queue}", "TagKeys": ["k"]}, "NonExistentQueue"),
    },
}
CASES = [(service, operation) for service, operations in REFUSED.items() for operation in operations]


@pytest.mark.parametrize("service, operation", CASES)
def test_a_bad_request_is_refused(bench, service, operation):
    request, code = REFUSED[service][operation]
    queue = f"{bench.server.url}/{bench.account}/{NONE}"
    request = {k: queue if v == "{queue}" else v for k, v in request.items()}
    client = bench.server.client(service, botocore.config.Config(parameter_validation=False))  # which would not send some of these
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, operation)(**request)
    client.close()
    error = caught.value.response["Error"]
    assert re.fullmatch(code, error["Code"].split(".")[-1]), error
    assert error["Message"]
