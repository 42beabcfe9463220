// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"io"
	"log/slog"

	"github.com/sirupsen/logrus"
)

// takeLog sends what distribution logs to log: its errors as warnings, since
// most are the caller's doing (a wrong digest, a broken connection), and the
// rest, several lines a request, at the level of debugging.
func takeLog(log *slog.Logger) {
	std := logrus.StandardLogger()
	std.SetOutput(io.Discard)
	std.SetLevel(logrus.InfoLevel)
	hooks := logrus.LevelHooks{}
	hooks.Add(hook{log})
	std.ReplaceHooks(hooks)
}

type hook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (hook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h hook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	switch {
	case e.Message == "response completed with error": // told to the caller, a missing blob for one
	case e.Level <= logrus.ErrorLevel:
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !h.log.Enabled(ctx, level) {
		return nil
	}
	args := []any{"text", e.Message}
	for _, key := range []string{"http.request.method", "http.request.uri", "http.response.status", "vars.name", "err.code", "err.detail"} {
		if v, ok := e.Data[key]; ok {
			args = append(args, key, v)
		}
	}
	h.log.Log(ctx, level, "registry", args...)
	return nil
}
