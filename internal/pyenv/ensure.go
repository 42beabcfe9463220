// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	stampName = "sagebrush.json" // of the file in an environment that says that it is done
	// format is part of what names an environment: it changes when environments
	// are made in another way.
	format = 1
)

// build is one that is going on in this process.
type build struct {
	done chan struct{} // closed when it has ended
	env  Env
	err  error
}

// Ensure gives the environment of a Spec, and makes it if it is not there: then
// it may take minutes, and says line by line on progress what it does. progress
// may be nil; it is written to by one goroutine at a time. Of several calls for
// one environment, in this process or another, one makes it and the others wait.
//
// Errors that wrap ErrUnavailable or ErrNetwork are for the user to read; they
// may have several lines.
func (s *Store) Ensure(ctx context.Context, spec Spec, progress io.Writer) (Env, error) {
	if progress == nil {
		progress = io.Discard
	}
	if len(spec.Requirements) > MaxRequirements {
		return Env{}, fmt.Errorf("requirements.txt %w: it has %d bytes, at most %d are read", ErrUnavailable, len(spec.Requirements), MaxRequirements)
	}
	requirements := Classify(spec.Requirements)
	// What is there is looked for first: to fetch a better interpreter takes long,
	// and in vain where it did so before.
	py, err := s.interpreterFor(ctx, spec.Python, false, progress)
	if err != nil {
		return Env{}, err
	}
	if py.Path != "" {
		if env, ok := s.open(s.folder(spec, py, requirements)); ok {
			return env, nil
		}
	}
	if py, err = s.interpreterFor(ctx, spec.Python, true, progress); err != nil {
		return Env{}, err
	}
	name := s.folder(spec, py, requirements)
	for {
		if env, ok := s.open(name); ok {
			return env, nil
		}
		s.mu.Lock()
		b, others := s.running[name]
		if !others {
			b = &build{done: make(chan struct{})}
			s.running[name] = b
		}
		s.mu.Unlock()
		if !others {
			b.env, b.err = s.locked(ctx, name, spec, py, requirements, progress)
			s.mu.Lock()
			delete(s.running, name)
			s.mu.Unlock()
			close(b.done)
			return b.env, b.err
		}
		say(progress, "Waiting for another job that prepares the same Python environment, %s", spec.Name)
		select {
		case <-ctx.Done():
			return Env{}, ctx.Err()
		case <-b.done:
		}
		if errors.Is(b.err, context.Canceled) || errors.Is(b.err, context.DeadlineExceeded) {
			continue // the other job was stopped; this one was not
		}
		return b.env, b.err
	}
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// folder is the name of an environment's folder: for people, then a hash of all
// that matters to what is in it.
func (s *Store) folder(spec Spec, py interpreter, r Requirements) string {
	key, err := json.Marshal(struct {
		Format       int
		Path         string
		Version      string
		Packages     []Choice
		Requirements Requirements
		Wheels       string
		Offline      bool
		OnlyWheels   bool
	}{format, py.Path, py.Version, spec.Packages, r, s.o.Wheels, s.o.Offline, s.o.OnlyWheels && r.Kept != nil})
	if err != nil {
		panic(err) // all of them are plain data
	}
	sum := sha256.Sum256(key)
	name := strings.Trim(unfit.ReplaceAllString(spec.Name, "-"), "-.")
	return fmt.Sprintf("%s-py%s-%s", name[:min(len(name), 60)], minorVersion(py.Version), hex.EncodeToString(sum[:6]))
}

// open gives an environment that is done, and marks it as used.
func (s *Store) open(name string) (Env, bool) {
	dir := filepath.Join(s.o.Dir, name)
	env, err := read(dir)
	if err != nil {
		return Env{}, false
	}
	if _, err := os.Stat(env.Interpreter()); err != nil { // what it was made from is gone
		return Env{}, false
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Join(dir, stampName), now, now); err != nil {
		s.o.Log.Warn("mark python environment as used", "dir", dir, "err", err)
	}
	return env, true
}

func read(dir string) (Env, error) {
	text, err := os.ReadFile(filepath.Join(dir, stampName))
	if err != nil {
		return Env{}, fmt.Errorf("read stamp: %w", err)
	}
	var env Env
	if err := json.Unmarshal(text, &env); err != nil {
		return Env{}, fmt.Errorf("read stamp of %s: %w", dir, err)
	}
	env.Dir = dir
	return env, nil
}

// locked makes an environment while no other process does.
func (s *Store) locked(ctx context.Context, name string, spec Spec, py interpreter, r Requirements, progress io.Writer) (Env, error) {
	l, err := lock(ctx, filepath.Join(s.o.Dir, name+".lock"), func() {
		say(progress, "Waiting for another server that prepares the same Python environment, %s", spec.Name)
	})
	if err != nil {
		return Env{}, err
	}
	defer l.Close()
	if env, ok := s.open(name); ok { // made while we waited
		return env, nil
	}
	begun := time.Now()
	env, err := s.make(ctx, name, spec, py, r, progress)
	if err != nil {
		s.o.Log.Info("python environment not prepared", "name", spec.Name, "err", err, "dur", time.Since(begun))
		return Env{}, err
	}
	s.o.Log.Info("python environment prepared", "name", spec.Name, "dir", env.Dir, "python", env.Python, "bytes", env.Bytes, "dur", time.Since(begun))
	say(progress, "The Python environment is ready after %.1f s: %d packages, %d MB", time.Since(begun).Seconds(), len(env.Packages), env.Bytes>>20)
	return env, nil
}

// make makes an environment where a crash may have left the beginning of one.
func (s *Store) make(ctx context.Context, name string, spec Spec, py interpreter, r Requirements, progress io.Writer) (env Env, err error) {
	dir, tmp := filepath.Join(s.o.Dir, name), filepath.Join(s.o.Dir, name+".tmp")
	for _, d := range []string{dir, tmp} {
		if err := os.RemoveAll(d); err != nil {
			return Env{}, fmt.Errorf("clear folder of Python environment: %w", err)
		}
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return Env{}, fmt.Errorf("make folder of Python environment: %w", err)
	}
	logPath := filepath.Join(s.o.Dir, name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return Env{}, fmt.Errorf("make log of Python environment: %w", err)
	}
	defer log.Close()
	defer func() {
		os.RemoveAll(tmp)
		if err != nil {
			os.RemoveAll(dir)
		}
		if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNetwork) {
			err = fmt.Errorf("prepare the Python environment %s: %w\nAll that the installer said is in %s", spec.Name, err, logPath)
		} else if err != nil {
			err = fmt.Errorf("prepare the Python environment %s: %w", spec.Name, err)
		}
	}()
	t := &site{s: s, dir: dir, tmp: tmp, py: py, log: log, progress: progress}
	return t.fill(ctx, spec, r)
}

