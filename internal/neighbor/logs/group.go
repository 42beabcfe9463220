// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

const classStandard = "STANDARD"

const insertGroup = "INSERT INTO loggroup (account, region, name, created, class, kms, protected, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

// createLogGroup is API_CreateLogGroup; it can answer
// ResourceAlreadyExistsException and InvalidParameterException.
func (s *Service) createLogGroup(ctx context.Context, in *wlogs.CreateLogGroupInput) (*wlogs.CreateLogGroupOutput, error) {
	if strings.HasPrefix(strings.ToLower(in.LogGroupName), "aws/") {
		return nil, invalid("Log groups starting with AWS/ are reserved for AWS.")
	}
	tags, err := json.Marshal(in.Tags)
	if err != nil {
		return nil, fmt.Errorf("write tags: %w", err)
	}
	class := in.LogGroupClass
	if class == "" {
		class = classStandard
	}
	protected := in.DeletionProtectionEnabled != nil && *in.DeletionProtectionEnabled
	c := auth.CallerFrom(ctx)
	err = s.file.Write(ctx, func(w sqlfile.Writer) error {
		res, err := w.Exec(insertGroup+" ON CONFLICT DO NOTHING", c.Account, c.Region, in.LogGroupName, s.now().UnixMilli(),
			class, in.KmsKeyId, protected, string(tags))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return first(err, exists("group"))
		}
		return nil
	})
	return &wlogs.CreateLogGroupOutput{}, err
}

// first is the first error that is one.
func first(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// deleteLogGroup is API_DeleteLogGroup: the group and its streams are gone at
// once, and their events too, though the disk gives up the space a little later.
func (s *Service) deleteLogGroup(ctx context.Context, in *wlogs.DeleteLogGroupInput) (*wlogs.DeleteLogGroupOutput, error) {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := findGroup(ctx, w, in.LogGroupName)
		if err != nil {
			return err
		}
		if g.protected {
			return fault.Validation("The log group %s has deletion protection enabled and cannot be deleted.", g.name)
		}
		for _, text := range []string{
			"INSERT INTO garbage SELECT id FROM stream WHERE loggroup = ?",
			"DELETE FROM stream WHERE loggroup = ?",
			"DELETE FROM loggroup WHERE id = ?",
		} {
			if _, err := w.Exec(text, g.id); err != nil {
				return err
			}
		}
		return nil
	})
	s.wake()
	return &wlogs.DeleteLogGroupOutput{}, err
}

// describeLogGroups is API_DescribeLogGroups, in the order of names.
func (s *Service) describeLogGroups(ctx context.Context, in *wlogs.DescribeLogGroupsInput) (*wlogs.DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	c := auth.CallerFrom(ctx)
	after, err := pageToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	text := groupColumns + " WHERE account = ? AND region = ? AND name > ?"
	args := []any{c.Account, c.Region, after}
	if p := in.LogGroupNamePrefix; p != "" {
		text, args = text+" AND name >= ? AND name < ?", append(args, p, p+"\xff")
	}
	if in.LogGroupNamePattern != "" {
		text, args = text+" AND instr(lower(name), ?) > 0", append(args, strings.ToLower(in.LogGroupNamePattern))
	}
	if in.LogGroupClass != "" {
		text, args = text+" AND class = ?", append(args, in.LogGroupClass)
	}
	if len(in.LogGroupIdentifiers) > 0 {
		text += " AND name IN (?" + strings.Repeat(", ?", len(in.LogGroupIdentifiers)-1) + ")"
		for _, id := range in.LogGroupIdentifiers {
			name, err := named("", id)
			if err != nil {
				return nil, err
			}
			args = append(args, name)
		}
	}
	limit := limitOf(in.Limit, 50)
	out := &wlogs.DescribeLogGroupsOutput{LogGroups: []wlogs.LogGroup{}}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, text+" ORDER BY name LIMIT ?", append(args, limit+1)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var found []group
		for rows.Next() {
			var g group
			if err := g.scan(rows); err != nil {
				return err
			}
			found = append(found, g)
		}
		if err := first(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if len(found) > limit {
			found = found[:limit]
			out.NextToken = makeToken(found[limit-1].name)
		}
		for _, g := range found {
			var size int64
			if err := q.QueryRowContext(ctx, "SELECT coalesce(sum(bytes), 0) FROM stream WHERE loggroup = ?", g.id).Scan(&size); err != nil {
				return err
			}
			lg := wlogs.LogGroup{LogGroupName: g.name, CreationTime: &g.created, MetricFilterCount: new(int64), Arn: g.arn() + ":*",
				LogGroupArn: g.arn(), StoredBytes: &size, KmsKeyId: g.kms, LogGroupClass: g.class}
			if g.retention > 0 {
				lg.RetentionInDays = &g.retention
			}
			if g.protected {
				lg.DeletionProtectionEnabled = &g.protected
			}
			out.LogGroups = append(out.LogGroups, lg)
		}
		return nil
	})
	return out, err
}

// retentions are the days that a group may keep its events, as the service
// lists them.
var retentions = []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// putRetentionPolicy is API_PutRetentionPolicy: older events are hidden at once
// and removed soon after.
func (s *Service) putRetentionPolicy(ctx context.Context, in *wlogs.PutRetentionPolicyInput) (*wlogs.PutRetentionPolicyOutput, error) {
	if in.RetentionInDays == nil || !slices.Contains(retentions, *in.RetentionInDays) {
		return nil, invalid("1 validation error detected: Value at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %s",
			strings.Join(strings.Fields(strings.Trim(fmt.Sprint(retentions), "[]")), ", "))
	}
	return &wlogs.PutRetentionPolicyOutput{}, s.setRetention(ctx, in.LogGroupName, *in.RetentionInDays)
}

// deleteRetentionPolicy is API_DeleteRetentionPolicy: events are kept for ever.
func (s *Service) deleteRetentionPolicy(ctx context.Context, in *wlogs.DeleteRetentionPolicyInput) (*wlogs.DeleteRetentionPolicyOutput, error) {
	return &wlogs.DeleteRetentionPolicyOutput{}, s.setRetention(ctx, in.LogGroupName, 0)
}

func (s *Service) setRetention(ctx context.Context, name string, days int64) error {
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		g, err := findGroup(ctx, w, name)
		if err != nil {
			return err
		}
		_, err = w.Exec("UPDATE loggroup SET retention = ? WHERE id = ?", days, g.id)
		return err
	})
	s.wake()
	return err
}

func limitOf(asked *int64, otherwise int) int {
	if asked == nil {
		return otherwise
	}
	return int(*asked)
}

// Tokens of lists are the place to go on from, in base 64 so that no client
// takes them apart.

func makeToken(place string) string { return base64.RawURLEncoding.EncodeToString([]byte("1" + place)) }

func pageToken(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) == 0 || b[0] != '1' {
		return "", errToken()
	}
	return string(b[1:]), nil
}

func errToken() error { return invalid("The specified nextToken is invalid.") }
