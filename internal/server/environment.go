// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/processing"
	"github.com/sagebrush-ml/sagebrush/internal/feature/training"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sts"
)

// surroundings are what containers are told of this server: where it is, and
// keys of the role that they work for.
type surroundings struct {
	url      string
	sessions *sts.Service
}

// spare is how much longer than its container a session lasts: staging comes
// before, uploading after.
const spare = 24 * time.Hour

// servingLasts is how long the session of a serving container lasts. It has no
// end of its own, and nobody renews the keys in its environment.
const servingLasts = 365 * 24 * time.Hour

// variables are the environment by which AWS's clients find this server and
// are known to it.
func (e surroundings) variables(ctx context.Context, role, name string, lasts time.Duration) (map[string]string, error) {
	key, err := e.sessions.Session(ctx, role, sessionName(name), lasts)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"AWS_ENDPOINT_URL": e.url, "S3_ENDPOINT_URL": e.url, // the second for the training toolkit of AWS's own images
		"AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret, "AWS_SESSION_TOKEN": key.SessionToken,
		"AWS_EC2_METADATA_DISABLED": "true",
	}, nil
}

// sessionName is a name as a role's session may have it: 64 characters at most.
func sessionName(name string) string { return name[:min(len(name), 64)] }

func (e surroundings) training(ctx context.Context, j training.Job) (map[string]string, error) {
	if d := j.Doc.EnableNetworkIsolation; d != nil && *d {
		return nil, nil // AWS gives no credentials to such a container
	}
	lasts := spare
	if c := j.Doc.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		lasts += time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	return e.variables(ctx, j.Doc.RoleArn, j.Key.Name, lasts)
}

func (e surroundings) processing(ctx context.Context, j processing.Job) (map[string]string, error) {
	if n := j.Doc.NetworkConfig; n != nil && n.EnableNetworkIsolation != nil && *n.EnableNetworkIsolation {
		return nil, nil
	}
	lasts := spare
	if c := j.Doc.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		lasts += time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	return e.variables(ctx, j.Doc.RoleArn, j.Key.Name, lasts)
}

func (e surroundings) serving(ctx context.Context, role, endpoint string) (map[string]string, error) {
	return e.variables(ctx, role, endpoint, servingLasts)
}
