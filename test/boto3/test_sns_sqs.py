# SPDX-License-Identifier: Apache-2.0
"""Queues and topics: what users send themselves, and how notifications come to them."""

import base64
import collections
import http.server
import json
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import botocore.exceptions
import pytest

from support.refusal import refused
from support.server import ROOT, poll
from support.work import unique


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture(scope="module")
def sns(server):
    return server.client("sns")


@pytest.fixture
def url(sqs):
    made = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    yield made
    sqs.delete_queue(QueueUrl=made)


@pytest.fixture
def topic(sns):
    made = sns.create_topic(Name=unique("topic"))["TopicArn"]
    yield made
    sns.delete_topic(TopicArn=made)


def arn_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(sqs, url, count=1, **more):
    """What arrives, until there are count messages."""
    found = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        found += sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=10, **more).get("Messages", [])
    assert len(found) == count, [m["Body"] for m in found]
    return found


class Receiver:
    """An HTTP endpoint that keeps what it is sent, and answers what it is told to."""

    def __init__(self):
        self.requests, self.answers, self.default = queue.Queue(), collections.deque(), 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = outer.answers.popleft() if outer.answers else outer.default
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()
                outer.requests.put((dict(self.headers), body, time.monotonic(), code))

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, timeout=20):
        return self.requests.get(timeout=timeout)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def test_a_message_is_sent_received_and_deleted(sqs, url, server):
    assert url.startswith(server.url + "/" + server.account + "/")
    sent = sqs.send_message(QueueUrl=url, MessageBody="grüße", MessageAttributes={
        "kind": {"DataType": "String", "StringValue": "greeting"},
        "size": {"DataType": "Number.int", "StringValue": "5"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}},
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}})
    assert sent["MD5OfMessageSystemAttributes"]
    (m,) = receive(sqs, url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])
    assert m["Body"] == "grüße" and m["MessageId"] == sent["MessageId"]
    assert m["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert m["MessageAttributes"]["raw"]["BinaryValue"] == b"\x00\x01"
    assert m["Attributes"]["ApproximateReceiveCount"] == "1" and m["Attributes"]["SenderId"] and m["Attributes"]["AWSTraceHeader"]
    assert abs(int(m["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 30
    # It is hidden while it is worked on, and gone when it is deleted.
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("0", "1")
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = receive(sqs, url, AttributeNames=["ApproximateReceiveCount"], MessageAttributeNames=["k.*", "size"])
    assert again["Attributes"] == {"ApproximateReceiveCount": "2"} and list(again["MessageAttributes"]) == ["size"]
    with refused("AWS.SimpleQueueService.MessageNotInflight"):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])["Attributes"] == {
        "ApproximateNumberOfMessagesNotVisible": "0"}


def test_a_poll_waits_for_the_first_message(sqs, server, url):
    began = time.monotonic()
    threading.Timer(1, lambda: server.client("sqs").send_message(QueueUrl=url, MessageBody="late")).start()
    (m,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert m["Body"] == "late" and 0.9 < time.monotonic() - began < 8
    began = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert 0.9 < time.monotonic() - began < 8


def test_batches_tell_of_each_entry(sqs, url):
    out = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "bad\x00"}, {"Id": "c", "MessageBody": "3"}])
    assert [e["Id"] for e in out["Successful"]] == ["a", "c"]
    assert [(e["Id"], e["Code"], e["SenderFault"]) for e in out["Failed"]] == [("b", "InvalidMessageContents", True)]
    found = receive(sqs, url, 2)
    assert sorted(m["Body"] for m in found) == ["1", "3"]
    entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 60} for i, m in enumerate(found)]
    assert len(sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)["Successful"]) == 2
    out = sqs.delete_message_batch(QueueUrl=url, Entries=[
        *({"Id": e["Id"], "ReceiptHandle": e["ReceiptHandle"]} for e in entries), {"Id": "x", "ReceiptHandle": "nonsense"}])
    assert len(out["Successful"]) == 2 and out["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    with refused("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "1"}, {"Id": "a", "MessageBody": "2"}])
    with refused("AWS.SimpleQueueService.EmptyBatchRequest"):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    with refused("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"):
        sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": str(i), "ReceiptHandle": "x"} for i in range(11)])


