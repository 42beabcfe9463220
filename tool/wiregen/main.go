// SPDX-License-Identifier: Apache-2.0

// Wiregen turns the service models of a botocore wheel into what the wire
// package works with: a digest per service under model/ (shapes, constraints,
// errors, bindings; no prose) and a Go package per service under internal/wire/
// (messages and operation values).
//
//	go run ./tool/wiregen -wheel botocore-1.44.5-py3-none-any.whl
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"
)

type serviceEntry struct {
	Name    string   `yaml:"name"`
	Package string   `yaml:"package"`
	Only    []string `yaml:"only"`
}

type quirks struct {
	Patterns map[string]struct {
		Match string `yaml:"match"`
		Not   string `yaml:"not"`
	} `yaml:"patterns"`
	Open  []string `yaml:"open"`  // shapes whose enum is left out: "sqs.QueueAttributeName"
	Shown []string `yaml:"shown"` // members that are answered when empty: "sagemaker.OutputDataConfig.KmsKeyId"
}

func main() {
	wheel := flag.String("wheel", "", "botocore wheel to read")
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := run(*wheel, *root); err != nil {
		fmt.Fprintln(os.Stderr, "wiregen:", err)
		os.Exit(1)
	}
}

func run(wheel, root string) error {
	var list struct {
		Services []serviceEntry `yaml:"services"`
	}
	if err := readYAML(filepath.Join(root, "model/services.yaml"), &list); err != nil {
		return err
	}
	var q quirks
	if err := readYAML(filepath.Join(root, "model/quirks.yaml"), &q); err != nil {
		return err
	}
	for _, s := range list.Services {
		digest, err := readService(wheel, s, q)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if err := writeDigest(filepath.Join(root, "model", s.Name+".json"), digest); err != nil {
			return err
		}
		if err := writePackage(filepath.Join(root, "internal/wire", s.Package), s.Package, digest); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

func readYAML(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
