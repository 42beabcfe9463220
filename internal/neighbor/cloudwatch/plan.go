// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// plan is a list of metric queries that was checked: which of them are
// expressions, what those use, and how long the periods are.
type plan struct {
	queries []query
	order   []int // of the expressions, each after those that it uses
}

type query struct {
	*wcw.MetricDataQuery
	expr   *node // nil for a metric
	shape  shape
	period int64 // seconds
	uses   []int // all queries of metrics that it needs, itself for a metric
}

// returned tells whether the caller wants to see the query's data.
func (q *query) returned() bool { return q.ReturnData == nil || *q.ReturnData }

// newPlan checks the queries of a request; name is that of the member that
// holds them. It answers ValidationError.
func newPlan(queries []wcw.MetricDataQuery, name string) (*plan, error) {
	p := &plan{queries: make([]query, len(queries))}
	byID := map[string]int{}
	for i := range queries {
		q, path := &queries[i], fmt.Sprintf("%s.member.%d", name, i+1)
		p.queries[i] = query{MetricDataQuery: q}
		switch {
		case !queryID.MatchString(q.Id):
			return nil, validation("The value %s for parameter %s.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.Id, path)
		case q.Expression != "" && q.MetricStat != nil:
			return nil, validation("The parameters %s.Expression and %s.MetricStat are mutually exclusive and you have specified both.", path, path)
		case q.Expression == "" && q.MetricStat == nil:
			return nil, validation("Either %s.Expression or %s.MetricStat must be specified.", path, path)
		}
		if _, ok := byID[q.Id]; ok {
			return nil, validation("The values for parameter Id in %s are not unique.", name)
		}
		byID[q.Id] = i
		if q.MetricStat == nil {
			if q.Period != nil && !goodPeriod(*q.Period) {
				return nil, validation(periodText, path+".Period")
			}
			continue
		}
		if err := checkMetricStat(q.MetricStat, path); err != nil {
			return nil, err
		}
		p.queries[i].shape, p.queries[i].period, p.queries[i].uses = oneSeries, *q.MetricStat.Period, []int{i}
	}
	for i := range p.queries {
		q := &p.queries[i]
		if q.Expression == "" {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(q.Expression)), "SELECT ") {
			return nil, mathError(q.Id, fmt.Errorf("queries of Metrics Insights are not supported by Sagebrush"))
		}
		var err error
		if q.expr, err = parseMath(q.Expression); err != nil {
			return nil, mathError(q.Id, err)
		}
	}
	return p, p.arrange(byID)
}

func checkMetricStat(m *wcw.MetricStat, path string) error {
	switch {
	case m.Metric.Namespace == "" || m.Metric.MetricName == "":
		return validation("The parameters %s.MetricStat.Metric.Namespace and MetricName are required.", path)
	case !goodPeriod(*m.Period):
		return validation(periodText, path+".MetricStat.Period")
	}
	if _, ok := statisticOf(m.Stat); !ok {
		return validation("The value %s for parameter %s.MetricStat.Stat is not supported.", m.Stat, path)
	}
	return nil
}

func mathError(id string, err error) error {
	return validation("Error in expression '%s': %s.", id, err)
}

