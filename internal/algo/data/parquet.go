// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// mostCells bounds rows times columns of a table: beyond it no memory would do,
// and a file that tells of more is broken.
const mostCells = 1 << 40

// columnFile is one Parquet file, open.
type columnFile struct {
	name  string
	file  *parquet.File
	row   int    // first row in the table
	order []int  // of the table's columns, those of the file
	half  []bool // whether a column of the file holds 16-bit floats
}

func (f *columnFile) fail(format string, args ...any) error {
	if f.name == "" {
		return algo.ClientErrorf(format, args...)
	}
	return algo.ClientErrorf("file %s: %s", f.name, fmt.Sprintf(format, args...))
}

// readParquet reads the sources as one dense table into m: the first column is
// the label, without opts.NoLabel. Columns are numbers of any kind, booleans
// among them; what is null is missing. The files' columns go together by name.
//
// A column of a row group is decoded at a time, page by page, so that besides the
// table itself there is no more than a page for each thread.
func readParquet(m *algo.Matrix, sources []source, opts Options) error {
	clearMatrix(m)
	m.Index, m.Start, m.Weight = nil, nil, nil
	files := make([]columnFile, len(sources))
	if err := each(len(sources), opts.Threads, func(i int) error { return files[i].open(&sources[i]) }); err != nil {
		return err
	}
	var first *columnFile // with rows
	rows := 0
	type task struct{ file, group, row int }
	var tasks []task
	for i := range files {
		f := &files[i]
		if f.file.NumRows() == 0 {
			continue
		}
		if first == nil {
			first = f
		}
		if err := f.match(first); err != nil {
			return err
		}
		f.row = rows
		for g, group := range f.file.RowGroups() {
			tasks = append(tasks, task{i, g, rows})
			n := group.NumRows()
			if n < 0 || n > mostCells {
				return f.fail("row group %d tells of %d rows", g, n)
			}
			rows += int(n)
		}
	}
	if first == nil {
		return nil
	}
	columns := len(first.order)
	labels := 1
	if opts.NoLabel {
		labels = 0
	}
	if columns <= labels {
		return first.fail("has one column; the label and at least one feature are needed")
	}
	if rows > mostCells/columns {
		return first.fail("tells of %d rows of %d columns", rows, columns)
	}
	m.Rows, m.Cols = rows, columns-labels
	// The first column shows that the rows are there before memory is asked for
	// the others.
	head := make([][]float32, len(tasks))
	if err := each(len(tasks), opts.Threads, func(i int) error {
		t := tasks[i]
		f := &files[t.file]
		return f.column(t.group, f.order[0], t.row-f.row, !opts.NoLabel, func(v float32) { head[i] = append(head[i], v) })
	}); err != nil {
		return err
	}
	var err error
	if m.Values, err = room(opts, m.Values, m.Rows*m.Cols); err != nil {
		return err
	}
	m.Label = resize(m.Label, rows)
	for i, t := range tasks {
		copy(m.Label[t.row:], head[i])
		head[i] = nil
	}
	if opts.NoLabel {
		for r, v := range m.Label {
			m.Values[r*m.Cols] = v
		}
		m.Label = nil
	}
	rest := columns - 1
	return each(len(tasks)*rest, opts.Threads, func(i int) error {
		// The columns of a row group one after the other: its rows stay in the caches.
		t, c := tasks[i/rest], 1+i%rest
		f := &files[t.file]
		at := t.row*m.Cols + c - labels
		return f.column(t.group, f.order[c], t.row-f.row, false, func(v float32) {
			m.Values[at] = v
			at += m.Cols
		})
	})
}

