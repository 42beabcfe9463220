// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"net/http"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Kind is why a signature was refused.
type Kind uint8

// The reasons for a refusal.
const (
	Missing        Kind = iota + 1 // unsigned
	Incomplete                     // the signature's own syntax
	BadScope                       // scope of another day, region or terminator
	Mismatch                       // the signature is not the one that the key gives
	Skewed                         // signed too long ago, or in the future
	URLExpired                     // a presigned URL past its time
	UnknownKey                     // no such access key
	BadToken                       // session token absent, unasked or another's
	ExpiredToken                   // the session has ended
	UnsignedHeader                 // an x-amz- header is not covered by the signature
	BodyMismatch                   // the body is not the one that was signed
	BodyMalformed                  // aws-chunked framing is broken
	BadChecksum                    // a trailing checksum is not that of the body
	BodyTooLarge                   // over the limit of what is read before verifying
)

// Dialect is how a service words its errors. One refusal has four codes and
// two statuses, depending on the protocol that answers it.
type Dialect uint8

// The dialects. JSON is awsJson 1.0 and 1.1 and rpcV2Cbor; REST is rest-json;
// Query is query and EC2; S3 is S3's rest-xml.
const (
	JSON Dialect = iota
	REST
	Query
	S3
)

// Refusal is a request whose signature was not accepted. It is not yet a
// fault.Fault: Fault makes one in the words of the protocol at hand.
type Refusal struct {
	Kind      Kind
	Detail    string // AWS's words where the kind has more than one text
	AccessKey string // of the request, when it was readable
	Canonical string // of a Mismatch: the canonical request as seen here, for the log
}

func refuse(k Kind, detail string) *Refusal { return &Refusal{Kind: k, Detail: detail} }

// Error tells the reason in AWS's words.
func (f *Refusal) Error() string {
	d := f.Fault(JSON)
	return "refuse signature: " + d.Code + ": " + d.Message
}

const (
	mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	tokenText    = "The security token included in the request is invalid."
	expiredText  = "The security token included in the request is expired"
)

// wording is one kind in the three vocabularies: the code of JSON and REST
// services, of query services, and of S3 with its status and text.
type wording struct {
	json, query, s3 string
	queryStatus     int
	s3Status        int
	text, s3Text    string // "" is Refusal.Detail
}

// Codes and texts were read from what clients report of the real services.
// awsJson services answer all of these with 400 (SageMaker's control plane
// among them), rest-json ones (InvokeEndpoint, Lambda) with 403; query
// services with 403 but for syntax; S3 has names of its own.
var wordings = [...]wording{
	Missing: {json: "MissingAuthenticationTokenException", query: "MissingAuthenticationToken", s3: "AccessDenied",
		queryStatus: 403, s3Status: 403, text: "Missing Authentication Token", s3Text: "Access Denied"},
	Incomplete: {json: "IncompleteSignatureException", query: "IncompleteSignature", s3: "AuthorizationHeaderMalformed",
		queryStatus: 400, s3Status: 400},
	BadScope: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "AuthorizationHeaderMalformed",
		queryStatus: 403, s3Status: 400},
	Mismatch: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "SignatureDoesNotMatch",
		queryStatus: 403, s3Status: 403, text: mismatchText,
		s3Text: "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	Skewed: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "RequestTimeTooSkewed",
		queryStatus: 403, s3Status: 403, s3Text: "The difference between the request time and the current time is too large."},
	URLExpired: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "AccessDenied",
		queryStatus: 403, s3Status: 403, s3Text: "Request has expired"},
	UnknownKey: {json: "UnrecognizedClientException", query: "InvalidClientTokenId", s3: "InvalidAccessKeyId",
		queryStatus: 403, s3Status: 403, text: tokenText,
		s3Text: "The AWS Access Key Id you provided does not exist in our records."},
	BadToken: {json: "UnrecognizedClientException", query: "InvalidClientTokenId", s3: "InvalidToken",
		queryStatus: 403, s3Status: 400, text: tokenText, s3Text: "The provided token is malformed or otherwise invalid."},
	ExpiredToken: {json: "ExpiredTokenException", query: "ExpiredToken", s3: "ExpiredToken",
		queryStatus: 403, s3Status: 400, text: expiredText, s3Text: "The provided token has expired."},
	UnsignedHeader: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "AccessDenied",
		queryStatus: 403, s3Status: 403, s3Text: "There were headers present in the request which were not signed"},
	BodyMismatch: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "XAmzContentSHA256Mismatch",
		queryStatus: 403, s3Status: 400, text: mismatchText,
		s3Text: "The provided 'x-amz-content-sha256' header does not match what was computed."},
	BodyMalformed: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "IncompleteBody",
		queryStatus: 403, s3Status: 400},
	BadChecksum: {json: "InvalidSignatureException", query: "SignatureDoesNotMatch", s3: "BadDigest",
		queryStatus: 403, s3Status: 400},
	BodyTooLarge: {json: "RequestEntityTooLargeException", query: "RequestEntityTooLarge", s3: "EntityTooLarge",
		queryStatus: 413, s3Status: 400, s3Text: "Your proposed upload exceeds the maximum allowed size"},
}

// Fault words the refusal for a client of the protocol d. For REST the code
// also stands in the header x-amzn-ErrorType, which the gateway writes for
// every fault of that protocol.
func (f *Refusal) Fault(d Dialect) *fault.Fault {
	w := wordings[f.Kind]
	text := w.text
	if text == "" || f.Kind == Mismatch && f.Detail != "" {
		text = f.Detail
	}
	status := http.StatusBadRequest
	if f.Kind == BodyTooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	switch d {
	case Query:
		if f.Kind == Missing {
			text = "Request is missing Authentication Token"
		}
		return fault.New(w.query, w.queryStatus, "%s", text)
	case S3:
		if w.s3Text != "" {
			text = w.s3Text
		}
		return fault.New(w.s3, w.s3Status, "%s", text)
	case REST:
		if status == http.StatusBadRequest {
			status = http.StatusForbidden
		}
	}
	return fault.New(w.json, status, "%s", text)
}
