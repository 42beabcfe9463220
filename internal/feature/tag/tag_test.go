// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

const (
	account = "123456789012"
	job     = "arn:aws:sagemaker:us-east-1:123456789012:training-job/churn"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: "us-east-1", Principal: "arn:aws:iam::123456789012:root"})

func fresh(t *testing.T) (*op.Table, resource.DB) {
	t.Helper()
	db := memstore.New()
	err := db.Write(caller, func(tx resource.Tx) error {
		return tx.Insert(caller, resource.Row{Key: resource.Key{Account: account, Region: "us-east-1", Family: "training-job", Name: "churn"}, ARN: job,
			Created: time.Now(), Modified: time.Now(), Doc: []byte("{}")})
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	table := op.New()
	s.Install(table)
	return table, db
}

func call[I, O any](t *testing.T, table *op.Table, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(caller, table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused[I, O any](t *testing.T, table *op.Table, o wire.Op[I, O], in I, code, text string) {
	t.Helper()
	_, err := op.Call(caller, table, o, &in)
	if f := fault.Of(err); f == nil || f.Code != code || f.Status != 400 || !strings.Contains(f.Message, text) {
		t.Errorf("%s answers %v, want %s with %q", o, err, code, text)
	}
}

// tags are tags with the keys k00 to k<n-1>.
func tags(n int) []sm.Tag {
	out := make([]sm.Tag, n)
	for i := range out {
		out[i] = sm.Tag{Key: fmt.Sprintf("k%02d", i), Value: "v"}
	}
	return out
}

func text(tags []sm.Tag) string {
	var b strings.Builder
	for _, t := range tags {
		fmt.Fprintf(&b, "%s=%s ", t.Key, t.Value)
	}
	return b.String()
}

func TestTags(t *testing.T) {
	table, _ := fresh(t)
	list := func() string { return text(call(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job}).Tags) }
	if l := call(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job}); l.Tags == nil || len(l.Tags) != 0 {
		t.Errorf("no tags: %+v", l)
	}
	given := []sm.Tag{{Key: "team", Value: "red"}, {Key: "app", Value: "x"}}
	if out := call(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: given}); text(out.Tags) != "team=red app=x " {
		t.Errorf("answered %q", text(out.Tags))
	}
	if got := list(); got != "app=x team=red " {
		t.Errorf("tags are %q", got)
	}
	call(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: strings.Replace(job, "churn", "Churn", 1), Tags: []sm.Tag{{Key: "team", Value: "blue"}}})
	if got := list(); got != "app=x team=blue " {
		t.Errorf("after a new value: %q", got)
	}
	call(t, table, sm.DeleteTags, sm.DeleteTagsInput{ResourceArn: job, TagKeys: []string{"team", "none"}})
	if got := list(); got != "app=x " {
		t.Errorf("after a deletion: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	table, _ := fresh(t)
	one := tags(1)
	for _, tt := range []struct {
		name, arn, code, text string
	}{
		{"a job that is not there", job + "x", "ValidationException", `Could not find training-job "churnx".`},
		{"a pipeline that is not there", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p", "ResourceNotFound", "Could not find pipeline with name p."},
		{"the job in another Region", strings.Replace(job, "us-east-1", "eu-west-1", 1), "ValidationException", "Could not find"},
		{"another account's", strings.Replace(job, account, "210987654321", 1), "AccessDeniedException", "is not authorized to perform: sagemaker:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: tt.arn, Tags: one}, tt.code, tt.text)
			refused(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: tt.arn}, tt.code, tt.text)
			refused(t, table, sm.DeleteTags, sm.DeleteTagsInput{ResourceArn: tt.arn, TagKeys: []string{"a"}}, tt.code, tt.text)
		})
	}
	refused(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: []sm.Tag{{Key: "AWS:x", Value: "v"}}}, "ValidationException", "aws: prefixed")
	refused(t, table, sm.DeleteTags, sm.DeleteTagsInput{ResourceArn: job, TagKeys: []string{"aws:x"}}, "ValidationException", "aws: prefixed")
	refused(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: []sm.Tag{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}}, "ValidationException", "Duplicate tag keys found: a")
	refused(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job, MaxResults: new(int64(49))}, "ValidationException", "greater than or equal to 50")
	refused(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job, NextToken: "x"}, "ValidationException", "NextToken")
	refused(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job, NextToken: token("a", job+"x")}, "ValidationException", "NextToken")

	call(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: tags(50)})
	call(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: tags(50)}) // new values of the same
	refused(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: []sm.Tag{{Key: "one too many", Value: "v"}, {Key: "k00", Value: "new"}}}, "ValidationException", "limit of 50")
	if l := call(t, table, sm.ListTags, sm.ListTagsInput{ResourceArn: job}); len(l.Tags) != 50 || l.Tags[0].Value != "v" || l.NextToken != "" {
		t.Errorf("a refused request changed the tags: %q", text(l.Tags))
	}
}

func TestPages(t *testing.T) {
	table, db := fresh(t)
	err := db.Write(caller, func(tx resource.Tx) error { // the service's own tags do not count
		var all []resource.Tag
		for i := range 120 {
			all = append(all, resource.Tag{Key: fmt.Sprintf("aws:k%03d", i)})
		}
		return tx.SetTags(caller, job, all, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	in := sm.ListTagsInput{ResourceArn: job, MaxResults: new(int64(50))}
	var keys []string
	pages := 0
	for {
		out := call(t, table, sm.ListTags, in)
		for _, tag := range out.Tags {
			keys = append(keys, tag.Key)
		}
		pages++
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	if pages != 3 || len(keys) != 120 || keys[0] != "aws:k000" || keys[119] != "aws:k119" {
		t.Errorf("%d pages of %d keys", pages, len(keys))
	}
	call(t, table, sm.AddTags, sm.AddTagsInput{ResourceArn: job, Tags: tags(50)})
}
