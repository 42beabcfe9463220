// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
)

// TestDemo is the main job from nothing: it starts a server, trains, deploys,
// predicts; it may be repeated; and it cleans up.
func TestDemo(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	env := environment(t)
	t.Cleanup(func() { sagebrush(t, env, "demo", "--home", home, "--stop") })
	run := func(t *testing.T) outcome {
		t.Helper()
		got := sagebrush(t, env, "demo", "--home", home, "--listen", "127.0.0.1:0", "--json")
		if got.code != 0 {
			t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
		}
		var o outcome
		if err := json.Unmarshal([]byte(got.stdout), &o); err != nil {
			t.Fatalf("%s: %v", got.stdout, err)
		}
		return o
	}
	first := run(t)
	if !first.Started || first.PID == 0 {
		t.Errorf("no server was started: %+v", first)
	}
	if first.HeldOut != 113 || first.Accuracy < 0.93 || first.AUC < 0.97 || first.AUC > 1 {
		t.Errorf("on %d rows: accuracy %v, AUC %v", first.HeldOut, first.Accuracy, first.AUC)
	}
	if len(first.Curve) != 50 || first.Curve[0].Metrics["train-logloss"] < first.Curve[49].Metrics["train-logloss"] {
		t.Errorf("a curve of %d rounds: %v", len(first.Curve), first.Curve)
	}
	if len(first.Steps) < 5 {
		t.Errorf("steps %+v", first.Steps)
	}

	second := run(t)
	if second.Started || second.PID != first.PID || second.TrainingJob == first.TrainingJob {
		t.Errorf("the second run: %+v", second)
	}
	if second.Accuracy != first.Accuracy || second.AUC != first.AUC {
		t.Errorf("the same seed, another score: %v, %v; %v, %v", first.Accuracy, first.AUC, second.Accuracy, second.AUC)
	}
	if limit := 10 * time.Second; second.Seconds > limit.Seconds() {
		t.Errorf("the second run took %.1f s", second.Seconds)
	}

	// Both endpoints go on; what they say now is what they said then.
	f, err := locate(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []outcome{first, second} {
		answer, err := f.client.InvokeEndpoint(t.Context(), o.Endpoint, "text/csv", "text/csv", []byte(o.Sample[0].Features+"\n"))
		if err != nil || strings.TrimSpace(string(answer)) == "" {
			t.Errorf("endpoint %s: %q, %v", o.Endpoint, answer, err)
		}
	}
	var job struct{ TrainingJobStatus string }
	err = f.client.Call(t.Context(), client.SageMaker, "DescribeTrainingJob", map[string]string{"TrainingJobName": second.TrainingJob}, &job)
	if err != nil || job.TrainingJobStatus != "Completed" {
		t.Errorf("the job is %q, %v", job.TrainingJobStatus, err)
	}

	words := sagebrush(t, env, "demo", "--home", home)
	for _, want := range []string{"found the server", "uploaded 343 rows", "50 rounds", "InService", "validation-logloss", "accuracy 0.9", "env --home " + home, "list-training-jobs"} {
		if !strings.Contains(words.stdout, want) {
			t.Errorf("%q is not said:\n%s%s", want, words.stdout, words.stderr)
		}
	}

	stop := sagebrush(t, env, "demo", "--home", home, "--stop")
	if stop.code != 0 || !strings.Contains(stop.stdout, "Deleted 3 endpoint(s)") || !ended(first.PID) {
		t.Errorf("stop: %+v, ended %v", stop, ended(first.PID))
	}
	if _, err := os.Stat(filepath.Join(home, "server.json")); err == nil {
		t.Error("server.json is left behind")
	}
}

func TestDemoDoesNotStopAPersonsServer(t *testing.T) {
	home := t.TempDir()
	s := startServer(t, home)
	got := sagebrush(t, nil, "demo", "--home", home, "--stop")
	if got.code != 1 || !strings.Contains(got.stderr, "was not started by the demonstration") {
		t.Errorf("got %+v", got)
	}
	if code := s.end(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

func TestDetachedServerThatCannotStart(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, configName), []byte("tls-cert: missing.pem\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := sagebrush(t, nil, "demo", "--home", home)
	if got.code != 1 || !strings.Contains(got.stderr, "TLS needs both") {
		t.Errorf("the reason is not told: %+v", got)
	}
}
