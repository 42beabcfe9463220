# SPDX-License-Identifier: Apache-2.0
"""Create, Describe and List with few and with many training jobs stored."""

import time

from lab import Result, count, median, ms, spread, table
from support.server import poll


NOWHERE = "NameContains that none has"  # every name must be looked at, so this one grows with their number


def pages(middle):
    """The list requests that are timed, {what: request}; middle is a page token deep in each order."""
    hundred = {"MaxResults": 100}
    yield "first page, no order asked for", hundred
    for sort in ("Name", "CreationTime", "Status"):
        for order in ("Ascending", "Descending"):
            yield f"first page by {sort}, {order}", {**hundred, "SortBy": sort, "SortOrder": order}
        yield f"deep page by {sort}, Ascending", {**hundred, "SortBy": sort, "SortOrder": "Ascending", "NextToken": middle[sort]}
    yield "StatusEquals Completed (7 of 10)", {**hundred, "StatusEquals": "Completed"}
    yield "StatusEquals Stopped (1 of 10)", {**hundred, "StatusEquals": "Stopped"}
    yield "StatusEquals InProgress (none)", {**hundred, "StatusEquals": "InProgress"}
    yield "StatusEquals Stopped by Name", {**hundred, "StatusEquals": "Stopped", "SortBy": "Name"}
    yield "NameContains that all have", {**hundred, "NameContains": "ENCH"}
    yield "NameContains that 1 of 3 has", {**hundred, "NameContains": "5"}
    yield NOWHERE, {**hundred, "NameContains": "nowhere"}


