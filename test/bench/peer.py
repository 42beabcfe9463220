# SPDX-License-Identifier: Apache-2.0
"""The peer of InvokeEndpoint: a model of XGBoost behind FastAPI, written as one would who cares for speed.

The row goes to inplace_predict, which needs no DMatrix, with one thread, which is quickest for one row; the handler is
a coroutine, since a thread for so short a work costs more than it.
"""

import os

import numpy
import xgboost
from fastapi import FastAPI, Request, Response

booster = xgboost.Booster({"nthread": 1})
with open(os.environ["PEER_MODEL"], "rb") as f:
    booster.load_model(bytearray(f.read()))
app = FastAPI()


@app.post("/endpoints/{name}/invocations")
async def invocations(name: str, request: Request) -> Response:
    text = (await request.body()).decode()
    rows = numpy.array([line.split(",") for line in text.splitlines()], dtype=numpy.float32)
    scores = booster.inplace_predict(rows)
    return Response(",".join(repr(float(s)) for s in scores), media_type="text/csv")


@app.get("/ping")
async def ping() -> Response:
    return Response()
