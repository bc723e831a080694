package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	holonGroup   = "holon.dev"
	holonVersion = "v1"
	holonPath    = "/apis/" + holonGroup + "/" + holonVersion + "/"

	// noNamespace stands for none in the path of why.
	noNamespace = "-"
)

// TokenRequest asks for a join token.
type TokenRequest struct {
	Uses       int   `json:"uses"`
	TTLSeconds int64 `json:"ttlSeconds"`
}

// TokenCreated is a new token with its secret, shown only once.
type TokenCreated struct {
	Token string    `json:"token"`
	Info  TokenInfo `json:"info"`
}

// TokenList is the answer to a list of tokens.
type TokenList struct {
	Items []TokenInfo `json:"items"`
}

// Progress is one line of the answer to drain and leave: some with Progress, then
// one with Done or Error.
type Progress struct {
	Progress string `json:"progress,omitempty"`
	Done     bool   `json:"done,omitempty"`
	Error    string `json:"error,omitempty"`
}

// holonRoutes serve what Kubernetes has no words for:
//
//	GET    status
//	GET    why/RESOURCE/NAMESPACE/NAME     NAMESPACE "-" for none
//	POST   conflicts/RESOURCE/NAMESPACE/NAME    a Settlement
//	POST   compact/RESOURCE/NAMESPACE/NAME      a Compaction
//	GET    tokens          POST tokens     DELETE tokens/ID
//	GET    datakeys        POST datakeys   the latter makes a new one
//	POST   credentials                     a CredentialRequest; answers a Credential
//	POST   drain           POST leave      JSON lines, see Progress
//	POST   evict/NAME                      a MemberEviction
//	POST   rebalance                       a RebalanceRequest
//	GET    whatif?lose=NODE&lose=NODE
//	GET    snapshot                        bytes, see crdt/snapshot
//	GET    images?node=NAME                without a node: of all
//	POST   images                          an archive, its SHA-256 as a trailer; see ImageProgress
//	POST   images/copy                     an ImageCopy; JSON lines, see Progress
//	GET    volumes                         a VolumeList
//	POST   volumes/persistentvolumeclaims/NAMESPACE/NAME    a VolumeAbandonment
//	DELETE volumes/NODE/VOLUME             one that is unused
//	POST   sync/confirm                    likewise
func (s *Server) holonRoutes(mux *http.ServeMux) {
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, s.answer(f))
	}
	handle("GET "+holonPath+"status", s.clusterStatus)
	handle("GET "+holonPath+"why/{resource}/{namespace}/{name}", s.why)
	handle("POST "+holonPath+"conflicts/{resource}/{namespace}/{name}", s.settleConflict)
	handle("POST "+holonPath+"compact/{resource}/{namespace}/{name}", s.compact)
	handle("GET "+holonPath+"tokens", s.tokens)
	handle("POST "+holonPath+"tokens", s.createToken)
	handle("DELETE "+holonPath+"tokens/{id}", s.revokeToken)
	handle("POST "+holonPath+"rebalance", s.rebalance)
	handle("GET "+holonPath+"whatif", s.whatIf)
	handle("GET "+holonPath+"snapshot", s.snapshot)
	handle("GET "+holonPath+"images", s.images)
	handle("POST "+holonPath+"images", s.loadImage)
	handle("POST "+holonPath+"images/copy", s.copyImage)
	handle("GET "+holonPath+"volumes", s.volumes)
	handle("POST "+holonPath+"volumes/persistentvolumeclaims/{namespace}/{name}", s.abandonVolume)
	handle("DELETE "+holonPath+"volumes/{node}/{volume}", s.removeVolume)
	handle("GET "+holonPath+"datakeys", s.dataKeys)
	handle("POST "+holonPath+"datakeys", s.rotateDataKey)
	handle("POST "+holonPath+"credentials", s.createCredential)
	handle("POST "+holonPath+"drain", s.withProgress(s.config.Backend.Drain))
	handle("POST "+holonPath+"sync/confirm", s.withProgress(s.config.Backend.ConfirmSync))
	handle("POST "+holonPath+"leave", s.withProgress(s.config.Backend.Leave))
	handle("POST "+holonPath+"evict/{name}", s.evictMember)
}

// holonResources are what discovery shows of the group: clients take a group
// without resources for a broken one.
var holonResources = []metav1.APIResource{
	{Name: "status", SingularName: "status", Kind: "ClusterStatus", Verbs: []string{"get"}},
	{Name: "datakeys", SingularName: "datakey", Kind: "DataKey", Verbs: []string{"create", "list"}},
	{Name: "images", SingularName: "image", Kind: "Image", Verbs: []string{"create", "get"}},
	{Name: "credentials", SingularName: "credential", Kind: "Credential", Verbs: []string{"create"}},
	{Name: "volumes", SingularName: "volume", Kind: "Volume", Verbs: []string{"create", "delete", "get"}},
	{Name: "tokens", SingularName: "token", Kind: "JoinToken", Verbs: []string{"create", "delete"}},
}

