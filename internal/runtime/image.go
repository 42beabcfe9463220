// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"context"
	"errors"
	"io"
	"strings"
)

// ErrNoImage says that an image URI stands for nothing here. Errors that wrap
// it tell the user what is known instead.
var ErrNoImage = errors.New("image not found")

// ErrUnprepared says that an image cannot be made ready with what was asked of
// it: a package that no index has, a layer that is damaged. Trying again is of
// no use. Errors that wrap it are for the user to read.
var ErrUnprepared = errors.New("image cannot be prepared")

// Image tells how to run what an image URI names.
type Image struct {
	URI      string   // as asked for
	Resolved string   // the digest form that Describe shows, "…@sha256:…"; "" when not known
	Train    []string // argv of "train"; nil when the image cannot train
	Serve    []string // argv of "serve"; nil when it cannot serve

	// Entrypoint and Command are the image's own, for requests that give
	// arguments only or nothing. Env, WorkDir and User as in its configuration.
	Entrypoint, Command []string
	Env                 map[string]string
	WorkDir, User       string

	// Script says that the image runs user code by the script toolkit of
	// frameworks: code is fetched and unpacked for it (/opt/ml/code).
	Script bool
	// Port is where Serve listens; 0 when it follows SAGEBRUSH_LISTEN.
	Port int

	Metrics []ImageMetric // what a built-in algorithm's log reports

	// What Prepare adds: see Task.
	Root   string
	Engine string // Task.Image
	Mounts []Mount
}

// ImageMetric is a metric definition that a built-in image brings along.
type ImageMetric struct{ Name, Regex string }

// Needs are what one job wants of an image.
type Needs struct {
	Script       bool   // user code was given: of images that are both algorithm and framework, the framework
	Requirements []byte // text of requirements.txt; nil for none
	Python       string // minor version that would be best, "3.11"; "" for any
	SDK          string // version of the sagemaker package that a remote function needs; "" for none
}

// Images finds images by URI and makes them ready.
type Images interface {
	// Image tells of an image without making it ready: it is quick.
	Image(ctx context.Context, uri string, n Needs) (Image, error)
	// Prepare makes that what Image tells can be run: unpacks layers, builds the
	// environment. It may take minutes the first time, and says what it does on
	// progress, line by line. Called again it gives the same at once.
	Prepare(ctx context.Context, uri string, n Needs, progress io.Writer) (Image, error)
}

// TrainArgv is the command of a training container. Source: AWS's page "How
// Amazon SageMaker Runs Your Training Image".
func (i Image) TrainArgv(entrypoint, arguments []string) []string {
	if len(entrypoint) == 0 && len(arguments) == 0 {
		return i.Train
	}
	return i.Argv(entrypoint, arguments)
}

// NetworkInterface is the name of the interface by which the hosts of a job
// reach each other when they run the image: of a container engine each has its
// own network, of this machine they share the loopback.
func (i Image) NetworkInterface() string {
	if i.Engine != "" && i.Root == "" {
		return "eth0"
	}
	return "lo"
}

// Unprivileged says that the image's user is another than root, so that folders
// must be opened up for it.
func (i Image) Unprivileged() bool {
	user, _, _ := strings.Cut(i.User, ":")
	return user != "" && user != "root" && user != "0"
}

// Argv is the command of a container that runs no "train" or "serve": the
// entry point that was asked for or the image's, and the arguments likewise.
func (i Image) Argv(entrypoint, arguments []string) []string {
	if len(entrypoint) == 0 {
		entrypoint = i.Entrypoint
		if len(arguments) == 0 {
			arguments = i.Command
		}
	}
	return append(append([]string(nil), entrypoint...), arguments...)
}
