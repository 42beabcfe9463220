// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// defaultMaxBody is the container's limit of a request's body: 6 MiB.
const defaultMaxBody = 6 << 20

// mostMB is the largest MaxPayloadInMB of a transform job.
const mostMB = 100

// settings is what all models of a server share.
type settings struct {
	opts      Options
	maxBody   int
	batch     bool
	output    []string
	preferred string // media type of answers
	params    []byte // the answer of /execution-parameters
	pool      sync.Pool
}

// handler answers for one loaded model.
type handler struct {
	*settings
	model   algo.Model
	into    algo.IntoPredictor // nil when the model is none
	respond algo.Responder     // nil when the model predicts rows
	mirror  algo.Mirror        // nil when Accept is heeded
	format  algo.Formatter     // nil when the model is a Responder
	check   algo.RowChecker    // nil when the model has none
	accepts accepts

	// Of one model among many: its memory, who uses it, the table included, and
	// what follows when nobody does.
	bytes int64
	users atomic.Int64
	over  func()
}

// leave ends a use of h.
func (h *handler) leave() {
	if h.over != nil && h.users.Add(-1) == 0 {
		h.over()
	}
}

// request is the memory of one invocation, used again by the next.
type request struct {
	body   []byte
	rows   algo.Matrix
	values []float32 // of the prediction
	out    []byte
}

// maxPooled is the largest memory of one request that is kept for the next: a
// batch transform sends one large request after the other. What is not used
// again soon the garbage collector takes from the pool.
const maxPooled = 64 << 20

// Handler answers the container's HTTP requests for a loaded model. Answers of
// POST /invocations:
//
//	200 the prediction
//	204 for an empty body
//	400 the rows do not fit the model
//	406 no media type of Accept can be written
//	413 the body is larger than MAX_CONTENT_LENGTH
//	415 the body cannot be read, or its type is not known
//	500 the model failed
//
// It fails when the environment holds what it cannot use.
func Handler(model algo.Model, opts Options) (http.Handler, error) {
	h, err := newHandler(model, opts)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func newHandler(model algo.Model, opts Options) (*handler, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	return s.handler(model)
}

func newSettings(opts Options) (*settings, error) {
	opts = opts.withDefaults()
	s := &settings{opts: opts, maxBody: defaultMaxBody, preferred: opts.Getenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")}
	if text := opts.Getenv("MAX_CONTENT_LENGTH"); text != "" {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("MAX_CONTENT_LENGTH is %q, not a number of bytes", text)
		}
		s.maxBody = n
	} else if n, err := strconv.Atoi(opts.Getenv("SAGEMAKER_MAX_PAYLOAD_IN_MB")); err == nil { // of a transform job's request
		s.maxBody = max(s.maxBody, min(n, mostMB)<<20)
	}
	s.batch = isTrue(opts.Getenv("SAGEMAKER_BATCH"))
	if text := strings.ReplaceAll(strings.ToLower(opts.Getenv("SAGEMAKER_INFERENCE_OUTPUT")), " ", ""); text != "" {
		s.output = strings.Split(text, ",")
	}
	s.params = fmt.Appendf(nil, `{"MaxConcurrentTransforms": %d, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": %d}`,
		runtime.GOMAXPROCS(0), max(1, s.maxBody>>20))
	s.pool.New = func() any { return new(request) }
	return s, nil
}

// handler is for model, of which it keeps what predicts.
func (s *settings) handler(model algo.Model) (*handler, error) {
	if c, ok := model.(algo.Compacter); ok {
		model = c.Compact()
	}
	h := &handler{settings: s, model: model}
	h.into, _ = model.(algo.IntoPredictor)
	h.check, _ = model.(algo.RowChecker)
	var types []string
	if h.respond, _ = model.(algo.Responder); h.respond != nil {
		types = h.respond.Accepts()
		h.mirror, _ = model.(algo.Mirror)
	} else {
		if h.format, _ = model.(algo.Formatter); h.format == nil {
			h.format = scores{}
		}
		types = h.format.Accepts()
	}
	var err error
	if h.accepts, err = newAccepts(types, s.preferred); err != nil {
		return nil, err
	}
	return h, nil
}

func isTrue(s string) bool {
	on, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(s)))
	return err == nil && on
}

