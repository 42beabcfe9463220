# SPDX-License-Identifier: Apache-2.0
"""What handlers that take a context are given: the parts of the context of
TorchServe and Multi Model Server that scripts use."""

import os


class _Processor:
    def __init__(self, properties):
        self._properties = properties

    def get_request_properties(self):
        return self._properties

    def get_request_property(self, name):
        return self._properties.get(name)


class _Metrics:
    """Takes what scripts measure, and drops it."""

    def __getattr__(self, name):
        if name.startswith("add_"):
            return lambda *args, **kwargs: None
        raise AttributeError(name)


class Context:
    """The request, the model's folder, and how the answer is to be marked.

    The context of model_fn has no request.
    """

    def __init__(self, model_dir, headers=None):
        gpu = os.environ.get("SAGEBRUSH_GPU")
        self.system_properties = {"model_dir": model_dir, "gpu_id": int(gpu) if gpu else None, "batch_size": 1,
                                  "server_name": "Sagebrush", "server_version": "1"}
        self._system_properties = self.system_properties
        self.model_name, self.model_dir, self.manifest = os.environ.get("SAGEBRUSH_MODEL_NAME") or "model", model_dir, {}
        self._headers = headers or {}
        self.request_processor = [_Processor(self._properties())]
        self.metrics = _Metrics()
        self.status, self.phrase, self.content_type, self.response_headers = None, None, None, {}

    def _properties(self):
        names = {}
        for name, value in self._headers.items():
            names["-".join(word.capitalize() for word in name.split("-"))] = value
        return names

    def get_request_header(self, index, name):
        return self._headers.get(name.lower())

    def get_all_request_header(self, index):
        return self._properties()

    def set_response_status(self, code=200, phrase="", idx=0):
        self.status, self.phrase = code, phrase or None

    def set_all_response_status(self, code=200, phrase=""):
        self.set_response_status(code, phrase)

    def get_response_status(self, idx=0):
        return self.status or 200, self.phrase or ""

    def set_response_content_type(self, index, value):
        self.content_type = value

    def get_response_content_type(self, index):
        return self.content_type

    def set_response_header(self, index, name, value):
        self.response_headers[name] = value

    def get_response_headers(self, index):
        return self.response_headers

    def mark(self, answer):
        """Puts on the answer what a handler set here."""
        if self.status is not None:
            answer.status, answer.phrase = self.status, self.phrase
        if self.content_type is not None:
            answer.content_type = self.content_type
        answer.headers.update(self.response_headers)
        return answer
