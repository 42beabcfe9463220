// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRunPassesOn(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct {
		name   string
		script string
		code   int
		stdout string
	}{
		{"success", "exit 0", 0, ""},
		{"the exit code", "exit 7", 7, ""},
		{"death by a signal", "kill -TERM $$", 128 + 15, ""},
		{"arguments that look like flags", `echo "$@"`, 0, "--home x -- y\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sagebrush(t, nil, "run", "--home", home, "--listen", "127.0.0.1:0", "--", "sh", "-c", c.script, "sh", "--home", "x", "--", "y")
			if got.code != c.code || got.stdout != c.stdout || got.stderr != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, logName)); err != nil {
		t.Errorf("the server's log: %v", err)
	}
	if _, err := os.Stat(filepath.Join(home, "server.json")); err == nil {
		t.Error("the server outlived the command")
	}
}

func TestRunKeepsTheFolder(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "here.sh"), []byte("#!/bin/sh\npwd\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "run", "--home", "state", "--listen", "127.0.0.1:0", "./here.sh")
	cmd.Env, cmd.Dir, cmd.Stdin = environment(t), folder, strings.NewReader("input\n")
	out, err := cmd.Output()
	if err != nil || string(out) != folder+"\ninput\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "state", "credentials.json")); err != nil {
		t.Errorf("the home is elsewhere: %v", err)
	}
}

func TestRunAnswersForAWS(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	env := environment(t, "SAGEBRUSH_TEST_CHILD=1", "AWS_SESSION_TOKEN=old", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", "NO_PROXY=*")
	const role = "123456789012 arn:aws:sts::123456789012:assumed-role/AmazonSageMaker-ExecutionRole/sagebrush-run\n"
	const root = "123456789012 arn:aws:iam::123456789012:root\n"
	ask := func(t *testing.T, want string, flags ...string) {
		t.Helper()
		got := sagebrush(t, env, append(append([]string{"run", "--home", home, "--listen", "127.0.0.1:0"}, flags...), "--", self)...)
		if got.code != 0 || got.stdout != want {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	t.Run("under the role, by a server of its own", func(t *testing.T) { ask(t, role) })
	t.Run("as root", func(t *testing.T) { ask(t, root, "--as-root") })
	t.Run("under a role by its ARN", func(t *testing.T) {
		ask(t, role, "--as-role", "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole")
	})
	t.Run("under a role that is not there", func(t *testing.T) {
		got := sagebrush(t, env, "run", "--home", home, "--listen", "127.0.0.1:0", "--as-role", "Nobody", "--", self)
		if got.code != 1 || !strings.Contains(got.stderr, "there is no role Nobody") {
			t.Errorf("got %+v", got)
		}
	})
	s := startServer(t, home)
	t.Run("by a server that runs", func(t *testing.T) { ask(t, role) })
	t.Run("without the proxy", func(t *testing.T) {
		got := sagebrush(t, environment(t, "HTTPS_PROXY=http://mine:1"), "run", "--home", home, "--no-proxy", "--", "sh", "-c", "echo $HTTPS_PROXY $AWS_ENDPOINT_URL")
		if got.code != 0 || got.stdout != "http://mine:1 "+s.Endpoint+"\n" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestRunForwardsSignals(t *testing.T) {
	cmd := exec.Command(binary, "run", "--home", t.TempDir(), "--listen", "127.0.0.1:0", "--",
		"sh", "-c", `trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done`)
	cmd.Env = environment(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, whose keys would reach the child by themselves
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // has ended, if all went well
	lines := bufio.NewScanner(stdout)
	for _, step := range []struct {
		says string
		then os.Signal
	}{{"ready", syscall.SIGUSR1}, {"usr1", syscall.SIGTERM}, {"term", nil}} {
		if !lines.Scan() || lines.Text() != step.says {
			t.Fatalf("it says %q, want %q", lines.Text(), step.says)
		}
		if step.then != nil {
			if err := cmd.Process.Signal(step.then); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the code is what is asked for
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d, want the child's 3", code)
	}
}

func TestRunsShareAServer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	type running struct {
		*exec.Cmd
		in     io.WriteCloser
		out    *bufio.Scanner
		errors *bufio.Scanner
	}
	begin := func(script string) running {
		t.Helper()
		r := running{Cmd: exec.Command(binary, "run", "--home", home, "--listen", "127.0.0.1:0", "--", "sh", "-c", "echo ready; read line; "+script, self)}
		r.Env = environment(t, "SAGEBRUSH_TEST_CHILD=1")
		var err error
		if r.in, err = r.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := r.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := r.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		r.out, r.errors = bufio.NewScanner(out), bufio.NewScanner(stderr)
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Process.Kill() }) // has ended, if all went well
		if !r.out.Scan() || r.out.Text() != "ready" {
			t.Fatalf("it says %q", r.out.Text())
		}
		return r
	}
	first := begin("exit 4") // has the server
	second := begin(`exec "$0"`)
	first.in.Close()
	if !first.errors.Scan() || !strings.Contains(first.errors.Text(), "still uses this server") {
		t.Errorf("the first says %q", first.errors.Text())
	}
	second.in.Close()
	if !second.out.Scan() || !strings.Contains(second.out.Text(), ":assumed-role/") {
		t.Errorf("the second says %q", second.out.Text())
	}
	if err := second.Wait(); err != nil {
		t.Errorf("the second: %v", err)
	}
	_ = first.Wait() // the code is what is asked for
	if code := first.ProcessState.ExitCode(); code != 4 {
		t.Errorf("the first ended with %d", code)
	}
}
