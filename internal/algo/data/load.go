// SPDX-License-Identifier: Apache-2.0

package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// Format is a data format by the short name that content types share.
type Format string

// The formats that SageMaker names.
const (
	CSV       Format = "csv"
	LibSVM    Format = "libsvm"
	Parquet   Format = "parquet"
	RecordIO  Format = "recordio-protobuf"
	JSON      Format = "json"
	JSONLines Format = "jsonlines"
)

// media maps the accepted media types to formats.
var media = map[string]Format{
	"csv": CSV, "text/csv": CSV,
	"libsvm": LibSVM, "text/libsvm": LibSVM, "text/x-libsvm": LibSVM,
	"parquet": Parquet, "application/x-parquet": Parquet,
	"recordio-protobuf": RecordIO, "application/x-recordio-protobuf": RecordIO,
	"application/json": JSON, "application/jsonlines": JSONLines,
}

// ParseType splits a content type into its format and parameters, all in lower
// case. ok is false when no format has it. It is as lenient as the containers:
// a parameter without a value or an empty one is passed over, where package
// mime refuses the whole.
func ParseType(contentType string) (f Format, params map[string]string, ok bool) {
	head, rest, _ := strings.Cut(strings.ToLower(contentType), ";")
	f, ok = media[strings.TrimSpace(head)]
	for param := range strings.SplitSeq(rest, ";") {
		if name, value, has := strings.Cut(param, "="); has {
			if params == nil {
				params = map[string]string{}
			}
			params[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return f, params, ok
}

// containerFormats are those of the XGBoost container, libsvm being what a
// channel holds that does not say.
var containerFormats = []Format{LibSVM, CSV, Parquet, RecordIO}

// contentTypes are the names of the formats, in the order in which they are told.
var contentTypes = []string{"csv", "libsvm", "parquet", "recordio-protobuf",
	"text/csv", "text/libsvm", "text/x-libsvm", "application/x-parquet", "application/x-recordio-protobuf"}

// accepted lists the content types of formats.
func accepted(formats []Format) string {
	var list []string
	for _, name := range contentTypes {
		if slices.Contains(formats, media[name]) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

// trainFormat is the format of a training channel. noLabel is set where a CSV
// says that it has none, which an unsupervised algorithm takes.
func trainFormat(contentType string, opts Options) (f Format, noLabel bool, err error) {
	formats := opts.Formats
	if formats == nil {
		formats = containerFormats
	}
	if strings.TrimSpace(contentType) == "" {
		return formats[0], opts.NoLabel, nil
	}
	f, params, ok := ParseType(contentType)
	if !ok || !slices.Contains(formats, f) {
		return "", false, algo.ClientErrorf("%s is not an accepted ContentType: %s.", contentType, accepted(formats))
	}
	size := params["label_size"]
	switch {
	case f == CSV && opts.Unsupervised:
		if size != "" && size != "0" && size != "1" {
			return "", false, algo.ClientErrorf("%s is not an accepted csv ContentType. Optional parameter label_size must be 0 or 1", contentType)
		}
		return f, size == "0", nil
	case f == CSV && size != "" && size != labelSize(opts.NoLabel):
		return "", false, algo.ClientErrorf("%s is not an accepted csv ContentType. "+
			"Optional parameter label_size must be equal to %s", contentType, labelSize(opts.NoLabel))
	}
	return f, opts.NoLabel, nil
}

func labelSize(noLabel bool) string {
	if noLabel {
		return "0"
	}
	return "1"
}

// emptyFiles is ErrNoRows for sources that hold no rows.
type emptyFiles []source

func (e emptyFiles) Is(target error) bool { return target == ErrNoRows }

func (e emptyFiles) Error() string {
	if len(e) == 1 {
		return "1 file, but no rows: file " + e[0].name + " is empty, where at least one row was expected"
	}
	return fmt.Sprintf("%d files, but no rows: file %s and the others are empty, where at least one row was expected", len(e), e[0].name)
}

// noRows is the error of a channel whose files, all sources, hold no rows.
func noRows(sources []source) error {
	if len(sources) == 0 {
		return algo.ClientErrorf("%w: at least one was expected, of a name that does not begin with . or _", ErrNoRows)
	}
	return algo.ClientErrorf("%w", emptyFiles(sources))
}

// maxFolders is how many folders below a channel's own are read.
const maxFolders = 3

// ErrNoRows is what errors of Load wrap when nothing is wrong with a channel but
// that it holds no rows: of several hosts one may get none.
var ErrNoRows = errors.New("no data files found")

// spent is how long all calls of Load took, in nanoseconds.
var spent atomic.Int64

// Spent is how long Load took in this process: the part of a training that is
// reading, which benchmarks tell apart.
func Spent() time.Duration { return time.Duration(spent.Load()) }

// Load reads a whole training channel, its files in the order of their paths,
// as one matrix: of a channel in Pipe mode its first epoch. CSV and Parquet give
// a dense one, libsvm a sparse one, RecordIO-protobuf what its tensors are. Files whose
// names begin with '.' or '_' are passed over. Errors in the data, an empty
// channel among them, are client errors that name the file, its path below the
// channel, and the line.
func Load(ch *algo.Channel, opts Options) (*algo.Matrix, error) {
	began := time.Now()
	defer func() { spent.Add(int64(time.Since(began))) }()
	m, err := load(ch, opts)
	if err != nil {
		return nil, fmt.Errorf("%s channel: %w", ch.Name, err)
	}
	return m, nil
}

func load(ch *algo.Channel, opts Options) (*algo.Matrix, error) {
	format, noLabel, err := trainFormat(ch.ContentType, opts)
	if err != nil {
		return nil, err
	}
	if ch.Pipe && format == LibSVM {
		return nil, algo.ClientErrorf("libsvm cannot be read in Pipe mode, as in the container: " +
			"use File mode, or the ContentType text/csv or application/x-recordio-protobuf")
	}
	// Of RecordIO each object is sent as it is.
	sources, release, err := open(ch, 0, ch.Wrapped && format != RecordIO, opts.Memory)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := checkKinds(sources, format, because(ch, opts)); err != nil {
		return nil, err
	}
	asked := opts
	opts.NoLabel = noLabel || opts.Unsupervised && format == RecordIO
	if ch.Pipe && !ch.Wrapped && format == Parquet {
		sources = cutParquet(sources[0])
	}
	m := new(algo.Matrix)
	switch format {
	case Parquet:
		err = readParquet(m, sources, opts)
	case CSV:
		err = readCSV(m, sources, opts)
	case RecordIO:
		err = readRecordIO(m, sources, opts)
	default:
		err = readLibSVM(m, sources, opts)
	}
	switch {
	case err != nil:
		return nil, err
	case m.Rows == 0:
		return nil, noRows(sources)
	}
	if err := check(m, sources, format, opts); err != nil {
		return nil, err
	}
	if asked.Unsupervised {
		m.Label = nil
	}
	return m, nil
}

// open gives the files of ch, of a channel in Pipe mode those of the epoch,
// which counts from 0. unwrapped takes the records of RecordIO apart. release
// must follow when the content is no longer needed. What is no file that can be
// mapped, such as a pipe, lies in memory, which may be nil.
func open(ch *algo.Channel, epoch int, unwrapped bool, memory *spill.Space) (sources []source, release func(), err error) {
	dir, names := filepath.Dir(ch.Dir), []string{fmt.Sprintf("%s_%d", filepath.Base(ch.Dir), epoch)}
	if !ch.Pipe {
		dir = ch.Dir
		if names, err = files(dir); err != nil {
			return nil, nil, err
		}
	}
	var mapped []func()
	release = func() {
		for _, f := range mapped {
			f()
		}
	}
	for _, name := range names {
		b, done, err := mapFile(filepath.Join(dir, filepath.FromSlash(name)), memory)
		if err != nil {
			release()
			return nil, nil, fmt.Errorf("read file: %w", err)
		}
		if done != nil {
			mapped = append(mapped, done)
		}
		sources = append(sources, source{name, b, done != nil})
	}
	if unwrapped {
		if sources, err = unwrap(sources); err != nil {
			release()
			return nil, nil, err
		}
	}
	return sources, release, nil
}

// files lists the data files of dir, relative to it with slashes, sorted.
// Links are followed: File mode may lay them to data that is on this disk.
func files(dir string) (names []string, err error) {
	var walk func(below string, depth int) error
	walk = func(below string, depth int) error {
		entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(below)))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			base := entry.Name()
			if base[0] == '.' || base[0] == '_' || cacheFile(base) {
				continue
			}
			name := path.Join(below, base)
			info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
			switch {
			case err != nil:
				return err
			case info.Mode().IsRegular():
				names = append(names, name)
			case info.IsDir() && depth < maxFolders:
				if err := walk(name, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk("", 0); errors.Is(err, fs.ErrNotExist) && len(names) == 0 {
		return nil, noRows(nil)
	} else if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// cacheFile reports whether name is a cache that the XGBoost library leaves
// beside its data.
func cacheFile(name string) bool {
	return strings.Contains(name, ".cache") && (strings.Contains(name, "dtrain") || strings.Contains(name, "dval"))
}
