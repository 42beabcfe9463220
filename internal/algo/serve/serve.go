// SPDX-License-Identifier: Apache-2.0

// Package serve is the serve entry point of a built-in algorithm's container:
// /ping, /invocations and /execution-parameters around its model, or around
// many models that the platform loads and unloads.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// Options says how to serve. The zero value is ready to use.
type Options struct {
	// Getenv reads the container's environment; nil is os.Getenv. Used are
	// MAX_CONTENT_LENGTH (bytes of a request, default 6291456, or what
	// SAGEMAKER_MAX_PAYLOAD_IN_MB says where that is more), SAGEMAKER_BATCH,
	// SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_INFERENCE_OUTPUT,
	// SAGEMAKER_MULTI_MODEL and, with that, SAGEBRUSH_MEMORY_BYTES (of the whole
	// process; the smallest limit of its control groups counts as well).
	Getenv func(string) string
	Log    *slog.Logger // nil discards
}

func (o Options) withDefaults() Options {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// drain is how long requests may run on after SIGTERM; the platform kills
// after 30 s.
const drain = 20 * time.Second

// Run loads the model from root/model, root being /opt/ml, and serves it on ln
// until ctx ends, then lets running requests end and gives nil. While the model
// loads, requests are answered 503. A model that cannot be loaded is logged and
// returned as an error. With SAGEMAKER_MULTI_MODEL there is no model at the
// start, and /models loads them. ln is closed in any case.
func Run(ctx context.Context, a algo.Algorithm, root string, ln net.Listener, opts Options) error {
	opts = opts.withDefaults()
	var first *behind
	if isTrue(opts.Getenv("SAGEMAKER_MULTI_MODEL")) {
		many, err := openMany(a, root, opts)
		if err != nil {
			ln.Close()
			opts.Log.Error("Unable to serve", "algorithm", a.Spec().Name, "err", err)
			return fmt.Errorf("serve many models: %w", err)
		}
		first = &behind{many: many}
	}
	d := newPorch(ln, opts.Log, first)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if b := d.behind.Load(); b != nil {
				b.ServeHTTP(w, r)
				return
			}
			http.Error(w, "the model is being loaded", http.StatusServiceUnavailable)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(opts.Log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d) }()

	if first == nil {
		one, err := openOne(a, root, opts)
		if err != nil {
			d.Cut()
			_ = server.Close()
			<-ended //nolint:errcheck // only its end is waited for
			return err
		}
		d.behind.Store(&behind{one: one})
	}

	select {
	case err := <-ended:
		d.Cut()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	_ = d.Drain(stopping) // Shutdown tells it too
	err := server.Shutdown(stopping)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// openMany readies the server of many models.
func openMany(a algo.Algorithm, root string, opts Options) (*models, error) {
	limit := spill.Limit(opts.Getenv)
	if limit > 0 && opts.Getenv("GOMEMLIMIT") == "" {
		// The nearer the limit, the more often garbage is collected. Like any
		// server of an algorithm this is the one task of its process.
		debug.SetMemoryLimit(limit / 10 * 9)
	}
	return newModels(a, root, limit, opts)
}

// openOne loads the one model.
func openOne(a algo.Algorithm, root string, opts Options) (*handler, error) {
	began := time.Now()
	model, err := loadModel(a, filepath.Join(root, "model"))
	if err == nil {
		var h *handler
		if h, err = newHandler(model, opts); err == nil {
			opts.Log.Info("Model loaded successfully", "algorithm", a.Spec().Name, "dur", time.Since(began))
			return h, nil
		}
	}
	opts.Log.Error("Unable to load model", "algorithm", a.Spec().Name, "err", err)
	return nil, fmt.Errorf("unable to load model: %w", err)
}

// loadModel is a.Load on dir, a panic over a broken artifact made an error.
func loadModel(a algo.Algorithm, dir string) (m algo.Model, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("broken artifact: %v", p)
		}
	}()
	return a.Load(os.DirFS(dir))
}