def home(lab, jobs):
    """A server with so many jobs stored, and how it came to be."""
    bench = lab.workbench(f"records-{jobs}-jobs")  # no home may be the beginning of another
    like = bench.train("like")
    bench.server.stop()
    filled = lab.load("fill", "-home", bench.server.home, "-like", like["TrainingJobArn"], "-count", jobs)
    begin = time.monotonic()
    bench.server.start()
    filled["start"] = time.monotonic() - begin
    fresh = type(bench).__new__(type(bench))  # the same role and data, clients of the new address
    fresh.__dict__.update(bench.__dict__)
    fresh.sagemaker = bench.server.client("sagemaker")
    fresh.model_data = like["ModelArtifacts"]["S3ModelArtifacts"]
    fresh.middle = {}
    for sort in ("Name", "CreationTime", "Status"):
        token = {}
        for _ in range(min(jobs // 100 // 2, 100)):
            page = fresh.sagemaker.list_training_jobs(MaxResults=100, SortBy=sort, SortOrder="Ascending", **token)
            token = {"NextToken": page["NextToken"]}
        fresh.middle[sort] = token["NextToken"]
    return fresh, filled


def run(lab):
    result = Result()
    few, many = (1000, 10_000) if lab.quick else (1000, 100_000)
    homes = {n: home(lab, n) for n in (few, many)}
    rounds, seconds = (1, 0.2) if lab.quick else (5, 0.4)

    def drive(n, operation, request, *flags):
        d = lab.load("drive", *lab.at(homes[n][0].server), "-op", operation, "-body", lab.file("body.json", request), *flags)
        if d["errors"]:
            raise RuntimeError(f"{operation}: {d['errors']} errors, the first: {d['firstError']}")
        return d

    wanted = {n: dict(pages(homes[n][0].middle)) for n in homes}
    took = {(n, what): [] for n in homes for what in wanted[n]}
    for r in range(rounds):
        for what in wanted[few]:
            for n in ((few, many) if r % 2 == 0 else (many, few)):
                took[n, what].append(drive(n, "ListTrainingJobs", wanted[n][what], "-for", f"{seconds}s", "-warm", "50ms")["p50"])
    rows, flat = [], {}
    for what in wanted[few]:
        r = [b / a for a, b in zip(took[few, what], took[many, what])]
        flat[what] = median(r)
        size = len(homes[many][0].sagemaker.list_training_jobs(**wanted[many][what])["TrainingJobSummaries"])
        rows.append([what, size, spread(took[few, what], ms), spread(took[many, what], ms), spread(r, "{:.2f}")])
    full = {w: f for w, f in flat.items() if w != NOWHERE}
    worst = max(full, key=full.get)
    result.target(f"List page time, {many:,} jobs against {few:,}; the worst of {len(full)} kinds: {worst}", "flat (≤ 1.5x)",
                  ms(median(took[many, worst])), f"{ms(median(took[few, worst]))} with {few:,}", f"{full[worst]:.2f}",
                  met=full[worst] <= 1.5)
    result.target(f"List page time, {NOWHERE}, {many:,} jobs", "–", ms(median(took[many, NOWHERE])),
                  f"{ms(median(took[few, NOWHERE]))} with {few:,}", f"{flat[NOWHERE]:.2f}")

    rates = operations(lab, homes, drive, few, many)
    for what in ("DescribeTrainingJob, 1 connection", "ListTrainingJobs of 100, 1 connection", "CreateModel, 1 connection",
                 "CreateTrainingJob, 8 connections"):
        a, b = (rates[n, what] for n in (few, many))
        result.target(f"{what}, {many:,} jobs stored", "–", f"{count(median(b))}/s", f"{count(median(a))}/s with {few:,}",
                      spread([y / x for x, y in zip(a, b)], "{:.2f}"))
    filled = homes[many][1]
    result.say(f"The jobs are copies of one that ran to its end, {filled['docBytes']:,} bytes each, put into the home's store by the load "
               f"generator (`load fill`) while the server is down: {filled['count']:,} in {filled['seconds']:.1f} s. With them the server "
               f"starts in {ms(filled['start'])}, with {few:,} in {ms(homes[few][1]['start'])}.")
    result.say(f"Operations per second, median (least–most) of {len(rates[few, 'DescribeTrainingJob, 1 connection'])} rounds that take "
               "turns between the two homes:")
    result.say(*table(["operation", f"{few:,} jobs", f"{many:,} jobs", "ratio"], [
        [what, spread(rates[few, what], count), spread(rates[many, what], count),
         spread([y / x for x, y in zip(rates[few, what], rates[many, what])], "{:.2f}")] for n, what in rates if n == few]))
    size = homes[many][0].server.home.joinpath("state.db").stat().st_size / 2**20
    result.say("CreateTrainingJob is answered while the jobs before it already run on the same cores; `training jobs to their end` is how "
               "many a second were done when all had been created and had completed. CreateModel stores a record and starts nothing. "
               f"DescribeTrainingJob asks for jobs at random: with {many:,} the file is {size:,.0f} MiB, and a row is rarely in "
               "SQLite's own cache.")
    result.say(f"Time of a list page of 100, one connection, p50 of {seconds} s, median (least–most) of {rounds} rounds. A deep page is "
               f"{min(few, 20_000) // 2:,} and {min(many, 20_000) // 2:,} jobs from the first:")
    result.say(*table(["page", "rows", f"{few:,} jobs", f"{many:,} jobs", "ratio"], rows))
    for bench, _ in homes.values():
        lab.done(bench.server)
    return result


def operations(lab, homes, drive, few, many):
    """{(jobs stored, what): [operations per second of each round]}"""
    rounds, length = (1, "300ms") if lab.quick else (5, "1s")
    rates, serial = {}, 0

    def add(n, what, value):
        rates.setdefault((n, what), []).append(value)

    for r in range(rounds):
        for n in ((few, many) if r % 2 == 0 else (many, few)):
            bench = homes[n][0]
            for c in (1, 32):
                several = f"{c} connection{'s' if c > 1 else ''}"
                flags = "-conns", c, "-for", length, "-warm", "50ms"
                add(n, f"DescribeTrainingJob, {several}", drive(
                    n, "DescribeTrainingJob", {"TrainingJobName": "bench-%06d"}, "-random", n, *flags)["perSecond"])
                add(n, f"ListTrainingJobs of 100, {several}", drive(
                    n, "ListTrainingJobs", {"MaxResults": 100}, *flags)["perSecond"])
                d = drive(n, "CreateModel", {"ModelName": "bench-%d", "ExecutionRoleArn": bench.role, "PrimaryContainer": {
                    "Image": bench.image, "ModelDataUrl": bench.model_data}}, "-serial", serial, *flags)
                serial += d["sent"]
                add(n, f"CreateModel, {several}", d["perSecond"])
    jobs = 10 if lab.quick else 50
    for r in range(min(rounds, 3)):
        for n in ((few, many) if r % 2 == 0 else (many, few)):
            bench = homes[n][0]
            request = bench.request(f"made-{r}-%d")
            begin = time.monotonic()
            d = drive(n, "CreateTrainingJob", request, "-serial", 0, "-count", jobs, "-conns", 8)
            add(n, "CreateTrainingJob, 8 connections", d["perSecond"])
            poll(lambda: not bench.sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"], 120,
                 "the jobs to end", every=0.02)
            add(n, f"training jobs to their end, {jobs} at a time", jobs / (time.monotonic() - begin))
            last = bench.sagemaker.describe_training_job(TrainingJobName=f"made-{r}-{jobs - 1}")
            if last["TrainingJobStatus"] != "Completed":
                raise RuntimeError(f"the job is {last['TrainingJobStatus']}: {last.get('FailureReason')}")
    return rates
