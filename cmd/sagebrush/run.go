// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/proxy"
)

type runCmd struct {
	homeFlags
	Listen  string   `env:"SAGEBRUSH_LISTEN" placeholder:"ADDR" help:"Address of a server that has to be started; 127.0.0.1:8080 by default, or a free one."`
	NoProxy bool     `name:"no-proxy" help:"Set the endpoint variables only, and no proxy for AWS's own hosts."`
	AsRole  string   `name:"as-role" placeholder:"ROLE" xor:"as" help:"Name or ARN of the role whose session CMD gets; AmazonSageMaker-ExecutionRole by default, made when missing."`
	AsRoot  bool     `name:"as-root" xor:"as" help:"Give CMD the root key in place of a role's session, which ends after 12 hours."`
	Command []string `arg:"" name:"cmd" passthrough:"" help:"Command and its arguments."`
}

// Help is the text below the usage.
func (runCmd) Help() string {
	return `Runs CMD with AWS's variables set, so that boto3, the AWS CLI and the SageMaker SDK in it talk to the home's server. One that runs is used; else one runs for as long as CMD does, its log in HOME/server.log.

CMD also gets a proxy, with a certificate authority of this home, that answers *.amazonaws.com from the server and passes all else on: so code that names AWS's hosts runs as it is, and nothing of it reaches AWS.

CMD acts under a role, as a notebook does: sagemaker.get_execution_role() works. Its exit code is passed on; signals are passed to it.

Examples:

  sagebrush run -- python train.py
  sagebrush run -- aws sagemaker list-training-jobs
  sagebrush run --home ./state -- jupyter lab
  sagebrush run -- bash`
}

// Run runs the command; its exit code is ours.
func (c *runCmd) Run() error {
	argv := c.Command
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		return errors.New("which command? As in `sagebrush run -- python train.py`")
	}
	home, err := c.dir()
	if err != nil {
		return err
	}
	// A server in this process changes the working directory.
	folder, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	program, err := findProgram(argv[0])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	target, f, release, err := c.server(ctx, home)
	if err != nil {
		return err
	}
	defer release()
	environ, closeProxy, err := c.environ(ctx, f, target)
	if err != nil {
		return err
	}
	defer closeProxy()

	cmd := &exec.Cmd{Path: program, Args: argv, Dir: folder, Env: append(environ, "PWD="+folder),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := context.Cause(ctx); err != nil {
		return context.Canceled
	}
	stop()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	return wait(cmd, signals)
}

// findProgram finds a command as a shell would, and answers as one would when
// there is none.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil // named so by a person's own PATH
	}
	switch {
	case err == nil:
		return filepath.Abs(path)
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintf(os.Stderr, "sagebrush: %s is not executable\n", name)
		return "", exitError(exitNotExecutable)
	}
	fmt.Fprintf(os.Stderr, "sagebrush: there is no command %s\n", name)
	return "", exitError(exitNotFound)
}

// wait passes signals on until the child has ended, and gives its exit code:
// 128 and the signal when one ended it.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromTerminal(s) {
				_ = cmd.Process.Signal(s) // one that has just ended needs none
			}
		case err := <-ended:
			exit, failed := errors.AsType[*exec.ExitError](err)
			switch {
			case err == nil:
				return nil
			case !failed:
				return fmt.Errorf("wait for %s: %w", cmd.Args[0], err)
			}
			if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
				return exitError(128 + int(w.Signal()))
			}
			return exitError(exit.ExitCode())
		}
	}
}

