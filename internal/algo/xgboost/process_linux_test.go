// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// rootVar makes the test binary a training container with that /opt/ml.
const rootVar = "XGBOOST_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVar); root != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		code := algo.RunTrain(ctx, New(), root, os.Stdout)
		if status, err := os.ReadFile("/proc/self/status"); err == nil {
			_, _ = os.Stdout.Write(status) // with VmHWM, the peak of memory
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// container is one host as a process of its own.
type container struct {
	root string
	cmd  *exec.Cmd
	out  *bufio.Reader
	log  strings.Builder
}

// containers lays out n hosts with the files of train[i] and validation[i] and
// starts them. A host's name is its address on the loopback: nothing but Linux
// has all of 127.0.0.0/8.
func containers(t *testing.T, params map[string]string, distribution string, train, validation []string) []*container {
	t.Helper()
	block := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(256))
	var hosts []string
	for i := range train {
		hosts = append(hosts, fmt.Sprint(block, i+1))
	}
	var all []*container
	for i := range train {
		c := &container{root: t.TempDir()}
		channel := map[string]string{"TrainingInputMode": "File", "S3DistributionType": distribution, "ContentType": "text/csv"}
		for name, content := range map[string]any{
			"hyperparameters.json":  params,
			"inputdataconfig.json":  map[string]any{"train": channel, "validation": channel},
			"resourceconfig.json":   map[string]any{"current_host": hosts[i], "hosts": hosts, "network_interface_name": "lo"},
			"../data/train/a.csv":   train[i],
			"../data/validation/b.": validation[i],
		} {
			path := filepath.Join(c.root, "input/config", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			b, isText := content.(string)
			if !isText {
				j, err := json.Marshal(content)
				if err != nil {
					t.Fatal(err)
				}
				b = string(j)
			}
			if err := os.WriteFile(path, []byte(b), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c.cmd = exec.CommandContext(t.Context(), os.Args[0])
		c.cmd.Env = append(os.Environ(), rootVar+"="+c.root, "TRAINING_JOB_NAME="+t.Name())
		out, err := c.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.cmd.Stderr = os.Stderr
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c.out = bufio.NewReader(out)
		all = append(all, c)
	}
	return all
}

// until reads the log up to a line that holds text.
func (c *container) until(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		c.log.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("%v before %q; log:\n%s", err, text, &c.log)
		}
	}
}

// end waits for the process and gives its exit code.
func (c *container) end(t *testing.T) int {
	t.Helper()
	rest, err := io.ReadAll(c.out)
	if err != nil {
		t.Error(err)
	}
	c.log.Write(rest)
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

func (c *container) file(name string) []byte {
	b, _ := os.ReadFile(filepath.Join(c.root, name))
	return b
}

// rounds is the lines of the log that tell of rounds.
func (c *container) rounds() (lines []string) {
	for line := range strings.Lines(c.log.String()) {
		if strings.HasPrefix(line, "[") && strings.Contains(line, "\ttrain-") {
			lines = append(lines, line)
		}
	}
	return lines
}

// Without early stopping, which writes the best value into the model with all
// its digits: the last of them hang on the order of sums.
var jobParams = map[string]string{
	"objective": "binary:logistic", "num_round": "6", "eval_metric": "auc,logloss", "subsample": "0.8", "seed": "5",
}

func TestProcessesLearnTheModelOfOne(t *testing.T) {
	train, valid := mixed(1000, 7, "binary:logistic"), mixed(300, 7, "binary:logistic")
	run := func(n int) []*container {
		var a, b []string
		for i := range n {
			// The last host of three has nothing to train on.
			ends := []int{i * train.Rows / n, (i + 1) * train.Rows / n}
			if n == 3 {
				ends = [][]int{{0, 700}, {700, 1000}, {1000, 1000}}[i]
			}
			a = append(a, csvText(slice(train, ends[0], ends[1])))
			b = append(b, csvText(slice(valid, i*valid.Rows/n, (i+1)*valid.Rows/n)))
		}
		all := containers(t, jobParams, "ShardedByS3Key", a, b)
		for i, c := range all {
			if code := c.end(t); code != 0 {
				t.Fatalf("%d hosts: host %d exits with %d: %s\n%s", n, i+1, code, c.file("output/failure"), &c.log)
			}
		}
		return all
	}
	one := run(1)[0]
	want := one.file("model/xgboost-model")
	if len(want) == 0 || len(one.rounds()) == 0 {
		t.Fatalf("one host: %d bytes of model; log:\n%s", len(want), &one.log)
	}
	for _, n := range []int{2, 3} {
		for i, c := range run(n) {
			got, lines := c.file("model/xgboost-model"), c.rounds()
			switch {
			case i == 0 && (!bytes.Equal(got, want) || !slices.Equal(lines, one.rounds())):
				t.Errorf("%d hosts: another model or other metrics; log:\n%s\none host:\n%s", n, &c.log, &one.log)
			case i > 0 && (got != nil || lines != nil):
				t.Errorf("%d hosts: host %d has %d bytes of model; log:\n%s", n, i+1, len(got), &c.log)
			}
			if text := fmt.Sprintf("Distributed node training with %d hosts: ['127.", n); !strings.Contains(c.log.String(), text) {
				t.Errorf("log of host %d lacks %q:\n%s", i+1, text, &c.log)
			}
		}
	}
}

func TestReplicatedDataIsToldOf(t *testing.T) {
	text := csvText(mixed(50, 3, "binary:logistic"))
	all := containers(t, jobParams, "FullyReplicated", []string{text, text}, []string{text, text})
	for i, c := range all {
		if code := c.end(t); code != 0 || strings.Contains(c.log.String(), "The train channel is replicated") != (i == 0) {
			t.Errorf("host %d: exit code %d, log:\n%s", i+1, code, &c.log)
		}
	}
}

// By Dask the hosts divide what all of them have: the model is that of one host.
func TestDaskDividesReplicatedData(t *testing.T) {
	params := maps.Clone(jobParams)
	params["tree_method"], params["use_dask_gpu_training"], params["csv_weights"] = "gpu_hist", "true", "1"
	run := func(n int) []*container {
		m := mixed(301, 4, "binary:logistic")
		m.Weight = make([]float32, m.Rows)
		for i := range m.Weight {
			m.Weight[i] = float32(1 + i%3)
		}
		all := containers(t, params, "FullyReplicated", slices.Repeat([]string{weightedText(m)}, n), slices.Repeat([]string{weightedText(m)}, n))
		for i, c := range all {
			if code := c.end(t); code != 0 || strings.Contains(c.log.String(), "is replicated") {
				t.Fatalf("%d hosts: host %d exits with %d: %s\n%s", n, i+1, code, c.file("output/failure"), &c.log)
			}
		}
		return all
	}
	one, two := run(1)[0], run(2)[0]
	if !slices.Equal(one.rounds(), two.rounds()) || !bytes.Equal(one.file("model/xgboost-model"), two.file("model/xgboost-model")) {
		t.Errorf("two hosts:\n%s\none host:\n%s", &two.log, &one.log)
	}
}

func TestAProcessThatIsKilledEndsTheOthers(t *testing.T) {
	text := csvText(mixed(300, 3, "binary:logistic"))
	three := []string{text, text, text}
	long := map[string]string{"objective": "binary:logistic", "num_round": "100000000", "eta": "0"}
	all := containers(t, long, "ShardedByS3Key", three, three)
	all[0].until(t, "[3]\t")
	start := time.Now()
	if err := all[1].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	host := all[1].host(t)
	for _, i := range []int{0, 2} {
		code := all[i].end(t)
		// What was being done is told before.
		got, want := string(all[i].file("output/failure")), "host "+host+" ended without a word"
		if code != 1 || !strings.HasPrefix(got, "AlgorithmError: ") || !strings.HasSuffix(got, want) {
			t.Errorf("host %d: exit code %d, failure %q, want %q", i+1, code, got, want)
		}
	}
	// They know at once, and would wait a minute for a host that is silent.
	if took := time.Since(start); took > 45*time.Second {
		t.Errorf("the others ended after %v", took)
	}
	all[1].end(t)
}

func (c *container) host(t *testing.T) string {
	t.Helper()
	var r struct {
		Host string `json:"current_host"`
	}
	if err := json.Unmarshal(c.file("input/config/resourceconfig.json"), &r); err != nil {
		t.Fatal(err)
	}
	return r.Host
}

func TestBadDataOfOneProcessIsTheFailureOfAll(t *testing.T) {
	good := csvText(mixed(50, 3, "binary:logistic"))
	all := containers(t, jobParams, "ShardedByS3Key", []string{good, "1,2,x\n"}, []string{good, good})
	host := all[1].host(t)
	wrong := `train channel: file a.csv, line 1: column 3: "x" is not a number`
	for i, want := range []string{"ClientError: host " + host + " failed: " + wrong, "ClientError: " + wrong} {
		if code := all[i].end(t); code != 1 || string(all[i].file("output/failure")) != want {
			t.Errorf("host %d: exit code %d, failure %q, want %q", i+1, code, all[i].file("output/failure"), want)
		}
	}
}

// SIGTERM reaches the hosts one after the other; the first one saves.
func TestStoppedProcessesKeepTheModelSoFar(t *testing.T) {
	text := csvText(mixed(300, 3, "binary:logistic"))
	for _, keep := range []string{"true", "false"} {
		params := map[string]string{"objective": "binary:logistic", "num_round": "100000000", "eta": "0", "save_model_on_termination": keep}
		all := containers(t, params, "ShardedByS3Key", []string{text, text}, []string{text, text})
		all[0].until(t, "[3]\t")
		for _, c := range all {
			if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range all {
			code, model := c.end(t), c.file("model/xgboost-model")
			want := map[string]int{"true": 0, "false": 143}[keep]
			if code != want || (model != nil) != (keep == "true" && i == 0) {
				t.Errorf("save_model_on_termination=%s: host %d exits with %d and %d bytes of model; log:\n%s", keep, i+1, code, len(model), &c.log)
			}
		}
	}
}