// arrange orders the expressions, and finds their shapes and periods.
func (p *plan) arrange(byID map[string]int) error {
	known := map[string]shape{}
	for _, q := range p.queries {
		if q.expr == nil {
			known[q.Id] = oneSeries
		}
	}
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(p.queries))
	var visit func(i int) error
	visit = func(i int) error {
		q := &p.queries[i]
		if q.expr == nil || state[i] == done {
			return nil
		}
		if state[i] == open {
			return mathError(q.Id, fmt.Errorf("it depends on itself"))
		}
		state[i] = open
		uses := map[int]bool{}
		var failed error
		q.expr.walk(func(n *node) {
			switch {
			case failed != nil:
			case n.kind == isQuery:
				j, ok := byID[n.text]
				if !ok {
					return // shapeOf says it, where it is no word of a function
				}
				failed = visit(j)
				for _, m := range p.queries[j].uses {
					uses[m] = true
				}
			case n.kind == isCall && n.text == "METRICS":
				for j, m := range p.queries {
					if m.expr == nil {
						uses[j] = true
					}
				}
			}
		})
		if failed != nil {
			return failed
		}
		s, err := q.expr.shapeOf(known)
		if err != nil {
			return mathError(q.Id, err)
		}
		if s == scalar && q.returned() {
			return mathError(q.Id, fmt.Errorf("it gives a number; an expression that returns data must give a time series. TIME_SERIES makes one of a number"))
		}
		known[q.Id], q.shape, state[i] = s, s, done
		for j := range p.queries {
			if uses[j] {
				q.uses = append(q.uses, j)
			}
		}
		if err := p.setPeriod(q); err != nil {
			return err
		}
		p.order = append(p.order, i)
		return nil
	}
	for i := range p.queries {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// setPeriod gives an expression the period of its metrics, or, where it has
// none, the one that was asked for, or a minute.
func (p *plan) setPeriod(q *query) error {
	q.period = 60
	if q.Period != nil {
		q.period = *q.Period
	}
	for n, i := range q.uses {
		m := &p.queries[i]
		if n > 0 && m.period != q.period {
			return mathError(q.Id, fmt.Errorf("metrics of different periods in one expression are not supported by Sagebrush: %d and %d seconds", q.period, m.period))
		}
		q.period = m.period
	}
	return nil
}

// span is the time that is asked about: [begin, end), seconds since 1970.
type span struct{ begin, end int64 }

// slots are the beginnings of the periods of a span.
func (sp span) slots(period int64) []int64 {
	var out []int64
	for at := sp.begin; at < sp.end; at += period {
		out = append(out, at)
	}
	return out
}

// run answers the data of one query and of what it uses. metric reads a metric,
// and is asked for each once as long as read is the same map.
func (p *plan) run(i int, sp span, read map[int]line, metric func(i int) (line, error)) (value, error) {
	q := &p.queries[i]
	for _, m := range q.uses {
		if _, ok := read[m]; ok {
			continue
		}
		l, err := metric(m)
		if err != nil {
			return value{}, err
		}
		read[m] = l
	}
	if q.expr == nil {
		return value{shape: oneSeries, lines: []line{read[i]}}, nil
	}
	env := &mathEnv{results: map[string]value{}, slots: sp.slots(q.period), period: q.period}
	for j := range p.queries {
		if l, ok := read[j]; ok && p.queries[j].expr == nil {
			env.results[p.queries[j].Id] = value{shape: oneSeries, lines: []line{l}}
			env.metrics = append(env.metrics, p.queries[j].Id)
		}
	}
	for _, j := range p.order {
		e := &p.queries[j]
		if j != i && slices.ContainsFunc(e.uses, func(m int) bool { return !slices.Contains(q.uses, m) }) {
			continue // it needs what this query does not
		}
		got := e.expr.eval(env)
		if j == i {
			return got, nil
		}
		env.results[e.Id] = got
	}
	panic("cloudwatch: query " + q.Id + " is not in its plan")
}

// metricLine reads the values of a metric's statistic. Data of all units count
// together unless the query names one. samples, unless nil, takes how many
// there were in each period.
func (s *Service) metricLine(ctx context.Context, q sqlfile.Querier, a ask, stat string, samples map[int64]float64) (line, error) {
	units, err := s.look(ctx, q, a)
	if err != nil {
		return line{}, err
	}
	all := spans{}
	for _, sp := range units {
		for at, st := range sp {
			if all[at] == nil {
				all[at] = &stats{}
			}
			all[at].merge(st)
		}
	}
	read, _ := statisticOf(stat)
	out := line{label: a.name, points: make(map[int64]float64, len(all))}
	for at, st := range all {
		if v, ok := read(st); ok {
			out.points[at] = v
			if samples != nil {
				samples[at] = st.count
			}
		}
	}
	return out, nil
}
