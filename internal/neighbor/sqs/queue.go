// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

// queue is a row of the table of queues.
type queue struct {
	id                        int64
	account, region, name     string
	created, modified, purged int64
	attributes, tags          map[string]string
}

func (q *queue) fifo() bool { return strings.HasSuffix(q.name, ".fifo") }

func (q *queue) arn() string {
	return arn.ARN{Service: "sqs", Region: q.region, Account: q.account, Resource: q.name}.String()
}

const queueColumns = "SELECT id, account, region, name, created, modified, purged, attributes, tags FROM queue"

func (q *queue) scan(row interface{ Scan(...any) error }) error {
	var attributes, tags []byte
	if err := row.Scan(&q.id, &q.account, &q.region, &q.name, &q.created, &q.modified, &q.purged, &attributes, &tags); err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(attributes, &q.attributes), json.Unmarshal(tags, &q.tags))
}

// findQueue is sql.ErrNoRows for a queue that is not there.
func findQueue(ctx context.Context, db sqlfile.Querier, account, region, name string) (queue, error) {
	var q queue
	err := q.scan(db.QueryRowContext(ctx, queueColumns+" WHERE account = ? AND region = ? AND name = ?", account, region, name))
	return q, err
}

// find is the caller's queue that a URL names, by the last two parts of its
// path: the same server may be known under several hosts.
func find(ctx context.Context, db sqlfile.Querier, queueURL string) (queue, error) {
	if queueURL == "" {
		return queue{}, missing("QueueUrl")
	}
	account, region := callerOf(ctx)
	u, err := url.Parse(queueURL)
	if err != nil {
		return queue{}, refusal("InvalidAddress", "The address %s is not valid for this endpoint.", queueURL)
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	name := parts[len(parts)-1] // a bare name is taken too, as the service does
	if len(parts) > 1 && parts[len(parts)-2] != account {
		return queue{}, noQueue()
	}
	q, err := findQueue(ctx, db, account, region, name)
	if errors.Is(err, sql.ErrNoRows) {
		return q, noQueue()
	}
	return q, err
}

func (s *Service) urlOf(q queue) string {
	return strings.TrimSuffix(s.url(), "/") + "/" + q.account + "/" + q.name
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// encode is JSON of what always can be: maps of texts.
func encode(m map[string]string) string {
	if m == nil {
		return "{}"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// createQueue is API_CreateQueue. A queue that is there is answered again when
// it has the attributes that are asked for, and QueueNameExists otherwise.
func (s *Service) createQueue(ctx context.Context, in *wsqs.CreateQueueInput) (*wsqs.CreateQueueOutput, error) {
	bare, fifo := strings.CutSuffix(in.QueueName, ".fifo")
	if !queueName.MatchString(bare) || len(in.QueueName) > 80 {
		return nil, refusal("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if v, ok := in.Attributes["FifoQueue"]; ok && (v == "true") != fifo {
		if !fifo && v == "true" {
			return nil, refusal("InvalidParameterValue", "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
		}
		return nil, refusal("InvalidAttributeValue", "Invalid value for the parameter FifoQueue.")
	} else if !ok && fifo {
		return nil, refusal("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	account, region := callerOf(ctx)
	now := s.now().UnixMilli()
	q := queue{account: account, region: region, name: in.QueueName, attributes: map[string]string{}}
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		there, err := findQueue(ctx, w, account, region, in.QueueName)
		if err == nil {
			for _, name := range sortedKeys(in.Attributes) {
				if err := checkAttribute(name, in.Attributes[name], there.fifo()); err != nil {
					return err
				}
				if !sameValue(there.get(name), in.Attributes[name]) {
					return refusal("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", name)
				}
			}
			q = there
			return nil
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := q.merge(ctx, w, in.Attributes); err != nil {
			return err
		}
		_, err = w.Exec("INSERT INTO queue (account, region, name, created, modified, attributes, tags) VALUES (?, ?, ?, ?, ?, ?, ?)",
			account, region, in.QueueName, now, now, encode(q.attributes), encode(in.Tags))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wsqs.CreateQueueOutput{QueueUrl: s.urlOf(q)}, nil
}

// sameValue compares attributes; documents are compared by what they say.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// deleteQueue is API_DeleteQueue: the queue and its messages are gone at once.
// Unlike the service's, the name can be used again at once.
func (s *Service) deleteQueue(ctx context.Context, in *wsqs.DeleteQueueInput) (*wsqs.DeleteQueueOutput, error) {
	var q queue
	err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
		if q, err = find(ctx, w, in.QueueUrl); err != nil {
			return err
		}
		for _, text := range []string{"DELETE FROM message WHERE queue = ?", "DELETE FROM recent WHERE queue = ?", "DELETE FROM queue WHERE id = ?"} {
			if _, err := w.Exec(text, q.id); err != nil {
				return err
			}
		}
		return nil
	})
	s.wake(q.id) // who waits there is told that it is gone
	return &wsqs.DeleteQueueOutput{}, err
}

// getQueueURL is API_GetQueueUrl.
func (s *Service) getQueueURL(ctx context.Context, in *wsqs.GetQueueUrlInput) (*wsqs.GetQueueUrlOutput, error) {
	account, region := callerOf(ctx)
	if in.QueueOwnerAWSAccountId != "" && in.QueueOwnerAWSAccountId != account {
		return nil, noQueue()
	}
	out := &wsqs.GetQueueUrlOutput{}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		q, err := findQueue(ctx, db, account, region, in.QueueName)
		if errors.Is(err, sql.ErrNoRows) {
			return noQueue()
		}
		out.QueueUrl = s.urlOf(q)
		return err
	})
	return out, err
}

// listQueues is API_ListQueues, in the order of names.
func (s *Service) listQueues(ctx context.Context, in *wsqs.ListQueuesInput) (*wsqs.ListQueuesOutput, error) {
	limit := int64(1000)
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > 1000 {
			return nil, invalidValue("MaxResults", limit, "Must be between 1 and 1000, if provided.")
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil || in.NextToken != "" && in.MaxResults == nil {
		return nil, refusal("InvalidParameterValue", "Invalid or expired next token.")
	}
	account, region := callerOf(ctx)
	out := &wsqs.ListQueuesOutput{}
	err = s.file.Read(ctx, func(db sqlfile.Querier) error {
		rows, err := db.QueryContext(ctx, queueColumns+` WHERE account = ? AND region = ? AND name > ? AND substr(name, 1, length(?)) = ?
			ORDER BY name LIMIT ?`, account, region, string(after), in.QueueNamePrefix, in.QueueNamePrefix, limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last string
		for rows.Next() {
			var q queue
			if err := q.scan(rows); err != nil {
				return err
			}
			if int64(len(out.QueueUrls)) == limit {
				if in.MaxResults != nil {
					out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(last))
				}
				break
			}
			out.QueueUrls, last = append(out.QueueUrls, s.urlOf(q)), q.name
		}
		return rows.Err()
	})
	return out, err
}

// getQueueAttributes is API_GetQueueAttributes.
func (s *Service) getQueueAttributes(ctx context.Context, in *wsqs.GetQueueAttributesInput) (*wsqs.GetQueueAttributesOutput, error) {
	out := &wsqs.GetQueueAttributesOutput{Attributes: map[string]string{}}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		q, err := find(ctx, db, in.QueueUrl)
		if err != nil || len(in.AttributeNames) == 0 {
			return err
		}
		now := s.now().UnixMilli()
		var ready, delayed, flight int64
		err = db.QueryRowContext(ctx, `SELECT coalesce(sum(visible <= ?1), 0), coalesce(sum(visible > ?1 AND received = base), 0),
			coalesce(sum(visible > ?1 AND received > base), 0) FROM message WHERE queue = ?2 AND expires > ?1`, now, q.id).Scan(&ready, &delayed, &flight)
		if err != nil {
			return err
		}
		all := map[string]string{
			"QueueArn":                              q.arn(),
			"CreatedTimestamp":                      strconv.FormatInt(q.created/1000, 10),
			"LastModifiedTimestamp":                 strconv.FormatInt(q.modified/1000, 10),
			"ApproximateNumberOfMessages":           strconv.FormatInt(ready, 10),
			"ApproximateNumberOfMessagesDelayed":    strconv.FormatInt(delayed, 10),
			"ApproximateNumberOfMessagesNotVisible": strconv.FormatInt(flight, 10),
		}
		for name := range settable {
			if v := q.get(name); v != "" {
				all[name] = v
			}
		}
		if slices.Contains(in.AttributeNames, "All") {
			out.Attributes = all
			return nil
		}
		for _, name := range in.AttributeNames {
			if v, ok := all[name]; ok {
				out.Attributes[name] = v
			} else if a, ok := settable[name]; !ok || a.fifo && !q.fifo() {
				return refusal("InvalidAttributeName", "Unknown Attribute %s.", name)
			}
		}
		return nil
	})
	return out, err
}

// setQueueAttributes is API_SetQueueAttributes. A new retention holds for the
// messages that are there; a new delay does in FIFO queues only, as in the
// service, where it is a matter of the queue.
func (s *Service) setQueueAttributes(ctx context.Context, in *wsqs.SetQueueAttributesInput) (*wsqs.SetQueueAttributesOutput, error) {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		q, err := find(ctx, w, in.QueueUrl)
		if err != nil {
			return err
		}
		if _, ok := in.Attributes["FifoQueue"]; ok {
			return refusal("InvalidAttributeName", "Unknown Attribute FifoQueue.")
		}
		delay := q.number("DelaySeconds")
		if err := q.merge(ctx, w, in.Attributes); err != nil {
			return err
		}
		if _, err := w.Exec("UPDATE queue SET attributes = ?, modified = ? WHERE id = ?", encode(q.attributes), s.now().UnixMilli(), q.id); err != nil {
			return err
		}
		if changed := q.number("DelaySeconds") - delay; q.fifo() && changed != 0 {
			if _, err := w.Exec("UPDATE message SET visible = visible + ? WHERE queue = ? AND received = base", changed*1000, q.id); err != nil {
				return err
			}
		}
		_, err = w.Exec("UPDATE message SET expires = sent + ? WHERE queue = ?", q.number("MessageRetentionPeriod")*1000, q.id)
		return err
	})
	return &wsqs.SetQueueAttributesOutput{}, err
}

// purgeQueue is API_PurgeQueue; once a minute at most.
func (s *Service) purgeQueue(ctx context.Context, in *wsqs.PurgeQueueInput) (*wsqs.PurgeQueueOutput, error) {
	now := s.now()
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		q, err := find(ctx, w, in.QueueUrl)
		if err != nil {
			return err
		}
		if now.Sub(time.UnixMilli(q.purged)) < time.Minute {
			return refusal("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
		}
		if _, err := w.Exec("DELETE FROM message WHERE queue = ?", q.id); err != nil {
			return err
		}
		_, err = w.Exec("UPDATE queue SET purged = ? WHERE id = ?", now.UnixMilli(), q.id)
		return err
	})
	return &wsqs.PurgeQueueOutput{}, err
}

const maxTags = 50

func checkTags(tags map[string]string) *fault.Fault {
	for k, v := range tags {
		if len([]rune(k)) < 1 || len([]rune(k)) > 128 || len([]rune(v)) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return refusal("InvalidParameterValue", "Tag keys must have 1 to 128 characters and must not begin with aws:, tag values 256 characters at most; %q = %q is not such a tag.", k, v)
		}
	}
	if len(tags) > maxTags {
		return refusal("InvalidParameterValue", "Too many tags added for queue: %d; the limit is %d.", len(tags), maxTags)
	}
	return nil
}

