// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name, output string
		want         error
		reason       string
		unknown      bool
	}{
		{"pip knows other versions", "Looking in links: /srv/wheels\nERROR: Could not find a version that satisfies the requirement demo==0.2 (from versions: 1.1.3, 1.2.0rc1, 1.2.0)\nERROR: No matching distribution found for demo==0.2\n\n[notice] A new release of pip is available: 23.2.1 -> 26\n",
			ErrUnavailable, "ERROR: Could not find a version that satisfies the requirement demo==0.2 (from versions: 1.1.3, 1.2.0rc1, 1.2.0)\nERROR: No matching distribution found for demo==0.2", false},
		{"pip knows very many", "ERROR: Could not find a version that satisfies the requirement d==9 (from versions: 1, 2, 3, 4, 5, 6, 7)\n",
			ErrUnavailable, "ERROR: Could not find a version that satisfies the requirement d==9 (from versions: 1, ..., 4, 5, 6, 7)", false},
		{"pip knows none", "ERROR: Could not find a version that satisfies the requirement six (from versions: none)\nERROR: No matching distribution found for six\n",
			ErrUnavailable, "ERROR: Could not find a version that satisfies the requirement six (from versions: none)\nERROR: No matching distribution found for six", true},
		{"pip did not reach the index", "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\nERROR: Could not find a version that satisfies the requirement six (from versions: none)\n",
			ErrNetwork, "ERROR: Could not find a version that satisfies the requirement six (from versions: none)\nWARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'", true},
		{"pip's conflict", "Collecting numpy==1.20\nINFO: pip is looking\nERROR: Cannot install numpy==1.20 and sagemaker==2 because these package versions have conflicting dependencies.\n\nThe conflict is caused by:\n    The user requested numpy==1.20\n    sagemaker 2 depends on numpy<3.0 and >=1.26.4\n\nTo fix this you could try to:\n1. loosen the range of package versions you've specified\n2. remove package versions to allow pip attempt to solve the dependency conflict\n\nERROR: ResolutionImpossible: for help visit https://pip.pypa.io/\n",
			ErrUnavailable, "ERROR: Cannot install numpy==1.20 and sagemaker==2 because these package versions have conflicting dependencies.\nThe conflict is caused by:\n    The user requested numpy==1.20\n    sagemaker 2 depends on numpy<3.0 and >=1.26.4", false},
		{"uv knows none", "Using Python 3.11.7 environment at: t1\nerror: No solution found when resolving dependencies\n  cause: Because six was not found in the package registry and you require six==1, we can conclude that your requirements are unsatisfiable.\n",
			ErrUnavailable, "error: No solution found when resolving dependencies\n  cause: Because six was not found in the package registry and you require six==1, we can conclude that your requirements are unsatisfiable.", false},
		{"uv did not reach the index", "error: Request failed after 3 retries in 6.8s\n  cause: Failed to fetch: http://u:p@127.0.0.1:9/simple/six/\n  cause: client error (Connect)\n",
			ErrNetwork, "error: Request failed after 3 retries in 6.8s\n  cause: Failed to fetch: http://****@127.0.0.1:9/simple/six/\n  cause: client error (Connect)", false},
		{"the disk is full", "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
			nil, "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", false},
		{"set-up code that fails tells how it begins and ends", "  error: subprocess-exited-with-error\n  1\n  2\n  3\n  4\n  5\n  6\n  7\n  8\n  9\n",
			ErrUnavailable, "  error: subprocess-exited-with-error\n  1\n  2\n  3\n...\n  6\n  7\n  8\n  9", false},
		{"last words that look like nothing", "a\nb\nc\nd", ErrUnavailable, "b\nc\nd", false},
		{"no words", "", ErrUnavailable, "it gave no reason", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &output{log: io.Discard, progress: io.Discard}
			for chunk := range slices.Chunk([]byte(tt.output), 7) {
				o.Write(chunk)
			}
			o.flush()
			var f *failure
			if err := o.judge(); !errors.As(err, &f) || f.kind != tt.want || f.reason != tt.reason || f.unknown != tt.unknown {
				t.Errorf("got %v of\n%q, want %v of\n%q", f.kind, f.reason, tt.want, tt.reason)
			}
		})
	}
}

