// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
)

// topic is a row of the table of topics.
type topic struct {
	id, gone              int64
	account, region, name string
	attributes, tags      map[string]string
}

func (t *topic) arn() string {
	return arn.ARN{Service: "sns", Region: t.region, Account: t.account, Resource: t.name}.String()
}

const topicColumns = "SELECT id, account, region, name, attributes, tags, gone FROM topic"

func (t *topic) scan(row interface{ Scan(...any) error }) error {
	var attributes, tags []byte
	if err := row.Scan(&t.id, &t.account, &t.region, &t.name, &attributes, &tags, &t.gone); err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(attributes, &t.attributes), json.Unmarshal(tags, &t.tags))
}

// encode is JSON of what always can be: maps of texts.
func encode(m map[string]string) string {
	if m == nil {
		return "{}"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

// findTopic finds the topic that a message of account names.
func findTopic(ctx context.Context, db sqlfile.Querier, account, text string) (topic, error) {
	var t topic
	a, err := arn.Parse(text)
	if err != nil || a.Service != "sns" || a.Account == "" || a.Region == "" || strings.Contains(a.Resource, ":") {
		return t, invalid("TopicArn Reason: An ARN must have at least 6 elements, not %q", text)
	}
	if a.Account != account {
		return t, noTopic()
	}
	err = t.scan(db.QueryRowContext(ctx, topicColumns+" WHERE account = ? AND region = ? AND name = ?", a.Account, a.Region, a.Resource))
	if errors.Is(err, sql.ErrNoRows) {
		return t, noTopic()
	}
	return t, err
}

// callersTopic is findTopic for the caller, who must be in the topic's Region.
func callersTopic(ctx context.Context, db sqlfile.Querier, text string) (topic, error) {
	c := auth.CallerFrom(ctx)
	t, err := findTopic(ctx, db, c.Account, text)
	if err == nil && t.region != c.Region {
		return t, invalid("TopicArn Reason: the topic is in the region %s, the request came to %s", t.region, c.Region)
	}
	return t, err
}

// topicAttributes are those that may be set, as API_SetTopicAttributes has
// them, with their checks.
var topicAttributes = map[string]func(value string) bool{
	"DisplayName":      func(v string) bool { return len([]rune(v)) <= 100 },
	"Policy":           isObject,
	"DeliveryPolicy":   func(v string) bool { return v == "" || isObject(v) },
	"KmsMasterKeyId":   func(string) bool { return true },
	"SignatureVersion": func(v string) bool { return v == "1" || v == "2" },
	"TracingConfig":    func(v string) bool { return v == "PassThrough" || v == "Active" },
}

func isObject(text string) bool {
	var m map[string]any
	return json.Unmarshal([]byte(text), &m) == nil && m != nil
}

func checkTopicAttribute(name, value string) *fault.Fault {
	good, ok := topicAttributes[name]
	switch {
	case name == "FifoTopic" && value == "true" || name == "FifoThroughputScope" || name == "ArchivePolicy" || name == "ContentBasedDeduplication" && value == "true":
		return invalid("Attributes Reason: %s: Sagebrush has no FIFO topics", name)
	case name == "FifoTopic" || name == "ContentBasedDeduplication":
		return nil
	case !ok:
		return invalid("AttributeName Reason: %s cannot be set", name)
	case !good(value):
		return invalid("Attributes Reason: %s: the value %q is not allowed", name, value)
	case name == "DeliveryPolicy" && value != "":
		if _, err := parseTopicPolicy(value); err != nil {
			return invalid("DeliveryPolicy: %v", err)
		}
	}
	return nil
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// createTopic is API_CreateTopic. A topic that is there is answered again
// unless it has other attributes or tags than are asked for.
func (s *Service) createTopic(ctx context.Context, in *wsns.CreateTopicInput) (*wsns.CreateTopicOutput, error) {
	if strings.HasSuffix(in.Name, ".fifo") {
		return nil, invalid("Topic Name Reason: Sagebrush has no FIFO topics")
	}
	if !topicName.MatchString(in.Name) {
		return nil, invalid("Topic Name")
	}
	if in.DataProtectionPolicy != "" {
		return nil, invalid("DataProtectionPolicy Reason: Sagebrush does not inspect messages")
	}
	for _, name := range slices.Sorted(maps.Keys(in.Attributes)) {
		if err := checkTopicAttribute(name, in.Attributes[name]); err != nil {
			return nil, err
		}
	}
	tags, err := addTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	c := auth.CallerFrom(ctx)
	t := topic{account: c.Account, region: c.Region, name: in.Name}
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		there, err := findTopic(ctx, w, c.Account, t.arn())
		if err == nil {
			for name, v := range in.Attributes {
				if topicAttributes[name] != nil && there.attributes[name] != v {
					return invalid("Attributes Reason: Topic already exists with different attributes")
				}
			}
			if len(tags) > 0 && !maps.Equal(tags, there.tags) {
				return invalid("Tags Reason: Topic already exists with different tags")
			}
			return nil
		} else if f := fault.Of(err); f == nil || f.Code != "NotFound" {
			return err
		}
		kept := maps.Clone(in.Attributes)
		maps.DeleteFunc(kept, func(name, _ string) bool { return topicAttributes[name] == nil })
		_, err = w.Exec("INSERT INTO topic (account, region, name, attributes, tags) VALUES (?, ?, ?, ?, ?)", t.account, t.region, t.name, encode(kept), encode(tags))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wsns.CreateTopicOutput{TopicArn: t.arn()}, nil
}

// deleteTopic is API_DeleteTopic: its subscriptions and what is not yet
// delivered go with it. A topic that is not there is no error.
func (s *Service) deleteTopic(ctx context.Context, in *wsns.DeleteTopicInput) (*wsns.DeleteTopicOutput, error) {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := callersTopic(ctx, w, in.TopicArn)
		if f := fault.Of(err); f != nil && f.Code == "NotFound" {
			return nil
		} else if err != nil {
			return err
		}
		for _, text := range []string{"DELETE FROM outbox WHERE subscription IN (SELECT id FROM subscription WHERE topic = ?)",
			"DELETE FROM subscription WHERE topic = ?", "DELETE FROM topic WHERE id = ?"} {
			if _, err := w.Exec(text, t.id); err != nil {
				return err
			}
		}
		return nil
	})
	return &wsns.DeleteTopicOutput{}, err
}

// pageSize is how many topics and subscriptions the service lists at once.
const pageSize = 100

// pageToken reads a token: the ID after which a list goes on.
func pageToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		var n int64
		if n, err = strconv.ParseInt(string(b), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, invalid("NextToken")
}

func makeToken(id int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, id, 10))
}

