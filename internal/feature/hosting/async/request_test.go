// SPDX-License-Identifier: Apache-2.0

package async

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func TestPrepare(t *testing.T) {
	const id = "[0-9a-f-]{36}"
	for _, c := range []struct {
		name, input, body   string
		config              Config
		extension, filename string
		output, failure     string // patterns
		refused             string
	}{
		{"a key of its own", "s3://b/k", "", results, "", "", "^s3://data/out/" + id + `\.out$`, "^s3://data/failed/" + id + `-error\.out$`, ""},
		{"a path extension", "s3://b/k", "", results, "/day/1/", "", "^s3://data/out/day/1/" + id + `\.out$`, "^s3://data/failed/" + id + `-error\.out$`, ""},
		{"a file name", "s3://b/k", "", results, "day", "r.json", `^s3://data/out/day/r\.json$`, "^s3://data/failed/" + id + `-error\.out$`, ""},
		{"a body", "", "1,2", results, "", "", "^s3://data/out/" + id, "", ""},
		{"a bucket alone as output", "s3://b/k", "", Config{OutputPath: "s3://data/"}, "", "", "^s3://data/" + id, "^$", ""},
		{"no output", "s3://b/k", "", Config{}, "", "", "^$", "^$", ""},
		{"neither input", "", "", results, "", "", "", "", "Either Body or InputLocation must be specified."},
		{"both inputs", "s3://b/k", "1", results, "", "", "", "", "Body and InputLocation cannot both be specified."},
		{"a bucket as input", "s3://b", "", results, "", "", "", "", `Invalid InputLocation "s3://b": it names no object.`},
		{"a foreign host", "https://example.com/k", "", results, "", "", "", "", `Invalid InputLocation "https://example.com/k": it must be the URI of an object in Amazon S3.`},
		{"a way out", "s3://b/k", "", results, "../x", "", "", "", `Invalid S3OutputPathExtension "../x": it must be a path without empty, "." or ".." parts.`},
		{"a hole", "s3://b/k", "", results, "a//x", "", "", "", `Invalid S3OutputPathExtension "a//x": it must be a path without empty, "." or ".." parts.`},
		{"a file name for nothing", "s3://b/k", "", Config{}, "", "x", "", "", "S3OutputPathExtension and Filename can be specified only for an endpoint that has an S3OutputPath."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{InputLocation: c.input, Body: []byte(c.body)}
			err := r.Prepare(c.config, c.extension, c.filename)
			if c.refused != "" {
				if f := fault.Of(err); f == nil || f.Code != "ValidationError" || f.Status != 400 || f.Message != c.refused {
					t.Fatalf("answers %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(c.output).MatchString(r.Output) || !regexp.MustCompile(c.failure).MatchString(r.Failure) {
				t.Errorf("output %q, failure %q", r.Output, r.Failure)
			}
			if r.InferenceID == "" || r.TTL != DefaultTTL || r.Timeout != DefaultTimeout || r.Named != (c.filename != "") {
				t.Errorf("prepared %+v", r)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"s3://b/k/l", "s3://b/k/l"},
		{"https://b.s3.us-east-1.amazonaws.com/k/l", "s3://b/k/l"},
		{"https://b.s3.amazonaws.com/k%20l", "s3://b/k l"},
		{"https://b.s3-us-west-2.amazonaws.com/k", "s3://b/k"},
		{"https://my.s3.b.s3.us-east-1.amazonaws.com/k", "s3://my.s3.b/k"},
		{"https://s3.us-east-1.amazonaws.com/b/k", "s3://b/k"},
		{"https://s3.amazonaws.com/b/k", "s3://b/k"},
		{"https://s3-us-west-2.amazonaws.com/b/k", "s3://b/k"},
		{"s3://", ""}, {"s3:///k", ""}, {"s3://b/", ""}, {"s3://b/dir/", ""}, {"http://b.s3.amazonaws.com/k", ""},
		{"https://ec2.amazonaws.com/k", ""}, {"https://s3.amazonaws.com/b", ""}, {"https://b.s3.amazonaws.com/k?versionId=1", ""}, {"file:///etc/passwd", ""},
	} {
		u, err := locate(c.in)
		if got := u.String(); c.want == "" && err == nil || c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%s is %s, %v", c.in, got, err)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{"s3://b/k", "https://b.s3.us-east-1.amazonaws.com/k", "https://s3.amazonaws.com/b/k", "https://[::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := locate(s)
		if err == nil && (u.Bucket == "" || u.Key == "" || strings.Contains(u.Bucket, "/")) {
			t.Errorf("%q is %v", s, u)
		}
	})
}
