// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/sagebrush-ml/sagebrush/model"
)

// The parts of a botocore model that we read.
type botoService struct {
	Metadata struct {
		APIVersion     string          `json:"apiVersion"`
		ServiceID      string          `json:"serviceId"`
		Protocol       string          `json:"protocol"`
		Protocols      []string        `json:"protocols"`
		JSONVersion    string          `json:"jsonVersion"`
		TargetPrefix   string          `json:"targetPrefix"`
		SigningName    string          `json:"signingName"`
		EndpointPrefix string          `json:"endpointPrefix"`
		XMLNamespace   string          `json:"xmlNamespace"`
		QueryCompat    json.RawMessage `json:"awsQueryCompatible"`
	} `json:"metadata"`
	Operations map[string]struct {
		HTTP struct {
			Method string `json:"method"`
			URI    string `json:"requestUri"`
			Code   int    `json:"responseCode"`
		} `json:"http"`
		Input  *struct{ Shape string } `json:"input"`
		Output *struct {
			Shape         string
			ResultWrapper string `json:"resultWrapper"`
		} `json:"output"`
		Errors []struct{ Shape string } `json:"errors"`
	} `json:"operations"`
	Shapes map[string]*botoShape `json:"shapes"`
}

type botoRef struct {
	Shape        string `json:"shape"`
	Location     string `json:"location"`
	LocationName string `json:"locationName"`
	Streaming    bool   `json:"streaming"`
	Token        bool   `json:"idempotencyToken"`
	Flattened    bool   `json:"flattened"`
	Time         string `json:"timestampFormat"`
	EventPayload bool   `json:"eventpayload"`
}

type botoShape struct {
	Type      string          `json:"type"`
	Members   orderedMembers  `json:"members"`
	Required  []string        `json:"required"`
	Member    *botoRef        `json:"member"`
	Key       *botoRef        `json:"key"`
	Value     *botoRef        `json:"value"`
	Enum      []string        `json:"enum"`
	Min       *float64        `json:"min"`
	Max       *float64        `json:"max"`
	Pattern   string          `json:"pattern"`
	Payload   string          `json:"payload"`
	Union     bool            `json:"union"`
	Flattened bool            `json:"flattened"`
	Time      string          `json:"timestampFormat"`
	Exception json.RawMessage `json:"exception"`
	Error     *struct {
		Code   string `json:"code"`
		Status int    `json:"httpStatusCode"`
	} `json:"error"`
	EventStream bool `json:"eventstream"`
	Event       bool `json:"event"`
	Streaming   bool `json:"streaming"`
}

// orderedMembers keeps the model's order, which decides the order of errors.
type orderedMembers []struct {
	Name string
	Ref  botoRef
}

func (m *orderedMembers) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var ref botoRef
		if err := d.Decode(&ref); err != nil {
			return err
		}
		*m = append(*m, struct {
			Name string
			Ref  botoRef
		}{name.(string), ref})
	}
	return nil
}

func readService(wheel string, s serviceEntry, q quirks) (*model.Service, error) {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return nil, err
	}
	defer func() { _ = z.Close() }()
	var boto botoService
	var pages struct {
		Pagination map[string]struct {
			In     any    `json:"input_token"`
			Out    any    `json:"output_token"`
			Limit  string `json:"limit_key"`
			Result any    `json:"result_key"`
		} `json:"pagination"`
	}
	for _, f := range z.File {
		if ok, _ := path.Match("botocore/data/"+s.Name+"/*/service-2.json.gz", f.Name); ok {
			if err := readZipped(f, &boto); err != nil {
				return nil, err
			}
		}
		if ok, _ := path.Match("botocore/data/"+s.Name+"/*/paginators-1.json", f.Name); ok {
			if err := readZipped(f, &pages); err != nil {
				return nil, err
			}
		}
	}
	if boto.Metadata.APIVersion == "" {
		return nil, fmt.Errorf("no service model in %s", wheel)
	}
	md := boto.Metadata
	out := &model.Service{
		Name: s.Name, Version: md.APIVersion, ServiceID: md.ServiceID, Protocol: md.Protocol,
		JSONVersion: md.JSONVersion, Target: md.TargetPrefix, Signing: md.SigningName, Namespace: md.XMLNamespace,
		QueryCompat: len(md.QueryCompat) > 0 && string(md.QueryCompat) != "null",
		Operations:  map[string]*model.Operation{}, Shapes: map[string]*model.Shape{},
	}
	if out.Protocol == "smithy-rpc-v2-cbor" {
		out.Protocol = "json" // what boto3 picks of the three
	}
	if out.Signing == "" {
		out.Signing = md.EndpointPrefix
	}
	g := gatherer{boto: boto, out: out, quirks: q}
	for name, op := range boto.Operations {
		if len(s.Only) > 0 && !slices.Contains(s.Only, name) {
			out.Others = append(out.Others, name)
			continue
		}
		o := &model.Operation{Status: op.HTTP.Code}
		if op.HTTP.Method != "POST" {
			o.Method = op.HTTP.Method
		}
		if op.HTTP.URI != "/" {
			o.URI = op.HTTP.URI
		}
		if o.Status == 200 {
			o.Status = 0
		}
		if op.Input != nil {
			o.Input = op.Input.Shape
		}
		if op.Output != nil {
			o.Output, o.Wrapper = op.Output.Shape, op.Output.ResultWrapper
		}
		for _, e := range op.Errors {
			o.Errors = append(o.Errors, e.Shape)
		}
		sort.Strings(o.Errors)
		for _, ref := range append([]string{o.Input, o.Output}, o.Errors...) {
			if err := g.add(ref); err != nil {
				return nil, err
			}
		}
		if p, ok := pages.Pagination[name]; ok {
			in, _ := p.In.(string)
			tok, _ := p.Out.(string)
			res, _ := p.Result.(string)
			o.Paginator = &model.Pager{In: in, Out: tok, Limit: p.Limit, Result: res}
		}
		out.Operations[name] = o
	}
	for _, name := range s.Only {
		if out.Operations[name] == nil {
			return nil, fmt.Errorf("services.yaml names %s, which the model lacks", name)
		}
	}
	sort.Strings(out.Others)
	return out, nil
}

