# SPDX-License-Identifier: Apache-2.0
"""A multi-model endpoint with a thousand models: the first request of each, requests to some more than others, memory."""

from lab import Result, count, median, memory, mib, ms, proportional_memory, spread, table
from support.work import FAST, csv

CONNECTIONS = 8


def run(lab):
    result, bench = Result(), lab.workbench("multimodel")
    models, rounds, seconds = (100, 1, 1) if lab.quick else (1000, 5, 4)
    artifact = bench.train("small", hyper={"num_round": "50"})["ModelArtifacts"]["S3ModelArtifacts"]
    content = bench.get(artifact)
    for i in range(models):
        bench.put(f"models/{i}.tar.gz", content)
    bench.sagemaker.create_model(ModelName="many", ExecutionRoleArn=bench.role, PrimaryContainer={
        "Image": bench.image, "ModelDataUrl": f"s3://{bench.bucket}/models/", "Mode": "MultiModel"})
    bench.sagemaker.create_endpoint_config(EndpointConfigName="many", ProductionVariants=[
        {"VariantName": "v", "ModelName": "many", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    bench.sagemaker.create_endpoint(EndpointName="many", EndpointConfigName="many")
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="many", WaiterConfig=FAST)
    task = sorted(bench.server.tasks())
    bench.deploy(artifact, name="one")
    row = csv(bench.held_out[:1]).strip()
    expected, _ = bench.ask("one", row, accept="text/csv")
    body = lab.file("row.csv", row)

    def drive(endpoint, *more):
        target = ("-header", "X-Amzn-SageMaker-Target-Model: %d.tar.gz") if endpoint == "many" else ()
        d = lab.load("drive", *lab.at(bench.server), "-path", f"/endpoints/{endpoint}/invocations", "-body", body, "-header", "Accept: text/csv",
                     *target, *more)
        return d

    def held():
        pids = [bench.server.process.pid, *task]
        return [sum(memory(p)[0] for p in pids), sum(map(proportional_memory, pids)), proportional_memory(pids[0])]
    before = held()
    first = drive("many", "-conns", 1, "-serial", 0, "-count", models, "-tally", "body")
    assert all(list(s["of"]) == [expected] for s in first["slots"]), f"a model does not answer {expected}"
    second = drive("many", "-conns", 1, "-serial", 0, "-count", models)
    after = held()
    skewed, one = [], []
    for r in range(rounds):
        for who in ((skewed, one) if r % 2 == 0 else (one, skewed)):
            who.append(drive("many" if who is skewed else "one", "-conns", CONNECTIONS, "-for", f"{seconds}s",
                             *(("-random", models, "-hot", models // 10, "-hot-share", 0.9) if who is skewed else ())))
    last = held()
    every = [first, second, *skewed, *one]
    errors = sum(d["errors"] for d in every)
    result.target(f"multi-model, {models:,} models: errors of all requests", "0", f"{errors} of {count(sum(d['sent'] for d in every))}", met=errors == 0)
    result.target(f"multi-model, {models:,} models: resident memory of server and task, all models loaded", "< 1 GB", mib(last[0]),
                  f"{mib(before[0])} with none", met=last[0] < 1e9)
    result.target(f"multi-model, {models:,} models: the first request of a model, p99", "–", ms(first["p99"]), f"{ms(second['p50'])} p50 of the next ones")
    ratio = [a["perSecond"] / b["perSecond"] for a, b in zip(skewed, one)]
    result.target(f"multi-model, {models:,} models: requests a second, 90 % of them to a tenth of the models, {CONNECTIONS} connections", "–",
                  spread((d["perSecond"] for d in skewed), count), count(median(d["perSecond"] for d in one)) + " of an endpoint with one model",
                  spread(ratio, "{:.2f}"))
    result.say(f"One endpoint, one instance, the built-in XGBoost with 50 trees of the breast cancer data {models:,} times over, each an object of its own. "
               "One connection asks each model once, in order: the model is fetched, unpacked, loaded by the container and asked. Then once more. "
               f"Then {CONNECTIONS} connections draw models, 90 % of the requests for a tenth of them, {rounds} round(s) of {seconds} s in turn with "
               "an endpoint of the same server that has this model alone.")
    result.say(*table(["what", "requests/s", "p50", "p99", "slowest"], [
        ["first request of a model", count(first["perSecond"]), ms(first["p50"]), ms(first["p99"]), ms(first["max"])],
        ["second request of a model", count(second["perSecond"]), ms(second["p50"]), ms(second["p99"]), ms(second["max"])],
        *([what, spread((d["perSecond"] for d in ds), count), spread((d["p50"] for d in ds), ms), spread((d["p99"] for d in ds), ms),
           ms(max(d["max"] for d in ds))] for what, ds in ((f"{CONNECTIONS} connections, drawn", skewed), (f"{CONNECTIONS} connections, one model", one)))]))
    result.say(*table(["memory of server and task", "resident", "PSS", "PSS of the server"], [
        [what, *map(mib, h)] for what, h in (("no model loaded", before), (f"{models:,} models loaded", after), ("after the rounds", last))]))
    lab.done(bench.server)
    return result