def test_a_fifo_queue_keeps_the_order_of_each_group(sqs):
    url = sqs.create_queue(QueueName=unique("line") + ".fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
    for i in range(3):
        for g in "ab":
            sqs.send_message(QueueUrl=url, MessageBody=f"{g}{i}", MessageGroupId=g)
    twice = sqs.send_message(QueueUrl=url, MessageBody="a0", MessageGroupId="a")
    (first,) = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"]
    assert first["Body"] == "a0" and first["MessageId"] == twice["MessageId"] and first["Attributes"]["MessageGroupId"] == "a"
    assert first["Attributes"]["SequenceNumber"] == twice["SequenceNumber"]
    # The group is closed while one of its messages is worked on.
    assert [m["Body"] for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]] == ["b0", "b1", "b2"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert [m["Body"] for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]] == ["a1", "a2"]
    with refused("MissingParameter", "MessageGroupId"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    with refused("InvalidParameterValue", "FIFO"):
        sqs.create_queue(QueueName=unique("line"), Attributes={"FifoQueue": "true"})


def test_what_fails_too_often_goes_to_the_dead_letter_queue(sqs, url):
    dead = sqs.create_queue(QueueName=unique("dead"))["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0", "RedrivePolicy": json.dumps(
        {"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": 2})})
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        assert [m["Body"] for m in sqs.receive_message(QueueUrl=url)["Messages"]] == ["poison"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    (m,) = receive(sqs, dead, MessageSystemAttributeNames=["All"])
    assert m["Body"] == "poison" and m["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(sqs, url)
    with refused("InvalidParameterValue", "does not exist"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(
            {"deadLetterTargetArn": arn_of(sqs, dead) + "x", "maxReceiveCount": 2})})


def test_queues_are_made_listed_tagged_and_deleted(sqs, server):
    name = unique("life")
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "7"}, tags={"team": "blue"})["QueueUrl"]
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "7"})["QueueUrl"] == url
    with refused("QueueAlreadyExists") as caught:
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "8"})
    assert isinstance(caught.value, sqs.exceptions.QueueNameExists)
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    more = [sqs.create_queue(QueueName=f"{name}-{i}")["QueueUrl"] for i in range(3)]
    pages = list(sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name, PaginationConfig={"PageSize": 2}))
    assert [len(p["QueueUrls"]) for p in pages] == [2, 2]
    assert sum((p["QueueUrls"] for p in pages), []) == [url, *more]
    sqs.tag_queue(QueueUrl=url, Tags={"a": "b"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.purge_queue(QueueUrl=url)
    with refused("AWS.SimpleQueueService.PurgeQueueInProgress"):
        sqs.purge_queue(QueueUrl=url)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    for u in (url, *more):
        sqs.delete_queue(QueueUrl=u)
    with refused("AWS.SimpleQueueService.NonExistentQueue", "does not exist"):
        sqs.get_queue_url(QueueName=name)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url, MessageBody="x")


@pytest.mark.parametrize("call, code", [
    (lambda c, u: c.create_queue(QueueName="a b"), "InvalidParameterValue"),
    (lambda c, u: c.create_queue(QueueName="x", Attributes={"DelaySeconds": "901"}), "InvalidAttributeValue"),
    (lambda c, u: c.create_queue(QueueName="x", Attributes={"QueueArn": "y"}), "InvalidAttributeName"),
    (lambda c, u: c.create_queue(QueueName="x", Attributes={"Nonsense": "y"}), "InvalidAttributeName"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody=""), "MissingParameter"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody="x", DelaySeconds=901), "InvalidParameterValue"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody="x", MessageDeduplicationId="y"), "InvalidParameterValue"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody="x", MessageAttributes={"aws.x": {"DataType": "String", "StringValue": "y"}}), "InvalidParameterValue"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody="x", MessageAttributes={"n": {"DataType": "Number", "StringValue": "y"}}), "InvalidParameterValue"),
    (lambda c, u: c.send_message(QueueUrl=u, MessageBody="x" * (1 << 20) + "y"), "InvalidParameterValue"),
    (lambda c, u: c.receive_message(QueueUrl=u, MaxNumberOfMessages=11), "InvalidParameterValue"),
    (lambda c, u: c.receive_message(QueueUrl=u, WaitTimeSeconds=21), "InvalidParameterValue"),
    (lambda c, u: c.delete_message(QueueUrl=u, ReceiptHandle="nonsense"), "ReceiptHandleIsInvalid"),
    (lambda c, u: c.get_queue_attributes(QueueUrl=u + "-not", AttributeNames=["All"]), "AWS.SimpleQueueService.NonExistentQueue"),
])
def test_what_sqs_refuses(sqs, url, call, code):
    with refused(code):
        call(sqs, url)


