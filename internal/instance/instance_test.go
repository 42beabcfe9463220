// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/model"
)

func TestLookup(t *testing.T) {
	tests := []struct {
		name string
		want Type
	}{
		{"ml.m5.large", Type{VCPU: 2, MemoryGiB: 8}},
		{"ml.m5.24xlarge", Type{VCPU: 96, MemoryGiB: 384}},
		{"ml.m8g.medium", Type{VCPU: 1, MemoryGiB: 4}},
		{"ml.c4.large", Type{VCPU: 2, MemoryGiB: 3.75}},
		{"ml.c5.9xlarge", Type{VCPU: 36, MemoryGiB: 72}},
		{"ml.c5n.18xlarge", Type{VCPU: 72, MemoryGiB: 192}},
		{"ml.r7i.48xlarge", Type{VCPU: 192, MemoryGiB: 1536}},
		{"ml.t3.medium", Type{VCPU: 2, MemoryGiB: 4}},
		{"ml.g4dn.xlarge", Type{VCPU: 4, MemoryGiB: 16, GPUs: 1, GPUModel: "NVIDIA T4", GPUMemoryGiB: 16}},
		{"ml.p3.16xlarge", Type{VCPU: 64, MemoryGiB: 488, GPUs: 8, GPUModel: "NVIDIA V100", GPUMemoryGiB: 16}},
		{"ml.inf2.xlarge", Type{VCPU: 4, MemoryGiB: 16, Chips: 1, ChipModel: "AWS Inferentia2"}},
	}
	for _, tt := range tests {
		tt.want.Name = tt.name
		if got, ok := Lookup(tt.name); !ok || got != tt.want {
			t.Errorf("%s is %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
	for _, name := range []string{"", "m5.large", "ml.m5.huge", "ml.m5.3xlarge", "local"} {
		if got, ok := Lookup(name); ok {
			t.Errorf("%q is %+v", name, got)
		}
	}
	c4, _ := Lookup("ml.c4.large")
	if c4.MilliCPU() != 2000 || c4.MemoryBytes() != 15<<28 {
		t.Errorf("ml.c4.large has %d mCPU and %d bytes", c4.MilliCPU(), c4.MemoryBytes())
	}
	types := All()
	if len(types) < 300 {
		t.Errorf("only %d types", len(types))
	}
	for _, typ := range types {
		if typ.VCPU < 1 || typ.MemoryGiB < 0.5 || (typ.GPUs > 0) != (typ.GPUModel != "") || (typ.Chips > 0) != (typ.ChipModel != "") {
			t.Errorf("%+v is not whole", typ)
		}
	}
}

// Whatever the service takes must be known here, or the task would run without
// limits.
func TestEveryTypeOfTheModelIsKnown(t *testing.T) {
	digest, err := model.Digest("sagemaker")
	if err != nil {
		t.Fatal(err)
	}
	var service model.Service
	if err := json.Unmarshal(digest, &service); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, shape := range []string{"TrainingInstanceType", "ProcessingInstanceType", "TransformInstanceType",
		"ProductionVariantInstanceType", "InstanceType", "AppInstanceType"} {
		for _, name := range service.Shapes[shape].Enum {
			// "system" and the geospatial type are no machines, and the measures of g7 are not public yet.
			if name == "system" || name == "ml.geospatial.interactive" || strings.HasPrefix(name, "ml.g7.") {
				continue
			}
			seen++
			if _, ok := Lookup(name); !ok {
				t.Errorf("%s of %s is not in the table", name, shape)
			}
		}
	}
	if seen < 500 {
		t.Errorf("only %d types in the model", seen)
	}
}
