package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// warningsMax bounds the Warning headers of one answer.
const warningsMax = 64

// warnings are what the client should know though its request is granted. They
// travel as Warning headers (RFC 7234 section 5.5, code 299).
type warnings struct {
	header http.Header
	said   []string
}

func warningsTo(w http.ResponseWriter) *warnings { return &warnings{header: w.Header()} }

func (w *warnings) add(format string, args ...any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	if slices.Contains(w.said, text) || len(w.said) >= warningsMax {
		return
	}
	header, err := utilnet.NewWarningHeader(299, "-", text)
	if err != nil { // bytes that no header can carry
		header, err = utilnet.NewWarningHeader(299, "-", fmt.Sprintf("%+q", text))
	}
	if err == nil {
		w.said = append(w.said, text)
		w.header.Add("Warning", header)
	}
}

// writeOptions are the query parameters of create, update and patch.
type writeOptions struct {
	dryRun     bool
	validation string // Strict, Warn or Ignore
	manager    string // who the fields that change belong to
	applies    bool   // a server-side apply: the object names the owners itself
}

func writeOptionsOf(r *http.Request) (writeOptions, error) {
	query := r.URL.Query()
	dryRun, err := dryRunOf(query["dryRun"])
	if err != nil {
		return writeOptions{}, err
	}
	o := writeOptions{dryRun: dryRun, validation: query.Get("fieldValidation")}
	if o.manager, err = managerOf(r); err != nil {
		return o, err
	}
	switch o.validation {
	case "":
		o.validation = metav1.FieldValidationWarn
	case metav1.FieldValidationIgnore, metav1.FieldValidationWarn, metav1.FieldValidationStrict:
	default:
		return o, apierrors.NewBadRequest(fmt.Sprintf("fieldValidation %q is none of Ignore, Warn, Strict", o.validation))
	}
	return o, nil
}

// managerBytesMax bounds the name of a field manager, as in Kubernetes.
const managerBytesMax = 128

// managerOf is the fieldManager that the client names, or its program's name as
// the User-Agent begins.
func managerOf(r *http.Request) (string, error) {
	name := r.URL.Query().Get("fieldManager")
	if len(name) > managerBytesMax || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", apierrors.NewBadRequest(fmt.Sprintf("fieldManager %.40q is not up to %d printable characters", name, managerBytesMax))
	}
	if name != "" {
		return name, nil
	}
	name, _, _ = strings.Cut(r.UserAgent(), "/")
	return strings.ToValidUTF8(name[:min(len(name), managerBytesMax)], ""), nil
}

func dryRunOf(values []string) (bool, error) {
	for _, v := range values {
		if v != metav1.DryRunAll {
			return false, apierrors.NewBadRequest(fmt.Sprintf("dryRun %q is not All", v))
		}
	}
	return len(values) > 0, nil
}

// unknown deals with what strict decoding found, as the client wishes.
func (o writeOptions) unknown(strict []string, warn *warnings) error {
	if len(strict) == 0 || o.validation == metav1.FieldValidationIgnore {
		return nil
	}
	if o.validation == metav1.FieldValidationStrict {
		all := strict[0]
		for _, s := range strict[1:] {
			all += ", " + s
		}
		return apierrors.NewBadRequest("strict decoding error: " + all)
	}
	for _, s := range strict {
		warn.add("%s", s)
	}
	return nil
}
