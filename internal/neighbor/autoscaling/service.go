// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
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
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

//go:embed schema.sql
var schema string

// Options of a Service. Path and Table are required.
type Options struct {
	Path  string           // of the SQLite file; made when missing
	Table *op.Table        // by which SageMaker and CloudWatch are asked
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
	Every time.Duration    // between two looks at all targets; 0: a second
}

// Service is Application Auto Scaling. It is safe for concurrent use.
type Service struct {
	Options
	file *sqlfile.File
	kick chan struct{} // an alarm calls

	// Of the loop alone.
	told    map[int64]string // the trouble with a target that was logged last
	asked   map[int64]int64  // by policy: the period that it was last asked about
	cleaned time.Time

	// bringing holds one token: who has it brings alarms to CloudWatch, and owns
	// alarmTrouble, the trouble that was logged last.
	bringing     chan struct{}
	alarmTrouble string
}

// New opens the file. It starts nothing; Close it at the end.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	f, err := sqlfile.Open(context.Background(), o.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open autoscaling file %q: %w", o.Path, err)
	}
	s := &Service{Options: o, file: f, kick: make(chan struct{}, 1), told: map[int64]string{}, asked: map[int64]int64{}, bringing: make(chan struct{}, 1)}
	s.bringing <- struct{}{}
	return s, nil
}

// Install binds the operations to t.
func (s *Service) Install(t *op.Table) {
	op.Handle(t, aas.RegisterScalableTarget, s.registerScalableTarget)
	op.Handle(t, aas.DescribeScalableTargets, s.describeScalableTargets)
	op.Handle(t, aas.DeregisterScalableTarget, s.deregisterScalableTarget)
	op.Handle(t, aas.PutScalingPolicy, s.putScalingPolicy)
	op.Handle(t, aas.DescribeScalingPolicies, s.describeScalingPolicies)
	op.Handle(t, aas.DeleteScalingPolicy, s.deleteScalingPolicy)
	op.Handle(t, aas.PutScheduledAction, s.putScheduledAction)
	op.Handle(t, aas.DescribeScheduledActions, s.describeScheduledActions)
	op.Handle(t, aas.DeleteScheduledAction, s.deleteScheduledAction)
	op.Handle(t, aas.DescribeScalingActivities, s.describeScalingActivities)
	op.Handle(t, aas.TagResource, s.tagResource)
	op.Handle(t, aas.UntagResource, s.untagResource)
	op.Handle(t, aas.ListTagsForResource, s.listTagsForResource)
}

// Run looks at all targets until ctx ends. It answers nil then: what fails is
// logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("autoscaling look failed", "err", err)
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

// key names a scalable target within the service.
type key struct{ account, region, resource, dimension string }

// namespace is the only one whose resources this server has.
const namespace = "sagemaker"

// keyOf is the target that a request names, or the service's refusal.
func keyOf(ctx context.Context, ns, resource, dimension string) (key, error) {
	c := auth.CallerFrom(ctx)
	k := key{c.Account, c.Region, resource, dimension}
	d, ok := dimensions[dimension]
	if ns != namespace || !ok || !d.form.MatchString(resource) {
		return k, fault.Validation("Unsupported service namespace, resource type or scalable dimension")
	}
	return k, nil
}

// as is a context in which the service calls others in the name of its role, in
// the account and Region of a target.
func as(ctx context.Context, account, region string) context.Context {
	return auth.WithCaller(ctx, auth.Caller{Account: account, Region: region,
		Principal: "arn:aws:sts::" + account + ":assumed-role/" + roleName + "/AutoScaling", UserID: "AutoScaling"})
}

const roleName = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"

// roleARN is the service-linked role for SageMaker's resources. Source:
// "Service-linked roles for Application Auto Scaling" of the user guide.
func roleARN(account string) string {
	return "arn:aws:iam::" + account + ":role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/" + roleName
}

// The service's own faults; all are 400.

func objectNotFound(format string, args ...any) error {
	return fault.New("ObjectNotFoundException", http.StatusBadRequest, format, args...)
}

func noTarget(k key) error {
	return objectNotFound("No scalable target registered for service namespace: %s, resource ID: %s, scalable dimension: %s",
		namespace, k.resource, k.dimension)
}

func limitExceeded(format string, args ...any) error {
	return fault.New("LimitExceededException", http.StatusBadRequest, format, args...)
}

// cause is the text that a client would be shown of an error.
func cause(err error) string {
	if f := fault.Of(err); f != nil {
		return f.Message
	}
	return err.Error()
}

func faultCode(err error) string {
	if f := fault.Of(err); f != nil {
		return f.Code
	}
	return ""
}

// missing tells whether SageMaker answered that it has no such thing.
func missing(err error) bool {
	f := fault.Of(err)
	return f != nil && (f.Code == "ResourceNotFound" || f.Code == "ValidationException" && strings.HasPrefix(f.Message, "Could not find"))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func ms(t time.Time) int64 { return t.UnixMilli() }

func ofMS(n int64) time.Time { return time.UnixMilli(n).UTC() }

var errGone = errors.New("autoscaling: the target is not registered any more")
