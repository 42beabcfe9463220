// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"strings"
	"testing"
)

func TestStandInsAreImportedLast(t *testing.T) {
	c := newContainer(t, map[string]string{
		"site/sagemaker_inference/__init__.py": "from_here = True\n",
		"site/sitecustomize.py":                "import builtins\nbuiltins.own_sitecustomize = True\n"})
	if got := c.in(t, "import sagemaker_inference, sagemaker_containers; print(hasattr(sagemaker_inference, 'from_here'), 'shims' in sagemaker_containers.__file__)", ""); got != "False True\n" {
		t.Errorf("without the package: %s", got)
	}
	c.set("PYTHONPATH=" + installed + ":" + c.path("site"))
	if got := c.in(t, "import sagemaker_inference; print(hasattr(sagemaker_inference, 'from_here'), own_sitecustomize)", ""); got != "True True\n" {
		t.Errorf("with the package: %s", got)
	}
}

func TestScriptsFindWhatTheyImportFromAWSsPackages(t *testing.T) {
	for _, c := range []struct {
		name, script, want string
		modules            []string
	}{
		{"the environment of sagemaker_training", "from sagemaker_training import environment\ne = environment.Environment()\nprint(e.hyperparameters['lr'], e.current_host, e.channel_input_dirs['train'] == environment.channel_path('train'), dict(e)['num_gpus'])", "0.5 algo-1 True 0", nil},
		{"training_env of sagemaker_containers", "import sagemaker_containers\nfrom sagemaker_containers.beta import framework\ne = sagemaker_containers.training_env()\nprint(e.num_gpus, e.hosts, framework.env.ServingEnv().default_accept, framework.training_env().job_name)", "0 ['algo-1'] application/json None", nil},
		{"encoders of sagemaker_containers", "import numpy\nfrom sagemaker_containers.beta.framework import content_types, encoders, worker\n" +
			"a = encoders.decode('1,2\\n3,4', content_types.CSV)\nprint(a.tolist(), encoders.encode(a[0], content_types.CSV).split(), worker.Response(encoders.encode(a, 'application/json'), mimetype='application/json').data)",
			"[[1.0, 2.0], [3.0, 4.0]] ['1.0', '2.0'] b'[[1.0, 2.0], [3.0, 4.0]]'", []string{"numpy"}},
		{"coders of sagemaker_inference", "from sagemaker_inference import content_types, decoder, encoder, errors, default_inference_handler\n" +
			"h = default_inference_handler.DefaultInferenceHandler()\nprint(decoder.decode('[1, 2]', content_types.JSON).tolist(), encoder.encode([1.5], 'text/csv'), h.default_output_fn([1], 'a/b,application/json'))\n" +
			"try:\n    decoder.decode('', 'a/b')\nexcept errors.UnsupportedFormatError as e:\n    print(str(e)[:14])", "[1, 2] 1.5\n ('[1]', 'application/json')\nContent type a", []string{"numpy"}},
		{"encoder and data_utils of sagemaker_xgboost_container", "from sagemaker_xgboost_container import encoder\nfrom sagemaker_xgboost_container.data_utils import get_dmatrix\n" +
			"print(encoder.csv_to_dmatrix('1,2\\n3,4').num_row(), encoder.libsvm_to_dmatrix(b'1 0:1 4:2').num_col(), encoder.json_to_jsonlines({'a': [1, 2]}))\n" +
			"d = get_dmatrix('input/data/train', 'text/csv')\nprint(d.num_row(), d.num_col(), d.get_label().tolist())\n" +
			"w = get_dmatrix('input/data/svm', 'libsvm')\nprint(w.num_row(), w.num_col(), w.get_label().tolist(), w.get_weight().tolist())",
			"2 5 b'1\\n2\\n'\n3 2 [1.0, 0.0, 1.0]\n2 3 [1.0, 0.0] [0.5, 1.0]", []string{"numpy", "scipy", "xgboost"}},
		{"decoder_encoder of sagemaker_huggingface_inference_toolkit", "from sagemaker_huggingface_inference_toolkit import decoder_encoder as d\nprint(d.decode('{\"inputs\": \"a\"}', 'application/json'), d.encode([{'label': 'x', 'score': 1}], 'text/csv').split(), d.decode('inputs\\na\\nb', 'text/csv'))",
			"{'inputs': 'a'} ['label,score', 'x,1'] {'inputs': ['a', 'b']}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{"input/config/hyperparameters.json": `{"lr": "0.5"}`, "input/config/inputdataconfig.json": `{"train": {}}`,
				"input/data/train/a.csv": "1,2,3\n0,4,5\n", "input/data/train/deep/b.csv": "1,6,7\n", "input/data/train/.hidden": "x", "input/data/svm/a": "1:0.5 0:1 2:3\n0 1:2\n"}, c.modules...)
			if got := strings.TrimSpace(box.in(t, c.script, "")); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
