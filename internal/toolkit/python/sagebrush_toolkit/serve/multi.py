# SPDX-License-Identifier: Apache-2.0
"""Several models behind one socket: the container API of multi-model endpoints.

Each model is served by processes of its own (one.py), as in AWS's containers:
so scripts with modules of the same name do not meet, one that dies takes no
other with it, and memory that was taken for a model is given back. This process
alone knows which are loaded, and passes requests on.

Source: "Custom Containers Contract for Multi-Model Endpoints" of the SageMaker
developer guide; texts of errors are Multi Model Server's.
"""

import json
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
import urllib.parse

from sagebrush_toolkit.content_types import JSON
from sagebrush_toolkit.errors import ClientError
from sagebrush_toolkit.folders import Folders, cpus
from sagebrush_toolkit.serve import answers, memory, one
from sagebrush_toolkit.serve.defaults import Defaults
from sagebrush_toolkit.serve.worker import Worker, wakeup

log = logging.getLogger("sagebrush-toolkit")

# How much of the container's memory models may take. The rest is for what
# requests need.
SHARE = 0.9

# Models that one answer of GET /models tells.
PAGE = 100

# Seconds that requests have to come to their end; the platform waits for 30.
_DRAIN = 25


class Fault(Exception):
    """An error that is told as Multi Model Server tells it."""

    def __init__(self, status, kind, text):
        super().__init__(text)
        self.status, self.kind = status, kind


def _not_found(name):
    return Fault(404, "ModelNotFoundException", "Model not found: " + name)


class Models:
    """The models that are loaded, by name."""

    def __init__(self, folder):
        self.folder = folder
        self.mutex = threading.Lock()
        self.all = {}  # name → one.Model, being loaded or loaded; guarded by mutex
        self.began = 0  # models so far; guarded by mutex
        self.limit = memory.limit()

    def load(self, name, url):
        """Loads the model in the folder url and returns when it is there.

        Faults: 409 when there is one of that name, 507 when there is no room,
        500 with the trace when its code fails, 404 without such a folder.
        """
        place = Folders().here(url)
        while True:
            with self.mutex:
                model = self.all.get(name)
                if model is None:
                    self.began += 1
                    model = self.all[name] = one.Model(name, url, place, os.path.join(self.folder, str(self.began)))
                    break
            if not model.settled():  # another is loading it
                continue
            raise Fault(409, "ConflictStatusException", "Model %s is already registered." % name)
        try:
            if not os.path.isdir(place):
                raise Fault(404, "ModelNotFoundException", "Model not found at: " + url)
            self._room(name)
            self._start(model)
            self._room(name)
        except BaseException:
            self._drop(model)
            model.end()
            raise
        log.info("model %s of %s is loaded", name, url)

    def _start(self, model):
        failure = model.start()
        if failure is not None:
            no_memory = failure["status"] == 507
            raise Fault(failure["status"], "InsufficientMemoryException" if no_memory else "InternalServerException", failure["text"])

    def _room(self, name):
        used = memory.used() if self.limit else None
        if used is not None and used > SHARE * self.limit:
            raise Fault(507, "InsufficientMemoryException",
                        "No memory for model %s: %d MB of %d MB are taken" % (name, used >> 20, self.limit >> 20))

    def _drop(self, model):
        with self.mutex:
            if self.all.get(model.name) is model:
                del self.all[model.name]
                return True
            return False

    def find(self, name):
        """The model, when it is loaded."""
        with self.mutex:
            model = self.all.get(name)
        if model is None or not model.is_loaded():
            raise _not_found(name)
        return model

    def unload(self, name):
        """Ends a model, or the loading of it, and returns when its memory is free."""
        with self.mutex:
            model = self.all.pop(name, None)
        if model is None:
            raise _not_found(name)
        model.end()
        log.info("model %s is unloaded", name)

    def page(self, first, count):
        """Models first to first + count by name, and whether there are more."""
        with self.mutex:
            loaded = sorted((m.name, m.url) for m in self.all.values() if m.is_loaded())
        return loaded[first:first + count], first + count < len(loaded)

    def invoke(self, name, request):
        """Passes a request on. A model whose processes have died is loaded
        again first."""
        model = self.find(name)
        try:
            with model.starting:
                if model.has_died():
                    log.error("the processes of model %s have ended; it is loaded again", name)
                    self._start(model)
        except Fault:
            self._drop(model)
            model.end()
            raise
        try:
            return model.invoke(request)
        except one.Gone as e:
            raise Fault(500, "InternalServerException", "Model %s gave no answer: %s" % (name, e)) from None

    def close(self):
        """Ends all models."""
        with self.mutex:
            models, self.all = list(self.all.values()), {}
        for model in models:
            model.tell_to_end()
        for model in models:
            model.end()


