// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
)

// Format is a kind of records that DataProcessing knows.
type Format string

// The formats.
const (
	CSV       Format = "text/csv"
	JSON      Format = "application/json"      // one document for each request
	JSONLines Format = "application/jsonlines" // one document on each line
)

// FormatOf is the format of a media type; false for any other.
func FormatOf(contentType string) (Format, bool) {
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", false
	}
	switch typ {
	case "text/csv":
		return CSV, true
	case "application/json":
		return JSON, true
	case "application/jsonlines", "application/x-jsonlines", "application/jsonlines+json":
		return JSONLines, true
	}
	return "", false
}

// The members that a joined record of JSON has besides its own.
const (
	outputName = "SageMakerOutput"
	inputName  = "SageMakerInput"
	idName     = "SageMakerInferenceId"
	timeName   = "SageMakerInferenceTime"
)

// Process is DataProcessing: what of a record is sent, and what is written of
// it and its prediction. It is safe for use by several goroutines.
type Process struct {
	Format Format // of the records
	Answer Format // of the predictions, the same as Format when they are joined
	Input  *Path  // of what is sent
	Output *Path  // of what is written
	Join   bool   // the prediction is added to the record
	// Stamp gives the ID and the time of a record's inference, which are added
	// at its end; nil for none. record counts from 0.
	Stamp func(mini, record int) (id, at string)
}

// Check says what is wrong with the paths for the format.
func (p *Process) Check() error {
	if p.Format == CSV {
		if err := p.Input.Columns(); err != nil {
			return err
		}
	}
	if p.Answer == CSV {
		return p.Output.Columns()
	}
	return nil
}

// ErrRecord is a record, or an answer to it, that DataProcessing cannot read.
var ErrRecord = errors.New("DataProcessing")

// Before gives what is sent of a mini-batch: body itself, or what is appended to
// dst.
func (p *Process) Before(dst, body []byte) ([]byte, error) {
	if p.Input.All() {
		return body, nil
	}
	var c columns
	n := 0
	for r := (rows{p.Format, body}); ; {
		record, ok := r.next()
		if !ok {
			return dst, nil
		}
		n++
		var err error
		if dst, err = p.Format.pick(dst, &c, p.Input, record); err != nil {
			return dst, fmt.Errorf("%w: InputFilter, record %d: %w", ErrRecord, n, err)
		}
		if p.Format != JSON {
			dst = append(dst, '\n')
		}
	}
}

// After appends what is written of a mini-batch and its answer to dst: for each
// record one line, or one document. mini is which one of the object it is.
func (p *Process) After(dst, body, answer []byte, mini int) ([]byte, error) {
	if p.Output.All() && !p.Join && p.Stamp == nil {
		return append(dst, answer...), nil
	}
	in, out := rows{p.Format, body}, rows{p.Answer, answer}
	var c columns
	var joined []byte
	for n := 0; ; n++ {
		record, more := in.next()
		prediction, has := out.next()
		switch {
		case more != has && (p.Join || p.Stamp != nil):
			return dst, fmt.Errorf("%w: the answer has %d records, what was sent has %d", ErrRecord,
				n+out.count(has), n+in.count(more))
		case !has:
			return dst, nil
		}
		joined = joined[:0]
		var err error
		if joined, err = p.join(joined, record, prediction); err == nil && p.Stamp != nil {
			id, at := p.Stamp(mini, n)
			joined, err = p.stamp(joined, id, at)
		}
		if err == nil {
			dst, err = p.Answer.pick(dst, &c, p.Output, joined)
		}
		if err != nil {
			return dst, fmt.Errorf("%w: OutputFilter, record %d: %w", ErrRecord, n+1, err)
		}
		if p.Answer != JSON {
			dst = append(dst, '\n')
		}
	}
}

// join puts a prediction behind its record.
func (p *Process) join(dst, record, prediction []byte) ([]byte, error) {
	switch {
	case !p.Join:
		return append(dst, prediction...), nil
	case p.Format == CSV:
		dst = append(append(dst, record...), ',')
		return append(dst, prediction...), nil
	case !json.Valid(record):
		return dst, errors.New("the input is not JSON")
	case !json.Valid(prediction):
		return dst, errors.New("the answer is not JSON")
	}
	if record = bytes.TrimSpace(record); record[0] != '{' {
		dst = appendMember(append(dst, '{'), inputName, record)
		return append(appendMember(dst, outputName, prediction), '}'), nil
	}
	return withMembers(dst, record, member{outputName, prediction}), nil
}