// ServeHTTP routes by hand: there are three doors, and each request counts.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/invocations":
		if allow(w, r, http.MethodPost) {
			h.invoke(w, r)
		}
	case !h.serveCommon(w, r):
		http.NotFound(w, r)
	}
}

// serveCommon answers what needs no model. It returns false for the rest.
func (s *settings) serveCommon(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/ping":
		if allow(w, r, http.MethodGet, http.MethodHead) {
			w.WriteHeader(http.StatusOK)
		}
	case "/execution-parameters":
		if allow(w, r, http.MethodGet, http.MethodHead) {
			w.Header()["Content-Type"] = jsonType
			_, _ = w.Write(s.params)
		}
	default:
		return false
	}
	return true
}

var jsonType = []string{"application/json"}

// allow answers 405 unless r has one of methods.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// refusal is an answer that is not a prediction.
type refusal struct {
	code int
	text string
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// invoke answers one POST /invocations.
func (h *handler) invoke(w http.ResponseWriter, r *http.Request) {
	q := h.pool.Get().(*request)
	defer h.release(q)
	no := h.readBody(q, r)
	var contentType []string
	if no == nil {
		contentType, no = h.answer(r.Context(), q, q.body, r.Header.Get("Content-Type"), r.Header["Accept"])
	}
	switch {
	case no == nil:
		w.Header()["Content-Type"] = contentType
		if len(q.out) > 2000 { // net/http finds the length of smaller ones by itself
			w.Header()["Content-Length"] = []string{strconv.Itoa(len(q.out))}
		}
		_, _ = w.Write(q.out) // the caller has gone; there is nobody to tell
	case no.text == "":
		w.WriteHeader(no.code)
	default:
		http.Error(w, no.text, no.code)
	}
}

// release gives the memory of q back unless a large request has made it large.
func (s *settings) release(q *request) {
	if cap(q.body)+4*cap(q.rows.Values)+4*cap(q.rows.Index)+8*cap(q.rows.Start)+4*cap(q.values)+cap(q.out) <= maxPooled {
		s.pool.Put(q)
	}
}

// answer fills q.out for a body of type sent, asked for with the Accept headers
// accept. contentType is the header value of the answer.
func (h *handler) answer(ctx context.Context, q *request, body []byte, sent string, accept []string) (contentType []string, no *refusal) {
	if len(body) == 0 {
		return nil, refuse(http.StatusNoContent, "")
	}
	var format data.Format
	if h.respond == nil {
		if format, no = h.readRows(q, body, sent); no != nil {
			return nil, no
		}
	}
	if h.mirror != nil {
		accept = []string{h.mirror.AnswerType(sent)}
	}
	chosen, params, contentType, ok := h.accepts.choose(accept)
	if !ok {
		return nil, refuse(http.StatusNotAcceptable, "Accept type %s is not supported. Please use supported accept types: %s.",
			strings.Join(accept, ", "), strings.Join(h.accepts.types, ", "))
	}
	how := algo.Answer{Accept: chosen, Params: params, Batch: h.batch, Output: h.output}
	if h.check != nil && h.respond == nil {
		if err := h.check.CheckRows(string(format), &q.rows); err != nil {
			return nil, refuse(http.StatusBadRequest, "Unable to evaluate payload provided: %v", err)
		}
	}
	if err := h.predict(ctx, q, how, sent, body); err != nil {
		if errors.Is(err, algo.ErrContentType) {
			return nil, refuse(http.StatusUnsupportedMediaType, "%v", err)
		}
		if algo.IsClientError(err) {
			return nil, refuse(http.StatusBadRequest, "Unable to evaluate payload provided: %v", err)
		}
		h.opts.Log.Error("Prediction failed", "err", err)
		return nil, refuse(http.StatusInternalServerError, "%v", err)
	}
	if format == data.RecordIO && chosen == "application/x-recordio-protobuf" {
		q.out = marked(q.out, body)
	}
	return contentType, nil
}

// predict fills q.out with the formatted prediction. A panic of the model is
// an error of this request alone.
func (h *handler) predict(ctx context.Context, q *request, how algo.Answer, sent string, body []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the model failed: %v", p)
		}
	}()
	if h.respond != nil {
		q.out, err = h.respond.Respond(ctx, q.out[:0], how, sent, body)
		return err
	}
	var p algo.Prediction
	if h.into != nil {
		p, err = h.into.PredictInto(ctx, &q.rows, q.values)
		q.values = p.Values
	} else {
		p, err = h.model.Predict(ctx, &q.rows)
	}
	if err != nil {
		return err
	}
	q.out, err = h.format.Format(q.out[:0], how, p)
	return err
}

