package core

import (
	"time"

	"holon/runtime"
)

// retryAfter is how long an order waits that has failed so many times in a row. An image
// is looked for on this and other nodes as often as anything: how often a registry is asked
// is the shell's business.
func retryAfter(kind runtime.Kind, failed int) time.Duration {
	if !kind.Retry() {
		return orderRetryMax
	}
	return min(orderRetryFirst<<min(failed-1, 10), orderRetryMax)
}

// waitingReason gives Kubernetes' word for an order that has failed so many times.
func waitingReason(kind string, failed int) string {
	switch runtime.Kind(kind) {
	case runtime.ImageMissing:
		if failed > 1 {
			return "ImagePullBackOff"
		}
		return "ErrImagePull"
	case runtime.BadMount:
		return "ContainerCreating" // an Event says why
	case runtime.BadConfig:
		return configError
	case runtime.BadCommand:
		return "RunContainerError"
	case runtime.BadSpec, runtime.Unavailable, runtime.Failed, runtime.NameTaken, runtime.OutOfMemory:
		return "CreateContainerError"
	}
	return kind
}

// failureEvent is the reason of the Event that tells of it: Kubernetes' where it has one.
func failureEvent(kind runtime.Kind, failed int) string {
	switch kind {
	case runtime.ImageMissing:
		if failed > 1 {
			return "BackOff"
		}
		return "Failed"
	case runtime.ImageNeverPull, runtime.BadImageName:
		return string(kind)
	case runtime.BadConfig, runtime.BadCommand, runtime.Failed:
		return "Failed"
	}
	return "Failed" + string(kind)
}