// withMembers is an object with members added at its end, in place of its own
// of these names.
func withMembers(dst, object []byte, added ...member) []byte {
	out := []byte{'{'}
	for _, m := range members(object) {
		taken := false
		for _, a := range added {
			taken = taken || a.name == m.name
		}
		if !taken {
			out = appendMember(out, m.name, m.value)
		}
	}
	for _, a := range added {
		out = appendMember(out, a.name, a.value)
	}
	return append(append(dst, out...), '}')
}

// stamp adds ID and time of the inference to a record.
func (p *Process) stamp(record []byte, id, at string) ([]byte, error) {
	if p.Answer == CSV {
		return fmt.Appendf(record, ",%s,%s", id, at), nil
	}
	if !json.Valid(record) {
		return nil, errors.New("the answer is not JSON")
	}
	added := []member{{idName, []byte(`"` + id + `"`)}, {timeName, []byte(`"` + at + `"`)}}
	if record = bytes.TrimSpace(record); record[0] != '{' {
		record = withMembers(nil, []byte("{}"), member{outputName, record})
	}
	return withMembers(nil, record, added...), nil
}

// pick appends what path names of a record.
func (f Format) pick(dst []byte, c *columns, path *Path, record []byte) ([]byte, error) {
	switch {
	case path.All():
		return append(dst, record...), nil
	case f == CSV:
		return c.pick(dst, path, record)
	case !json.Valid(record):
		return dst, errors.New("it is not JSON")
	}
	v, err := path.apply(record)
	return append(dst, v...), err
}

// columns are the fields of a row of CSV, as they stand there, quotes and all.
// It is memory for one goroutine.
type columns struct{ fields [][]byte }

func (c *columns) pick(dst []byte, path *Path, row []byte) ([]byte, error) {
	c.split(row)
	s, n, first := path.steps[0], len(c.fields), true
	add := func(i int) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, c.fields[i]...)
	}
	if from, to, ok := s.bounds(n); ok {
		for i := from; i < to; i++ {
			add(i)
		}
		return dst, nil
	}
	for _, i := range s.indices {
		if i, ok := at(i, n); ok {
			add(i)
		} else if s.one() {
			return dst, fmt.Errorf("JSONPath %q: %w: the row has %d columns", path.text, errPath, n)
		}
	}
	return dst, nil
}

// split finds the fields of a row. A comma within quotes is none.
func (c *columns) split(row []byte) {
	c.fields = c.fields[:0]
	for {
		end := bytes.IndexByte(row, ',')
		if len(row) > 0 && row[0] == '"' {
			end = quotedEnd(row)
		}
		if end < 0 {
			c.fields = append(c.fields, row)
			return
		}
		c.fields = append(c.fields, row[:end])
		row = row[end+1:]
	}
}

// quotedEnd is where the comma behind a quoted field is, or -1.
func quotedEnd(row []byte) int {
	for i := 1; i < len(row); i++ {
		if row[i] != '"' {
			continue
		}
		if i+1 < len(row) && row[i+1] == '"' { // a quote within it
			i++
			continue
		}
		end := bytes.IndexByte(row[i:], ',')
		if end < 0 {
			return -1
		}
		return i + end
	}
	return -1
}

// rows gives the records of a body one after the other.
type rows struct {
	format Format
	rest   []byte
}

func (r *rows) next() ([]byte, bool) {
	if r.format == JSON {
		record := bytes.TrimSpace(r.rest)
		r.rest = nil
		return record, len(record) > 0
	}
	for len(r.rest) > 0 {
		line := r.rest
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, r.rest = line[:i], line[i+1:]
		} else {
			r.rest = nil
		}
		if line = trimEnd(line); len(line) > 0 {
			return line, true
		}
	}
	return nil, false
}

// count is how many records are left, with the one that was taken.
func (r *rows) count(taken bool) int {
	n := 0
	for taken {
		n++
		_, taken = r.next()
	}
	return n
}
