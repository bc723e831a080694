package runtime

// PodUsage is what the running containers of one pod use.
type PodUsage struct {
	ID         RunID
	Containers []ContainerUsage
}

// ContainerUsage is what one attempt of a container uses.
type ContainerUsage struct {
	Name    string
	Attempt int
	CPU     int64 // nanoseconds that it has computed for since the attempt began
	Memory  int64 // bytes of its working set: what cannot be taken from it without harm
}