class Front(Worker):
    """The first process: takes connections and knows the models."""

    def __init__(self, listener, models):
        super().__init__(listener, None, 1, None)
        self.models = models

    def run(self):
        """Serves until it is told to stop; returns the exit code."""
        wake = wakeup()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)
        self.listen()
        while not self.draining:
            self.look(wake)
        self.listener.close()
        self.finish(time.monotonic() + _DRAIN)
        self.models.close()
        return 0

    def answer(self, request):
        try:
            return self._route(request)
        except Fault as e:
            log.error("%s %s: %d: %s", request.method, request.path, e.status, e)
            return _json(e.status, {"code": e.status, "type": e.kind, "message": str(e)})

    def _route(self, request):
        words = [urllib.parse.unquote(word) for word in request.path.split("/")[1:]]
        if words == ["ping"]:
            return self._by_method(request, GET=lambda: answers.Answer(b"", JSON))
        if words == ["execution-parameters"]:
            return self._by_method(request, GET=lambda: _json(200, Defaults().execution_parameters(cpus())))
        if words == ["models"]:
            return self._by_method(request, GET=lambda: self._list(request), POST=lambda: self._load(request))
        if len(words) == 2 and words[0] == "models" and words[1]:
            return self._by_method(request, GET=lambda: self._describe(words[1]), DELETE=lambda: self._unload(words[1]))
        if len(words) == 3 and words[0] == "models" and words[2] == "invoke":
            return self._by_method(request, POST=lambda: self.models.invoke(words[1], request))
        return answers.plain(404, "there is nothing at %s" % request.path)

    def _by_method(self, request, **methods):
        act = methods.get("GET" if request.method == "HEAD" else request.method)
        if act is None:
            return answers.Answer(b"method not allowed\n", "text/plain; charset=utf-8", 405, {"Allow": ", ".join(methods)})
        return act()

    def _load(self, request):
        try:
            wanted = json.loads(request.body)
        except ValueError as e:
            raise Fault(400, "BadRequestException", "The body is no JSON: %s" % e) from None
        for field in ("model_name", "url"):
            if not isinstance(wanted, dict) or not isinstance(wanted.get(field), str) or not wanted[field]:
                raise Fault(400, "BadRequestException", "Parameter %s is required." % field)
        self.models.load(wanted["model_name"], wanted["url"])
        return _json(200, {"status": "Workers scaled"})

    def _unload(self, name):
        self.models.unload(name)
        return _json(200, {"status": "Model \"%s\" unregistered" % name})

    def _describe(self, name):
        model = self.models.find(name)
        return _json(200, {"modelName": model.name, "modelUrl": model.url})

    def _list(self, request):
        query = urllib.parse.parse_qs(request.query)
        first = _number(query, "next_page_token", 0)
        count = min(_number(query, "limit", PAGE) or PAGE, PAGE)
        models, more = self.models.page(first, count)
        document = {"models": [{"modelName": name, "modelUrl": url} for name, url in models]}
        if more:
            document["nextPageToken"] = str(first + count)
        return _json(200, document)


def _number(query, name, default):
    text = query.get(name, [""])[0]
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Fault(400, "BadRequestException", "Parameter %s is no number: %s" % (name, text))
    return int(text) if text else default


def _json(status, document):
    return answers.Answer(json.dumps(document).encode("utf-8"), JSON, status)


def _folder():
    """A folder for sockets, whose paths must not be long."""
    for base in (None, "/tmp"):
        try:
            made = tempfile.mkdtemp(prefix="sb-", dir=base)
        except OSError as e:
            why = e
            continue
        if len(os.fsencode(made)) < 80:
            return made
        os.rmdir(made)
        why = "the path %s is too long for sockets in it" % made
    raise ClientError("there is no folder for the sockets of models: %s" % why)


def serve(listener, where):
    """Serves models until it is told to stop; returns the container's exit code."""
    folder = _folder()
    try:
        models = Models(folder)
        log.info("serving several models of %s at %s", os.environ.get("SAGEBRUSH_FRAMEWORK") or "python", where)
        return Front(listener, models).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
