# SPDX-License-Identifier: Apache-2.0
"""Cold starts: InvokeEndpoint of a serverless endpoint that has no instance."""

import time

from lab import Result, ms, spread, table
from support.server import poll
from support.work import csv


def run(lab):
    result, bench = Result(), lab.workbench("serverless", "--serverless-idle", "100ms")
    model = bench.train("cold", hyper={"num_round": "50"})["ModelArtifacts"]["S3ModelArtifacts"]
    # A workbench's variants have instances; a serverless one is asked for by hand.
    bench.sagemaker.create_model(ModelName="cold", ExecutionRoleArn=bench.role,
                                 PrimaryContainer={"Image": bench.image, "ModelDataUrl": model})
    bench.sagemaker.create_endpoint_config(EndpointConfigName="cold", ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": "cold", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}])
    bench.sagemaker.create_endpoint(EndpointName="cold", EndpointConfigName="cold")
    poll(lambda: bench.sagemaker.describe_endpoint(EndpointName="cold")["EndpointStatus"] == "InService", 30, "the endpoint to be in service")
    row = csv(bench.held_out[:1]).strip()
    expected, _ = bench.ask("cold", row, accept="text/csv")
    sent, path = lab.file("row.csv", row), "/endpoints/cold/invocations"

    def ask(count):
        d = lab.load("drive", *lab.at(bench.server), "-path", path, "-body", sent, "-header", "Accept: text/csv",
                     "-serial", 0, "-count", count, "-tally", "body")
        if d["errors"] or any(list(s["of"]) != [expected] for s in d["slots"]):
            raise RuntimeError(f"a cold start answered {d['firstError'] or d['slots']}, not {expected}")
        return d

    cold, warm = [], []
    for _ in range(5 if lab.quick else 200):
        poll(lambda: not bench.server.tasks(), 30, "the instance to go", every=0.02)
        time.sleep(0.05)  # what it leaves behind is put away
        cold.append(ask(1)["max"])
        warm.append(ask(20)["p50"])
    ordered = sorted(cold)
    p50, p99 = ordered[len(cold) // 2], ordered[min(len(cold) - 1, int(0.99 * len(cold)))]
    result.target(f"serverless: InvokeEndpoint with no instance, p99 of {len(cold)} cold starts", "< 150 ms", ms(p99), f"{ms(p50)} p50",
                  met=p99 < 0.15)
    result.say(f"The built-in XGBoost with the breast cancer model, {len(cold)} times: the instance goes after 100 ms without a request "
               "(`--serverless-idle 100ms`; 5 minutes by default), its processes end, and a request comes, signed, over a connection that is "
               "open. It waits while the model's files are laid out, the processes start, the model is loaded and `/ping` answers.")
    result.say(*table(["what", "value"], [
        ["first request, median (least–most)", spread(cold, ms)], ["first request, p90", ms(ordered[int(0.9 * len(cold))])],
        ["first request, p99", ms(p99)], ["the next requests", spread(warm, ms)]]))
    lab.done(bench.server)
    return result
