# SPDX-License-Identifier: Apache-2.0
"""What Hugging Face's inference toolkit does by default: a pipeline of
transformers for the task that HF_TASK or the model's config.json tells."""

import csv
import io
import json
import os

from sagebrush_toolkit import codec
from sagebrush_toolkit.content_types import CSV, JSON, NPY
from sagebrush_toolkit.serve.defaults import Defaults
from sagebrush_toolkit.serve.module import LoadError

# Tasks of models by the end of their architecture's name.
_TASKS = {"TapasForQuestionAnswering": "table-question-answering", "ForQuestionAnswering": "question-answering",
          "ForTokenClassification": "token-classification", "ForSequenceClassification": "text-classification",
          "ForMultipleChoice": "multiple-choice", "ForMaskedLM": "fill-mask", "ForCausalLM": "text-generation",
          "ForConditionalGeneration": "text2text-generation", "MTModel": "text2text-generation",
          "EncoderDecoderModel": "text2text-generation", "GPT2LMHeadModel": "text-generation",
          "T5WithLMHeadModel": "text2text-generation"}

# Tasks whose models come with a feature extractor and no tokenizer.
_EXTRACTED = {"automatic-speech-recognition", "image-segmentation", "image-classification", "audio-classification",
              "object-detection", "zero-shot-image-classification"}

_IMAGES = ("image/jpeg", "image/png", "image/tiff", "image/bmp", "image/gif", "image/webp", "image/x-image")
_SOUNDS = ("audio/x-flac", "audio/mpeg", "audio/wave", "audio/ogg", "audio/x-audio")


class HuggingFace(Defaults):
    """Every error is 400, as in AWS's container."""

    error_status = 400

    def model_fn(self, model_dir):
        import torch
        from transformers import pipeline
        task = os.environ.get("HF_TASK")
        path = os.environ.get("HF_MODEL_ID") if not os.path.exists(os.path.join(model_dir, "config.json")) else None
        if not task:
            task = self._task(model_dir)
            os.environ["HF_TASK"] = task
        source = path or model_dir
        extra = {"feature_extractor": source} if task in _EXTRACTED else {"tokenizer": source}
        return pipeline(task=task, model=source, device=0 if torch.cuda.is_available() else -1,
                        trust_remote_code=os.environ.get("HF_TRUST_REMOTE_CODE", "").lower() in ("1", "true", "yes"), **extra)

    def _task(self, model_dir):
        path = os.path.join(model_dir, "config.json")
        if not os.path.exists(path):
            raise LoadError("You need to define the task of the model as env 'HF_TASK', or a model_fn in the inference script: "
                            "%s has no config.json." % model_dir)
        with open(path, encoding="utf-8") as f:
            architecture = (json.load(f).get("architectures") or [""])[0]
        for end, task in _TASKS.items():
            if architecture.endswith(end):
                return task
        raise LoadError("Task couldn't be inferenced from %s. Use env `HF_TASK` to define your task." % architecture)

    def input_fn(self, body, content_type):
        if os.environ.get("HF_TASK") in ("zero-shot-classification", "table-question-answering") and content_type == CSV:
            raise codec.BadBody("content type %s not support with %s, use different content_type" % (content_type, os.environ["HF_TASK"]))
        readers = {JSON: json.loads, CSV: _rows, NPY: codec.npy_to_numpy}
        readers.update((kind, _image) for kind in _IMAGES)
        readers.update((kind, lambda b: {"inputs": bytes(b)}) for kind in _SOUNDS)
        return codec.decode(body, content_type, readers)

    def predict_fn(self, data, model):
        if not isinstance(data, dict):
            return model(data)
        inputs = data.pop("inputs", data)
        return model(inputs, **(data.pop("parameters", None) or {}))

    def output_fn(self, prediction, accept):
        writers = {JSON: _to_json, CSV: _to_csv, NPY: codec.array_to_npy}
        writers.update((kind, _picture(kind)) for kind in _IMAGES)
        return codec.encode(prediction, accept, writers)


def _rows(text):
    if not any(word in text.splitlines()[0].lower() for word in ("question", "context", "inputs")):
        raise ValueError("You need to provide the correct CSV with Header columns to use it with the inference toolkit default handler.")
    rows = list(csv.DictReader(io.StringIO(text)))
    return {"inputs": [row["inputs"] for row in rows] if rows and "inputs" in rows[0] else rows}


def _image(body):
    from PIL import Image
    return {"inputs": Image.open(io.BytesIO(body)).convert("RGB")}


def _to_json(value):
    def default(one):
        if hasattr(one, "tolist"):
            return one.tolist()
        if hasattr(one, "isoformat"):
            return str(one)
        if hasattr(one, "save"):  # a picture
            import base64
            return base64.b64encode(_picture("image/png")(one)).decode("ascii")
        raise TypeError("%s cannot be written as JSON" % type(one).__name__)

    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)


def _to_csv(value):
    rows = value if isinstance(value, list) else [value]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _picture(kind):
    form = "PNG" if kind == "image/x-image" else kind.partition("/")[2].upper()

    def write(image):
        out = io.BytesIO()
        image.save(out, format=form)
        return out.getvalue()

    return write
