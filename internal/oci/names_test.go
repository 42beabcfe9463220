// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

type ctx = context.Context

func sum(b []byte) string { return digest.FromBytes(b).String() }

func nil2log() *log.Logger { return log.New(io.Discard, "", 0) }

func TestReferences(t *testing.T) {
	d := "sha256:" + strings.Repeat("0a", 32)
	for _, tt := range []struct {
		text string
		want Reference
	}{
		{"python", Reference{"index.docker.io", "library/python", "latest", ""}},
		{"python:3.11-slim", Reference{"index.docker.io", "library/python", "3.11-slim", ""}},
		{"docker.io/pytorch/pytorch:2.3", Reference{"index.docker.io", "pytorch/pytorch", "2.3", ""}},
		{"127.0.0.1:8080/mine", Reference{"127.0.0.1:8080", "mine", "latest", ""}},
		{"localhost:5000/team/mine:v1@" + d, Reference{"localhost:5000", "team/mine", "", d}},
		{"123456789012.dkr.ecr.us-west-2.amazonaws.com/mine@" + d, Reference{"123456789012.dkr.ecr.us-west-2.amazonaws.com", "mine", "", d}},
	} {
		if got, err := Parse(tt.text); err != nil || got != tt.want {
			t.Errorf("%s is %+v, %v", tt.text, got, err)
		}
	}
	for _, bad := range []string{"", "UPPER", "a b", "mine@sha256:0", "mine:", "http://host/mine", "/mine", "-"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
	for host, want := range map[string]string{"123456789012.dkr.ecr.us-west-2.amazonaws.com": "123456789012", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn": "123456789012",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": "123456789012", "public.ecr.aws": "", "12.dkr.ecr.us-west-2.amazonaws.com": "", "123456789012.dkr.ecr.us-west-2.amazonaws.com.evil": ""} {
		if got, ok := Account(host); got != want || ok != (want != "") {
			t.Errorf("%s is of %q", host, got)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"python", "127.0.0.1:8080/mine:v1", "a/b/c@sha256:" + strings.Repeat("0", 64), "::", "@", "a:b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, and that is %+v, %v", s, r, again, err)
		}
	})
}

const exampleMap = `# what stands for AWS's images
763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu: docker.io/pytorch/pytorch:2.3.1
"*/pytorch-training:*": pytorch/pytorch:latest
"*.dkr.ecr.*.amazonaws.com/sagemaker-scikit-learn:1.2*": python:sklearn-1.2
"*/mine:*": file:///images/mine.tar
`

func TestImageMap(t *testing.T) {
	m, err := ParseImageMap([]byte(exampleMap))
	if err != nil || m.Len() != 4 {
		t.Fatal(m.Len(), err)
	}
	for uri, want := range map[string]Target{
		"763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu":             {Registry, "docker.io/pytorch/pytorch:2.3.1"},
		"763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.4-cpu":             {Registry, "pytorch/pytorch:latest"},
		"246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3": {Environment, "sklearn-1.2"},
		"any/deep/mine:v1": {Archive, "file:///images/mine.tar"},
		"246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:0.23": {},
		"": {},
	} {
		if got, ok := m.Lookup(uri); got != want || ok != (want != Target{}) {
			t.Errorf("%q is %+v", uri, got)
		}
	}
	var none ImageMap
	if _, ok := none.Lookup("x"); ok || none.Len() != 0 {
		t.Error("the zero map has something")
	}
	for text, want := range map[string]string{
		"- a":                                "line 1: it must be a mapping",
		"a":                                  "line 1: it must be a mapping",
		"a: b\nc: [d]":                       "line 2: both sides of an entry must be text",
		"a: 1":                               "line 1: both sides of an entry must be text",
		"1: a":                               "line 1: both sides of an entry must be text",
		"a: b\n\na: c":                       "line 3: \"a\" is there twice",
		"a:":                                 "line 1: \"a\": nothing stands for it",
		"a: UPPER":                           "line 1: \"a\": \"UPPER\" is not an image reference",
		"a: 'python:'":                       "line 1: \"a\": \"python:\" is not the name of an environment",
		"a: file://images/mine.tar":          "absolute path",
		"a b: c":                             "\"a b\" is not an image URI",
		"a: b\n c: d":                        "image map: yaml: line 2",
		strings.Repeat("x", 10) + ": {y: z}": "line 1",
	} {
		if _, err := ParseImageMap([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "null"} {
		if m, err := ParseImageMap([]byte(text)); err != nil || m.Len() != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewImageMap([]Entry{{"a", "b"}, {"a", "c"}}); err == nil {
		t.Error("an entry twice is taken")
	}
}

func FuzzImageMap(f *testing.F) {
	f.Add([]byte(exampleMap), "any/mine:v1")
	f.Add([]byte("*: a"), "")
	f.Add([]byte("'*': a\n'**': b"), "x")
	f.Add([]byte("&a [*a]"), "x")
	f.Fuzz(func(t *testing.T, text []byte, uri string) {
		m, err := ParseImageMap(text)
		if err != nil {
			return
		}
		if got, ok := m.Lookup(uri); ok && (got.Value == "" || got.Kind == "") {
			t.Errorf("%q is %+v", uri, got)
		}
	})
}
