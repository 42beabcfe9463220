// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

var _ telemetry.Metrics = (*Service)(nil)

// series is a metric with its dimensions and unit.
type series struct {
	account, region, namespace, name, unit string
	dims                                   string // as stored

	id   int64 // 0 until it is stored
	last int64 // seconds, as stored
}

// cell is a second of a series.
type cell struct {
	*series
	ts int64
}

// maxGathered bounds what waits to be written; a Put beyond it writes first.
const maxGathered = 100_000

// Put implements telemetry.Metrics. The data are in memory when it returns, on
// disk half a second later. A datum without a time has the present one; one
// that is no finite number is left out.
func (s *Service) Put(ctx context.Context, account, region, namespace string, data []telemetry.Datum) error {
	now := s.now()
	s.mu.Lock()
	for i := range data {
		d := &data[i]
		at := s.cell(account, region, namespace, d.Name, d.Unit, d.Dimensions, d.Time, now)
		if len(d.Values) == 0 {
			if finite(d.Value) {
				at.add(d.Value, 1)
			}
			continue
		}
		for j, v := range d.Values {
			n := 1.0
			if j < len(d.Counts) {
				n = d.Counts[j]
			}
			if finite(v) && n > 0 && finite(n) {
				at.add(v, n)
			}
		}
	}
	full := len(s.gathered) > maxGathered
	s.mu.Unlock()
	if full {
		return s.Flush(ctx)
	}
	return nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// cell finds where a datum is gathered. It is called with mu.
func (s *Service) cell(account, region, namespace, name, unit string, dims []telemetry.Dimension, t, now time.Time) *stats {
	if t.IsZero() {
		t = now
	}
	if unit == "" {
		unit = "None"
	}
	byName := func(a, b telemetry.Dimension) int { return cmp.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(dims, byName) {
		dims = slices.Clone(dims)
		slices.SortFunc(dims, byName)
	}
	key := s.key[:0]
	for _, part := range [...]string{account, region, namespace, name, unit} {
		key = append(binary.AppendUvarint(key, uint64(len(part))), part...)
	}
	for _, d := range dims {
		key = append(binary.AppendUvarint(key, uint64(len(d.Name))), d.Name...)
		key = append(binary.AppendUvarint(key, uint64(len(d.Value))), d.Value...)
	}
	s.key = key
	se := s.known[string(key)]
	if se == nil {
		se = &series{account: account, region: region, namespace: namespace, name: name, unit: unit, dims: dimsText(dims)}
		s.known[string(key)] = se
	}
	c := cell{se, t.Unix()}
	st := s.gathered[c]
	if st == nil {
		st = &stats{}
		s.gathered[c] = st
	}
	return st
}

// dimsText is dimensions, ordered by name, as they are stored.
func dimsText(dims []telemetry.Dimension) string {
	pairs := make([][2]string, len(dims))
	for i, d := range dims {
		pairs[i] = [2]string{d.Name, d.Value}
	}
	b, err := json.Marshal(pairs)
	if err != nil {
		panic(fmt.Sprintf("cloudwatch: dimensions as JSON: %v", err)) // strings always can
	}
	return string(b)
}

// Flush writes what was gathered. When it fails nothing is lost: the data are
// gathered again and the next Flush takes them.
func (s *Service) Flush(ctx context.Context) error {
	select {
	case <-s.flushing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.flushing <- struct{}{} }()
	s.mu.Lock()
	batch := s.gathered
	if len(batch) == 0 {
		s.mu.Unlock()
		return nil
	}
	s.gathered = make(map[cell]*stats, len(batch))
	s.mu.Unlock()

	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		for c, st := range batch {
			if st.count == 0 {
				continue
			}
			if err := store(ctx, w, c, st); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, st := range batch {
		c.id, c.last = 0, 0 // what was made in the transaction is undone
		if later := s.gathered[c]; later != nil {
			st.merge(later)
		}
		s.gathered[c] = st
	}
	return fmt.Errorf("write %d metric samples: %w", len(batch), err)
}

// store adds st to the sample of the second, and makes its series.
func store(ctx context.Context, w sqlfile.Writer, c cell, st *stats) error {
	if c.id == 0 {
		err := w.QueryRowContext(ctx, `INSERT INTO series (account, region, namespace, name, dims, unit, last) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET last = max(last, excluded.last) RETURNING id, last`,
			c.account, c.region, c.namespace, c.name, c.dims, c.unit, c.ts).Scan(&c.series.id, &c.series.last)
		if err != nil {
			return fmt.Errorf("store series: %w", err)
		}
	} else if c.ts >= c.last+60 { // to the minute is enough for those who ask
		c.series.last = c.ts
		if _, err := w.Exec("UPDATE series SET last = max(last, ?) WHERE id = ?", c.ts, c.id); err != nil {
			return err
		}
	}
	return mix(ctx, w, c.id, 1, c.ts, st)
}

// mix adds st to a stored sample, or makes that.
func mix(ctx context.Context, w sqlfile.Writer, id, res, ts int64, st *stats) error {
	res1, err := w.Exec("INSERT INTO sample (series, res, ts, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", id, res, ts, st.encode())
	if err != nil {
		return err
	}
	if n, err := res1.RowsAffected(); err != nil || n == 1 {
		return err
	}
	var data []byte
	if err := w.QueryRowContext(ctx, "SELECT data FROM sample WHERE series = ? AND res = ? AND ts = ?", id, res, ts).Scan(&data); err != nil {
		return err
	}
	old, err := decode(data)
	if err != nil {
		return err
	}
	old.merge(st)
	_, err = w.Exec("UPDATE sample SET data = ? WHERE series = ? AND res = ? AND ts = ?", old.encode(), id, res, ts)
	return err
}

// The bounds of PutMetricData, as the service documents them.
const (
	maxData   = 1000
	maxValues = 150
	oldest    = 14 * 24 * time.Hour
	newest    = 2 * time.Hour
)

var largest = math.Ldexp(1, 360)

// putMetricData is API_PutMetricData. All data are checked before any counts.
func (s *Service) putMetricData(ctx context.Context, in *wcw.PutMetricDataInput) (*wcw.PutMetricDataOutput, error) {
	if strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, invalid("The value AWS/ for parameter Namespace is invalid.")
	}
	data := slices.Clone(in.MetricData)
	for _, e := range in.EntityMetricData {
		data = append(data, e.MetricData...)
	}
	switch {
	case len(data) == 0:
		return nil, missing("The parameter MetricData is required.")
	case len(data) > maxData:
		return nil, invalid("The collection MetricData must not have a size greater than %d.", maxData)
	}
	now := s.now()
	for i := range data {
		if err := checkDatum(&data[i], fmt.Sprintf("MetricData.member.%d", i+1), now); err != nil {
			return nil, err
		}
	}
	c := auth.CallerFrom(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range data {
		d := &data[i]
		at := s.cell(c.Account, c.Region, in.Namespace, d.MetricName, d.Unit, dimensions(d.Dimensions), d.Timestamp.Time, now)
		switch {
		case d.StatisticValues != nil:
			v := d.StatisticValues
			at.total(*v.SampleCount, *v.Sum, *v.Minimum, *v.Maximum)
			if *v.Minimum == *v.Maximum {
				at.spread(*v.Minimum, *v.SampleCount)
			} else {
				at.blind = true
			}
		case d.Value != nil:
			at.add(*d.Value, 1)
		default:
			for j, v := range d.Values {
				n := 1.0
				if len(d.Counts) > 0 {
					n = d.Counts[j]
				}
				if n > 0 {
					at.add(v, n)
				}
			}
		}
	}
	return &wcw.PutMetricDataOutput{}, nil
}

func dimensions(dims []wcw.Dimension) []telemetry.Dimension {
	out := make([]telemetry.Dimension, len(dims))
	for i, d := range dims {
		out[i] = telemetry.Dimension{Name: d.Name, Value: d.Value}
	}
	return out
}

func checkDatum(d *wcw.MetricDatum, path string, now time.Time) error {
	var set []string
	if d.Value != nil {
		set = append(set, "Value")
	}
	if d.StatisticValues != nil {
		set = append(set, "StatisticValues")
	}
	if len(d.Values) > 0 {
		set = append(set, "Values")
	}
	switch {
	case len(set) == 0:
		return missing("At least one of the parameters %s.Value, %s.Values and %s.StatisticValues must be specified.", path, path, path)
	case len(set) > 1:
		return combined("The parameters %s.%s and %s.%s are mutually exclusive and you have specified both.", path, set[0], path, set[1])
	case len(d.Values) > maxValues:
		return invalid("The collection %s.Values must not have a size greater than %d.", path, maxValues)
	case len(d.Counts) > 0 && len(d.Counts) != len(d.Values):
		return invalid("The parameters %s.Values and %s.Counts must be of the same size.", path, path)
	}
	numbers := slices.Concat(d.Values, d.Counts)
	if d.Value != nil {
		numbers = append(numbers, *d.Value)
	}
	if v := d.StatisticValues; v != nil {
		numbers = append(numbers, *v.SampleCount, *v.Sum, *v.Minimum, *v.Maximum)
		if *v.SampleCount <= 0 || *v.Minimum > *v.Maximum {
			return invalid("The parameter %s.StatisticValues is inconsistent: SampleCount must be positive and Minimum must not exceed Maximum.", path)
		}
	}
	for _, f := range numbers {
		if !finite(f) || math.Abs(f) > largest {
			return invalid("The value %v for parameter %s.Value is invalid.", f, path)
		}
	}
	for _, f := range d.Counts {
		if f < 0 {
			return invalid("The value %v for parameter %s.Counts is invalid.", f, path)
		}
	}
	if t := d.Timestamp; !t.IsZero() {
		if t.Before(now.Add(-oldest)) || t.After(now.Add(newest)) {
			return invalid("The parameter %s.Timestamp must be within the past two weeks and at most two hours in the future.", path)
		}
	}
	if r := d.StorageResolution; r != nil && *r != 1 && *r != 60 {
		return invalid("The value %d for parameter %s.StorageResolution is invalid.", *r, path)
	}
	return nil
}
