// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var uvVersion = regexp.MustCompile(`^uv (\d+\.\d+\.\d+\S*)`)

// site is a folder in which an environment is being made.
type site struct {
	s        *Store
	dir      string      // of the environment
	tmp      string      // working folder and TMPDIR of the installers
	py       interpreter // what it is made from
	log      io.Writer   // all that the installers say
	progress io.Writer   // what of it a user wants to read
}

// mode is how packages may be had.
type mode struct {
	source bool // also from source distributions
	noDeps bool
}

// create makes the environment, with pip in it: jobs run pip themselves.
func (t *site) create(ctx context.Context) error {
	if t.s.uv == "" {
		// Two steps, so that each child is ours and ends with us.
		if err := t.run(ctx, t.py.Path, "-I", "-m", "venv", "--without-pip", t.dir); err != nil {
			return fmt.Errorf("make environment with %s: %w", t.py.Path, err)
		}
		return t.bundledPip(ctx)
	}
	if err := t.run(ctx, t.s.uv, "venv", "--no-config", "--no-project", "--python", t.py.Path, t.dir); err != nil {
		return fmt.Errorf("make environment with %s: %w", t.py.Path, err)
	}
	if len(t.py.Bundled) > 0 { // what ensurepip would do, in a fifth of the time
		return t.install(ctx, mode{noDeps: true}, t.py.Bundled...)
	}
	return t.install(ctx, mode{}, "pip")
}

func (t *site) bundledPip(ctx context.Context) error {
	if err := t.run(ctx, t.python(), "-I", "-m", "ensurepip", "--default-pip"); err != nil {
		return fmt.Errorf("put pip into the environment: %w", err)
	}
	return nil
}

func (t *site) python() string { return filepath.Join(t.dir, "bin", "python") }

// install puts requirements into the environment. What cannot be had leaves it
// as it was.
func (t *site) install(ctx context.Context, m mode, requirements ...string) error {
	return t.reached(ctx, t.run(ctx, t.argv(t.s.uv, m, requirements)...))
}

// installFile is install of lines of a requirements file. uv ignores a few
// options that pip obeys; with those in it pip is used.
func (t *site) installFile(ctx context.Context, lines []string) error {
	path := filepath.Join(t.tmp, "requirements.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("write requirements.txt: %w", err)
	}
	uv := t.s.uv
	if slices.ContainsFunc(lines, func(l string) bool { return onlyPip.MatchString(l) }) {
		uv = ""
	}
	return t.reached(ctx, t.run(ctx, t.argv(uv, mode{source: !t.s.o.OnlyWheels}, []string{"--requirement", path})...))
}

var onlyPip = regexp.MustCompile(`^--(?:pre|prefer-binary|trusted-host)\b`)

var noMatch = regexp.MustCompile(`No matching distribution found for ([A-Za-z0-9._-]+)`)

// reached finds out whether pip, which says of an index that it did not reach
// no more than of one that lacks a package, did reach it.
func (t *site) reached(ctx context.Context, err error) error {
	var f *failure
	if t.s.uv != "" || t.s.o.Offline || !errors.As(err, &f) || !f.unknown || !errors.Is(f, ErrUnavailable) {
		return err
	}
	m := noMatch.FindStringSubmatch(f.reason)
	if m == nil {
		return err
	}
	argv := []string{t.python(), "-I", "-m", "pip", "-vv", "download", "--no-input", "--disable-pip-version-check", "--no-color", "--no-deps",
		"--retries", "0", "--dest", t.tmp, m[1] + "==0+none"} // a version that there cannot be: nothing is fetched
	again := t.run(ctx, argv...)
	var g *failure
	if errors.As(again, &g) && errors.Is(g, ErrNetwork) {
		f.kind = ErrNetwork
		f.reason += "\n" + mention(g.unreachable)
	}
	return err
}