// open opens a file and checks that its columns are numbers.
func (f *columnFile) open(src *source) (err error) {
	f.name = src.name
	defer f.caught(&err)
	if len(src.b) == 0 {
		return f.fail("is empty, and no Parquet file")
	}
	f.file, err = parquet.OpenFile(bytes.NewReader(src.b), int64(len(src.b)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return f.fail("is no Parquet file that can be read: %v", err)
	}
	index, columns := f.index(), f.file.Root().Columns()
	f.half = make([]bool, len(columns))
	if schema := f.file.Metadata().Schema; len(schema) == len(columns)+1 { // else there are nested ones
		for i := range columns {
			_, f.half[i] = schema[i+1].LogicalType.Value.(*format.Float16Type)
		}
	}
	for i, c := range columns {
		if index[c.Name()] {
			continue
		}
		f.order = append(f.order, i)
		if !c.Leaf() || c.Repeated() {
			return f.fail("column %s is nested; each column must be one number", c.Name())
		}
		if kind := unfit(c.Type(), f.half[i]); kind != "" {
			return f.fail("column %s holds %s; each column must be one number", c.Name(), kind)
		}
	}
	return nil
}

// index gives the columns that pandas kept the index of a data frame in: it
// reads them as that again, not as columns.
func (f *columnFile) index() map[string]bool {
	text, ok := f.file.Lookup("pandas")
	var told struct {
		Columns []any `json:"index_columns"` // names; a range is an object
	}
	if !ok || json.Unmarshal([]byte(text), &told) != nil {
		return nil
	}
	out := map[string]bool{}
	for _, c := range told.Columns {
		if name, ok := c.(string); ok {
			out[name] = true
		}
	}
	return out
}

// caught turns a panic over a broken file into *err.
func (f *columnFile) caught(err *error) {
	if p := recover(); p != nil {
		*err = f.fail("is broken: %v", p)
	}
}

// unfit says what a column holds where that is no number, and "" where it is.
func unfit(t parquet.Type, half bool) string {
	if l := t.LogicalType(); l != nil {
		switch l.Value.(type) {
		case nil, *format.IntType, *format.DecimalType, *format.NullType:
		default:
			return "the type " + t.String()
		}
	}
	switch t.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if decimal(t) == nil && !half {
			return "text or bytes"
		}
	case parquet.Int96:
		return "timestamps"
	}
	return ""
}

// decimal gives the scale of a column of decimals, or nil.
func decimal(t parquet.Type) *format.DecimalType {
	if l := t.LogicalType(); l != nil {
		d, _ := l.Value.(*format.DecimalType)
		return d
	}
	return nil
}

// match puts f's columns in the order of the first file's.
func (f *columnFile) match(first *columnFile) error {
	if f == first {
		return nil
	}
	if len(f.order) != len(first.order) {
		return f.fail("has %s, but file %s has %d", plural(len(f.order), "column"), first.name, len(first.order))
	}
	columns := f.file.Root().Columns()
	at := make(map[string]int, len(f.order))
	for _, i := range f.order {
		at[columns[i].Name()] = i
	}
	columns = first.file.Root().Columns()
	for i, n := range first.order {
		name := columns[n].Name()
		own, ok := at[name]
		if !ok {
			return f.fail("has no column %s, which file %s has", name, first.name)
		}
		f.order[i] = own
	}
	return nil
}

// column gives put the numbers of column c of a row group, whose first row is row
// of the file.
func (f *columnFile) column(group, c, row int, label bool, put func(v float32)) (err error) {
	defer f.caught(&err)
	g := f.file.RowGroups()[group]
	left := int(g.NumRows())
	chunk := g.ColumnChunks()[c]
	number := numberOf(chunk.Type())
	name := f.file.Root().Columns()[c].Name()
	pages := chunk.Pages()
	defer pages.Close()
	var room [512]parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.fail("column %s: %v", name, err)
		}
		for values := page.Values(); ; {
			n, err := values.ReadValues(room[:])
			if n > left {
				return f.fail("column %s has more values than its row group has rows", name)
			}
			left -= n
			for _, v := range room[:n] {
				row++
				x := nan
				if !v.IsNull() {
					x = float32(number(v))
				}
				switch {
				case math.IsInf(float64(x), 0):
					return f.fail("row %d: column %s is %s; a finite number was expected", row, name, orMissing(x))
				case label && x != x:
					return f.fail("row %d: the label is missing or NaN; a number was expected", row)
				}
				put(x)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return f.fail("column %s: %v", name, err)
			}
			if n == 0 {
				return f.fail("column %s: a page ends early", name)
			}
		}
		parquet.Release(page)
	}
	if left != 0 {
		return f.fail("column %s has %s less than its row group has rows", name, plural(left, "value"))
	}
	return nil
}