def test_a_request_to_the_url_of_a_queue_comes_to_sqs(server, sqs, url):
    """Some clients send to the queue's own URL."""
    client = server.session().client("sqs", endpoint_url=url)
    client.send_message(QueueUrl=url, MessageBody="by path")
    assert receive(sqs, url)[0]["Body"] == "by path"


def test_the_resource_and_the_command_line(server, url):
    made = server.session().resource("sqs", endpoint_url=server.url).Queue(url)
    made.send_message(MessageBody="from the resource")
    # Version 1 of the command line has its own idea of where SQS is, unless it is told on the line itself.
    out = subprocess.run([ROOT / ".venv/boto3/bin/aws", "--endpoint-url", server.url, "sqs", "receive-message", "--queue-url", url, "--query", "Messages[0].Body", "--output", "text"],
                         env=server.environment(), capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == "from the resource", out.stderr


def verify(server, envelope, folder):
    """Checks the signature, with openssl, by the certificate that the message names."""
    assert envelope["SigningCertURL"].startswith(server.url)
    with urllib.request.urlopen(envelope["SigningCertURL"], timeout=10) as answer:
        (folder / "cert.pem").write_bytes(answer.read())
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    (folder / "text").write_text("".join(f"{n}\n{envelope[n]}\n" for n in names if n in envelope))
    (folder / "signature").write_bytes(base64.b64decode(envelope["Signature"]))
    key = subprocess.run(["openssl", "x509", "-in", folder / "cert.pem", "-pubkey", "-noout"], capture_output=True, check=True).stdout
    (folder / "key.pem").write_bytes(key)
    digest = {"1": "-sha1", "2": "-sha256"}[envelope["SignatureVersion"]]
    done = subprocess.run(["openssl", "dgst", digest, "-verify", folder / "key.pem", "-signature", folder / "signature", folder / "text"],
                          capture_output=True, text=True)
    assert done.stdout.strip() == "Verified OK", done.stdout + done.stderr


def test_a_queue_gets_what_is_published(sns, sqs, url, topic):
    sub = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(sqs, url))["SubscriptionArn"]
    assert sub.startswith(topic + ":")
    sent = sns.publish(TopicArn=topic, Subject="done", Message="<it> & more", MessageAttributes={
        "kind": {"DataType": "String", "StringValue": "x"}, "raw": {"DataType": "Binary", "BinaryValue": b"\x00"}})
    (m,) = receive(sqs, url)
    e = json.loads(m["Body"])
    assert (e["Type"], e["MessageId"], e["TopicArn"], e["Subject"], e["Message"]) == ("Notification", sent["MessageId"], topic, "done", "<it> & more")
    assert e["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}, "raw": {"Type": "Binary", "Value": "AA=="}}
    assert {"Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL"} <= set(e)
    sns.set_subscription_attributes(SubscriptionArn=sub, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, Message="plain", MessageAttributes={"kind": {"DataType": "String", "StringValue": "x"}})
    (m,) = receive(sqs, url, MessageAttributeNames=["All"])
    assert m["Body"] == "plain" and m["MessageAttributes"]["kind"]["StringValue"] == "x"
    out = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": "1"}, {"Id": "b", "Message": "2"},
                                                                        {"Id": "c", "Message": "3", "Subject": "x\ny"}])
    assert [e["Id"] for e in out["Successful"]] == ["a", "b"] and [(e["Id"], e["Code"]) for e in out["Failed"]] == [("c", "InvalidParameter")]
    assert sorted(m["Body"] for m in receive(sqs, url, 2)) == ["1", "2"]
    sns.publish(TopicArn=topic, MessageStructure="json", Message=json.dumps({"default": "d", "sqs": "for queues"}))
    assert receive(sqs, url)[0]["Body"] == "for queues"


def test_the_signature_is_good(server, sns, sqs, url, topic, tmp_path):
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(sqs, url))
    for version in ("1", "2"):
        sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
        sns.publish(TopicArn=topic, Message="signed", Subject="s" * int(version))
        (m,) = receive(sqs, url)
        verify(server, json.loads(m["Body"]), tmp_path)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])


