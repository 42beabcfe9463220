// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// The kinds of source that answers name. AWS answers the first for inline and
// managed policies alike, which its model does not know of.
const (
	fromIAM      = "IAM Policy"
	fromBoundary = "IAM Permissions Boundary Policy"
	fromResource = "Resource Policy"
)

// principal is whose policies are simulated.
type principal struct {
	arn      string
	policies []*source
	boundary *source // nil: nothing bounds them
	context  facts   // what is known of every request of theirs
}

func badInput(format string, args ...any) error {
	return fault.New("InvalidInput", http.StatusBadRequest, format, args...)
}

func noEntity(arn string) error {
	return badInput("Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
}

// simulatePrincipalPolicy is API_SimulatePrincipalPolicy: what a role's or
// user's policies say of each action on each resource. It can answer
// NoSuchEntity and InvalidInput. Users of this server have no policies, though
// each may do everything; so of a user it tells what the policies in the request
// say. ResourceHandlingOption changes no decision.
func (s *Service) simulatePrincipalPolicy(ctx context.Context, in *wiam.SimulatePrincipalPolicyInput) (*wiam.SimulatePrincipalPolicyOutput, error) {
	sim, err := s.simulation(ctx, in)
	if err != nil {
		return nil, err
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	total := len(in.ActionNames) * len(resources)
	first, err := offset(in.Marker, total)
	if err != nil {
		return nil, err
	}
	end := min(total, first+items(in.MaxItems))
	out := &wiam.SimulatePrincipalPolicyOutput{EvaluationResults: []wiam.EvaluationResult{}, IsTruncated: new(end < total)}
	if end < total {
		out.Marker = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(end)))
	}
	for i := first; i < end; i++ {
		result := sim.result(in.ActionNames[i/len(resources)], resources[i%len(resources)])
		if len(in.ResourceArns) > 0 {
			result.ResourceSpecificResults = []wiam.ResourceSpecificResult{{EvalResourceName: result.EvalResourceName, EvalResourceDecision: result.EvalDecision,
				MatchedStatements: result.MatchedStatements, MissingContextValues: result.MissingContextValues, PermissionsBoundaryDecisionDetail: result.PermissionsBoundaryDecisionDetail}}
			result.MissingContextValues = []string{} // told once, of the resource
		}
		out.EvaluationResults = append(out.EvaluationResults, result)
	}
	return out, nil
}

// offset reads a marker: how many results were answered before.
func offset(marker string, total int) (int, error) {
	if marker == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(marker)
	n, err2 := strconv.Atoi(string(b))
	if err != nil || err2 != nil || n < 0 || n > total {
		return 0, badInput("Invalid Marker.")
	}
	return n, nil
}

// simulation is a request, read and checked.
type simulation struct {
	principal
	caller   string
	resource *source // the policy of the resource; nil without one
	foreign  bool    // the resource is of another account: both sides must allow
}

var actionForm = regexp.MustCompile(`^[a-zA-Z0-9-]+:[a-zA-Z0-9]+$`)

func (s *Service) simulation(ctx context.Context, in *wiam.SimulatePrincipalPolicyInput) (*simulation, error) {
	for _, a := range in.ActionNames {
		if !actionForm.MatchString(a) {
			return nil, badInput("Invalid Action name: %s. It is a service and one of its actions, such as iam:GetRole, without wildcards.", a)
		}
	}
	who, err := s.principal(ctx, in.PolicySourceArn, in.PolicyExclusionList)
	if err != nil {
		return nil, err
	}
	sim := &simulation{principal: *who, caller: who.arn}
	for i, text := range in.PolicyInputList {
		p, err := given("PolicyInputList", i, text, fromIAM, permissionPolicy)
		if err != nil {
			return nil, err
		}
		sim.policies = append(sim.policies, p)
	}
	if len(in.PermissionsBoundaryPolicyInputList) > 1 {
		return nil, badInput("PermissionsBoundaryPolicyInputList holds one policy at most.")
	}
	for i, text := range in.PermissionsBoundaryPolicyInputList {
		if sim.boundary, err = given("PermissionsBoundaryPolicyInputList", i, text, fromBoundary, permissionPolicy); err != nil {
			return nil, err
		}
	}
	for _, e := range in.ContextEntries {
		sim.context[strings.ToLower(e.ContextKeyName)] = e.ContextKeyValues
	}
	if in.CallerArn != "" {
		if a, err := arn.Parse(in.CallerArn); err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "user/") {
			return nil, badInput("Invalid caller - %s is not the ARN of a user.", in.CallerArn)
		}
		sim.caller = in.CallerArn
	}
	if in.ResourcePolicy == "" {
		return sim, nil
	}
	if in.CallerArn == "" && !strings.Contains(in.PolicySourceArn, ":user/") {
		return nil, badInput("Invalid caller - Caller cannot be null or empty.")
	}
	if sim.resource, err = given("ResourcePolicy", 0, in.ResourcePolicy, fromResource, resourcePolicy); err != nil {
		return nil, err
	}
	if in.ResourceOwner != "" {
		owner, err := arn.Parse(in.ResourceOwner)
		if err != nil {
			return nil, noEntity(in.ResourceOwner)
		}
		caller, _ := arn.Parse(sim.caller)
		sim.foreign = owner.Account != caller.Account
	}
	return sim, nil
}

