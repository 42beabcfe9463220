// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// deployment is what an endpoint's record remembers beside Describe.
type deployment struct {
	Seed   string  `json:"seed"`   // tells this endpoint from an earlier one of its name
	Serial int     `json:"serial"` // generation of the newest fleet
	Fleets []fleet `json:"fleets"`
}

// role is what a fleet is for.
type role string

const (
	current role = "current" // gets the traffic
	next    role = "next"    // is being started, and takes the traffic once it is healthy
	old     role = "old"     // has to go
)

// fleet is a config as it was when the endpoint took it.
type fleet struct {
	Generation int       `json:"generation"`
	Role       role      `json:"role"`
	Config     string    `json:"config"`
	Since      time.Time `json:"since"`
	Variants   []variant `json:"variants"`
}

// variant is one production variant of a fleet.
type variant struct {
	Name         string            `json:"name"`
	Image        string            `json:"image"`
	Resolved     string            `json:"resolved"`
	Env          map[string]string `json:"env,omitempty"`
	Data         *modelData        `json:"data,omitempty"`
	Role         string            `json:"role,omitempty"`     // the model's
	Isolated     bool              `json:"isolated,omitempty"` // the model's EnableNetworkIsolation
	InstanceType string            `json:"instanceType"`
	Weight       float64           `json:"weight"`
	Count        int               `json:"count"`   // wanted
	Highest      int               `json:"highest"` // instances that ever were: those from Count on have to go
	Startup      time.Duration     `json:"startup"` // how long an instance may take to answer /ping
}

// spot names one place for an instance: which of a variant of a fleet.
type spot struct {
	generation, variant, index int
}

func (d *deployment) fleetOf(r role) *fleet {
	for i := range d.Fleets {
		if d.Fleets[i].Role == r {
			return &d.Fleets[i]
		}
	}
	return nil
}

// taskID derives the task's name from the endpoint's identity.
func (d *deployment) taskID(at spot) runtime.ID {
	return runtime.ID(fmt.Sprintf("ep-%s-g%d-v%d-i%d", d.Seed, at.generation, at.variant, at.index))
}

// spots are all places that the deployment knows, wanted or not.
func (d *deployment) spots() []spot {
	var out []spot
	for _, f := range d.Fleets {
		for v := range f.Variants {
			for i := range max(f.Variants[v].Count, f.Variants[v].Highest) {
				out = append(out, spot{f.Generation, v, i})
			}
		}
	}
	return out
}

func (d *deployment) at(sp spot) (*fleet, *variant) {
	for i := range d.Fleets {
		if d.Fleets[i].Generation == sp.generation {
			return &d.Fleets[i], &d.Fleets[i].Variants[sp.variant]
		}
	}
	return nil, nil
}

// seedOf tells an endpoint from an earlier one of the same name.
func seedOf(arn string, t time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s@%d", arn, t.UnixNano()))
	return hex.EncodeToString(sum[:6])
}

// startupDefault is how long a container may take until /ping answers.
// Source: "How Containers Serve Requests".
const startupDefault = 4 * time.Minute

// plan copies a config and its models into a new fleet.
func (s *Service) plan(ctx context.Context, config *sm.DescribeEndpointConfigOutput) (fleet, error) {
	f := fleet{Config: config.EndpointConfigName, Since: s.Now().UTC()}
	for _, pv := range config.ProductionVariants {
		m, err := s.models.Find(ctx, pv.ModelName)
		if err != nil {
			return fleet{}, err
		}
		c := m.Doc.PrimaryContainer
		if c == nil {
			c = &m.Doc.Containers[0]
		}
		img, err := s.Images.Image(ctx, c.Image, needsOf(c.Environment))
		if err != nil {
			return fleet{}, fmt.Errorf("image of model %s: %w", pv.ModelName, err)
		}
		v := variant{Name: pv.VariantName, Image: c.Image, Resolved: img.Resolved, Env: c.Environment,
			InstanceType: pv.InstanceType, Weight: *pv.InitialVariantWeight, Count: int(*pv.InitialInstanceCount),
			Startup: startupDefault, Role: m.Doc.ExecutionRoleArn, Isolated: m.Doc.EnableNetworkIsolation != nil && *m.Doc.EnableNetworkIsolation}
		v.Highest = v.Count
		if t := pv.ContainerStartupHealthCheckTimeoutInSeconds; t != nil {
			v.Startup = time.Duration(*t) * time.Second
		}
		if d, ok, err := dataOf(c); err != nil {
			return fleet{}, err
		} else if ok {
			v.Data = &d
		}
		f.Variants = append(f.Variants, v)
	}
	return f, nil
}

type endpointRecord = resource.Record[sm.DescribeEndpointOutput, deployment]