// argv is the command that installs, by uv when that is not "".
func (t *site) argv(uv string, m mode, what []string) []string {
	var argv []string
	if uv != "" {
		// Compiled now, as jobs cannot write into it.
		argv = []string{uv, "pip", "install", "--python", t.python(), "--no-progress", "--color", "never", "--compile-bytecode"}
	} else {
		argv = []string{t.python(), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-color",
			"--progress-bar", "off", "--no-warn-script-location"}
	}
	if t.s.o.Offline {
		argv = append(argv, "--no-index")
	}
	if t.s.o.Wheels != "" {
		argv = append(argv, "--find-links", t.s.o.Wheels)
	}
	if !m.source {
		argv = append(argv, "--only-binary", ":all:")
	}
	if m.noDeps {
		argv = append(argv, "--no-deps")
	}
	return append(argv, what...)
}

// run runs a program and judges its failure.
func (t *site) run(ctx context.Context, argv ...string) error {
	fmt.Fprintf(t.log, "+ %s\n", redact(strings.Join(argv, " ")))
	out := &output{log: t.log, progress: t.progress}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = t.tmp, append(slices.Clone(t.s.environ), "TMPDIR="+t.tmp, "PIP_ROOT_USER_ACTION=ignore")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 5*time.Second
	defer tie(cmd)()
	err := cmd.Run()
	out.flush()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() < 0 { // not started, or killed: by whom says nothing of the packages
		return fmt.Errorf("run %s: %w", filepath.Base(argv[0]), err)
	}
	return out.judge()
}

// lowest is the lowest version of a package from one on that has a wheel here,
// "" when there is none, and the highest of all, "" when there is none at all.
func (t *site) lowest(ctx context.Context, pkg, from string) (low, high string, err error) {
	if t.s.uv == "" {
		return t.lowestByPip(ctx, pkg, from)
	}
	ask := func(requirement, resolution string) (string, error) {
		in, out := filepath.Join(t.tmp, "ask.in"), filepath.Join(t.tmp, "ask.out")
		if err := os.WriteFile(in, []byte(requirement+"\n"), 0o644); err != nil {
			return "", fmt.Errorf("ask for versions of %s: %w", pkg, err)
		}
		argv := []string{t.s.uv, "pip", "compile", "--quiet", "--color", "never", "--python", t.python(), "--no-deps", "--no-header", "--no-annotate",
			"--only-binary", ":all:", "--resolution", resolution, "--output-file", out, in}
		if t.s.o.Offline {
			argv = append(argv, "--no-index")
		}
		if t.s.o.Wheels != "" {
			argv = append(argv, "--find-links", t.s.o.Wheels)
		}
		os.Remove(out)
		if err := t.run(ctx, argv...); errors.Is(err, ErrUnavailable) {
			return "", nil
		} else if err != nil {
			return "", err
		}
		text, err := os.ReadFile(out)
		if err != nil {
			return "", fmt.Errorf("read versions of %s: %w", pkg, err)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if _, version, ok := strings.Cut(line, "=="); ok {
				version, _, _ = strings.Cut(version, " ")
				return strings.TrimSpace(version), nil
			}
		}
		return "", nil
	}
	if low, err = ask(pkg+">="+from, "lowest"); err != nil {
		return "", "", err
	}
	high, err = ask(pkg, "highest")
	return low, high, err
}

// lowestByPip asks for a version that there cannot be: pip then lists those that
// there are.
func (t *site) lowestByPip(ctx context.Context, pkg, from string) (low, high string, err error) {
	err = t.install(ctx, mode{noDeps: true}, pkg+"==0+none")
	var f *failure
	if !errors.As(err, &f) {
		return "", "", err
	}
	if errors.Is(f, ErrNetwork) {
		return "", "", f
	}
	for _, v := range f.versions {
		if !release.MatchString(v) {
			continue
		}
		if compare(v, from) >= 0 && (low == "" || compare(v, low) < 0) {
			low = v
		}
		if high == "" || compare(v, high) > 0 {
			high = v
		}
	}
	return low, high, nil
}
