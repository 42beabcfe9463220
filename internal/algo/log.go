// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// lineWriter hands whole lines to w in one Write each, so that lines of
// several goroutines never mix and each is seen as soon as it is printed.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, strings.TrimRight(text, "\n")+"\n") // a lost log line is no reason to stop
}

func (l *lineWriter) printf(format string, args ...any) { l.line(fmt.Sprintf(format, args...)) }

// logHandler writes records as the containers log:
// [2026-01-31:10:00:00:INFO] message key=value. Groups prefix their keys.
type logHandler struct {
	out    *lineWriter
	prefix string // of keys: "group."
	attrs  string // of With, ready to print
}

// NewLogger gives a logger that writes to w in the AWS containers' form.
func NewLogger(w io.Writer) *slog.Logger { return newLogger(&lineWriter{w: w}) }

func newLogger(out *lineWriter) *slog.Logger { return slog.New(&logHandler{out: out}) }

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	level := r.Level.String()
	if r.Level == slog.LevelWarn {
		level = "WARNING" // Python's name
	}
	fmt.Fprintf(&b, "[%s:%s] %s%s", r.Time.UTC().Format("2006-01-02:15:04:05"), level, r.Message, h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, h.prefix, a)
		return true
	})
	h.out.line(b.String())
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, h.prefix, a)
	}
	return &logHandler{h.out, h.prefix, h.attrs + b.String()}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{h.out, h.prefix + name + ".", h.attrs}
}

func writeAttr(b *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		fmt.Fprintf(b, " %s%s=%v", prefix, a.Key, value)
		return
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, inner := range value.Group() {
		writeAttr(b, prefix, inner)
	}
}
