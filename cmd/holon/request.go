package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	acceptJSON  = "application/json"
	acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

	// answerBytesMax bounds an answer that is read as a whole.
	answerBytesMax = 256 << 20
)

// request is one call of the API.
type request struct {
	method      string // empty: GET
	path        string
	query       url.Values
	accept      string // empty: JSON
	contentType string // empty: JSON
	body        []byte
	// stream is a body of any length; trailer, if any, is complete once it was read.
	stream  io.Reader
	trailer http.Header
}

// do sends a request and returns the body of a good answer. A bad one is an
// *apierrors.StatusError.
func (c *client) do(ctx context.Context, r request) ([]byte, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	body, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, answerBytesMax))
	if err != nil {
		return nil, c.explain(err)
	}
	return data, nil
}

// open sends a request and returns the body of a good answer as a stream.
func (c *client) open(ctx context.Context, r request) (io.ReadCloser, error) {
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	var body io.Reader = bytes.NewReader(r.body)
	if r.stream != nil {
		body = r.stream
	}
	req, err := http.NewRequestWithContext(ctx, orElse(r.method, http.MethodGet), u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Trailer = r.trailer
	req.Header.Set("Accept", orElse(r.accept, acceptJSON))
	if r.body != nil {
		req.Header.Set("Content-Type", orElse(r.contentType, "application/json"))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	warnings, _ := utilnet.ParseWarningHeaders(resp.Header.Values("Warning"))
	for _, w := range warnings {
		c.warn(w.Text)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, statusError(resp, c.where)
	}
	return resp.Body, nil
}

// get reads path into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	data, err := c.do(ctx, request{path: path, query: query})
	if err != nil {
		return err
	}
	return c.decode(data, out)
}

func (c *client) decode(data []byte, out any) error {
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s answered something that is not understood (%w); is it a holon node of this version?", c.where, err)
	}
	return nil
}

// errorBytesMax bounds the body of a refusal.
const errorBytesMax = 1 << 20

// statusError reads what the API says about a request it refused.
func statusError(resp *http.Response, where string) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytesMax))
	var status metav1.Status
	if json.Unmarshal(data, &status) == nil && status.Kind == "Status" {
		if status.Code == 0 {
			status.Code = int32(resp.StatusCode)
		}
		return &apierrors.StatusError{ErrStatus: status}
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		text = http.StatusText(resp.StatusCode)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(resp.StatusCode),
		Message: fmt.Sprintf("%s answered %d: %s", where, resp.StatusCode, text),
	}}
}

// explain turns a failure to reach the node into a sentence with a next step.
func (c *client) explain(err error) error {
	const local = "is the node up? see 'holon up', or 'holon testnet status' for a test node"
	var unknownCA x509.UnknownAuthorityError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s refuses connections; %s: %w", c.where, local, errUnreachable)
	case c.socket != "" && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there; %s: %w", c.where, local, errUnreachable)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s belongs to another user; run this as that user, or use a kubeconfig: %w", c.where, errUnreachable)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %v; is the node paused or cut off? ask another one (--context), or wait longer (--request-timeout): %w", c.where, c.timeout, errUnreachable)
	case errors.As(err, &unknownCA):
		return fmt.Errorf("%s is not of the cluster that the kubeconfig was made for; make a new one with 'holon kubeconfig': %w", c.where, errUnreachable)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("cannot talk to %s: %w; %s: %w", c.where, err, local, errUnreachable)
}

// errUnreachable marks failures to reach the node at all. Its text never shows.
var errUnreachable = errors.New("unreachable")

// sentence is the text of an error for the user.
func sentence(err error) string {
	if errors.Is(err, errUnreachable) {
		return strings.TrimSuffix(err.Error(), ": "+errUnreachable.Error())
	}
	return err.Error()
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
