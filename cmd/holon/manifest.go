package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// manifestBytesMax bounds one manifest file.
const manifestBytesMax = 64 << 20

// document is one object of a manifest and where it was written.
type document struct {
	source string // "web.yaml:12"
	object *unstructured.Unstructured
}

// readManifests reads everything that -f names: files, directories, URLs and
// "-" for stdin. Lists are taken apart. Nothing is returned unless all of it
// can be read, so that a typo at the end does not leave half a manifest applied.
func (a *app) readManifests(ctx context.Context, sources []string, recursive bool) ([]document, error) {
	if len(sources) == 0 {
		return nil, usagef("say which file: -f FILE, -f DIRECTORY, or -f - for stdin")
	}
	var all []document
	for _, source := range sources {
		files, err := a.openSource(ctx, source, recursive)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			docs, err := parseManifest(f.name, f.data)
			if err != nil {
				return nil, err
			}
			all = append(all, docs...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no objects in %s", strings.Join(sources, ", "))
	}
	return all, nil
}

type manifestFile struct {
	name string
	data []byte
}

func (a *app) openSource(ctx context.Context, source string, recursive bool) ([]manifestFile, error) {
	switch {
	case source == "-":
		data, err := readBounded(a.in, "stdin")
		return []manifestFile{{"stdin", data}}, err
	case strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://"):
		data, err := fetchURL(ctx, source)
		return []manifestFile{{source, data}}, err
	}
	paths, err := manifestPaths(source, recursive)
	if err != nil {
		return nil, err
	}
	var files []manifestFile
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		data, err := readBounded(f, p)
		f.Close()
		if err != nil {
			return nil, err
		}
		files = append(files, manifestFile{p, data})
	}
	return files, nil
}

// manifestPaths lists a file, or the manifests of a directory in their order.
func manifestPaths(source string, recursive bool) ([]string, error) {
	info, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("the path %q does not exist: %w", source, err)
	}
	if !info.IsDir() {
		return []string{source}, nil
	}
	var paths []string
	err = filepath.WalkDir(source, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != source && !recursive:
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			paths = append(paths, path)
		}
		return nil
	})
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("the directory %q has no .yaml, .yml or .json files", source)
	}
	return paths, err
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, manifestBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	if len(data) > manifestBytesMax {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, manifestBytesMax>>20)
	}
	return data, nil
}

func fetchURL(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, usagef("bad URL %q", url)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot read the manifest: %s answered %s", url, resp.Status)
	}
	return readBounded(resp.Body, url)
}

// parseManifest takes a file apart into objects.
func parseManifest(name string, data []byte) ([]document, error) {
	var all []document
	for _, chunk := range splitDocuments(data) {
		source := fmt.Sprintf("%s:%d", name, chunk.line+chunk.lead())
		objects, err := parseDocument(chunk.text)
		if err != nil {
			return nil, chunk.locate(name, err)
		}
		for _, o := range objects {
			if err := checkIdentity(o); err != nil {
				return nil, fmt.Errorf("%s: %w", source, err)
			}
			all = append(all, document{source, o})
		}
	}
	return all, nil
}

// chunk is the text of one YAML document and the line it starts on.
type chunk struct {
	line int
	text []byte
}

// lead counts the blank lines and comments before the document's first field.
func (c chunk) lead() int {
	n := 0
	for line := range bytes.Lines(c.text) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
			break
		}
		n++
	}
	return n
}

// splitDocuments splits at lines that begin with "---". YAML cannot have such a
// line inside a document.
func splitDocuments(data []byte) []chunk {
	var all []chunk
	current := chunk{line: 1}
	flush := func() {
		if len(bytes.TrimSpace(stripComments(current.text))) > 0 {
			all = append(all, current)
		}
	}
	for i, line := range bytes.SplitAfter(data, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && isSeparatorTail(rest) {
			flush()
			current = chunk{line: i + 2}
			continue
		}
		current.text = append(current.text, line...)
	}
	flush()
	return all
}

func isSeparatorTail(rest []byte) bool {
	rest = bytes.TrimSpace(rest)
	return len(rest) == 0 || rest[0] == '#'
}

func stripComments(text []byte) []byte {
	var kept []byte
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// locate puts the file and its line before a parser's error.
func (c chunk) locate(name string, err error) error {
	line, text := c.line, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line += n - 1
		}
		text = strings.Replace(text, m[0]+": ", "", 1)
	}
	for _, noise := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.Replace(text, noise, "", 1)
	}
	return fmt.Errorf("%s:%d: %s", name, line, strings.TrimSpace(text))
}

// parseDocument reads one YAML document, or any number of JSON values.
func parseDocument(text []byte) ([]*unstructured.Unstructured, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		if objects, err := parseJSON(text); err == nil {
			return objects, nil
		} // else: YAML's flow style looks the same
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	return parseValue(data)
}

func parseJSON(text []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	decoder := json.NewDecoder(bytes.NewReader(text))
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		objects, err := parseValue(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

func parseValue(data []byte) ([]*unstructured.Unstructured, error) {
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("an object was expected, with apiVersion, kind and metadata")
	}
	if kind, _ := fields["kind"].(string); kind == "" {
		return nil, fmt.Errorf("kind is not set")
	}
	if v, _ := fields["apiVersion"].(string); v == "" {
		return nil, fmt.Errorf("apiVersion is not set")
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	if !u.IsList() {
		return []*unstructured.Unstructured{&u}, nil
	}
	var all []*unstructured.Unstructured
	items, _ := fields["items"].([]any)
	for i, item := range items {
		raw, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		objects, err := parseValue(raw)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

func checkIdentity(o *unstructured.Unstructured) error {
	if o.GetName() == "" && o.GetGenerateName() == "" {
		return fmt.Errorf("%s: metadata.name is not set", o.GetKind())
	}
	return nil
}
