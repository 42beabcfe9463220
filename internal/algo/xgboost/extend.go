// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// hooks are told of a training run as it goes.
type hooks struct {
	// keep is called after each round on the first host, with the model so far.
	keep func(m *Model, round int) error
	// seen is told the metrics of a round, by data set.
	seen func(values [][]float64)
}

// extend makes t.model begin with all that t.from has learned, whose margins it
// gives to the data sets. What a model says of its best round is forgotten:
// there will be later ones.
func (t *booster) extend(ctx context.Context) error {
	from, m := t.from, t.model
	switch {
	case from.compact:
		return fmt.Errorf("go on with a model: %w", errCompact)
	case from.booster != m.booster:
		return algo.ClientErrorf("booster: the model to go on with is of the booster %s, and %s is asked for", from.kind(), m.kind())
	case from.width != m.width:
		return algo.ClientErrorf("the model to go on with has %d outputs, and %s has %d", from.width, m.objective, m.width)
	case from.booster != linearBooster && from.parallel != m.parallel:
		return algo.ClientErrorf("num_parallel_tree: the model to go on with has %d parallel trees, and %d are asked for", from.parallel, m.parallel)
	case from.features < m.features:
		return algo.ClientErrorf("Feature shape mismatch, expected: %d, got %d: the model to go on with", from.features, m.features)
	}
	m.features, m.names = from.features, from.names
	if m.types == nil {
		m.types = from.types
	}
	m.encoding = from.encoding
	m.trees, m.class = slices.Clone(from.trees), slices.Clone(from.class)
	m.weights, m.linear, m.rounds = slices.Clone(from.weights), slices.Clone(from.linear), from.rounds
	m.bounds = slices.Clone(from.bounds)
	for m.booster == linearBooster && len(m.bounds) <= m.rounds {
		m.bounds = append(m.bounds, 0)
	}
	m.attributes = maps.Clone(from.attributes)
	for _, name := range []string{"best_iteration", "best_score", "best_ntree_limit"} {
		delete(m.attributes, name)
	}
	whole := *m // the trees behind the best round too
	if err := whole.prepare(); err != nil {
		return err
	}
	for _, set := range t.sets {
		p, err := whole.PredictMargin(ctx, set.m)
		if err != nil {
			return fmt.Errorf("%s channel: %w", set.name, err)
		}
		set.margins = p.Values
	}
	return nil
}

// kind is the name of the model's booster.
func (m *Model) kind() string {
	if m.booster == "" {
		return "gbtree"
	}
	return m.booster
}

// givenModel reads the model of a channel: the artifact of a training job, packed
// or unpacked, or a model file. There must be one.
func givenModel(ch *algo.Channel) (*Model, error) {
	var found []*Model
	var failed []error
	take := func(name string, b []byte) {
		m, err := ReadModel(b)
		if err != nil {
			failed = append(failed, fmt.Errorf("file %s: %w", name, err))
			return
		}
		found = append(found, m)
	}
	err := filepath.WalkDir(ch.Dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(e.Name(), ".") && at != ch.Dir {
			return err
		}
		if info, err := os.Stat(at); err != nil || !info.Mode().IsRegular() {
			return err
		}
		name, err := filepath.Rel(ch.Dir, at)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") {
			return unpackModel(at, name, take)
		}
		b, err := os.ReadFile(at)
		if err == nil {
			take(name, b)
		}
		return err
	})
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s channel: %w", ch.Name, err)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, algo.ClientErrorf("%s channel: holds %d models; training goes on with one", ch.Name, len(found))
	case len(failed) > 0:
		return nil, algo.ClientErrorf("%s channel: %w", ch.Name, errors.Join(failed...))
	}
	return nil, algo.ClientErrorf("%s channel: holds no model", ch.Name)
}

// mostModel bounds what is unpacked of an archive, in bytes.
const mostModel = 16 << 30

// unpackModel gives take the files of a packed artifact.
func unpackModel(at, name string, take func(name string, b []byte)) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	broken := func(err error) error { return algo.ClientErrorf("file %s: is no packed artifact: %w", name, err) }
	z, err := gzip.NewReader(f)
	if err != nil {
		return broken(err)
	}
	for r := tar.NewReader(io.LimitReader(z, mostModel)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		base := path.Base(head.Name)
		// Other folders hold programs.
		if head.Typeflag != tar.TypeReg || strings.HasPrefix(base, ".") || strings.Contains(path.Clean(head.Name), "/") {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return broken(err)
		}
		take(name+": "+head.Name, b)
	}
}