// editTags changes the tags of a queue.
func (s *Service) editTags(ctx context.Context, queueURL string, edit func(tags map[string]string)) error {
	return s.file.Write(ctx, func(w sqlfile.Writer) error {
		q, err := find(ctx, w, queueURL)
		if err != nil {
			return err
		}
		edit(q.tags)
		if err := checkTags(q.tags); err != nil {
			return err
		}
		if _, err := w.Exec("UPDATE queue SET tags = ? WHERE id = ?", encode(q.tags), q.id); err != nil {
			return fmt.Errorf("write tags: %w", err)
		}
		return nil
	})
}

// tagQueue is API_TagQueue.
func (s *Service) tagQueue(ctx context.Context, in *wsqs.TagQueueInput) (*wsqs.TagQueueOutput, error) {
	return &wsqs.TagQueueOutput{}, s.editTags(ctx, in.QueueUrl, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

// untagQueue is API_UntagQueue.
func (s *Service) untagQueue(ctx context.Context, in *wsqs.UntagQueueInput) (*wsqs.UntagQueueOutput, error) {
	return &wsqs.UntagQueueOutput{}, s.editTags(ctx, in.QueueUrl, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

// listQueueTags is API_ListQueueTags.
func (s *Service) listQueueTags(ctx context.Context, in *wsqs.ListQueueTagsInput) (*wsqs.ListQueueTagsOutput, error) {
	out := &wsqs.ListQueueTagsOutput{}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		q, err := find(ctx, db, in.QueueUrl)
		out.Tags = q.tags
		return err
	})
	return out, err
}
