package state_test

import (
	"reflect"
	"testing"

	"holon/crdt/state"
)

// A field that Equal forgets is one whose change nobody hears of.
func TestEveryFieldOfARunCounts(t *testing.T) {
	for i := range reflect.TypeFor[state.RunStatus]().NumField() {
		var a, b state.RunStatus
		switch f := reflect.ValueOf(&b).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Struct:
			f.FieldByName("Index").SetInt(1)
		default:
			t.Fatalf("field %d is of kind %v", i, f.Kind())
		}
		if same := a; !a.Equal(&same) || a.Equal(&b) {
			t.Errorf("%+v and %+v: equal is %v", a, b, a.Equal(&b))
		}
	}
}
