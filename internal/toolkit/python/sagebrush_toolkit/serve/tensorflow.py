# SPDX-License-Identifier: Apache-2.0
"""What AWS's TensorFlow container does: SavedModels behind the REST interface
of TensorFlow Serving, with handlers of the user's around it.

There TensorFlow Serving is a server of its own. Here the models are called in
the worker; only a handler that posts to context.rest_uri itself goes through a
socket (see worker.py).
"""

import base64
import collections
import io
import json
import logging
import os
import re

from sagebrush_toolkit import codec, content_types
from sagebrush_toolkit.content_types import CSV, JSON
from sagebrush_toolkit.serve import answers, module
from sagebrush_toolkit.serve.defaults import Defaults
from sagebrush_toolkit.serve.service import Service

log = logging.getLogger("sagebrush-toolkit")

_LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsons")

Context = collections.namedtuple("Context", "model_name, model_version, method, rest_uri, grpc_port, channel, "
                                            "custom_attributes, request_content_type, accept_header, content_length")


class Response:
    """An answer of the model as output_handler gets it: what scripts use of a
    Response of requests."""

    def __init__(self, status, document):
        self.status_code, self.reason = status, "OK" if status == 200 else "Bad Request"
        self.content = json.dumps(document).encode("utf-8")
        self.headers, self.ok, self.encoding = {"Content-Type": JSON}, status < 400, "utf-8"

    @property
    def text(self):
        return self.content.decode("utf-8")

    def json(self):
        return json.loads(self.content)

    def raise_for_status(self):
        if not self.ok:
            raise RuntimeError("%d: %s" % (self.status_code, self.text))


class _Functions(Defaults):
    """For scripts with model_fn and the like, which AWS's container has not."""

    json_errors = True

    def predict_fn(self, data, model):
        return model.predict(data) if hasattr(model, "predict") else model(data)

    def output_fn(self, prediction, accept):
        if hasattr(prediction, "numpy"):
            prediction = prediction.numpy()
        return super().output_fn(prediction, accept)


class TensorFlow(Service):
    """The models of the model folder, by name."""

    def __init__(self):
        super().__init__(_Functions())
        self.models, self.default, self.rest_port = {}, None, None
        self.handler = self.input_handler = self.output_handler = None

    def bind(self):
        if hasattr(self.module, "model_fn"):
            super().bind()
            return
        if self.module is not None:
            self.handler = getattr(self.module, "handler", None)
            self.input_handler, self.output_handler = (getattr(self.module, n, None) for n in ("input_handler", "output_handler"))
            if not self.handler and not (self.input_handler and self.output_handler):
                raise module.LoadError("Handlers are not implemented correctly in user script: it has neither handler, nor input_handler and output_handler.")
        self._find()

    def _find(self):
        import tensorflow
        for folder, _, files in sorted(os.walk(self.model_dir)):
            if "saved_model.pb" in files:
                parent, version = os.path.split(folder)
                name = os.path.basename(parent if version.isdigit() else folder) or "model"
                self.models.setdefault(name, {})[int(version) if version.isdigit() else 1] = tensorflow.saved_model.load(folder)
        if not self.models:
            files = [f for f in sorted(os.listdir(self.model_dir)) if f.endswith((".keras", ".h5"))]
            if len(files) != 1:
                raise module.LoadError("%s holds no SavedModel in a folder with a number, and no single .keras or .h5 file." % self.model_dir)
            model = tensorflow.keras.models.load_model(os.path.join(self.model_dir, files[0]))
            self.models["model"] = {1: _Keras(model)}
        wanted = os.environ.get("SAGEMAKER_TFS_DEFAULT_MODEL_NAME")
        if wanted and wanted not in self.models:
            raise module.LoadError("There is no model %r (SAGEMAKER_TFS_DEFAULT_MODEL_NAME) in %s." % (wanted, self.model_dir))
        self.default = wanted or sorted(self.models)[0]

    def invoke(self, request):
        if self.model is not None:
            return super().invoke(request)
        custom = request.headers.get("x-amzn-sagemaker-custom-attributes")
        attributes = dict(a.split("=", 1) for a in re.findall(r"(tfs-[a-z-]+=[^,]+)", custom or ""))
        name, version = attributes.get("tfs-model-name", self.default), attributes.get("tfs-model-version")
        method = attributes.get("tfs-method", "predict")
        path = "/v1/models/%s%s:%s" % (name, "/versions/" + version if version else "", method)
        accept = request.headers.get("accept")
        accept = self.default_accept if not accept or accept == content_types.ANY else accept
        context = Context(name, version, method, "http://localhost:%s%s" % (self.rest_port, path), None, None, custom,
                          request.headers.get("content-type") or JSON, accept, len(request.body))
        try:
            if self.handler:
                return answers.of(self.handler(io.BytesIO(request.body), context), accept)
            if self.input_handler:
                document = self.input_handler(io.BytesIO(request.body), context)
                return answers.of(self.output_handler(self.rest(path, document), context), accept)
            response = self.rest(path, self._document(request.body, context.request_content_type))
            return answers.Answer(response.content, JSON, response.status_code)
        except (Exception, SystemExit) as e:
            log.exception("exception handling request: %s", e)
            status = 400 if isinstance(e, codec.BadBody) else 415 if isinstance(e, codec.UnsupportedFormatError) else 500
            return answers.Answer(json.dumps({"error": str(e)}).encode("utf-8"), JSON, status)

    def _document(self, body, content_type):
        """The request that TensorFlow Serving would get."""
        media = content_types.media(content_type)
        try:
            text = body.decode("utf-8")
            if media == CSV:
                return {"instances": [[_number(f) for f in line.split(",")] for line in text.splitlines() if line.strip()]}
            if media in _LINES:
                return {"instances": [json.loads(line) for line in text.splitlines() if line.strip()]}
            if media == JSON:
                data = json.loads(text)
                if isinstance(data, dict) and ("instances" in data or "inputs" in data):
                    return data
                return {"instances": data if isinstance(data, list) and data and isinstance(data[0], list) else [data]}
        except ValueError as e:
            raise codec.BadBody("The body cannot be read as %s: %s" % (content_type, e)) from e
        raise codec.UnsupportedFormatError(content_type)

    def rest(self, path, document):
        """Answers POST of TensorFlow Serving's REST interface."""
        found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:(\w+)", path)
        try:
            if isinstance(document, (str, bytes, bytearray)):
                document = json.loads(document)
            if not found or found[1] not in self.models:
                return Response(404, {"error": "Servable not found for request: %s" % path})
            if found[3] != "predict":
                return Response(400, {"error": "only predict is served here, not %s" % found[3]})
            versions = self.models[found[1]]
            version = int(found[2]) if found[2] else max(versions)
            if version not in versions:
                return Response(404, {"error": "Servable not found for request: Specific(%s, %d)" % (found[1], version)})
            return Response(200, predict(versions[version], document))
        except Exception as e:
            log.info("the model refused a request: %s", e)
            return Response(400, {"error": str(e)})