def test_a_filter_lets_through_what_it_wants(sns, sqs, url, topic):
    sub = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(sqs, url), Attributes={
        "RawMessageDelivery": "true", "FilterPolicy": json.dumps({"kind": ["a", {"prefix": "b"}], "size": [{"numeric": [">", 1]}]})})["SubscriptionArn"]

    def publish(kind, size, text):
        sns.publish(TopicArn=topic, Message=text, MessageAttributes={
            "kind": {"DataType": "String", "StringValue": kind}, "size": {"DataType": "Number", "StringValue": size}})
    publish("a", "1", "too small")
    publish("c", "2", "other kind")
    sns.publish(TopicArn=topic, Message="no attributes")
    publish("bcd", "2.5", "good")
    assert receive(sqs, url)[0]["Body"] == "good"
    sns.set_subscription_attributes(SubscriptionArn=sub, AttributeName="FilterPolicyScope", AttributeValue="MessageBody")
    sns.set_subscription_attributes(SubscriptionArn=sub, AttributeName="FilterPolicy", AttributeValue=json.dumps({"invocationStatus": ["Failed"]}))
    sns.publish(TopicArn=topic, Message=json.dumps({"invocationStatus": "Completed"}))
    sns.publish(TopicArn=topic, Message=json.dumps({"invocationStatus": "Failed"}))
    assert json.loads(receive(sqs, url)[0]["Body"]) == {"invocationStatus": "Failed"}
    with refused("InvalidParameter", "FilterPolicy"):
        sns.set_subscription_attributes(SubscriptionArn=sub, AttributeName="FilterPolicy", AttributeValue="{\"a\": 1}")


