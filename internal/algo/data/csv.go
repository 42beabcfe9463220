// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// ReadCSV reads a CSV payload without a header: the label first, then the
// weight when opts.Weights, then the features; with opts.NoLabel the features
// alone. The delimiter is found in the first line: comma, tab, semicolon, bar
// or space. An empty field and nan are missing. Its errors are client errors
// that tell line and column, both from 1.
func ReadCSV(b []byte, opts Options) (*algo.Matrix, error) {
	m := new(algo.Matrix)
	return m, ReadCSVInto(m, b, opts)
}

// ReadCSVInto is ReadCSV into m, whose memory is used again.
func ReadCSVInto(m *algo.Matrix, b []byte, opts Options) error {
	if len(b) >= 2*smallChunk {
		return readCSV(m, []source{{b: b}}, opts)
	}
	// A usual request is one chunk, and makes no garbage.
	c := chunk{&source{b: b}, skipBOM(b), len(b)}
	r, ok, err := newCSVReader(m, []chunk{c}, opts)
	if !ok {
		return err
	}
	if err := r.size(countLines(c.bytes())); err != nil {
		return err
	}
	rows, err := r.read(c, 0)
	if err != nil {
		return err
	}
	return r.size(rows)
}

// csvReader holds what the chunks of one table share.
type csvReader struct {
	opts  Options
	delim byte
	cols  int // fields of a line
	lead  int // fields before the features: label, weight
	m     *algo.Matrix
}

// newCSVReader empties m and finds the layout of the chunks. ok is false when
// there is nothing to read, which is no error, or nothing to learn from.
func newCSVReader(m *algo.Matrix, chunks []chunk, opts Options) (r csvReader, ok bool, err error) {
	clearMatrix(m)
	m.Start, m.Index = nil, nil
	r.m, r.opts = m, opts
	weight := ""
	if !opts.NoLabel {
		r.lead = 1
		if opts.Weights {
			r.lead, weight = 2, ", a weight"
		}
	}
	if !r.sniff(chunks) {
		return r, false, nil
	}
	if r.cols <= r.lead {
		hint := ""
		if opts.Unsupervised {
			hint = "; rows without a label have the content type text/csv;label_size=0"
		}
		return r, false, chunks[0].errorAt(0, "a row has %s but needs a label%s and at least one feature%s", plural(r.cols, "column"), weight, hint)
	}
	return r, true, nil
}

// readCSV reads the sources as one table into m.
func readCSV(m *algo.Matrix, sources []source, opts Options) error {
	chunks := split(sources)
	r, ok, err := newCSVReader(m, chunks, opts)
	if !ok {
		return err
	}

	// The line ends of each chunk bound its rows, so that all chunks are read
	// into one table at once; blank lines leave gaps that are closed after.
	first := make([]int, len(chunks)+1)
	rows := make([]int, len(chunks))
	if err := each(len(chunks), opts.Threads, func(i int) error {
		rows[i] = countLines(chunks[i].bytes())
		chunks[i].rest()
		return nil
	}); err != nil {
		return err
	}
	for i, n := range rows {
		first[i+1] = first[i] + n
	}
	if err := r.size(first[len(chunks)]); err != nil {
		return err
	}
	if err := each(len(chunks), opts.Threads, func(i int) (err error) {
		rows[i], err = r.read(chunks[i], first[i])
		chunks[i].rest()
		spill.Rest(opts.Memory, m.Values[first[i]*m.Cols:first[i+1]*m.Cols])
		return err
	}); err != nil {
		return err
	}
	return r.closeGaps(first, rows)
}

// size makes room for rows in the table.
func (r *csvReader) size(rows int) (err error) {
	m := r.m
	m.Rows, m.Cols = rows, r.cols-r.lead
	if m.Values, err = room(r.opts, m.Values, rows*m.Cols); err != nil {
		return err
	}
	if r.lead >= 1 {
		m.Label = resize(m.Label, rows)
	} else {
		m.Label = nil
	}
	if r.lead >= 2 {
		m.Weight = resize(m.Weight, rows)
	} else {
		m.Weight = nil
	}
	return nil
}

// closeGaps moves the rows of each chunk, which begin at first[i], behind those
// of the chunk before.
func (r *csvReader) closeGaps(first, rows []int) error {
	m, end := r.m, 0
	for i, n := range rows {
		if from := first[i]; from != end {
			copy(m.Values[end*m.Cols:], m.Values[from*m.Cols:(from+n)*m.Cols])
			if m.Label != nil {
				copy(m.Label[end:], m.Label[from:from+n])
			}
			if m.Weight != nil {
				copy(m.Weight[end:], m.Weight[from:from+n])
			}
		}
		end += n
	}
	return r.size(end)
}

// sniff finds delimiter and columns in the first line that is not blank, and
// reports whether there is one.
func (r *csvReader) sniff(chunks []chunk) bool {
	for _, c := range chunks {
		b := c.bytes()
		for len(b) > 0 {
			end := lineEnd(b, 0)
			if line := b[:end]; !blank(line) {
				line = bytes.TrimRight(line, "\r\n")
				r.delim = sniffDelimiter(line)
				r.cols = countFields(line, r.delim)
				return true
			}
			b = b[end:]
		}
	}
	return false
}

