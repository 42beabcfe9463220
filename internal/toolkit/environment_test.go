// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// The golden files are answers of AWS's own sagemaker-training; testdata/golden.py
// asks it.
type goldenCase struct {
	Name                                             string
	Hyperparameters, InputDataConfig, ResourceConfig json.RawMessage
	Env, Files                                       map[string]string
	Want                                             json.RawMessage
}

func golden(t *testing.T, file string) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no cases", file)
	}
	return cases
}

func (g goldenCase) container(t *testing.T) *container {
	c := newContainer(t, nil)
	for name, text := range map[string]json.RawMessage{"hyperparameters": g.Hyperparameters, "inputdataconfig": g.InputDataConfig, "resourceconfig": g.ResourceConfig} {
		if text != nil {
			c.write(t, "input/config/"+name+".json", string(text))
		}
	}
	for name, text := range g.Files {
		c.write(t, "code/"+name, text)
	}
	for name, value := range g.Env {
		c.set(name + "=" + value)
	}
	return c
}

// general takes out what differs from run to run, as golden.py does.
func (c *container) general(text string) string {
	return strings.NewReplacer(c.root, "{root}", c.python, "{python}").Replace(text)
}

const dump = `
import json, os, sys
env = {k: v for k, v in os.environ.items() if k.startswith(("SM_", "SAGEMAKER_")) or k == "CURRENT_HOST"}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "dump.json"), "w") as f:
    json.dump({"argv": sys.argv, "cwd": os.getcwd(), "env": env}, f)
`

type dumped struct {
	Argv []string
	Cwd  string
	Env  map[string]string
}

func (c *container) dumped(t *testing.T) (d dumped) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.general(c.read(t, "model/dump.json"))), &d); err != nil {
		t.Fatal(err)
	}
	delete(d.Env, "SM_STUDIO_LOCAL_MODE")
	return d
}

func TestScriptSeesWhatAWSsToolkitShows(t *testing.T) {
	for _, g := range golden(t, "environment.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			var want dumped
			if err := json.Unmarshal(g.Want, &want); err != nil {
				t.Fatal(err)
			}
			c := g.container(t).set("SAGEBRUSH_CPUS=" + want.Env["SM_NUM_CPUS"])
			c.write(t, "code/train.py", dump)
			if out, code := c.train(t); code != 0 {
				t.Fatalf("exit code %d\n%s", code, out)
			}
			got := c.dumped(t)
			if !reflect.DeepEqual(got.Argv, want.Argv) {
				t.Errorf("arguments\n got %q\nwant %q", got.Argv, want.Argv)
			}
			if got.Cwd != want.Cwd {
				t.Errorf("folder %s, want %s", got.Cwd, want.Cwd)
			}
			for name := range got.Env {
				if _, ok := want.Env[name]; !ok {
					t.Errorf("%s=%s is not AWS's", name, got.Env[name])
				}
			}
			for name, value := range want.Env {
				if got.Env[name] != value {
					t.Errorf("%s\n got %s\nwant %s", name, got.Env[name], value)
				}
			}
		})
	}
}

func TestFailureFileIsThatOfAWSsToolkit(t *testing.T) {
	for _, g := range golden(t, "failures.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			var want struct{ Failure string }
			if err := json.Unmarshal(g.Want, &want); err != nil {
				t.Fatal(err)
			}
			c := g.container(t)
			out, code := c.train(t)
			if code == 0 {
				t.Fatalf("exit code 0\n%s", out)
			}
			got := c.general(c.read(t, "output/failure"))
			if strings.HasPrefix(want.Failure, "InstallRequirementsError") {
				// The rest of pip's words is pip's, and changes.
				python(t, "pip")
				want.Failure, _, _ = strings.Cut(want.Failure, "not a requirement!")
				got, _, _ = strings.Cut(got, "not a requirement!")
			}
			if got != want.Failure {
				t.Errorf("got\n%q\nwant\n%q\n%s", got, want.Failure, out)
			}
			// AWS's toolkit ends with 1 whatever the script's code was.
			if exit, ok := map[string]int{"an exit code and nothing said": 7, "a signal": 137, "a shell script that is killed": 137, "a shell script with arguments": 4}[g.Name]; ok && code != exit {
				t.Errorf("exit code %d, want the script's, %d", code, exit)
			}
		})
	}
}
