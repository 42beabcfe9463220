// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20261120/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab")
	f.Add("AWS4-HMAC-SHA256 Credential=A/20261120/r/s/aws4_request,SignedHeaders=host,Signature=ab,")
	f.Add("AWS4-HMAC-SHA256 =,,=")
	f.Add("AWS4-")
	f.Fuzz(func(t *testing.T, h string) {
		c, err := parseAuthorization(h)
		if err == nil && (c.AccessKey == "" || c.Region == "" || c.Service == "" || c.signature == "" || c.signedHeaders == "") {
			t.Errorf("%q was parsed as %+v", h, c)
		}
		if err != nil {
			if _, ok := err.(*Refusal); !ok {
				t.Errorf("%q: %v is no refusal", h, err)
			}
		}
	})
}

// FuzzCanonical holds that encoding is stable: what is canonical once stays.
func FuzzCanonical(f *testing.F) {
	f.Add("/a%20b//c", "b=2&a=1&&x")
	f.Add("%", "%zz=+&=")
	f.Fuzz(func(t *testing.T, path, query string) {
		once := appendPath(nil, path, encodeOnce)
		if again := appendPath(nil, string(once), encodeOnce); !bytes.Equal(once, again) {
			t.Errorf("%q: %q, then %q", path, once, again)
		}
		var s scratch
		q := s.appendQuery(nil, query, false)
		if again := s.appendQuery(nil, string(q), false); !bytes.Equal(q, again) {
			t.Errorf("%q: %q, then %q", query, q, again)
		}
		appendPath(nil, path, encodeDotted)
	})
}

func BenchmarkVerify(b *testing.B) {
	body := []byte(strings.Repeat("1.0,2.0,3.0,4.0,", 8))
	r, _ := http.NewRequest("POST", "http://127.0.0.1:8080/endpoints/demo/invocations", bytes.NewReader(body))
	r.RequestURI = "/endpoints/demo/invocations"
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Boto3/1.43.67 md/Botocore#1.43.67")
	r.Header.Set("Amz-Sdk-Invocation-Id", "8f9e2f0a-4c0e-4f6e-9a7d-111111111111")
	Sign(r, user, "us-east-1", "sagemaker", PayloadHash(body), now)
	v := at(now)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := v.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyParallel(b *testing.B) {
	r, _ := http.NewRequest("POST", "http://127.0.0.1:8080/", nil)
	Sign(r, user, "us-east-1", "sagemaker", "", now)
	v := at(now)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, _, err := v.Verify(r, nil); err != nil {
				b.Error(err)
			}
		}
	})
}
