// SPDX-License-Identifier: Apache-2.0

// Package serve is the serve entry point of a built-in algorithm's container:
// /ping, /invocations and /execution-parameters around its model.
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
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Options says how to serve. The zero value is ready to use.
type Options struct {
	// Getenv reads the container's environment; nil is os.Getenv. Used are
	// MAX_CONTENT_LENGTH (bytes of a request, default 6291456), SAGEMAKER_BATCH,
	// SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT and SAGEMAKER_INFERENCE_OUTPUT.
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
// returned as an error. ln is closed in any case.
func Run(ctx context.Context, a algo.Algorithm, root string, ln net.Listener, opts Options) error {
	opts = opts.withDefaults()
	d := newDoor(ln, opts.Log)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h := d.handler.Load(); h != nil {
				h.ServeHTTP(w, r)
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

	began := time.Now()
	model, err := loadModel(a, filepath.Join(root, "model"))
	if err == nil {
		var h *handler
		if h, err = newHandler(model, opts); err == nil {
			opts.Log.Info("Model loaded successfully", "algorithm", a.Spec().Name, "dur", time.Since(began))
			d.handler.Store(h)
		}
	}
	if err != nil {
		err = fmt.Errorf("unable to load model: %w", err)
		opts.Log.Error("Unable to load model", "algorithm", a.Spec().Name, "err", err)
		d.cut()
		_ = server.Close()
		<-ended //nolint:errcheck // only its end is waited for
		return err
	}

	select {
	case err := <-ended:
		d.cut()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	d.drain(stopping)
	err = server.Shutdown(stopping)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
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
