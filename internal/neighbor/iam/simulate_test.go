// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// simulated is the decision on one action and resource.
func simulated(t testing.TB, b *bench, in wiam.SimulatePrincipalPolicyInput) wiam.EvaluationResult {
	t.Helper()
	out := call(t, b, wiam.SimulatePrincipalPolicy, in)
	if len(out.EvaluationResults) != 1 || *out.IsTruncated || out.Marker != "" {
		t.Fatalf("got %+v", out)
	}
	return out.EvaluationResults[0]
}

// origins are the policies that decided.
func origins(r wiam.EvaluationResult) string {
	var ids []string
	for _, s := range r.MatchedStatements {
		ids = append(ids, s.SourcePolicyId)
	}
	return strings.Join(ids, " ")
}

func TestSimulate(t *testing.T) {
	b := fresh(t)
	r := b.role1(t, "r")
	own := call(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "own", PolicyDocument: "{\"Version\":\"2012-10-17\",\n \"Statement\":[\n  " + rule("Allow", "s3:*", "*") + ",\n  " + rule("Deny", "s3:DeleteObject", "*") + "]}"}).Policy
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: own.Arn})
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: managedPrefix + "AmazonS3ReadOnlyAccess"})
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: managedPrefix + "UnknownHere"})
	call(t, b, wiam.PutRolePolicy, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "in", PolicyDocument: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sqs:*","s3:Get*"],"Resource":"*"}}`})
	call(t, b, wiam.PutRolePolicy, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "tagged", PolicyDocument: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"ml","aws:PrincipalArn":"` + r.Arn + `"},"DateLessThan":{"aws:CurrentTime":"2026-11-21"}}}}`})
	call(t, b, wiam.PutRolePolicy, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "vpc", PolicyDocument: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sns:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"v"}}}}`})
	call(t, b, wiam.TagRole, wiam.TagRoleInput{RoleName: "r", Tags: []wiam.Tag{{Key: "Team", Value: "ml"}}})
	for _, tt := range []struct {
		name string
		in   wiam.SimulatePrincipalPolicyInput // of the role
		want string
		by   string // policies
		lack string // context keys
	}{
		{"an inline policy", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sqs:SendMessage"}}, allowed, "role_r_in", ""},
		{"inline and managed policies", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"s3:GetObject"}}, allowed, "role_r_in own AmazonS3ReadOnlyAccess", ""},
		{"a denial", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"s3:DeleteObject"}}, explicitDeny, "own", ""},
		{"nothing", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"iam:GetRole"}}, implicitDeny, "", ""},
		{"what is known of the role", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"ec2:RunInstances"}}, allowed, "role_r_tagged", ""},
		{"context that says otherwise", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"ec2:RunInstances"}, ContextEntries: []wiam.ContextEntry{{ContextKeyName: "AWS:CurrentTime", ContextKeyType: "date", ContextKeyValues: []string{"2027-01-01T00:00:00Z"}}}}, implicitDeny, "", ""},
		{"context that is missing", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sns:Publish"}}, implicitDeny, "", "aws:SourceVpc"},
		{"context that is given", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sns:Publish"}, ContextEntries: []wiam.ContextEntry{{ContextKeyName: "aws:SourceVpc", ContextKeyValues: []string{"v"}}}}, allowed, "role_r_vpc", ""},
		{"policies of the request", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"iam:GetRole"}, PolicyInputList: []string{allow, strings.Replace(allow, "s3", "iam", 1)}}, allowed, "PolicyInputList.2", ""},
		{"policies left out", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"s3:DeleteObject"}, PolicyExclusionList: []wiam.PolicyIdentifier{{PolicyArn: own.Arn}}}, implicitDeny, "", ""},
		{"an inline policy left out", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sqs:SendMessage"}, PolicyExclusionList: []wiam.PolicyIdentifier{{InlinePolicyIdentifier: &wiam.InlinePolicyIdentifierType{PolicyName: "in", AttachmentType: "role", AttachmentName: "r"}}}}, implicitDeny, "", ""},
		{"a boundary that allows", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sqs:SendMessage"}, PermissionsBoundaryPolicyInputList: []string{strings.Replace(allow, "s3", "sqs", 1)}}, allowed, "role_r_in PermissionsBoundaryPolicyInputList.1", ""},
		{"a boundary that does not", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"sqs:SendMessage"}, PermissionsBoundaryPolicyInputList: []string{allow}}, implicitDeny, "", ""},
		{"a boundary that denies", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"s3:GetObject"}, PermissionsBoundaryPolicyInputList: []string{strings.Replace(allow, "Allow", "Deny", 1)}}, explicitDeny, "PermissionsBoundaryPolicyInputList.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.PolicySourceArn = r.Arn
			got := simulated(t, b, tt.in)
			if got.EvalDecision != tt.want || origins(got) != tt.by || strings.Join(got.MissingContextValues, " ") != tt.lack || got.EvalResourceName != "*" || got.EvalActionName != tt.in.ActionNames[0] {
				t.Errorf("got %+v", got)
			}
			if len(tt.in.PermissionsBoundaryPolicyInputList) > 0 != (got.PermissionsBoundaryDecisionDetail != nil) {
				t.Errorf("boundary is %+v", got.PermissionsBoundaryDecisionDetail)
			}
		})
	}

	t.Run("where the statements stand", func(t *testing.T) {
		got := simulated(t, b, wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn, ActionNames: []string{"s3:DeleteObject"}}).MatchedStatements[0]
		end := int64(3 + len(rule("Deny", "s3:DeleteObject", "*")))
		if p, q := got.StartPosition, got.EndPosition; *p.Line != 4 || *p.Column != 4 || *q.Line != 4 || *q.Column != end || got.SourcePolicyType != "IAM Policy" {
			t.Errorf("%d:%d to %d:%d, want 4:4 to 4:%d", *p.Line, *p.Column, *q.Line, *q.Column, end)
		}
		got = simulated(t, b, wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn, ActionNames: []string{"sqs:SendMessage"}}).MatchedStatements[0]
		if *got.StartPosition.Column != 38 || *got.EndPosition.Column != 99 {
			t.Errorf("%d to %d", *got.StartPosition.Column, *got.EndPosition.Column)
		}
	})
}