// readBody fills q.body.
func (h *handler) readBody(q *request, r *http.Request) *refusal {
	tooLarge := func() *refusal {
		return refuse(http.StatusRequestEntityTooLarge, "The payload is larger than the limit of %d bytes", h.maxBody)
	}
	size := r.ContentLength
	if size > int64(h.maxBody) {
		return tooLarge()
	}
	if size < 0 { // chunked: read one byte past the limit to see that it is passed
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(h.maxBody)+1))
		if err != nil {
			return refuse(http.StatusBadRequest, "The payload could not be read: %v", err)
		}
		if len(body) > h.maxBody {
			return tooLarge()
		}
		q.body = body
	} else {
		if cap(q.body) < int(size) {
			q.body = make([]byte, size)
		}
		q.body = q.body[:size]
		if _, err := io.ReadFull(r.Body, q.body); err != nil {
			return refuse(http.StatusBadRequest, "The payload could not be read: %v", err)
		}
	}
	return nil
}

// rowOptions is the layout of a payload: features alone.
var rowOptions = data.Options{NoLabel: true}

// readRows decodes body into q.rows.
func (h *handler) readRows(q *request, body []byte, contentType string) (data.Format, *refusal) {
	format, labels, ok := typeOf(contentType, body)
	if !ok {
		return "", refuse(http.StatusUnsupportedMediaType, "Content-type %s is not supported. "+
			"Supported content-types are text/csv, text/libsvm, text/x-libsvm, application/json, application/jsonlines and "+
			"application/x-recordio-protobuf", contentType)
	}
	var err error
	switch format {
	case data.CSV:
		if err = data.ReadCSVInto(&q.rows, body, rowOptions); err == nil && labels > 0 {
			err = dropColumns(&q.rows, labels)
		}
	case data.LibSVM:
		err = data.ReadLibSVMInto(&q.rows, body, rowOptions)
	case data.JSON:
		err = data.ReadJSONInto(&q.rows, body)
	case data.JSONLines:
		err = data.ReadJSONLinesInto(&q.rows, body)
	case data.RecordIO:
		err = data.ReadRecordIOInto(&q.rows, body, rowOptions)
	}
	if err == nil && q.rows.Rows == 0 {
		err = errors.New("the payload holds no rows")
	}
	if err != nil {
		return "", refuse(http.StatusUnsupportedMediaType, "Loading %s data failed with Exception, "+
			"please ensure data is in %s format:\n %v", format, format, err)
	}
	return format, nil
}

// dropColumns takes the first n columns off a dense table.
func dropColumns(m *algo.Matrix, n int) error {
	if m.Cols <= n && m.Rows > 0 {
		return fmt.Errorf("rows have %d columns; features behind %d labels were expected, for label_size=%[2]d", m.Cols, n)
	}
	cols := m.Cols - n
	for i := range m.Rows {
		copy(m.Values[i*cols:(i+1)*cols], m.Values[i*m.Cols+n:(i+1)*m.Cols])
	}
	m.Values, m.Cols = m.Values[:m.Rows*cols], cols
	return nil
}

// typeOf is the format of a payload, and how many labels a row of CSV begins with:
// the parameter label_size, 0 without one. Without a content type the two text forms
// are told apart by the colon that every libsvm feature has: containers of
// different ages took such a payload for one or the other.
func typeOf(contentType string, body []byte) (format data.Format, labels int, ok bool) {
	switch contentType {
	case "text/csv": // nearly every request
		return data.CSV, 0, true
	case "":
		for _, c := range body {
			if c == ':' {
				return data.LibSVM, 0, true
			}
		}
		return data.CSV, 0, true
	}
	format, params, ok := data.ParseType(contentType)
	if size, given := params["label_size"]; given && format == data.CSV {
		n, err := strconv.ParseUint(size, 10, 31)
		if labels = int(n); err != nil {
			return "", 0, false
		}
	}
	return format, labels, ok && format != data.Parquet
}
