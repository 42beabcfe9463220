// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"encoding/json"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// in runs Python in the container, to make models and to look at bodies.
func (c *container) in(t *testing.T, script string, stdin string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.python, "-c", script)
	cmd.Env, cmd.Dir, cmd.Stdin = c.env, c.root, strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, err.(*exec.ExitError).Stderr)
	}
	return string(out)
}

const npy = "application/x-npy"

// near reports whether text, JSON or CSV, holds the numbers and no others.
func near(text string, want []float64, tolerance float64) bool {
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[], \n", r) })
	if len(fields) != len(want) {
		return false
	}
	for i, f := range fields {
		if v, err := strconv.ParseFloat(f, 64); err != nil || math.Abs(v-want[i]) > tolerance {
			return false
		}
	}
	return true
}

func TestScikitLearnByDefault(t *testing.T) {
	t.Parallel()
	c := newContainer(t, map[string]string{"model/code/inference.py": "import joblib, os\ndef model_fn(d):\n    return joblib.load(os.path.join(d, 'm.joblib'))\n"}, "numpy", "sklearn", "joblib")
	c.in(t, `
import joblib, numpy
from sklearn.linear_model import LinearRegression
x = numpy.array([[0., 0.], [1., 0.], [0., 1.], [1., 1.]])
joblib.dump(LinearRegression().fit(x, x @ [2., 3.] + 1), "model/m.joblib")`, "")
	s := c.set("SAGEBRUSH_FRAMEWORK=sklearn", "SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	rows := c.in(t, "import sys, numpy; numpy.save(sys.stdout.buffer, numpy.array([[1., 1.], [2., 0.]]))", "")
	for _, q := range []struct {
		body, typ, accept string
		want              []float64
		answer            string
	}{
		{"[[1, 1], [2, 0]]", "application/json", "application/json", []float64{6, 5}, "application/json"},
		{"1,1\n2,0\n", "text/csv", "text/csv", []float64{6, 5}, "text/csv"},
		{"1,1", "text/csv", "", []float64{6}, "application/json"},
		{"[1, 1]", "application/json; charset=utf-8", "*/*", []float64{6}, "application/json"},
		{rows, npy, npy, []float64{6, 5}, npy},
		{rows, npy, "image/png, text/*", []float64{6, 5}, "text/csv"},
	} {
		r := s.invoke(t, strings.NewReader(q.body), "Content-Type", q.typ, "Accept", q.accept)
		text := r.body
		if q.answer == npy {
			text = c.in(t, "import io, sys, numpy; print(numpy.load(io.BytesIO(sys.stdin.buffer.read())).tolist())", r.body)
		}
		// The model computes in double precision, the rows are in single.
		if r.status != 200 || r.typ != q.answer || !near(text, q.want, 1e-5) {
			t.Errorf("%s → %s: %d %s %q", q.typ, q.accept, r.status, r.typ, text)
		}
	}
	pickled := c.in(t, "import sys, numpy; numpy.save(sys.stdout.buffer, numpy.array([print], dtype=object), allow_pickle=True)", "")
	for _, q := range []struct {
		body, typ, accept string
		status            int
	}{
		{"a,b", "text/csv", "", 400}, {`[["a"]]`, "application/json", "", 400}, {"1,1", "text/libsvm", "", 415}, {"1,1", "text/csv", "image/png", 406},
		{pickled, npy, "", 400}, {"[[1,2,3]]", "application/json", "", 500},
	} {
		if r := s.invoke(t, strings.NewReader(q.body), "Content-Type", q.typ, "Accept", q.accept); r.status != q.status {
			t.Errorf("%q as %s → %s: %d, want %d\n%s", q.body, q.typ, q.accept, r.status, q.status, r.body)
		}
	}
}

func TestXGBoostByDefault(t *testing.T) {
	t.Parallel()
	c := newContainer(t, nil, "numpy", "scipy", "xgboost")
	var want []float64
	if err := json.Unmarshal([]byte(c.in(t, `
import numpy, xgboost
x = numpy.random.default_rng(1).random((200, 3)).astype("float32")
b = xgboost.train({"max_depth": 3}, xgboost.DMatrix(x, label=x @ [1, 2, 3]), 10)
b.save_model("model.json")
import os; os.rename("model.json", "model/xgboost-model")
print(b.predict(xgboost.DMatrix(numpy.array([[.1, .2, .3], [.9, numpy.nan, .7]], dtype="float32"))).tolist())`, "")), &want); err != nil {
		t.Fatal(err)
	}
	s := c.set("SAGEBRUSH_FRAMEWORK=xgboost", "SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	records := c.in(t, `
import struct, sys
def field(number, data): return bytes([number << 3 | 2, len(data)]) + data
for row in ([.1, .2, .3], [.9, float("nan"), .7]):
    tensor = field(1, struct.pack("<3f", *row))
    record = field(1, field(1, b"values") + field(2, field(2, tensor)))
    sys.stdout.buffer.write(struct.pack("<II", 0xCED7230A, len(record)) + record + b"\0" * (-len(record) % 4))`, "")
	for _, q := range []struct{ body, typ string }{
		{".1,.2,.3\n.9,,.7\n", "text/csv"}, {".1;.2;.3\n.9;;.7", "text/csv"}, {"0:.1 1:.2 2:.3\n0:.9 2:.7\n", "text/libsvm"}, {"1 0:.1 1:.2 2:.3\n0 0:.9 2:.7", "text/x-libsvm"},
		{records, "application/x-recordio-protobuf"},
	} {
		r := s.invoke(t, strings.NewReader(q.body), "Content-Type", q.typ)
		if r.status != 200 || !near(r.body, want, 1e-6) { // a float32 written and read
			t.Errorf("%s: %+v, want %v", q.typ, r, want)
		}
	}
	r := s.invoke(t, strings.NewReader(".1,.2,.3\n.9,,.7\n"), "Content-Type", "text/csv", "Accept", "text/csv")
	if r.typ != "text/csv" || !near(r.body, want, 1e-6) {
		t.Errorf("%+v, want %v", r, want)
	}
	for _, q := range []struct {
		body, typ string
		status    int
	}{{"a,b,c", "text/csv", 400}, {"1,2\n3", "text/csv", 400}, {"0:x", "text/libsvm", 400}, {"no record", "application/x-recordio-protobuf", 400}, {"[[1]]", "application/json", 415}} {
		if r := s.invoke(t, strings.NewReader(q.body), "Content-Type", q.typ); r.status != q.status {
			t.Errorf("%q as %s: %d, want %d\n%s", q.body, q.typ, r.status, q.status, r.body)
		}
	}
}

func TestPyTorchByDefault(t *testing.T) {
	c := newContainer(t, nil, "torch", "numpy")
	c.in(t, `
import torch
m = torch.nn.Linear(2, 1)
with torch.no_grad():
    m.weight[:] = torch.tensor([[2., 3.]]); m.bias[:] = 1
torch.jit.script(m).save("model/model.pt")`, "")
	s := c.set("SAGEBRUSH_FRAMEWORK=pytorch", "SAGEMAKER_MODEL_SERVER_WORKERS=1").serve(t)
	if r := s.invoke(t, strings.NewReader("[[1, 1], [2, 0]]"), "Content-Type", "application/json"); r.body != "[[6.0], [5.0]]" {
		t.Errorf("%+v", r)
	}
	if r := s.invoke(t, strings.NewReader("1,1\n2,0\n"), "Content-Type", "text/csv", "Accept", "text/csv"); r.body != "6.0\n5.0\n" || r.typ != "text/csv" {
		t.Errorf("%+v", r)
	}
}

func TestTensorFlowByDefault(t *testing.T) {
	c := newContainer(t, nil, "tensorflow")
	c.in(t, `
import tensorflow as tf
class M(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": tf.reduce_sum(x * tf.constant([2., 3.]), axis=1) + 1}
m = M()
tf.saved_model.save(m, "model/1", signatures=m.__call__)`, "")
	c.set("SAGEBRUSH_FRAMEWORK=tensorflow", "SAGEMAKER_MODEL_SERVER_WORKERS=1")
	s := c.serve(t)
	for _, q := range []struct {
		body, typ, want string
		status          int
	}{
		{`{"instances": [[1, 1], [2, 0]]}`, "application/json", `{"predictions": [6.0, 5.0]}`, 200},
		{`{"instances": [{"x": [1, 1]}]}`, "application/json", `{"predictions": [6.0]}`, 200},
		{`{"inputs": {"x": [[1, 1]]}, "signature_name": "serving_default"}`, "application/json", `{"outputs": [6.0]}`, 200},
		{`[[1, 1], [2, 0]]`, "application/json", `{"predictions": [6.0, 5.0]}`, 200},
		{"1,1\n2,0\n", "text/csv", `{"predictions": [6.0, 5.0]}`, 200},
		{"[1,1]\n[2,0]\n", "application/jsonlines", `{"predictions": [6.0, 5.0]}`, 200},
		{`{"instances": [[1, 1]], "signature_name": "other"}`, "application/json", `{"error": "Serving signature name:`, 400},
		{"{", "application/json", `{"error": "The body cannot be read`, 400},
		{"x", "image/png", `{"error": "Content type image/png is not supported`, 415},
	} {
		if r := s.invoke(t, strings.NewReader(q.body), "Content-Type", q.typ); r.status != q.status || !strings.HasPrefix(r.body, q.want) {
			t.Errorf("%s: %+v", q.body, r)
		}
	}
	if r := s.invoke(t, strings.NewReader(`[[1, 1]]`), "X-Amzn-SageMaker-Custom-Attributes", "tfs-model-name=none"); r.status != 404 {
		t.Errorf("%+v", r)
	}
	// Handlers: around the model, and one that asks it by HTTP.
	for name, script := range map[string]string{
		"handlers": "import json\ndef input_handler(data, context):\n    return json.dumps({'instances': json.loads(data.read())['rows']})\n" +
			"def output_handler(response, context):\n    return str(response.json()['predictions']), context.accept_header\n",
		"a handler": "import json, urllib.request\ndef handler(data, context):\n    body = json.dumps({'instances': json.loads(data.read())['rows']}).encode()\n" +
			"    with urllib.request.urlopen(urllib.request.Request(context.rest_uri, body)) as r:\n        return str(json.load(r)['predictions']), context.accept_header\n",
	} {
		c.write(t, "model/code/inference.py", script)
		if r := c.serve(t).invoke(t, strings.NewReader(`{"rows": [[1, 1]]}`), "Accept", "text/mine"); r.body != "[6.0]" || r.typ != "text/mine" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Two hosts of this machine, by their addresses, add what each of them has.
func TestTwoHostsOfTorchReduceWithGloo(t *testing.T) {
	const script = `
import torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(x)
print("sum", x.item(), "of", dist.get_world_size(), flush=True)
`
	python(t, "torch")
	if out := newContainer(t, nil).in(t, "from torch.distributed.elastic.multiprocessing import Std; print(Std.from_str('0'))", ""); strings.HasPrefix(out, "None") {
		t.Skip("torchrun of this torch does not run with this Python: 1.13, as Debian has it, knows none after 3.10")
	}
	type ended struct {
		out  string
		code int
	}
	done := make(chan ended, 2)
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		c := newContainer(t, map[string]string{"code/train.py": script, "input/config/resourceconfig.json": `{"current_host": "` + host + `", "hosts": ["127.0.0.1", "127.0.0.2"],
			"current_group_name": "g", "network_interface_name": "lo", "instance_groups": [{"instance_group_name": "g", "instance_type": "ml.m5.large", "hosts": ["127.0.0.1", "127.0.0.2"]}]}`}, "torch")
		c.hyperparameters(t, map[string]any{"sagemaker_program": "train.py", "sagemaker_torch_distributed_enabled": true})
		cmd := c.set("SAGEBRUSH_FRAMEWORK=pytorch").command(t, "sagebrush_toolkit.train")
		go func() {
			out, _ := cmd.CombinedOutput()
			done <- ended{string(out), cmd.ProcessState.ExitCode()}
		}()
	}
	for range 2 {
		if e := <-done; e.code != 0 || !strings.Contains(e.out, "sum 3.0 of 2") {
			t.Errorf("exit code %d\n%s", e.code, e.out)
		}
	}
}
