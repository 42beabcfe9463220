// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func notFound(s *suite) {
	for _, command := range []string{"/no/such/command", "no-such-command"} {
		t := runtime.Task{ID: "rt-nocmd" + runtime.ID(strings.ReplaceAll(command, "/", "-")), Command: []string{command}}
		s.start(t)
		st := s.until(t.ID, runtime.Exited)
		s.equal("exit code", st.ExitCode, 127)
		if !strings.Contains(st.Reason, "no such file") {
			s.Errorf("reason %q does not tell", st.Reason)
		}
	}
}

func signalled(s *suite) {
	s.start(scripted("rt-signal", "kill -SEGV $$"))
	s.equal("exit code", s.until("rt-signal", runtime.Exited).ExitCode, 128+11)
}

func environment(s *suite) {
	s.T.Setenv("RT_SECRET", "of the server")
	t := scripted("rt-env", "env", "FAVOURITE", "green tea", "EMPTY", "")
	t.Host, t.Command = "algo-7", []string{"env"}
	got := map[string]string{}
	for line := range strings.Lines(s.output(t)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[k] = v
	}
	s.equal("FAVOURITE", got["FAVOURITE"], "green tea")
	s.equal("HOSTNAME", got["HOSTNAME"], "algo-7")
	for k := range got {
		if !slices.Contains([]string{"FAVOURITE", "EMPTY", "PATH", "HOME", "HOSTNAME", "LANG", "TMPDIR"}, k) {
			s.Errorf("%s=%q was not asked for", k, got[k])
		}
	}
	for _, k := range []string{"EMPTY", "PATH", "HOME"} {
		if _, ok := got[k]; !ok {
			s.Errorf("%s is not set", k)
		}
	}
}

func workDir(s *suite) {
	t := scripted("rt-dir", "pwd")
	s.equal("default folder", s.output(t), "/\n")
	t.ID, t.WorkDir = "rt-dir-usr", "/usr"
	s.equal("folder", s.output(t), "/usr\n")
}

func mounts(s *suite) {
	outer, inner := s.TempDir(), s.TempDir()
	if err := os.WriteFile(filepath.Join(inner, "data.csv"), []byte("1,2\n"), 0o644); err != nil {
		s.Fatal(err)
	}
	// The inner one is named first and must not be covered by the outer.
	t := scripted("rt-mount", "cat /opt/ml/input/data/train/data.csv; echo 3,4 >/opt/ml/out")
	t.Mounts = []runtime.Mount{{Source: inner, Target: "/opt/ml/input/data/train"}, {Source: outer, Target: "/opt/ml"}}
	s.equal("what it read", s.output(t), "1,2\n")
	got, err := os.ReadFile(filepath.Join(outer, "out"))
	if err != nil || string(got) != "3,4\n" {
		s.Errorf("it wrote %q, %v", got, err)
	}
}

func readOnlyMount(s *suite) {
	dir := s.TempDir()
	t := scripted("rt-ro", "if echo x 2>/dev/null >/opt/ml/x; then echo written; else echo refused; fi")
	t.Mounts = []runtime.Mount{{Source: dir, Target: "/opt/ml", ReadOnly: true}}
	s.equal("writing", s.output(t), "refused\n")
}

func hostName(s *suite) {
	t := scripted("rt-host", "uname -n; hostname -i 2>/dev/null || getent hosts algo-2 | cut -d' ' -f1")
	t.Host = "algo-2"
	name, addr, _ := strings.Cut(s.output(t), "\n")
	s.equal("host name", name, "algo-2")
	if !strings.HasPrefix(addr, "127.") {
		s.Errorf("the host's own address is %q", addr)
	}
}

func ownProcesses(s *suite) {
	// The first process and the shell with its children; no other.
	out := s.output(scripted("rt-pids", "ls -d /proc/[0-9]* | wc -l"))
	if n := strings.TrimSpace(out); n != "3" && n != "4" {
		s.Errorf("it sees %s processes", n)
	}
}
