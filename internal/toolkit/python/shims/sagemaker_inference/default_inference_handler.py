# SPDX-License-Identifier: Apache-2.0
"""A handler to derive from."""

from sagemaker_inference import decoder, encoder, errors, utils


class DefaultInferenceHandler(object):
    """Decodes and encodes; model_fn and predict_fn are the user's."""

    def default_model_fn(self, model_dir, context=None):
        raise NotImplementedError("\nPlease provide a model_fn implementation.\nSee documentation for model_fn at https://sagemaker.readthedocs.io/en/stable/\n")

    def default_input_fn(self, input_data, content_type, context=None):
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data, model, context=None):
        raise NotImplementedError("\nPlease provide a predict_fn implementation.\nSee documentation for predict_fn at https://sagemaker.readthedocs.io/en/stable/\n")

    def default_output_fn(self, prediction, accept, context=None):
        for content_type in utils.parse_accept(accept):
            if content_type in encoder.SUPPORTED_CONTENT_TYPES:
                return encoder.encode(prediction, content_type), content_type
        raise errors.UnsupportedFormatError(accept)
