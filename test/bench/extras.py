# SPDX-License-Identifier: Apache-2.0
"""What data capture and a shadow variant cost the requests of an endpoint."""

import time

from lab import Result, count, median, ms, spread, table
from support.work import FAST, csv

CONNECTIONS = (1, 8)


def run(lab):
    result, bench = Result(), lab.workbench("extras")
    rounds, seconds = (1, 1) if lab.quick else (5, 3)
    bench.sagemaker.create_model(ModelName="m", ExecutionRoleArn=bench.role, PrimaryContainer={
        "Image": bench.image, "ModelDataUrl": bench.train("m", hyper={"num_round": "50"})["ModelArtifacts"]["S3ModelArtifacts"]})

    def variant(name):
        return {"VariantName": name, "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
    kinds = {"plain": {}, "capture": {"DataCaptureConfig": {
        "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": f"s3://{bench.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}], "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]}}},
        "shadow": {"ShadowProductionVariants": [variant("shadow")]}}
    for name, more in kinds.items():
        bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant("v")], **more)
        bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    body = lab.file("row.csv", csv(bench.held_out[:1]).strip())
    seen = {(name, c): [] for name in kinds for c in CONNECTIONS}
    for r in range(rounds):
        for c in CONNECTIONS:
            for name in (list(kinds) if r % 2 == 0 else list(kinds)[::-1]):
                seen[name, c].append(lab.load("drive", *lab.at(bench.server), "-path", f"/endpoints/{name}/invocations", "-body", body,
                                              "-conns", c, "-for", f"{seconds}s"))
    asked = sum(d["sent"] for c in CONNECTIONS for d in seen["capture", c])
    time.sleep(7)  # a file is written five seconds after its first line
    kept = sum(bench.get(f"s3://{bench.bucket}/{key}").count(b"\n") for key in bench.keys(f"s3://{bench.bucket}/captured/"))
    result.target("data capture, all requests: lines in S3", "= requests", count(kept), count(asked) + " requests", met=kept == asked)
    errors = sum(d["errors"] for ds in seen.values() for d in ds)
    assert not errors, f"{errors} requests failed"
    rows = []
    for c in CONNECTIONS:
        for name in kinds:
            ratio = spread([a["perSecond"] / b["perSecond"] for a, b in zip(seen[name, c], seen["plain", c])], "{:.2f}")
            speed = spread((d["perSecond"] for d in seen[name, c]), count)
            rows.append([c, name, speed, ratio, spread((d["p50"] for d in seen[name, c]), ms), spread((d["p99"] for d in seen[name, c]), ms)])
            if name != "plain":
                what = {"capture": "data capture of all requests and answers", "shadow": "a shadow variant that gets all requests"}[name]
                result.target(f"InvokeEndpoint per second with {what}, {c} connection{'s' if c > 1 else ''}", "–", speed,
                              count(median(d["perSecond"] for d in seen["plain", c])) + " without", ratio)
    result.say(f"{rounds} round(s) of {seconds} s for each endpoint, in turn; one instance each, the shadow's on the same processors, one CSV row. "
               "Informative: what is captured is written, and a copy for a shadow is a second prediction.")
    result.say(*table(["connections", "endpoint", "requests/s", "beside plain", "p50", "p99"], rows))
    lab.done(bench.server)
    return result
