// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/client"
)

var update = flag.Bool("update", false, "rewrite golden files")

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("SAGEBRUSH_TEST_CHILD") != "" {
		os.Exit(child())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sagebrush-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "sagebrush")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// child is what this test binary does under `sagebrush run`: it asks AWS's own
// host of STS who it is, as the SDKs do, whatever the endpoint variables say.
func child() int {
	key := auth.Key{ID: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}
	c := client.New(client.Options{URL: "https://sts.us-east-1.amazonaws.com", Key: key, Region: os.Getenv("AWS_REGION"), HTTP: http.DefaultClient})
	account, arn, err := c.CallerIdentity(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(account, arn)
	return 0
}

// environment is that of a person who has never heard of AWS.
func environment(t *testing.T, extra ...string) []string {
	t.Helper()
	keep := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(e), "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "SAGEBRUSH_") || name == "HOME" || name == "COLUMNS"
	})
	return append(append(keep, "HOME="+t.TempDir()), extra...)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// sagebrush runs the binary to its end.
func sagebrush(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // clean-ups use it too
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	if env == nil {
		env = environment(t)
	}
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("sagebrush %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// serving is a server that runs for a test.
type serving struct {
	announced
	cmd    *exec.Cmd
	output *bufio.Reader
	stderr *bytes.Buffer
}

// startServer starts a server at a free port and waits until it answers.
func startServer(t *testing.T, home string, args ...string) *serving {
	t.Helper()
	s := &serving{stderr: new(bytes.Buffer)}
	s.cmd = exec.Command(binary, append([]string{"serve", "--home", home, "--listen", "127.0.0.1:0", "--json"}, args...)...)
	s.cmd.Env, s.cmd.Stderr = environment(t), s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.end(t)
		}
	})
	s.output = bufio.NewReader(stdout)
	line, err := s.output.ReadString('\n')
	if err != nil {
		t.Fatalf("no announcement: %v\n%s", err, s.stderr)
	}
	if err := json.Unmarshal([]byte(line), &s.announced); err != nil {
		t.Fatalf("announcement %q: %v", line, err)
	}
	return s
}

// end stops the server as an operator does, and gives its exit code.
func (s *serving) end(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop the server: %v", err)
	}
	_, _ = io.Copy(io.Discard, s.output)
	_ = s.cmd.Wait() // the code is what is asked for
	return s.cmd.ProcessState.ExitCode()
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"", "serve", "env", "run", "demo", "doctor", "logs", "invoke", "top", "interrupt", "version", "algo train", "algo serve"} {
		t.Run(cmpName(name), func(t *testing.T) {
			got := sagebrush(t, nil, append(strings.Fields(name), "--help")...)
			if got.code != 0 || got.stderr != "" {
				t.Errorf("exit code %d, %s", got.code, got.stderr)
			}
			golden(t, filepath.Join("help", cmpName(name)+".txt"), got.stdout)
		})
	}
}

func cmpName(command string) string {
	if command == "" {
		return "sagebrush"
	}
	return strings.ReplaceAll(command, " ", "-")
}

// golden compares with testdata/file, or rewrites it under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not as it was; see the difference by -update and git diff\n%s", path, got)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a flag that is not known", []string{"serve", "--nope"}, 80, "unknown flag --nope"},
		{"a command that is not known", []string{"bake"}, 80, "bake"},
		{"no command", []string{}, 80, ""},
		{"a run without a command", []string{"run"}, 80, "cmd"},
		{"a level that is not known", []string{"serve", "--log-level", "loud"}, 80, "--log-level"},
		{"a region in the place of an account", []string{"serve", "--account", "us-east-1"}, 1, "12 digits"},
		{"half of TLS", []string{"serve", "--tls-cert", "a.pem"}, 1, "certificate and a key"},
		{"a home that cannot be made", []string{"serve", "--home", "/dev/null/x"}, 1, "/dev/null"},
		{"variables of no home", []string{"env"}, 1, "`sagebrush serve` makes it"},
		{"a program that is not there", []string{"run", "--", "no-such-program"}, 127, "there is no command no-such-program"},
		{"a program that cannot be run", []string{"run", "--", "/etc/passwd"}, 126, "not executable"},
		{"an algorithm that is not known", []string{"algo", "train", "alchemy"}, 1, "xgboost"},
		{"the end of nothing", []string{"demo", "--stop"}, 0, ""},
		{"the version", []string{"version"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sagebrush(t, nil, c.args...)
			if got.code != c.code || !strings.Contains(got.stderr, c.says) {
				t.Errorf("exit code %d, want %d, saying %q:\n%s", got.code, c.code, c.says, got.stderr)
			}
			if strings.Contains(got.stderr, "exit status") {
				t.Errorf("it tells a code where a reason is wanted: %s", got.stderr)
			}
		})
	}
}

func TestVersionJSON(t *testing.T) {
	var v struct{ Version, Go, OS, Arch, Botocore string }
	got := sagebrush(t, nil, "version", "--json")
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.Version == "" || !strings.HasPrefix(v.Go, "go1.") || v.OS == "" || v.Arch == "" {
		t.Errorf("%s: %v", got.stdout, err)
	}
	pin, err := os.ReadFile("../../model/botocore.version")
	if err != nil || v.Botocore != strings.TrimSpace(string(pin)) {
		t.Errorf("botocore %q, the pin is %q (%v)", v.Botocore, pin, err)
	}
}

func TestDoctor(t *testing.T) {
	var report struct {
		Ready  bool
		Checks []check
	}
	got := sagebrush(t, nil, "doctor", "--json", "--home", t.TempDir())
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%s: %v", got.stdout, err)
	}
	if !report.Ready || got.code != 0 {
		t.Errorf("not ready, exit code %d: %s", got.code, got.stdout)
	}
	var names []string
	for _, c := range report.Checks {
		names = append(names, c.Name)
		if c.For == "" || c.Detail == "" || !c.OK && c.Fix == "" || c.OK && c.Fix != "" {
			t.Errorf("a check that does not help: %+v", c)
		}
	}
	for _, want := range []string{"system", "isolation", "user namespaces", "mount namespaces", "PID namespaces", "CPU limit", "memory limit",
		"home", "attributes", "disk", "server", "Docker", "Python", "uv", "FUSE"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not looked at", want)
		}
	}

	got = sagebrush(t, nil, "doctor", "--json", "--home", "/proc/sagebrush")
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || report.Ready || got.code != 1 {
		t.Errorf("a home that cannot be written is well: exit code %d, %s", got.code, got.stdout)
	}
	if text := sagebrush(t, nil, "doctor", "--home", "/proc/sagebrush"); !strings.Contains(text.stdout, "missing  home") || !strings.Contains(text.stdout, "fix: choose a folder") {
		t.Errorf("in words: %s", text.stdout)
	}
}
