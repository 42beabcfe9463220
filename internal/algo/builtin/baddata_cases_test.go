// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// Formats that cases are for.
var (
	tables   = []string{asCSV, asRecordIO, asLibSVM, asParquet}
	lined    = []string{asCSV, asLibSVM, asText, asPairs}
	anything = []string{asCSV, asRecordIO, asLibSVM, asParquet, asText, asPairs}
	csvs     = []string{asCSV}
	records  = []string{asRecordIO}
)

// Algorithms that cases are for.
func labelled(s subject) bool   { return s.labels }
func unlabelled(s subject) bool { return !s.labels }
func fixed(s subject) bool      { return !s.free }
func named(names ...string) func(subject) bool {
	return func(s subject) bool { return slices.Contains(names, s.name) }
}

// Outcomes.
func trains(subject, string) outcome { return outcome{trains: true} }
func fails(row int, want string) func(subject, string) outcome {
	return func(subject, string) outcome { return outcome{row: row, want: want} }
}

// apart is fails with other words for some formats.
func apart(row int, want string, others map[string]string) func(subject, string) outcome {
	return func(_ subject, format string) outcome {
		if other, ok := others[format]; ok {
			return outcome{row: row, want: other}
		}
		return outcome{row: row, want: want}
	}
}

// whole is an error that no file alone is to blame for.
func whole(channel, want string) func(subject, string) outcome {
	return func(subject, string) outcome { return outcome{channel: channel, file: "-", want: want} }
}

// unlessFree is the outcome for all but XGBoost, which takes missing values and any width.
func unlessFree(of func(subject, string) outcome) func(subject, string) outcome {
	return func(s subject, format string) outcome {
		if s.free {
			return outcome{trains: true}
		}
		return of(s, format)
	}
}

// Edits of a file.
type edit = func(t *testing.T, text string) string

func to(text string) edit { return func(*testing.T, string) string { return text } }
func all(old, with string) edit {
	return func(t *testing.T, text string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %q", old, text)
		}
		return strings.ReplaceAll(text, old, with)
	}
}
func before(head string) edit { return func(_ *testing.T, text string) string { return head + text } }
func cut(n int) edit          { return func(_ *testing.T, text string) string { return text[:len(text)-n] } }

// atLine changes line n, from 1.
func atLine(n int, change func(line string) string) edit {
	return func(_ *testing.T, text string) string {
		lines := strings.Split(text, "\n")
		lines[n-1] = change(lines[n-1])
		return strings.Join(lines, "\n")
	}
}
func quoted(line string) string { return `"` + strings.ReplaceAll(line, ",", `","`) + `"` }

// Edits of a job.
type job = func(t *testing.T, s subject, format string, channels map[string]algotest.Channel)

func typed(contentType string) job {
	return func(_ *testing.T, _ subject, _ string, channels map[string]algotest.Channel) {
		ch := channels["train"]
		ch.ContentType = contentType
		channels["train"] = ch
	}
}

// also is a second file of the channel train.
func also(files ...string) job {
	return func(_ *testing.T, _ subject, _ string, channels map[string]algotest.Channel) {
		for i := 0; i < len(files); i += 2 {
			channels["train"].Files[files[i]] = files[i+1]
		}
	}
}

// second is the subject's other channel.
func second(of rows) job {
	return func(t *testing.T, s subject, format string, channels map[string]algotest.Channel) {
		s = s.onSecond()
		channels[s.other] = s.channel(format, of.file(t, s, format))
	}
}

// onSecond is an outcome of the second channel.
func onSecond(row int, want string) func(subject, string) outcome {
	return func(s subject, _ string) outcome {
		return outcome{channel: s.other + " channel: ", row: row, want: want}
	}
}

// sparse is records of which the second has the keys and the shape.
func sparse(shape []uint64, keys ...uint64) job {
	return func(t *testing.T, s subject, format string, channels map[string]algotest.Channel) {
		var file []byte
		for i, row := range good(s).values {
			rec := recordio.Record{Features: tensor(row)}
			rec.Features[0].Value.Keys, rec.Features[0].Value.Shape = []uint64{0, 1, 2}, []uint64{features}
			if i == 1 {
				rec.Features[0].Value.Keys, rec.Features[0].Value.Shape = keys, shape
			}
			if s.labels {
				rec.Label = tensor([]float64{float64(i % 2)})
			}
			file = frame(t, file, rec)
		}
		channels["train"] = s.channel(format, string(file))
	}
}

