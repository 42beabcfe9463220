// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// policy is a row of the table of policies.
type policy struct {
	id, target int64
	doc        aas.ScalingPolicy
	memory     memory
}

// memory is what the loop remembers of a policy.
type memory struct {
	// Invoked is when each alarm that is in ALARM invoked the policy last, in
	// milliseconds since 1970.
	Invoked map[string]int64 `json:",omitempty"`
	Blocked string           `json:",omitempty"` // the last NotScaledReason that was told
}

const policyColumns = "SELECT policy.id, policy.target, policy.doc, policy.memory FROM policy"

func (p *policy) scan(row interface{ Scan(...any) error }) error {
	var doc, mem string
	if err := row.Scan(&p.id, &p.target, &doc, &mem); err != nil {
		return err
	}
	return first(json.Unmarshal([]byte(doc), &p.doc), json.Unmarshal([]byte(mem), &p.memory))
}

func policiesAt(ctx context.Context, q sqlfile.Querier, clause string, args ...any) ([]policy, error) {
	return list(ctx, q, policyColumns+clause, args, func(p *policy, row *sql.Rows) error { return p.scan(row) })
}

func policiesOf(ctx context.Context, q sqlfile.Querier, target int64) ([]policy, error) {
	return policiesAt(ctx, q, " WHERE target = ? ORDER BY id", target)
}

func (p *policy) remember(w sqlfile.Writer) error {
	text, err := json.Marshal(p.memory)
	if err != nil {
		return err
	}
	_, err = w.Exec("UPDATE policy SET memory = ? WHERE id = ?", string(text), p.id)
	return err
}

// maxPolicies is the quota of policies of a scalable target.
const maxPolicies = 50

// putScalingPolicy is API_PutScalingPolicy: a new policy, or another
// configuration of one. The alarms of a target-tracking policy are made before
// the answer. It can answer ObjectNotFoundException, LimitExceededException and
// ValidationException.
func (s *Service) putScalingPolicy(ctx context.Context, in *aas.PutScalingPolicyInput) (*aas.PutScalingPolicyOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	if in.PolicyType == "" {
		in.PolicyType = aas.PolicyTypeStepScaling
	}
	if err := checkPolicy(k, in); err != nil {
		return nil, err
	}
	if err := s.tryMetric(ctx, k, in); err != nil {
		return nil, err
	}
	var p policy
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := findTarget(ctx, w, k)
		if err != nil {
			return err
		}
		others, err := policiesOf(ctx, w, g.id)
		if err != nil {
			return err
		}
		same := func(o policy) bool { return o.doc.PolicyName == in.PolicyName }
		i := slices.IndexFunc(others, same)
		if i >= 0 {
			p = others[i]
		} else {
			p = policy{target: g.id, doc: aas.ScalingPolicy{PolicyName: in.PolicyName, ServiceNamespace: namespace, ResourceId: k.resource,
				ScalableDimension: k.dimension, CreationTime: wire.At(s.Now()),
				PolicyARN: arn.ARN{Service: "autoscaling", Region: k.region, Account: k.account,
					Resource: "scalingPolicy:" + uuid.NewString() + ":resource/" + namespace + "/" + k.resource + ":policyName/" + in.PolicyName}.String()}}
		}
		if err := checkOthers(slices.DeleteFunc(others, same), in); err != nil {
			return err
		}
		p.doc.PolicyType = in.PolicyType
		p.doc.StepScalingPolicyConfiguration = in.StepScalingPolicyConfiguration
		p.doc.TargetTrackingScalingPolicyConfiguration = in.TargetTrackingScalingPolicyConfiguration
		p.memory = memory{}
		if err := s.wantAlarms(w, k, &p.doc); err != nil {
			return err
		}
		return p.store(w)
	})
	if err != nil {
		return nil, err
	}
	s.bringAlarms(ctx)
	out := &aas.PutScalingPolicyOutput{PolicyARN: p.doc.PolicyARN, Alarms: p.doc.Alarms}
	if out.Alarms == nil {
		out.Alarms = []aas.Alarm{}
	}
	return out, nil
}