// listTopics is API_ListTopics, in the order of creation.
func (s *Service) listTopics(ctx context.Context, in *wsns.ListTopicsInput) (*wsns.ListTopicsOutput, error) {
	after, err := pageToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	c := auth.CallerFrom(ctx)
	out := &wsns.ListTopicsOutput{}
	err = s.file.Read(ctx, func(db sqlfile.Querier) error {
		rows, err := db.QueryContext(ctx, topicColumns+" WHERE account = ? AND region = ? AND id > ? ORDER BY id LIMIT ?", c.Account, c.Region, after, pageSize+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last int64
		for rows.Next() {
			var t topic
			if err := t.scan(rows); err != nil {
				return err
			}
			if len(out.Topics) == pageSize {
				out.NextToken = makeToken(last)
				break
			}
			out.Topics, last = append(out.Topics, wsns.Topic{TopicArn: t.arn()}), t.id
		}
		return rows.Err()
	})
	return out, err
}

// defaultPolicy is what the service gives a new topic: its owner may do all.
func (t *topic) defaultPolicy() string {
	b, _ := json.Marshal(map[string]any{"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": []any{map[string]any{
		"Sid": "__default_statement_ID", "Effect": "Allow", "Principal": map[string]string{"AWS": "*"},
		"Action": []string{"SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission", "SNS:DeleteTopic",
			"SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish"},
		"Resource": t.arn(), "Condition": map[string]any{"StringEquals": map[string]string{"AWS:SourceOwner": t.account}}}}})
	return string(b)
}

// getTopicAttributes is API_GetTopicAttributes.
func (s *Service) getTopicAttributes(ctx context.Context, in *wsns.GetTopicAttributesInput) (*wsns.GetTopicAttributesOutput, error) {
	out := &wsns.GetTopicAttributesOutput{}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		t, err := callersTopic(ctx, db, in.TopicArn)
		if err != nil {
			return err
		}
		var confirmed, pending int64
		if err := db.QueryRowContext(ctx, "SELECT coalesce(sum(confirmed > 0), 0), coalesce(sum(confirmed = 0), 0) FROM subscription WHERE topic = ?", t.id).
			Scan(&confirmed, &pending); err != nil {
			return err
		}
		out.Attributes = map[string]string{"TopicArn": t.arn(), "Owner": t.account, "DisplayName": "", "Policy": t.defaultPolicy(),
			"SubscriptionsConfirmed": strconv.FormatInt(confirmed, 10), "SubscriptionsPending": strconv.FormatInt(pending, 10),
			"SubscriptionsDeleted": strconv.FormatInt(t.gone, 10)}
		for name, v := range t.attributes {
			if v != "" {
				out.Attributes[name] = v
			}
		}
		p, err := parseTopicPolicy(t.attributes["DeliveryPolicy"])
		if err != nil {
			return err
		}
		out.Attributes["EffectiveDeliveryPolicy"] = p.topicText()
		return nil
	})
	return out, err
}

