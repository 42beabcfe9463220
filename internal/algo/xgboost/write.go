// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// sink takes a model document piece by piece. Errors stay in its writer until
// Flush.
type sink interface {
	open()           // an object; keys and what belongs to them follow
	close()          // the object
	key(name string) // of the next piece
	text(s string)   // a string
	list(n int)      // a list of n pieces, which follow, then end
	end()            // the list
	integer(v int)   // one whole number
	ints(v []int32)  // a list of numbers
	bytes(v []uint8) // a list of small numbers
	floats(v []float32)
	each(v []float32) // a list of numbers, each with its kind
	longs(v []int32)  // a list of 64-bit numbers
}

// formatVersion is the version of XGBoost whose model format is written.
var formatVersion = [3]int{3, 2, 0}

// noParent is how the format marks the root.
const noParent = math.MaxInt32

// write writes m in the schema of XGBoost 3.2, keys in alphabetical order.
func (m *Model) write(w sink) {
	w.open()
	w.key("learner")
	w.open()
	w.key("attributes")
	texts(w, m.attributes)
	names(w, "feature_names", m.names)
	names(w, "feature_types", m.types)
	w.key("gradient_booster")
	m.writeBooster(w)
	w.key("learner_model_param")
	texts(w, map[string]string{
		"base_score": intercept(m.base), "boost_from_average": "1",
		"num_class": strconv.Itoa(m.NumClass()), "num_feature": strconv.Itoa(m.features), "num_target": strconv.Itoa(max(m.targets, 1)),
	})
	w.key("objective")
	w.open()
	w.key("name")
	w.text(m.objective)
	if m.group != "" {
		w.key(m.group)
		texts(w, m.params)
	}
	w.close()
	w.close()
	w.key("version")
	w.list(len(formatVersion))
	for _, v := range formatVersion {
		w.integer(v)
	}
	w.end()
	w.close()
}

func texts(w sink, values map[string]string) {
	w.open()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		w.key(name)
		w.text(values[name])
	}
	w.close()
}

func names(w sink, key string, values []string) {
	w.key(key)
	w.list(len(values))
	for _, v := range values {
		w.text(v)
	}
	w.end()
}

// intercept writes the base score as XGBoost does: 3.8333333E-1, or a list in
// brackets. Since 3.1 that list is written for a single value too, but all
// releases read the plain number, and those up to 3.0 nothing else.
func intercept(values []float32) string {
	out := make([]string, len(values))
	for i, v := range values {
		head, exp, _ := strings.Cut(strconv.FormatFloat(float64(v), 'E', -1, 32), "E")
		n, _ := strconv.Atoi(exp)
		out[i] = head + "E" + strconv.Itoa(n)
	}
	if len(out) == 1 {
		return out[0]
	}
	return "[" + strings.Join(out, ",") + "]"
}

// ubjWriter writes Universal Binary JSON the way XGBoost does: 64-bit lengths,
// typed arrays for numbers.
//
// Source: https://ubjson.org, draft 12.
type ubjWriter struct{ w *bufio.Writer }

func (u *ubjWriter) length(n int) {
	var b [9]byte
	b[0] = 'L'
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	u.w.Write(b[:])
}

func (u *ubjWriter) open()  { u.w.WriteByte('{') }
func (u *ubjWriter) close() { u.w.WriteByte('}') }

func (u *ubjWriter) key(name string) {
	u.length(len(name))
	u.w.WriteString(name)
}

func (u *ubjWriter) text(s string) {
	u.w.WriteByte('S')
	u.length(len(s))
	u.w.WriteString(s)
}

func (u *ubjWriter) list(n int) {
	u.w.WriteString("[#")
	u.length(n)
}

func (u *ubjWriter) end() {} // the count was told

func (u *ubjWriter) integer(v int) {
	if v == int(int8(v)) {
		u.w.Write([]byte{'i', byte(v)})
		return
	}
	if v == int(int32(v)) {
		u.w.WriteByte('l')
		u.w.Write(binary.BigEndian.AppendUint32(u.w.AvailableBuffer(), uint32(v)))
		return
	}
	u.length(v)
}

