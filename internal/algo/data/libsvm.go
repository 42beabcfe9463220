// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// ReadLibSVM reads a libsvm payload into a sparse matrix: on each line
// label[:weight], qid:n on all rows or on none, then index:value; '#' opens a
// comment. Rows that follow one another with the same qid are a query group;
// with opts.NoLabel qid:n is passed over. The column is the index as written, as XGBoost takes
// it: it is not shifted where indices begin at 1. nan is missing. With
// opts.NoLabel a line may begin with a label, which is passed over, or with
// its first feature. Its errors are client errors that tell the line, from 1.
func ReadLibSVM(b []byte, opts Options) (*algo.Matrix, error) {
	m := new(algo.Matrix)
	return m, ReadLibSVMInto(m, b, opts)
}

// ReadLibSVMInto is ReadLibSVM into m, whose memory is used again.
func ReadLibSVMInto(m *algo.Matrix, b []byte, opts Options) error {
	return readLibSVM(m, []source{{b: b}}, opts)
}

// part is where one chunk's rows and values lie in the shared table, and what
// it found.
type part struct {
	row, value   int // first of each
	rows, values int
	cols         int
	weights      bool
	queries      []uint64 // the qid of each row; nil where they have none
}

// libsvmReader reads the chunks of one table.
type libsvmReader struct {
	opts Options
	m    *algo.Matrix
}

// readLibSVM reads the sources as one table into m.
func readLibSVM(m *algo.Matrix, sources []source, opts Options) error {
	clearMatrix(m)
	chunks := split(sources)
	parts := make([]part, len(chunks)+1)
	r := libsvmReader{opts, m}

	// Line ends and colons bound rows and values; what a chunk has less, by
	// weights, comments and blank lines, is a gap that is closed after.
	if err := each(len(chunks), opts.Threads, func(i int) error {
		b := chunks[i].bytes()
		parts[i].rows = countLines(b)
		parts[i].values = bytes.Count(b, []byte{':'})
		chunks[i].rest()
		return nil
	}); err != nil {
		return err
	}
	for i, p := range parts[:len(chunks)] {
		parts[i+1].row, parts[i+1].value = p.row+p.rows, p.value+p.values
	}
	last := parts[len(chunks)]
	var errs [3]error
	m.Start, errs[0] = room(opts, m.Start, last.row+1)
	m.Index, errs[1] = room(opts, m.Index, last.value)
	m.Values, errs[2] = room(opts, m.Values, last.value)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if opts.NoLabel {
		m.Label, m.Weight = nil, nil
	} else {
		m.Label, m.Weight = resize(m.Label, last.row), resize(m.Weight, last.row)
	}
	if err := each(len(chunks), opts.Threads, func(i int) error {
		err := r.read(chunks[i], &parts[i])
		chunks[i].rest()
		spill.Rest(opts.Memory, m.Index[parts[i].value:parts[i+1].value])
		spill.Rest(opts.Memory, m.Values[parts[i].value:parts[i+1].value])
		return err
	}); err != nil {
		return err
	}
	r.closeGaps(parts[:len(chunks)])
	return r.group(chunks, parts[:len(chunks)])
}

// group makes the query groups of the table.
func (r *libsvmReader) group(chunks []chunk, parts []part) error {
	r.m.Groups = nil
	if r.opts.NoLabel {
		return nil
	}
	var groups []int
	var first *part // with rows
	var last uint64
	row := 0
	for i := range parts {
		p := &parts[i]
		if p.rows == 0 {
			continue
		}
		if first == nil {
			first = p
		}
		if (p.queries == nil) != (first.queries == nil) {
			return chunks[i].errorAt(0, "%s", someQueries)
		}
		for _, q := range p.queries {
			if row == 0 || q != last {
				groups = append(groups, row)
			}
			last = q
			row++
		}
	}
	if groups != nil {
		r.m.Groups = append(groups, row)
	}
	return nil
}

// someQueries is what is wrong where qid:n is missing in a file that has it.
const someQueries = "some rows have qid:n and others do not"

// closeGaps moves rows and values of each part behind those of the part before
// and makes the row starts, which count from the part's own first value, those
// of the whole table.
func (r *libsvmReader) closeGaps(parts []part) {
	m := r.m
	rows, values, weights := 0, 0, false
	for _, p := range parts {
		if p.value != values {
			copy(m.Values[values:], m.Values[p.value:p.value+p.values])
			copy(m.Index[values:], m.Index[p.value:p.value+p.values])
		}
		for i := range p.rows {
			m.Start[rows+i] = m.Start[p.row+i] + int64(values)
		}
		if m.Label != nil && p.row != rows {
			copy(m.Label[rows:], m.Label[p.row:p.row+p.rows])
			copy(m.Weight[rows:], m.Weight[p.row:p.row+p.rows])
		}
		rows, values = rows+p.rows, values+p.values
		weights = weights || p.weights
		m.Cols = max(m.Cols, p.cols)
	}
	m.Rows = rows
	m.Start = m.Start[:rows+1]
	m.Start[rows] = int64(values)
	m.Values, m.Index = m.Values[:values], m.Index[:values]
	if m.Label != nil {
		m.Label, m.Weight = m.Label[:rows], m.Weight[:rows]
	}
	if !weights {
		m.Weight = nil
	}
}

