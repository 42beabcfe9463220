// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

func (s *Service) stageFeeds(ctx context.Context, j Job, mounts map[string][]runtime.Mount) error {
	return nil
}
func (s *Service) startFeed(ctx context.Context, j Job, m machine) error { return nil }
func (s *Service) feedFailure(id, host string) string                    { return "" }