// fill makes the environment of a spec in an empty place, and stamps it.
func (t *site) fill(ctx context.Context, spec Spec, r Requirements) (Env, error) {
	env := Env{Dir: t.dir, Python: t.py.Version, Base: t.py.Base}
	note := func(format string, args ...any) {
		env.Notes = append(env.Notes, fmt.Sprintf(format, args...))
		say(t.progress, "%s", env.Notes[len(env.Notes)-1])
	}
	by := "pip"
	if t.s.uv != "" {
		by = t.s.uvs
	}
	say(t.progress, "Preparing the Python environment %s with %s; it is kept for later jobs", spec.Name, by)
	if wanted := minorOf(spec.Python); spec.Python != "" && wanted < oldestMinor {
		note("Python %s is too old to be used here; Python %s (%s) is used instead", spec.Python, t.py.Version, t.py.Path)
	} else if spec.Python != "" && wanted != t.py.minor() {
		note("Python %s is not on this machine; Python %s (%s) is used instead", spec.Python, t.py.Version, t.py.Path)
	} else {
		say(t.progress, "Python %s (%s)", t.py.Version, t.py.Path)
	}
	quiet := *t
	quiet.progress = io.Discard // that pip is put into it is no news
	if err := quiet.create(ctx); err != nil {
		return Env{}, err
	}
	notes, err := t.packages(ctx, spec.Packages)
	if err != nil {
		return Env{}, err
	}
	env.Notes = append(env.Notes, notes...) // said when they came up
	for _, l := range r.Left {
		env.Left = append(env.Left, l.Line)
		note("requirements.txt: %q %s; it is left to the job", l.Line, l.Why)
	}
	if len(r.Kept) > 0 {
		say(t.progress, "Installing %d lines of requirements.txt", len(r.Kept))
		if err := t.installFile(ctx, r.Kept); err != nil {
			if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNetwork) {
				return Env{}, fmt.Errorf("requirements.txt: %w%s", err, t.asked())
			}
			return Env{}, fmt.Errorf("install requirements.txt: %w", err)
		}
	}
	if env.Packages, err = t.installed(ctx); err != nil {
		return Env{}, err
	}
	return t.stamp(env)
}

// stamp says on disk that the environment is done.
func (t *site) stamp(env Env) (Env, error) {
	env.Bytes, env.Made = size(t.dir), time.Now().UTC()
	text, err := json.MarshalIndent(env, "", "  ")
	if err != nil {
		return Env{}, fmt.Errorf("write stamp: %w", err)
	}
	path := filepath.Join(t.dir, stampName)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return Env{}, fmt.Errorf("write stamp: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return Env{}, fmt.Errorf("write stamp: %w", err)
	}
	return env, nil
}
