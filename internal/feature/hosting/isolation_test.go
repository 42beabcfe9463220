// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestAnIsolatedContainerHasNoNetworkAndGetsNoKeys(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		w := newWorld(t)
		w.service.launcher.Env = func(_ context.Context, role, endpoint string) (map[string]string, error) {
			return map[string]string{"AWS_ACCESS_KEY_ID": role + " " + endpoint}, nil
		}
		call(w, sm.CreateModel, &sm.CreateModelInput{ModelName: "m", ExecutionRoleArn: goodRole, EnableNetworkIsolation: &isolated,
			PrimaryContainer: &sm.ContainerDefinition{Image: goodImage, ModelDataUrl: "s3://bucket/model.tar.gz"}})
		w.config("c", "m", "A")
		call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
		if d := w.settled("e"); d.EndpointStatus != "InService" {
			t.Fatalf("isolated %t: %+v", isolated, d)
		}
		key, network := goodRole+" e", runtime.Open
		if isolated {
			key, network = "", runtime.None
		}
		for _, task := range w.runtime.Tasks() {
			if task.Env["AWS_ACCESS_KEY_ID"] != key || task.Network != network {
				t.Errorf("isolated %t: the key is %q, the network %q", isolated, task.Env["AWS_ACCESS_KEY_ID"], task.Network)
			}
		}
		if len(w.runtime.Tasks()) == 0 {
			t.Fatal("no task was started")
		}
	}
}
