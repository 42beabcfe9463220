// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// Alarm takes an action of an alarm that names a scaling policy, so that
// CloudWatch's history tells it as done. It does no more than wake the loop,
// which sees by itself which alarms are in ALARM. An ARN that is no policy's is
// an error.
func (s *Service) Alarm(ctx context.Context, account, region, action string, _ []byte) error {
	var n int
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		return q.QueryRowContext(ctx, `SELECT count(*) FROM policy JOIN target ON target.id = policy.target
			WHERE account = ? AND region = ? AND json_extract(doc, '$.PolicyARN') = ?`, account, region, action).Scan(&n)
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("no scaling policy found for %s", action)
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return nil
}
