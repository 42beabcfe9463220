// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// What each framework must be able to do: import everything, train on a little,
// predict.
var scripts = map[string]string{
	"scikit-learn": `
import boto3, joblib, numpy as np, pandas as pd, scipy.stats, sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import cross_val_score
x = pd.DataFrame(np.random.RandomState(0).rand(200, 3), columns=list("abc")); y = (x["a"] > .5).astype(int)
m = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=10, random_state=0)).fit(x, y)
assert cross_val_score(m, x, y, cv=3).mean() > .9, "accuracy"
joblib.dump(m, "/dev/null"); print(sklearn.__version__)`,
	"xgboost": `
import boto3, numpy as np, pandas as pd, scipy.sparse, xgboost
from sklearn.model_selection import KFold
x = pd.DataFrame(np.random.RandomState(0).rand(200, 3), columns=list("abc")); y = (x["a"] > .5).astype(int)
for train, test in KFold(3).split(x):
    b = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(x.iloc[train], y.iloc[train]), 10)
    assert ((b.predict(xgboost.DMatrix(x.iloc[test])) > .5) == y.iloc[test]).mean() > .9, "accuracy"
b.predict(xgboost.DMatrix(scipy.sparse.csr_matrix(x.values), feature_names=list("abc")))
m = xgboost.XGBClassifier(n_estimators=5).fit(x, y); m.predict(x); print(xgboost.__version__)`,
	"python": `
import boto3, cloudpickle, numpy, pandas
print(cloudpickle.loads(cloudpickle.dumps(lambda: 1))())`,
	"spark": `
from pyspark.sql import SparkSession
import pandas as pd, pyspark
spark = SparkSession.builder.master("local[1]").getOrCreate()
assert spark.createDataFrame(pd.DataFrame({"a": [1, 2, 3]})).selectExpr("sum(a)").collect()[0][0] == 6
spark.stop(); print(pyspark.__version__)`,
	"pytorch": `
import numpy as np, pandas, torch
x = torch.from_numpy(np.random.rand(64, 2).astype("float32")); m = torch.nn.Linear(2, 1); m(x).sum().backward()
assert m.weight.grad.numpy().shape == (1, 2); print(torch.__version__)`,
	"tensorflow": `
import numpy as np, pandas, tensorflow as tf
m = tf.keras.Sequential([tf.keras.layers.Dense(1)]); m.compile(loss="mse"); m.fit(np.ones((8, 2)), np.ones(8), verbose=0); print(tf.__version__)`,
	"huggingface-pytorch": `
import accelerate, datasets, torch, transformers
c = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
transformers.BertModel(c)(torch.zeros((1, 3), dtype=torch.long)); print(transformers.__version__)`,
}

// TestImagesFromTheIndex prepares images from the real package index and trains
// in each. SAGEBRUSH_TEST_NETWORK is 1 for scikit-learn alone, or images with
// commas: "sagemaker-xgboost:1.7-1,pytorch-training:2.6.0-cpu-py312".
// SAGEBRUSH_TEST_UV is the path of uv, or "-" for pip, SAGEBRUSH_TEST_WHEELS a
// folder that is used instead of the index.
func TestImagesFromTheIndex(t *testing.T) {
	images := os.Getenv("SAGEBRUSH_TEST_NETWORK")
	switch images {
	case "":
		t.Skip("SAGEBRUSH_TEST_NETWORK is not set: it needs a package index, and minutes")
	case "1":
		images = "sagemaker-scikit-learn:1.2-1-cpu-py3"
	}
	wheels := os.Getenv("SAGEBRUSH_TEST_WHEELS")
	store, err := pyenv.New(pyenv.Options{Dir: t.TempDir(), UV: os.Getenv("SAGEBRUSH_TEST_UV"), Wheels: wheels, Offline: wheels != ""})
	if err != nil {
		t.Fatal(err)
	}
	for image := range strings.SplitSeq(images, ",") {
		t.Run(image, func(t *testing.T) {
			f, err := Resolve("763104351884" + east + image)
			if err != nil || f.Name == "" {
				t.Fatalf("%s: %v", image, err)
			}
			if err := f.Check(); err != nil {
				t.Skip(err)
			}
			begun := time.Now()
			env, err := store.Ensure(t.Context(), f.Spec(runtime.Needs{}), t.Output())
			if err != nil {
				t.Fatal(err)
			}
			first := time.Since(begun)
			begun = time.Now()
			if again, err := store.Ensure(t.Context(), f.Spec(runtime.Needs{}), t.Output()); err != nil || again.Dir != env.Dir {
				t.Errorf("the second time it is %s, %v", again.Dir, err)
			}
			t.Logf("%.1f s, then %s; Python %s, %d MB; notes %q", first.Seconds(), time.Since(begun), env.Python, env.Bytes>>20, env.Notes)
			cmd := exec.Command(env.Interpreter(), "-c", scripts[f.Name])
			cmd.Env = []string{"HOME=" + t.TempDir()}
			for name, value := range f.Variables(env) {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\nwith %v", err, out, env.Packages)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			t.Logf("version %s", lines[len(lines)-1])
		})
	}
}
