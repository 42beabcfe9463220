// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The minor versions of Python 3 that are used. Below the first the packages of
// today have no wheels, and the script toolkit does not run.
const (
	oldestMinor = 9
	newestMinor = 30 // so far names are looked for
)

// refusal is how long it is remembered that uv could not fetch an interpreter.
const refusal = time.Hour

// interpreter is a Python that environments can be made from.
type interpreter struct {
	Path    string   // of the file itself, no link
	Version string   // "3.11.7"
	Base    string   // sys.base_prefix
	Venv    bool     // it has venv and ensurepip; Debian's has not without python3-venv
	Bundled []string // wheels of pip, and of setuptools where it has that, that came with it
}

// minor is the 11 of "3.11.7".
func (i interpreter) minor() int { return minorOf(i.Version) }

// minorOf is the 11 of "3.11" and of "3.11.7"; 0 of what is no Python 3.
func minorOf(version string) int {
	rest, ok := strings.CutPrefix(version, "3.")
	rest, _, _ = strings.Cut(rest, ".")
	n, err := strconv.Atoi(rest)
	if !ok || err != nil {
		return 0
	}
	return n
}

// interpreterFor is the interpreter that is nearest to the minor version wanted,
// the lower one of two: an old package has wheels for what was there when it
// came out. preferred ones of Options win among equals. fetch allows uv to get
// one that is missing.
func (s *Store) interpreterFor(ctx context.Context, wanted string, fetch bool, progress io.Writer) (interpreter, error) {
	found := s.interpreters(ctx)
	if len(found) == 0 && !s.fetches() {
		return interpreter{}, fmt.Errorf("%w: no Python 3.%d or newer is on this machine (looked in PATH, ~/.pyenv/versions, /usr/local/bin and the interpreters of the configuration%s)",
			ErrUnavailable, oldestMinor, s.venvHint())
	}
	if wanted == "" && len(found) > 0 {
		return found[0], nil
	}
	best := nearest(found, minorOf(wanted))
	if fetch && s.fetches() && (len(found) == 0 || best.minor() != minorOf(wanted)) && minorOf(wanted) >= oldestMinor {
		if s.fetch(ctx, wanted, progress) {
			found = s.interpreters(ctx)
			best = nearest(found, minorOf(wanted))
		}
	}
	if len(found) == 0 {
		return interpreter{}, fmt.Errorf("%w: no Python is on this machine, and uv could not fetch one", ErrUnavailable)
	}
	return best, nil
}

func nearest(found []interpreter, minor int) interpreter {
	if len(found) == 0 {
		return interpreter{}
	}
	return slices.MinFunc(found, func(a, b interpreter) int {
		x, y := max(a.minor()-minor, minor-a.minor()), max(b.minor()-minor, minor-b.minor())
		if x != y {
			return x - y
		}
		return a.minor() - b.minor()
	})
}

func (s *Store) venvHint() string {
	if s.uv != "" {
		return ""
	}
	return "; Debian's needs the package python3-venv"
}

// interpreters are all that are usable, those of Options first, then the newest
// first. They are run once to tell what they are.
func (s *Store) interpreters(ctx context.Context) []interpreter {
	s.looking <- struct{}{}
	defer func() { <-s.looking }()
	gone := func(i interpreter) bool { _, err := os.Stat(i.Path); return err != nil }
	s.mu.Lock()
	known := s.found
	s.mu.Unlock()
	if known != nil && !slices.ContainsFunc(known, gone) {
		return known
	}
	probe := func(paths []string) []interpreter {
		var out []interpreter
		for _, p := range paths {
			i, err := s.probe(ctx, p)
			if err != nil {
				s.o.Log.Debug("no interpreter", "path", p, "err", err)
				continue
			}
			out = append(out, i)
		}
		return out
	}
	preferred := probe(s.o.Pythons)
	others := probe(s.candidates())
	slices.SortStableFunc(others, func(a, b interpreter) int { return compare(b.Version, a.Version) })
	var found []interpreter
	for _, i := range append(preferred, others...) {
		same := func(j interpreter) bool { return i.Path == j.Path }
		if i.minor() >= oldestMinor && (i.Venv || s.uv != "") && !slices.ContainsFunc(found, same) {
			found = append(found, i)
		}
	}
	if ctx.Err() == nil { // else some may be missing only because there was no time
		s.mu.Lock()
		s.found = found
		s.mu.Unlock()
	}
	return found
}