// given reads a policy that is part of the request.
func given(list string, i int, text, kind string, form int) (*source, error) {
	d, err := parse(text, form)
	if f := fault.Of(err); f != nil {
		return nil, badInput("%s: %s", list, f.Message)
	}
	return &source{document: d, id: fmt.Sprintf("%s.%d", list, i+1), kind: kind, text: text}, err
}

// result is the decision on one action and resource.
func (sim *simulation) result(action, on string) wiam.EvaluationResult {
	r := &request{action: action, resource: on, caller: sim.caller, context: sim.context}
	v := decide(sim.policies, r)
	if sim.resource != nil {
		v = combine(v, decide([]*source{sim.resource}, r), sim.foreign)
	}
	out := wiam.EvaluationResult{EvalActionName: action, EvalResourceName: on, MatchedStatements: []wiam.Statement{}}
	if sim.boundary != nil {
		b := decide([]*source{sim.boundary}, r)
		out.PermissionsBoundaryDecisionDetail = &wiam.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(b.decision == allowed)}
		v = combine(v, b, true)
	}
	out.EvalDecision, out.MissingContextValues = v.decision, append([]string{}, v.missing...)
	for _, f := range v.by {
		out.MatchedStatements = append(out.MatchedStatements, f.statement())
	}
	return out
}

// combine is the verdict of two sets of policies: a denial of either wins; both
// must allow, or one of them.
func combine(a, b verdict, both bool) verdict {
	v := verdict{decision: implicitDeny, missing: slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.missing, b.missing))))}
	for _, decision := range []string{explicitDeny, allowed} {
		x, y := a.decision == decision, b.decision == decision
		if decision == allowed && both && (!x || !y) {
			break
		}
		if x {
			v.by = append(v.by, a.by...)
		}
		if y {
			v.by = append(v.by, b.by...)
		}
		if x || y {
			v.decision = decision
			break
		}
	}
	return v
}