func TestProgressIsWhatAUserWantsToRead(t *testing.T) {
	var log, progress bytes.Buffer
	o := &output{log: &log, progress: &progress}
	io.WriteString(o, "Collecting scipy>=1.3.2\n  Downloading scipy-1.17.1-cp311.whl (35.3 MB)\r\nInstalling collected packages: a, b\nSuccessfully installed a b\n\xff\n"+strings.Repeat("x", 3*maxLine))
	o.flush()
	if got := progress.String(); got != "Downloading scipy-1.17.1-cp311.whl (35.3 MB)\nInstalling collected packages: a, b\n" {
		t.Errorf("it says %q", got)
	}
	if !strings.Contains(log.String(), "Successfully installed a b\n?\nxxx") {
		t.Errorf("the log is %q", log.String()[:200])
	}
}

func FuzzOutput(f *testing.F) {
	f.Add("ERROR: x (from versions: none)\n", 3)
	f.Add("\xff\r\n(from versions: )", 1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		o := &output{log: io.Discard, progress: io.Discard}
		for chunk := range slices.Chunk([]byte(text), max(1, n)) {
			o.Write(chunk)
		}
		o.flush()
		if lines := strings.Split(o.judge().Error(), "\n"); len(lines) > maxReason+3 {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "HOME=/h", "AWS_SECRET_ACCESS_KEY=s", "SAGEBRUSH_HOME=/s", "PYTHONPATH=/p", "PIP_TARGET=/t", "UV_PYTHON=3.9",
		"PIP_INDEX_URL=https://i", "PIP_EXTRA_INDEX_URL=https://e", "UV_EXTRA_INDEX_URL=https://uv", "PIP_FIND_LINKS=/a /b", "https_proxy=http://p", "LC_ALL=C", "IGNORED"})
	want := []string{"PATH=/bin", "HOME=/h", "PIP_INDEX_URL=https://i", "PIP_EXTRA_INDEX_URL=https://e", "UV_EXTRA_INDEX_URL=https://uv", "PIP_FIND_LINKS=/a /b",
		"https_proxy=http://p", "LC_ALL=C", "UV_INDEX_URL=https://i", "UV_FIND_LINKS=/a,/b", "UV_INDEX_STRATEGY=unsafe-best-match"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestNearestInterpreter(t *testing.T) {
	found := []interpreter{{Path: "/opt/best", Version: "3.11.2"}, {Path: "/p13", Version: "3.13.0"}, {Path: "/p11", Version: "3.11.7"}, {Path: "/p9", Version: "3.9.18"}}
	s := &Store{found: found, looking: make(chan struct{}, 1), o: Options{Dir: t.TempDir()}}
	for i := range found { // they must exist to be believed
		p := filepath.Join(t.TempDir(), "python")
		write(t, p, "")
		s.found[i].Path = p
	}
	for _, tt := range []struct{ name, wanted, version string }{
		{"any is the first", "", "3.11.2"},
		{"the one wanted", "3.13", "3.13.0"},
		{"a full version is its minor version", "3.9.1", "3.9.18"},
		{"the preferred of two that are the same", "3.11", "3.11.2"},
		{"the lower of two that are as near", "3.12", "3.11.2"},
		{"the oldest for what is older than all", "3.6", "3.9.18"},
		{"the newest for what is newer than all", "3.20", "3.13.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.interpreterFor(t.Context(), tt.wanted, true, io.Discard)
			if err != nil || got.Version != tt.version {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAMachineWithoutPythonSaysSo(t *testing.T) {
	s, err := New(Options{Dir: t.TempDir(), UV: NoUV, Environ: []string{"PATH=/nowhere", "HOME=/nowhere"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.interpreters(t.Context())) > 0 {
		t.Skip("/usr/local/bin has a Python")
	}
	if _, err := s.Ensure(t.Context(), Spec{Name: "x"}, nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "python3-venv") {
		t.Errorf("got %v", err)
	}
}

func TestAWantedPythonThatCannotBeFetchedIsReplacedAndNotAskedForAgain(t *testing.T) {
	// A uv that fetches nothing, and counts how often it is asked to.
	dir := t.TempDir()
	uv := filepath.Join(dir, "uv")
	real := lookPath("uv", os.Environ())
	if real == "" {
		t.Skip("uv is not in PATH")
	}
	script := "#!/bin/sh\nif [ \"$1\" = python ]; then echo x >>" + dir + "/asked; echo no network >&2; exit 1; fi\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(uv, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{UV: uv})
	wanted := "3.29"
	env, said := ensure(t, s, Spec{Name: "new", Python: wanted})
	if len(env.Notes) != 1 || !strings.HasPrefix(env.Notes[0], "Python 3.29 is not on this machine; Python "+env.Python) || !strings.Contains(said, "uv could not fetch it") {
		t.Errorf("notes %q; said\n%s", env.Notes, said)
	}
	if env.Packages["pip"] == "" {
		t.Errorf("it has no pip: %v", env.Packages)
	}
	ensure(t, s, Spec{Name: "newer", Python: wanted})
	if asked, _ := os.ReadFile(filepath.Join(dir, "asked")); string(asked) != "x\n" {
		t.Errorf("uv was asked %d times", strings.Count(string(asked), "x"))
	}
}

func TestPruneDeletesWhatWasNotUsedForTheLongestTime(t *testing.T) {
	dir := t.TempDir()
	s, err := New(Options{Dir: dir, MaxBytes: 25, UV: NoUV})
	if err != nil {
		t.Fatal(err)
	}
	make := func(name string, age time.Duration, stamp string) string {
		d := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(d, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if stamp != "" {
			write(t, filepath.Join(d, stampName), stamp)
			if err := os.Chtimes(filepath.Join(d, stampName), at, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(d, at, at); err != nil {
			t.Fatal(err)
		}
		return d
	}
	ten := `{"python":"3.11.7","bytes":10}`
	used := make("in-use", 9*time.Hour, ten)
	oldest := make("oldest", 8*time.Hour, ten)
	locked := make("locked", 7*time.Hour, ten)
	older := make("older", 6*time.Hour, ten)
	newer := make("newer", 5*time.Hour, ten)
	fresh := make("fresh", time.Minute, ten)
	crashed := make("crashed", time.Hour, "")
	making := make("making", time.Second, "")
	l, err := tryLock(locked + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	freed, err := s.Prune(context.Background(), func(d string) bool { return d == used })
	if err != nil || freed != 30 {
		t.Errorf("freed %d, %v", freed, err)
	}
	for d, stays := range map[string]bool{used: true, oldest: false, locked: true, older: false, newer: false, fresh: true, crashed: false, making: true} {
		if _, err := os.Stat(d); (err == nil) != stays {
			t.Errorf("%s stays: %v, want %v", filepath.Base(d), err == nil, stays)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"1.9", "1.10", -1}, {"1.2", "1.2.0", 0}, {"2.6.0+cpu", "2.6.0", 0}, {"1.4.1.post1", "1.4.1", 0}, {"1.0rc1", "0.1", -1}, {"0.20.0", "0.19.2", 1}} {
		if got := compare(tt.a, tt.b); (got > 0) != (tt.want > 0) || (got < 0) != (tt.want < 0) {
			t.Errorf("compare(%s, %s) = %d", tt.a, tt.b, got)
		}
	}
}

func TestOptionsThatAreWrongAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	for _, o := range []Options{{}, {Dir: "relative"}, {Dir: dir, Wheels: "relative"}, {Dir: dir, Wheels: file}, {Dir: dir, Wheels: dir + "/none"}, {Dir: dir, UV: dir + "/none"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