// sniffDelimiter is the delimiter of a line of numbers. No number holds any of
// the candidates, so the first that occurs is it; the space comes last because
// it also stands beside other delimiters.
func sniffDelimiter(line []byte) byte {
	for _, delim := range []byte(",\t;|") {
		if bytes.IndexByte(line, delim) >= 0 {
			return delim
		}
	}
	if bytes.IndexByte(bytes.TrimSpace(line), ' ') >= 0 {
		return ' '
	}
	return ','
}

func countFields(line []byte, delim byte) int { return bytes.Count(line, []byte{delim}) + 1 }

// read reads the rows of c into the table from row on and gives their number.
func (r *csvReader) read(c chunk, row int) (rows int, err error) {
	var (
		b      = c.bytes()
		m      = r.m
		delim  = r.delim
		before = row
	)
	for i := 0; i < len(b); {
		if b[i] <= ' ' && r.blank(b[i:lineEnd(b, i)]) {
			i = lineEnd(b, i)
			continue
		}
		line := i
		features := m.Values[row*m.Cols : (row+1)*m.Cols]
		for col := range r.cols {
			v, next, ok := scanNumber(b, i)
			// The usual field is a number with its delimiter right behind it.
			switch {
			case ok && next < len(b) && b[next] == delim && col+1 < r.cols:
				i = next + 1
			case ok && col+1 == r.cols && (next == len(b) || b[next] == '\n'):
				i = next + 1
			case ok && col+1 == r.cols && b[next] == '\r' && next+1 < len(b) && b[next+1] == '\n':
				i = next + 2
			case !ok && i < len(b) && b[i] == delim && col+1 < r.cols:
				v = nan
				i++
			default:
				if v, i, err = r.slow(c, line, i, col); err != nil {
					return 0, err
				}
			}
			if col >= r.lead {
				features[col-r.lead] = v
			} else if err := r.leading(c, line, row, col, v); err != nil {
				return 0, err
			}
		}
		row++
	}
	return row - before, nil
}

// blank reports whether line holds no row. A line of tabs is a row of missing
// values where tabs delimit.
func (r *csvReader) blank(line []byte) bool {
	return blank(line) && (r.delim != '\t' || bytes.IndexByte(line, '\t') < 0)
}

// leading stores label and weight.
func (r *csvReader) leading(c chunk, line, row, col int, v float32) error {
	if col == 0 {
		if math.IsNaN(float64(v)) {
			return c.errorAt(line, "the label (column 1) is missing or NaN; a number was expected%s", r.header(c, line))
		}
		r.m.Label[row] = v
		return nil
	}
	if !(v >= 0) {
		return c.errorAt(line, "the weight (column 2) must be a number that is not negative")
	}
	r.m.Weight[row] = v
	return nil
}

// slow reads the field of column col at b[i] when it is not a bare number, and
// gives the index behind its delimiter. line is where its line begins.
func (r *csvReader) slow(c chunk, line, i, col int) (v float32, next int, err error) {
	b := c.bytes()
	end := lineEnd(b, i)
	stop := end // behind the last byte of the line
	if stop > i && b[stop-1] == '\n' {
		stop--
	}
	if stop > i && b[stop-1] == '\r' {
		stop--
	}
	if n := bytes.IndexByte(b[i:stop], r.delim); n >= 0 {
		stop, end = i+n, i+n+1
		if col+1 == r.cols {
			return 0, 0, r.ragged(c, line)
		}
	} else if col+1 < r.cols {
		return 0, 0, r.ragged(c, line)
	}
	v, ok := slowNumber(b[i:stop])
	if !ok {
		return 0, 0, c.errorAt(line, "column %d: %s%s", col+1, noNumber(b[i:stop]), r.header(c, line))
	}
	return v, end, nil
}

// ragged is the error of a line with too few or too many fields. When it also
// holds text in a field, as a header or a comment does, it says that instead.
func (r *csvReader) ragged(c chunk, line int) error {
	text := bytes.TrimRight(c.bytes()[line:lineEnd(c.bytes(), line)], "\r\n")
	for i, field := range bytes.Split(text, []byte{r.delim}) {
		if _, ok := slowNumber(field); !ok {
			return c.errorAt(line, "column %d: %s%s", i+1, noNumber(field), r.header(c, line))
		}
	}
	return c.errorAt(line, "has %s, but the first row has %d", plural(countFields(text, r.delim), "column"), r.cols)
}

// header is a hint at the end of what is wrong in a line, where the line is the
// first of its file and looks like a header or like another format.
func (r *csvReader) header(c chunk, line int) string {
	if c.from+line != skipBOM(c.src.b) {
		return ""
	}
	first := bytes.TrimSpace(c.bytes()[line:lineEnd(c.bytes(), line)])
	if len(first) > 0 && (first[0] == '{' || first[0] == '[') {
		return "; it looks like JSON, where CSV was expected"
	}
	text, fields := 0, 0
	for field := range bytes.SplitSeq(first, []byte{r.delim}) {
		if len(bytes.TrimSpace(field)) == 0 {
			continue
		}
		fields++
		if _, ok := slowNumber(field); !ok {
			text++
		}
		if _, _, ok := scanIndex(field, 0); ok && r.delim == ' ' {
			return "; it looks like libsvm, whose ContentType is text/libsvm"
		}
	}
	if 2*text > fields {
		return "; it looks like a header line, and a CSV must have none"
	}
	return ""
}
