# SPDX-License-Identifier: Apache-2.0
"""The model behind the server: the user's functions, the framework's where
there are none, and what becomes of their errors."""

import json
import logging
import os

from sagebrush_toolkit import content_types
from sagebrush_toolkit.codec import BadBody
from sagebrush_toolkit.content_types import JSON
from sagebrush_toolkit.folders import Folders
from sagebrush_toolkit.serve import answers, defaults, module, report, streams
from sagebrush_toolkit.serve.context import Context

log = logging.getLogger("sagebrush-toolkit")


def make(framework):
    """The service for a framework, not loaded."""
    if framework == "tensorflow":
        from sagebrush_toolkit.serve.tensorflow import TensorFlow
        return TensorFlow()
    if framework == "huggingface":
        from sagebrush_toolkit.serve.huggingface import HuggingFace
        return Service(HuggingFace())
    kinds = {"sklearn": defaults.Sklearn, "xgboost": defaults.XGBoost, "pytorch": defaults.PyTorch}
    return Service(kinds.get(framework, defaults.Defaults)())


class Service:
    """A model with the functions around it."""

    def __init__(self, framework):
        self.framework = framework
        self.model_dir = Folders().model
        self.default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON
        self.module = self.model = self._execution_parameters = None
        self.own_output = False

    def load(self):
        """Imports the user's script and loads the model. Whatever is raised
        keeps the server from starting."""
        self.module = module.load()
        log.info("inference script: %s", getattr(self.module, "__file__", "none, the framework's defaults are used"))
        self.bind()

    def bind(self):
        """Chooses the functions and loads the model."""
        own = {name: getattr(self.module, name, None) for name in ("input_fn", "predict_fn", "output_fn")}
        transform = getattr(self.module, "transform_fn", None)
        if transform and any(own.values()):
            raise module.LoadError("Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn implementation")
        takes = self.framework.takes_context
        self.own_output = own["output_fn"] is not None
        self.transform_fn = module.caller(transform, 4, takes) if transform else None
        self.input_fn, self.predict_fn, self.output_fn = (
            module.caller(function or getattr(self.framework, name), 2, takes) for name, function in own.items())
        self._execution_parameters = getattr(self.module, "execution_parameters_fn", None)
        context = Context(self.model_dir)
        before = getattr(self.module, "pre_model_fn", None)
        if before:
            module.caller(before, 1, takes)(self.model_dir, context)
        self.model = module.caller(getattr(self.module, "model_fn", None) or self.framework.model_fn, 1, takes)(self.model_dir, context)
        after = getattr(self.module, "model_warmup_fn", None)
        if after:
            module.caller(after, 2, takes)(self.model_dir, self.model, context)

    def invoke(self, request):
        """Answers POST /invocations."""
        content_type = request.headers.get("contenttype") or request.headers.get("content-type") or JSON
        accept = request.headers.get("accept")
        if not accept or accept.strip() == content_types.ANY:
            accept = self.default_accept
        context = Context(self.model_dir, request.headers)
        stage = "input"
        try:
            body = request.body
            if content_types.media(content_type) in content_types.UTF8_TYPES:
                try:
                    body = body.decode("utf-8")
                except UnicodeDecodeError as e:
                    raise BadBody("The body is no UTF-8: %s" % e) from e
            # What the client gets to see as content type where a function
            # does not tell: one type, though it may have asked for several.
            kind = accept if "," not in accept else content_types.choose(accept, content_types.ranked(accept), self.default_accept)
            if self.transform_fn:
                stage = "transform"
                result = self.transform_fn(self.model, body, content_type, accept, context)
            else:
                data = self.input_fn(body, content_type, context)
                stage = "predict"
                prediction = self.predict_fn(data, self.model, context)
                stage = "output"
                # No encoder takes what comes in parts: it goes out as it is.
                result = prediction if streams.streams(prediction) and not self.own_output else self.output_fn(prediction, accept, context)
            answer = answers.of(result, kind)
            if not answer.whole:
                answer.body = streams.primed(answer.body)
            return context.mark(answer)
        except (Exception, SystemExit) as e:
            return self._error(e, stage, accept)

    def _error(self, e, stage, accept):
        status, phrase = self._status(e, stage, accept)
        log.error("request failed with status %d", status, exc_info=e)
        if self.framework.error_status is not None:
            text = json.dumps({"code": status, "type": "InternalServerException", "message": str(getattr(e, "message", None) or e)})
            return answers.Answer(text.encode("utf-8"), JSON, status)
        return answers.error(status, e, self.framework.json_errors, phrase)

    def _status(self, e, stage, accept):
        if report.wanted() and report.out_of_memory(e):
            return 507, None  # the platform unloads other models and asks again
        # An exception of the user's may say its own, as sagemaker_inference's
        # BaseInferenceToolkitError does.
        own = getattr(e, "status_code", None)
        if isinstance(own, int) and 400 <= own < 600 and hasattr(e, "message"):
            return own, str(getattr(e, "phrase", "") or "") or None
        if self.framework.error_status is not None:
            return self.framework.error_status, None
        if type(e).__name__ == "UnsupportedFormatError":  # ours or a package's
            wanted = stage == "output" or stage == "transform" and getattr(e, "content_type", None) == accept
            return (406 if wanted else 415), None
        return (400 if isinstance(e, BadBody) else 500), None

    def execution_parameters(self, workers):
        """Answers GET /execution-parameters."""
        try:
            if self._execution_parameters:
                result = self._execution_parameters()
                return answers.of(json.dumps(result) if isinstance(result, dict) else result, JSON)
            parameters = self.framework.execution_parameters(workers)
        except Exception as e:
            log.exception("execution_parameters_fn failed")
            return answers.error(500, e, self.framework.json_errors)
        return answers.Answer(json.dumps(parameters).encode("utf-8"), JSON)
