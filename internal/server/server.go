// SPDX-License-Identifier: Apache-2.0

// Package server builds each part of Sagebrush once, starts them and stops
// them. It is the only place that names concrete parts.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/door"
	"github.com/sagebrush-ml/sagebrush/internal/gateway"
	"github.com/sagebrush-ml/sagebrush/internal/neighbor/sns"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/a2iruntime"
	wautoscaling "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcloudwatch "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
	wecr "github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
	"github.com/sagebrush-ml/sagebrush/internal/wire/featurestoreruntime"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	"github.com/sagebrush-ml/sagebrush/internal/wire/sagemakermetrics"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
	wsts "github.com/sagebrush-ml/sagebrush/internal/wire/sts"
)

// Options are the whole configuration; the zero value but for Home runs on a
// laptop.
type Options struct {
	Home         string // state, credentials and data; made when missing
	Listen       string // 127.0.0.1:8080 when empty
	Account      string // of the first start; DefaultAccount when empty
	Region       string // of the first start; us-east-1 when empty
	TLSCert      string // PEM files; both or neither
	TLSKey       string
	MetricsToken string // lets other machines read /metrics

	Containers   string            // what runs images: "process", "docker", or "auto" and "" for the first that can be had
	ImageMap     string            // file that tells what stands for image URIs; "" for none
	Environments string            // cache of Python environments; Home/environments when empty
	Wheels       string            // folder of wheels for them; "" for none
	Offline      bool              // make them of Wheels alone
	Pythons      []string          // interpreters that they prefer
	FileSystems  map[string]string // folders that stand for EFS and FSx file systems, by ID

	SpotInterruptEvery time.Duration // mean time between interruptions of a spot job; 0 for none
	SpotPause          time.Duration // how long an interrupted one waits
	ServerlessIdle     time.Duration // how long an instance of a serverless variant stays without a request; 5 min when 0

	Log *slog.Logger
}

// Services are the services whose models this binary knows.
func Services() []*wire.Service {
	return []*wire.Service{sm.Service, smr.Service, featurestoreruntime.Service, sagemakermetrics.Service,
		a2iruntime.Service, wsts.Service, wiam.Service, wlogs.Service, wcloudwatch.Service, wecr.Service,
		wautoscaling.Service, wsns.Service, wsqs.Service}
}

