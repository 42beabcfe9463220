// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Exit codes of tasks that never ran, as in the process runtime.
const (
	codeSetup    = 125 // the surroundings could not be made
	codeNoExec   = 126 // the command is no program
	codeNotFound = 127 // there is no such command
	codeTermed   = 128 + 15
	codeKilled   = 128 + 9
)

// Inspect asks the engine; see runtime.Runtime. A task of which there is no
// note was never started here: the engine is not needed to know that.
func (r *Runtime) Inspect(ctx context.Context, id runtime.ID) (runtime.State, error) {
	missing := runtime.State{Phase: runtime.Missing}
	if !r.notes.has(id) {
		return missing, nil
	}
	c, ok, err := r.look(ctx, id, false)
	if err != nil {
		return runtime.State{}, err
	}
	if ok && begun(c) {
		return r.state(ctx, id, c)
	}
	if r.starting(id) {
		return runtime.State{Phase: runtime.Pending}, nil
	}
	return missing, nil
}

// state is what the engine's account says of a container that was started.
func (r *Runtime) state(ctx context.Context, id runtime.ID, c container.InspectResponse) (runtime.State, error) {
	started := moment(c.State.StartedAt)
	switch c.State.Status {
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		return runtime.State{Phase: runtime.Running, Started: started, Addr: addr(c)}, nil
	}
	n, err := r.notes.read(id)
	if err != nil {
		return runtime.State{}, err
	}
	s := runtime.State{Phase: runtime.Exited, ExitCode: c.State.ExitCode, Started: started, Ended: moment(c.State.FinishedAt)}
	if s.Ended.IsZero() {
		s.Ended = moment(c.Created) // it never began
	}
	switch {
	case c.State.Status == container.StateCreated:
		s.ExitCode, s.Reason = unstarted(c.State.ExitCode, c.State.Error)
		s.Started = time.Time{}
	case s.ExitCode == 0: // whatever was the matter, it came through
	case n.Reason != "":
		s.Reason = n.Reason
	case c.State.OOMKilled:
		s.ExitCode, s.Reason = codeKilled, runtime.ReasonOOM
	case s.ExitCode == codeNotFound || s.ExitCode == codeNoExec:
		if s.Reason, err = r.initSays(ctx, id); err != nil {
			return runtime.State{}, err
		}
		if s.Reason != "" {
			s.Started = time.Time{} // only the engine's init was
		}
	}
	if s.Started.After(s.Ended) {
		s.Started = s.Ended // the engine notes the start when it comes to it, which may be after a short task's end
	}
	return s, nil
}

// moment reads the engine's times; what has not been is zero.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// unstarted makes of the engine's account of a start that failed what the
// process runtime would say.
func unstarted(code int, text string) (int, string) {
	if code != codeNotFound && code != codeNoExec {
		code = codeSetup
	}
	for _, noise := range []string{
		"failed to create task for container: ", "failed to create shim task: ", "OCI runtime create failed: ",
		"runc create failed: ", "unable to start container process: ", "starting container process caused: ",
		"error during container init: ", "error mounting",
	} {
		if _, after, ok := strings.Cut(text, noise); ok {
			if noise == "error mounting" {
				after = noise + after
			}
			text = after
		}
	}
	text = strings.TrimSuffix(strings.TrimSpace(text), ": unknown")
	if text == "" {
		text = "the container engine could not start it"
	}
	return code, text
}

// initFailed is what the engine's init prints when it cannot begin the command.
var initFailed = regexp.MustCompile(`^\[FATAL tini \(\d+\)\] exec (.*) failed: (.*)$`)

// initSays tells whether the engine's init could not begin the command: the
// engine does not know, but init has said so in the last line of the log.
func (r *Runtime) initSays(ctx context.Context, id runtime.ID) (string, error) {
	logs, err := r.api.ContainerLogs(ctx, r.name(id), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: "2"})
	if err != nil {
		return "", err
	}
	defer logs.Close()
	lines := newLines(logs)
	var last string
	for {
		text, err := lines.next()
		for line := range strings.Lines(string(text)) {
			_, last, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if m := initFailed.FindStringSubmatch(last); m != nil {
		return "exec " + m[1] + ": " + strings.ToLower(m[2]), nil
	}
	return "", nil
}