// candidates are paths that may be interpreters.
func (s *Store) candidates() []string {
	var out []string
	add := func(path string) {
		if real, err := filepath.EvalSymlinks(path); err == nil && !slices.Contains(out, real) {
			out = append(out, real)
		}
	}
	names := []string{"python3", "python"}
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		names = append(names, fmt.Sprintf("python3.%d", minor))
	}
	path, home := value(s.o.Environ, "PATH"), value(s.o.Environ, "HOME")
	for _, dir := range append(filepath.SplitList(path), "/usr/local/bin") {
		for _, name := range names {
			if filepath.IsAbs(dir) {
				add(filepath.Join(dir, name))
			}
		}
	}
	for _, pattern := range []string{filepath.Join(home, ".pyenv/versions/3.*/bin/python3"), filepath.Join(s.fetched(), "*/bin/python3")} {
		if filepath.IsAbs(pattern) {
			matches, _ := filepath.Glob(pattern)
			for _, m := range matches {
				add(m)
			}
		}
	}
	return out
}

// probed makes an interpreter tell what it is. One that belongs to a virtual
// environment tells of the one below it. A wrapper, such as pyenv's shims, leads
// to the real file.
const probed = `import glob, importlib.util, json, os, sys
exe = getattr(sys, "_base_executable", None) or sys.executable
bundled = []
try:
    import ensurepip
    for dir in (getattr(ensurepip, "_WHEEL_PKG_DIR", None), os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")):
        bundled = bundled or sorted(w for n in ("pip", "setuptools") for w in glob.glob(os.path.join(dir or "/none", n + "-*.whl")))
except ImportError:
    pass
json.dump({"bundled": bundled, "path": os.path.realpath(exe), "version": ".".join(map(str, sys.version_info[:3])), "base": os.path.realpath(sys.base_prefix),
           "venv": all(importlib.util.find_spec(m) for m in ("venv", "ensurepip"))}, sys.stdout)`

func (s *Store) probe(ctx context.Context, path string) (interpreter, error) {
	if !filepath.IsAbs(path) {
		path = lookPath(path, s.o.Environ)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-I", "-c", probed)
	cmd.Env, cmd.Dir = s.environ, "/"
	defer tie(cmd)()
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, fmt.Errorf("run %s: %w", path, err)
	}
	var i struct {
		Path, Version, Base string
		Venv                bool
		Bundled             []string
	}
	if err := json.Unmarshal(out, &i); err != nil || !filepath.IsAbs(i.Path) {
		return interpreter{}, fmt.Errorf("ask %s what it is: it answered %q", path, out)
	}
	return interpreter(i), nil
}

// fetched is where uv keeps the interpreters that it fetched for us.
func (s *Store) fetched() string { return filepath.Join(s.o.Dir, "interpreters") }

// fetches reports whether uv may be asked for an interpreter.
func (s *Store) fetches() bool {
	downloads := strings.ToLower(value(s.o.Environ, "UV_PYTHON_DOWNLOADS"))
	return s.uv != "" && !s.o.Offline && downloads != "never" && downloads != "false" && value(s.o.Environ, "UV_OFFLINE") == ""
}

// fetch lets uv get an interpreter and reports whether it did. That it did not
// is remembered for a while, as it takes many seconds to find out.
func (s *Store) fetch(ctx context.Context, wanted string, progress io.Writer) bool {
	s.mu.Lock()
	when, tried := s.refused[wanted]
	s.mu.Unlock()
	if tried && time.Since(when) < refusal {
		return false
	}
	l, err := lock(ctx, filepath.Join(s.o.Dir, "interpreters.lock"), func() { say(progress, "Waiting for another server that fetches a Python") })
	if err != nil {
		return false
	}
	defer l.Close()
	say(progress, "Python %s is not on this machine: uv tries to fetch it", wanted)
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limited, s.uv, "python", "install", "--no-progress", "--color", "never", "--no-bin", "--install-dir", s.fetched(), wanted)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(slices.Clone(s.environ), "UV_HTTP_RETRIES=1"), s.o.Dir, 5*time.Second
	defer tie(cmd)()
	out, err := cmd.CombinedOutput()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.o.Log.Warn("uv could not fetch an interpreter", "python", wanted, "err", err, "output", redact(string(out)))
		say(progress, "uv could not fetch it")
		if ctx.Err() == nil {
			s.refused[wanted] = time.Now()
		}
		return false
	}
	s.found = nil
	return true
}
