// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// installed is the toolkit that the tests run.
var installed string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "toolkit")
	if err == nil {
		installed, err = Install(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// python is the interpreter of SAGEBRUSH_TEST_PYTHON, or else python3; with
// the modules, or the test is skipped.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	name, err := exec.LookPath(cmp.Or(os.Getenv("SAGEBRUSH_TEST_PYTHON"), "python3"))
	if err != nil {
		t.Skipf("no Python: %v", err)
	}
	for _, m := range modules {
		// Importing some of them takes seconds.
		if err := exec.Command(name, "-c", "import sys, importlib.util as u; sys.exit(u.find_spec('"+m+"') is None)").Run(); err != nil {
			t.Skipf("%s has no %s; set SAGEBRUSH_TEST_PYTHON to one that has", name, m)
		}
	}
	return name
}

// container is a folder that stands for /opt/ml, and variables.
type container struct {
	root   string
	python string
	env    []string
}

// newContainer makes a container for a job on one host, with files by their
// paths below /opt/ml.
func newContainer(t *testing.T, files map[string]string, modules ...string) *container {
	t.Helper()
	c := &container{root: t.TempDir(), python: python(t, modules...)}
	c.write(t, "input/config/hyperparameters.json", "{}")
	c.write(t, "input/config/inputdataconfig.json", "{}")
	c.write(t, "input/config/resourceconfig.json", `{"current_host": "algo-1", "hosts": ["algo-1"], "current_instance_type": "ml.m5.large"}`)
	for _, d := range []string{"code", "model", "output"} {
		if err := os.MkdirAll(filepath.Join(c.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		c.write(t, name, text)
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "SM_") && !strings.HasPrefix(name, "SAGE") && !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "PYTHON") {
			c.env = append(c.env, kv)
		}
	}
	c.env = append(c.env, "SAGEBRUSH_ML_ROOT="+c.root, "PYTHONPATH="+installed, "PYTHONUNBUFFERED=1", "SM_STUDIO_LOCAL_MODE=true")
	return c
}

func (c *container) path(name string) string { return filepath.Join(c.root, filepath.FromSlash(name)) }

func (c *container) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c *container) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(c.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// set gives variables "NAME=value".
func (c *container) set(env ...string) *container {
	c.env = append(c.env, env...)
	return c
}

// hyperparameters writes values as the SDK's framework estimators do.
func (c *container) hyperparameters(t *testing.T, values map[string]any) {
	t.Helper()
	coded := map[string]string{}
	for k, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		coded[k] = string(b)
	}
	b, err := json.Marshal(coded)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "input/config/hyperparameters.json", string(b))
}

// command runs a module of the toolkit.
func (c *container) command(t *testing.T, module string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.python, append([]string{"-m", module}, args...)...)
	cmd.Env, cmd.Dir = c.env, c.root
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// train runs the training program to its end.
func (c *container) train(t *testing.T) (output string, code int) {
	t.Helper()
	return finish(t, c.command(t, "sagebrush_toolkit.train"))
}

func finish(t *testing.T, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out), 0
}

// poll waits until ok, and fails after half a minute.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}
