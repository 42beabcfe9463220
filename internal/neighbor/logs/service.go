// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"database/sql"
	_ "embed" // the schema
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

//go:embed schema.sql
var schema string

// Options of a Service. Path is required.
type Options struct {
	Path string           // of the SQLite file; made when missing
	Log  *slog.Logger     // nil: slog.Default
	Now  func() time.Time // nil: time.Now
}

// Service keeps log events. It is safe for concurrent use.
type Service struct {
	file  *sqlfile.File
	codec codec
	log   *slog.Logger
	now   func() time.Time
	kick  chan struct{} // something may have expired, or is to be swept
}

// New opens the file. It starts nothing; Close it at the end.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	f, err := sqlfile.Open(context.Background(), o.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open log file %q: %w", o.Path, err)
	}
	return &Service{file: f, codec: c, log: o.Log, now: o.Now, kick: make(chan struct{}, 1)}, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wlogs.CreateLogGroup, s.createLogGroup)
	op.Handle(t, wlogs.DeleteLogGroup, s.deleteLogGroup)
	op.Handle(t, wlogs.DescribeLogGroups, s.describeLogGroups)
	op.Handle(t, wlogs.PutRetentionPolicy, s.putRetentionPolicy)
	op.Handle(t, wlogs.DeleteRetentionPolicy, s.deleteRetentionPolicy)
	op.Handle(t, wlogs.CreateLogStream, s.createLogStream)
	op.Handle(t, wlogs.DeleteLogStream, s.deleteLogStream)
	op.Handle(t, wlogs.DescribeLogStreams, s.describeLogStreams)
	op.Handle(t, wlogs.PutLogEvents, s.putLogEvents)
	op.Handle(t, wlogs.GetLogEvents, s.getLogEvents)
	op.Handle(t, wlogs.FilterLogEvents, s.filterLogEvents)
}

// expireEvery is how often Run looks for expired events.
const expireEvery = 10 * time.Minute

// Run removes expired events and what deleted streams have left, at start, when
// a retention changes and every ten minutes, until ctx ends. It answers nil
// then: what fails is logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		if err := errors.Join(s.sweep(ctx), s.Expire(ctx)); err != nil && ctx.Err() == nil {
			s.log.Error("log expiry failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.kick:
		}
	}
}

// Close ends the service; calls after it fail. It may be called again.
func (s *Service) Close() error { return s.file.Close() }

func (s *Service) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// The service's own faults; all are 400.

func notFound(what string) error {
	return fault.New("ResourceNotFoundException", http.StatusBadRequest, "The specified log %s does not exist.", what)
}

func exists(what string) error {
	return fault.New("ResourceAlreadyExistsException", http.StatusBadRequest, "The specified log %s already exists", what)
}

func invalid(format string, args ...any) error {
	return fault.New("InvalidParameterException", http.StatusBadRequest, format, args...)
}

// group is a row of the table of groups.
type group struct {
	id, created, retention int64
	name, class, kms       string
	protected              bool
	account, region        string
}

const groupColumns = "SELECT id, account, region, name, created, retention, class, kms, protected FROM loggroup"

func (g *group) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&g.id, &g.account, &g.region, &g.name, &g.created, &g.retention, &g.class, &g.kms, &g.protected)
}

// arn is the group's ARN, without the ":*" that older members of messages add.
func (g *group) arn() string {
	return "arn:aws:logs:" + g.region + ":" + g.account + ":log-group:" + g.name
}

// findGroup finds a group of the caller's or answers in the service's words.
func findGroup(ctx context.Context, q sqlfile.Querier, name string) (group, error) {
	c := auth.CallerFrom(ctx)
	var g group
	err := g.scan(q.QueryRowContext(ctx, groupColumns+" WHERE account = ? AND region = ? AND name = ?", c.Account, c.Region, name))
	if errors.Is(err, sql.ErrNoRows) {
		return g, notFound("group")
	}
	return g, err
}

// findIn finds a stream of a group of the caller's.
func findIn(ctx context.Context, q sqlfile.Querier, group, name string) (stream, error) {
	c := auth.CallerFrom(ctx)
	st, err := findStream(ctx, q, telemetry.Stream{Account: c.Account, Region: c.Region, Group: group, Name: name})
	if !errors.Is(err, sql.ErrNoRows) {
		return st, err
	}
	if _, err := findGroup(ctx, q, group); err != nil {
		return st, err
	}
	return st, notFound("stream")
}

// named is the group that a request names, by name or by identifier.
func named(name, identifier string) (string, error) {
	switch {
	case name != "" && identifier != "":
		return "", invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	case name != "":
		return name, nil
	case identifier == "":
		return "", invalid("Either logGroupName or logGroupIdentifier must be specified.")
	}
	if _, after, ok := strings.Cut(identifier, ":log-group:"); ok {
		return strings.TrimSuffix(after, ":*"), nil
	}
	return identifier, nil
}
