package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holon/node/api"
)

const (
	credentialsPath = "/apis/holon.dev/v1/credentials"
	revocationsPath = "/apis/holon.dev/v1/revocations"
)

// kubeconfigFor makes a credential and a kubeconfig with it, one context per node that this
// one knows the API of.
func (c *client) kubeconfigFor(ctx context.Context, ask api.CredentialRequest) (config []byte, made api.Credential, err error) {
	var status api.ClusterStatus
	if err := c.get(ctx, statusPath, nil, &status); err != nil {
		return nil, made, err
	}
	var endpoints []api.Endpoint
	current := ""
	for _, m := range status.Members {
		if m.Server == "" || m.State == "left" {
			continue
		}
		endpoints = append(endpoints, api.Endpoint{Name: m.Name, URL: m.Server})
		if m.Name == status.Node {
			current = m.Name
		}
	}
	if len(endpoints) == 0 {
		return nil, made, fmt.Errorf("%s knows no node whose API is reached over the network: start one with --api-listen", c.where)
	}
	if current == "" {
		current = endpoints[0].Name
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, made, err
	}
	answer, err := c.do(ctx, request{method: http.MethodPost, path: credentialsPath, body: body})
	if err != nil {
		return nil, made, err
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return nil, made, fmt.Errorf("%s answered with something else than a credential: %w", c.where, err)
	}
	config, err = api.Kubeconfig(made, endpoints, current)
	return config, made, err
}

func (a *app) printKubeconfigFor(ctx context.Context, ask api.CredentialRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	config, made, err := c.kubeconfigFor(ctx, ask)
	if err != nil {
		return err
	}
	end := "it does not expire"
	if made.Expires != "" {
		end = "it expires at " + made.Expires
	}
	say(a.err, "credential %s for user %s: %s; 'holon credential revoke %s' ends it\n", made.Serial, made.User, end, made.Serial)
	_, err = a.out.Write(config)
	return err
}

func newCredentialCommand(a *app) *cobra.Command {
	return groupCommand("credential", "Revoke what 'holon kubeconfig --user' has handed out",
		`A credential is a client certificate or a token for a user and his groups, made by
'holon kubeconfig --user'. What he may do is said by Roles and RoleBindings, as in
Kubernetes. A revocation is for good: a side that is cut off honours the
credential until it hears of it, or until it expires (--ttl).`,
		"  holon credential revoke 3f9c2a17e0\n  holon credential revoke --user eve --reason 'has left'\n  holon get revocations",
		credentialRevokeCommand(a))
}

func credentialRevokeCommand(a *app) *cobra.Command {
	var user, reason string
	c := &cobra.Command{
		Use:   "revoke [SERIAL]",
		Short: "End a credential, or all of a user, for good",
		Long: `End one credential, by the serial that was printed with it, or with --user every
credential that the user has or will get. This cannot be undone.`,
		Example:           "  holon credential revoke 3f9c2a17e0\n  holon credential revoke --user eve --reason 'has left'",
		Args:              wantArgs(0, 1, "the serial of a credential, or --user"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := api.RevocationSpec{User: user, Reason: reason}
			if len(args) == 1 {
				spec.Serial = strings.TrimLeft(strings.ToLower(args[0]), "0")
			}
			if (spec.Serial == "") == (spec.User == "") {
				return usagef("name either the serial of a credential or a user with --user")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			body, err := json.Marshal(api.Revocation{ObjectMeta: metav1.ObjectMeta{Name: revocationName(spec)}, Spec: spec})
			if err != nil {
				return err
			}
			if _, err := c.do(cmd.Context(), request{method: http.MethodPost, path: revocationsPath, body: body}); err != nil {
				return err
			}
			say(a.out, "revoked; nodes that are cut off honour it until they hear of it\n")
			return nil
		},
	}
	c.Flags().StringVar(&user, "user", "", "revoke whatever credentials this user has or gets")
	c.Flags().StringVar(&reason, "reason", "", "words for whoever is refused")
	return c
}

// revocationName is the same for the same thing, so that two sides of a partition that
// revoke it make one object.
func revocationName(spec api.RevocationSpec) string {
	if spec.Serial != "" {
		return "serial-" + spec.Serial
	}
	sum := sha256.Sum256([]byte(spec.User))
	return "user-" + hex.EncodeToString(sum[:8])
}
