// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 13, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     time.UnixMilli(0),
		"10m":                  now.Add(-10 * time.Minute),
		"2026-11-25T12:00:00Z": now.Add(-time.Hour),
		"2026-11-25 12:00:00":  time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local),
		"2026-11-25":           time.Date(2026, 11, 25, 0, 0, 0, 0, time.Local),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	if _, err := parseSince("yesterday", now); err == nil {
		t.Error("yesterday was taken")
	}
}

func TestHostOf(t *testing.T) {
	job, endpoint := &work{workKind: workKinds[0], name: "a-1795123456"}, &work{workKind: workKinds[3], name: "e"}
	for stream, want := range map[string]string{
		"a-1795123456/algo-1-1795123456":             "algo-1",
		"a-1795123456/algo-12-1795123456":            "algo-12",
		"a-1795123456/i-0ab1-1795123456/data-log":    "i-0ab1/data-log",
		"a-1795123456/something that nobody foresaw": "something that nobody foresaw",
	} {
		if got := hostOf(job, stream); got != want {
			t.Errorf("the host of %s is %q, want %q", stream, got, want)
		}
	}
	if got := hostOf(endpoint, "AllTraffic/i-123456789012"); got != "AllTraffic/i-123456789012" {
		t.Errorf("an instance is called %q", got)
	}
}

// logsOf runs the command inside this process.
func logsOf(t *testing.T, f found, c logsCmd) (out, notes string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err = c.print(t.Context(), f.client, &stdout, &stderr)
	return stdout.String(), stderr.String(), err
}

func mustCall(t *testing.T, f found, s client.Service, operation string, in, out any) {
	t.Helper()
	if err := f.client.Call(t.Context(), s, operation, in, out); err != nil {
		t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	f, o := deployed(t, home)
	t.Run("a job that has ended", func(t *testing.T) {
		out, notes, err := logsOf(t, f, logsCmd{Name: o.TrainingJob, Follow: true})
		if err != nil || !strings.Contains(notes, "this is the training job; --kind endpoint shows") { // the demonstration calls both the same

			t.Errorf("%v, %s", err, notes)
		}
		rounds := 0
		for line := range strings.Lines(out) {
			if m := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} .*\[(\d+)\]#011train-`).FindStringSubmatch(line); m != nil {
				if m[1] != strconv.Itoa(rounds) {
					t.Errorf("round %d is %s", rounds, line)
				}
				rounds++
			}
		}
		if rounds != 50 {
			t.Errorf("%d rounds in\n%s", rounds, out)
		}
	})
	t.Run("nothing of it is recent", func(t *testing.T) {
		if out, _, err := logsOf(t, f, logsCmd{Name: o.TrainingJob, Since: "0s"}); out != "" || err != nil {
			t.Errorf("%v, %s", err, out)
		}
	})
	t.Run("a host that it does not have", func(t *testing.T) {
		if out, notes, err := logsOf(t, f, logsCmd{Name: o.TrainingJob, Host: "algo-2"}); out != "" || err != nil || !strings.Contains(notes, "no log of algo-2") {
			t.Errorf("%v, %s%s", err, out, notes)
		}
	})
	t.Run("an endpoint", func(t *testing.T) {
		var out, notes string
		var err error
		for began := time.Now(); out == "" && err == nil && time.Since(began) < 10*time.Second; { // an endpoint may be in service before it speaks
			out, notes, err = logsOf(t, f, logsCmd{Name: o.Endpoint, NoTime: true, Kind: "endpoint"})
		}
		if err != nil || notes != "" || strings.Contains(out, "train-logloss") || strings.TrimSpace(out) == "" {
			t.Errorf("%v, %s%s", err, out, notes)
		}
	})
	t.Run("a name that nothing has", func(t *testing.T) {
		if _, _, err := logsOf(t, f, logsCmd{Name: "nothing"}); err == nil || !strings.Contains(err.Error(), "called nothing") {
			t.Errorf("%v", err)
		}
		if _, _, err := logsOf(t, f, logsCmd{Name: o.TrainingJob, Kind: "processing"}); err == nil || !strings.Contains(err.Error(), "no processing job called") {
			t.Errorf("%v", err)
		}
	})
	t.Run("several hosts of a job that is gone", func(t *testing.T) { logsOfHosts(t, f) })
	t.Run("a job that runs", func(t *testing.T) { logsOfRunning(t, f, o) })
}

