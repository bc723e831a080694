package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Widths of kubectl's tables.
const (
	columnPadding  = 3
	columnWidthMin = 6
)

// aligner writes rows in aligned columns. It remembers its widths, so that rows
// of a watch stay under the header that was printed before.
type aligner struct {
	w      io.Writer
	widths []int
}

// write prints rows, the widest cell of each column deciding. The last column
// is not padded.
func (t *aligner) write(rows ...[]string) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, columnWidthMin)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell)+columnPadding)
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)))
			}
		}
		say(t.w, "%v\n", strings.TrimRight(line.String(), " "))
	}
}

// printTable prints a header and rows.
func printTable(w io.Writer, header []string, rows [][]string) {
	t := &aligner{w: w}
	t.write(append([][]string{header}, rows...)...)
}
