// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/serve"
)

type algoCmd struct {
	Train algoTrainCmd `cmd:"" help:"Train: read ROOT/input, write ROOT/model, as a training container does."`
	Serve algoServeCmd `cmd:"" help:"Serve ROOT/model: /ping, /invocations, /execution-parameters; with SAGEMAKER_MULTI_MODEL=true what /models loads."`
}

// algoRoot is the folder that stands for /opt/ml. Where a task cannot have its
// own /opt/ml the runtime names the folder in SAGEBRUSH_ML_ROOT.
type algoRoot struct {
	Name string `arg:"" help:"Algorithm, xgboost for instance."`
	Root string `default:"/opt/ml" env:"SAGEBRUSH_ML_ROOT" help:"Folder laid out like /opt/ml."`
}

func (r algoRoot) algorithm() (algo.Algorithm, error) {
	a, ok := builtin.Lookup(r.Name)
	if !ok {
		return nil, fmt.Errorf("there is no algorithm %q; there are %s", r.Name, strings.Join(builtin.Names(), ", "))
	}
	return a, nil
}

type algoTrainCmd struct {
	algoRoot
	Times bool `help:"Say at the end, on stderr, how long reading the data and the whole took."`
}

// Run trains; the exit code is the container's.
func (c *algoTrainCmd) Run() error {
	a, err := c.algorithm()
	if err != nil {
		return err
	}
	began := time.Now()
	useShare()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if c.Times {
		defer func() {
			fmt.Fprintf(os.Stderr, "read %.6f s, whole %.6f s\n", data.Spent().Seconds(), time.Since(began).Seconds())
		}()
	}
	if code := algo.RunTrain(ctx, a, c.Root, os.Stdout); code != 0 {
		return exitError(code)
	}
	return nil
}

type algoServeCmd struct {
	algoRoot
	Listen string `env:"SAGEBRUSH_LISTEN" help:"unix:///path or tcp://host:port; tcp://:8080, or the port in SAGEMAKER_BIND_TO_PORT, by default."`
}

// Run serves until SIGTERM.
func (c *algoServeCmd) Run() error {
	a, err := c.algorithm()
	if err != nil {
		return err
	}
	useShare()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ln, err := listen(c.Listen)
	if err != nil {
		return err
	}
	return serve.Run(ctx, a, c.Root, ln, serve.Options{Log: slog.New(slog.NewTextHandler(os.Stdout, nil))})
}

// listen listens where addr says, and by default where the platform expects a
// container: at the port that it was given as one of several of an endpoint, or
// at 8080.
func listen(addr string) (net.Listener, error) {
	if addr == "" {
		port := os.Getenv("SAGEMAKER_BIND_TO_PORT")
		if port == "" {
			port = "8080"
		}
		addr = "tcp://:" + port
	}
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", strings.TrimPrefix(addr, "tcp://"))
}

// useShare keeps to the processors that the runtime grants the task.
func useShare() {
	if n, err := strconv.Atoi(os.Getenv("SAGEBRUSH_CPUS")); err == nil && n > 0 {
		runtime.GOMAXPROCS(min(n, runtime.NumCPU()))
	}
}

// exitError ends the process with a code and no further word.
type exitError int

func (e exitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }
