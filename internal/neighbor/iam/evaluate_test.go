// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"slices"
	"strings"
	"testing"
)

// policyOf is a policy of statements, one per line, in the later version.
func policyOf(t testing.TB, statements ...string) *source {
	t.Helper()
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	d, err := parse(text, permissionPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return &source{document: d, id: "p", kind: fromIAM, text: text}
}

// rule is a statement.
func rule(effect, action, resource string) string {
	return `{"Effect":"` + effect + `","Action":"` + action + `","Resource":"` + resource + `"}`
}

const (
	object = "arn:aws:s3:::data/ann/a.csv"
	bucket = "arn:aws:s3:::data"
)

func TestDecide(t *testing.T) {
	get := func(resource string) *request {
		return &request{action: "s3:GetObject", resource: resource, context: facts{"aws:username": {"ann"}, "star": {"*"}, "both": {"a", "b"}}}
	}
	for _, tt := range []struct {
		name       string
		statements []string
		on         string
		want       string
		deciders   int
	}{
		{"nothing said is a no", []string{rule("Allow", "s3:PutObject", "*")}, object, implicitDeny, 0},
		{"an allowed action", []string{rule("Allow", "s3:GetObject", "*")}, object, allowed, 1},
		{"a denial wins over any number of allowances", []string{rule("Allow", "*", "*"), rule("Deny", "s3:GetObject", bucket+"/*"), rule("Allow", "s3:*", "*")}, object, explicitDeny, 1},
		{"a denial of something else is none", []string{rule("Allow", "*", "*"), rule("Deny", "s3:GetObject", "arn:aws:s3:::other/*")}, object, allowed, 1},
		{"all that allow are told", []string{rule("Allow", "*", "*"), rule("Allow", "s3:*", "*")}, object, allowed, 2},
		{"actions have no case", []string{rule("Allow", "S3:getobject", "*")}, object, allowed, 1},
		{"a star in an action", []string{rule("Allow", "s3:Get*", "*")}, object, allowed, 1},
		{"a star in the midst of an action", []string{rule("Allow", "s3:G*bject", "*")}, object, allowed, 1},
		{"question marks in an action", []string{rule("Allow", "s3:GetObjec?", "*")}, object, allowed, 1},
		{"a question mark stands for one character", []string{rule("Allow", "s3:GetObject?", "*")}, object, implicitDeny, 0},
		{"another service's action of the name", []string{rule("Allow", "glacier:GetObject", "*")}, object, implicitDeny, 0},
		{"resources have case", []string{rule("Allow", "s3:*", "arn:aws:s3:::Data/*")}, object, implicitDeny, 0},
		{"a star reaches over slashes", []string{rule("Allow", "s3:*", "arn:aws:s3:::d*.csv")}, object, allowed, 1},
		{"a bucket is not its objects", []string{rule("Allow", "s3:*", bucket)}, object, implicitDeny, 0},
		{"every resource is not some", []string{rule("Allow", "s3:*", bucket+"/*")}, "*", implicitDeny, 0},
		{"all but other actions", []string{`{"Effect":"Allow","NotAction":["iam:*","s3:Put*"],"Resource":"*"}`}, object, allowed, 1},
		{"all but this action", []string{`{"Effect":"Allow","NotAction":["iam:*","s3:get*"],"Resource":"*"}`}, object, implicitDeny, 0},
		{"all but other resources", []string{`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::secret/*"}`}, object, allowed, 1},
		{"all but this resource", []string{`{"Effect":"Allow","Action":"*","NotResource":["arn:aws:s3:::secret/*","arn:aws:s3:::data/*"]}`}, object, implicitDeny, 0},
		{"a denial of all but this resource", []string{rule("Allow", "*", "*"), `{"Effect":"Deny","Action":"*","NotResource":"` + object + `"}`}, object, allowed, 1},
		{"the user's name", []string{rule("Allow", "s3:*", bucket+"/${aws:username}/*")}, object, allowed, 1},
		{"the user's name in other case of the key", []string{rule("Allow", "s3:*", bucket+"/${AWS:UserName}/*")}, object, allowed, 1},
		{"a folder of another user", []string{rule("Allow", "s3:*", bucket+"/${aws:username}/*")}, bucket + "/bob/a.csv", implicitDeny, 0},
		{"a value that is a star means a star", []string{rule("Allow", "s3:*", bucket+"/${star}/*")}, object, implicitDeny, 0},
		{"a star by its variable means a star", []string{rule("Allow", "s3:*", bucket+"/${*}/a.csv")}, bucket + "/*/a.csv", allowed, 1},
		{"a star by its variable matches nothing else", []string{rule("Allow", "s3:*", bucket+"/${*}/a.csv")}, object, implicitDeny, 0},
		{"a variable without a value", []string{rule("Allow", "s3:*", bucket+"/${aws:PrincipalTag/team}/*")}, object, implicitDeny, 0},
		{"a variable's default", []string{rule("Allow", "s3:*", bucket+"/${aws:PrincipalTag/team, 'ann'}/*")}, object, allowed, 1},
		{"a default that is not needed", []string{rule("Allow", "s3:*", bucket+"/${aws:username, 'bob'}/*")}, object, allowed, 1},
		{"a variable of several values", []string{rule("Allow", "s3:*", bucket+"/${both}/*")}, object, implicitDeny, 0},
		{"a variable that does not end", []string{rule("Allow", "s3:*", bucket+"/${x*")}, bucket + "/${xy", allowed, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := decide([]*source{policyOf(t, tt.statements...)}, get(tt.on))
			if v.decision != tt.want || len(v.by) != tt.deciders {
				t.Errorf("got %s by %d statements, want %s by %d", v.decision, len(v.by), tt.want, tt.deciders)
			}
			for _, f := range v.by {
				if deny := f.from.Statement[f.index].Effect == "Deny"; deny != (tt.want == explicitDeny) {
					t.Errorf("%s is decided by %+v", v.decision, f.from.Statement[f.index])
				}
			}
		})
	}

	t.Run("policies count together", func(t *testing.T) {
		if v := decide([]*source{policyOf(t, rule("Allow", "*", "*")), policyOf(t, rule("Deny", "s3:*", "*"))}, get(object)); v.decision != explicitDeny {
			t.Errorf("got %s", v.decision)
		}
		if v := decide(nil, get(object)); v.decision != implicitDeny {
			t.Errorf("without policies: %s", v.decision)
		}
	})
	t.Run("variables are plain text in the former version", func(t *testing.T) {
		p := policyOf(t, rule("Allow", "s3:*", bucket+"/${aws:username}/*"))
		p.Version = "2008-10-17"
		if v := decide([]*source{p}, get(object)); v.decision != implicitDeny {
			t.Errorf("got %s", v.decision)
		}
		if v := decide([]*source{p}, get(bucket+"/${aws:username}/a")); v.decision != allowed {
			t.Errorf("got %s", v.decision)
		}
	})
	t.Run("missing keys are those of statements about the request", func(t *testing.T) {
		p := policyOf(t,
			`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"v","aws:username":"ann"},"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:username":"${a}"}}}`,
			`{"Effect":"Allow","Action":"s3:PutObject","Resource":"*","Condition":{"StringEquals":{"s3:x-amz-acl":"private"}}}`,
			rule("Allow", "s3:GetObject", bucket+"/${aws:PrincipalTag/team}/*"))
		v := decide([]*source{p}, get(object))
		if want := []string{"a", "aws:PrincipalTag/team", "aws:SecureTransport", "aws:SourceVpc"}; v.decision != implicitDeny || !slices.Equal(v.missing, want) {
			t.Errorf("got %s, missing %q, want %q", v.decision, v.missing, want)
		}
	})
}

