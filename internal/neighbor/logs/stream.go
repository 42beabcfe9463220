// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

const insertStream = `INSERT INTO stream (loggroup, name, created, recent)
	SELECT id, ?2, ?1, ?1 FROM loggroup WHERE account = ?3 AND region = ?4 AND name = ?5 ON CONFLICT DO NOTHING`

// createLogStream is API_CreateLogStream.
func (s *Service) createLogStream(ctx context.Context, in *wlogs.CreateLogStreamInput) (*wlogs.CreateLogStreamOutput, error) {
	c := auth.CallerFrom(ctx)
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		if _, err := findGroup(ctx, w, in.LogGroupName); err != nil {
			return err
		}
		res, err := w.Exec(insertStream, s.now().UnixMilli(), in.LogStreamName, c.Account, c.Region, in.LogGroupName)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return first(err, exists("stream"))
		}
		return nil
	})
	return &wlogs.CreateLogStreamOutput{}, err
}

// deleteLogStream is API_DeleteLogStream.
func (s *Service) deleteLogStream(ctx context.Context, in *wlogs.DeleteLogStreamInput) (*wlogs.DeleteLogStreamOutput, error) {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		st, err := findIn(ctx, w, in.LogGroupName, in.LogStreamName)
		if err != nil {
			return err
		}
		if _, err := w.Exec("INSERT INTO garbage VALUES (?)", st.id); err != nil {
			return err
		}
		_, err = w.Exec("DELETE FROM stream WHERE id = ?", st.id)
		return err
	})
	s.wake()
	return &wlogs.DeleteLogStreamOutput{}, err
}

const orderByTime = "LastEventTime"

// describeLogStreams is API_DescribeLogStreams. There is a NextToken only when
// there is a next page: the Python SDK asks again for as long as there is one.
func (s *Service) describeLogStreams(ctx context.Context, in *wlogs.DescribeLogStreamsInput) (*wlogs.DescribeLogStreamsOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	byTime := in.OrderBy == orderByTime
	if byTime && in.LogStreamNamePrefix != "" {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	desc := in.Descending != nil && *in.Descending
	place, err := streamPlace(in.NextToken, byTime, desc)
	if err != nil {
		return nil, err
	}
	limit := limitOf(in.Limit, 50)
	out := &wlogs.DescribeLogStreamsOutput{LogStreams: []wlogs.LogStream{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		g, err := findGroup(ctx, q, name)
		if err != nil {
			return err
		}
		text, args := place.query(g.id, in.LogStreamNamePrefix)
		rows, err := q.QueryContext(ctx, text+" LIMIT ?", append(args, limit+1)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var ls wlogs.LogStream
			var id, created, recent, size int64
			var firstTS, lastTS, ingested sql.NullInt64
			if err := rows.Scan(&id, &ls.LogStreamName, &created, &firstTS, &lastTS, &ingested, &recent, &size); err != nil {
				return err
			}
			if len(out.LogStreams) == limit {
				out.NextToken = place.token()
				break
			}
			place.recent, place.name = recent, ls.LogStreamName
			ls.CreationTime, ls.StoredBytes = &created, &size
			ls.FirstEventTimestamp, ls.LastEventTimestamp, ls.LastIngestionTime = optional(firstTS), optional(lastTS), optional(ingested)
			ls.UploadSequenceToken = sequenceToken(id)
			ls.Arn = g.arn() + ":log-stream:" + ls.LogStreamName
			out.LogStreams = append(out.LogStreams, ls)
		}
		return first(rows.Err(), rows.Close())
	})
	return out, err
}

func optional(n sql.NullInt64) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.Int64
}

// sequenceToken looks as the service's did when uploads needed one.
func sequenceToken(stream int64) string { return fmt.Sprintf("4%055d", stream) }

// streamsAfter is a place in a list of streams: behind the stream with this
// time and name. begun is false for the first page.
type streamsAfter struct {
	byTime, desc, begun bool
	recent              int64
	name                string
}

func (p streamsAfter) query(group int64, prefix string) (string, []any) {
	text := "SELECT id, name, created, first, last, ingested, recent, bytes FROM stream WHERE loggroup = ?"
	args := []any{group}
	cmp, order := ">", ""
	if p.desc {
		cmp, order = "<", " DESC"
	}
	if p.byTime {
		if p.begun {
			text, args = text+" AND (recent, name) "+cmp+" (?, ?)", append(args, p.recent, p.name)
		}
		return text + " ORDER BY recent" + order + ", name" + order, args
	}
	if p.begun {
		text, args = text+" AND name "+cmp+" ?", append(args, p.name)
	}
	if prefix != "" {
		// Names are compared as bytes, and no text has the byte 0xFF.
		text += " AND name >= ? AND name < ?"
		args = append(args, prefix, prefix+"\xff")
	}
	return text + " ORDER BY name" + order, args
}

func (p streamsAfter) kind() string {
	kind := "n"
	if p.byTime {
		kind = "t"
	}
	if p.desc {
		kind = strings.ToUpper(kind)
	}
	return kind
}

func (p streamsAfter) token() string {
	return makeToken(p.kind() + strconv.FormatInt(p.recent, 10) + "/" + p.name)
}

func streamPlace(token string, byTime, desc bool) (streamsAfter, error) {
	p := streamsAfter{byTime: byTime, desc: desc}
	text, err := pageToken(token)
	if err != nil || token == "" {
		return p, err
	}
	rest, ok := strings.CutPrefix(text, p.kind())
	recent, name, ok2 := strings.Cut(rest, "/")
	if p.recent, err = strconv.ParseInt(recent, 10, 64); err != nil || !ok || !ok2 {
		return p, errToken()
	}
	p.begun, p.name = true, name
	return p, nil
}
