// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	_ "embed" // the schema
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

//go:embed schema.sql
var schema string

// Queues is where subscriptions of the protocol sqs lead: neighbor/sqs.
type Queues interface {
	// Deliver puts m into the queue with this ARN. What comes again under a name
	// is there once. A fault tells that trying again cannot help.
	Deliver(ctx context.Context, queueARN, name, sender string, m *wsqs.SendMessageInput) error
}

// Options of a Service. Path, URL and Queues are required.
type Options struct {
	Path   string        // of the SQLite file; made when missing
	URL    func() string // where clients find this server, for the links in messages
	Queues Queues
	// Own tells an address on which this server listens itself; nothing is
	// delivered there. nil: no address.
	Own func(netip.AddrPort) bool
	Log *slog.Logger     // nil: slog.Default
	Now func() time.Time // nil: time.Now
}

// Service keeps topics and delivers their messages. It is safe for concurrent
// use.
type Service struct {
	file   *sqlfile.File
	url    func() string
	queues Queues
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	kick   chan struct{} // something is to be delivered

	signing sync.Mutex // guards signer, and its making
	signer  *signer
}

// New opens the file. It starts nothing; Close it at the end.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Own == nil {
		o.Own = func(netip.AddrPort) bool { return false }
	}
	f, err := sqlfile.Open(context.Background(), o.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open topic file %q: %w", o.Path, err)
	}
	return &Service{file: f, url: o.URL, queues: o.Queues, client: newClient(o.Own), log: o.Log, now: o.Now, kick: make(chan struct{}, 1)}, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, wsns.CreateTopic, s.createTopic)
	op.Handle(t, wsns.DeleteTopic, s.deleteTopic)
	op.Handle(t, wsns.ListTopics, s.listTopics)
	op.Handle(t, wsns.GetTopicAttributes, s.getTopicAttributes)
	op.Handle(t, wsns.SetTopicAttributes, s.setTopicAttributes)
	op.Handle(t, wsns.Subscribe, s.subscribe)
	op.Handle(t, wsns.ConfirmSubscription, s.confirmSubscription)
	op.Handle(t, wsns.Unsubscribe, s.unsubscribe)
	op.Handle(t, wsns.ListSubscriptions, s.listSubscriptions)
	op.Handle(t, wsns.ListSubscriptionsByTopic, s.listSubscriptionsByTopic)
	op.Handle(t, wsns.GetSubscriptionAttributes, s.getSubscriptionAttributes)
	op.Handle(t, wsns.SetSubscriptionAttributes, s.setSubscriptionAttributes)
	op.Handle(t, wsns.Publish, s.publish)
	op.Handle(t, wsns.PublishBatch, s.publishBatch)
	op.Handle(t, wsns.TagResource, s.tagResource)
	op.Handle(t, wsns.UntagResource, s.untagResource)
	op.Handle(t, wsns.ListTagsForResource, s.listTagsForResource)
}

// Close ends the service; calls after it fail. It may be called again.
func (s *Service) Close() error { return s.file.Close() }

func (s *Service) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// base is the server's address without a slash at its end.
func (s *Service) base() string { return strings.TrimSuffix(s.url(), "/") }

// The service's own faults.

func invalid(format string, args ...any) *fault.Fault {
	return fault.New("InvalidParameter", http.StatusBadRequest, "Invalid parameter: "+format, args...)
}

func noTopic() error {
	return fault.New("NotFound", http.StatusNotFound, "Topic does not exist")
}

func noSubscription() error {
	return fault.New("NotFound", http.StatusNotFound, "Subscription does not exist")
}

func denied(action, resource string) error {
	return fault.New("AuthorizationError", http.StatusForbidden, "Not authorized to perform %s on %s", action, resource)
}