func TestConditions(t *testing.T) {
	context := facts{
		"aws:username": {"ann"}, "n": {"5"}, "at": {"2026-11-20T21:00:00Z"}, "epoch": {"1795208400"}, "ip": {"10.1.2.3"}, "ip6": {"2001:db8::1"}, "yes": {"true"},
		"role": {"arn:aws:iam::123456789012:role/x/Exec"}, "tags": {"team", "cost"}, "empty": nil, "bin": {"aGk="}, "path": {"home/ann/x"},
	}
	for _, tt := range []struct {
		name, condition string
		want            bool
	}{
		{"a text", `"StringEquals":{"aws:username":"ann"}`, true},
		{"a key in other case", `"StringEquals":{"AWS:UserName":"ann"}`, true},
		{"a text in other case", `"StringEquals":{"aws:username":"Ann"}`, false},
		{"one text of several", `"StringEquals":{"aws:username":["bob","ann"]}`, true},
		{"a star in a text is a star", `"StringEquals":{"aws:username":"a*"}`, false},
		{"not a text", `"StringNotEquals":{"aws:username":"bob"}`, true},
		{"none of several texts", `"StringNotEquals":{"aws:username":["bob","ann"]}`, false},
		{"a text without case", `"StringEqualsIgnoreCase":{"aws:username":"ANN"}`, true},
		{"not a text without case", `"StringNotEqualsIgnoreCase":{"aws:username":"ANN"}`, false},
		{"a text like another", `"StringLike":{"aws:username":["b*","a?n"]}`, true},
		{"a text unlike another", `"StringNotLike":{"aws:username":"a*"}`, false},
		{"a variable in a condition", `"StringLike":{"path":"home/${aws:username}/*"}`, true},
		{"a variable without a value in a condition", `"StringLike":{"path":"home/${unknown}/*"}`, false},
		{"all lines must hold", `"StringEquals":{"aws:username":"ann","n":"6"}`, false},
		{"all operators must hold", `"StringEquals":{"aws:username":"ann"},"Bool":{"yes":"false"}`, false},
		{"several operators that hold", `"StringEquals":{"aws:username":"ann"},"Bool":{"yes":true}`, true},
		{"a number", `"NumericEquals":{"n":5.0}`, true},
		{"another number", `"NumericNotEquals":{"n":"5"}`, false},
		{"less", `"NumericLessThan":{"n":"5"}`, false},
		{"less or equal", `"NumericLessThanEquals":{"n":"5"}`, true},
		{"greater", `"NumericGreaterThan":{"n":"4.5"}`, true},
		{"greater or equal", `"NumericGreaterThanEquals":{"n":"6"}`, false},
		{"numbers are not texts", `"NumericLessThan":{"n":"10"}`, true},
		{"a number that is none", `"NumericLessThan":{"aws:username":"10"}`, false},
		{"a date", `"DateEquals":{"at":"2026-11-20T21:00Z"}`, true},
		{"a date in seconds", `"DateEquals":{"at":"1795208400"}`, true},
		{"seconds that are a date", `"DateNotEquals":{"epoch":"2026-11-20T21:00:00+00:00"}`, false},
		{"before a day", `"DateLessThan":{"at":"2026-11-20"}`, false},
		{"not after a day", `"DateLessThanEquals":{"at":"2026-11-21"}`, true},
		{"after a date", `"DateGreaterThan":{"at":"2026-11-20T20:59:59Z"}`, true},
		{"not before a date", `"DateGreaterThanEquals":{"at":"2027-01-01"}`, false},
		{"true", `"Bool":{"yes":"True"}`, true},
		{"false", `"Bool":{"yes":false}`, false},
		{"bytes", `"BinaryEquals":{"bin":"aGk="}`, true},
		{"other bytes", `"BinaryEquals":{"bin":"AGK="}`, false},
		{"an address", `"IpAddress":{"ip":"10.1.2.3"}`, true},
		{"a network", `"IpAddress":{"ip":["192.168.0.0/16","10.0.0.0/8"]}`, true},
		{"another network", `"IpAddress":{"ip":"10.2.0.0/16"}`, false},
		{"not a network", `"NotIpAddress":{"ip":"10.0.0.0/8"}`, false},
		{"a network of the sixth version", `"IpAddress":{"ip6":"2001:db8::/32"}`, true},
		{"a network that is none", `"IpAddress":{"ip":"10.0.0.0/40"}`, false},
		{"an ARN", `"ArnEquals":{"role":"arn:aws:iam::123456789012:role/x/Exec"}`, true},
		{"an ARN like another", `"ArnLike":{"role":"arn:*:iam::*:role/*"}`, true},
		{"no star reaches over a colon", `"ArnLike":{"role":"arn:aws:iam:*:role/x/Exec:"}`, false},
		{"no ARN is like a star", `"ArnLike":{"role":"*"}`, false},
		{"unlike an ARN", `"ArnNotLike":{"role":"arn:aws:iam::*:user/*"}`, true},
		{"not an ARN", `"ArnNotEquals":{"role":"arn:aws:iam::123456789012:role/x/*"}`, false},
		{"a key that is there", `"Null":{"aws:username":"false"}`, true},
		{"a key that is not there", `"Null":{"unknown":"true","empty":true}`, true},
		{"a key that should not be there", `"Null":{"aws:username":"true"}`, false},
		{"an unknown key equals nothing", `"StringEquals":{"unknown":""}`, false},
		{"an unknown key differs from all", `"StringNotEquals":{"unknown":"x"}`, true},
		{"an unknown key that is not needed", `"NumericLessThanIfExists":{"unknown":"1"}`, true},
		{"a known key that is not needed", `"NumericLessThanIfExists":{"n":"1"}`, false},
		{"any of several values", `"StringEquals":{"tags":"cost"}`, true},
		{"any value that is named", `"ForAnyValue:StringEquals":{"tags":["cost","other"]}`, true},
		{"any value that is not", `"ForAnyValue:StringNotEquals":{"tags":["cost"]}`, true},
		{"any value of none", `"ForAnyValue:StringNotEquals":{"unknown":"x"}`, false},
		{"any value of none where none is needed", `"ForAnyValue:StringEqualsIfExists":{"unknown":"x"}`, true},
		{"all values", `"ForAllValues:StringLike":{"tags":["t*","c*"]}`, true},
		{"not all values", `"ForAllValues:StringEquals":{"tags":"team"}`, false},
		{"all values are other ones", `"ForAllValues:StringNotEquals":{"tags":"team"}`, false},
		{"all values of none", `"ForAllValues:StringEquals":{"unknown":"x"}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policyOf(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+tt.condition+`}}`)
			v := decide([]*source{p}, &request{action: "s3:GetObject", resource: object, context: context})
			if got := v.decision == allowed; got != tt.want {
				t.Errorf("%s is %v, want %v", tt.condition, got, tt.want)
			}
		})
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	for name, condition := range map[string]string{
		"an operator that is none":       `"StringIs":{"a":"b"}`,
		"a qualifier that is none":       `"ForSomeValues:StringEquals":{"a":"b"}`,
		"a suffix twice":                 `"StringEqualsIfExistsIfExists":{"a":"b"}`,
		"Null of all values":             `"ForAllValues:Null":{"a":"true"}`,
		"Null if there is a value":       `"NullIfExists":{"a":"true"}`,
		"a value that is an object":      `"StringEquals":{"a":{"b":"c"}}`,
		"a value that is nothing":        `"StringEquals":{"a":null}`,
		"an operator that has no values": `"StringEquals":"a"`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+condition+`}}}`, permissionPolicy); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("a*b?c", "aXbYc")
	f.Add("${aws:username}/*${*}", "ann/x*")
	f.Add("${x, 'y'}${", "y${")
	f.Fuzz(func(t *testing.T, text, value string) {
		if p := wild(text); !p.match(strings.ToValidUTF8(text, "\uFFFD")) && !strings.ContainsRune(text, '\uFFFD') && strings.ToValidUTF8(text, "") == text {
			t.Errorf("%q does not match itself", text)
		}
		missing := map[string]bool{}
		if p, ok := expand(text, facts{"aws:username": {value}}, missing); ok && len(missing) > 0 {
			t.Errorf("%q is %v though it lacks %v", text, p, missing)
		}
		// A value stands for itself whatever is in it.
		if p, ok := expand("${aws:username}", facts{"aws:username": {value}}, missing); !ok || p.plain() != string([]rune(value)) || !p.match(value) {
			t.Errorf("%q becomes %v", value, p)
		}
	})
}