func holonResource(name string) schema.GroupResource {
	return schema.GroupResource{Group: holonGroup, Resource: name}
}

func (s *Server) clusterStatus(w http.ResponseWriter, r *http.Request) error {
	status, err := s.config.Backend.Status(r.Context())
	if err != nil {
		return ofBackend(err, holonResource("status"), "")
	}
	writeJSON(w, r, http.StatusOK, status)
	return nil
}

// evictMember takes another node out of the cluster.
func (s *Server) evictMember(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var e MemberEviction
	if len(body) > 0 {
		if err := json.Unmarshal(body, &e); err != nil {
			return apierrors.NewBadRequest("the body cannot be read as an eviction: " + err.Error())
		}
	}
	name := r.PathValue("name")
	if err := s.config.Backend.EvictMember(r.Context(), name, e); err != nil {
		return ofBackend(err, holonResource("members"), name)
	}
	writeJSON(w, r, http.StatusOK, successStatus())
	return nil
}

func (s *Server) why(w http.ResponseWriter, r *http.Request) error {
	key, k := objectOf(r)
	if k == nil {
		return notServed()
	}
	why, err := s.config.Backend.Why(r.Context(), key)
	if err != nil {
		return ofBackend(err, k.groupResource(), key.Name)
	}
	writeJSON(w, r, http.StatusOK, why)
	return nil
}

func (s *Server) tokens(w http.ResponseWriter, r *http.Request) error {
	tokens, err := s.config.Backend.Tokens(r.Context())
	if err != nil {
		return ofBackend(err, holonResource("tokens"), "")
	}
	if tokens == nil {
		tokens = []TokenInfo{}
	}
	writeJSON(w, r, http.StatusOK, TokenList{Items: tokens})
	return nil
}

func (s *Server) createToken(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	ask := TokenRequest{Uses: 1, TTLSeconds: int64((24 * time.Hour).Seconds())}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &ask); err != nil {
			return apierrors.NewBadRequest("the body cannot be read as a token request: " + err.Error())
		}
	}
	if ask.Uses <= 0 || ask.TTLSeconds <= 0 {
		return apierrors.NewBadRequest(fmt.Sprintf("uses (%d) and ttlSeconds (%d) must be greater than 0", ask.Uses, ask.TTLSeconds))
	}
	token, info, err := s.config.Backend.CreateToken(r.Context(), ask.Uses, time.Duration(ask.TTLSeconds)*time.Second)
	if err != nil {
		return ofBackend(err, holonResource("tokens"), "")
	}
	writeJSON(w, r, http.StatusCreated, TokenCreated{Token: token, Info: info})
	return nil
}

func (s *Server) revokeToken(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.config.Backend.RevokeToken(r.Context(), id); err != nil {
		return ofBackend(err, holonResource("tokens"), id)
	}
	writeJSON(w, r, http.StatusOK, successStatus())
	return nil
}

// DataKeyList is the answer to a list of data keys, oldest first.
type DataKeyList struct {
	Items []DataKeyInfo `json:"items"`
}

func (s *Server) dataKeys(w http.ResponseWriter, r *http.Request) error {
	keys, err := s.config.Backend.DataKeys(r.Context())
	if err != nil {
		return ofBackend(err, holonResource("datakeys"), "")
	}
	if keys == nil {
		keys = []DataKeyInfo{}
	}
	writeJSON(w, r, http.StatusOK, DataKeyList{Items: keys})
	return nil
}

func (s *Server) rotateDataKey(w http.ResponseWriter, r *http.Request) error {
	id, err := s.config.Backend.RotateDataKey(r.Context())
	if err != nil {
		return ofBackend(err, holonResource("datakeys"), id)
	}
	writeJSON(w, r, http.StatusCreated, DataKeyInfo{ID: id, Newest: true, Here: true})
	return nil
}

// withProgress runs something long and tells how it goes, line by line.
func (s *Server) withProgress(run func(context.Context, func(string)) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", typeJSON)
		w.WriteHeader(http.StatusOK)
		control, encoder := http.NewResponseController(w), json.NewEncoder(w)
		var mu sync.Mutex // progress may come from several goroutines
		line := func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			if encoder.Encode(p) == nil { // a client that is gone also ends the request's context
				_ = control.Flush()
			}
		}
		if err := run(r.Context(), func(text string) { line(Progress{Progress: text}) }); err != nil {
			line(Progress{Error: err.Error()})
			return nil
		}
		line(Progress{Done: true})
		return nil
	}
}
