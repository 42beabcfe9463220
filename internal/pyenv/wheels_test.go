// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// wheel writes a wheel by hand: a zip with one module that tells its version.
func wheel(t *testing.T, dir, name, version string, requires ...string) {
	t.Helper()
	module := strings.ReplaceAll(name, "-", "_")
	info := module + "-" + version + ".dist-info/"
	metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	record := ""
	for _, f := range [][2]string{
		{module + ".py", fmt.Sprintf("version = %q\n", version)},
		{info + "METADATA", metadata},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, f[1])
		record += f[0] + ",,\n"
	}
	w, err := z.Create(info + "RECORD")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, record+info+"RECORD,,\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, fmt.Sprintf("%s-%s-py3-none-any.whl", module, version)), buf.String())
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// environ is the test's environment without what says where packages are.
func environ(more ...string) []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PIP_") && !strings.HasPrefix(e, "UV_") {
			out = append(out, e)
		}
	}
	return append(out, more...)
}

// lines is what Ensure said.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// here are the interpreters of this machine, looked for once for all tests.
var here = sync.OnceValue(func() []interpreter {
	dir, err := os.MkdirTemp("", "pyenv")
	if err != nil {
		return nil
	}
	defer os.RemoveAll(dir)
	s, err := New(Options{Dir: dir, UV: NoUV, Environ: environ()})
	if err != nil {
		return nil
	}
	return s.interpreters(context.Background())
})

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Environ == nil {
		o.Environ = environ()
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.found = here(); len(s.found) == 0 {
		t.Skipf("no Python 3.%d or newer with venv is here", oldestMinor)
	}
	return s
}

// installers runs a test with pip, and with uv where it is installed.
func installers(t *testing.T, test func(t *testing.T, uv string)) {
	t.Run("with pip", func(t *testing.T) { test(t, NoUV) })
	t.Run("with uv", func(t *testing.T) {
		uv := lookPath("uv", os.Environ())
		if uv == "" {
			t.Skip("uv is not in PATH")
		}
		test(t, uv)
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen in 30 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func ensure(t *testing.T, s *Store, spec Spec) (Env, string) {
	t.Helper()
	var said lines
	env, err := s.Ensure(context.Background(), spec, &said)
	if err != nil {
		t.Fatalf("%v\nIt said:\n%s", err, said.String())
	}
	return env, said.String()
}
