// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"

	vauth "github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// maxFormHead is how much may come before the file of a form. S3 takes 20 KB
// of fields.
const maxFormHead = 64 << 10

// formFile finds the head of the part that holds the file, the last that
// counts.
var formFile = regexp.MustCompile(`(?i)\r\nContent-Disposition:[ \t]*form-data;[^\r\n]*\bname="?file"?[;\r]`)

// formFields are the members of a form that sign it.
const (
	credentialField = "x-amz-credential"
	policyField     = "policy"
	signatureField  = "x-amz-signature"
	tokenField      = "x-amz-security-token"
)

// formField is one member of a form before its file.
type formField struct{ name, value string }

// isForm tells an upload by a form, which carries its signature inside.
func isForm(r *http.Request, p place) bool {
	return r.Method == http.MethodPost && p.bucket != "" && p.key == "" && r.Header.Get("Authorization") == "" &&
		strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/form-data")
}

// acceptForm gives r, whose form may be signed for any region, with one that is
// signed for this one: policy and signature are made anew with the same key,
// and the policy says the same. A form that is not signed, not readable, or
// signed for here stays as it is; the S3 server has the word on it.
func (s *Store) acceptForm(r *http.Request) (*http.Request, error) {
	body := bufio.NewReaderSize(r.Body, maxFormHead)
	out := r.Clone(r.Context())
	out.Body = readCloser{body, r.Body}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return out, nil
	}
	head, err := body.Peek(maxFormHead)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return out, nil // the server meets the same error
	}
	fields, size := splitForm(head, params["boundary"])
	if fields == nil {
		return out, nil
	}
	if changed, err := s.signForm(fields); err != nil || !changed {
		return out, err
	}
	var anew bytes.Buffer
	w := multipart.NewWriter(&anew)
	if w.SetBoundary(params["boundary"]) != nil {
		return out, nil
	}
	for _, f := range fields {
		if err := w.WriteField(f.name, f.value); err != nil {
			return nil, err // never: a Buffer takes all
		}
	}
	anew.WriteString("\r\n")
	if _, err := body.Discard(size); err != nil {
		return nil, err
	}
	if out.ContentLength >= 0 {
		out.ContentLength += int64(anew.Len() - size)
	}
	out.Body = readCloser{io.MultiReader(&anew, body), r.Body}
	return out, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// splitForm reads the fields of a form before its file, and tells where the
// file's part, with its boundary, begins. There are none if it cannot.
func splitForm(head []byte, boundary string) ([]formField, int) {
	at := formFile.FindIndex(head)
	if at == nil {
		return nil, 0
	}
	begin := bytes.LastIndex(head[:at[0]], []byte("--"+boundary))
	if begin < 0 {
		return nil, 0
	}
	var fields []formField
	text := append(bytes.Clone(head[:begin]), "--"+boundary+"--\r\n"...)
	for parts := multipart.NewReader(bytes.NewReader(text), boundary); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return fields, begin
		}
		if err != nil {
			return nil, 0
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, 0
		}
		fields = append(fields, formField{part.FormName(), string(value)})
	}
}

// signForm checks the signature in the fields and puts one for this region in
// its place; false when nothing was to be done.
//
// Source: Amazon S3 API Reference, "Authenticating requests in browser-based
// uploads using POST (signature version 4)".
func (s *Store) signForm(fields []formField) (bool, error) {
	at := map[string]*string{}
	for i := range fields {
		at[strings.ToLower(fields[i].name)] = &fields[i].value
	}
	credential, policy, signature := at[credentialField], at[policyField], at[signatureField]
	if credential == nil || policy == nil || signature == nil {
		return false, nil
	}
	part := strings.Split(*credential, "/")
	if len(part) != 5 || part[2] == s.opt.Region || part[3] != "s3" || part[4] != "aws4_request" {
		return false, nil
	}
	key, _, err := s.users.DeriveSigningKey(part[0], value(at[tokenField]), part[1], part[2], part[3])
	switch {
	case errors.Is(err, vauth.ErrNoSuchUser):
		return false, s3err.GetInvalidAccessKeyIdErr(part[0])
	case errors.Is(err, vauth.ErrInvalidSessionToken):
		return false, s3err.GetAPIError(s3err.ErrInvalidToken)
	case err != nil:
		return false, err
	}
	if !hmac.Equal([]byte(signPolicy(key, *policy)), []byte(*signature)) {
		return false, s3err.GetSignatureDoesNotMatchErr(part[0], *policy, *signature, hexBytes(*policy), "", "")
	}
	text, err := base64.StdEncoding.DecodeString(*policy)
	if err != nil {
		return false, nil
	}
	part[2] = s.opt.Region
	here := strings.Join(part, "/")
	slashed := func(s string) string { return strings.ReplaceAll(s, "/", `\/`) } // as some write it in JSON
	said := strings.NewReplacer(*credential, here, slashed(*credential), slashed(here)).Replace(string(text))
	if key, _, err = s.users.DeriveSigningKey(part[0], value(at[tokenField]), part[1], part[2], part[3]); err != nil {
		return false, err
	}
	*credential = here
	*policy = base64.StdEncoding.EncodeToString([]byte(said))
	*signature = signPolicy(key, *policy)
	return true, nil
}

// signPolicy is the signature of a policy, which is in base64.
func signPolicy(key []byte, policy string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(policy))
	return hex.EncodeToString(mac.Sum(nil))
}
