// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
)

// Exit codes of RunTrain. A run that was told to stop and kept nothing ends as
// a process that SIGTERM killed.
const (
	exitOK      = 0
	exitFailed  = 1
	exitStopped = 128 + 15
)

// RunTrain is the train entry point of a built-in algorithm's container: it
// reads root, which is /opt/ml, trains a and saves the model to root/model. It
// gives the exit code of the process.
//
// Lines go to stdout whole and at once. On failure root/output/failure holds
// what FailureReason shows, with its head "ClientError: " or "AlgorithmError: ".
// ctx is cancelled by SIGTERM; what a learned until then is saved. Of several
// hosts the first one saves; where one fails the others end too, and say which.
func RunTrain(ctx context.Context, a Algorithm, root string, stdout io.Writer) (exitCode int) {
	out := &lineWriter{w: stdout}
	log := newLogger(out)
	defer func() {
		if p := recover(); p != nil {
			out.printf("panic: %v\n%s", p, debug.Stack())
			exitCode = fail(log, root, fmt.Errorf("%s failed: %v", a.Spec().Name, p))
		}
	}()
	err := train(ctx, a, root, out, log)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		log.Warn("Training was stopped before there was a model to save")
		return exitStopped
	case stoppedElsewhere(err):
		// This host may hear of it from the other one before its own SIGTERM.
		log.Warn("Training was stopped: " + err.Error())
		return exitStopped
	}
	return fail(log, root, err)
}

// train is RunTrain without the reporting.
func train(ctx context.Context, a Algorithm, root string, out *lineWriter, log *slog.Logger) error {
	in, err := readInput(a.Spec(), root)
	if err != nil {
		return err
	}
	in.Threads = runtime.GOMAXPROCS(0)
	in.Log, in.Print = log, out.printf
	if a.Spec().Distributed && len(in.Hosts) > 1 {
		return together(ctx, root, in, func(in Input) error { return trainAndSave(ctx, a, root, in) })
	}
	return trainAndSave(ctx, a, root, in)
}

// trainAndSave trains a; the first host saves the model to root/model.
func trainAndSave(ctx context.Context, a Algorithm, root string, in Input) error {
	model, err := a.Train(ctx, in)
	if err != nil {
		return err
	}
	if in.Host != in.Hosts[0] {
		in.Log.Info("The model is saved by the first host", "host", in.Hosts[0])
		return nil
	}
	dir := filepath.Join(root, "model")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the model folder: %w", err)
	}
	if err := model.Save(dir); err != nil {
		return fmt.Errorf("save the model: %w", err)
	}
	return nil
}

// fail reports err in the log and in root/output/failure.
func fail(log *slog.Logger, root string, err error) int {
	text := failureText(err)
	log.Error(text)
	dir := filepath.Join(root, "output")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Error("The failure file could not be written", "err", err)
	} else if err := os.WriteFile(filepath.Join(dir, "failure"), []byte(text), 0o644); err != nil {
		log.Error("The failure file could not be written", "err", err)
	}
	return exitFailed
}
