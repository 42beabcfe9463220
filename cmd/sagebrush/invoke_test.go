// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
)

// deployed is a server with the demonstration's endpoint, which goes with the test.
func deployed(t *testing.T, home string) (found, outcome) {
	t.Helper()
	startServer(t, home)
	f, err := locate(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	demo := sagebrush(t, nil, "demo", "--home", home, "--json")
	var o outcome
	if err := json.Unmarshal([]byte(demo.stdout), &o); err != nil {
		t.Fatalf("%s%s: %v", demo.stdout, demo.stderr, err)
	}
	t.Cleanup(func() { deleteEndpoint(t, f, o.Endpoint) })
	return f, o
}

// deleteEndpoint waits until it is gone: a serving task would outlive the
// server, and the test.
func deleteEndpoint(t *testing.T, f found, endpoint string) {
	t.Helper()
	name := map[string]string{"EndpointName": endpoint}
	if err := f.client.Call(context.Background(), client.SageMaker, "DeleteEndpoint", name, nil); err != nil {
		t.Error(err)
	}
	for range 500 {
		if f.client.Call(context.Background(), client.SageMaker, "DescribeEndpoint", name, nil) != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the endpoint is not gone")
}

func TestInvoke(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	f, o := deployed(t, home)
	row := o.Sample[0].Features
	want, err := f.client.InvokeEndpoint(t.Context(), o.Endpoint, "text/csv", "", []byte(row))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "row.csv")
	if err := os.WriteFile(file, []byte(row), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a text":                   {"--csv", row},
		"a file":                   {"--file", file},
		"a file of another type":   {"--file", file, "--content-type", "text/csv; charset=utf-8"},
		"piece by piece":           {"--csv", row, "--stream"},
		"a variant":                {"--csv", row, "--target-variant", "AllTraffic"},
		"a file with its own type": {"--file", file, "--accept", "text/csv"},
	} {
		if got := sagebrush(t, nil, append([]string{"invoke", o.Endpoint, "--home", home}, args...)...); got.code != 0 || got.stdout != string(want) || got.stderr != "" {
			t.Errorf("%s: exit code %d, %q%s, want %q", name, got.code, got.stdout, got.stderr, want)
		}
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no such endpoint":                {[]string{"nothing", "--csv", row}, "ValidationError: "},
		"no such endpoint, in a stream":   {[]string{"nothing", "--csv", row, "--stream"}, "ValidationError: "},
		"no such variant":                 {[]string{o.Endpoint, "--csv", row, "--target-variant", "B"}, "ValidationError: "},
		"a body that the model refuses":   {[]string{o.Endpoint, "--csv", "not,numbers"}, "ModelError: Received client error (4"},
		"no such file":                    {[]string{o.Endpoint, "--file", file + "x"}, "no such file"},
		"another region has no such name": {[]string{o.Endpoint, "--csv", row, "--region", "ap-south-1"}, "ValidationError: "},
	} {
		if got := sagebrush(t, nil, append([]string{"invoke", "--home", home}, c.args...)...); got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: exit code %d, %q%s", name, got.code, got.stdout, got.stderr)
		}
	}
	for name, c := range map[string]invokeCmd{
		"the flag for standard input": {CSV: new("-")},
		"standard input alone":        {Body: "-", ContentType: "text/csv"},
		"standard input as a file":    {File: new("-"), ContentType: "text/csv"},
	} {
		c.Endpoint = o.Endpoint
		var out bytes.Buffer
		if err := c.ask(t.Context(), f.client, strings.NewReader(row), &out, false); err != nil || out.String() != string(want) {
			t.Errorf("%s: %q, %v", name, &out, err)
		}
	}
	var out bytes.Buffer
	if err := (&invokeCmd{Endpoint: o.Endpoint, CSV: &row, Accept: "application/json"}).ask(t.Context(), f.client, nil, &out, true); err != nil || !strings.HasSuffix(out.String(), "\n") || strings.HasSuffix(out.String(), "\n\n") {
		t.Errorf("on a terminal: %q, %v", &out, err)
	}
	t.Run("top", func(t *testing.T) { topOf(t, home, f, o) })
}

func TestWhatInvokeRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "a body is missing"},
		{[]string{"1,2"}, "unexpected argument 1,2"},
		{[]string{"-", "--csv", "1"}, "a body was given twice"},
		{[]string{"--csv", "1", "--json", "2"}, "can't be used together"},
		{[]string{"--csv", "1", "--stream", "--target-model", "m"}, "--stream and --target-model"},
	} {
		got := sagebrush(t, nil, append([]string{"invoke", "e", "--home", t.TempDir()}, c.args...)...)
		if got.code != 80 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%v: exit code %d, %s", c.args, got.code, got.stderr)
		}
	}
	if got := sagebrush(t, nil, "invoke", "e", "--csv", "1", "--home", filepath.Join(t.TempDir(), "none")); got.code != 1 || !strings.Contains(got.stderr, "start one by `sagebrush serve") {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
}

func TestBodies(t *testing.T) {
	for name, want := range map[string]string{"a.CSV": "text/csv", "a.json": "application/json", "a.jsonl": "application/jsonlines", "a.jpeg": "image/jpeg", "a": "application/octet-stream"} {
		if got := typeOf(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	body, typ, err := (&invokeCmd{JSON: new(`{"a":1}`)}).body(nil)
	if err != nil || typ != "application/json" || !slices.Equal(body, []byte(`{"a":1}`)) {
		t.Errorf("%s %s %v", body, typ, err)
	}
	if body, typ, err := (&invokeCmd{CSV: new("")}).body(nil); err != nil || typ != "text/csv" || len(body) != 0 {
		t.Errorf("an empty body is %q %s %v", body, typ, err)
	}
}