class _Keras:
    """A Keras model as if it were a SavedModel with one signature."""

    def __init__(self, model):
        self.model = model


def predict(model, document):
    """The predict method: rows of instances, or inputs by name."""
    import tensorflow
    rows = "instances" in document
    given = document["instances"] if rows else document.get("inputs")
    if given is None:
        raise ValueError("Missing 'inputs' or 'instances' key")
    given = _binary(given)
    if isinstance(model, _Keras):
        output = model.model(tensorflow.constant(given)).numpy().tolist()
        return {"predictions" if rows else "outputs": output}
    name = document.get("signature_name", "serving_default")
    if name not in model.signatures:
        raise ValueError("Serving signature name: \"%s\" not found in signature def" % name)
    signature = model.signatures[name]
    wanted = signature.structured_input_signature[1]
    if rows and given and isinstance(given[0], dict):
        given = {key: [row[key] for row in given] for key in given[0]}
    if not isinstance(given, dict) or rows is False and set(given) - set(wanted):
        given = {next(iter(wanted)): given}
    tensors = {key: tensorflow.constant(value, dtype=wanted[key].dtype) for key, value in given.items() if key in wanted}
    outputs = {key: _plain(value.numpy()) for key, value in signature(**tensors).items()}
    if len(outputs) == 1:
        outputs = next(iter(outputs.values()))
        return {"predictions" if rows else "outputs": outputs}
    if not rows:
        return {"outputs": outputs}
    return {"predictions": [dict(zip(outputs, row)) for row in zip(*outputs.values())]}


def _binary(value):
    """{"b64": "..."} as the bytes it stands for."""
    if isinstance(value, dict):
        if set(value) == {"b64"}:
            return base64.b64decode(value["b64"])
        return {k: _binary(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_binary(v) for v in value]
    return value


def _plain(array):
    def text(value):
        if isinstance(value, list):
            return [text(v) for v in value]
        if isinstance(value, bytes):
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return {"b64": base64.b64encode(value).decode("ascii")}
        return value

    return text(array.tolist())


def _number(field):
    try:
        return float(field)
    except ValueError:
        return field.strip().strip('"')
