// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

type invokeCmd struct {
	homeFlags
	Endpoint           string  `arg:"" help:"Name of an endpoint."`
	Body               string  `arg:"" optional:"" name:"-" help:"\"-\": the body is read from standard input."`
	CSV                *string `name:"csv" xor:"body" placeholder:"TEXT" help:"Body of type text/csv; \"-\" reads it from standard input, as with --json and --file."`
	JSON               *string `name:"json" xor:"body" placeholder:"TEXT" help:"Body of type application/json."`
	File               *string `name:"file" xor:"body" placeholder:"FILE" help:"File with the body; its type follows from its name."`
	ContentType        string  `placeholder:"TYPE" help:"Type of the body, if it is another one."`
	Accept             string  `placeholder:"TYPE" help:"Type of the answer that is wanted."`
	TargetModel        string  `placeholder:"MODEL" help:"Model of a multi-model endpoint: model.tar.gz."`
	TargetVariant      string  `placeholder:"VARIANT" help:"Variant, rather than one by weight."`
	InferenceComponent string  `placeholder:"NAME" help:"Inference component of the endpoint."`
	Stream             bool    `help:"Print the answer piece by piece, as it comes."`
	Region             string  `placeholder:"REGION" help:"Region of the endpoint; the home's own by default."`
}

// Help is the text below the usage.
func (invokeCmd) Help() string {
	return `Asks an endpoint and prints what it answers. An endpoint that refuses, or whose model fails, ends it with exit code 1.

Examples:

  sagebrush invoke churn --csv 1,2,3
  sagebrush invoke churn --file rows.csv --accept application/json
  sagebrush invoke chat --stream --json '{"inputs": "Hello"}'
  head -1 rows.csv | sagebrush invoke churn --csv -

A text that begins with a dash needs a sign: --csv=-1,2,3.`
}

// Validate refuses what cannot be meant.
func (c *invokeCmd) Validate() error {
	if c.Body != "" && c.Body != "-" {
		return fmt.Errorf("unexpected argument %s; give the body by --csv, --json or --file, or - for standard input", c.Body)
	}
	given := c.CSV != nil || c.JSON != nil || c.File != nil
	switch {
	case c.Body == "-" && given:
		return errors.New("a body was given twice: by - and by a flag")
	case c.Body == "" && !given:
		return errors.New("a body is missing: --csv TEXT, --json TEXT, --file FILE, or - for standard input")
	case c.Stream && c.TargetModel != "":
		return errors.New("--stream and --target-model do not go together: multi-model endpoints do not stream")
	}
	return nil
}

// Run asks the endpoint.
func (c *invokeCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cl, err := c.connect(ctx, c.Region)
	if err != nil {
		return err
	}
	return c.ask(ctx, cl, os.Stdin, os.Stdout, rowsOf(os.Stdout) > 0)
}

// connect finds the home's server, and gives a client for a region of it, the
// home's own if it is "".
func (f homeFlags) connect(ctx context.Context, region string) (*client.Client, error) {
	home, err := f.dir()
	if err != nil {
		return nil, err
	}
	at, err := locate(ctx, home)
	switch {
	case errors.Is(err, errNoHome), errors.Is(err, errNotRunning):
		return nil, fmt.Errorf("%s: %w; start one by `sagebrush serve%s`", home, err, homeOption(home))
	case err != nil:
		return nil, err
	case region == "":
		return at.client, nil
	}
	return client.New(client.Options{URL: at.client.URL(), Key: at.creds.Key(), Region: region}), nil
}

// ask writes the answer to out as it is. On a terminal a text gets the line
// break that it lacks.
func (c *invokeCmd) ask(ctx context.Context, cl *client.Client, stdin io.Reader, out io.Writer, terminal bool) error {
	body, contentType, err := c.body(stdin)
	if err != nil {
		return err
	}
	in := client.Invocation{Endpoint: c.Endpoint, ContentType: cmp.Or(c.ContentType, contentType), Accept: c.Accept, TargetModel: c.TargetModel,
		TargetVariant: c.TargetVariant, InferenceComponent: c.InferenceComponent, Body: body}
	last := &lastWritten{to: out}
	if c.Stream {
		err = cl.InvokeStream(ctx, in, last)
	} else {
		err = cl.Invoke(ctx, in, last)
	}
	if terminal && len(last.b) > 0 && !bytes.HasSuffix(last.b, []byte("\n")) && utf8.Valid(last.b) {
		fmt.Fprintln(out)
	}
	if f := fault.Of(err); f != nil {
		return fmt.Errorf("%s: %s", f.Code, f.Message) // whose operation it was is plain
	}
	return err
}

// body is what is sent, and the type that it has unless another is named.
func (c *invokeCmd) body(stdin io.Reader) (body []byte, contentType string, err error) {
	text, contentType := new("-"), "application/octet-stream"
	switch {
	case c.CSV != nil:
		text, contentType = c.CSV, "text/csv"
	case c.JSON != nil:
		text, contentType = c.JSON, "application/json"
	case c.File != nil && *c.File != "-":
		body, err := os.ReadFile(*c.File)
		return body, typeOf(*c.File), err
	}
	if *text != "-" {
		return []byte(*text), contentType, nil
	}
	body, err = io.ReadAll(stdin)
	if err != nil {
		return nil, "", fmt.Errorf("read the body: %w", err)
	}
	return body, contentType, nil
}

// typeOf is the content type of a file, from its name. The types are those that
// the built-in algorithms and the framework images take.
func typeOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return "text/csv"
	case ".json":
		return "application/json"
	case ".jsonl":
		return "application/jsonlines"
	case ".txt":
		return "text/plain"
	case ".libsvm", ".svm":
		return "text/libsvm"
	case ".npy":
		return "application/x-npy"
	case ".npz":
		return "application/x-npz"
	case ".parquet":
		return "application/x-parquet"
	case ".pbr", ".recordio":
		return "application/x-recordio-protobuf"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	}
	return "application/octet-stream"
}

// lastWritten remembers the last piece of what goes through it.
type lastWritten struct {
	to io.Writer
	b  []byte
}

func (l *lastWritten) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.b = append(l.b[:0], p...)
	}
	return l.to.Write(p)
}
