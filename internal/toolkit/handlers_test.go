// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestHandlersOfEachKind(t *testing.T) {
	const model = "def model_fn(model_dir):\n    return 'M'\n"
	for _, c := range []struct {
		name, framework, script, body string
		header                        []string
		want                          reply
	}{
		{"three functions", "python", model + "def input_fn(d, ct):\n    return d + '|' + ct\ndef predict_fn(d, m):\n    return m + d\ndef output_fn(p, accept):\n    return p + '|' + accept\n",
			"x", []string{"Content-Type", "text/csv", "Accept", "a/b"}, reply{200, "a/b", "Mx|text/csv|a/b", nil}},
		{"functions that take a context", "pytorch", "def model_fn(model_dir, context):\n    return context.system_properties['model_dir'] == model_dir\n" +
			"def input_fn(d, ct, context):\n    return d.decode() + context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes')\n" +
			"def predict_fn(d, m, context):\n    return '%s %s' % (m, d)\n" +
			"def output_fn(p, accept, context):\n    context.set_response_header(0, 'X-Mine', 'yes')\n    context.set_response_content_type(0, 'text/mine')\n    return p\n",
			"x", []string{"Content-Type", "a/b", "X-Amzn-SageMaker-Custom-Attributes", "attr"}, reply{200, "text/mine", "True xattr", map[string][]string{"X-Mine": {"yes"}}}},
		{"transform_fn with its content type", "xgboost", model + "def transform_fn(m, d, ct, accept):\n    return (m + d, 'text/own')\n", "x", []string{"Content-Type", "text/csv"}, reply{200, "text/own", "Mx", nil}},
		{"a default of one's own for Accept", "python", model + "def transform_fn(m, d, ct, accept):\n    return accept\n", "x", []string{"Content-Type", "text/csv", "Accept", "*/*"}, reply{200, "text/default", "text/default", nil}},
		{"no content type is JSON", "sklearn", model + "def transform_fn(m, d, ct, accept):\n    return ct + type(d).__name__\n", "x", []string{"Accept", "a/b"}, reply{200, "a/b", "application/jsonstr", nil}},
		{"several accepted types come as they are", "python", model + "def transform_fn(m, d, ct, accept):\n    return accept\n", "x", []string{"Accept", "text/csv;q=0.5, application/json"},
			reply{200, "application/json", "text/csv;q=0.5, application/json", nil}},
		{"a response object of sagemaker_containers", "sklearn", "from sagemaker_containers.beta.framework import worker\n" + model +
			"def transform_fn(m, d, ct, accept):\n    return worker.Response(response='made', status=201, mimetype='text/made', headers={'X-Mine': 'h'})\n",
			"x", nil, reply{201, "text/made", "made", map[string][]string{"X-Mine": {"h"}}}},
		{"a generator streams", "python", model + "def transform_fn(m, d, ct, accept):\n    yield 'a'\n    yield b'b'\n", "x", []string{"Accept", "text/plain"}, reply{200, "text/plain", "ab", nil}},
		{"anything else becomes JSON", "python", model + "def transform_fn(m, d, ct, accept):\n    return {'a': [1]}\n", "x", nil, reply{200, "text/default", `{"a": [1]}`, nil}},
		{"an error with its own status", "pytorch", "from sagemaker_inference.errors import BaseInferenceToolkitError\n" + model +
			"def transform_fn(m, d, ct, accept):\n    raise BaseInferenceToolkitError(422, 'my message', 'my phrase')\n", "x", nil, reply{422, "text/plain; charset=utf-8", "my message\nTraceback", nil}},
		{"an exception is 500 with its text", "pytorch", model + "def transform_fn(m, d, ct, accept):\n    raise KeyError('gone')\n", "x", nil, reply{500, "text/plain; charset=utf-8", "'gone'\nTraceback", nil}},
		{"an exception of scikit-learn's is told as JSON", "sklearn", model + "def transform_fn(m, d, ct, accept):\n    raise ValueError('gone')\n", "x", nil,
			reply{500, "application/json", `{"error": "ValueError", "error-message": "gone", "stack-trace": "Traceback`, nil}},
		{"Hugging Face's errors are 400", "huggingface", model + "def transform_fn(m, d, ct, accept):\n    raise KeyError('gone')\n", "x", nil,
			reply{400, "application/json", `{"code": 400, "type": "InternalServerException", "message": "'gone'"}`, nil}},
		{"an exit is an error", "python", model + "def transform_fn(m, d, ct, accept):\n    raise SystemExit(3)\n", "x", nil, reply{500, "application/json", `{"error": "SystemExit"`, nil}},
		{"a body that is no text", "python", model + "def transform_fn(m, d, ct, accept):\n    return 'x'\n", "\xff\xfe", []string{"Content-Type", "application/json"}, reply{400, "application/json", `{"error": "BadBody"`, nil}},
		{"an unknown content type is 415", "python", model + "def predict_fn(d, m):\n    return d\n", "x", []string{"Content-Type", "image/png"}, reply{415, "application/json", `{"error": "UnsupportedFormatError"`, nil}},
		{"an unknown accepted type is 406", "python", model + "def input_fn(d, ct):\n    return [1]\ndef predict_fn(d, m):\n    return d\n", "1", []string{"Accept", "image/png"}, reply{406, "application/json", `{"error": "UnsupportedFormatError"`, nil}},
		{"JSON that is none is 400", "python", model + "def predict_fn(d, m):\n    return d\n", "{", nil, reply{400, "application/json", `{"error": "BadBody"`, nil}},
		{"functions run before and after the model is loaded", "python", "said = []\ndef pre_model_fn(d):\n    said.append('pre')\ndef model_fn(d):\n    said.append('load')\n    return said\n" +
			"def model_warmup_fn(d, m):\n    m.append('warm')\ndef transform_fn(m, d, ct, accept):\n    return ' '.join(m)\n", "x", nil, reply{200, "text/default", "pre load warm", nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{"model/code/inference.py": c.script}).set("SAGEBRUSH_FRAMEWORK="+c.framework,
				"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=text/default", "SAGEMAKER_MODEL_SERVER_WORKERS=1")
			got := box.serve(t).invoke(t, strings.NewReader(c.body), c.header...)
			if got.status != c.want.status || got.typ != c.want.typ || !strings.HasPrefix(got.body, c.want.body) {
				t.Errorf("got %d %s %q", got.status, got.typ, got.body)
			}
			for name := range c.want.header {
				if got.header.Get(name) != c.want.header.Get(name) {
					t.Errorf("%s: %q", name, got.header.Get(name))
				}
			}
		})
	}
}