func readZipped(f *zip.File, into any) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	var src io.Reader = r
	if strings.HasSuffix(f.Name, ".gz") {
		if src, err = gzip.NewReader(r); err != nil {
			return err
		}
	}
	if err := json.NewDecoder(src).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// gatherer copies shapes and all that they refer to.
type gatherer struct {
	boto   botoService
	out    *model.Service
	quirks quirks
}

func (g *gatherer) add(name string) error {
	if name == "" || g.out.Shapes[name] != nil {
		return nil
	}
	b, ok := g.boto.Shapes[name]
	if !ok {
		return fmt.Errorf("shape %s is not in the model", name)
	}
	s := &model.Shape{
		Type: b.Type, Enum: b.Enum, Min: b.Min, Max: b.Max, Pattern: b.Pattern, Payload: b.Payload,
		Union: b.Union, Flat: b.Flattened, Time: b.Time, EventStr: b.EventStream, Event: b.Event,
		Fault: len(b.Exception) > 0 && string(b.Exception) != "false",
	}
	if b.Error != nil {
		s.Code, s.Status = b.Error.Code, b.Error.Status
	}
	if slices.Contains(g.quirks.Open, g.out.Name+"."+name) {
		s.Enum = nil
	}
	g.out.Shapes[name] = s
	if s.Pattern != "" {
		if err := goPattern(s, g.quirks); err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
	}
	member := func(n string, r *botoRef) (*model.Member, error) {
		if r == nil {
			return nil, nil
		}
		m := &model.Member{Name: n, Shape: r.Shape, Required: slices.Contains(b.Required, n), Location: r.Location,
			Stream: r.Streaming, Token: r.Token, Flat: r.Flattened, Time: r.Time, Payload: r.EventPayload}
		if r.LocationName != n {
			m.Wire = r.LocationName
		}
		if target := g.boto.Shapes[r.Shape]; target != nil && target.Streaming {
			m.Stream = true
		}
		return m, g.add(r.Shape)
	}
	for _, m := range b.Members {
		mm, err := member(m.Name, &m.Ref)
		if err != nil {
			return err
		}
		mm.Shown = slices.Contains(g.quirks.Shown, g.out.Name+"."+name+"."+m.Name)
		s.Members = append(s.Members, *mm)
	}
	var err error
	if s.Elem, err = member("", b.Member); err != nil {
		return err
	}
	if s.Key, err = member("", b.Key); err != nil {
		return err
	}
	s.Value, err = member("", b.Value)
	return err
}

var (
	bigCount  = regexp.MustCompile(`\{(\d*),(\d{4,})\}`)
	unicode4  = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
	lookAhead = regexp.MustCompile(`^\(\?=\.\{1,(\d+)\}\$\)`)
)

// goPattern finds the form of a Java regular expression that Go compiles.
func goPattern(s *model.Shape, q quirks) error {
	if over, ok := q.Patterns[s.Pattern]; ok {
		s.GoRE, s.NotRE = over.Match, over.Not
	} else {
		p := lookAhead.ReplaceAllString(s.Pattern, "")
		p = unicode4.ReplaceAllString(p, `\x{$1}`)
		p = strings.ReplaceAll(p, `\p{Alnum}`, `0-9A-Za-z`)
		p = strings.ReplaceAll(p, `[\p{Print}]`, `[\x20-\x7E]`)
		p = strings.ReplaceAll(p, `\p{Print}`, `[\x20-\x7E]`)
		p = strings.ReplaceAll(p, `\p{ASCII}`, `[\x00-\x7F]`)
		p = bigCount.ReplaceAllString(p, `{$1,}`) // Go stops at 1000; the length constraint stands beside it
		if p != s.Pattern {
			s.GoRE = p
		}
	}
	for _, p := range []string{s.Pattern, s.GoRE, s.NotRE} {
		if p == s.Pattern && s.GoRE != "" {
			continue
		}
		if _, err := regexp.Compile(p); err != nil {
			return fmt.Errorf("pattern %q needs an entry in quirks.yaml: %w", s.Pattern, err)
		}
	}
	return nil
}

// writeDigest writes one shape a line, so that a change of the model reads well as a diff.
func writeDigest(file string, s *model.Service) error {
	var b bytes.Buffer
	head := *s
	head.Operations, head.Shapes = nil, nil
	h, err := marshal(head)
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(string(h), "}")
	text = strings.ReplaceAll(text, `"operations":null,`, "")
	text = strings.ReplaceAll(text, `"operations":null`, "")
	text = strings.ReplaceAll(text, `,"shapes":null`, "")
	text = strings.ReplaceAll(text, `"shapes":null`, "")
	b.WriteString(strings.TrimSuffix(text, ","))
	b.WriteString(",\n\"operations\":{\n")
	if err := writeLines(&b, s.Operations); err != nil {
		return err
	}
	b.WriteString("},\n\"shapes\":{\n")
	if err := writeLines(&b, s.Shapes); err != nil {
		return err
	}
	b.WriteString("}}\n")
	return os.WriteFile(file, b.Bytes(), 0o644)
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func writeLines[T any](b *bytes.Buffer, m map[string]T) error {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		v, err := marshal(m[n])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%q:%s", n, v)
		if i < len(names)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	return nil
}