// logsOfHosts has two hosts that took turns, more than fits on a page.
func logsOfHosts(t *testing.T, f found) {
	const group, n = "/aws/sagemaker/ProcessingJobs", 12_000
	now := time.Now().Add(-time.Hour).UnixMilli()
	_ = f.client.Call(t.Context(), client.Logs, "CreateLogGroup", map[string]string{"logGroupName": group}, nil) // it may be there
	var want []string
	for host := range 2 {
		name := []string{"gone/algo-1-1795123456", "gone/algo-2-1795123457"}[host]
		mustCall(t, f, client.Logs, "CreateLogStream", map[string]string{"logGroupName": group, "logStreamName": name}, nil)
		for begin := 0; begin < n; begin += 4000 {
			var events []map[string]any
			for i := begin; i < begin+4000; i++ {
				events = append(events, map[string]any{"timestamp": now + int64(2*i+host), "message": "line " + strconv.Itoa(2*i+host)})
			}
			mustCall(t, f, client.Logs, "PutLogEvents", map[string]any{"logGroupName": group, "logStreamName": name, "logEvents": events}, nil)
		}
	}
	for i := range 2 * n {
		want = append(want, []string{"algo-1", "algo-2"}[i%2]+" | line "+strconv.Itoa(i))
	}
	out, notes, err := logsOf(t, f, logsCmd{Name: "gone", NoTime: true, Follow: true})
	if got := strings.Split(strings.TrimSpace(out), "\n"); err != nil || notes != "" || !slices.Equal(got, want) {
		t.Errorf("%v, %s: %d lines, want %d", err, notes, len(got), len(want))
	}
	out, _, err = logsOf(t, f, logsCmd{Name: "gone", NoTime: true, Host: "algo-2"})
	if got := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(got) != n || got[0] != "line 1" {
		t.Errorf("%v: %d lines of the second host, the first is %q", err, len(got), got[0])
	}
}

// logsOfRunning follows a job that trains until it is stopped.
func logsOfRunning(t *testing.T, f found, o outcome) {
	role, err := f.client.ExecutionRoleARN(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var like map[string]any
	mustCall(t, f, client.SageMaker, "DescribeTrainingJob", map[string]string{"TrainingJobName": o.TrainingJob}, &like)
	in := map[string]any{"TrainingJobName": "endless", "RoleArn": role, "HyperParameters": map[string]string{"objective": "binary:logistic", "num_round": "1000000"}}
	for _, same := range []string{"AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition"} {
		in[same] = like[same]
	}
	delete(in["AlgorithmSpecification"].(map[string]any), "MetricDefinitions")
	mustCall(t, f, client.SageMaker, "CreateTrainingJob", in, nil)

	r, w := io.Pipe()
	var notes bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		err := (&logsCmd{Name: "endless", Follow: true, NoTime: true}).print(t.Context(), f.client, w, &notes)
		w.Close()
		ended <- err
	}()
	var seen []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		seen = append(seen, lines.Text())
		if len(seen) == 300 {
			mustCall(t, f, client.SageMaker, "StopTrainingJob", map[string]string{"TrainingJobName": "endless"}, nil)
		}
	}
	if code, ok := errors.AsType[exitError](<-ended); !ok || code != exitFailed || !strings.Contains(notes.String(), "endless is Stopped") {
		t.Errorf("it ended with %v, %s", code, &notes)
	}
	again, _, err := logsOf(t, f, logsCmd{Name: "endless", NoTime: true})
	if all := strings.Split(strings.TrimSuffix(again, "\n"), "\n"); err != nil || !slices.Equal(seen, all) {
		t.Errorf("%v: %d lines were followed, %d are there", err, len(seen), len(all))
	}

	// Who stops watching stops nothing.
	ctx, cancel := context.WithCancel(t.Context())
	in["TrainingJobName"] = "watched"
	mustCall(t, f, client.SageMaker, "CreateTrainingJob", in, nil)
	time.AfterFunc(500*time.Millisecond, cancel)
	if err := (&logsCmd{Name: "watched", Follow: true}).print(ctx, f.client, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var job struct{ TrainingJobStatus string }
	mustCall(t, f, client.SageMaker, "DescribeTrainingJob", map[string]string{"TrainingJobName": "watched"}, &job)
	if job.TrainingJobStatus != "InProgress" {
		t.Errorf("the job that was watched is %s", job.TrainingJobStatus)
	}
	mustCall(t, f, client.SageMaker, "StopTrainingJob", map[string]string{"TrainingJobName": "watched"}, nil)
}
