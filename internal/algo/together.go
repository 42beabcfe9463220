// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// together does work as one of several hosts: with in.Peers connected, and such
// that the failure of one host is told to all.
func together(ctx context.Context, root string, in Input, work func(Input) error) error {
	key, err := jobKey(root, in.Hosts)
	if err != nil {
		return err
	}
	in.Log.Info("Waiting for the other hosts", "hosts", strings.Join(in.Hosts, ","))
	in.Peers, err = collective.Join(ctx, collective.Options{Host: in.Host, Hosts: in.Hosts, Key: key, Log: in.Log})
	if err != nil {
		return fromPeer(err)
	}
	ended := false
	defer func() {
		if !ended { // a panic, which RunTrain reports
			in.Peers.Abort(errors.New("the algorithm panicked"), collective.Failed)
		}
	}()
	err = work(in)
	ended = true
	if err == nil {
		in.Peers.Close()
		return nil
	}
	in.Peers.Abort(err, causeOf(err))
	return fromPeer(err)
}

// jobKey is what the hosts of one attempt at a job have in common and other
// jobs have not: its name, ARN, hosts and hyperparameters. It keeps jobs apart;
// it is no secret from who can describe the job.
func jobKey(root string, hosts []string) ([]byte, error) {
	params, err := os.ReadFile(filepath.Join(root, "input", "config", "hyperparameters.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read hyperparameters.json: %w", err)
	}
	sum := sha256.New()
	for _, part := range []string{os.Getenv("TRAINING_JOB_NAME"), os.Getenv("TRAINING_JOB_ARN"), strings.Join(hosts, ","), string(params)} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return sum.Sum(nil), nil
}

// causeOf is how other hosts are told of err.
func causeOf(err error) collective.Cause {
	if host, ok := errors.AsType[*collective.HostError](err); ok {
		return host.Cause
	}
	switch {
	case errors.Is(err, context.Canceled):
		return collective.Stopped
	case IsClientError(err):
		return collective.Client
	}
	return collective.Failed
}

// fromPeer makes the failure of another host one of this host: what was the
// user's to mend there is so here.
func fromPeer(err error) error {
	if host, ok := errors.AsType[*collective.HostError](err); ok && host.Cause == collective.Client && !IsClientError(err) {
		return ClientErrorf("%w", err)
	}
	return err
}

// stoppedElsewhere tells whether err is that another host was told to stop.
func stoppedElsewhere(err error) bool {
	host, ok := errors.AsType[*collective.HostError](err)
	return ok && host.Cause == collective.Stopped
}
