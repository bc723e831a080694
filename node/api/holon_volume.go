package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VolumeInfo is a volume that a node keeps beyond pods.
type VolumeInfo struct {
	Node   string `json:"node"`
	Volume string `json:"volume"`
	// State is bound, unused (its claim is bound to another one, or unknown), going (its
	// claim was deleted), node unreachable, or lost (its node has left).
	State     string `json:"state"`
	Namespace string `json:"namespace,omitempty"` // of the claim that it is of, as far as that is known
	Claim     string `json:"claim,omitempty"`
	Bytes     int64  `json:"bytes"` // that its files have; -1: nobody could look
	InUse     bool   `json:"inUse,omitempty"`
}

// VolumeList is the answer to a list of volumes. Missing are the nodes that did not answer.
type VolumeList struct {
	Items   []VolumeInfo `json:"items"`
	Missing []string     `json:"missing,omitempty"`
}

// VolumeAbandonment asks that the data of a claim is given up. Force: also if the node that
// has it is in reach.
type VolumeAbandonment struct {
	Force bool `json:"force,omitempty"`
}

func (s *Server) volumes(w http.ResponseWriter, r *http.Request) error {
	list, err := s.config.Backend.Volumes(r.Context())
	if err != nil {
		return ofVolumes(err, "")
	}
	if list.Items == nil {
		list.Items = []VolumeInfo{}
	}
	writeJSON(w, r, http.StatusOK, list)
	return nil
}

func (s *Server) abandonVolume(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var a VolumeAbandonment
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return apierrors.NewBadRequest("the body cannot be read as a VolumeAbandonment: " + err.Error())
		}
	}
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	if err := s.config.Backend.AbandonVolume(r.Context(), namespace, name, a.Force); err != nil {
		if errors.Is(err, ErrNotFound) {
			return ofBackend(err, claimKind.groupResource(), name)
		}
		return ofVolumes(err, name)
	}
	writeJSON(w, r, http.StatusOK, successStatus())
	return nil
}

func (s *Server) removeVolume(w http.ResponseWriter, r *http.Request) error {
	node, volume := r.PathValue("node"), r.PathValue("volume")
	if err := s.config.Backend.RemoveVolume(r.Context(), node, volume); err != nil {
		return ofVolumes(err, node+"/"+volume)
	}
	writeJSON(w, r, http.StatusOK, successStatus())
	return nil
}

func ofVolumes(err error, name string) error {
	if errors.Is(err, ErrStays) {
		return statusError(http.StatusConflict, metav1.StatusReasonConflict, "%s", strings.TrimPrefix(err.Error(), ErrStays.Error()+": "))
	}
	return ofBackend(err, holonResource("volumes"), name)
}
