// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feed"
)

// TestFeed runs the feeder as the server starts it, and reads two epochs.
func TestFeed(t *testing.T) {
	dir := t.TempDir()
	object, path := filepath.Join(dir, "object"), filepath.Join(dir, "spec.json")
	c := feed.Channel{Name: "train", Dir: filepath.Join(dir, "data"), List: filepath.Join(dir, "list"), Mode: 0o622}
	spec := feed.Spec{Failure: filepath.Join(dir, "failure.json"), Channels: []feed.Channel{c}}
	text := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(object, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := feed.WriteList(c.List, feed.Files(slices.Values([]string{object}))); err != nil {
		t.Fatal(err)
	}
	if err := spec.Save(path); err != nil {
		t.Fatal(err)
	}
	if err := feed.Prepare(spec); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(binary, "feed", path)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(t), &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	for _, fifo := range []string{"train_0", "train_1"} {
		got, err := os.ReadFile(filepath.Join(c.Dir, fifo))
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%s: %d bytes of %d: %v", fifo, len(got), len(text), err)
		}
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		info, err := os.Stat(filepath.Join(c.Dir, "train_2"))
		if err == nil && info.Mode().Perm() == 0o622 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the third FIFO: %v %v", info, err)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ends with %v:\n%s", err, &said)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}

func TestFeedRefuses(t *testing.T) {
	for _, args := range [][]string{{"feed", "/absent.json"}, {"feed", "--mount", "/absent.json"}} {
		if r := sagebrush(t, nil, args...); r.code != exitFailed || !bytes.Contains([]byte(r.stderr), []byte("no such file")) {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