// principal reads whose policies are asked for, and these, without those that
// the request leaves out.
func (s *Service) principal(ctx context.Context, of string, but []wiam.PolicyIdentifier) (*principal, error) {
	a, err := arn.Parse(of)
	if err != nil || a.Service != "iam" {
		return nil, noEntity(of)
	}
	now := s.now().UTC()
	p := &principal{arn: of, context: facts{
		"aws:currenttime": {now.Format(time.RFC3339)}, "aws:epochtime": {strconv.FormatInt(now.Unix(), 10)},
		"aws:principalarn": {of}, "aws:principalaccount": {a.Account},
	}}
	var boundary *wiam.AttachedPermissionsBoundary
	kind, _, _ := strings.Cut(a.Resource, "/")
	switch kind {
	case "role":
		r, err := s.byARN(ctx, s.here(ctx), of)
		if err != nil {
			return nil, fmt.Errorf("read role %q: %w", of, err)
		}
		if r == nil {
			return nil, noSuch("The role with name %s cannot be found.", a.Name())
		}
		p.context["aws:userid"] = []string{r.doc.RoleId}
		p.context["aws:principaltype"] = []string{"AssumedRole"}
		boundary = r.doc.PermissionsBoundary
		if p.policies, err = s.policiesOf(ctx, r, but); err != nil {
			return nil, err
		}
	case "user":
		u, err := s.user(ctx, s.db, a.Name())
		if err != nil {
			return nil, err
		}
		if u.doc.Arn != of {
			return nil, noSuch("The user with name %s cannot be found.", a.Name())
		}
		p.context["aws:userid"] = []string{u.doc.UserId}
		p.context["aws:username"] = []string{u.doc.UserName}
		p.context["aws:principaltype"] = []string{"User"}
		boundary = u.doc.PermissionsBoundary
	case "group": // this server has none
		return nil, noSuch("The group with name %s cannot be found.", a.Name())
	default:
		return nil, noEntity(of)
	}
	tags, err := s.db.Tags(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("read tags of %q: %w", of, err)
	}
	for _, t := range tags {
		p.context["aws:principaltag/"+strings.ToLower(t.Key)] = []string{t.Value}
	}
	if boundary != nil {
		if p.boundary, err = s.attached(ctx, boundary.PermissionsBoundaryArn, fromBoundary); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// policiesOf reads a role's inline and attached policies, in the order of names.
func (s *Service) policiesOf(ctx context.Context, r *role, but []wiam.PolicyIdentifier) ([]*source, error) {
	var out []*source
	for _, name := range slices.Sorted(maps.Keys(r.private.Inline)) {
		if slices.ContainsFunc(but, func(i wiam.PolicyIdentifier) bool {
			in := i.InlinePolicyIdentifier
			return in != nil && in.PolicyName == name && in.AttachmentType == "role" && in.AttachmentName == r.doc.RoleName
		}) {
			continue
		}
		text := r.private.Inline[name]
		d, err := parse(text, permissionPolicy)
		if err != nil {
			return nil, fmt.Errorf("read inline policy %q of role %q: %w", name, r.doc.RoleName, err)
		}
		out = append(out, &source{document: d, id: "role_" + r.doc.RoleName + "_" + name, kind: fromIAM, text: text})
	}
	for _, arn := range r.private.Attached {
		if slices.ContainsFunc(but, func(i wiam.PolicyIdentifier) bool { return i.PolicyArn == arn }) {
			continue
		}
		p, err := s.attached(ctx, arn, fromIAM)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// attached reads a managed policy. One of AWS's own that this server has no
// document of allows nothing.
func (s *Service) attached(ctx context.Context, arn, kind string) (*source, error) {
	out := &source{id: nameIn(arn), kind: kind}
	_, text, ok := managedPolicy(arn)
	if !ok {
		p, err := s.policy(ctx, s.db, arn)
		if err != nil {
			if fault.Of(err) != nil && strings.HasPrefix(arn, "arn:aws:iam::aws:") {
				return out, nil
			}
			return nil, err
		}
		text = p.private.Document
	}
	d, err := parse(text, permissionPolicy)
	if err != nil {
		return nil, fmt.Errorf("read policy %q: %w", arn, err)
	}
	out.document, out.text = d, text
	return out, nil
}

// statement is a finding as answers have it.
func (f finding) statement() wiam.Statement {
	out := wiam.Statement{SourcePolicyId: f.from.id, SourcePolicyType: f.from.kind}
	if spans := spans(f.from.text); f.index < len(spans) {
		out.StartPosition, out.EndPosition = position(f.from.text, spans[f.index][0]), position(f.from.text, spans[f.index][1])
	}
	return out
}

// spans is where the statements of a well-formed document stand: the offsets
// behind the brace that opens each and behind the one that closes it.
func spans(text string) [][2]int64 {
	d := json.NewDecoder(strings.NewReader(text))
	var out [][2]int64
	_, _ = d.Token() // the document's brace
	for d.More() {
		name, _ := d.Token()
		if n, _ := name.(string); !strings.EqualFold(n, "Statement") {
			if d.Decode(new(json.RawMessage)) != nil {
				return out
			}
			continue
		}
		out = nil // of a name that stands twice, the last counts
		if t, _ := d.Token(); t == json.Delim('{') {
			start := d.InputOffset()
			out = append(out, [2]int64{start, leave(d)})
			continue
		}
		for d.More() {
			_, _ = d.Token()
			start := d.InputOffset()
			out = append(out, [2]int64{start, leave(d)})
		}
		_, _ = d.Token() // the list's bracket
	}
	return out
}

// leave reads to the end of the object that the decoder is in, and answers the
// offset behind it.
func leave(d *json.Decoder) int64 {
	for depth := 1; depth > 0; {
		t, err := d.Token()
		if err != nil {
			break
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return d.InputOffset()
}

func position(text string, at int64) *wiam.Position {
	before := text[:at]
	line := int64(strings.Count(before, "\n") + 1)
	column := int64(len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1)
	return &wiam.Position{Line: &line, Column: &column}
}
