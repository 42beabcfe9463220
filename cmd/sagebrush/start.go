// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/server"
)

// logName is the log of a server that no terminal shows.
const logName = "server.log"

// startTime is how long a server may take to answer. It takes about 0.2 s.
const startTime = 30 * time.Second

// freeListen is listen, or the default address, or if that is taken any free
// one of the loopback. An address that was asked for is never changed.
func freeListen(listen string) string {
	if listen != "" {
		return listen
	}
	ln, err := net.Listen("tcp", defaultListen)
	if err != nil {
		return "127.0.0.1:0"
	}
	ln.Close()
	return defaultListen
}

// openLog opens the log of a home's server to append to it, and makes the home
// when it is missing.
func openLog(home string) (*os.File, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, explainStart(fmt.Errorf("make home: %w", err), home, "")
	}
	f, err := os.OpenFile(filepath.Join(home, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, explainStart(fmt.Errorf("open the server's log: %w", err), home, "")
	}
	return f, nil
}

// startDetached starts `sagebrush serve` in a session of its own, so that it
// goes on when this process has ended, and waits until it answers.
func startDetached(ctx context.Context, flags homeFlags, listen string) (found, error) {
	home, err := flags.dir()
	if err != nil {
		return found{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return found{}, fmt.Errorf("find our own binary: %w", err)
	}
	args, err := flags.args()
	if err != nil {
		return found{}, err
	}
	log, err := openLog(home)
	if err != nil {
		return found{}, err
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return found{}, err
	}
	cmd := exec.Command(self, append([]string{"serve", "--json", "--listen", freeListen(listen)}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return found{}, fmt.Errorf("start the server: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	f, err := awaitServer(ctx, home, ended)
	if err != nil {
		return f, fmt.Errorf("start the server: %w%s", err, logSince(home, begin))
	}
	return f, nil
}

// awaitServer waits until a home's server answers. ended tells that the one
// that was started is no more; then another may have been faster.
func awaitServer(ctx context.Context, home string, ended <-chan error) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var gone error
	for {
		f, err := locate(ctx, home)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errNoHome) && !errors.Is(err, errNotRunning) {
			return f, err
		}
		if gone != nil {
			return f, gone
		}
		select {
		case err := <-ended:
			// One more look, a little later, for the faster one.
			gone = fmt.Errorf("it ended at once: %w", orEnded(err))
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return f, fmt.Errorf("no answer within %s", startTime)
			}
			return f, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// logSince gives the last lines that a server logged after offset begin, to be
// put behind an error.
func logSince(home string, begin int64) string {
	path := filepath.Join(home, logName)
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(begin, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, 64<<10)) // what could be read is better than nothing
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-5):]
	if len(lines) == 1 && lines[0] == "" {
		return "; see " + path
	}
	return "; its log, " + path + ", says:\n  " + strings.Join(lines, "\n  ")
}

// startInside starts a home's server in this process, its log in the home. The
// returned function stops it and waits until it has ended. ended gets what
// Run returned if it ends by itself.
func startInside(ctx context.Context, home, listen string) (s *server.Server, f found, stop func() error, ended <-chan error, err error) {
	log, err := openLog(home)
	if err != nil {
		return nil, found{}, nil, nil, err
	}
	// The server lives as long as the child, whatever signals come.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s, err = server.New(ctx, server.Options{Home: home, Listen: freeListen(listen), Log: newLog(log, "info", false)})
	if err != nil {
		cancel()
		log.Close()
		return nil, found{}, nil, nil, explainStart(err, home, listen)
	}
	over, done := make(chan error, 1), make(chan error, 1)
	go func() {
		defer log.Close()
		err := s.Run(ctx)
		if ctx.Err() == nil {
			over <- err
		}
		done <- err
	}()
	stop = func() error {
		cancel()
		return <-done
	}
	select {
	case err := <-done:
		cancel()
		return nil, found{}, nil, nil, fmt.Errorf("start the server: %w", orEnded(err))
	case <-s.Ready():
	}
	f = found{home: home, pid: os.Getpid()}
	if f.creds, err = server.LoadCredentials(home); err != nil {
		return nil, found{}, nil, nil, errors.Join(err, stop())
	}
	f.client = client.New(client.Options{URL: s.URL(), Key: f.creds.Key(), Region: f.creds.Region})
	return s, f, stop, over, nil
}

// demoPID is the file that names the server that a demonstration started.
const demoPID = "demo.pid"

func markDemoServer(home string, pid int) error {
	return os.WriteFile(filepath.Join(home, demoPID), []byte(strconv.Itoa(pid)+"\n"), 0o600)
}

// startedByDemo reports whether the server with this process ID was started by
// a demonstration, and not by a person who still looks at it.
func startedByDemo(home string, pid int) bool {
	text, err := os.ReadFile(filepath.Join(home, demoPID))
	return err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(pid)
}

// stopServer asks a server to end and waits until it has.
func stopServer(ctx context.Context, f found) error {
	if err := syscall.Kill(f.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server (pid %d): %w", f.pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if ended(f.pid) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop the server (pid %d): it does not end: %w", f.pid, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ended reports whether a process runs no more. One that waits to be reaped,
// by an init that does not, has ended too.
func ended(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // Linux only: "12 (name) Z …"
	if err != nil {
		return false
	}
	at := strings.LastIndexByte(string(text), ')')
	return strings.HasPrefix(string(text[at+1:]), " Z")
}