// read reads the rows of c to their place and tells in p what it found.
func (r *libsvmReader) read(c chunk, p *part) error {
	b := c.bytes()
	row, value := p.row, p.value
	comments := bytes.IndexByte(b, '#') >= 0
	for i := 0; i < len(b); {
		end := lineEnd(b, i)
		stop := end
		if comments {
			if hash := bytes.IndexByte(b[i:end], '#'); hash >= 0 {
				stop = i + hash
			}
		}
		line := b[i:stop]
		for len(line) > 0 && line[len(line)-1] <= ' ' {
			line = line[:len(line)-1]
		}
		at := 0
		for at < len(line) && isSpace(line[at]) {
			at++
		}
		if at == len(line) {
			i = end
			continue
		}
		var problem string
		if r.opts.NoLabel {
			at = skipLabel(line, at)
		} else if at, problem = r.label(line, at, row, p); problem != "" {
			return c.errorAt(i, "%s", problem)
		}
		r.m.Start[row] = int64(value - p.value)
		if value, problem = r.features(b[i:], len(line), at, value, p); problem != "" {
			return c.errorAt(i, "%s", problem)
		}
		row++
		if p.queries != nil && len(p.queries) != row-p.row {
			return c.errorAt(i, "%s", someQueries)
		}
		i = end
	}
	p.rows, p.values = row-p.row, value-p.value
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// token is the text at line[at:] up to the next space.
func token(line []byte, at int) []byte {
	end := at
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	return line[at:end]
}

// skipLabel passes over a first word that is not index:value.
func skipLabel(line []byte, at int) int {
	if word := token(line, at); bytes.IndexByte(word, ':') < 0 {
		return at + len(word)
	}
	return at
}

// label reads label[:weight] into row. problem tells what is wrong.
func (r *libsvmReader) label(line []byte, at, row int, p *part) (next int, problem string) {
	word := token(line, at)
	text, weight, weighted := bytes.Cut(word, []byte{':'})
	v, ok := number(text)
	if !ok {
		hint := ""
		if bytes.IndexByte(line, ',') >= 0 {
			hint = `; a line such as "1 0:0.5 3:2" was expected, and CSV has the ContentType text/csv`
		}
		return 0, "the label " + noNumber(text) + hint
	}
	if math.IsNaN(float64(v)) {
		return 0, "the label is missing or NaN; a number was expected"
	}
	r.m.Label[row], r.m.Weight[row] = v, 1
	if weighted {
		w, ok := number(weight)
		if !ok || !(w >= 0) {
			return 0, "the weight " + shown(weight) + " is not a number that is not negative"
		}
		r.m.Weight[row] = w
		p.weights = true
	}
	return at + len(word), ""
}

// features reads index:value pairs from at to size of text to the table from
// value on. Numbers are looked at further than that: none goes on behind it,
// where a space, a comment or a line end stands.
func (r *libsvmReader) features(text []byte, size, at, value int, p *part) (next int, problem string) {
	line := text[:size]
	first, last, sorted := value, int32(-1), true
	for at < len(line) {
		if isSpace(line[at]) {
			at++
			continue
		}
		index, i, ok := scanIndex(text, at)
		if !ok {
			word := token(line, at)
			if id, ok := bytes.CutPrefix(word, []byte("qid:")); ok && value == first {
				n, err := strconv.ParseUint(string(id), 10, 64)
				if err != nil {
					return 0, shown(word) + " is not qid:n with a whole number n"
				}
				if !r.opts.NoLabel {
					p.queries = append(p.queries, n)
				}
				at += len(word)
				continue
			}
			return 0, shown(word) + " is not index:value"
		}
		v, end, ok := scanNumber(text, i)
		if !ok || end < len(line) && !isSpace(line[end]) {
			word := token(line, i)
			if v, ok = slowNumber(word); !ok || len(word) == 0 {
				problem = "feature " + shown(token(line, at)) + " is not index:value"
				if len(word) > 0 {
					problem += ": " + noNumber(word)
				}
				return 0, problem
			}
			end = i + len(word)
		}
		at = end
		if math.IsNaN(float64(v)) {
			continue
		}
		sorted = sorted && index > last
		last = index
		p.cols = max(p.cols, int(index)+1)
		r.m.Index[value], r.m.Values[value] = index, v
		value++
	}
	if !sorted {
		if twice := sortRow(r.m.Index[first:value], r.m.Values[first:value]); twice >= 0 {
			return 0, fmt.Sprintf("feature index %d occurs twice", twice)
		}
	}
	return value, ""
}

// scanIndex reads "index:" at b[i] and gives the index behind the colon.
func scanIndex(b []byte, i int) (index int32, next int, ok bool) {
	start := i
	n := 0
	for i < len(b) && b[i]-'0' <= 9 {
		n = n*10 + int(b[i]-'0')
		i++
	}
	if i == start || i-start > 10 || n >= math.MaxInt32 || i == len(b) || b[i] != ':' {
		return 0, 0, false
	}
	return int32(n), i + 1, true
}

// sortRow puts a row's features in ascending order and gives an index that
// occurs twice, or -1.
func sortRow(index []int32, values []float32) (twice int) {
	if slices.IsSorted(index) {
		for i := 1; i < len(index); i++ {
			if index[i] == index[i-1] {
				return int(index[i])
			}
		}
		return -1
	}
	type feature struct {
		index int32
		value float32
	}
	row := make([]feature, len(index))
	for i := range row {
		row[i] = feature{index[i], values[i]}
	}
	slices.SortStableFunc(row, func(a, b feature) int { return cmp.Compare(a.index, b.index) })
	for i, f := range row {
		if i > 0 && f.index == index[i-1] {
			return int(f.index)
		}
		index[i], values[i] = f.index, f.value
	}
	return -1
}