func TestSimulateBoundaryOfTheRole(t *testing.T) {
	b := fresh(t)
	bound := call(t, b, wiam.CreatePolicy, wiam.CreatePolicyInput{PolicyName: "bound", PolicyDocument: `{"Statement":[` + rule("Allow", "s3:*", "*") + `,` + rule("Deny", "s3:Delete*", "*") + `]}`}).Policy
	r := call(t, b, wiam.CreateRole, wiam.CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: sageMaker, PermissionsBoundary: bound.Arn}).Role
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: managedPrefix + "AdministratorAccess"})
	for action, want := range map[string]string{"s3:GetObject": allowed, "s3:DeleteObject": explicitDeny, "sqs:SendMessage": implicitDeny} {
		got := simulated(t, b, wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn, ActionNames: []string{action}})
		if d := got.PermissionsBoundaryDecisionDetail; got.EvalDecision != want || d == nil || *d.AllowedByPermissionsBoundary != (want == allowed) {
			t.Errorf("%s: %+v, %+v", action, got, d)
		}
	}
}

func TestSimulateResourcePolicy(t *testing.T) {
	b := fresh(t)
	u := call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "ann"}).User
	of := func(effect, principal string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"` + bucket + `/${aws:username}/*"}}`
	}
	mine := []string{`{"Statement":` + rule("Allow", "s3:*", "*") + `}`}
	const stranger = "arn:aws:iam::210987654321:root"
	for _, tt := range []struct {
		name, policy, owner string
		own                 []string
		want                string
	}{
		{"the user by her ARN", of("Allow", `{"AWS":"`+u.Arn+`"}`), "", nil, allowed},
		{"her account by its number", of("Allow", `{"AWS":["`+account+`"]}`), "", nil, allowed},
		{"her account by its root", of("Allow", `{"AWS":"arn:aws:iam::`+account+`:root"}`), "", nil, allowed},
		{"everyone", of("Allow", `"*"`), "", nil, allowed},
		{"someone else", of("Allow", `{"AWS":"`+stranger+`"}`), "", nil, implicitDeny},
		{"someone else where she may by herself", of("Allow", `{"AWS":"`+stranger+`"}`), "", mine, allowed},
		{"all but someone else", strings.Replace(of("Allow", `{"AWS":"`+stranger+`"}`), "Principal", "NotPrincipal", 1), "", nil, allowed},
		{"a denial", of("Deny", `"*"`), "", mine, explicitDeny},
		{"another account's resource needs both", of("Allow", `{"AWS":"`+u.Arn+`"}`), stranger, nil, implicitDeny},
		{"another account's resource has both", of("Allow", `{"AWS":"`+u.Arn+`"}`), stranger, mine, allowed},
		{"another account's resource has hers alone", of("Allow", `{"AWS":"`+stranger+`"}`), stranger, mine, implicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := simulated(t, b, wiam.SimulatePrincipalPolicyInput{PolicySourceArn: u.Arn, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{object},
				ResourcePolicy: tt.policy, ResourceOwner: tt.owner, PolicyInputList: tt.own})
			if got.EvalDecision != tt.want {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestSimulatePages(t *testing.T) {
	b := fresh(t)
	r := b.role1(t, "r")
	call(t, b, wiam.PutRolePolicy, wiam.PutRolePolicyInput{RoleName: "r", PolicyName: "p", PolicyDocument: `{"Version":"2012-10-17","Statement":` + rule("Allow", "s3:Get*", bucket+"/${x}*") + `}`})
	in := wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn, ActionNames: []string{"s3:GetObject", "s3:PutObject"}, ResourceArns: []string{object, bucket, "*"}, MaxItems: new(int64(4))}
	var got []string
	for pages := 1; ; pages++ {
		out := call(t, b, wiam.SimulatePrincipalPolicy, in)
		for _, e := range out.EvaluationResults {
			got = append(got, e.EvalActionName+" "+e.EvalResourceName)
			s := e.ResourceSpecificResults
			if len(s) != 1 || s[0].EvalResourceName != e.EvalResourceName || s[0].EvalResourceDecision != e.EvalDecision || len(e.MissingContextValues) != 0 ||
				(e.EvalActionName == "s3:GetObject") != slices.Equal(s[0].MissingContextValues, []string{"x"}) {
				t.Errorf("got %+v", e)
			}
		}
		if in.Marker = out.Marker; out.Marker == "" {
			if pages != 2 || *out.IsTruncated {
				t.Errorf("%d pages, the last %+v", pages, out)
			}
			break
		}
	}
	want := []string{"s3:GetObject " + object, "s3:GetObject " + bucket, "s3:GetObject *", "s3:PutObject " + object, "s3:PutObject " + bucket, "s3:PutObject *"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestSimulateIsRefused(t *testing.T) {
	b := fresh(t)
	r := b.role1(t, "r")
	u := call(t, b, wiam.CreateUser, wiam.CreateUserInput{UserName: "ann"}).User
	const anyone = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`
	for _, tt := range []struct {
		name   string
		in     wiam.SimulatePrincipalPolicyInput
		code   string
		status int
		text   string
	}{
		{"a role that is not there", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn + "x"}, "NoSuchEntity", 404, "role with name rx"},
		{"a role under another path", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: strings.Replace(r.Arn, "role/", "role/p/", 1)}, "NoSuchEntity", 404, "role with name r "},
		{"a role of another account", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: strings.Replace(r.Arn, account, "210987654321", 1)}, "NoSuchEntity", 404, "role with name r "},
		{"a user that is not there", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: u.Arn + "x"}, "NoSuchEntity", 404, "user with name annx"},
		{"a user of another account", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: strings.Replace(u.Arn, account, "210987654321", 1)}, "NoSuchEntity", 404, "user with name ann "},
		{"a group", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: "arn:aws:iam::123456789012:group/g"}, "NoSuchEntity", 404, "group with name g"},
		{"a session", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: "arn:aws:sts::123456789012:assumed-role/r/s"}, "InvalidInput", 400, "Invalid Entity Arn: arn:aws:sts::123456789012:assumed-role/r/s does not clearly define entity type and name."},
		{"the root", wiam.SimulatePrincipalPolicyInput{PolicySourceArn: "arn:aws:iam::123456789012:root"}, "InvalidInput", 400, "does not clearly define"},
		{"an action with a star", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"s3:Get*"}}, "InvalidInput", 400, "s3:Get*"},
		{"an action of no service", wiam.SimulatePrincipalPolicyInput{ActionNames: []string{"GetObject"}}, "InvalidInput", 400, "GetObject"},
		{"a marker that is none", wiam.SimulatePrincipalPolicyInput{Marker: "!"}, "InvalidInput", 400, "Invalid Marker"},
		{"a marker behind the end", wiam.SimulatePrincipalPolicyInput{Marker: "OTk"}, "InvalidInput", 400, "Invalid Marker"},
		{"a policy that is none", wiam.SimulatePrincipalPolicyInput{PolicyInputList: []string{"{"}}, "InvalidInput", 400, "PolicyInputList: This policy contains invalid Json"},
		{"a boundary that is none", wiam.SimulatePrincipalPolicyInput{PermissionsBoundaryPolicyInputList: []string{"{"}}, "InvalidInput", 400, "PermissionsBoundaryPolicyInputList"},
		{"two boundaries", wiam.SimulatePrincipalPolicyInput{PermissionsBoundaryPolicyInputList: []string{allow, allow}}, "InvalidInput", 400, "one policy"},
		{"a resource's policy for a role", wiam.SimulatePrincipalPolicyInput{ResourcePolicy: anyone}, "InvalidInput", 400, "Caller cannot be null"},
		{"a resource's policy without a principal", wiam.SimulatePrincipalPolicyInput{CallerArn: u.Arn, ResourcePolicy: allow}, "InvalidInput", 400, "Principal"},
		{"a caller that is no user", wiam.SimulatePrincipalPolicyInput{CallerArn: r.Arn}, "InvalidInput", 400, "Invalid caller"},
		{"an owner that is none", wiam.SimulatePrincipalPolicyInput{CallerArn: u.Arn, ResourcePolicy: anyone, ResourceOwner: "me"}, "InvalidInput", 400, "Invalid Entity Arn: me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.in.PolicySourceArn == "" {
				tt.in.PolicySourceArn = r.Arn
			}
			if tt.in.ActionNames == nil {
				tt.in.ActionNames = []string{"s3:GetObject"}
			}
			refused(t, b, wiam.SimulatePrincipalPolicy, tt.in, tt.code, tt.status, tt.text)
		})
	}
}

