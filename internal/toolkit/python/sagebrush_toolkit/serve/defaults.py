# SPDX-License-Identifier: Apache-2.0
"""What a framework's container does where the user's script has no function
of its own. The functions are those of AWS's containers; where ours go further
their comments say so."""

import os
import pickle

from sagebrush_toolkit import codec, content_types
from sagebrush_toolkit.serve.module import LoadError

_GUIDE = "See documentation for %s at https://sagemaker.readthedocs.io/en/stable/"


class Defaults:
    """Of no framework: arrays in, arrays out, and the model is the user's."""

    json_errors = True  # or the exception's text and its trace
    error_status = None  # of every error; None for one by the error's kind
    takes_context = True

    def model_fn(self, model_dir):
        raise LoadError("\nPlease provide a model_fn implementation.\n" + _GUIDE % "model_fn")

    def input_fn(self, body, content_type):
        return codec.decode(body, content_type, codec.INFERENCE_DECODERS)

    def predict_fn(self, data, model):
        raise NotImplementedError("\nPlease provide a predict_fn implementation.\n" + _GUIDE % "predict_fn")

    def output_fn(self, prediction, accept):
        return codec.encode(prediction, accept, codec.INFERENCE_ENCODERS)

    def execution_parameters(self, workers):
        """What GET /execution-parameters answers: how batch transform asks
        this container where the caller of CreateTransformJob did not say."""
        return {"MaxConcurrentTransforms": workers, "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": int(os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB") or 6)}


class Sklearn(Defaults):
    """sagemaker-scikit-learn-container: model_fn is the user's."""

    takes_context = False

    def input_fn(self, body, content_type):
        data = codec.decode(body, content_type, codec.CONTAINERS_DECODERS)
        if content_types.media(content_type) not in content_types.UTF8_TYPES:
            return data
        try:
            return data.astype("float32")
        except (TypeError, ValueError) as e:
            raise codec.BadBody("The body is no array of numbers: %s" % e) from e

    def predict_fn(self, data, model):
        # A single row comes as a vector, which scikit-learn does not take;
        # AWS's container fails here.
        if getattr(data, "ndim", 2) == 1:
            columns = getattr(model, "n_features_in_", None) or data.shape[0]
            data = data.reshape(-1, columns) if data.shape[0] % columns == 0 else data.reshape(1, -1)
        return model.predict(data)

    def output_fn(self, prediction, accept):
        return codec.encode(prediction, accept, codec.CONTAINERS_ENCODERS)


class XGBoost(Defaults):
    """sagemaker-xgboost-container in script mode. It has no model_fn; ours
    loads what its algorithm saves."""

    json_errors = False

    def model_fn(self, model_dir):
        import xgboost
        path = os.path.join(model_dir, "xgboost-model")
        if not os.path.isfile(path):
            files = [os.path.join(model_dir, f) for f in sorted(os.listdir(model_dir)) if os.path.isfile(os.path.join(model_dir, f))]
            if len(files) != 1:
                raise LoadError("Please provide a model_fn implementation: %s holds no xgboost-model, and no single file." % model_dir)
            path = files[0]
        booster = xgboost.Booster()
        try:
            booster.load_model(path)
            return booster
        except xgboost.core.XGBoostError as e:
            try:
                with open(path, "rb") as f:
                    return pickle.load(f)
            except Exception:
                raise LoadError("The model %s is neither XGBoost's nor a pickle: %s" % (path, e)) from e

    def input_fn(self, body, content_type):
        from sagebrush_toolkit import dmatrix
        return dmatrix.decode(body, content_type)

    def predict_fn(self, data, model):
        return model.predict(data, validate_features=False)

    def output_fn(self, prediction, accept):
        return codec.encode(prediction, accept, codec.CONTAINERS_ENCODERS)


class PyTorch(Defaults):
    """sagemaker-pytorch-inference-toolkit: a TorchScript model by default."""

    json_errors = False

    def _device(self):
        import torch
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def model_fn(self, model_dir):
        import torch
        path = os.path.join(model_dir, "model.pt")
        if not os.path.exists(path):
            files = [f for f in sorted(os.listdir(model_dir)) if f.endswith((".pt", ".pth")) and os.path.isfile(os.path.join(model_dir, f))]
            if len(files) != 1:
                raise LoadError("Exactly one .pth or .pt file is required for PyTorch models: %s" % files)
            path = os.path.join(model_dir, files[0])
        try:
            return torch.jit.load(path, map_location=self._device()).to(self._device())
        except RuntimeError as e:
            raise LoadError("Failed to load %s. Please ensure model is saved using torchscript." % path) from e

    def input_fn(self, body, content_type):
        import torch
        array = codec.decode(body, content_type, codec.INFERENCE_DECODERS)
        text = content_types.media(content_type) in content_types.UTF8_TYPES
        return (torch.FloatTensor(array) if text else torch.from_numpy(array)).to(self._device())

    def predict_fn(self, data, model):
        import torch
        with torch.no_grad():
            model = model.to(self._device())
            model.eval()
            return model(data.to(self._device()))

    def output_fn(self, prediction, accept):
        import torch
        if isinstance(prediction, torch.Tensor):
            prediction = prediction.detach().cpu().numpy().tolist()
        return codec.encode(prediction, accept, codec.INFERENCE_ENCODERS)
