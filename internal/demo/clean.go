// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// endpoint is one in a list.
type endpoint struct{ EndpointName, EndpointStatus string }

// endpoints lists the demonstration's endpoints that were made before a time.
func endpoints(ctx context.Context, c *client.Client, before time.Time) ([]endpoint, error) {
	var out []endpoint
	in := map[string]any{"NameContains": prefix, "MaxResults": 100, "CreationTimeBefore": before.Unix()}
	for {
		var page struct {
			Endpoints []endpoint
			NextToken string
		}
		if err := c.Call(ctx, client.SageMaker, "ListEndpoints", in, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Endpoints {
			if strings.HasPrefix(e.EndpointName, prefix) {
				out = append(out, e)
			}
		}
		if page.NextToken == "" {
			return out, nil
		}
		in["NextToken"] = page.NextToken
	}
}

// deleteAll deletes what is settled among list, but for the endpoint keep. It
// returns how many it deleted.
func deleteAll(ctx context.Context, c *client.Client, list []endpoint, keep string) (int, error) {
	deleted := 0
	for _, e := range list {
		if e.EndpointName == keep || e.EndpointStatus != "InService" && e.EndpointStatus != "Failed" {
			continue
		}
		err := c.Call(ctx, client.SageMaker, "DeleteEndpoint", map[string]any{"EndpointName": e.EndpointName}, nil)
		switch {
		case err == nil:
			deleted++
		case fault.Of(err) == nil: // a fault: somebody else has deleted it
			return deleted, err
		}
	}
	return deleted, nil
}

// tidy deletes the endpoints of earlier runs, each of which holds a process.
// Those of the last half minute are left: another run may be asking one.
func (r *run) tidy(ctx context.Context) (string, error) {
	list, err := endpoints(ctx, r.Client, time.Now().Add(-30*time.Second))
	if err != nil {
		return "", err
	}
	deleted, err := deleteAll(ctx, r.Client, list, r.name)
	if deleted == 0 || err != nil {
		return "", err
	}
	return fmt.Sprintf("deleted %d endpoint(s) of earlier demonstrations", deleted), nil
}

// Clean deletes all endpoints that demonstrations made and waits until they
// are gone. It returns how many there were.
func Clean(ctx context.Context, c *client.Client) (int, error) {
	total := 0
	err := poll(ctx, "endpoints to go", func() (string, bool, error) {
		list, err := endpoints(ctx, c, time.Now().Add(time.Minute))
		if err != nil {
			return "", false, err
		}
		deleted, err := deleteAll(ctx, c, list, "")
		total += deleted
		return fmt.Sprintf("%d left", len(list)), len(list) == 0, err
	}, func(string, time.Duration) {})
	return total, err
}