def test_an_endpoint_confirms_and_is_told(server, sns, topic, receiver, tmp_path):
    assert sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url)["SubscriptionArn"] == "pending confirmation"
    headers, body, *_ = receiver.next()
    e = json.loads(body)
    verify(server, e, tmp_path)
    assert headers["x-amz-sns-message-type".title()] == "SubscriptionConfirmation" == e["Type"]
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    sns.publish(TopicArn=topic, Message="nobody hears it")
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    # The link is followed without a signature; a wrong token is not.
    wrong = e["SubscribeURL"].replace(e["Token"], "0" * 128)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(wrong, timeout=10)
    assert caught.value.code == 400 and b"<Code>InvalidParameter</Code>" in caught.value.read()
    with urllib.request.urlopen(e["SubscribeURL"], timeout=10) as answer:
        text = answer.read().decode()
    sub = text.partition("<SubscriptionArn>")[2].partition("</SubscriptionArn>")[0]
    got = sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"]
    assert got["PendingConfirmation"] == "false" and got["ConfirmationWasAuthenticated"] == "false"
    assert json.loads(got["EffectiveDeliveryPolicy"])["healthyRetryPolicy"]["numRetries"] == 3
    sent = sns.publish(TopicArn=topic, Message="hello", Subject="subject")
    headers, body, *_ = receiver.next()
    e = json.loads(body)
    verify(server, e, tmp_path)
    assert e["Message"] == "hello" and e["MessageId"] == sent["MessageId"] == headers["X-Amz-Sns-Message-Id"]
    assert headers["X-Amz-Sns-Subscription-Arn"] == sub
    # The link to unsubscribe is one too, and the endpoint may think better of it.
    urllib.request.urlopen(e["UnsubscribeURL"], timeout=10).close()
    _, body, *_ = receiver.next()
    farewell = json.loads(body)
    assert farewell["Type"] == "UnsubscribeConfirmation"
    sns.publish(TopicArn=topic, Message="not for it")
    urllib.request.urlopen(farewell["SubscribeURL"], timeout=10).close()
    sns.set_subscription_attributes(SubscriptionArn=sub, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, Message="raw")
    headers, body, *_ = receiver.next()
    assert body == b"raw" and headers["X-Amz-Sns-Rawdelivery"] == "true"
    sns.unsubscribe(SubscriptionArn=sub)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_a_failed_delivery_is_tried_again_and_then_given_up(sns, sqs, url, topic, receiver):
    sub = confirmed(sns, topic, receiver, DeliveryPolicy=json.dumps({"healthyRetryPolicy": {"numRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}}),
                    RedrivePolicy=json.dumps({"deadLetterTargetArn": arn_of(sqs, url)}))
    receiver.answers.extend([503, 503])
    sns.publish(TopicArn=topic, Message="third time lucky")
    times = [receiver.next()[2] for _ in range(3)]
    assert times[1] - times[0] > 0.9 and times[2] - times[1] > 0.9
    receiver.answers.extend([500, 500, 500])
    sns.publish(TopicArn=topic, Message="never")
    assert {json.loads(receiver.next()[1])["Message"] for _ in range(3)} == {"never"}
    assert json.loads(receive(sqs, url)[0]["Body"])["Message"] == "never"
    receiver.answers.append(404)  # trying again would not help
    sns.publish(TopicArn=topic, Message="not here")
    receiver.next()
    assert json.loads(receive(sqs, url)[0]["Body"])["Message"] == "not here"
    assert receiver.requests.empty()
    sns.unsubscribe(SubscriptionArn=sub)


def confirmed(sns, topic, receiver, **attributes):
    """The ARN of a subscription of the receiver."""
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url, Attributes=attributes)
    return sns.confirm_subscription(TopicArn=topic, Token=json.loads(receiver.next()[1])["Token"])["SubscriptionArn"]


def test_nothing_is_delivered_to_the_server_itself(sns, topic, server):
    port = urllib.parse.urlsplit(server.url).port
    inner = (server.home / "inner.port").read_text().strip()
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
        for p in (port, inner):
            with refused("InvalidParameter", "this server"):
                sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://{host}:{p}/")
    with refused("InvalidParameter", "link-local"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://169.254.169.254/latest/api/token")


def test_the_unsigned_door_is_narrow(server, topic):
    def get(query, method="GET", data=None):
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{server.url}/?{query}", method=method, data=data), timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as e:
            return e.code
    arn = urllib.parse.quote(topic)
    assert get(f"Action=DeleteTopic&TopicArn={arn}") in (400, 403)
    assert get(f"Action=Publish&TopicArn={arn}&Message=x") in (400, 403)
    assert get(f"Action=ConfirmSubscription&TopicArn={arn}&Token=x") == 400
    assert get(f"Action=ConfirmSubscription&TopicArn={arn}&Token=x", "POST", b"") in (400, 403, 405)
    assert get("Action=Unsubscribe&SubscriptionArn=" + arn) == 400


def test_topics_are_made_listed_tagged_and_deleted(sns, sqs, url, server):
    name = unique("life")
    arn = sns.create_topic(Name=name, Attributes={"DisplayName": "d"}, Tags=[{"Key": "team", "Value": "blue"}])["TopicArn"]
    assert arn == f"arn:aws:sns:{server.region}:{server.account}:{name}"
    assert sns.create_topic(Name=name)["TopicArn"] == arn
    with refused("InvalidParameter", "different attributes"):
        sns.create_topic(Name=name, Attributes={"DisplayName": "e"})
    assert {"TopicArn": arn} in [t for p in sns.get_paginator("list_topics").paginate() for t in p["Topics"]]
    got = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert got["DisplayName"] == "d" and got["Owner"] == server.account and json.loads(got["Policy"])["Statement"]
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    sub = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=arn_of(sqs, url))["SubscriptionArn"]
    assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=arn_of(sqs, url))["SubscriptionArn"] == sub
    assert sub in [s["SubscriptionArn"] for p in sns.get_paginator("list_subscriptions").paginate() for s in p["Subscriptions"]]
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    with refused("NotFound", "Topic does not exist", 404):
        sns.publish(TopicArn=arn, Message="x")
    with refused("NotFound", status=404):
        sns.get_subscription_attributes(SubscriptionArn=sub)
    with refused("ResourceNotFound", status=404):
        sns.list_tags_for_resource(ResourceArn=arn)


@pytest.mark.parametrize("call, code, message", [
    (lambda c, t: c.create_topic(Name="a b"), "InvalidParameter", "Topic Name"),
    (lambda c, t: c.create_topic(Name="a.fifo", Attributes={"FifoTopic": "true"}), "InvalidParameter", "FIFO"),
    (lambda c, t: c.subscribe(TopicArn=t, Protocol="email", Endpoint="a@b.example"), "InvalidParameter", "email"),
    (lambda c, t: c.subscribe(TopicArn=t, Protocol="pigeon", Endpoint="x"), "InvalidParameter", "pigeon"),
    (lambda c, t: c.subscribe(TopicArn=t, Protocol="https", Endpoint="http://a.example/"), "InvalidParameter", "protocol"),
    (lambda c, t: c.subscribe(TopicArn=t, Protocol="sqs", Endpoint="x"), "InvalidParameter", "SQS"),
    (lambda c, t: c.publish(TopicArn=t, Message=""), "InvalidParameter", "Empty message"),
    (lambda c, t: c.publish(TopicArn=t, Message="x" * 262145), "InvalidParameter", "too long"),
    (lambda c, t: c.publish(TopicArn="x", Message="x"), "InvalidParameter", "TopicArn"),
    (lambda c, t: c.publish(PhoneNumber="+15550100", Message="x"), "InvalidParameter", "SMS"),
    (lambda c, t: c.publish(TopicArn=t, Message="x", MessageAttributes={"a": {"DataType": "Number", "StringValue": "b"}}), "ParameterValueInvalid", "number"),
    (lambda c, t: c.confirm_subscription(TopicArn=t, Token="x"), "InvalidParameter", "Token"),
    (lambda c, t: c.set_topic_attributes(TopicArn=t, AttributeName="Owner", AttributeValue="x"), "InvalidParameter", "AttributeName"),
    (lambda c, t: c.publish_batch(TopicArn=t, PublishBatchRequestEntries=[]), "EmptyBatchRequest", ""),
])
def test_what_sns_refuses(sns, topic, call, code, message):
    with refused(code, message):
        call(sns, topic)


def test_an_alarm_tells_its_topic(server, sns, sqs, url, topic):
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(sqs, url))
    cloudwatch, name = server.client("cloudwatch"), unique("alarm")
    cloudwatch.put_metric_alarm(AlarmName=name, AlarmActions=[topic], Namespace="N", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
                                Threshold=1, ComparisonOperator="GreaterThanThreshold")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    (m,) = receive(sqs, url)
    told = json.loads(m["Body"])
    assert told["Subject"].startswith(f'ALARM: "{name}" in ')
    assert json.loads(told["Message"])["NewStateReason"] == "a test"
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_a_poll_does_not_hold_up_a_server_that_stops(other):
    home = other("polls")
    sqs = home.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)))
    waiting.start()
    time.sleep(0.5)
    began = time.monotonic()
    home.stop()
    waiting.join()
    assert time.monotonic() - began < 8 and "Messages" not in answers[0]