// TestSimulateDefaultRoles asks what the SageMaker Python SDK, version 3, asks
// of a role before it works with it, and what a caller may who has the role.
func TestSimulateDefaultRoles(t *testing.T) {
	b := fresh(t)
	if err := b.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	actions := func(service, names string) (out []string) {
		for _, n := range strings.Fields(names) {
			out = append(out, service+":"+n)
		}
		return out
	}
	asked := slices.Concat(
		actions("ecr", "GetAuthorizationToken"), actions("cloudwatch", "PutMetricData"),
		actions("ec2", `CreateNetworkInterface CreateNetworkInterfacePermission DeleteNetworkInterface DeleteNetworkInterfacePermission
			DescribeNetworkInterfaces DescribeVpcs DescribeDhcpOptions DescribeSubnets DescribeSecurityGroups`),
		actions("glue", "GetTable GetDatabase GetPartitions"), actions("bedrock", "CreateEvaluationJob GetEvaluationJob"),
		actions("sagemaker", `CreatePipeline UpdatePipeline DescribePipeline ListPipelines StartPipelineExecution DescribePipelineExecution
			ListPipelineExecutionSteps StopPipelineExecution ListTags AddTags DescribeTrainingJob DescribeHubContent ListHubContents DescribeHub ListHubs
			CreateArtifact ListArtifacts DescribeArtifact`),
		actions("s3", "PutObject GetObject ListBucket"))
	for _, role := range []string{"service-role/" + DefaultRole, TutorialRole} {
		in := wiam.SimulatePrincipalPolicyInput{PolicySourceArn: "arn:aws:iam::123456789012:role/" + role, ActionNames: asked}
		for _, r := range call(t, b, wiam.SimulatePrincipalPolicy, in).EvaluationResults {
			if r.EvalDecision != allowed {
				t.Errorf("%s: %s is %s", role, r.EvalActionName, r.EvalDecision)
			}
		}
		in.ActionNames = actions("iam", "CreateUser DeleteRole AttachRolePolicy")
		for _, r := range call(t, b, wiam.SimulatePrincipalPolicy, in).EvaluationResults {
			if r.EvalDecision != implicitDeny {
				t.Errorf("%s: %s is %s", role, r.EvalActionName, r.EvalDecision)
			}
		}
	}
}

