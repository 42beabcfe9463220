// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
)

// maxMessage is how large a message may be with its attributes, and a batch of
// them, in bytes.
const maxMessage = 256 << 10

// attribute is a message attribute.
type attribute = wsns.MessageAttributeValue

// message is what is published, checked.
type message struct {
	subject, text string
	texts         map[string]string // by protocol, of MessageStructure json
	attributes    map[string]attribute
	group         string
}

// textFor is what a protocol is sent.
func (m *message) textFor(protocol string) string {
	if t, ok := m.texts[protocol]; ok {
		return t
	}
	return m.text
}

func (m *message) size() int {
	n := len(m.text)
	for name, v := range m.attributes {
		n += len(name) + len(v.DataType) + len(v.StringValue) + len(v.BinaryValue)
	}
	return n
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeType = regexp.MustCompile(`^((String|Number|Binary)(\.[\x21-\x7e]+)?)$`)
	numberText    = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// newMessage checks what is to be published.
func newMessage(e *wsns.PublishBatchRequestEntry) (message, error) {
	m := message{subject: e.Subject, text: e.Message, attributes: e.MessageAttributes, group: e.MessageGroupId}
	if e.Message == "" {
		return m, invalid("Empty message")
	}
	if !utf8.ValidString(e.Message) {
		return m, invalid("Message Reason: it is not UTF-8")
	}
	if m.size() > maxMessage {
		return m, invalid("Message too long")
	}
	if e.Subject != "" {
		bad := strings.IndexFunc(e.Subject, unicode.IsControl) >= 0
		if bad || utf8.RuneCountInString(e.Subject) > 100 || strings.HasPrefix(e.Subject, " ") {
			return m, invalid("Subject")
		}
	}
	if e.MessageDeduplicationId != "" {
		return m, invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	}
	if len(e.MessageGroupId) > 128 {
		return m, invalid("MessageGroupId Reason: it has more than 128 characters")
	}
	if err := checkAttributes(e.MessageAttributes); err != nil {
		return m, err
	}
	switch e.MessageStructure {
	case "":
	case "json":
		var raw map[string]any
		if err := json.Unmarshal([]byte(e.Message), &raw); err != nil {
			return m, invalid("Message Structure - JSON message body failed to parse")
		}
		m.texts = map[string]string{}
		for k, v := range raw {
			if t, ok := v.(string); ok { // others are for protocols that take documents
				m.texts[k] = t
			}
		}
		var ok bool
		if m.text, ok = m.texts["default"]; !ok {
			return m, invalid("Message Structure - No default entry in JSON message body")
		}
	default:
		return m, invalid("MessageStructure")
	}
	return m, nil
}

func checkAttributes(attributes map[string]attribute) error {
	bad := func(format string, args ...any) error {
		return fault.New("ParameterValueInvalid", http.StatusBadRequest, format, args...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		switch {
		case len(name) > 256 || !attributeName.MatchString(name):
			return bad("The message attribute name '%s' is invalid.", name)
		case len(v.DataType) > 256 || !attributeType.MatchString(v.DataType):
			return bad("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		}
		kind, _, _ := strings.Cut(v.DataType, ".")
		if kind == "Binary" && len(v.BinaryValue) == 0 || kind != "Binary" && v.StringValue == "" {
			return bad("The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, v.DataType)
		}
		if kind == "Number" && !numberText.MatchString(v.StringValue) {
			return bad("Could not cast message attribute '%s' value to number.", name)
		}
		if v.DataType == "String.Array" {
			var l []any
			if err := json.Unmarshal([]byte(v.StringValue), &l); err != nil {
				return bad("The message attribute '%s' of type String.Array is not a JSON array.", name)
			}
		}
	}
	return nil
}

// wants tells whether a subscription's filter lets m pass. What cannot be read
// does not.
func (u *subscription) wants(m *message) bool {
	text := u.attributes["FilterPolicy"]
	if text == "" || text == "{}" {
		return true
	}
	body := u.attributes["FilterPolicyScope"] == "MessageBody"
	f, err := parseFilter(text, body)
	if err != nil {
		return false // it was checked when it was set
	}
	if body {
		v, err := decodeJSON(m.textFor(u.protocol))
		values, ok := v.(map[string]any)
		return err == nil && ok && f.match(values)
	}
	values := map[string]any{}
	for name, a := range m.attributes {
		switch kind, _, _ := strings.Cut(a.DataType, "."); {
		case a.DataType == "String.Array":
			if v, err := decodeJSON(a.StringValue); err == nil {
				values[name] = v
			}
		case kind == "String":
			values[name] = a.StringValue
		case kind == "Number":
			values[name] = json.Number(a.StringValue)
		}
	}
	return f.match(values)
}

// send writes m for each subscription of t that wants it, and answers the
// message's ID.
func (s *Service) send(ctx context.Context, w sqlfile.Writer, t topic, m message) (string, error) {
	found, err := readSubscriptions(ctx, w, "s.topic = ? AND s.confirmed > 0 ORDER BY s.id", t.id)
	if err != nil {
		return "", err
	}
	n := notice{Kind: kindNotification, ID: uuid.NewString(), Time: stamp(s.now()), Subject: m.subject, Attributes: m.attributes, Group: m.group}
	for _, u := range found {
		if !u.wants(&m) {
			continue
		}
		n.Message = m.textFor(u.protocol)
		if err := s.post(w, u.id, n); err != nil {
			return "", err
		}
	}
	return n.ID, nil
}

// publish is API_Publish. The message is in the outbox when it is answered.
func (s *Service) publish(ctx context.Context, in *wsns.PublishInput) (*wsns.PublishOutput, error) {
	target := in.TopicArn
	switch {
	case in.PhoneNumber != "":
		return nil, invalid("PhoneNumber Reason: Sagebrush does not send SMS")
	case target != "" && in.TargetArn != "":
		return nil, invalid("TopicArn or TargetArn Reason: both were given")
	case target == "":
		target = in.TargetArn
	}
	if target == "" {
		return nil, invalid("TopicArn or TargetArn Reason: no value for required parameter")
	}
	m, err := newMessage(&wsns.PublishBatchRequestEntry{Message: in.Message, Subject: in.Subject, MessageStructure: in.MessageStructure,
		MessageAttributes: in.MessageAttributes, MessageDeduplicationId: in.MessageDeduplicationId, MessageGroupId: in.MessageGroupId})
	if err != nil {
		return nil, err
	}
	out := &wsns.PublishOutput{}
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := callersTopic(ctx, w, target)
		if err != nil {
			return err
		}
		out.MessageId, err = s.send(ctx, w, t, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.wake()
	return out, nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// maxBatch is how many entries a batch has at most.
const maxBatch = 10

// publishBatch is API_PublishBatch: each entry is published or refused for
// itself.
func (s *Service) publishBatch(ctx context.Context, in *wsns.PublishBatchInput) (*wsns.PublishBatchOutput, error) {
	bad := func(code, format string, args ...any) error {
		return fault.New(code, http.StatusBadRequest, format, args...)
	}
	entries := in.PublishBatchRequestEntries
	if len(entries) == 0 {
		return nil, bad("EmptyBatchRequest", "The batch request doesn't contain any entries.")
	}
	if len(entries) > maxBatch {
		return nil, bad("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible: %d, the limit is %d.", len(entries), maxBatch)
	}
	seen, total := map[string]bool{}, 0
	for _, e := range entries {
		if !entryID.MatchString(e.Id) {
			return nil, bad("InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification: %s.", strconv.Quote(e.Id))
		}
		if seen[e.Id] {
			return nil, bad("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		}
		seen[e.Id] = true
		total += (&message{text: e.Message, attributes: e.MessageAttributes}).size()
	}
	if total > maxMessage {
		return nil, bad("BatchRequestTooLong", "The length of all the batch messages put together is more than the limit.")
	}
	out := &wsns.PublishBatchOutput{Successful: []wsns.PublishBatchResultEntry{}, Failed: []wsns.BatchResultErrorEntry{}}
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := callersTopic(ctx, w, in.TopicArn)
		if err != nil {
			return err
		}
		for _, e := range entries {
			m, err := newMessage(&e)
			if f := fault.Of(err); f != nil {
				out.Failed = append(out.Failed, wsns.BatchResultErrorEntry{Id: e.Id, Code: f.Code, Message: f.Message, SenderFault: new(true)})
				continue
			}
			id, err := s.send(ctx, w, t, m)
			if err != nil {
				return err
			}
			out.Successful = append(out.Successful, wsns.PublishBatchResultEntry{Id: e.Id, MessageId: id})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.wake()
	return out, nil
}

// Notify publishes to a topic of account in the name of this server: what an
// asynchronous inference or an alarm has to tell. The message is in the outbox
// when it returns, and will be delivered through a restart. A topic that is
// not there, or is in another Region, is a fault of the code NotFound or
// InvalidParameter; so is a message that cannot be published, empty or too long.
func (s *Service) Notify(ctx context.Context, account, region, topicARN, subject string, text []byte) error {
	m, err := newMessage(&wsns.PublishBatchRequestEntry{Message: string(text), Subject: subject})
	if err == nil {
		err = s.file.Write(ctx, func(w sqlfile.Writer) error {
			t, err := findTopic(ctx, w, account, topicARN)
			if err != nil {
				return err
			}
			if t.region != region {
				return invalid("TopicArn Reason: the topic is not in the region %s", region)
			}
			_, err = s.send(ctx, w, t, m)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("notify %s: %w", topicARN, err)
	}
	s.wake()
	return nil
}