// numberOf gives what makes a number of a value of the type.
func numberOf(t parquet.Type) func(v parquet.Value) float64 {
	scale := 1.0
	d := decimal(t)
	if d != nil {
		scale = math.Pow(10, -float64(d.Scale))
	}
	unsigned := false
	if l := t.LogicalType(); l != nil {
		if i, ok := l.Value.(*format.IntType); ok {
			unsigned = !i.IsSigned
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return func(v parquet.Value) float64 {
			if v.Boolean() {
				return 1
			}
			return 0
		}
	case parquet.Int32:
		if unsigned {
			return func(v parquet.Value) float64 { return float64(v.Uint32()) }
		}
		return func(v parquet.Value) float64 { return float64(v.Int32()) * scale }
	case parquet.Int64:
		if unsigned {
			return func(v parquet.Value) float64 { return float64(v.Uint64()) }
		}
		return func(v parquet.Value) float64 { return float64(v.Int64()) * scale }
	case parquet.Float:
		return func(v parquet.Value) float64 { return float64(v.Float()) }
	case parquet.Double:
		return parquet.Value.Double
	}
	if d != nil {
		return func(v parquet.Value) float64 { return bigEndian(v.ByteArray()) * scale }
	}
	return func(v parquet.Value) float64 { return halfFloat(binary.LittleEndian.Uint16(v.ByteArray())) }
}

// bigEndian is a whole number in two's complement.
func bigEndian(b []byte) float64 {
	x := 0.0
	for i, c := range b {
		if i == 0 {
			x = float64(int8(c))
			continue
		}
		x = x*256 + float64(c)
	}
	return x
}

// halfFloat is the value of an IEEE 754 binary16.
func halfFloat(b uint16) float64 {
	sign, exp, frac := 1.0, int(b>>10&0x1f), float64(b&0x3ff)
	if b>>15 == 1 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 0x1f:
		if frac != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// cutParquet takes apart Parquet files that follow one another, as in a pipe.
func cutParquet(src source) []source {
	var out []source
	rest := src.b
	for n := 1; len(rest) > 0; n++ {
		end := len(rest)
		for at := len(magic); at < len(rest); {
			next := bytes.Index(rest[at:], []byte(magic))
			if next < 0 {
				break
			}
			if at += next; endsAt(rest, at) {
				end = at + len(magic)
				break
			}
			at++
		}
		out = append(out, source{fmt.Sprintf("%s, part %d", src.name, n), rest[:end], src.mapped})
		rest = rest[end:]
	}
	if len(out) == 1 {
		out[0].name = src.name
	}
	return out
}

// endsAt tells whether a whole file ends with the magic at b[at:].
func endsAt(b []byte, at int) bool {
	end := at + len(magic)
	if end < len(b) && !bytes.HasPrefix(b[end:], []byte(magic)) || at < 12 {
		return false
	}
	footer := binary.LittleEndian.Uint32(b[at-4:])
	if footer == 0 || uint64(footer) > uint64(at-8) {
		return false
	}
	var f columnFile
	err := f.open(&source{b: b[:end]})
	// A file that is whole and does not suit is told of later.
	return err == nil || !strings.Contains(err.Error(), "Parquet file") && !strings.Contains(err.Error(), "is broken")
}
