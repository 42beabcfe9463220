// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

func TestStringToSignV2(t *testing.T) {
	for _, c := range []struct {
		name, method, path, token string
		header                    http.Header
		query                     []param
		want                      string
	}{
		{
			name: "the form of the guide", method: "GET", path: "/johnsmith/photos/puppy.jpg",
			want: "GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg",
		},
		{
			name: "members of the resource, in order, and no others", method: "PUT", path: "/b/k",
			header: http.Header{"Content-Type": {"text/csv"}, "X-Amz-Meta-B": {" two ", "three"}, "X-Amz-Acl": {"private"}, "Accept": {"x"}},
			query:  []param{{name: "versionId", value: "a b"}, {name: "prefix", value: "p"}, {name: "acl", bare: true}},
			want:   "PUT\n\ntext/csv\n1175139620\nx-amz-acl:private\nx-amz-meta-b:two,three\n/b/k?acl&versionId=a b",
		},
		{
			name: "a session", method: "GET", path: "/b/k", token: "T",
			want: "GET\n\n\n1175139620\nx-amz-security-token:T\n/b/k",
		},
	} {
		if got := stringToSignV2(c.method, c.path, c.header, c.token, "1175139620", c.query); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// The worked example of Amazon's S3 User Guide, "Signing and authenticating
// REST requests (signature version 2)", with its own example key.
func TestSignedV2(t *testing.T) {
	sum, err := base64.StdEncoding.DecodeString("NpgCjnDzrM+WFzoENXmpNDUsSn8=")
	if err != nil {
		t.Fatal(err)
	}
	const text = "GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg"
	if !signedV2("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", text, sum) {
		t.Error("the example's signature is refused")
	}
	if signedV2("another", text, sum) || signedV2("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", text, nil) {
		t.Error("a false signature is taken")
	}
}

func TestPresignedVersion2OfVirtualHost(t *testing.T) {
	s, address := served(t, Options{Domain: "localhost"})
	if _, err := s.Put(t.Context(), object.URI{Bucket: "bucket", Key: "d/ü k"}, strings.NewReader("value")); err != nil {
		t.Fatal(err)
	}
	expires := fmt.Sprint(time.Now().Add(time.Minute).Unix())
	mac := hmac.New(sha1.New, []byte(userKey.Secret))
	fmt.Fprintf(mac, "GET\n\n\n%s\n/bucket/d/%%C3%%BC%%20k", expires)
	q := url.Values{"AWSAccessKeyId": {userKey.ID}, "Expires": {expires}, "Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	for _, c := range []struct {
		host string
		want int
	}{{"bucket.localhost", 200}, {"other.localhost", 403}, {"bucket.elsewhere", 403}} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", address+"/d/%C3%BC%20k?"+q.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		if a, body := do(t, r); a.StatusCode != c.want || c.want == 200 && body != "value" {
			t.Errorf("%s: %s %s", c.host, a.Status, body)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"", "acl", "a=b&c", "a=%20+&a=", "%", "=&=", "a=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		params, err := parseQuery(raw)
		if err != nil {
			return
		}
		var parts []string
		for _, p := range params {
			part := escape(p.name, false)
			if !p.bare {
				part += "=" + escape(p.value, false)
			}
			parts = append(parts, part)
		}
		again, err := parseQuery(strings.Join(parts, "&"))
		// A nameless bare member is no member once written.
		params = slices.DeleteFunc(params, func(p param) bool { return p.bare && p.name == "" })
		if err != nil || !slices.Equal(again, params) {
			t.Errorf("%q: %v reads back as %v, %v", raw, params, again, err)
		}
	})
}