func (u *ubjWriter) typed(kind byte, n int) {
	u.w.Write([]byte{'[', '$', kind, '#'})
	u.length(n)
}

func (u *ubjWriter) ints(values []int32) {
	u.typed('l', len(values))
	for _, v := range values {
		u.w.Write(binary.BigEndian.AppendUint32(u.w.AvailableBuffer(), uint32(v)))
	}
}

func (u *ubjWriter) bytes(values []uint8) {
	u.typed('U', len(values))
	u.w.Write(values)
}

func (u *ubjWriter) floats(values []float32) {
	u.typed('d', len(values))
	for _, v := range values {
		u.w.Write(binary.BigEndian.AppendUint32(u.w.AvailableBuffer(), math.Float32bits(v)))
	}
}

func (u *ubjWriter) longs(values []int32) {
	u.typed('L', len(values))
	for _, v := range values {
		u.w.Write(binary.BigEndian.AppendUint64(u.w.AvailableBuffer(), uint64(v)))
	}
}

func (u *ubjWriter) each(values []float32) {
	u.list(len(values))
	for _, v := range values {
		u.w.WriteByte('d')
		u.w.Write(binary.BigEndian.AppendUint32(u.w.AvailableBuffer(), math.Float32bits(v)))
	}
}

// jsonWriter writes JSON. XGBoost's reader takes NaN and Infinity, which JSON
// proper lacks.
type jsonWriter struct {
	w    *bufio.Writer
	more bool // a piece came before at this level
	lead bool // a key came just before
}

func (j *jsonWriter) comma() {
	if j.more && !j.lead {
		j.w.WriteByte(',')
	}
	j.more, j.lead = true, false
}

func (j *jsonWriter) begin(b byte) {
	j.comma()
	j.w.WriteByte(b)
	j.more = false
}

func (j *jsonWriter) finish(b byte) {
	j.w.WriteByte(b)
	j.more, j.lead = true, false
}

func (j *jsonWriter) open()    { j.begin('{') }
func (j *jsonWriter) close()   { j.finish('}') }
func (j *jsonWriter) list(int) { j.begin('[') }
func (j *jsonWriter) end()     { j.finish(']') }

func (j *jsonWriter) key(name string) {
	j.text(name)
	j.w.WriteByte(':')
	j.lead = true
}

func (j *jsonWriter) text(s string) {
	j.comma()
	b, _ := json.Marshal(s) // a string never fails
	j.w.Write(b)
}

func (j *jsonWriter) integer(v int) {
	j.comma()
	j.w.Write(strconv.AppendInt(j.w.AvailableBuffer(), int64(v), 10))
}

func (j *jsonWriter) ints(values []int32) {
	j.list(len(values))
	for _, v := range values {
		j.integer(int(v))
	}
	j.end()
}

func (j *jsonWriter) bytes(values []uint8) {
	j.list(len(values))
	for _, v := range values {
		j.integer(int(v))
	}
	j.end()
}

func (j *jsonWriter) floats(values []float32) {
	j.list(len(values))
	for _, v := range values {
		j.comma()
		switch f := float64(v); {
		case math.IsNaN(f):
			j.w.WriteString("NaN")
		case math.IsInf(f, 1):
			j.w.WriteString("Infinity")
		case math.IsInf(f, -1):
			j.w.WriteString("-Infinity")
		default:
			b := strconv.AppendFloat(j.w.AvailableBuffer(), f, 'g', -1, 32)
			if !bytes.ContainsAny(b, ".e") {
				b = append(b, ".0"...) // XGBoost takes a whole number for another kind
			}
			j.w.Write(b)
		}
	}
	j.end()
}

func (j *jsonWriter) longs(values []int32) { j.ints(values) }

func (j *jsonWriter) each(values []float32) { j.floats(values) }