// Server is the running whole.
type Server struct {
	opt    Options
	creds  Credentials
	table  *op.Table
	lock   *os.File
	parts  []part
	close  []io.Closer // in the order of opening
	drain  []func()    // end requests that wait, when the server stops
	gate   *gateway.Gateway
	ln     net.Listener
	inner  net.Listener // where containers come in
	bridge net.Listener // where those of an engine do; nil without
	ready  chan struct{}
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// New opens the home and builds every part. Nothing runs yet, but the address
// is taken, so that a second server fails at once.
func New(ctx context.Context, o Options) (_ *Server, err error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:8080"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Home, err = filepath.Abs(o.Home); err != nil {
		return nil, err
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return nil, errors.New("TLS needs both a certificate and a key")
	}
	for _, f := range []*string{&o.TLSCert, &o.TLSKey, &o.ImageMap, &o.Environments, &o.Wheels} { // the object store changes the working directory
		if *f != "" {
			if *f, err = filepath.Abs(*f); err != nil {
				return nil, err
			}
		}
	}
	s := &Server{opt: o, table: op.New(), ready: make(chan struct{})}
	defer func() {
		if err != nil {
			s.shut()
		}
	}()
	easeCollection()
	if err := os.MkdirAll(o.Home, 0o700); err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	if s.lock, err = lockHome(o.Home); err != nil {
		return nil, err
	}
	if s.creds, err = EnsureCredentials(o.Home, o.Account, o.Region); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if s.ln, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if s.inner, err = s.listenInner(); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// easeCollection lets the heap grow to five times what lives before garbage is
// collected, instead of twice: little lives here (some 10 MB), much comes and
// goes with each request. GOGC in the environment has the last word.
func easeCollection() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// Ready is closed when requests are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// URL is the endpoint URL for clients of this machine.
func (s *Server) URL() string {
	scheme := "http"
	if s.opt.TLSCert != "" {
		scheme = "https"
	}
	return Reachable(scheme + "://" + s.ln.Addr().String())
}

// Reachable is where a client on this machine finds a server that may listen
// on all addresses.
func Reachable(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	ip := net.ParseIP(u.Hostname())
	if ip == nil || !ip.IsUnspecified() {
		return endpoint
	}
	u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	return u.String()
}

// Handler is the front door, for callers in this process.
func (s *Server) Handler() http.Handler { return s.gate }

// Table is what is built, for the coverage report.
func (s *Server) Table() *op.Table { return s.table }

// drainTime is how long requests under way may take when the server stops.
const drainTime = 15 * time.Second

// Run serves until ctx ends. Tasks go on running then, and are adopted by the
// next server of this home.
func (s *Server) Run(ctx context.Context) error {
	defer s.shut()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, work := errgroup.WithContext(work)
	for _, p := range s.parts {
		g.Go(func() error {
			err := p.run(work)
			if err == nil || errors.Is(err, context.Canceled) {
				if work.Err() == nil {
					return fmt.Errorf("%s ended", p.name)
				}
				return nil
			}
			return fmt.Errorf("%s: %w", p.name, err)
		})
	}
	web := &http.Server{Handler: s.gate, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug)}
	for _, f := range s.drain {
		web.RegisterOnShutdown(f)
	}
	var doors []*door.Door
	open := func(ln net.Listener) net.Listener {
		d := door.New(ln, door.Options{Log: s.opt.Log, Open: door.Handler(s.gate, gateway.Plain), First: web.ReadHeaderTimeout, Idle: web.IdleTimeout})
		doors = append(doors, d)
		return d
	}
	for _, ln := range []net.Listener{s.inner, s.bridge} {
		if ln == nil {
			continue
		}
		ln = open(ln)
		g.Go(func() error {
			if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("inner door: %w", err)
			}
			return nil
		})
	}
	front := s.ln
	if s.opt.TLSCert == "" {
		front = open(front)
	}
	g.Go(func() error {
		var err error
		if s.opt.TLSCert != "" {
			err = web.ServeTLS(front, s.opt.TLSCert, s.opt.TLSKey)
		} else {
			err = web.Serve(front)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("front door: %w", err)
	})
	running := filepath.Join(s.opt.Home, runningFile)
	if err := writeFile(running, Running{PID: os.Getpid(), URL: s.URL()}); err != nil {
		return err
	}
	defer os.Remove(running)
	close(s.ready)
	s.opt.Log.Info("serving", "url", s.URL(), "home", s.opt.Home, "account", s.creds.Account, "region", s.creds.Region)
	select {
	case <-ctx.Done():
	case <-work.Done(): // a part failed
	}
	// First no new requests, then those under way, then the parts.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	var emptied errgroup.Group // all at once: what web runs on shutdown frees requests of the doors too
	for _, d := range doors {
		emptied.Go(func() error { return d.Drain(drain) })
	}
	emptied.Go(func() error { return web.Shutdown(drain) })
	if err := emptied.Wait(); err != nil {
		s.opt.Log.Warn("requests cut off", "err", err)
		_ = web.Close()
	}
	stopWork()
	return g.Wait()
}

// Close lets go of a home whose server never ran. Run does it by itself.
func (s *Server) Close() { s.shut() }

// shut closes what was opened, last first.
func (s *Server) shut() {
	for _, ln := range []net.Listener{s.ln, s.inner, s.bridge} {
		if ln != nil {
			ln.Close()
		}
	}
	for i := len(s.close) - 1; i >= 0; i-- {
		if err := s.close[i].Close(); err != nil {
			s.opt.Log.Error("close failed", "err", err)
		}
	}
	s.close = nil
	if s.lock != nil {
		s.lock.Close()
	}
}

func (s *Server) add(name string, run func(context.Context) error) {
	s.parts = append(s.parts, part{name, run})
}

func (s *Server) path(elem ...string) string {
	return filepath.Join(append([]string{s.opt.Home}, elem...)...)
}

// front builds the gateway over everything that was installed.
func (s *Server) front(reg *prometheus.Registry, keys auth.Keys, s3, registry http.Handler, own map[string]func(context.Context, []byte) (any, error), topics *sns.Service) {
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.gate = gateway.New(gateway.Options{
		Table: s.table, Services: Services(), Verifier: auth.New(auth.Options{Keys: keys}), S3: s3, Registry: registry, Own: own,
		Links:   []*wire.Operation{wsns.ConfirmSubscription.Operation, wsns.Unsubscribe.Operation},
		Public:  map[string]func(context.Context) ([]byte, error){sns.CertificatePath: topics.Certificate},
		Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), MetricsToken: s.opt.MetricsToken,
		Log: s.opt.Log, Registerer: reg,
	})
}
