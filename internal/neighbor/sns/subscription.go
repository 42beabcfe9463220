// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
)

// subscription is a row of the table of subscriptions, with its topic.
type subscription struct {
	id                                  int64
	uuid, protocol, endpoint, principal string
	attributes                          map[string]string
	token                               string
	lapses, confirmed                   int64
	signed, locked                      bool
	topic                               topic
}

func (u *subscription) arn() string { return u.topic.arn() + ":" + u.uuid }

// shown is the ARN that lists have; one that is not confirmed has none yet.
func (u *subscription) shown() string {
	if u.confirmed == 0 {
		return "PendingConfirmation"
	}
	return u.arn()
}

func (u *subscription) web() bool { return u.protocol == "http" || u.protocol == "https" }

const subscriptionColumns = `SELECT s.id, s.uuid, s.protocol, s.endpoint, s.principal, s.attributes, s.token, s.lapses, s.confirmed, s.signed, s.locked,
	t.id, t.account, t.region, t.name, t.attributes, t.tags, t.gone FROM subscription s JOIN topic t ON t.id = s.topic`

func (u *subscription) scan(row interface{ Scan(...any) error }) error {
	var own, topics, tags []byte
	t := &u.topic
	if err := row.Scan(&u.id, &u.uuid, &u.protocol, &u.endpoint, &u.principal, &own, &u.token, &u.lapses, &u.confirmed, &u.signed, &u.locked,
		&t.id, &t.account, &t.region, &t.name, &topics, &tags, &t.gone); err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(own, &u.attributes), json.Unmarshal(topics, &t.attributes), json.Unmarshal(tags, &t.tags))
}

