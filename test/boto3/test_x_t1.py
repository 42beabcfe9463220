from support import scripts
def test_x(other):
    bench = scripts.ScriptBench(other("x"))
    why, job = bench.bad("", files={"requirements.txt": b"sagebrush-no-such-package-xyz==9.9.9\n"}.items())
    print(why); print("\n".join(bench.log(job["TrainingJobName"])))
    for t in job["SecondaryStatusTransitions"]: print(t["StartTime"].strftime("%H:%M:%S.%f"), t["Status"])
    print(bench.server.tail())
    why, job = bench.bad("", files={"requirements.txt": b"??? not a requirement\n"}.items())
    print(why); print("\n".join(bench.log(job["TrainingJobName"])))
