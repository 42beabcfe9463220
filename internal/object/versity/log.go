// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3log"
)

// accessLog takes what the S3 server tells of each request: failures of ours
// are errors, everything else is of interest only when looking for something.
type accessLog struct{ log *slog.Logger }

var _ s3log.AuditLogger = (*accessLog)(nil)

// Log writes one line about one request. It keeps nothing of c, whose memory
// the server uses again.
func (a *accessLog) Log(c fiber.Ctx, err error, _ []byte, m s3log.LogMeta) {
	ctx := c.Context()
	level := slog.LevelDebug
	if e, known := errors.AsType[s3err.S3Error](err); err != nil && (!known || e.StatusCode() == 500) {
		level = slog.LevelError
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("action", m.Action),
		slog.String("method", strings.Clone(c.Method())),
		slog.String("path", strings.Clone(c.Path())),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	a.log.LogAttrs(ctx, level, "S3 request", attrs...)
}

// HangUp is for logs in files, to be rotated.
func (a *accessLog) HangUp() error { return nil }

// Shutdown has nothing to end.
func (a *accessLog) Shutdown() error { return nil }
