// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// request makes a request of an operation as a function, for tables.
func request[I, O any](o wire.Op[I, O], in I) func(context.Context, *op.Table) error {
	return func(ctx context.Context, t *op.Table) error {
		_, err := op.Call(ctx, t, o, &in)
		return err
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 1)
	w.register(1, 4)
	w.putPolicy("there", trackingOf(100), nil)
	register := func(edit func(*aas.RegisterScalableTargetInput)) func(context.Context, *op.Table) error {
		in := aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount}
		edit(&in)
		return request(aas.RegisterScalableTarget, in)
	}
	policy := func(kind string, edit func(*aas.PutScalingPolicyInput)) func(context.Context, *op.Table) error {
		in := aas.PutScalingPolicyInput{PolicyName: "p", ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount, PolicyType: kind}
		edit(&in)
		return request(aas.PutScalingPolicy, in)
	}
	tracks := func(edit func(*aas.TargetTrackingScalingPolicyConfiguration)) func(context.Context, *op.Table) error {
		return policy("TargetTrackingScaling", func(in *aas.PutScalingPolicyInput) {
			in.TargetTrackingScalingPolicyConfiguration = trackingOf(50)
			edit(in.TargetTrackingScalingPolicyConfiguration)
		})
	}
	steps := func(kind string, minimum *int64, s ...aas.StepAdjustment) func(context.Context, *op.Table) error {
		return policy("", func(in *aas.PutScalingPolicyInput) {
			in.StepScalingPolicyConfiguration = &aas.StepScalingPolicyConfiguration{AdjustmentType: kind, StepAdjustments: s, MinAdjustmentMagnitude: minimum}
		})
	}
	action := func(edit func(*aas.PutScheduledActionInput)) func(context.Context, *op.Table) error {
		in := aas.PutScheduledActionInput{ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount, ScheduledActionName: "a",
			Schedule: "rate(1 hour)", ScalableTargetAction: &aas.ScalableTargetAction{MinCapacity: new(int64(1))}}
		edit(&in)
		return request(aas.PutScheduledAction, in)
	}
	const other = "endpoint/churn/variant/green"
	noTarget := "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/churn/variant/green, scalable dimension: sagemaker:variant:DesiredInstanceCount"
	for _, c := range []struct {
		name string
		send func(context.Context, *op.Table) error
		code string
		text string
	}{
		{"a service that is not SageMaker", register(func(in *aas.RegisterScalableTargetInput) { in.ServiceNamespace = "ecs" }), "ValidationException", "Unsupported service namespace, resource type or scalable dimension"},
		{"a dimension of another service", register(func(in *aas.RegisterScalableTargetInput) { in.ScalableDimension = "ecs:service:DesiredCount" }), "ValidationException", "Unsupported service namespace, resource type or scalable dimension"},
		{"a resource without a variant", register(func(in *aas.RegisterScalableTargetInput) { in.ResourceId = "endpoint/churn" }), "ValidationException", "Unsupported service namespace, resource type or scalable dimension"},
		{"a component as a variant", register(func(in *aas.RegisterScalableTargetInput) { in.ResourceId = "inference-component/churn" }), "ValidationException", "Unsupported service namespace, resource type or scalable dimension"},
		{"no such endpoint", register(func(in *aas.RegisterScalableTargetInput) { in.ResourceId = "endpoint/none/variant/blue" }), "ValidationException", `Could not find endpoint "none".`},
		{"no such variant", register(func(in *aas.RegisterScalableTargetInput) { in.ResourceId = other }), "ValidationException", `Could not find variant "green" of endpoint "churn".`},
		{"bounds the wrong way round", register(func(in *aas.RegisterScalableTargetInput) { in.MinCapacity = new(int64(5)) }), "ValidationException", "Maximum capacity cannot be less than minimum capacity"},
		{"a minimum below zero", register(func(in *aas.RegisterScalableTargetInput) { in.MinCapacity = new(int64(-1)) }), "ValidationException", "Minimum capacity cannot be less than 0"},
		{"tags of a target that is there", register(func(in *aas.RegisterScalableTargetInput) { in.Tags = map[string]string{"a": "b"} }), "ValidationException", "use the TagResource API"},
		{"no target to deregister", request(aas.DeregisterScalableTarget, aas.DeregisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: other, ScalableDimension: instanceCount}), "ObjectNotFoundException", noTarget},
		{"a dimension without resources", request(aas.DescribeScalableTargets, aas.DescribeScalableTargetsInput{ServiceNamespace: namespace, ScalableDimension: instanceCount}), "ValidationException", "ResourceIds must be specified"},
		{"a token that is none", request(aas.DescribeScalableTargets, aas.DescribeScalableTargetsInput{ServiceNamespace: namespace, NextToken: "?"}), "InvalidNextTokenException", "next token"},
		{"a page of none", request(aas.DescribeScalingActivities, aas.DescribeScalingActivitiesInput{ServiceNamespace: namespace, MaxResults: new(int64(0))}), "ValidationException", "MaxResults"},

		{"a policy without a target", policy("TargetTrackingScaling", func(in *aas.PutScalingPolicyInput) {
			in.ResourceId, in.TargetTrackingScalingPolicyConfiguration = other, trackingOf(1)
		}), "ObjectNotFoundException", noTarget},
		{"no policy to delete", request(aas.DeleteScalingPolicy, aas.DeleteScalingPolicyInput{PolicyName: "none", ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount}),
			"ObjectNotFoundException", "No scaling policy found for service namespace: sagemaker, resource ID: endpoint/churn/variant/blue, scalable dimension: sagemaker:variant:DesiredInstanceCount, policy name: none"},
		{"a policy without its configuration", policy("TargetTrackingScaling", func(*aas.PutScalingPolicyInput) {}), "ValidationException", "TargetTrackingScalingPolicyConfiguration"},
		{"a configuration of another type", policy("StepScaling", func(in *aas.PutScalingPolicyInput) { in.TargetTrackingScalingPolicyConfiguration = trackingOf(1) }), "ValidationException", "StepScalingPolicyConfiguration"},
		{"predictive scaling", policy("PredictiveScaling", func(*aas.PutScalingPolicyInput) {}), "ValidationException", "PredictiveScaling is not supported"},
		{"the metric of another policy", tracks(func(*aas.TargetTrackingScalingPolicyConfiguration) {}), "ValidationException", "Only one TargetTrackingScaling policy for a given metric specification is allowed."},
		{"a target of zero", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) { c.TargetValue = new(0.0) }), "ValidationException", "TargetValue must be positive"},
		{"a negative cooldown", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) { c.ScaleInCooldown = new(int64(-1)) }), "ValidationException", "Cooldown"},
		{"no metric", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) { c.PredefinedMetricSpecification = nil }), "ValidationException", "Exactly one of"},
		{"a metric of another dimension", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) {
			c.PredefinedMetricSpecification.PredefinedMetricType = "SageMakerInferenceComponentInvocationsPerCopy"
		}), "ValidationException", "is not supported for scalable dimension"},
		{"a metric of one's own without a name", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) {
			c.PredefinedMetricSpecification, c.CustomizedMetricSpecification = nil, &aas.CustomizedMetricSpecification{Namespace: "Mine"}
		}), "ValidationException", "MetricName, Namespace and Statistic"},
		{"an expression that CloudWatch refuses", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) {
			c.PredefinedMetricSpecification, c.CustomizedMetricSpecification = nil, &aas.CustomizedMetricSpecification{Metrics: []aas.TargetTrackingMetricDataQuery{{Id: "e1", Expression: "nonsense"}}}
		}), "ValidationException", `Error in expression "nonsense"`},
		{"two metrics that return data", tracks(func(c *aas.TargetTrackingScalingPolicyConfiguration) {
			c.PredefinedMetricSpecification, c.CustomizedMetricSpecification = nil, &aas.CustomizedMetricSpecification{Metrics: []aas.TargetTrackingMetricDataQuery{{Id: "e1", Expression: "1"}, {Id: "e2", Expression: "2"}}}
		}), "ValidationException", "Exactly one of Metrics"},
		{"no steps", steps("ChangeInCapacity", nil), "ValidationException", "At least one StepAdjustment"},
		{"steps of no type", steps("", nil, adjustment(new(0.0), nil, 1)), "ValidationException", "AdjustmentType"},
		{"a step over everything", steps("ChangeInCapacity", nil, adjustment(nil, nil, 1)), "ValidationException", "cannot both be null"},
		{"a step of nothing", steps("ChangeInCapacity", nil, adjustment(new(5.0), new(5.0), 1)), "ValidationException", "must be less than"},
		{"a gap", steps("ChangeInCapacity", nil, adjustment(new(0.0), new(5.0), 1), adjustment(new(6.0), nil, 1)), "ValidationException", "overlap or have a gap"},
		{"an overlap", steps("ChangeInCapacity", nil, adjustment(new(0.0), nil, 1), adjustment(new(6.0), nil, 1)), "ValidationException", "overlap or have a gap"},
		{"steps that end above", steps("ChangeInCapacity", nil, adjustment(new(0.0), new(5.0), 1)), "ValidationException", "null MetricIntervalUpperBound"},
		{"steps that end below", steps("ChangeInCapacity", nil, adjustment(new(-5.0), new(0.0), -1)), "ValidationException", "null MetricIntervalLowerBound"},
		{"a magnitude without per cents", steps("ChangeInCapacity", new(int64(1)), adjustment(new(0.0), nil, 1)), "ValidationException", "MinAdjustmentMagnitude"},

		{"an action without a target", action(func(in *aas.PutScheduledActionInput) { in.ResourceId = other }), "ObjectNotFoundException", noTarget},
		{"no schedule", action(func(in *aas.PutScheduledActionInput) { in.Schedule = "" }), "ValidationException", "Schedule must be specified"},
		{"a schedule that is none", action(func(in *aas.PutScheduledActionInput) { in.Schedule = "cron(daily)" }), "ValidationException", "Invalid schedule"},
		{"a zone that is none", action(func(in *aas.PutScheduledActionInput) { in.Timezone = "Mars/Olympus" }), "ValidationException", "Mars/Olympus"},
		{"an action that does nothing", action(func(in *aas.PutScheduledActionInput) { in.ScalableTargetAction = nil }), "ValidationException", "ScalableTargetAction"},
		{"an end before the start", action(func(in *aas.PutScheduledActionInput) {
			in.StartTime, in.EndTime = wire.At(start.Add(2*time.Hour)), wire.At(start.Add(time.Hour))
		}), "ValidationException", "StartTime must be before EndTime"},
		{"no action to delete", request(aas.DeleteScheduledAction, aas.DeleteScheduledActionInput{ScheduledActionName: "none", ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount}),
			"ObjectNotFoundException", "No scheduled action found"},
		{"tags of nothing", request(aas.TagResource, aas.TagResourceInput{ResourceARN: "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/1234", Tags: map[string]string{"a": "b"}}), "ResourceNotFoundException", "doesn't exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fault.Of(c.send(caller, w.table))
			if f == nil || f.Code != c.code || !strings.Contains(f.Message, c.text) {
				t.Errorf("answered %v, want %s: %s", f, c.code, c.text)
			}
		})
	}
}

