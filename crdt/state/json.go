package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appendJSON is canonical JSON for the values that Flatten accepts.
func appendJSON(b []byte, value any, depth int) ([]byte, error) {
	if depth > FieldDepthMax {
		return nil, fmt.Errorf("nested deeper than %d", FieldDepthMax)
	}
	switch v := value.(type) {
	case map[string]any:
		return appendObject(b, v, depth)
	case []any:
		return appendList(b, v, depth)
	case string:
		return appendString(b, v)
	case json.Number: // "1.50" and "1.5" are one value
		n, err := number(v)
		if err != nil {
			return nil, err
		}
		return appendJSON(b, n, depth)
	case nil, bool, float64, float32,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		text, err := json.Marshal(v)
		return append(b, text...), err
	}
	return nil, fmt.Errorf("a %T has no JSON form here; convert it to maps, lists and scalars first", value)
}

func appendObject(b []byte, obj map[string]any, depth int) ([]byte, error) {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(obj)) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, name); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = appendJSON(b, obj[name], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList(b []byte, list []any, depth int) ([]byte, error) {
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, item, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendString refuses what json.Marshal would replace in silence.
func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("string %.40q is not UTF-8", s)
	}
	if plainText(s) {
		return append(append(append(b, '"'), s...), '"'), nil
	}
	text, err := json.Marshal(s)
	return append(b, text...), err
}

// plainText reports whether json.Marshal would only put quotes around s, by a rule
// that holds for most strings.
func plainText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// parse reads one JSON value and nothing after it.
func parse(text []byte) (any, error) {
	if s, ok := plainString(text); ok {
		return s, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("not a JSON value: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("not one JSON value: more text after it")
	}
	return number(value)
}

// plainString reads what most registers hold: a string without escapes.
func plainString(text []byte) (string, bool) {
	n := len(text)
	if n < 2 || text[0] != '"' || text[n-1] != '"' {
		return "", false
	}
	inner := text[1 : n-1]
	for _, c := range inner {
		if c < ' ' || c == '"' || c == '\\' {
			return "", false
		}
	}
	if !utf8.Valid(inner) {
		return "", false
	}
	return string(inner), true
}

// number replaces every json.Number inside value, in place.
func number(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = number(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = number(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}
