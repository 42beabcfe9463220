// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

type topCmd struct {
	homeFlags
	Name   string        `arg:"" optional:"" name:"text" help:"Only endpoints with this text in their names."`
	Once   bool          `help:"Print one table and end, as where the output is no terminal."`
	Window time.Duration `default:"10s" placeholder:"TIME" help:"Time that the numbers are of: 5s, 10s, 20s, 30s, or whole minutes (${default})."`
	Region string        `placeholder:"REGION" help:"Region of the endpoints; the home's own by default."`
}

// Help is the text below the usage.
func (topCmd) Help() string {
	return `Shows each variant of each endpoint once a second, until Ctrl-C: status, instances that serve and that are wanted, requests per second, the time that the model takes (median and 99th percentile) and the time that is lost beside it (median), answers that were errors, and for asynchronous endpoints how many requests wait.

The numbers are those that CloudWatch has, of the last ten seconds or of --window; a dash is a number that there is none of.

Examples:

  sagebrush top
  sagebrush top --once --window 5m churn`
}

// Validate refuses a window that CloudWatch has no period for.
func (c *topCmd) Validate() error {
	switch w := c.Window; {
	case w == 5*time.Second, w == 10*time.Second, w == 20*time.Second, w == 30*time.Second:
	case w > 0 && w <= time.Hour && w%time.Minute == 0:
	default:
		return fmt.Errorf("--window %s is none of 5s, 10s, 20s, 30s and whole minutes up to an hour", w)
	}
	return nil
}

// Run shows the table.
func (c *topCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cl, err := c.connect(ctx, c.Region)
	if err != nil {
		return err
	}
	if c.Once || rowsOf(os.Stdout) == 0 {
		t, err := c.look(ctx, cl, time.Now())
		if err != nil {
			return err
		}
		return t.print(os.Stdout, false)
	}
	err = c.show(ctx, cl, os.Stdout, func() int { return rowsOf(os.Stdout) })
	if ctx.Err() != nil {
		return exitError(exitInterrupted) // its usual end needs no word
	}
	return err
}

// What a terminal is told; every one since the VT100 knows it, but for the
// other screen, which those that do not know it ignore.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	closeScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	restOfLine  = "\x1b[K"
	restOfAll   = "\x1b[J"
	bold        = "\x1b[1m"
	red         = "\x1b[31m"
	plain       = "\x1b[0m"
)

// show redraws the table each second. A server that does not answer for a while
// is told of above what was seen last.
func (c *topCmd) show(ctx context.Context, cl *client.Client, out io.Writer, rows func() int) error {
	fmt.Fprint(out, openScreen)
	defer fmt.Fprint(out, closeScreen)
	last, answered := table{}, time.Now()
	for {
		t, err := c.look(ctx, cl, time.Now())
		switch {
		case err == nil:
			last, answered = t, time.Now()
		case ctx.Err() != nil, fault.Of(err) != nil, time.Since(answered) > restartTime:
			return err
		}
		var page strings.Builder
		fmt.Fprintf(&page, "%s   %s   %s", cl.URL(), time.Now().Format(time.TimeOnly), last.summary())
		if err != nil {
			fmt.Fprintf(&page, "   %s%v%s", red, err, plain)
		}
		page.WriteString("\n\n")
		_ = last.print(&page, true) // a builder takes all
		draw(out, page.String(), rows())
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// draw writes a page over the one before; what is below the last row is left
// out, since it would move the others.
func draw(out io.Writer, page string, rows int) {
	lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	if rows > 1 && len(lines) > rows {
		lines = append(lines[:rows-1:rows-1], fmt.Sprintf("… %d more", len(lines)-rows+1))
	}
	fmt.Fprint(out, topLeft, strings.Join(lines, restOfLine+"\r\n"), restOfLine, restOfAll)
}

// rowsOf is how many rows the terminal of f has; 0 when it is none.
func rowsOf(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return max(int(size.Row), 1)
}

// table is what is shown.
type table struct {
	window  time.Duration
	rows    []topRow
	reasons []string // of endpoints that are not well
}

// topRow is one variant; an endpoint without any has a row too.
type topRow struct {
	endpoint, variant, status string
	serving, wanted           int
	requests, errors          float64 // within the window
	p50, p99, overhead        float64 // microseconds; below 0 is none
	backlog                   float64 // of the endpoint; below 0 is none
}

func (t *table) summary() string {
	rate := 0.0
	for _, r := range t.rows {
		rate += r.requests / t.window.Seconds()
	}
	endpoints := map[string]bool{}
	for _, r := range t.rows {
		endpoints[r.endpoint] = true
	}
	return fmt.Sprintf("%d endpoint(s)   %s requests/s", len(endpoints), rateText(rate))
}

// print writes the table, in colours or without.
func (t *table) print(out io.Writer, colours bool) error {
	lines := [][]string{{"ENDPOINT", "VARIANT", "STATUS", "INSTANCES", "REQ/S", "P50", "P99", "OVERHEAD", "ERRORS", "BACKLOG"}}
	for _, r := range t.rows {
		lines = append(lines, r.cells(t.window))
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	const numbers = 3 // columns from here on stand to the right
	var b strings.Builder
	for n, l := range lines {
		var line strings.Builder
		for i, cell := range l {
			space := strings.Repeat(" ", width[i]-len([]rune(cell)))
			switch {
			case i >= numbers:
				line.WriteString(space + cell)
			default:
				line.WriteString(cell + space)
			}
			line.WriteString("  ")
		}
		text := strings.TrimRight(line.String(), " ")
		switch {
		case colours && n == 0:
			text = bold + text + plain
		case colours && n > 0 && (t.rows[n-1].errors > 0 || t.rows[n-1].status == "Failed"):
			text = red + text + plain
		}
		b.WriteString(text + "\n")
	}
	if len(t.rows) == 0 {
		b.WriteString("no endpoints\n")
	}
	for _, r := range t.reasons {
		b.WriteString("\n" + r + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *topRow) cells(window time.Duration) []string {
	const none = "-"
	latency := func(us float64) string {
		if us < 0 {
			return none
		}
		return latencyText(us)
	}
	instances, errors, backlog := none, none, none
	if r.variant != "" {
		instances = fmt.Sprintf("%d/%d", r.serving, r.wanted)
	}
	if r.requests > 0 {
		errors = fmt.Sprintf("%.0f", r.errors)
		if r.errors > 0 {
			errors += fmt.Sprintf(" (%.3g%%)", 100*min(r.errors/r.requests, 1))
		}
	}
	if r.backlog >= 0 {
		backlog = fmt.Sprintf("%.0f", r.backlog)
	}
	variant := r.variant
	if variant == "" {
		variant = none
	}
	return []string{r.endpoint, variant, r.status, instances, rateText(r.requests / window.Seconds()),
		latency(r.p50), latency(r.p99), latency(r.overhead), errors, backlog}
}

func rateText(perSecond float64) string {
	switch {
	case perSecond >= 100:
		return fmt.Sprintf("%.0f", perSecond)
	case perSecond > 0:
		return fmt.Sprintf("%.1f", perSecond)
	}
	return "0"
}

// latencyText is a time of some microseconds in the unit that reads best.
func latencyText(us float64) string {
	switch {
	case us >= 10e6:
		return fmt.Sprintf("%.0fs", us/1e6)
	case us >= 1e6:
		return fmt.Sprintf("%.1fs", us/1e6)
	case us >= 10e3:
		return fmt.Sprintf("%.0fms", us/1e3)
	case us >= 1e3:
		return fmt.Sprintf("%.1fms", us/1e3)
	}
	return fmt.Sprintf("%.0fµs", us)
}