func TestTargetsAndTags(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 1)
	arn := w.register(0, 4)
	describe := func(ctx context.Context) []aas.ScalableTarget {
		out, err := op.Call(ctx, w.table, aas.DescribeScalableTargets, &aas.DescribeScalableTargetsInput{ServiceNamespace: namespace})
		if err != nil {
			t.Fatal(err)
		}
		return out.ScalableTargets
	}
	got := describe(caller)
	if len(got) != 1 || got[0].ScalableTargetARN != arn || *got[0].MinCapacity != 0 || *got[0].MaxCapacity != 4 || *got[0].SuspendedState.DynamicScalingInSuspended ||
		got[0].RoleARN != "arn:aws:iam::123456789012:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint" {
		t.Fatalf("targets: %+v", got)
	}
	for _, elsewhere := range []auth.Caller{{Account: "210987654321", Region: region}, {Account: account, Region: "eu-west-1"}} {
		if got := describe(auth.WithCaller(context.Background(), elsewhere)); len(got) != 0 {
			t.Errorf("%+v sees %+v", elsewhere, got)
		}
	}
	for _, send := range []func(context.Context, *op.Table) error{
		request(aas.TagResource, aas.TagResourceInput{ResourceARN: arn, Tags: map[string]string{"team": "risk", "stage": "test"}}),
		request(aas.UntagResource, aas.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"stage"}}),
	} {
		if err := send(caller, w.table); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := op.Call(caller, w.table, aas.ListTagsForResource, &aas.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil || fmt.Sprint(tags.Tags) != "map[team:risk]" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	if f := fault.Of(request(aas.TagResource, aas.TagResourceInput{ResourceARN: arn, Tags: many})(caller, w.table)); f == nil || f.Code != "TooManyTagsException" {
		t.Errorf("51 tags give %v", f)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 1)
	w.register(1, 1)
	for i := range 7 {
		if err := request(aas.PutScheduledAction, aas.PutScheduledActionInput{ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount,
			ScheduledActionName: fmt.Sprint(i), Schedule: "rate(1 minute)", ScalableTargetAction: &aas.ScalableTargetAction{MaxCapacity: new(int64(2 + i))}})(caller, w.table); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Minute)
	var names, causes []string
	in := aas.DescribeScheduledActionsInput{ServiceNamespace: namespace, MaxResults: new(int64(3))}
	for more := true; more; more = in.NextToken != "" {
		out, err := op.Call(caller, w.table, aas.DescribeScheduledActions, &in)
		if err != nil || len(out.ScheduledActions) > 3 {
			t.Fatal(out, err)
		}
		for _, a := range out.ScheduledActions {
			names = append(names, a.ScheduledActionName)
		}
		in.NextToken = out.NextToken
	}
	ins := aas.DescribeScalingActivitiesInput{ServiceNamespace: namespace, MaxResults: new(int64(3))}
	for more := true; more; more = ins.NextToken != "" {
		out, err := op.Call(caller, w.table, aas.DescribeScalingActivities, &ins)
		if err != nil || len(out.ScalingActivities) > 3 {
			t.Fatal(out, err)
		}
		for _, a := range out.ScalingActivities {
			causes = append(causes, a.Cause[len("scheduled action name "):][:1])
		}
		ins.NextToken = out.NextToken
	}
	if strings.Join(names, "") != "0123456" || strings.Join(causes, "") != "6543210" {
		t.Errorf("actions %v, activities %v", names, causes)
	}
}