def test_kill_loses_nothing(other):
    """What was answered before kill -9 is delivered after it: by the topic to the queue, and by the queue once."""
    home = other("notifications")
    receiver = Receiver()
    try:
        sqs, sns = home.client("sqs"), home.client("sns")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        topic = sns.create_topic(Name="t")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(sqs, url), Attributes={"RawMessageDelivery": "true"})
        confirmed(sns, topic, receiver, RawMessageDelivery="true", DeliveryPolicy=json.dumps(
            {"healthyRetryPolicy": {"numRetries": 60, "minDelayTarget": 1, "maxDelayTarget": 1}}))
        receiver.default = 503
        answered, stop = [], threading.Event()

        def publish():
            while not stop.is_set():
                text = f"m{len(answered)}"
                try:
                    sns.publish(TopicArn=topic, Message=text)
                except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                    return
                answered.append(text)
        worker = threading.Thread(target=publish)
        worker.start()
        poll(lambda: len(answered) > 100, 30, "messages")
        home.kill()
        stop.set()
        worker.join()
        receiver.default = 200
        home.start()
        sqs = home.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        got = collections.Counter()
        end = time.monotonic() + 60
        while set(answered) - set(got) and time.monotonic() < end:
            for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
                got[m["Body"]] += 1
                sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
        assert not set(answered) - set(got)
        assert set(got.values()) == {1}
        heard = set()
        end = time.monotonic() + 90
        while set(answered) - heard and time.monotonic() < end:
            try:
                _, body, _, code = receiver.next(1)
                heard |= {body.decode()} if code == 200 else set()
            except queue.Empty:
                pass
        assert not set(answered) - heard, "messages were answered and did not come to the endpoint"
    finally:
        receiver.close()
