// SPDX-License-Identifier: Apache-2.0

// Package image finds out what an image URI stands for on this server, and makes
// it ready to run. It asks in this order:
//
//  1. the operator's image map;
//  2. the built-in algorithms, whose entry point is our own binary;
//  3. AWS's framework images, for which a Python environment is prepared;
//  4. the registry of this server, and then any other.
//
// An image that is algorithm and framework in one, such as XGBoost's, is the
// framework when the user gave a script.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/framework"
	"github.com/sagebrush-ml/sagebrush/internal/oci"
	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Options are what a Catalog needs.
type Options struct {
	Self         string       // absolute path of our own binary
	Environments *pyenv.Store // for framework images
	Toolkit      string       // absolute folder of the script toolkit
	OCI          *oci.Store   // for all other images
	Map          oci.ImageMap // the operator's; the zero value maps nothing
	// Engine is the container engine that runs images of registries; nil when
	// they are unpacked and run on this machine.
	Engine Engine
	// Pull is the reference by which an engine of this machine finds what
	// another one resolves to: images of our own registry are at our own address.
	Pull func(reference string) string
	// Digest is the digest that ECR here tells of a built-in image.
	Digest func(account, repository, tag string) string
}

// Engine is a container engine.
type Engine interface {
	// Pull makes that the engine has the image, and says on progress what it does.
	Pull(ctx context.Context, reference string, progress io.Writer) error
}

// Catalog finds images. It is safe for concurrent use.
type Catalog struct {
	Options

	mu   sync.Mutex
	left map[string]time.Time // requirements that were left to their jobs, by image: until when not to try again
}

// leftFor is how long requirements that could not be had are not tried again:
// a job is made ready more than once, and each try makes an environment anew.
const leftFor = 10 * time.Minute

var _ runtime.Images = (*Catalog)(nil)

// New makes a Catalog.
func New(o Options) *Catalog { return &Catalog{Options: o, left: map[string]time.Time{}} }

// source is what a URI stands for: one of the four.
type source struct {
	algorithm string // a built-in
	framework framework.Framework
	ref       string // of an OCI image, or the path of one
}

