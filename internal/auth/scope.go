// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// stampLayout is ISO 8601's basic form, the only one that signatures use.
	stampLayout = "20060102T150405Z"
)

// Scope is a credential scope: which key signed, for which day, region and
// service.
type Scope struct {
	AccessKey string // AKIA…, ASIA…
	Date      string // "20261120"
	Region    string // "us-east-1"
	Service   string // signing name: "sagemaker", "s3", "sts"
}

// ScopeOf reads the credential scope that r claims, from its Authorization
// header or its X-Amz-Credential parameter, and verifies nothing. It is for
// routing; false when the request is unsigned or its scope is not readable.
// A URL presigned with version 2, which has no scope, is said to be of S3.
func ScopeOf(r *http.Request) (Scope, bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		i := strings.Index(h, "Credential=")
		if i < 0 || !strings.HasPrefix(h, algorithm) {
			return Scope{}, false
		}
		text := h[i+len("Credential="):]
		if end := strings.IndexAny(text, ", "); end >= 0 {
			text = text[:end]
		}
		return parseScope(text)
	}
	if r.URL.RawQuery == "" {
		return Scope{}, false
	}
	if text, ok := queryValue(r.URL.RawQuery, "X-Amz-Credential"); ok {
		return parseScope(text)
	}
	if id, ok := queryValue(r.URL.RawQuery, "AWSAccessKeyId"); ok {
		return Scope{AccessKey: id, Service: "s3"}, true
	}
	return Scope{}, false
}

// clone is the scope in memory of its own.
func (s Scope) clone() Scope {
	return Scope{strings.Clone(s.AccessKey), strings.Clone(s.Date), strings.Clone(s.Region), strings.Clone(s.Service)}
}

// parseScope reads key/date/region/service/aws4_request. The key may not hold
// a slash; the other four never do.
func parseScope(text string) (Scope, bool) {
	var s Scope
	var rest, end string
	var ok [4]bool
	s.AccessKey, rest, ok[0] = strings.Cut(text, "/")
	s.Date, rest, ok[1] = strings.Cut(rest, "/")
	s.Region, rest, ok[2] = strings.Cut(rest, "/")
	s.Service, end, ok[3] = strings.Cut(rest, "/")
	good := ok[0] && ok[1] && ok[2] && ok[3] && s.AccessKey != "" && s.Region != "" && s.Service != ""
	return s, good && end == terminator
}

// credential is what a request says about its own signature.
type credential struct {
	Scope
	signedHeaders string // as sent: lower case, sorted, separated by ";"
	signature     string // 64 hex digits
	token         string // session token, "" when none was sent
	stamp         string // "20261120T210000Z"
	time          time.Time
	presigned     bool
	expires       time.Duration // of a presigned URL
	v2            *credentialV2 // of a URL presigned by version 2, else nil
}

// parseAuthorization reads
//
//	AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…
//
// in any order of its three parts, with or without spaces after the commas:
// clients differ. The error is a *Refusal in the service's own words.
func parseAuthorization(h string) (credential, error) {
	name, rest, _ := strings.Cut(h, " ")
	if name != algorithm {
		if strings.HasPrefix(name, "AWS4-") {
			return credential{}, refuse(Incomplete, "Unsupported AWS 'algorithm': '"+name+"'.")
		}
		// "Bearer …", "Basic …", "AWS id:sig": signed by nothing that we know.
		return credential{}, refuse(Missing, "")
	}
	var c credential
	var scope string
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return credential{}, refuse(Incomplete, "'"+part+"' not a valid key=value pair (missing equal-sign) in Authorization header: '"+h+"'.")
		}
		switch key {
		case "Credential":
			scope = value
		case "SignedHeaders":
			c.signedHeaders = value
		case "Signature":
			c.signature = value
		}
	}
	if scope == "" || c.signedHeaders == "" || c.signature == "" {
		var b strings.Builder
		for _, need := range []struct{ name, value string }{
			{"Credential", scope}, {"Signature", c.signature}, {"SignedHeaders", c.signedHeaders},
		} {
			if need.value == "" {
				b.WriteString("Authorization header requires '" + need.name + "' parameter. ")
			}
		}
		b.WriteString("Authorization=" + algorithm)
		return credential{}, refuse(Incomplete, b.String())
	}
	return c, c.setScope(scope)
}

