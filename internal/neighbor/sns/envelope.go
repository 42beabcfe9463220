// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

// The kinds of messages that endpoints are sent.
const (
	kindNotification = "Notification"
	kindConfirmation = "SubscriptionConfirmation"
	kindFarewell     = "UnsubscribeConfirmation"
)

// notice is a message in the outbox, JSON.
type notice struct {
	Kind       string
	ID         string               // MessageId
	Time       string               // when it was published
	Subject    string               `json:",omitempty"`
	Message    string               //
	Attributes map[string]attribute `json:",omitempty"`
	Group      string               `json:",omitempty"` // MessageGroupId, which queues take over
	Token      string               `json:",omitempty"` // of confirmations
}

// stamp is a time as messages have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// envelope is the JSON that subscribers read, in the service's order.
type envelope struct {
	Type              string
	MessageID         string `json:"MessageId"`
	Token             string `json:",omitempty"`
	TopicArn          string
	Subject           string `json:",omitempty"`
	Message           string
	SubscribeURL      string `json:",omitempty"`
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string
	UnsubscribeURL    string              `json:",omitempty"`
	MessageAttributes map[string]enclosed `json:",omitempty"`
}

// enclosed is a message attribute in an envelope; bytes are base 64.
type enclosed struct{ Type, Value string }

// enclose makes the envelope of n for a subscription.
func (s *Service) enclose(ctx context.Context, u *subscription, n *notice) ([]byte, error) {
	e := envelope{Type: n.Kind, MessageID: n.ID, Token: n.Token, TopicArn: u.topic.arn(), Subject: n.Subject, Message: n.Message, Timestamp: n.Time,
		SignatureVersion: "1", SigningCertURL: s.base() + CertificatePath}
	if v := u.topic.attributes["SignatureVersion"]; v != "" {
		e.SignatureVersion = v
	}
	if n.Kind == kindNotification {
		e.UnsubscribeURL = s.base() + "/?" + url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {u.arn()}}.Encode()
	} else {
		e.SubscribeURL = s.base() + "/?" + url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {u.topic.arn()}, "Token": {n.Token}}.Encode()
	}
	for name, a := range n.Attributes {
		if e.MessageAttributes == nil {
			e.MessageAttributes = map[string]enclosed{}
		}
		v := a.StringValue
		if strings.HasPrefix(a.DataType, "Binary") {
			v = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		e.MessageAttributes[name] = enclosed{a.DataType, v}
	}
	g, err := s.signerOf(ctx)
	if err != nil {
		return nil, err
	}
	if e.Signature, err = g.sign(e.canonical(), e.SignatureVersion); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	j.SetIndent("", "  ")
	err = j.Encode(e)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// canonical is what is signed: names and values in lines, in the order of
// names.
//
// Source: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS
// messages".
func (e *envelope) canonical() string {
	parts := []string{"Message", e.Message, "MessageId", e.MessageID}
	if e.Type == kindNotification {
		if e.Subject != "" {
			parts = append(parts, "Subject", e.Subject)
		}
		parts = append(parts, "Timestamp", e.Timestamp)
	} else {
		parts = append(parts, "SubscribeURL", e.SubscribeURL, "Timestamp", e.Timestamp, "Token", e.Token)
	}
	return strings.Join(append(parts, "TopicArn", e.TopicArn, "Type", e.Type), "\n") + "\n"
}