// lines are the rows of a text.
func lines(text ...string) func(subject) rows {
	return func(subject) rows { return rows{lines: text} }
}

var nan, inf = math.NaN(), math.Inf(1)

const (
	noFinite = "is infinite, or too large for 32 bits; a finite number was expected"
	noHeader = "; it looks like a header line, and a CSV must have none"
)

var cases = []badCase{
	{name: "good rows", formats: anything, outcome: trains},
	// The length of the channel.
	{name: "an empty file", formats: anything, edit: to(""), outcome: apart(0, "is empty, where at least one row was expected", map[string]string{asParquet: "is empty, and no Parquet file"})},
	{name: "blank lines alone", formats: lined, edit: to("\n  \n\n"), outcome: fails(0, "at least one row was expected")},
	{name: "no file", formats: anything, job: func(_ *testing.T, s subject, format string, channels map[string]algotest.Channel) {
		channels["train"] = algotest.Channel{ContentType: channels["train"].ContentType}
	}, outcome: whole("train channel: ", "no data files found: at least one was expected")},
	{name: "no channel", formats: anything, job: func(_ *testing.T, _ subject, _ string, channels map[string]algotest.Channel) {
		delete(channels, "train")
	},
		outcome: whole("channel: train", "Missing required channel: train")},
	{name: "a channel of another name", formats: anything, job: func(_ *testing.T, _ subject, _ string, channels map[string]algotest.Channel) {
		channels["training"] = channels["train"]
	}, outcome: whole("channel found: training", "Extraneous channel found")},
	{name: "one row", formats: anything, rows: func(s subject) rows {
		r := good(s)
		return rows{r.labels[:1], r.values[:1], r.lines[:min(1, len(r.lines))]}
	}, outcome: func(s subject, _ string) outcome {
		if s.name == "kmeans" {
			return outcome{file: "-", want: "1 rows, but k is 2: at least as many rows as clusters are needed"}
		}
		return outcome{trains: true}
	}},
	// The width of rows.
	{name: "labels alone", formats: tables, of: labelled, rows: func(s subject) rows { return each(8, func(int) []float64 { return nil }) },
		outcome: func(_ subject, format string) outcome {
			return map[string]outcome{
				asCSV:      {row: 1, want: "needs a label and at least one feature"},
				asRecordIO: {row: 1, want: "has no features; at least one was expected"},
				asLibSVM:   {trains: true}, // rows whose features are all missing
				asParquet:  {want: "the label and at least one feature are needed"},
			}[format]
		}, d: -1},
	{name: "one feature", formats: tables, params: map[string]string{"feature_dim": "1"}, d: 1,
		rows: func(subject) rows { return each(8, func(i int) []float64 { return []float64{float64(i + 1)} }) }, outcome: trains},
	{name: "one column, which counts as the label", formats: csvs, of: unlabelled, params: map[string]string{"feature_dim": "1"}, job: typed("text/csv"),
		rows:    func(subject) rows { return each(8, func(i int) []float64 { return []float64{float64(i + 1)} }) },
		outcome: fails(1, "rows without a label have the content type text/csv;label_size=0")},
	{name: "no label_size=0", formats: csvs, of: unlabelled, job: typed("text/csv"),
		outcome: fails(1, "has 2 features and a label, which a CSV without the content type text/csv;label_size=0 has, but feature_dim is 3")},
	{name: "another feature_dim", formats: tables, of: fixed, params: map[string]string{"feature_dim": "4"}, outcome: fails(1, "but feature_dim is 4")},
	{name: "a shorter row", formats: []string{asCSV, asRecordIO}, rows: edited(5, 0, 1, 2), outcome: fails(5, "but the first row has")},
	{name: "a longer row", formats: []string{asCSV, asRecordIO}, rows: edited(5, 0, 1, 2, 3, 4), outcome: fails(5, "but the first row has")},
	{name: "commas at all line ends", formats: csvs, edit: all("\n", ",\n"), outcome: unlessFree(fails(1, "but feature_dim is 3")), d: 4},
	{name: "a comma at a line's end", formats: csvs, edit: atLine(4, func(line string) string { return line + "," }), outcome: fails(4, "but the first row has")},
	{name: "a second channel of another width", formats: tables, job: second(each(8, func(int) []float64 { return []float64{1, 2, 3, 4, 5} })), d: 5,
		outcome: func(s subject, format string) outcome {
			switch {
			case s.free && format == asLibSVM:
				return outcome{trains: true} // the model has the features of both
			case s.free:
				return onSecond(1, "but the train channel has 3")(s, format)
			}
			return onSecond(1, "but feature_dim is 3")(s, format)
		}},
	{name: "a second channel of another width, with weights", formats: csvs, of: named("xgboost"), params: map[string]string{"csv_weights": "1"},
		job: second(each(8, func(int) []float64 { return []float64{1, 2, 3, 4, 5} })), outcome: onSecond(1, "has 4 features behind label and weight, but the train channel has 2")},
	{name: "another width where feature_dim is auto", formats: tables, of: named("knn", "linear-learner"), params: map[string]string{"feature_dim": "auto"},
		job: second(each(8, func(int) []float64 { return []float64{1, 2} })), outcome: onSecond(1, "but the train channel has 3")},
	{name: "a second channel without a row", formats: anything, job: func(_ *testing.T, s subject, format string, channels map[string]algotest.Channel) {
		channels[s.other] = s.onSecond().channel(format, "")
	}, outcome: func(s subject, format string) outcome { return onSecond(0, "is empty")(s, format) }},
	// Values.
	{name: "constant columns", formats: tables, rows: func(subject) rows { return each(8, func(int) []float64 { return []float64{5, 5, 5} }) }, outcome: trains},
	{name: "NaN", formats: tables, rows: edited(3, 0, 1, nan, 2), outcome: unlessFree(fails(3, "feature 2 is missing or NaN; a finite number was expected"))},
	{name: "an empty field", formats: csvs, rows: edited(3, 0, 1, 77, 2), edit: all("77", ""),
		outcome: unlessFree(fails(3, "feature 2 is missing or NaN; a finite number was expected"))},
	{name: "infinity", formats: tables, rows: edited(3, 0, 1, inf, 2), outcome: apart(3, `"inf" is not a finite number`, map[string]string{asRecordIO: noFinite, asParquet: noFinite})},
	{name: "1e39", formats: tables, rows: edited(3, 0, 1, 1e39, 2),
		outcome: apart(3, `"1e+39" is not a number that fits in 32 bits`, map[string]string{asRecordIO: noFinite, asParquet: noFinite})},
	{name: "3e38", formats: tables, rows: edited(3, 0, 1, 3e38, 2), outcome: func(s subject, _ string) outcome {
		switch s.name {
		case "kmeans", "knn":
			return outcome{row: 3, want: "feature 2 is 3e+38; a number from -1e15 to 1e15, whose squares can be summed up, was expected"}
		case "lda":
			return outcome{row: 3, want: "feature 2 is 3e+38; the count of a word, from 0 to 1e15, was expected"}
		case "factorization-machines":
			return outcome{channel: "training diverged", file: "-", want: "Lower bias_lr, linear_lr or factors_lr, or scale large features"}
		}
		return outcome{trains: true}
	}},
	{name: "9e14", formats: tables, rows: edited(3, 0, 1, 9e14, 2), outcome: trains},
	{name: "a negative number", formats: tables, rows: edited(3, 0, 1, -2, 3), outcome: func(s subject, _ string) outcome {
		if s.name == "lda" {
			return outcome{row: 3, want: "feature 2 is -2; the count of a word, from 0 to 1e15, was expected"}
		}
		return outcome{trains: true}
	}},
	{name: "text for a number", formats: []string{asCSV, asLibSVM}, rows: edited(3, 0, 1, 77, 2), edit: all("77", "red"), outcome: fails(3, `"red" is not a number`)},
	{name: "a decimal comma", formats: csvs, edit: func(_ *testing.T, text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, ",", ",5;"), "\n", ",5\n")
	},
		outcome: fails(1, "is not a number")},
	{name: "keys beyond the shape", formats: records, job: sparse([]uint64{3}, 0, 1, 9), outcome: fails(2, "of shape [3] has the key 9")},
	{name: "keys without a shape", formats: records, job: sparse(nil, 0, 1, 2), outcome: fails(2, "has keys but no shape")},
	{name: "a key twice", formats: records, job: sparse([]uint64{3}, 0, 1, 1), outcome: fails(2, "feature 1 occurs twice")},
	{name: "a key beyond feature_dim", formats: records, job: sparse([]uint64{10}, 0, 1, 9), outcome: unlessFree(fails(2, "has 10 features, but feature_dim is 3")), d: 10},
	// Labels and weights.
	{name: "no label column", formats: []string{asCSV, asRecordIO}, of: labelled, job: func(t *testing.T, s subject, format string, channels map[string]algotest.Channel) {
		s.labels = false
		channels["train"].Files[fileOf(format)] = good(s).file(t, s, format)
	}, outcome: func(s subject, format string) outcome {
		switch {
		case format == asRecordIO:
			return outcome{row: 1, want: "has no label; one number was expected"}
		case s.free:
			return outcome{row: 1, want: "the label is 2; label must be in [0,1] for logistic regression"}
		}
		return outcome{row: 1, want: "has 2 features behind the label, but feature_dim is 3"}
	}},
	{name: "a NaN label", formats: tables, of: labelled, rows: edited(3, nan), outcome: apart(3, "is missing or NaN; a number was expected", map[string]string{asRecordIO: "is missing or NaN; a finite number was expected"})},
	{name: "an infinite label", formats: tables, of: labelled, rows: edited(3, inf), outcome: apart(3, `"inf" is not a finite number`, map[string]string{asRecordIO: noFinite, asParquet: noFinite})},
	{name: "text for a label", formats: []string{asCSV, asLibSVM}, of: labelled, edit: atLine(3, func(line string) string { return "yes" + line[1:] }), outcome: fails(3, `"yes" is not a number`)},
	{name: "a label out of range", formats: tables, of: named("linear-learner", "factorization-machines", "xgboost"), rows: edited(3, 2), outcome: func(s subject, _ string) outcome {
		if s.name == "xgboost" {
			return outcome{row: 3, want: "the label is 2; label must be in [0,1]"}
		}
		return outcome{row: 3, want: "the label is 2; 0 or 1 was expected, for predictor_type binary_classifier"}
	}},
	{name: "a label out of range in test", formats: tables, of: named("randomcutforest"), job: second(rows{labels: []float64{0, 2}, values: [][]float64{{1, 2, 3}, {1, 2, 3}}}),
		outcome: onSecond(2, "the label is 2; 0 (usual) or 1 (anomalous) was expected")},
	{name: "a class beyond num_classes", formats: tables, of: named("linear-learner"), params: map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "3"},
		rows: edited(3, 3), outcome: fails(3, "the label is 3; a whole number from 0 to 2 was expected, for num_classes 3")},
	{name: "half a class", formats: tables, of: named("linear-learner"), params: map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "3"},
		rows: edited(3, 0.5), outcome: fails(3, "the label is 0.5; a whole number from 0 to 2 was expected")},
	{name: "a class beyond num_class", formats: tables, of: named("xgboost"), params: map[string]string{"objective": "multi:softmax", "num_class": "3"},
		rows: edited(3, 3), outcome: fails(3, "the label is 3; SoftmaxMultiClassObj: label must be discrete values in the range of [0, num_class)")},
	{name: "half a class of XGBoost", formats: tables, of: named("xgboost"), params: map[string]string{"objective": "multi:softmax", "num_class": "3"},
		rows: edited(3, 0.5), outcome: fails(3, "the label is 0.5; SoftmaxMultiClassObj: label must be discrete values in the range of [0, num_class)")},
	{name: "a negative weight", formats: csvs, of: named("xgboost"), params: map[string]string{"csv_weights": "1"}, rows: edited(3, 0, -1, 2, 3),
		outcome: fails(3, "the weight (column 2) must be a number that is not negative")},
	{name: "a negative weight in libsvm", formats: []string{asLibSVM}, of: named("xgboost"), edit: atLine(3, func(line string) string { return "0:-1" + line[1:] }),
		outcome: fails(3, `the weight "-1" is not a number that is not negative`)},
	// What editors and exports make of text.
	{name: "a header", formats: csvs, edit: before("colour,width,height,depth\n"), outcome: fails(1, noHeader)},
	{name: "a header of pairs", formats: []string{asPairs}, edit: before("user,address\n"), outcome: fails(1, noHeader)},
	{name: "a byte order mark", formats: lined, edit: before("\xef\xbb\xbf"), outcome: trains, same: true},
	{name: "Windows line ends", formats: lined, edit: all("\n", "\r\n"), outcome: trains, same: true},
	{name: "no last line end", formats: lined, edit: cut(1), outcome: trains, same: true},
	{name: "an empty line", formats: []string{asCSV, asLibSVM, asPairs}, edit: atLine(4, func(line string) string { return "\n" + line }), outcome: trains, same: true},
	{name: "an empty line of text", formats: []string{asText}, edit: atLine(4, func(line string) string { return "\n" + line }), outcome: trains}, // it is a word of the vocabulary
	{name: "quotes", formats: []string{asCSV, asPairs}, edit: atLine(4, quoted), outcome: trains, same: true},
	{name: "tabs for commas", formats: csvs, edit: all(",", "\t"), outcome: trains, same: true},
	{name: "UTF-16", formats: lined, edit: func(_ *testing.T, text string) string {
		return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00")
	}, outcome: fails(0, "is UTF-16 text; UTF-8 was expected")},
	// Files of another kind.
	{name: "gzip", formats: anything, edit: zipped, outcome: fails(0, "is compressed with gzip, which was not expected: the channel's CompressionType Gzip unpacks it")},
	{name: "bytes", formats: anything, edit: to("\x00\xff\xfe\x00garbage\x00"), outcome: apart(0, "is no text, which was expected by the ContentType text/", map[string]string{
		asRecordIO: "is no RecordIO, which was expected by the ContentType application/x-recordio-protobuf", asParquet: "is no Parquet file that can be read",
		asText: "line 1: byte 0xff is not UTF-8 text", asPairs: "line 1: has one column; an entity and an IPv4 address were expected"})},
	{name: "a record cut short", formats: records, edit: cut(5), outcome: fails(8, "the data ends within it")},
	{name: "a broken record", formats: records, edit: func(_ *testing.T, text string) string { return text[:len(text)/8*3] + "XXXX" + text[len(text)/8*3+4:] },
		outcome: fails(4, "0x58585858 stands in place of the magic word")},
	{name: "a file cut short", formats: []string{asParquet}, edit: cut(50), outcome: fails(0, "is no Parquet file that can be read")},
	{name: "what Hadoop leaves", formats: anything, job: also("_SUCCESS", "", ".part-0.crc", "crc\x00\x01\xff", "_temporary/0/x", "x"), outcome: trains, same: true},
	{name: "notes beside the data", formats: anything, job: also("README.txt", "These are the data.\xff\n"), outcome: func(_ subject, format string) outcome {
		return map[string]outcome{
			asCSV: {file: "README.txt", row: 1, want: `"These" is not a number`}, asLibSVM: {file: "README.txt", row: 1, want: `the label "These" is not a number`},
			asRecordIO: {file: "README.txt", want: "is no RecordIO, which was expected"}, asParquet: {file: "README.txt", want: "is no Parquet file that can be read"},
			asText: {file: "README.txt", row: 1, want: "byte 0xff is not UTF-8 text"}, asPairs: {file: "README.txt", row: 1, want: "an entity and an IPv4 address were expected"},
		}[format]
	}},
	// Content types.
	{name: "an unknown ContentType", formats: anything, job: typed("image/png"), outcome: whole("train channel: ", "image/png is not an accepted ContentType: ")},
	{name: "CSV without a ContentType", formats: csvs, job: typed(""), outcome: func(s subject, _ string) outcome {
		if s.free {
			return outcome{row: 1, want: `is not a number; a line such as "1 0:0.5 3:2" was expected, and CSV has the ContentType text/csv`}
		}
		return outcome{want: "is no RecordIO, which was expected as the channel has no ContentType; that of CSV is text/csv"}
	}},
	{name: "CSV as RecordIO", formats: csvs, job: typed("application/x-recordio-protobuf"), outcome: fails(0, "is no RecordIO, which was expected by the ContentType application/x-recordio-protobuf")},
	{name: "CSV as Parquet", formats: csvs, of: named("xgboost"), job: typed("application/x-parquet"), outcome: fails(0, "is no Parquet file that can be read")},
	{name: "RecordIO as CSV", formats: records, job: typed("text/csv"), outcome: func(s subject, format string) outcome {
		if s.name == "factorization-machines" {
			return whole("train channel: ", "text/csv is not an accepted ContentType: recordio-protobuf, application/x-recordio-protobuf.")(s, format)
		}
		return outcome{want: "is RecordIO, which was not expected: its ContentType is application/x-recordio-protobuf"}
	}},
	{name: "Parquet as CSV", formats: []string{asParquet}, job: typed("text/csv"), outcome: fails(0, "is a Parquet file, which was not expected: its ContentType is application/x-parquet")},
	{name: "libsvm as CSV", formats: []string{asLibSVM}, job: typed("text/csv"), outcome: fails(1, "; it looks like libsvm, whose ContentType is text/libsvm")},
	{name: "JSON as CSV", formats: csvs, edit: to("{\"a\": 1, \"b\": 2}\n"), outcome: fails(1, `column 1: "{\"a\": 1" is not a number; it looks like JSON, where CSV was expected`)},
	// Text and pairs.
	{name: "no labels in text", formats: []string{asText}, edit: all("__label__", ""), outcome: fails(0, `none of 8 lines has a label and a known word; lines such as "__label__1 a text" were expected`)},
	{name: "bytes in a line of text", formats: []string{asText}, edit: atLine(3, func(line string) string { return line + " caf\xe9" }), outcome: fails(3, "byte 0xe9 is not UTF-8 text")},
	{name: "rare words", formats: []string{asText}, params: map[string]string{"min_count": "50"}, outcome: whole("train channel: ", "occurs min_count, 50 times, in ")},
	{name: "a manifest without source", formats: []string{asText}, job: typed("application/jsonlines"), rows: lines(`{"source": "a b", "label": 1}`, `{"sauce": "a b", "label": 1}`),
		outcome: fails(2, `there is no "source"; {"source": "text", "label": 1} was expected`)},
	{name: "text as a manifest", formats: []string{asText}, job: typed("application/jsonlines"), outcome: fails(1, `{"source": "text", "label": 1} was expected`)},
	{name: "one column of pairs", formats: []string{asPairs}, rows: lines("a,1.2.3.4", "b"), outcome: fails(2, "has one column; an entity and an IPv4 address were expected")},
	{name: "three columns of pairs", formats: []string{asPairs}, rows: lines("a,1.2.3.4", "a,b,1.2.3.4"), outcome: fails(2, "has 3 columns; an entity and an IPv4 address were expected")},
	{name: "IPv6", formats: []string{asPairs}, rows: lines("a,1.2.3.4", "a,::1"), outcome: fails(2, `"::1" is not an IPv4 address`)},
	{name: "no entity", formats: []string{asPairs}, rows: lines("a,1.2.3.4", ",1.2.3.4"), outcome: fails(2, "has no entity; an entity and an IPv4 address were expected")},
	{name: "columns the other way round", formats: []string{asPairs}, rows: lines("1.2.3.4,a"), outcome: fails(1, `"a" is not an IPv4 address`)},
}
