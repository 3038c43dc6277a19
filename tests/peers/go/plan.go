package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// plan is what to send; its form is described in tests/peers/README.md.
type plan struct {
	BaseUnixNano string         `json:"base_unix_nano"`
	Spans        []plannedSpan  `json:"spans"`
	Histogram    *histogramPlan `json:"histogram"`
	Counter      *counterPlan   `json:"counter"`
}

type plannedSpan struct {
	Name          string     `json:"name"`
	Kind          string     `json:"kind"`
	StartOffsetNS int64      `json:"start_offset_ns"`
	DurationNS    int64      `json:"duration_ns"`
	Status        string     `json:"status"`
	Attributes    attributes `json:"attributes"`
}

type measurement struct {
	Value      float64    `json:"value"`
	Attributes attributes `json:"attributes"`
}

type histogramPlan struct {
	Name       string        `json:"name"`
	Unit       string        `json:"unit"`
	Boundaries []float64     `json:"boundaries"`
	Records    []measurement `json:"records"`
}

type counterPlan struct {
	Name string        `json:"name"`
	Unit string        `json:"unit"`
	Adds []measurement `json:"adds"`
}

type attributes map[string]any

// keyValues keeps JSON's own types: a number written without a fraction is an
// integer attribute.
func (a attributes) keyValues() ([]attribute.KeyValue, error) {
	out := make([]attribute.KeyValue, 0, len(a))
	for key, value := range a {
		switch v := value.(type) {
		case string:
			out = append(out, attribute.String(key, v))
		case bool:
			out = append(out, attribute.Bool(key, v))
		case float64:
			if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				out = append(out, attribute.Int64(key, int64(v)))
			} else {
				out = append(out, attribute.Float64(key, v))
			}
		default:
			return nil, fmt.Errorf("attribute %q: a string, boolean or number is wanted", key)
		}
	}
	return out, nil
}

func readPlan(path string) (plan, time.Time, error) {
	var p plan
	text, err := os.ReadFile(path)
	if err != nil {
		return p, time.Time{}, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	nanos, err := strconv.ParseInt(p.BaseUnixNano, 10, 64)
	if err != nil {
		return p, time.Time{}, fmt.Errorf("%s: base_unix_nano: %w", path, err)
	}
	return p, time.Unix(0, nanos), nil
}

func spanKind(name string) (trace.SpanKind, error) {
	switch name {
	case "", "internal":
		return trace.SpanKindInternal, nil
	case "server":
		return trace.SpanKindServer, nil
	case "client":
		return trace.SpanKindClient, nil
	case "producer":
		return trace.SpanKindProducer, nil
	case "consumer":
		return trace.SpanKindConsumer, nil
	}
	return 0, fmt.Errorf("unknown span kind %q", name)
}

func statusCode(name string) (codes.Code, error) {
	switch name {
	case "", "unset":
		return codes.Unset, nil
	case "ok":
		return codes.Ok, nil
	case "error":
		return codes.Error, nil
	}
	return 0, fmt.Errorf("unknown span status %q", name)
}