// fromTerminal reports whether the child has this signal already: what keys
// send goes to all processes in front of the terminal.
func fromTerminal(s os.Signal) bool {
	if s != os.Interrupt && s != syscall.SIGQUIT && s != syscall.SIGHUP {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && front == unix.Getpgrp()
}

// server finds the home's server or starts one here. release stops what was
// started.
func (c *runCmd) server(ctx context.Context, home string) (target http.Handler, f found, release func(), err error) {
	if _, err := os.Stat(home); err == nil {
		if f, release, err = useServer(home, func() (found, error) { return locate(ctx, home) }); err == nil {
			return nil, f, release, nil
		}
		if !errors.Is(err, errNoHome) && !errors.Is(err, errNotRunning) {
			return nil, f, nil, err
		}
	}
	s, f, stop, ended, startErr := startInside(ctx, home, c.Listen)
	if startErr != nil {
		// Another one may have been faster.
		f, release, err := useServer(home, func() (found, error) {
			ready, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			return awaitServer(ready, home, nil)
		})
		if err != nil {
			return nil, f, nil, startErr
		}
		return nil, f, release, nil
	}
	go func() {
		select {
		case err := <-ended:
			fmt.Fprintf(os.Stderr, "sagebrush: the server has ended: %v; see %s\n", err, filepath.Join(home, logName))
		case <-ctx.Done():
		}
	}()
	return s.Handler(), f, func() {
		defer awaitUsers(home)()
		left := inService(f)
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "sagebrush: stop the server:", err)
		}
		if left > 0 {
			fmt.Fprintf(os.Stderr, "sagebrush: %d endpoint(s) go on; `sagebrush serve%s` takes them over\n", left, homeOption(home))
		}
	}, nil
}

// inService counts the endpoints that serve; none when the server does not say.
func inService(f found) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var list struct{ Endpoints []struct{} }
	if err := f.client.Call(ctx, client.SageMaker, "ListEndpoints", map[string]any{"StatusEquals": "InService"}, &list); err != nil {
		return 0
	}
	return len(list.Endpoints)
}

// environ is the child's environment, and starts the proxy that it names.
func (c *runCmd) environ(ctx context.Context, f found, target http.Handler) (environ []string, stop func(), err error) {
	key := f.creds.Key()
	if !c.AsRoot {
		if key, err = c.session(ctx, f); err != nil {
			return nil, nil, err
		}
	}
	environ = withVariables(os.Environ(), endpointVariables(f.client.URL(), f.creds.Region, key))
	if c.NoProxy {
		return environ, func() {}, nil
	}
	folder := filepath.Join(f.home, "ca")
	ca, err := proxy.LoadOrCreateCA(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate authority of the proxy: %w", err)
	}
	bundle := filepath.Join(folder, "bundle.pem")
	if err := ca.CABundle(bundle); err != nil {
		return nil, nil, err
	}
	if target == nil {
		if target, err = forwardTo(f.client.URL()); err != nil {
			return nil, nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	environ = proxy.Env(environ, ln.Addr().String(), bundle)
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- proxy.New(proxy.Options{CA: ca, Target: target}).Serve(serving, ln) }()
	return environ, func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, "sagebrush:", err)
		}
	}, nil
}

// forwardTo hands the proxy's requests to a server in another process, whose
// certificate may be one that AWS_CA_BUNDLE alone vouches for. The host stays
// as it was signed.
func forwardTo(endpoint string) (http.Handler, error) {
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	t := client.Direct()
	t.DisableCompression = true // answers pass as they are
	return &httputil.ReverseProxy{
		Transport: t,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.URL.RawQuery = r.In.URL.RawQuery // which a ReverseProxy cleans, against the signature
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1, // answers may be event streams
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"__type":"ServiceUnavailable","message":%q}`, "The Sagebrush server at "+endpoint+" does not answer: "+err.Error())
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}, nil
}

// session is a session of the role that the child acts under.
func (c *runCmd) session(ctx context.Context, f found) (auth.Key, error) {
	arn := c.AsRole
	var err error
	switch {
	case arn == "" || arn == client.ExecutionRole:
		arn, err = f.client.ExecutionRoleARN(ctx)
	case !strings.HasPrefix(arn, "arn:"):
		arn, err = f.client.Role(ctx, arn)
	}
	if refused := fault.Of(err); refused != nil && refused.Code == "NoSuchEntity" {
		return auth.Key{}, fmt.Errorf("there is no role %s: make it by `aws iam create-role`, or leave --as-role out", c.AsRole)
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("find the role of the command: %w", err)
	}
	// A role may give shorter sessions only; an hour is what every one gives.
	key, err := f.client.AssumeRole(ctx, arn, "sagebrush-run", client.MaxSession)
	if refused := fault.Of(err); refused != nil && refused.Code == "ValidationError" {
		key, err = f.client.AssumeRole(ctx, arn, "sagebrush-run", time.Hour)
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("act under %s: %w; --as-root does without a role", arn, err)
	}
	return key, nil
}