func (p *policy) store(w sqlfile.Writer) error {
	text, err := json.Marshal(p.doc)
	if err != nil {
		return err
	}
	if p.id == 0 {
		_, err = w.Exec("INSERT INTO policy (target, name, doc) VALUES (?, ?, ?)", p.target, p.doc.PolicyName, string(text))
		return err
	}
	_, err = w.Exec("UPDATE policy SET doc = ?, memory = '{}' WHERE id = ?", string(text), p.id)
	return err
}

// checkOthers holds a policy against the others of its target.
func checkOthers(others []policy, in *aas.PutScalingPolicyInput) error {
	if len(others) >= maxPolicies {
		return limitExceeded("Scaling policies per scalable target limit of %d exceeded", maxPolicies)
	}
	c := in.TargetTrackingScalingPolicyConfiguration
	for _, o := range others {
		if oc := o.doc.TargetTrackingScalingPolicyConfiguration; c != nil && oc != nil &&
			reflect.DeepEqual(c.PredefinedMetricSpecification, oc.PredefinedMetricSpecification) &&
			reflect.DeepEqual(c.CustomizedMetricSpecification, oc.CustomizedMetricSpecification) {
			return fault.Validation("Only one TargetTrackingScaling policy for a given metric specification is allowed.")
		}
	}
	return nil
}

// describeScalingPolicies is API_DescribeScalingPolicies. The alarms of a step
// policy are those that CloudWatch has with the policy among their actions.
func (s *Service) describeScalingPolicies(ctx context.Context, in *aas.DescribeScalingPoliciesInput) (*aas.DescribeScalingPoliciesOutput, error) {
	if err := needsResource(in.ResourceId, in.ScalableDimension); err != nil {
		return nil, err
	}
	p, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	f := filterOf(ctx, in.ServiceNamespace).is("resource", in.ResourceId).is("dimension", in.ScalableDimension).in("name", in.PolicyNames)
	out := &aas.DescribeScalingPoliciesOutput{ScalingPolicies: []aas.ScalingPolicy{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		found, err := policiesAt(ctx, q, " JOIN target ON target.id = policy.target"+f.text+" AND policy.id > ? ORDER BY policy.id LIMIT ?",
			append(f.args, p.after, p.size+1)...)
		if len(found) > p.size {
			found = found[:p.size]
			out.NextToken = makeToken(found[p.size-1].id)
		}
		for _, p := range found {
			out.ScalingPolicies = append(out.ScalingPolicies, p.doc)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c := auth.CallerFrom(ctx)
	for i := range out.ScalingPolicies {
		d := &out.ScalingPolicies[i]
		if d.PolicyType == aas.PolicyTypeStepScaling {
			found, err := s.alarmsOf(as(ctx, c.Account, c.Region), d.PolicyARN, "")
			if err != nil {
				return nil, err
			}
			for _, a := range found {
				d.Alarms = append(d.Alarms, aas.Alarm{AlarmName: a.AlarmName, AlarmARN: a.AlarmArn})
			}
		}
		if d.Alarms == nil {
			d.Alarms = []aas.Alarm{}
		}
	}
	return out, nil
}

// deleteScalingPolicy is API_DeleteScalingPolicy; the alarms that the service
// made for it go too.
func (s *Service) deleteScalingPolicy(ctx context.Context, in *aas.DeleteScalingPolicyInput) (*aas.DeleteScalingPolicyOutput, error) {
	k, err := keyOf(ctx, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		none := objectNotFound("No scaling policy found for service namespace: %s, resource ID: %s, scalable dimension: %s, policy name: %s",
			namespace, k.resource, k.dimension, in.PolicyName)
		g, err := findTarget(ctx, w, k)
		if fault.Of(err) != nil {
			return none
		}
		if err != nil {
			return err
		}
		var p policy
		err = p.scan(w.QueryRowContext(ctx, policyColumns+" WHERE target = ? AND name = ?", g.id, in.PolicyName))
		if errors.Is(err, sql.ErrNoRows) {
			return none
		}
		if err != nil {
			return err
		}
		if err := dropAlarms(w, k.account, k.region, p.doc.Alarms); err != nil {
			return err
		}
		_, err = w.Exec("DELETE FROM policy WHERE id = ?", p.id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.bringAlarms(ctx)
	return &aas.DeleteScalingPolicyOutput{}, nil
}
