// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/versity/versitygw/s3err"
)

func TestSignForm(t *testing.T) {
	s := &Store{opt: Options{Region: "us-east-1"}, users: &users{keys: keyring{userKey.ID: userKey, sessionKey.ID: sessionKey}, root: rootKey}}
	sign := func(credential, policy string) []formField {
		part := strings.Split(credential, "/")
		key, _, err := s.users.DeriveSigningKey(part[0], "", part[1], part[2], part[3])
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString([]byte(policy))
		return []formField{{"key", "k"}, {"X-Amz-Credential", credential}, {"Policy", text}, {"X-Amz-Signature", signPolicy(key, text)}}
	}
	const there, here = "AKIAUSER000000000001/20261120/eu-central-1/s3/aws4_request", "AKIAUSER000000000001/20261120/us-east-1/s3/aws4_request"
	for _, c := range []struct{ name, policy, want string }{
		{"a policy", `{"conditions":[{"x-amz-credential":"` + there + `"},{"key":"k"}]}`, `{"conditions":[{"x-amz-credential":"` + here + `"},{"key":"k"}]}`},
		{"slashes escaped", `["eq","$x-amz-credential","` + strings.ReplaceAll(there, "/", `\/`) + `"]`,
			`["eq","$x-amz-credential","` + strings.ReplaceAll(here, "/", `\/`) + `"]`},
	} {
		fields := sign(there, c.policy)
		if changed, err := s.signForm(fields); !changed || err != nil {
			t.Errorf("%s: %v, %v", c.name, changed, err)
			continue
		}
		want := sign(here, c.want)
		for i := range want {
			if fields[i] != want[i] {
				t.Errorf("%s: %v, want %v", c.name, fields[i], want[i])
			}
		}
	}
	if changed, err := s.signForm(sign(here, "{}")); changed || err != nil {
		t.Errorf("a form for here: %v, %v", changed, err)
	}
	if changed, err := s.signForm([]formField{{"key", "k"}}); changed || err != nil {
		t.Errorf("a form that is not signed: %v, %v", changed, err)
	}
	for _, c := range []struct {
		name, id, token, code string
	}{
		{"nobody's", "AKIANOBODY", "", "InvalidAccessKeyId"},
		{"without its token", sessionKey.ID, "", "InvalidToken"},
		{"of another key", sessionKey.ID, sessionKey.SessionToken, "SignatureDoesNotMatch"},
	} {
		fields := append(sign(there, "{}"), formField{"x-amz-security-token", c.token})
		fields[1].value = strings.Replace(there, userKey.ID, c.id, 1)
		_, err := s.signForm(fields)
		if e, ok := errors.AsType[s3err.S3Error](err); !ok || !strings.Contains(string(e.XMLBody("", "")), "<Code>"+c.code+"</Code>") {
			t.Errorf("a form %s: %v, want %s", c.name, err, c.code)
		}
	}
}

func FuzzSplitForm(f *testing.F) {
	var whole bytes.Buffer
	w := multipart.NewWriter(&whole)
	w.SetBoundary("b")
	w.WriteField("key", "k")
	w.WriteField("policy", "--b\r\n")
	w.CreateFormFile("file", "f.txt")
	w.Close()
	f.Add(whole.Bytes())
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=file\r\n\r\n"))
	f.Add([]byte("--b--"))
	f.Fuzz(func(t *testing.T, head []byte) {
		fields, size := splitForm(head, "b")
		if fields == nil {
			return
		}
		if size > len(head) || !bytes.HasPrefix(head[size:], []byte("--b")) {
			t.Fatalf("%q: the file begins at %d", head, size)
		}
		if part := formFile.FindIndex(head); part == nil || part[0] < size {
			t.Fatalf("%q: the file's part begins at %v, before its boundary at %d", head, part, size)
		}
	})
}
