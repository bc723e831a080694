package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// RebalanceMovesMax bounds what one rebalance may ask for.
const RebalanceMovesMax = 1000

// RebalanceRequest asks for at most MaxMoves moves, or for what they would be.
type RebalanceRequest struct {
	MaxMoves int  `json:"maxMoves"`
	DryRun   bool `json:"dryRun,omitempty"`
}

func (s *Server) rebalance(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var req RebalanceRequest
	if err := json.Unmarshal(body, &req); err != nil || req.MaxMoves < 1 || req.MaxMoves > RebalanceMovesMax {
		return apierrors.NewBadRequest(fmt.Sprintf("the body is to be a RebalanceRequest with maxMoves of 1 to %d", RebalanceMovesMax))
	}
	answer, err := s.config.Backend.Rebalance(r.Context(), req.MaxMoves, req.DryRun)
	if err != nil {
		return ofPlanning(err, "rebalance")
	}
	writeJSON(w, r, http.StatusOK, answer)
	return nil
}

func (s *Server) whatIf(w http.ResponseWriter, r *http.Request) error {
	lose := r.URL.Query()["lose"]
	if len(lose) == 0 {
		return apierrors.NewBadRequest("name the nodes that would be lost: ?lose=NODE&lose=NODE")
	}
	answer, err := s.config.Backend.WhatIf(r.Context(), lose)
	if err != nil {
		return ofPlanning(err, "whatif")
	}
	writeJSON(w, r, http.StatusOK, answer)
	return nil
}

func ofPlanning(err error, what string) error {
	switch {
	case errors.Is(err, ErrStays):
		return apierrors.NewServiceUnavailable(strings.TrimPrefix(err.Error(), ErrStays.Error()+": "))
	case errors.Is(err, ErrNotFound):
		return apierrors.NewBadRequest(err.Error())
	}
	return ofBackend(err, holonResource(what), "")
}