func TestFullAccess(t *testing.T) {
	b := fresh(t)
	r := b.role1(t, "r")
	call(t, b, wiam.AttachRolePolicy, wiam.AttachRolePolicyInput{RoleName: "r", PolicyArn: managedPrefix + fullAccess})
	const sm = "arn:aws:sagemaker:us-east-1:123456789012:"
	for _, tt := range []struct {
		action, on, with string // with: a context key and its value
		want             string
	}{
		{"sagemaker:CreateTrainingJob", sm + "training-job/j", "", allowed},
		{"sagemaker:DeleteDomain", sm + "domain/d", "", implicitDeny},
		{"sagemaker:DescribeDomain", sm + "domain/d", "", allowed},
		{"sagemaker:CreateApp", sm + "app/d-1/u/JupyterServer/default", "", allowed},
		{"sagemaker:CreateApp", sm + "app/d-1/u/JupyterServer/default", "sagemaker:OwnerUserProfileArn=" + sm + "user-profile/d-1/u", implicitDeny},
		{"s3:GetObject", "arn:aws:s3:::sagemaker-us-east-1-123456789012/k", "", allowed},
		{"s3:GetObject", object, "", implicitDeny},
		{"s3:GetObject", object, "s3:ExistingObjectTag/SageMaker=TRUE", allowed},
		{"s3:ListBucket", bucket, "", allowed},
		{"iam:PassRole", r.Arn, "iam:PassedToService=sagemaker.amazonaws.com", allowed},
		{"iam:PassRole", r.Arn, "iam:PassedToService=lambda.amazonaws.com", implicitDeny},
		{"ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/my-sagemaker-images", "", allowed},
		{"ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/images", "", implicitDeny},
		{"logs:PutLogEvents", "*", "", allowed},
		{"iam:CreateRole", "*", "", implicitDeny},
	} {
		t.Run(fmt.Sprint(tt.action, " on ", tt.on, " with ", tt.with), func(t *testing.T) {
			in := wiam.SimulatePrincipalPolicyInput{PolicySourceArn: r.Arn, ActionNames: []string{tt.action}, ResourceArns: []string{tt.on}}
			if key, value, ok := strings.Cut(tt.with, "="); ok {
				in.ContextEntries = []wiam.ContextEntry{{ContextKeyName: key, ContextKeyValues: []string{value}, ContextKeyType: "string"}}
			}
			if got := simulated(t, b, in); got.EvalDecision != tt.want {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

func FuzzSpans(f *testing.F) {
	f.Add(allow)
	f.Add(fullAccessDocument)
	f.Add(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"Id":"x","statement":[{"Effect":"Deny","Action":["*"],"Resource":"*"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parse(text, permissionPolicy)
		if err != nil {
			return
		}
		all := spans(text)
		if len(all) != len(d.Statement) {
			t.Fatalf("%q has %d statements, %d found", text, len(d.Statement), len(all))
		}
		for _, s := range all {
			if text[s[0]-1] != '{' || text[s[1]-1] != '}' || s[0] >= s[1] {
				t.Errorf("%q: %v", text, s)
			}
		}
	})
}