// find tells what uri stands for. What is not found says what is known.
func (c *Catalog) find(uri string, n runtime.Needs) (source, error) {
	if to, ok := c.Map.Lookup(uri); ok {
		if to.Kind == oci.Environment {
			f, err := named(to.Value)
			return source{framework: f}, err
		}
		return source{ref: to.Value}, nil
	}
	f, frameworkErr := framework.Resolve(uri)
	if n.Script && frameworkErr == nil && f.Name != "" {
		return source{framework: f}, nil
	}
	ref, err := builtin.Resolve(uri)
	if err != nil {
		return source{}, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	if ref.Algorithm != "" {
		return source{algorithm: ref.Algorithm}, nil
	}
	if frameworkErr != nil {
		return source{}, fmt.Errorf("%w: %w", runtime.ErrNoImage, frameworkErr)
	}
	if f.Name != "" {
		return source{framework: f}, nil
	}
	if name, ok := builtin.Known(uri); ok {
		return source{}, fmt.Errorf("%w: the built-in algorithm %s is not built in Sagebrush yet; built are %s",
			runtime.ErrNoImage, name, strings.Join(builtin.Names(), ", "))
	}
	return source{ref: uri}, nil
}

// named is the framework that an image map's "python:REPOSITORY:TAG" means, with
// repository and tag as AWS has them.
func named(environment string) (framework.Framework, error) {
	f, err := framework.Resolve("000000000000.dkr.ecr.us-east-1.amazonaws.com/" + environment)
	if err == nil && f.Name == "" {
		err = errors.New("no framework has it")
	}
	if err != nil {
		return f, fmt.Errorf("%w: the image map's environment %q: %w", runtime.ErrNoImage, environment, err)
	}
	return f, nil
}

// frameworks are the repositories of framework images.
func frameworks() string {
	var names []string
	for _, r := range framework.Repositories() {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

// Image implements runtime.Images.
func (c *Catalog) Image(ctx context.Context, uri string, n runtime.Needs) (runtime.Image, error) {
	s, err := c.find(uri, n)
	if err != nil {
		return runtime.Image{}, err
	}
	switch {
	case s.algorithm != "":
		return c.builtin(uri, s.algorithm), nil
	case s.framework.Name != "":
		if err := s.framework.Check(); err != nil { // what it needs of the machine; the caller can mend it
			return c.script(uri, s.framework), fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
		}
		return c.script(uri, s.framework), nil
	}
	found, err := c.OCI.Find(ctx, s.ref)
	if err != nil {
		return runtime.Image{}, fmt.Errorf("%w; besides the images of registries Sagebrush runs the built-in algorithms (%s) and AWS's framework images (%s)",
			err, strings.Join(builtin.Names(), ", "), frameworks())
	}
	return c.container(uri, found), nil
}

// Prepare implements runtime.Images.
func (c *Catalog) Prepare(ctx context.Context, uri string, n runtime.Needs, progress io.Writer) (runtime.Image, error) {
	s, err := c.find(uri, n)
	if err != nil {
		return runtime.Image{}, err
	}
	switch {
	case s.algorithm != "":
		return c.builtin(uri, s.algorithm), nil
	case s.framework.Name != "":
		return c.environment(ctx, uri, s.framework, n, progress)
	}
	found, err := c.OCI.Find(ctx, s.ref)
	if err != nil {
		return runtime.Image{}, err
	}
	image := c.container(uri, found)
	if image.Engine != "" {
		return image, c.Engine.Pull(ctx, image.Engine, progress)
	}
	image.Root, err = c.OCI.Unpack(ctx, found, progress)
	return image, err
}

// builtin is an image whose entry point is our own binary.
func (c *Catalog) builtin(uri, algorithm string) runtime.Image {
	img := runtime.Image{URI: uri, Resolved: c.resolved(uri),
		Train: []string{c.Self, "algo", "train", algorithm},
		Serve: []string{c.Self, "algo", "serve", algorithm},
	}
	if a, ok := builtin.Lookup(algorithm); ok {
		for _, m := range a.Spec().Metrics {
			img.Metrics = append(img.Metrics, runtime.ImageMetric{Name: m.Name, Regex: m.Regex})
		}
	}
	return img
}

// resolved is the digest form of a built-in image's URI, as ECR here tells it.
func (c *Catalog) resolved(uri string) string {
	host, rest, _ := strings.Cut(uri, "/")
	account, _, _ := strings.Cut(host, ".")
	name, tag, _ := strings.Cut(rest, ":")
	return host + "/" + name + "@" + c.Digest(account, name, tag)
}

// kinds are the toolkit's names of frameworks.
var kinds = map[string]string{"scikit-learn": "sklearn", "xgboost": "xgboost", "pytorch": "pytorch", "tensorflow": "tensorflow",
	"huggingface-pytorch": "huggingface", "huggingface-tensorflow": "huggingface", "spark": "python", "python": "python"}

// script is a framework image, not made ready. It works in a folder that it can
// write to, as in a container of AWS's, whose whole root is writable: remote
// functions make their workspace where they are.
func (c *Catalog) script(uri string, f framework.Framework) runtime.Image {
	img := runtime.Image{URI: uri, Script: true, Command: []string{"python3"}, WorkDir: "/tmp", Env: map[string]string{"SAGEBRUSH_FRAMEWORK": kinds[f.Name]}}
	if f.Train {
		img.Train = []string{"python3", "-m", "sagebrush_toolkit.train"}
	}
	if f.Serve {
		img.Serve = []string{"python3", "-m", "sagebrush_toolkit.serve"}
	}
	return img
}

// passed are the variables of the server that its jobs' pip needs as well to
// reach the package index.
func passed(name string) bool {
	return strings.HasPrefix(name, "PIP_") || strings.HasPrefix(name, "UV_") || name == "SSL_CERT_FILE" || name == "REQUESTS_CA_BUNDLE"
}

// environment makes a framework image ready: a Python environment, which the
// job may add to without changing it, and the toolkit.
func (c *Catalog) environment(ctx context.Context, uri string, f framework.Framework, n runtime.Needs, progress io.Writer) (runtime.Image, error) {
	img := c.script(uri, f)
	if err := f.Check(); err != nil {
		return img, fmt.Errorf("%w: %w", runtime.ErrUnprepared, err)
	}
	key := uri + "\n" + string(n.Requirements)
	c.mu.Lock()
	now := time.Now()
	maps.DeleteFunc(c.left, func(_ string, until time.Time) bool { return now.After(until) })
	if _, ok := c.left[key]; ok {
		n.Requirements = nil
	}
	c.mu.Unlock()
	env, err := c.Environments.Ensure(ctx, f.Spec(n), progress)
	if errors.Is(err, pyenv.ErrUnavailable) && len(n.Requirements) > 0 {
		c.mu.Lock()
		c.left[key] = time.Now().Add(leftFor)
		c.mu.Unlock()
		// Only wheels are installed here: what has to be built runs code of
		// strangers, which belongs into the job.
		fmt.Fprintf(progress, "requirements.txt is left to the job to install: %s\n", err)
		n.Requirements = nil
		env, err = c.Environments.Ensure(ctx, f.Spec(n), progress)
	}
	if errors.Is(err, pyenv.ErrUnavailable) {
		return img, fmt.Errorf("%w: %w", runtime.ErrUnprepared, err)
	}
	if err != nil {
		return img, err
	}
	for _, note := range env.Notes {
		fmt.Fprintln(progress, note)
	}
	for _, kv := range os.Environ() {
		if name, v, _ := strings.Cut(kv, "="); passed(name) {
			img.Env[name] = v
		}
	}
	maps.Copy(img.Env, f.Variables(env))
	img.Env["PATH"] += ":" + c.Toolkit + "/bin"
	img.Env["PYTHONPATH"] = c.Toolkit
	img.Env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
	img.Mounts = []runtime.Mount{{Source: env.Dir, Target: env.Dir, Scratch: true}, {Source: c.Toolkit, Target: c.Toolkit, ReadOnly: true}}
	if strings.HasPrefix(env.Base, filepath.Dir(env.Dir)+"/") { // an interpreter of ours, which tasks do not see otherwise
		img.Mounts = append(img.Mounts, runtime.Mount{Source: env.Base, Target: env.Base, ReadOnly: true})
	}
	return img, nil
}

// servingPort is where a serving container listens, see "Use Your Own Inference
// Code with Hosting Services".
const servingPort = 8080

// container is an OCI image, not made ready.
func (c *Catalog) container(uri string, found oci.Image) runtime.Image {
	img := runtime.Image{URI: uri, Resolved: found.Resolved, Entrypoint: found.Config.Entrypoint, Command: found.Config.Cmd,
		Env: maps.Clone(found.Config.Env), WorkDir: found.Config.WorkingDir, User: found.Config.User, Port: servingPort}
	// docker run IMAGE train: the word takes the place of the image's command.
	img.Train = append(append([]string(nil), img.Entrypoint...), "train")
	img.Serve = append(append([]string(nil), img.Entrypoint...), "serve")
	if c.Engine != nil && found.Resolved != "" { // it has no way to one in a file
		img.Engine = c.Pull(found.Resolved)
	}
	return img
}
