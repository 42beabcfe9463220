// SPDX-License-Identifier: Apache-2.0

// Package pyenv builds Python environments and keeps them: a folder with an
// interpreter and packages for each Spec, made at its first use and found again
// at the next. It uses uv where that is installed, venv and pip otherwise.
//
// An environment is built in the place where it is used, as its scripts name
// it by its absolute path, and is done when its stamp is written, last of all. A
// folder without stamp is what a crash left and is built anew. A lock file per
// environment keeps two servers on one folder from building the same one.
package pyenv

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// ErrUnavailable says that something asked for cannot be had: no index has it,
// it has no wheel for the interpreter, requirements contradict each other. Trying
// again is of no use. Errors that wrap it are for the user to read.
var ErrUnavailable = errors.New("cannot be had")

// ErrNetwork says that an index could not be reached. It may pass.
var ErrNetwork = errors.New("package index cannot be reached")

// NoUV is a value of Options.UV: pip is used even where uv is installed.
const NoUV = "-"

// Options of a Store. Dir is required.
type Options struct {
	Dir     string   // absolute folder of the environments; it is made
	Wheels  string   // absolute folder of wheels that are candidates beside the index's; "" for none
	Offline bool     // no index is asked: what Wheels lacks cannot be had
	Pythons []string // interpreters that are preferred over those that are found; paths, or names in PATH
	// OnlyWheels refuses to build source distributions that a requirements.txt
	// asks for: their set-up code runs as the server, outside of any job.
	OnlyWheels bool
	MaxBytes   int64        // Prune deletes what exceeds it; 0 for no limit
	UV         string       // path of uv; "" looks in PATH; NoUV for never
	Environ    []string     // where PATH, HOME, PIP_*, UV_* and the like come from; nil: the process's
	Log        *slog.Logger // nil: none
}

// Store is a folder of environments. It is safe for concurrent use, also by
// several processes.
type Store struct {
	o       Options
	environ []string
	uv      string // "" when pip is used
	uvs     string // "uv 0.5.1"

	looking chan struct{} // holds one token while interpreters are looked for

	mu      sync.Mutex // guards what follows
	found   []interpreter
	refused map[string]time.Time // minor versions that uv could not fetch, and when
	running map[string]*build    // by the folder's name
}

// New opens the folder of o, and makes it when it is missing. It starts nothing.
func New(o Options) (*Store, error) {
	for what, dir := range map[string]string{"folder of Python environments": o.Dir, "wheels folder": o.Wheels} {
		if !filepath.IsAbs(dir) && (dir != "" || what != "wheels folder") {
			return nil, fmt.Errorf("pyenv: the %s must be an absolute path, not %q", what, dir)
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of Python environments: %w", err)
	}
	if o.Wheels != "" {
		if fi, err := os.Stat(o.Wheels); err != nil {
			return nil, fmt.Errorf("open wheels folder: %w", err)
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("open wheels folder: %s is no folder", o.Wheels)
		}
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{o: o, environ: environment(o.Environ), looking: make(chan struct{}, 1), refused: map[string]time.Time{}, running: map[string]*build{}}
	switch o.UV {
	case NoUV:
	case "":
		s.uv = lookPath("uv", o.Environ)
	default:
		s.uv = o.UV
	}
	if s.uv != "" {
		cmd := exec.Command(s.uv, "--version")
		cmd.Env = s.environ
		out, err := cmd.Output()
		switch version := uvVersion.FindSubmatch(out); {
		case err == nil && version != nil:
			s.uvs = "uv " + string(version[1])
		case o.UV != "":
			return nil, fmt.Errorf("ask %s for its version: %w", s.uv, err)
		default: // a uv in PATH that does not run is none
			o.Log.Warn("uv does not run", "path", s.uv, "err", err)
			s.uv = ""
		}
	}
	return s, nil
}

// Spec is an environment to be had. Specs that say the same name the same
// environment.
type Spec struct {
	Name     string   // for people and for the folder: "scikit-learn-1.2-1"
	Python   string   // minor version that would be best, "3.11"; "" for any
	Packages []Choice // what must be in it
	// Requirements is the text of a requirements.txt, installed after Packages
	// and free to change them, as in the framework images of AWS; nil for none.
	Requirements []byte
}

// Choice is one package and which of its versions will do.
type Choice struct {
	Package string // as the index spells it: "scikit-learn"
	// Wanted are version specifiers, the best one first: "==1.2.1", "~=1.2.0".
	// None means whatever version goes with the rest.
	Wanted []string
	// Nearest, when nothing Wanted can be had, takes the lowest version from this
	// one on that has a wheel, and if there is none the highest. "" for neither.
	Nearest string
	With    []Companion
	// Source allows it to be built from a source distribution. Otherwise only
	// wheels do, lest an old version compiles for ten minutes.
	Source bool
}

// Companion is a requirement that goes with old versions of a package, whose
// own metadata did not foresee what came after it.
type Companion struct {
	Below       string // versions of the package below this one need it; "" for all
	Requirement string // "numpy<2"
}

// Env is an environment that is ready.
type Env struct {
	Dir    string `json:"-"`      // absolute; bin/python is in it. It works at this path only.
	Python string `json:"python"` // version of the interpreter: "3.11.7"
	// Base is the folder of the interpreter's own files, which bin/python leads
	// to. It must be visible at this path too.
	Base     string            `json:"base"`
	Packages map[string]string `json:"packages"` // versions of all that is installed, by normalized name
	// Notes are plain sentences on what is not as it was asked for.
	Notes []string `json:"notes,omitempty"`
	// Left are the lines of requirements.txt that must be installed where the
	// code is, by the job itself: those that name files beside it.
	Left  []string  `json:"left,omitempty"`
	Bytes int64     `json:"bytes"` // on disk, when it was made
	Made  time.Time `json:"made"`
}

// Interpreter is the path of the environment's python.
func (e Env) Interpreter() string { return filepath.Join(e.Dir, "bin", "python") }

// Substituted reports whether something else than the best was installed or
// something was left out, so that a user should be told Notes.
func (e Env) Substituted() bool { return len(e.Notes) > 0 }
