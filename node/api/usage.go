package api

import "time"

// UsageQuery says what is to be measured: all nodes that can be asked, or one; with
// what runs there or without.
type UsageQuery struct {
	Node string // empty: all
	Pods bool
}

// NodeUsage is what a node has used in a window of time, by its own clocks.
type NodeUsage struct {
	Node string        `json:"node"`
	End  time.Time     `json:"end"`
	Took time.Duration `json:"took"`
	Usage
	Runs []RunUsage `json:"runs,omitempty"`
}

// RunUsage is what the containers of a run have used in the window of its node.
type RunUsage struct {
	Run        string           `json:"run"` // as the annotation of a pod has it
	Containers []ContainerUsage `json:"containers"`
}

// ContainerUsage is what one container has used.
type ContainerUsage struct {
	Name string `json:"name"`
	Usage
}

// Usage is a rate and an amount.
type Usage struct {
	CPU    int64 `json:"cpu"`    // billionths of a core
	Memory int64 `json:"memory"` // bytes of the working set
}
