// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// keyring is Keys over a map.
type keyring map[string]Key

func (k keyring) Lookup(_ context.Context, id string) (Key, bool, error) {
	key, ok := k[id]
	return key, ok, nil
}

var (
	now  = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	user = Key{ID: "AKIDEXAMPLE234567ABC", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Account: "123456789012",
		Principal: "arn:aws:iam::123456789012:user/ada", UserID: "AIDAEXAMPLE"}
	session = Key{ID: "ASIAEXAMPLE234567ABC", Secret: "s3ss10nSecret/+abcdefghijklmnopqrstuvwxy",
		SessionToken: "IQoJb3JpZ2lu+token/with=signs==", Account: "123456789012", Expires: now.Add(time.Hour),
		Principal: "arn:aws:sts::123456789012:assumed-role/r/s", UserID: "AROAEXAMPLE:s"}
	ring = keyring{user.ID: user, session.ID: session}
)

func at(t time.Time) *Verifier {
	return New(Options{Keys: ring, Now: func() time.Time { return t }})
}

// vector is a request that botocore signed; see testdata/make_vectors.py.
type vector struct {
	Name, Service, Region, Key, Method, Target, Host string
	Headers                                          [][2]string
	Body                                             []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 90 {
		t.Fatalf("%d vectors, want them all", len(file.Vectors))
	}
	return file.Vectors
}

// request is the vector as a server reads it off the wire.
func (v vector) request(t testing.TB) *http.Request {
	t.Helper()
	var w bytes.Buffer
	fmt.Fprintf(&w, "%s %s HTTP/1.1\r\nHost: %s\r\n", v.Method, v.Target, v.Host)
	chunked := false
	for _, h := range v.Headers {
		fmt.Fprintf(&w, "%s: %s\r\n", h[0], h[1])
		chunked = chunked || h[0] == "Transfer-Encoding"
	}
	w.WriteString("\r\n")
	if chunked {
		c := httputil.NewChunkedWriter(&w)
		c.Write(v.Body)
		c.Close()
		w.WriteString("\r\n")
	} else {
		w.Write(v.Body)
	}
	r, err := http.ReadRequest(bufio.NewReader(&w))
	if err != nil {
		t.Fatalf("read request: %v", err)
	}
	return r
}

func (v vector) streams() bool { return strings.Contains(v.Name, "streaming") }

