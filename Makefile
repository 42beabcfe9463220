# SPDX-License-Identifier: Apache-2.0
#
#   make demo    build, and run the main job: train, deploy, predict
#   make test    all tests; sets up by itself what they need

VERSION ?=
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build demo test test-go test-py venv bench lint generate clean

build: ## bin/sagebrush, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.buildVersion=$(VERSION)" -o bin/sagebrush ./cmd/sagebrush

demo: build ## the main job, from data that ships with the binary
	bin/sagebrush demo

test: venv test-go test-py ## everything but the benchmarks

test-go: ## go vet, and the Go tests under the race detector
	test/go.sh

test-py: build venv ## boto3, AWS CLI, SageMaker SDK v2 and v3 against bin/sagebrush
	test/py.sh $(PYTEST)

venv: ## the clients' virtual environments under .venv
	test/venv.sh boto3 sdk2 sdk3 quality

bench: build venv ## measures, and writes docs/benchmarks.md
	.venv/boto3/bin/python test/bench/bench.py

lint: ## gofmt, go vet, golangci-lint
	test/lint.sh $(GOLANGCI)

generate: ## messages and digests from the pinned botocore, then the coverage page
	test/generate.sh

clean: ## what was built, and the virtual environments
	rm -rf bin .venv .cache
