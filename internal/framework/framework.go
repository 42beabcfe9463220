// SPDX-License-Identifier: Apache-2.0

// Package framework knows AWS's framework images, the ones that run a script of
// the user, by their URIs, and tells which Python environment stands for each.
package framework

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Framework is what a framework image's URI asks for.
type Framework struct {
	Name       string // "scikit-learn", "xgboost", "pytorch", "tensorflow", "huggingface-pytorch", "huggingface-tensorflow", "spark", "python"
	Repository string // "pytorch-training"
	Tag        string // "2.6.0-gpu-py312"
	Version    string // of the image, as its tag tells it: "1.2-1", "2.6.0"; of Hugging Face that of PyTorch or TensorFlow
	// Transformers is the version of that library; "" but for Hugging Face.
	Transformers string
	Python       string // minor version that the tag or AWS's image has: "3.12"; "" when not known
	GPU          bool   // the tag says so; the environment is the same
	Train        bool   // it runs training scripts
	Serve        bool   // it serves models by a script
	Process      bool   // it runs processing scripts
}

// TagError is a URI of a framework image whose tag is none of that repository.
type TagError struct{ Repository, Tag, Form string }

func (e *TagError) Error() string {
	tag := "has no tag"
	if e.Tag != "" {
		tag = fmt.Sprintf("has the tag %q", e.Tag)
	}
	return fmt.Sprintf("image %s %s; its tags look like %s", e.Repository, tag, e.Form)
}

// registry takes apart {account}.dkr.ecr.{region}.amazonaws.com/{repository} with
// what follows, the hosts of FIPS, dual stack, China and the closed Regions
// included. Account and Region are not compared: every Region has its own.
var registry = regexp.MustCompile(`^\d{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov|amazonaws\.eu)/` +
	`([a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?$`)

// Lookup tells what a URI asks for. ok is false when it is no framework image,
// or one with a tag that is none: Resolve then gives the reason.
func Lookup(uri string) (f Framework, ok bool) {
	f, err := Resolve(uri)
	return f, err == nil && f.Name != ""
}

// Resolve is Lookup with the reason. A URI that is no framework image gives the
// zero Framework and no error, one with a malformed tag a *TagError, one of a
// framework that is not supported an *UnsupportedError.
func Resolve(uri string) (Framework, error) {
	m := registry.FindStringSubmatch(uri)
	if m == nil {
		return Framework{}, nil
	}
	name, tag := m[1], m[2]
	if why := unsupported(name); why != "" {
		return Framework{}, &UnsupportedError{Repository: name, Why: why}
	}
	r, python, ok := find(name)
	if !ok {
		return Framework{}, nil
	}
	p := r.tag.FindStringSubmatch(tag)
	if p == nil {
		return Framework{}, &TagError{Repository: name, Tag: tag, Form: r.form}
	}
	f := Framework{Name: r.framework, Repository: name, Tag: tag, Python: python, Train: r.train, Serve: r.serve, Process: r.process}
	for i, group := range r.tag.SubexpNames() {
		switch v := p[i]; group {
		case "version":
			f.Version = v
		case "transformers":
			f.Transformers = v
		case "processor":
			f.GPU = v == "gpu"
		case "py":
			f.Python = minor(v)
			if v == "2" || strings.HasPrefix(v, "2") && len(v) == 2 {
				return Framework{}, &UnsupportedError{Repository: name, Why: "its tag " + tag + " asks for Python 2, which is not supported"}
			}
		}
	}
	if f.Python == "" {
		f.Python = r.pythonOf(f.Version)
	}
	return f, nil
}

// minor is the "3.12" of "312"; "" of "3", which leaves it open.
func minor(py string) string {
	if len(py) < 2 {
		return ""
	}
	return py[:1] + "." + py[1:]
}

// UnsupportedError is an image of AWS that runs scripts, of a kind that no
// environment is prepared for.
type UnsupportedError struct{ Repository, Why string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("image %s: %s", e.Repository, e.Why)
}

// ErrNoJava says that an image needs Java and the machine has none.
var ErrNoJava = errors.New("no Java is on this machine")

// Check reports what the machine lacks for the framework, which no package
// brings: Spark needs Java. The error wraps ErrNoJava and is for the user.
func (f Framework) Check() error {
	if f.Name != "spark" {
		return nil
	}
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if _, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return nil
		}
	}
	if _, err := exec.LookPath("java"); err != nil {
		return fmt.Errorf("image %s: %w: Spark %s needs Java 8, 11 or 17 in PATH or JAVA_HOME (Debian: openjdk-17-jre-headless)", f.Repository, ErrNoJava, f.Version)
	}
	return nil
}

// Spec is the environment that stands for the image, with what the job needs
// added. The same arguments give the same Spec.
func (f Framework) Spec(n runtime.Needs) pyenv.Spec {
	s := pyenv.Spec{Name: f.Repository, Python: f.Python, Requirements: n.Requirements}
	if f.Tag != "" {
		s.Name += "-" + f.Tag
	}
	if n.Python != "" { // a remote function's pickles need the client's Python
		s.Python = n.Python
	}
	s.Packages = packages(f)
	if n.SDK != "" {
		s.Packages = append([]pyenv.Choice{{Package: "sagemaker", Wanted: exactly(n.SDK), Nearest: n.SDK}}, without(s.Packages, "sagemaker")...)
	}
	return s
}

// path is where a program is looked for after the environment's own folder.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Variables are what a task needs in its environment to use env, and what AWS's
// images set for Python. They are the image's: a job's own win over them.
func (f Framework) Variables(env pyenv.Env) map[string]string {
	v := map[string]string{
		"PATH": filepath.Join(env.Dir, "bin") + ":" + path, "VIRTUAL_ENV": env.Dir,
		"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "UTF-8", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
	}
	if f.Name == "spark" { // else its workers take the machine's Python
		v["PYSPARK_PYTHON"], v["PYSPARK_DRIVER_PYTHON"] = env.Interpreter(), env.Interpreter()
		if home := os.Getenv("JAVA_HOME"); home != "" {
			v["JAVA_HOME"] = home
		}
	}
	return v
}
