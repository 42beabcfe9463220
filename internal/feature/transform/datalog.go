// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// dataLog is the log of what became of the objects, {instance}/data-log:
//
//	2021-05-04T07:59:35.344:[sagemaker logs]: bucket/key: ClientError: 400
//
// It is safe for use by several goroutines.
type dataLog struct {
	mu sync.Mutex
	w  io.WriteCloser
}

func newDataLog(ctx context.Context, logs telemetry.Logs, at telemetry.Stream) *dataLog {
	return &dataLog{w: taskgroup.Progress(ctx, logs, at)}
}

func (l *dataLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Close()
}

// say writes a line about an object, or about none.
func (l *dataLog) say(about, format string, args ...any) {
	if about != "" {
		about += ": "
	}
	line := fmt.Sprintf("%s:[sagemaker logs]: %s%s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000"), about, fmt.Sprintf(format, args...))
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, line)
}

// refused tells why an object has no output, with the container's own words.
func (l *dataLog) refused(u object.URI, no *refusal) {
	about := u.Bucket + "/" + u.Key
	text := strings.TrimSpace(strings.ToValidUTF8(no.text, "?"))
	if no.status == 0 {
		l.say(about, "%s: %s", no.kind, text)
		return
	}
	l.say(about, "%s: %d", no.kind, no.status)
	l.say(about, "")
	l.say(about, "Message:")
	for line := range strings.Lines(text) {
		l.say(about, "%s", strings.TrimRight(line, "\r\n"))
	}
}