// readSubscriptions reads all that the query finds.
func readSubscriptions(ctx context.Context, db sqlfile.Querier, where string, args ...any) ([]subscription, error) {
	rows, err := db.QueryContext(ctx, subscriptionColumns+" WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []subscription
	for rows.Next() {
		var u subscription
		if err := u.scan(rows); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// findSubscription finds a subscription by its ARN.
func findSubscription(ctx context.Context, db sqlfile.Querier, text string) (subscription, error) {
	var u subscription
	a, err := arn.Parse(text)
	name, id, ok := strings.Cut(a.Resource, ":")
	if err != nil || a.Service != "sns" || !ok {
		return u, invalid("SubscriptionArn Reason: An ARN must have at least 7 elements, not %q", text)
	}
	err = u.scan(db.QueryRowContext(ctx, subscriptionColumns+" WHERE s.uuid = ? AND t.account = ? AND t.region = ? AND t.name = ?", id, a.Account, a.Region, name))
	if errors.Is(err, sql.ErrNoRows) {
		return u, noSubscription()
	}
	return u, err
}

// callersSubscription is findSubscription for one of the caller's account.
func callersSubscription(ctx context.Context, db sqlfile.Querier, text string) (subscription, error) {
	u, err := findSubscription(ctx, db, text)
	if err == nil && u.topic.account != auth.CallerFrom(ctx).Account {
		return u, noSubscription()
	}
	return u, err
}

// subscriptionAttributes are those that may be set.
var subscriptionAttributes = []string{"DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"}

// checkSubscriptionAttributes holds the attributes of a subscription against
// the rules, all together.
func checkSubscriptionAttributes(protocol string, attributes map[string]string) *fault.Fault {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		switch name {
		case "RawMessageDelivery":
			if value != "true" && value != "false" {
				return invalid("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", value)
			}
		case "FilterPolicyScope":
			if value != "MessageAttributes" && value != "MessageBody" {
				return invalid("FilterPolicyScope: Invalid value [%s]. Please use either MessageBody or MessageAttributes", value)
			}
		case "FilterPolicy":
			if value == "" || value == "{}" {
				break
			}
			if _, err := parseFilter(value, attributes["FilterPolicyScope"] == "MessageBody"); err != nil {
				return invalid("FilterPolicy: %v", err)
			}
		case "DeliveryPolicy":
			if protocol == "sqs" && value != "" {
				return invalid("DeliveryPolicy: it is for the protocols http and https only")
			}
			if _, err := parseSubscriptionPolicy(value); err != nil {
				return invalid("DeliveryPolicy: %v", err)
			}
		case "RedrivePolicy":
			if value == "" {
				break
			}
			if _, err := parseDead(value); err != nil {
				return invalid("RedrivePolicy: %v", err)
			}
		default:
			return invalid("AttributeName Reason: %s is none of %s", name, strings.Join(subscriptionAttributes, ", "))
		}
	}
	return nil
}

// parseDead reads a RedrivePolicy and answers the queue's ARN.
func parseDead(text string) (string, error) {
	var p struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if err := strict(text, &p); err != nil {
		return "", err
	}
	a, err := arn.Parse(p.Target)
	if err != nil || a.Service != "sqs" {
		return "", errors.New("deadLetterTargetArn is not the ARN of an SQS queue")
	}
	return p.Target, nil
}

// checkEndpoint refuses what can never be delivered to.
func (s *Service) checkEndpoint(t topic, protocol, endpoint string) *fault.Fault {
	switch protocol {
	case "http", "https":
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || len(endpoint) > 2048 {
			return invalid("Unparseable endpoint: %q is not a URL", endpoint)
		}
		if u.Scheme != protocol {
			return invalid("Endpoint must match the specified protocol")
		}
		host := u.Hostname()
		if host == "localhost" {
			host = "127.0.0.1"
		}
		// A name is looked up at each delivery, and held against the rule there.
		if ip, err := netip.ParseAddr(host); err == nil {
			if err := s.barred(ip, portOf(u)); err != nil {
				return invalid("Endpoint Reason: %v", err)
			}
		}
	case "sqs":
		a, err := arn.Parse(endpoint)
		if err != nil || a.Service != "sqs" {
			return invalid("SQS endpoint ARN")
		}
		if strings.HasSuffix(a.Resource, ".fifo") {
			return invalid("Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
		}
		if a.Account != t.account {
			return invalid("Endpoint Reason: the queue is of the account %s, which this server does not have", a.Account)
		}
	case "email", "email-json", "sms", "lambda", "firehose", "application":
		return invalid("Protocol Reason: Sagebrush does not deliver by %s; it does by http, https and sqs", protocol)
	default:
		return invalid("Does not support this protocol string: %s", protocol)
	}
	return nil
}

// tokenLasts is how long a subscription waits to be confirmed.
const tokenLasts = 48 * time.Hour

func newToken() string {
	b := make([]byte, 64)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return hex.EncodeToString(b)
}

// subscribe is API_Subscribe. A queue is subscribed at once; an endpoint is
// sent a message with a link, and is when somebody follows it. One that is
// subscribed already is answered again; one that is not confirmed gets a new
// link.
func (s *Service) subscribe(ctx context.Context, in *wsns.SubscribeInput) (*wsns.SubscribeOutput, error) {
	if in.Endpoint == "" {
		return nil, invalid("Endpoint")
	}
	if err := checkSubscriptionAttributes(in.Protocol, in.Attributes); err != nil {
		return nil, err
	}
	out := &wsns.SubscribeOutput{}
	now := s.now()
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := callersTopic(ctx, w, in.TopicArn)
		if err != nil {
			return err
		}
		if err := s.checkEndpoint(t, in.Protocol, in.Endpoint); err != nil {
			return err
		}
		there, err := readSubscriptions(ctx, w, "s.topic = ? AND s.protocol = ? AND s.endpoint = ?", t.id, in.Protocol, in.Endpoint)
		if err != nil {
			return err
		}
		u := subscription{topic: t, uuid: uuid.NewString(), protocol: in.Protocol, endpoint: in.Endpoint, principal: auth.CallerFrom(ctx).Principal,
			token: newToken(), lapses: now.Add(tokenLasts).UnixMilli()}
		if len(there) > 0 {
			for name, v := range in.Attributes {
				if there[0].attributes[name] != v && there[0].confirmed > 0 {
					return invalid("Attributes Reason: Subscription already exists with different attributes")
				}
			}
			u.id, u.uuid, u.confirmed = there[0].id, there[0].uuid, there[0].confirmed
		}
		out.SubscriptionArn = u.arn()
		if u.confirmed > 0 {
			return nil
		}
		if !u.web() {
			u.confirmed, u.signed = now.UnixMilli(), true // the caller's own queue
		} else if in.ReturnSubscriptionArn == nil || !*in.ReturnSubscriptionArn {
			out.SubscriptionArn = "pending confirmation"
		}
		if u.id != 0 {
			if _, err := w.Exec("UPDATE subscription SET attributes = ?, token = ?, lapses = ? WHERE id = ?", encode(in.Attributes), u.token, u.lapses, u.id); err != nil {
				return err
			}
		} else {
			res, err := w.Exec(`INSERT INTO subscription (topic, uuid, protocol, endpoint, principal, attributes, token, lapses, confirmed, signed)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.id, u.uuid, u.protocol, u.endpoint, u.principal, encode(in.Attributes), u.token, u.lapses, u.confirmed, u.signed)
			if err != nil {
				return err
			}
			if u.id, err = res.LastInsertId(); err != nil {
				return err
			}
		}
		if u.web() {
			return s.post(w, u.id, notice{Kind: kindConfirmation, ID: uuid.NewString(), Time: stamp(now), Token: u.token,
				Message: "You have chosen to subscribe to the topic " + t.arn() + ".\nTo confirm the subscription, visit the SubscribeURL included in this message."})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.wake()
	return out, nil
}

// confirmSubscription is API_ConfirmSubscription. It comes signed, or as the
// link of a message, without a caller. A token may be used again.
func (s *Service) confirmSubscription(ctx context.Context, in *wsns.ConfirmSubscriptionInput) (*wsns.ConfirmSubscriptionOutput, error) {
	caller := auth.CallerFrom(ctx)
	lock := in.AuthenticateOnUnsubscribe == "true"
	if lock && caller.Account == "" {
		return nil, denied("SNS:ConfirmSubscription", "resource: "+in.TopicArn+" with AuthenticateOnUnsubscribe and without a signature")
	}
	account := caller.Account
	if account == "" {
		a, _ := arn.Parse(in.TopicArn) // findTopic tells what is wrong with it
		account = a.Account
	}
	out := &wsns.ConfirmSubscriptionOutput{}
	now := s.now().UnixMilli()
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		t, err := findTopic(ctx, w, account, in.TopicArn)
		if err != nil {
			return err
		}
		there, err := readSubscriptions(ctx, w, "s.topic = ? AND s.token = ?", t.id, in.Token)
		if err != nil {
			return err
		}
		if len(there) == 0 || there[0].confirmed == 0 && there[0].lapses <= now || !there[0].web() {
			return invalid("Token")
		}
		u := there[0]
		out.SubscriptionArn = u.arn()
		if u.confirmed > 0 {
			return nil
		}
		_, err = w.Exec("UPDATE subscription SET confirmed = ?, signed = ?, locked = ? WHERE id = ?", now, caller.Account != "", lock, u.id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unsubscribe is API_Unsubscribe. Signed, it removes the subscription and what
// is still to be delivered to it; one that is not there is no error. As the
// link of a message it asks no more than the ARN, which only messages and the
// owner have: then the endpoint is told, with a link to come back by within
// two days.
func (s *Service) unsubscribe(ctx context.Context, in *wsns.UnsubscribeInput) (*wsns.UnsubscribeOutput, error) {
	caller := auth.CallerFrom(ctx)
	now := s.now()
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		u, err := findSubscription(ctx, w, in.SubscriptionArn)
		if f := fault.Of(err); f != nil && f.Code == "NotFound" {
			return nil
		} else if err != nil {
			return err
		}
		if caller.Account != "" && caller.Account != u.topic.account || caller.Account == "" && (u.locked || !u.web() || u.confirmed == 0) {
			return denied("SNS:Unsubscribe", "resource: "+in.SubscriptionArn)
		}
		if _, err := w.Exec("DELETE FROM outbox WHERE subscription = ?", u.id); err != nil {
			return err
		}
		if caller.Account == "" {
			token := newToken()
			if _, err := w.Exec("UPDATE subscription SET confirmed = 0, token = ?, lapses = ? WHERE id = ?", token, now.Add(tokenLasts).UnixMilli(), u.id); err != nil {
				return err
			}
			return s.post(w, u.id, notice{Kind: kindFarewell, ID: uuid.NewString(), Time: stamp(now), Token: token,
				Message: "You have chosen to deactivate subscription " + u.arn() + ".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message."})
		}
		if _, err := w.Exec("DELETE FROM subscription WHERE id = ?", u.id); err != nil {
			return err
		}
		_, err = w.Exec("UPDATE topic SET gone = gone + 1 WHERE id = ?", u.topic.id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.wake()
	return &wsns.UnsubscribeOutput{}, nil
}

// list is one page of subscriptions.
func (s *Service) list(ctx context.Context, token string, find func(db sqlfile.Querier, after int64) ([]subscription, error)) ([]wsns.Subscription, string, error) {
	after, err := pageToken(token)
	if err != nil {
		return nil, "", err
	}
	out, next := []wsns.Subscription{}, ""
	err = s.file.Read(ctx, func(db sqlfile.Querier) error {
		found, err := find(db, after)
		if len(found) > pageSize {
			found = found[:pageSize]
			next = makeToken(found[pageSize-1].id)
		}
		for _, u := range found {
			out = append(out, wsns.Subscription{SubscriptionArn: u.shown(), Owner: u.topic.account, Protocol: u.protocol, Endpoint: u.endpoint, TopicArn: u.topic.arn()})
		}
		return err
	})
	return out, next, err
}

// listSubscriptions is API_ListSubscriptions, in the order of creation.
func (s *Service) listSubscriptions(ctx context.Context, in *wsns.ListSubscriptionsInput) (*wsns.ListSubscriptionsOutput, error) {
	c := auth.CallerFrom(ctx)
	found, next, err := s.list(ctx, in.NextToken, func(db sqlfile.Querier, after int64) ([]subscription, error) {
		return readSubscriptions(ctx, db, "t.account = ? AND t.region = ? AND s.id > ? ORDER BY s.id LIMIT ?", c.Account, c.Region, after, pageSize+1)
	})
	return &wsns.ListSubscriptionsOutput{Subscriptions: found, NextToken: next}, err
}

// listSubscriptionsByTopic is API_ListSubscriptionsByTopic.
func (s *Service) listSubscriptionsByTopic(ctx context.Context, in *wsns.ListSubscriptionsByTopicInput) (*wsns.ListSubscriptionsByTopicOutput, error) {
	found, next, err := s.list(ctx, in.NextToken, func(db sqlfile.Querier, after int64) ([]subscription, error) {
		t, err := callersTopic(ctx, db, in.TopicArn)
		if err != nil {
			return nil, err
		}
		return readSubscriptions(ctx, db, "t.id = ? AND s.id > ? ORDER BY s.id LIMIT ?", t.id, after, pageSize+1)
	})
	return &wsns.ListSubscriptionsByTopicOutput{Subscriptions: found, NextToken: next}, err
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// getSubscriptionAttributes is API_GetSubscriptionAttributes.
func (s *Service) getSubscriptionAttributes(ctx context.Context, in *wsns.GetSubscriptionAttributesInput) (*wsns.GetSubscriptionAttributesOutput, error) {
	out := &wsns.GetSubscriptionAttributesOutput{}
	err := s.file.Read(ctx, func(db sqlfile.Querier) error {
		u, err := callersSubscription(ctx, db, in.SubscriptionArn)
		if err != nil {
			return err
		}
		out.Attributes = map[string]string{"SubscriptionArn": u.arn(), "TopicArn": u.topic.arn(), "Owner": u.topic.account, "Protocol": u.protocol,
			"Endpoint": u.endpoint, "SubscriptionPrincipal": u.principal, "PendingConfirmation": truth(u.confirmed == 0),
			"ConfirmationWasAuthenticated": truth(u.confirmed > 0 && u.signed), "RawMessageDelivery": "false"}
		for name, v := range u.attributes {
			if v != "" {
				out.Attributes[name] = v
			}
		}
		if u.attributes["FilterPolicy"] != "" && u.attributes["FilterPolicyScope"] == "" {
			out.Attributes["FilterPolicyScope"] = "MessageAttributes"
		}
		if u.web() {
			r, err := effective(u.topic.attributes["DeliveryPolicy"], u.attributes["DeliveryPolicy"])
			if err != nil {
				return err
			}
			b, err := json.Marshal(subscriptionPolicy{&r})
			if err != nil {
				return err
			}
			out.Attributes["EffectiveDeliveryPolicy"] = string(b)
		}
		return nil
	})
	return out, err
}

// setSubscriptionAttributes is API_SetSubscriptionAttributes.
func (s *Service) setSubscriptionAttributes(ctx context.Context, in *wsns.SetSubscriptionAttributesInput) (*wsns.SetSubscriptionAttributesOutput, error) {
	if !slices.Contains(subscriptionAttributes, in.AttributeName) {
		return nil, invalid("AttributeName")
	}
	return &wsns.SetSubscriptionAttributesOutput{}, s.file.Write(ctx, func(w sqlfile.Writer) error {
		u, err := callersSubscription(ctx, w, in.SubscriptionArn)
		if err != nil {
			return err
		}
		u.attributes[in.AttributeName] = in.AttributeValue
		if err := checkSubscriptionAttributes(u.protocol, u.attributes); err != nil {
			return err
		}
		_, err = w.Exec("UPDATE subscription SET attributes = ? WHERE id = ?", encode(u.attributes), u.id)
		return err
	})
}
