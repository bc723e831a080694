package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// tablePrinter prints the Tables of one kind, with the columns that the flags add.
type tablePrinter struct {
	resource
	o        getOptions
	prefix   bool // names are KIND/NAME
	columns  []metav1.TableColumnDefinition
	out      aligner
	headless bool
}

func (a *app) newTablePrinter(r resource, o getOptions) *tablePrinter {
	return &tablePrinter{resource: r, o: o, out: aligner{w: a.out}, headless: o.noHeaders}
}

// print prints the rows of a Table; the header comes with the first.
func (p *tablePrinter) print(t *metav1.Table) error {
	if len(t.ColumnDefinitions) > 0 {
		p.columns = t.ColumnDefinitions
	}
	var rows [][]string
	if !p.headless {
		p.headless = true
		rows = append(rows, p.header())
	}
	for _, r := range t.Rows {
		row, err := p.row(r)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	p.out.write(rows...)
	return nil
}

func (p *tablePrinter) shown(i int) bool {
	return i < len(p.columns) && (p.columns[i].Priority == 0 || p.o.output == "wide")
}

func (p *tablePrinter) header() []string {
	var cells []string
	if p.o.allNamespaces && p.Namespaced {
		cells = append(cells, "NAMESPACE")
	}
	for i, col := range p.columns {
		if p.shown(i) {
			cells = append(cells, strings.ToUpper(col.Name))
		}
	}
	if p.o.showLabels {
		cells = append(cells, "LABELS")
	}
	return cells
}

func (p *tablePrinter) row(r metav1.TableRow) ([]string, error) {
	var object metav1.PartialObjectMetadata
	if len(r.Object.Raw) > 0 {
		if err := json.Unmarshal(r.Object.Raw, &object); err != nil {
			return nil, fmt.Errorf("a table row has a bad object: %w", err)
		}
	}
	var cells []string
	if p.o.allNamespaces && p.Namespaced {
		cells = append(cells, object.Namespace)
	}
	for i, cell := range r.Cells {
		if !p.shown(i) {
			continue
		}
		text := cellText(cell)
		if p.prefix && p.columns[i].Format == "name" {
			text = p.name(text)
		}
		cells = append(cells, text)
	}
	if p.o.showLabels {
		cells = append(cells, labelText(object.Labels))
	}
	return cells, nil
}

// cellText prints a cell; JSON numbers come as float64.
func cellText(cell any) string {
	switch v := cell.(type) {
	case nil:
		return "<none>"
	case float64:
		if v == float64(int64(v)) {
			return fmt.Sprint(int64(v))
		}
	}
	return fmt.Sprint(cell)
}

func labelText(set map[string]string) string {
	if len(set) == 0 {
		return "<none>"
	}
	return labels.FormatLabels(set)
}

func (a *app) getTables(ctx context.Context, c *client, o getOptions, targets []target) error {
	var absent []error
	printed := 0
	for _, t := range targets {
		answers, missing, err := c.fetch(ctx, t, o.query(), acceptTable)
		if err != nil {
			return err
		}
		absent = append(absent, missing...)
		table, err := c.mergeTables(answers)
		if err != nil {
			return err
		}
		if table == nil || len(table.Rows) == 0 {
			continue
		}
		if printed > 0 {
			say(a.out, "\n")
		}
		printed++
		p := a.newTablePrinter(t.resource, o)
		p.prefix = len(targets) > 1
		if err := p.print(table); err != nil {
			return err
		}
	}
	if printed == 0 && len(absent) == 0 {
		a.saidNothingFound(c, targets)
	}
	return a.complainAbsent(o, absent)
}

// mergeTables joins the Tables of several objects of one kind.
func (c *client) mergeTables(answers [][]byte) (*metav1.Table, error) {
	var all *metav1.Table
	for _, data := range answers {
		var t metav1.Table
		if err := c.decode(data, &t); err != nil {
			return nil, err
		}
		if t.Kind != "Table" {
			return nil, fmt.Errorf("%s answered a %s where a Table was asked for; use -o json", c.where, t.Kind)
		}
		if all == nil {
			all = &t
			continue
		}
		all.Rows = append(all.Rows, t.Rows...)
	}
	return all, nil
}

// getWatch prints what there is and then what changes, until ctx ends. When
// the server has forgotten where we were (410) it lists again.
func (a *app) getWatch(ctx context.Context, c *client, o getOptions, t target) error {
	q := o.query()
	if len(t.names) == 1 {
		q.Set("fieldSelector", "metadata.name="+t.names[0])
		t.names = nil
	}
	table := o.output == "" || o.output == "wide"
	accept := acceptJSON
	if table {
		accept = acceptTable
	}
	printer := a.newTablePrinter(t.resource, o)
	show := func(object json.RawMessage) error {
		if table {
			return printWatchedTable(c, printer, object)
		}
		return a.printWatchedObject(c, o, t.resource, object)
	}
	path := t.path(c.namespaceOf(t.resource), "")
	for quiet := o.watchOnly; ; quiet = true {
		data, err := c.do(ctx, request{path: path, query: q, accept: accept})
		if err != nil {
			return err
		}
		version, err := c.listVersion(data)
		if err != nil {
			return err
		}
		if !quiet {
			if err := a.showList(c, table, data, show); err != nil {
				return err
			}
		}
		err = c.watch(ctx, path, accept, version, q, func(ev watchEvent) error {
			if ev.Type == "BOOKMARK" {
				return nil
			}
			return show(ev.Object)
		})
		if err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			return err
		}
	}
}

func (c *client) listVersion(data []byte) (string, error) {
	var list struct {
		Metadata metav1.ListMeta `json:"metadata"`
	}
	err := c.decode(data, &list)
	return list.Metadata.ResourceVersion, err
}

func (a *app) showList(c *client, table bool, data []byte, show func(json.RawMessage) error) error {
	if table {
		var t metav1.Table
		if err := c.decode(data, &t); err != nil || len(t.Rows) == 0 {
			return err
		}
		return show(data)
	}
	objects, err := c.decodeObjects(data)
	if err != nil {
		return err
	}
	for _, o := range objects {
		raw, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		if err := show(raw); err != nil {
			return err
		}
	}
	return nil
}

func printWatchedTable(c *client, p *tablePrinter, object json.RawMessage) error {
	var t metav1.Table
	if err := c.decode(object, &t); err != nil {
		return err
	}
	if t.Kind != "Table" {
		return errors.New("the watch does not send Tables; use -o json")
	}
	return p.print(&t)
}

func (a *app) printWatchedObject(c *client, o getOptions, r resource, object json.RawMessage) error {
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(object); err != nil {
		return c.decode(object, &json.RawMessage{})
	}
	if o.output == "name" {
		_, err := fmt.Fprintln(a.out, r.name(u.GetName()))
		return err
	}
	return printStructured(a.out, o.output, u.Object)
}
