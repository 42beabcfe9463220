// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func notFound(s *suite) {
	for _, command := range []string{"/no/such/command", "no-such-command"} {
		t := s.scripted("rt-nocmd"+strings.ReplaceAll(command, "/", "-"), "", "")
		t.Command = []string{command}
		s.start(t)
		st := s.until(t.ID, runtime.Exited)
		s.equal("exit code", st.ExitCode, 127)
		if !strings.Contains(st.Reason, "no such file") {
			s.Errorf("reason %q does not tell", st.Reason)
		}
	}
}

func signalled(s *suite) {
	s.start(s.scripted("rt-signal", "kill -HUP $$", "hang-up"))
	s.equal("exit code", s.until("rt-signal", runtime.Exited).ExitCode, 128+1)
}

func environment(s *suite) {
	s.T.Setenv("RT_SECRET", "of the server")
	t := s.scripted("rt-env", "", "env", "FAVOURITE", "green tea", "EMPTY", "")
	if t.Host = "algo-7"; s.traits.Image == nil {
		t.Command = []string{"env"} // a shell adds some of its own
	}
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
	t := s.scripted("rt-dir", "pwd", "pwd")
	s.equal("default folder", s.output(t), "/\n")
	t.ID, t.WorkDir = "rt-dir-proc", "/proc"
	s.equal("folder", s.output(t), "/proc\n")
}

func mounts(s *suite) {
	outer, inner := s.TempDir(), s.TempDir()
	if err := os.WriteFile(filepath.Join(inner, "data.csv"), []byte("1,2\n"), 0o644); err != nil {
		s.Fatal(err)
	}
	// The inner one is named first and must not be covered by the outer.
	t := s.scripted("rt-mount", "cat /opt/ml/input/data/train/data.csv; echo 3,4 >/opt/ml/out",
		"cat /opt/ml/input/data/train/data.csv -- write /opt/ml/out 3,4")
	t.Mounts = []runtime.Mount{{Source: inner, Target: "/opt/ml/input/data/train"}, {Source: outer, Target: "/opt/ml"}}
	s.equal("what it read", s.output(t), "1,2\n")
	got, err := os.ReadFile(filepath.Join(outer, "out"))
	if err != nil || string(got) != "3,4\n" {
		s.Errorf("it wrote %q, %v", got, err)
	}
}

func readOnlyMount(s *suite) {
	dir := s.TempDir()
	t := s.scripted("rt-ro", "if echo x 2>/dev/null >/opt/ml/x; then echo done; else echo refused; fi", "try write /opt/ml/x x")
	t.Mounts = []runtime.Mount{{Source: dir, Target: "/opt/ml", ReadOnly: true}}
	s.equal("writing", s.output(t), "refused\n")
}

func hostName(s *suite) {
	t := s.scripted("rt-host", "uname -n; hostname -i 2>/dev/null || getent hosts algo-2 | cut -d' ' -f1", "host")
	t.Host = "algo-2"
	name, addr, _ := strings.Cut(s.output(t), "\n")
	s.equal("host name", name, "algo-2")
	if ip, err := netip.ParseAddr(strings.TrimSpace(addr)); err != nil || s.traits.Image == nil && !ip.IsLoopback() {
		s.Errorf("the host's own address is %q", addr)
	}
}

func ownProcesses(s *suite) {
	// The first process and the guest, or the shell with its children; no other.
	out := s.output(s.scripted("rt-pids", "ls -d /proc/[0-9]* | wc -l", "processes"))
	if n := strings.TrimSpace(out); n != "2" && n != "3" && n != "4" {
		s.Errorf("it sees %s processes", n)
	}
}