func TestVerifyAcceptsWhatBotocoreSigns(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if !v.streams() {
				caller, scope, err := at(now).Verify(v.request(t), v.Body)
				if err != nil {
					f, _ := errors.AsType[*Refusal](err)
					t.Fatalf("refused: %v\n%+v", err, f)
				}
				if caller.AccessKey != v.Key || caller.Account != "123456789012" || scope.Service != v.Service {
					t.Errorf("caller %+v, scope %+v", caller, scope)
				}
				if got, ok := ScopeOf(v.request(t)); !ok || got != scope {
					t.Errorf("ScopeOf gives %+v %v, Verify gave %+v", got, ok, scope)
				}
				if !strings.Contains(v.Name, "version 2") && (caller.Region != v.Region || scope.Region != v.Region) {
					t.Errorf("region %q, want %q", caller.Region, v.Region)
				}
			}
			_, _, body, err := at(now).VerifyStream(v.request(t))
			if err != nil {
				t.Fatalf("refused as a stream: %v", err)
			}
			got, err := io.ReadAll(body)
			want := string(v.Body)
			if v.streams() {
				want = "hello world"
			}
			if err != nil || string(got) != want {
				t.Errorf("body %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestVerifyRefusesWhatWasAltered(t *testing.T) {
	// One altered byte anywhere in what is signed: of each vector its method,
	// path, query, host, each signed header and body.
	for _, v := range vectors(t) {
		if v.streams() {
			continue
		}
		check := func(what string, alter func(*vector)) {
			t.Helper()
			bad := v
			bad.Headers = append([][2]string(nil), v.Headers...)
			bad.Body = bytes.Clone(v.Body)
			alter(&bad)
			_, _, err := at(now).Verify(bad.request(t), bad.Body)
			if _, ok := errors.AsType[*Refusal](err); !ok {
				t.Errorf("%s: %s altered, yet: %v", v.Name, what, err)
			}
		}
		v2, virtual := strings.Contains(v.Name, "version 2"), v.Service == "s3" && !strings.Contains(v.Host, "127")
		check("method", func(v *vector) { v.Method = "DELETE" })
		check("path", func(v *vector) { v.Target = "/zzz" + v.Target })
		if !v2 && !virtual {
			check("query", func(v *vector) {
				sep := "?"
				if strings.Contains(v.Target, "?") {
					sep = "&"
				}
				v.Target += sep + "extra=1"
			})
		}
		if !v2 {
			check("host", func(v *vector) { v.Host = "other" + v.Host })
		}
		for i, h := range v.Headers {
			switch name := strings.ToLower(h[0]); {
			case name == "content-length" || v2:
			default:
				check("header "+h[0], func(v *vector) { v.Headers[i][1] += "x" })
			}
		}
		check("header added", func(v *vector) { v.Headers = append(v.Headers, [2]string{"X-Amz-Meta-New", "1"}) })
		presigned := strings.Contains(v.Target, "Signature=")
		if len(v.Body) > 0 && !presigned && !strings.Contains(v.Name, "unsigned payload") {
			check("body", func(v *vector) { v.Body[len(v.Body)-1] ^= 1 })
		}
	}
}

// signed is a control-plane request that Sign signed, as a server reads it.
func signed(t testing.TB, key Key, service, target, body string, when time.Time, alter func(*http.Request)) *http.Request {
	t.Helper()
	r, err := http.NewRequest("POST", "http://127.0.0.1:8080"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "SageMaker.ListModels")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	Sign(r, key, "us-east-1", service, PayloadHash([]byte(body)), when)
	if alter != nil {
		alter(r)
	}
	var w bytes.Buffer
	if err := r.Write(&w); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&w))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRefusals(t *testing.T) {
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if value == "" {
				r.Header.Del(name)
			} else {
				r.Header.Set(name, value)
			}
		}
	}
	sub := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				t.Fatalf("%q has no %q", h, old)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, new, 1))
		}
	}
	stranger := user
	stranger.ID = "AKIAUNKNOWN234567ABC"
	forger := user
	forger.Secret = "guess"
	bare := session
	bare.SessionToken = ""
	tests := []struct {
		name   string
		key    Key
		when   time.Time
		region string
		alter  func(*http.Request)
		kind   Kind
		text   string // in the JSON dialect, a part of it
	}{
		{"nothing is signed", user, now, "", set("Authorization", ""), Missing, "Missing Authentication Token"},
		{"a bearer token is no signature", user, now, "", set("Authorization", "Bearer x"), Missing, "Missing Authentication Token"},
		{"an algorithm that we do not know", user, now, "", sub("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), Incomplete, "'AWS4-ECDSA-P256-SHA256'"},
		{"no signature part", user, now, "", sub("Signature=", "Sig="), Incomplete, "requires 'Signature' parameter"},
		{"a part without an equal sign", user, now, "", sub("Signature=", "Signature"), Incomplete, "missing equal-sign"},
		{"a scope of four parts", user, now, "", sub("/us-east-1/", "/"), Incomplete, "exactly 5 slash-delimited elements"},
		{"a scope with another end", user, now, "", sub("aws4_request", "aws5_request"), BadScope, "'aws4_request', not 'aws5_request'"},
		{"a scope of another day", user, now, "", sub("/20261120/", "/20261119/"), BadScope, "'20261119' != '20261120', from '20261120T210000Z'"},
		{"no date", user, now, "", set("X-Amz-Date", ""), Incomplete, "existence of either a 'X-Amz-Date' or a 'Date' header"},
		{"a date that is none", user, now, "", set("X-Amz-Date", "tomorrow"), Incomplete, "ISO-8601 'basic format'. Got 'tomorrow'"},
		{"a signature of half an hour ago", user, now.Add(-30 * time.Minute), "", nil, Skewed,
			"Signature expired: 20261120T203000Z is now earlier than 20261120T204500Z (20261120T210000Z - 15 min.)"},
		{"a signature of the future", user, now.Add(30 * time.Minute), "", nil, Skewed,
			"Signature not yet current: 20261120T213000Z is still later than 20261120T211500Z (20261120T210000Z + 15 min.)"},
		{"a region that is not served", user, now, "eu-west-1", nil, BadScope, "valid region, not 'us-east-1'"},
		{"a key that nobody has", stranger, now, "", nil, UnknownKey, "The security token included in the request is invalid."},
		{"a wrong secret", forger, now, "", nil, Mismatch, "The request signature we calculated does not match"},
		{"a session without its token", bare, now, "", nil, BadToken, "The security token included in the request is invalid."},
		{"a user with a token", user, now, "", set("X-Amz-Security-Token", "x"), BadToken, "The security token included in the request is invalid."},
		{"another session's token", session, now, "", set("X-Amz-Security-Token", "x"), BadToken, "The security token included in the request is invalid."},
		{"an operation that was not signed", user, now, "", sub(";x-amz-target", ""), UnsignedHeader, "'x-amz-target' must be a 'SignedHeader'"},
		{"a host that was not signed", user, now, "", sub("host;", ""), Mismatch, "'Host' or ':authority' must be a 'SignedHeader'"},
		{"a payload hash of another body", user, now, "", set("X-Amz-Content-Sha256", PayloadHash([]byte("other"))), BodyMismatch, "does not match"},
		{"a payload hash that is none", user, now, "", set("X-Amz-Content-Sha256", "abc"), Incomplete, "valid sha256 value"},
		{"two ways of signing at once", user, now, "", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=1" }, Incomplete, "Only one auth mechanism allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := at(now)
			v.Region = tt.region
			_, _, err := v.Verify(signed(t, tt.key, "sagemaker", "/", "{}", tt.when, tt.alter), []byte("{}"))
			f, ok := errors.AsType[*Refusal](err)
			if !ok || f.Kind != tt.kind || !strings.Contains(f.Error(), tt.text) {
				t.Errorf("got %v (%+v), want kind %d with %q", err, f, tt.kind, tt.text)
			}
		})
	}

	t.Run("a session that has ended", func(t *testing.T) {
		late := session.Expires
		_, _, err := at(late).Verify(signed(t, session, "sagemaker", "/", "{}", late, nil), []byte("{}"))
		if f, ok := errors.AsType[*Refusal](err); !ok || f.Kind != ExpiredToken {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a key store that fails is no refusal", func(t *testing.T) {
		v := at(now)
		v.Keys = broken{}
		_, _, err := v.Verify(signed(t, user, "sagemaker", "/", "{}", now, nil), []byte("{}"))
		if _, ok := errors.AsType[*Refusal](err); ok || err == nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("STS and IAM sign for us-east-1 in any region", func(t *testing.T) {
		v := at(now)
		v.Region = "eu-west-1"
		if _, _, err := v.Verify(signed(t, user, "sts", "/", "{}", now, nil), []byte("{}")); err != nil {
			t.Error(err)
		}
	})
	t.Run("a secret that was replaced is known at once", func(t *testing.T) {
		keys := keyring{user.ID: user}
		v := New(Options{Keys: keys, Now: func() time.Time { return now }})
		r := signed(t, user, "sagemaker", "/", "{}", now, nil)
		if _, _, err := v.Verify(r, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		keys[user.ID] = forger
		if _, _, err := v.Verify(r, []byte("{}")); err == nil {
			t.Error("the old secret still signs")
		}
		if _, _, err := v.Verify(signed(t, forger, "sagemaker", "/", "{}", now, nil), []byte("{}")); err != nil {
			t.Error(err)
		}
	})
}

type broken struct{}

func (broken) Lookup(context.Context, string) (Key, bool, error) {
	return Key{}, false, errors.New("disk on fire")
}

func TestPresign(t *testing.T) {
	base, _ := url.Parse("http://127.0.0.1:8080/b/k%20x?list-type=2&a=%2B+1")
	try := func(t *testing.T, key Key, service string, signed, seen time.Time, alter func(*url.URL)) *Refusal {
		t.Helper()
		u := Presign("GET", base, key, "us-east-1", service, time.Hour, signed)
		if alter != nil {
			alter(u)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = at(seen).Verify(r, nil)
		f, _ := errors.AsType[*Refusal](err)
		return f
	}
	replace := func(old, new string) func(*url.URL) {
		return func(u *url.URL) { u.RawQuery = strings.Replace(u.RawQuery, old, new, 1) }
	}
	tests := []struct {
		name  string
		key   Key
		seen  time.Time
		alter func(*url.URL)
		kind  Kind // 0: accepted
	}{
		{"holds for its hour", user, now.Add(time.Hour), nil, 0},
		{"holds for a session", session, now, nil, 0},
		{"ends after its hour", user, now.Add(time.Hour + time.Second), nil, URLExpired},
		{"is not held before its time", user, now.Add(-time.Hour), nil, Skewed},
		{"cannot be made to live longer", user, now, replace("Expires=3600", "Expires=7200"), Mismatch},
		{"lives a week at most", user, now, replace("Expires=3600", "Expires=604801"), Incomplete},
		{"lives no negative time", user, now, replace("Expires=3600", "Expires=-1"), Incomplete},
		{"has a time that is a number", user, now, replace("Expires=3600", "Expires=soon"), Incomplete},
		{"needs its signed headers", user, now, replace("X-Amz-SignedHeaders=host", ""), Incomplete},
		{"needs its algorithm", user, now, replace("X-Amz-Algorithm=AWS4-HMAC-SHA256", ""), Incomplete},
		{"needs its token", session, now, replace("X-Amz-Security-Token", "Other"), BadToken},
		{"is for its path", user, now, func(u *url.URL) { u.Path, u.RawPath = "/b/other", "" }, Mismatch},
	}
	for _, tt := range tests {
		for _, service := range []string{"s3", "sts"} {
			t.Run(service+" "+tt.name, func(t *testing.T) {
				f := try(t, tt.key, service, now, tt.seen, tt.alter)
				if tt.kind == 0 && f != nil || tt.kind != 0 && (f == nil || f.Kind != tt.kind) {
					t.Errorf("got %+v, want kind %d", f, tt.kind)
				}
			})
		}
	}
}

func TestVersion2URLEnds(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Name != "a version 2 presigned object by a session" {
			continue
		}
		_, _, err := at(now.Add(time.Hour+time.Second)).Verify(v.request(t), nil)
		if f, ok := errors.AsType[*Refusal](err); !ok || f.Kind != ExpiredToken && f.Kind != URLExpired {
			t.Errorf("got %v", err)
		}
		v.Target = strings.Replace(v.Target, "Expires=17", "Expires=27", 1)
		_, _, err = at(now).Verify(v.request(t), nil)
		if f, ok := errors.AsType[*Refusal](err); !ok || f.Kind != Mismatch {
			t.Errorf("a longer life: got %v", err)
		}
		return
	}
	t.Fatal("no such vector")
}

func TestFaultWording(t *testing.T) {
	tests := []struct {
		kind    Kind
		dialect Dialect
		code    string
		status  int
	}{
		{Missing, JSON, "MissingAuthenticationTokenException", 400},
		{Missing, REST, "MissingAuthenticationTokenException", 403},
		{Missing, Query, "MissingAuthenticationToken", 403},
		{Missing, S3, "AccessDenied", 403},
		{UnknownKey, JSON, "UnrecognizedClientException", 400},
		{UnknownKey, REST, "UnrecognizedClientException", 403},
		{UnknownKey, Query, "InvalidClientTokenId", 403},
		{UnknownKey, S3, "InvalidAccessKeyId", 403},
		{Mismatch, JSON, "InvalidSignatureException", 400},
		{Mismatch, Query, "SignatureDoesNotMatch", 403},
		{Skewed, S3, "RequestTimeTooSkewed", 403},
		{Incomplete, Query, "IncompleteSignature", 400},
		{BodyTooLarge, JSON, "RequestEntityTooLargeException", 413},
	}
	for _, tt := range tests {
		f := refuse(tt.kind, "d").Fault(tt.dialect)
		if f.Code != tt.code || f.Status != tt.status || f.Message == "" {
			t.Errorf("kind %d in dialect %d: %+v, want %s %d", tt.kind, tt.dialect, f, tt.code, tt.status)
		}
	}
	for k := Missing; k <= BodyTooLarge; k++ {
		for _, d := range []Dialect{JSON, REST, Query, S3} {
			if f := refuse(k, "100% detail").Fault(d); f.Code == "" || f.Status < 400 || f.Message == "" || strings.Contains(f.Message, "%!") {
				t.Errorf("kind %d in dialect %d: %+v", k, d, f)
			}
		}
	}
}

func TestScopeOfWhatIsNotSigned(t *testing.T) {
	for _, h := range []string{"", "Bearer x", "AWS4-HMAC-SHA256 Signature=1", "AWS4-HMAC-SHA256 Credential=a/b/c"} {
		r, _ := http.NewRequest("GET", "http://h/?a=1", nil)
		r.Header.Set("Authorization", h)
		if s, ok := ScopeOf(r); ok {
			t.Errorf("%q has the scope %+v", h, s)
		}
	}
}

func TestNewKeys(t *testing.T) {
	id, secret, token := NewKeyID(LongLived), NewSecret(), NewSessionToken()
	if len(id) != 20 || !strings.HasPrefix(id, "AKIA") || strings.Trim(id[4:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("key ID %q", id)
	}
	if len(secret) != 40 {
		t.Errorf("secret of %d characters", len(secret))
	}
	if id == NewKeyID(LongLived) || secret == NewSecret() || token == NewSessionToken() {
		t.Error("two keys are alike")
	}
}
