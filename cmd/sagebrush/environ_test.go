// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/server"
)

func TestExports(t *testing.T) {
	vars := endpointVariables("http://127.0.0.1:8080", "us-east-1", auth.Key{ID: "AKIA", Secret: `a'b\c$d`, SessionToken: "tok=="})
	for shell, want := range map[string]string{
		"sh": `unset AWS_PROFILE
export AWS_ENDPOINT_URL=http://127.0.0.1:8080
export AWS_ACCESS_KEY_ID=AKIA
export AWS_SECRET_ACCESS_KEY='a'\''b\c$d'
export AWS_SESSION_TOKEN=tok==
export AWS_DEFAULT_REGION=us-east-1
export AWS_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true
`,
		"fish": `set -e AWS_PROFILE;
set -gx AWS_ENDPOINT_URL 'http://127.0.0.1:8080';
set -gx AWS_ACCESS_KEY_ID 'AKIA';
set -gx AWS_SECRET_ACCESS_KEY 'a\'b\\c$d';
set -gx AWS_SESSION_TOKEN 'tok==';
set -gx AWS_DEFAULT_REGION 'us-east-1';
set -gx AWS_REGION 'us-east-1';
set -gx AWS_EC2_METADATA_DISABLED 'true';
`,
		"powershell": `Remove-Item Env:AWS_PROFILE
$Env:AWS_ENDPOINT_URL = 'http://127.0.0.1:8080'
$Env:AWS_ACCESS_KEY_ID = 'AKIA'
$Env:AWS_SECRET_ACCESS_KEY = 'a''b\c$d'
$Env:AWS_SESSION_TOKEN = 'tok=='
$Env:AWS_DEFAULT_REGION = 'us-east-1'
$Env:AWS_REGION = 'us-east-1'
$Env:AWS_EC2_METADATA_DISABLED = 'true'
`,
	} {
		if got := exports(shell, vars, []string{"AWS_PROFILE"}); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", shell, got, want)
		}
	}
}

func TestWithVariables(t *testing.T) {
	environ := []string{"PATH=/bin", "AWS_REGION=old", "AWS_PROFILE=work", "AWS_ENDPOINT_URL_STS=http://x", "AWS_SESSION_TOKEN=t", "AWS_MAX_ATTEMPTS=3"}
	got := withVariables(environ, []variable{{"AWS_REGION", "new"}})
	if want := []string{"PATH=/bin", "AWS_MAX_ATTEMPTS=3", "AWS_REGION=new"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if environ[1] != "AWS_REGION=old" {
		t.Error("the caller's slice is changed")
	}
	if got := obstacles(environ); !slices.Equal(got, []string{"AWS_ENDPOINT_URL_STS", "AWS_PROFILE", "AWS_SESSION_TOKEN"}) {
		t.Errorf("in the way: %v", got)
	}
}

func TestReachable(t *testing.T) {
	for from, want := range map[string]string{
		"http://127.0.0.1:8080":    "http://127.0.0.1:8080",
		"http://0.0.0.0:8080":      "http://127.0.0.1:8080",
		"https://[::]:8443":        "https://127.0.0.1:8443",
		"http://192.168.1.5:8080":  "http://192.168.1.5:8080",
		"http://[fe80::1]:8080":    "http://[fe80::1]:8080",
		"http://host.example:8080": "http://host.example:8080",
	} {
		if got := server.Reachable(from); got != want {
			t.Errorf("%s is reached at %s, want %s", from, got, want)
		}
	}
}

func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "it's", "a b", "$x`y`\\", "-n", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if slices.Contains([]byte(s), 0) { // no argument can hold it
			return
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			if s == "-n" || len(s) > 0 && s[0] == '-' { // printf's own options
				return
			}
			t.Errorf("%q comes back as %q (%v)", s, out, err)
		}
	})
}