func TestExecutionParametersAreTheScriptsOrTheServers(t *testing.T) {
	for _, c := range []struct{ framework, script, want string }{
		{"sklearn", "def model_fn(d): pass\ndef execution_parameters_fn():\n    return {'MaxConcurrentTransforms': 7}\n", `{"MaxConcurrentTransforms": 7}`},
		{"xgboost", "def model_fn(d): pass\n", `{"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}`},
		{"sklearn", "def model_fn(d): pass\n", `{"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}`},
	} {
		s := newContainer(t, map[string]string{"code/inference.py": c.script}).set("SAGEBRUSH_FRAMEWORK="+c.framework, "SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
		resp, err := s.client.Get("http://m/execution-parameters")
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		_ = json.Unmarshal([]byte(c.want), &want)
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s: %s, want %s", c.framework, a, b)
		}
	}
}

func TestScriptsAreFoundWhereTheSDKsPutThem(t *testing.T) {
	const script = "import helper\ndef model_fn(d):\n    return helper.word\ndef transform_fn(m, d, ct, accept):\n    return m\n"
	for _, c := range []struct {
		name, dir string
		env       []string
	}{
		{"in the model", "model/code", nil},
		{"in a folder of its own", "code", []string{"SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/code", "SAGEMAKER_PROGRAM=inference.py"}},
		{"in the model, by a file URI", "model/code", []string{"SAGEMAKER_SUBMIT_DIRECTORY=file:///opt/ml/model/code"}},
		{"where an archive in S3 was unpacked", "code", []string{"SAGEMAKER_SUBMIT_DIRECTORY=s3://bucket/code.tar.gz"}},
		{"in a subfolder, beside its modules", "model/code/serving", []string{"SAGEMAKER_PROGRAM=serving/inference.py"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{c.dir + "/inference.py": script, c.dir + "/helper.py": "word = 'helped'\n"}).set("SAGEMAKER_MODEL_SERVER_WORKERS=1").set(c.env...)
			if r := box.serve(t).invoke(t, strings.NewReader("x")); r.body != "helped" {
				t.Errorf("%+v", r)
			}
		})
	}
}
