// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/choose"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/docker"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
)

// The values of Options.Containers.
const (
	byProcess = "process"
	byDocker  = "docker"
)

// engines are what runs tasks.
type engines struct {
	tasks  runtime.Runtime
	engine *docker.Runtime // nil without
	images bool            // the engine runs images of registries
}

// buildRuntimes makes the process runtime, which runs everything but images in
// every case, and where it is asked for, or images cannot be had otherwise, a
// container engine beside it. sign gives the user and password that the engine
// pulls from our own registry with.
func (s *Server) buildRuntimes(ctx context.Context, self string, sign func() (user, password string), own func(ref string) bool) (engines, error) {
	processes, err := process.New(process.Options{Dir: s.path("tasks"), Self: []string{self, "task"}, Hide: []string{s.opt.Home}, Log: s.opt.Log})
	if err != nil {
		return engines{}, err
	}
	if s.opt.Containers == byProcess {
		return engines{tasks: processes}, nil
	}
	engine, err := docker.New(ctx, docker.Options{Name: s.opt.Home, Dir: s.path("docker"), Log: s.opt.Log,
		Credentials: func(_ context.Context, ref string) (string, string, error) {
			if !own(ref) {
				return "", "", nil
			}
			user, password := sign()
			return user, password, nil
		}})
	if err != nil {
		return engines{}, err
	}
	s.close = append(s.close, engine)
	ping, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := engines{engine: engine, images: s.opt.Containers == byDocker}
	switch err := engine.Ping(ping); {
	case err != nil && out.images:
		return engines{}, fmt.Errorf("--containers docker: %w", err)
	case err == nil && !out.images && !processes.Isolated():
		s.opt.Log.Info("images run in the container engine: this machine has no namespaces for them")
		out.images = true
	}
	if !out.images && !engine.Holds() { // nothing there is ours
		return engines{tasks: processes}, nil
	}
	if out.tasks, err = choose.New(choose.Options{Process: processes, Engine: engine, Prefer: out.images}); err != nil {
		return engines{}, err
	}
	return out, s.openGateway(ctx, engine)
}

// openGateway lets containers of the engine come to the inner door: they see
// this machine by the address of their bridge.
func (s *Server) openGateway(ctx context.Context, engine *docker.Runtime) error {
	addr, err := engine.Gateway(ctx)
	if err != nil || addr == "" { // Docker Desktop brings them to the loopback
		return err
	}
	_, port, err := net.SplitHostPort(s.inner.Addr().String())
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(addr, port))
	if err != nil {
		return fmt.Errorf("inner door for containers of the engine: %w", err)
	}
	s.bridge = ln
	return nil
}