// setScope fills in the scope; it words what is wrong with one as AWS does.
func (c *credential) setScope(text string) error {
	s, ok := parseScope(text)
	if ok {
		c.Scope = s
		return nil
	}
	switch p := strings.Split(text, "/"); {
	case len(p) != 5:
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+text+"'.")
	case p[4] != terminator:
		return refuse(BadScope, "Credential should be scoped with correct terminator: '"+terminator+"', not '"+p[4]+"'.")
	default:
		return refuse(BadScope, "Credential should be scoped to a valid key, region and service, not '"+text+"'.")
	}
}

// setTime reads the request's own time, which must lie in the scope's day.
func (c *credential) setTime(stamp string) error {
	t, err := time.Parse(stampLayout, stamp)
	if err != nil {
		// A Date header is RFC 1123; the string to sign has it in basic form.
		if t, err = http.ParseTime(stamp); err != nil {
			t, err = time.Parse(time.RFC1123Z, stamp) // botocore's has "-0000" for GMT
		}
		if err != nil {
			return refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got '"+stamp+"'. See http://en.wikipedia.org/wiki/ISO_8601")
		}
		stamp = t.UTC().Format(stampLayout)
	}
	c.time, c.stamp = t, stamp
	if c.Date != stamp[:8] {
		return refuse(BadScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			c.Date+"' != '"+stamp[:8]+"', from '"+stamp+"'.")
	}
	return nil
}

// fromHeader reads a header-signed request.
func fromHeader(r *http.Request, h string) (credential, error) {
	c, err := parseAuthorization(h)
	if err != nil {
		return c, err
	}
	stamp := r.Header.Get("X-Amz-Date")
	if stamp == "" {
		stamp = r.Header.Get("Date")
	}
	if stamp == "" {
		return c, refuse(Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization="+algorithm)
	}
	c.token = r.Header.Get("X-Amz-Security-Token")
	return c, c.setTime(stamp)
}

// maxPresign is how long a presigned URL may live at most.
const maxPresign = 7 * 24 * time.Hour

// fromQuery reads a presigned URL.
func fromQuery(r *http.Request) (credential, error) {
	q := r.URL.RawQuery
	get := func(key string) string { v, _ := queryValue(q, key); return v }
	c := credential{
		presigned:     true,
		signedHeaders: get("X-Amz-SignedHeaders"),
		signature:     get("X-Amz-Signature"),
		token:         get("X-Amz-Security-Token"),
	}
	if alg := get("X-Amz-Algorithm"); alg != algorithm {
		return c, refuse(Incomplete, "Unsupported AWS 'algorithm': '"+alg+"'.")
	}
	scope, stamp, expires := get("X-Amz-Credential"), get("X-Amz-Date"), get("X-Amz-Expires")
	for _, need := range []struct{ name, value string }{
		{"X-Amz-Credential", scope}, {"X-Amz-Signature", c.signature},
		{"X-Amz-SignedHeaders", c.signedHeaders}, {"X-Amz-Date", stamp},
	} {
		if need.value == "" {
			return c, refuse(Incomplete, "AWS query-string parameters must include '"+need.name+"'. Re-examine the query-string parameters.")
		}
	}
	if err := c.setScope(scope); err != nil {
		return c, err
	}
	if err := c.setTime(stamp); err != nil {
		return c, err
	}
	// STS URLs, such as those of the EKS authenticator, may come without it.
	c.expires = 15 * time.Minute
	if expires != "" || signsS3(c.Service) {
		seconds, err := strconv.ParseInt(expires, 10, 64)
		switch {
		case err != nil:
			return c, refuse(Incomplete, "X-Amz-Expires should be a number")
		case seconds < 0:
			return c, refuse(Incomplete, "X-Amz-Expires must be non-negative")
		case seconds > int64(maxPresign/time.Second):
			return c, refuse(Incomplete, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
		}
		c.expires = time.Duration(seconds) * time.Second
	}
	return c, nil
}

// queryValue is the first value of key in a raw query, decoded. It makes no
// map of the others, as most requests are asked for keys that they lack.
func queryValue(raw, key string) (string, bool) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		k, v, _ := strings.Cut(pair, "=")
		if k != key {
			continue
		}
		text, err := url.QueryUnescape(v)
		return text, err == nil
	}
	return "", false
}

// signsS3 reports whether a service signs by S3's rules: the path encoded
// once and as it stands, the payload hash in a header.
func signsS3(service string) bool {
	return service == "s3" || service == "s3express" || service == "s3-outposts" || service == "s3-object-lambda"
}
