// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

const (
	keepHistory = 30 * 24 * time.Hour // as long as the service does
	historyPage = 100                 // the most, and what is answered unasked
)

// awsTime is how CloudWatch writes times inside of texts.
const awsTime = "2006-01-02T15:04:05.000-0700"

func stamp(t time.Time) string { return t.UTC().Format(awsTime) }

// history adds a line to an alarm's history. data is told as JSON.
func (tx *alarmTx) history(a *alarm, at time.Time, typ, summary string, data any) error {
	return addHistory(tx.w, a.alarmKey, a.kind(), at, typ, summary, data)
}

func addHistory(w sqlfile.Writer, k alarmKey, kind string, at time.Time, typ, summary string, data any) error {
	_, err := w.Exec("INSERT INTO alarm_history (account, region, name, kind, at, type, summary, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		k.account, k.region, k.name, kind, at.UnixMilli(), typ, summary, compactJSON(data))
	if err != nil {
		return fmt.Errorf("write history of alarm %q: %w", k.name, err)
	}
	return nil
}

// compactJSON leaves <, > and & as they are.
func compactJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("cloudwatch: %T as JSON: %v", v, err)) // our own structs always can
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// stateUpdate is HistoryData of a change of state.
func stateUpdate(old, now *alarm) any {
	type state struct {
		Value  string          `json:"stateValue"`
		Reason string          `json:"stateReason"`
		Data   json.RawMessage `json:"stateReasonData,omitempty"`
	}
	of := func(a *alarm) state {
		f := a.face()
		return state{*f.State, *f.Reason, json.RawMessage(*f.Data)}
	}
	return struct {
		Version string `json:"version"`
		Old     state  `json:"oldState"`
		New     state  `json:"newState"`
	}{"1.0", of(old), of(now)}
}

// configured writes that an alarm was created, updated or deleted: what is one
// of these words.
func (tx *alarmTx) configured(a *alarm, at time.Time, what string) error {
	var doc map[string]any
	text, err := json.Marshal(a.Metric)
	if a.Metric == nil {
		text, err = json.Marshal(a.Composite)
	}
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		return fmt.Errorf("alarm %q as JSON: %w", a.name, err)
	}
	f := a.face()
	doc["AlarmConfigurationUpdatedTimestamp"], doc["StateUpdatedTimestamp"] = stamp(f.Configured.Time), stamp(f.Updated.Time)
	doc["OKActions"], doc["AlarmActions"], doc["InsufficientDataActions"] = *f.OK, *f.Alarm, *f.Insufficient
	for _, own := range []string{"StateReason", "StateReasonData", "StateTransitionedTimestamp"} {
		delete(doc, own)
	}
	kind := map[string]string{"created": "Create", "updated": "Update", "deleted": "Delete"}[what]
	return tx.history(a, at, "ConfigurationUpdate", fmt.Sprintf("Alarm %q %s", a.name, what),
		map[string]any{"version": "1.0", "type": kind, what + "Alarm": lowered(doc)})
}

// lowered is v with the names of members as the history has them.
func lowered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if k = strings.ToLower(k[:1]) + k[1:]; strings.HasPrefix(k, "oK") {
				k = "okactions"
			}
			out[k] = lowered(x)
		}
		return out
	case []any:
		for i := range v {
			v[i] = lowered(v[i])
		}
	}
	return v
}

// describeAlarmHistory is API_DescribeAlarmHistory. Deleted alarms are told of
// for thirty days. Without AlarmTypes the history is that of metric alarms.
func (s *Service) describeAlarmHistory(ctx context.Context, in *wcw.DescribeAlarmHistoryInput) (*wcw.DescribeAlarmHistoryOutput, error) {
	if in.AlarmContributorId != "" {
		return nil, validation("The parameter AlarmContributorId is not supported by Sagebrush: no alarm here has contributors.")
	}
	limit := historyPage
	if in.MaxRecords != nil {
		limit = int(*in.MaxRecords)
	}
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []string{kindMetric}
	}
	c := auth.CallerFrom(ctx)
	text := "SELECT id, name, kind, at, type, summary, data FROM alarm_history WHERE account = ? AND region = ?"
	args := []any{c.Account, c.Region}
	where := func(clause string, more ...any) { text, args = text+" AND "+clause, append(args, more...) }
	if in.AlarmName != "" {
		where("name = ?", in.AlarmName)
	}
	if in.HistoryItemType != "" {
		where("type = ?", in.HistoryItemType)
	}
	if !in.StartDate.IsZero() {
		where("at >= ?", in.StartDate.UnixMilli())
	}
	if !in.EndDate.IsZero() {
		where("at <= ?", in.EndDate.UnixMilli())
	}
	where("at >= ?", s.now().Add(-keepHistory).UnixMilli())
	order, beyond := "DESC", "<"
	if in.ScanBy == "TimestampAscending" {
		order, beyond = "ASC", ">"
	}
	if in.NextToken != "" {
		at, id, err := parsePlace(in.NextToken)
		if err != nil {
			return nil, err
		}
		where("(at, id) "+beyond+" (?, ?)", at, id)
	}
	text += " ORDER BY at " + order + ", id " + order
	out := &wcw.DescribeAlarmHistoryOutput{AlarmHistoryItems: []wcw.AlarmHistoryItem{}}
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, text, args...)
		if err != nil {
			return fmt.Errorf("read alarm history: %w", err)
		}
		defer rows.Close()
		var lastAt, lastID int64
		for rows.Next() {
			var item wcw.AlarmHistoryItem
			var id, at int64
			if err := rows.Scan(&id, &item.AlarmName, &item.AlarmType, &at, &item.HistoryItemType, &item.HistorySummary, &item.HistoryData); err != nil {
				return err
			}
			if !slices.Contains(types, item.AlarmType) {
				continue
			}
			if len(out.AlarmHistoryItems) == limit {
				out.NextToken = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%d", lastAt, lastID))
				return nil
			}
			lastAt, lastID = at, id
			item.Timestamp = wire.At(time.UnixMilli(at))
			out.AlarmHistoryItems = append(out.AlarmHistoryItems, item)
		}
		return rows.Err()
	})
	return out, err
}

func parsePlace(token string) (at, id int64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d/%d", &at, &id)
	}
	if err != nil {
		return 0, 0, errToken()
	}
	return at, id, nil
}

// forgetHistory removes what is older than the service keeps it.
func (s *Service) forgetHistory(ctx context.Context) error {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		_, err := w.Exec("DELETE FROM alarm_history WHERE at < ?", s.now().Add(-keepHistory).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("remove old alarm history: %w", err)
	}
	return nil
}