// setTopicAttributes is API_SetTopicAttributes.
func (s *Service) setTopicAttributes(ctx context.Context, in *wsns.SetTopicAttributesInput) (*wsns.SetTopicAttributesOutput, error) {
	if topicAttributes[in.AttributeName] == nil {
		return nil, invalid("AttributeName")
	}
	if err := checkTopicAttribute(in.AttributeName, in.AttributeValue); err != nil {
		return nil, err
	}
	return &wsns.SetTopicAttributesOutput{}, s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := callersTopic(ctx, w, in.TopicArn)
		if err != nil {
			return err
		}
		t.attributes[in.AttributeName] = in.AttributeValue
		_, err = w.Exec("UPDATE topic SET attributes = ? WHERE id = ?", encode(t.attributes), t.id)
		return err
	})
}

// Tags. Only topics have them.

const maxTags = 50

// addTags is tags with those of more.
func addTags(tags map[string]string, more []wsns.Tag) (map[string]string, error) {
	out := maps.Clone(tags)
	if out == nil {
		out = map[string]string{}
	}
	for _, t := range more {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, invalid("Tags Reason: the key %q begins with aws:, which is reserved", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > maxTags {
		return nil, fault.New("TagLimitExceeded", http.StatusBadRequest, "Could not complete request: tag quota of per resource exceeded")
	}
	return out, nil
}

// tagged finds the topic whose tags a request means.
func tagged(ctx context.Context, db sqlfile.Querier, text string) (topic, error) {
	t, err := callersTopic(ctx, db, text)
	if f := fault.Of(err); f != nil && f.Code == "NotFound" {
		return t, fault.New("ResourceNotFound", http.StatusNotFound, "Resource does not exist")
	}
	return t, err
}

func (s *Service) editTags(ctx context.Context, text string, edit func(map[string]string) (map[string]string, error)) error {
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := tagged(ctx, w, text)
		if err != nil {
			return err
		}
		tags, err := edit(t.tags)
		if err != nil {
			return err
		}
		_, err = w.Exec("UPDATE topic SET tags = ? WHERE id = ?", encode(tags), t.id)
		return err
	})
}

// tagResource is API_TagResource.
func (s *Service) tagResource(ctx context.Context, in *wsns.TagResourceInput) (*wsns.TagResourceOutput, error) {
	return &wsns.TagResourceOutput{}, s.editTags(ctx, in.ResourceArn, func(tags map[string]string) (map[string]string, error) { return addTags(tags, in.Tags) })
}

// untagResource is API_UntagResource.
func (s *Service) untagResource(ctx context.Context, in *wsns.UntagResourceInput) (*wsns.UntagResourceOutput, error) {
	return &wsns.UntagResourceOutput{}, s.editTags(ctx, in.ResourceArn, func(tags map[string]string) (map[string]string, error) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return tags, nil
	})
}

// listTagsForResource is API_ListTagsForResource, in the order of keys.
func (s *Service) listTagsForResource(ctx context.Context, in *wsns.ListTagsForResourceInput) (*wsns.ListTagsForResourceOutput, error) {
	out := &wsns.ListTagsForResourceOutput{Tags: []wsns.Tag{}}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		t, err := tagged(ctx, db, in.ResourceArn)
		for _, k := range slices.Sorted(maps.Keys(t.tags)) {
			out.Tags = append(out.Tags, wsns.Tag{Key: k, Value: t.tags[k]})
		}
		return err
	})
	return out, err
}
