package schema

import "strings"

// keyLists are the key fields of every ListMap, split once: Keys is asked for each
// list of each object.
var keyLists = func() map[string][]string {
	lists := map[string][]string{}
	for i := range types {
		if k := types[i].keys; k != "" && lists[k] == nil {
			lists[k] = strings.Split(k, ",")
		}
	}
	return lists
}()

func splitKeys(keys string) []string { return keyLists[keys] }
