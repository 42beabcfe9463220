# SPDX-License-Identifier: Apache-2.0
"""Create to settled: a training job of 1,000 rows, and an endpoint."""

import itertools
import json
import shutil

import numpy

from lab import Result, median, ms, spread, table
from support.server import poll
from support.work import FAST, channel, csv

HYPER = {"objective": "binary:logistic", "num_round": "10", "eval_metric": "logloss"}


def training(lab):
    """CreateTrainingJob to Completed, beside the algorithm alone on the same rows."""
    result, bench = Result(), lab.workbench("training")
    draw = numpy.random.default_rng(1)
    x = draw.standard_normal((1000, 30)).astype("float32")
    y = (x[:, 0] + x[:, 1] * x[:, 2] + draw.standard_normal(1000) > 0).astype(int)
    rows = csv(y, x)
    uri = bench.put("thousand/part-0.csv", rows, up=1)
    alone = lab.dir / "alone"
    for folder in ("input/config", "input/data/train"):
        (alone / folder).mkdir(parents=True)
    (alone / "input/data/train/part-0.csv").write_bytes(rows)
    for name, content in (("hyperparameters", HYPER), ("inputdataconfig", {"train": {
            "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None",
            "ContentType": "text/csv"}}), ("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})):
        (alone / f"input/config/{name}.json").write_text(json.dumps(content))

    jobs, algorithm = [], []
    for i in range(3 if lab.quick else 20):
        shutil.rmtree(alone / "model", ignore_errors=True)
        algorithm.append(lab.measure(lab.binary, "algo", "train", "xgboost", "--root", alone)["seconds"])
        request = bench.request(f"thousand-{i}", InputDataConfig=[channel("train", uri)])
        request["HyperParameters"] = HYPER
        jobs.append(lab.load("settle", *lab.at(bench.server), "-noun", "TrainingJob", "-body",
                             lab.file("request.json", request)))
        if jobs[-1]["status"] != "Completed":
            raise RuntimeError(f"the job {request['TrainingJobName']} is {jobs[-1]['status']}: {jobs[-1]['describe']}")
    beyond = [j["seconds"] - a for j, a in zip(jobs, algorithm)]
    result.target("CreateTrainingJob to Completed, beyond the algorithm's own time; 1,000 rows x 30, 10 rounds",
                  "< 500 ms", spread(beyond, ms), met=max(beyond) < 0.5)
    states = {}
    for job in jobs:
        for t in job["describe"]["SecondaryStatusTransitions"]:
            states.setdefault(t["Status"], []).append(t["EndTime"] - t["StartTime"])
    result.say(f"{len(jobs)} runs, each after a run of `sagebrush algo train xgboost` alone on the same file. The caller asks "
               "every 5 ms. Median (least–most):")
    result.say(*table(["what", "time"], [
        ["request to answer of CreateTrainingJob", spread((j["created"] for j in jobs), ms)],
        ["request to Completed seen", spread((j["seconds"] for j in jobs), ms)],
        ["algorithm alone, its process and all", spread(algorithm, ms)],
        ["beyond the algorithm", spread(beyond, ms)],
        *([f"in the state {state}", spread(took, ms)] for state, took in states.items() if state != "Completed")]))
    lab.done(bench.server)
    return result


def endpoints(lab):
    """CreateEndpoint to InService."""
    result, bench = Result(), lab.workbench("endpoints")
    model = bench.train("deployed")["ModelArtifacts"]["S3ModelArtifacts"]
    bench.sagemaker.create_model(ModelName="deployed", ExecutionRoleArn=bench.role,
                                 PrimaryContainer={"Image": bench.image, "ModelDataUrl": model})
    bench.sagemaker.create_endpoint_config(EndpointConfigName="deployed", ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": "deployed", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    seen = []
    for i in range(3 if lab.quick else 20):
        request = {"EndpointName": f"deployed-{i}", "EndpointConfigName": "deployed"}
        seen.append(lab.load("settle", *lab.at(bench.server), "-noun", "Endpoint", "-while", "Creating", "-body",
                             lab.file("request.json", request)))
        if seen[-1]["status"] != "InService":
            raise RuntimeError(f"the endpoint is {seen[-1]['status']}: {seen[-1]['describe']}")
        bench.sagemaker.delete_endpoint(EndpointName=request["EndpointName"])
        bench.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=request["EndpointName"], WaiterConfig=FAST)
        poll(lambda: not bench.server.tasks(), 30, "the serving task to end", every=0.01)
    took = [s["seconds"] for s in seen]
    result.target("CreateEndpoint to InService", "< 500 ms", spread(took, ms), met=max(took) < 0.5)
    result.say(f"{len(took)} runs, one endpoint at a time: one variant, one instance, the breast cancer model. The caller asks every "
               f"5 ms. Median {ms(median(took))}, the slowest {ms(max(took))}; in order: "
               + ", ".join(itertools.islice((ms(t) for t in took), 20)) + ".")
    lab.done(bench.server)
    return result
