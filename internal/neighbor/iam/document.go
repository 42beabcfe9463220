// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
)

// document is a policy.
type document struct {
	Version   string
	ID        string `json:"Id"`
	Statement list[statement]
}

// statement is one rule of a policy.
type statement struct {
	SID          string `json:"Sid"`
	Effect       string
	Principal    *principals
	NotPrincipal *principals
	Action       list[string]
	NotAction    list[string]
	Resource     list[string]
	NotResource  list[string]
	Condition    map[string]map[string]list[scalar] // operator, key, values
}

// scalar is a condition's value: a text, a number or a boolean, as text.
type scalar string

// UnmarshalJSON reads one of the three.
func (s *scalar) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*s = scalar(v)
	case float64, bool:
		*s = scalar(bytes.TrimSpace(b))
	default:
		return errors.New("a condition's value is a text, a number or a boolean")
	}
	return nil
}

// list is one value or several in JSON.
type list[T any] []T

// UnmarshalJSON reads a value or an array of them.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
		var many []T
		err := strict(b, &many)
		*l = many
		return err
	}
	var one T
	err := strict(b, &one)
	*l = list[T]{one}
	return err
}

// principals are who a rule is about: everyone, or names by kind ("Service",
// "AWS", "Federated", "CanonicalUser").
type principals struct {
	everyone bool
	byKind   map[string]list[string]
}

// UnmarshalJSON reads "*" or an object.
func (p *principals) UnmarshalJSON(b []byte) error {
	var star string
	if json.Unmarshal(b, &star) == nil {
		p.everyone = star == "*"
		if !p.everyone {
			return errors.New("a principal is an object or *")
		}
		return nil
	}
	return json.Unmarshal(b, &p.byKind)
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text after the end")
	}
	return nil
}

// The kinds of policy: who may assume a role, what its owner may do, and who may
// do what with the resource that has it.
const (
	trustPolicy = iota
	permissionPolicy
	resourcePolicy
)

var vendorAction = regexp.MustCompile(`^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+)$`)

// parse checks a policy's form. Its errors are the service's.
func parse(text string, kind int) (document, error) {
	var d document
	if !json.Valid([]byte(text)) {
		return d, malformed("This policy contains invalid Json")
	}
	if err := strict([]byte(text), &d); err != nil {
		return d, malformed("Syntax errors in policy.")
	}
	if d.Version != "" && d.Version != "2012-10-17" && d.Version != "2008-10-17" {
		return d, malformed("The policy must contain a valid version string")
	}
	if len(d.Statement) == 0 {
		return d, malformed("Syntax errors in policy.")
	}
	sids := map[string]bool{}
	for _, st := range d.Statement {
		if st.SID != "" && sids[st.SID] {
			return d, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[st.SID] = true
		if err := st.check(kind); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (st *statement) check(kind int) error {
	if st.Effect != "Allow" && st.Effect != "Deny" {
		return malformed("Syntax errors in policy.")
	}
	if (len(st.Action) == 0) == (len(st.NotAction) == 0) {
		return malformed("Policy statement must contain actions.")
	}
	for _, a := range slices.Concat(st.Action, st.NotAction) {
		if !vendorAction.MatchString(a) {
			return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
	}
	for name := range st.Condition {
		if _, ok := operatorNamed(name); !ok {
			return malformed("Invalid Condition type : %s.", name)
		}
	}
	if kind != trustPolicy {
		named := st.Principal != nil || st.NotPrincipal != nil
		switch {
		case named && kind == permissionPolicy:
			return malformed("Policy document should not specify a principal.")
		case !named && kind == resourcePolicy:
			return malformed("Missing required field Principal")
		}
		if (len(st.Resource) == 0) == (len(st.NotResource) == 0) {
			return malformed("Policy statement must contain resources.")
		}
		for _, r := range slices.Concat(st.Resource, st.NotResource) {
			if r != "*" && (!strings.HasPrefix(r, "arn:") || strings.Count(r, ":") < 5) {
				return malformed("Resource %s must be in ARN format or \"*\".", r)
			}
		}
		return nil
	}
	switch {
	case len(st.Resource) > 0 || len(st.NotResource) > 0:
		return malformed("Has prohibited field Resource")
	case st.Principal == nil && st.NotPrincipal == nil:
		return malformed("Missing required field Principal")
	}
	for _, a := range slices.Concat(st.Action, st.NotAction) {
		if a != "*" && !strings.HasPrefix(strings.ToLower(a), "sts:") {
			return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	for _, p := range []*principals{st.Principal, st.NotPrincipal} {
		if p == nil || p.everyone {
			continue
		}
		if len(p.byKind) == 0 {
			return malformed("Missing required field Principal")
		}
		for kind, names := range p.byKind {
			if !slices.Contains([]string{"AWS", "Service", "Federated", "CanonicalUser"}, kind) || len(names) == 0 || slices.Contains(names, "") {
				return malformed("Invalid principal in policy: %q", kind+":"+strings.Join(names, ","))
			}
		}
	}
	return nil
}

// trusts tells whether the policy lets a service assume the role: some rule
// allows it and none denies it. Conditions are not evaluated here: a rule that
// has some counts.
func (d *document) trusts(service string) bool {
	allowed := false
	for _, st := range d.Statement {
		assume := slices.ContainsFunc(st.Action, func(a string) bool {
			return a == "*" || strings.EqualFold(a, "sts:*") || strings.EqualFold(a, "sts:AssumeRole") || strings.EqualFold(a, "sts:Assume*")
		})
		if !assume || !st.Principal.includes(service) {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (p *principals) includes(service string) bool {
	if p == nil {
		return false
	}
	return p.everyone || slices.ContainsFunc(p.byKind["Service"], func(n string) bool { return n == service || n == "*" }) || slices.Contains(p.byKind["AWS"], "*")
}

// covers tells whether the principals include a caller, by its ARN: itself, or
// the account that it is of.
func (p *principals) covers(caller string) bool {
	return p.everyone || slices.ContainsFunc(p.byKind["AWS"], func(n string) bool {
		a, err := arn.Parse(caller)
		return n == "*" || n == caller || err == nil && (n == a.Account || n == "arn:"+a.Partition+":iam::"+a.Account+":root")
	})
}

// escaped is a document as IAM answers it: percent-encoded by RFC 3986.
func escaped(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// weight is a document's size by which quotas count it: without white space.
func weight(text string) int {
	n := 0
	for _, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			n++
		}
	}
	return n
}
