package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// whoami is the name of a client, as the API sees him.
func (f *fixture) whoami(client *http.Client) answer {
	f.t.Helper()
	return f.doWith(client, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`)
}

// someday is when tests that care for time begin.
var someday = time.Date(2030, 3, 1, 9, 0, 0, 0, time.UTC)

// TestCredentialsExpireByClusterTime: certificates and tokens alike, on a connection that is
// there already, too, and whatever this host's clock says.
func TestCredentialsExpireByClusterTime(t *testing.T) {
	for _, token := range []bool{false, true} {
		t.Run(fmt.Sprint("token ", token), func(t *testing.T) {
			f := serve(t)
			f.backend.setTime(someday)
			made := f.credential(CredentialRequest{User: "eve", TTLSeconds: 3600, Token: token})
			forever := f.with(f.credential(CredentialRequest{User: "ann", Token: token}))
			if made.Expires != "2030-03-01T10:00:00Z" {
				t.Errorf("it expires at %s", made.Expires)
			}
			eve := f.with(made)
			for after, code := range map[time.Duration]int{
				0: 201, time.Hour - time.Second: 201, -clockGrace: 201,
				time.Hour: 401, 100 * time.Hour: 401, -2 * clockGrace: 401,
			} {
				f.backend.setTime(someday.Add(after))
				f.whoami(eve).want(t, code)
				f.whoami(forever).want(t, 201, `"ann"`)
			}
			f.backend.setTime(someday.Add(3 * time.Hour))
			f.whoami(eve).want(t, 401, `user \"eve\" (serial `+made.Serial, "expired at 2030-03-01T10:00:00Z, 2h0m0s ago", "holon kubeconfig --user eve --ttl")
			f.backend.setTime(someday.Add(-time.Hour))
			f.whoami(eve).want(t, 401, "is 2030-03-01T08:00:00Z only")
			f.backend.setTime(time.Time{})
			f.whoami(eve).want(t, 401, "does not know what time it is")
			f.whoami(forever).want(t, 201)
			f.do("POST", holonPath+"credentials", `{"user":"eve","ttlSeconds":5}`).want(t, 503, "does not know what time it is")
		})
	}
}

func TestABadLifeIsRefused(t *testing.T) {
	f := serve(t)
	f.backend.setTime(someday)
	for _, seconds := range []int64{-1, int64(credentialLifeMax/time.Second) + 1, 1 << 62} {
		f.do("POST", holonPath+"credentials", fmt.Sprintf(`{"user":"eve","ttlSeconds":%d}`, seconds)).want(t, 400)
	}
}

func TestTokensOfUsers(t *testing.T) {
	f := serve(t)
	made := f.credential(CredentialRequest{User: "eve", Groups: []string{"devs"}, Token: true})
	eve := f.with(made)
	f.whoami(eve).want(t, 201, `"username":"eve"`, `["devs","system:authenticated"]`)
	f.doWith(eve, "GET", "/api/v1/pods", "").want(t, 403, `User \"eve\" cannot list`)
	f.doWith(f.anonymous(), "GET", "/api/v1/pods", "", "Authorization: Basic ZXZlOmV2ZQ==").want(t, 401, "no bearer token")
	f.doWith(f.http, "GET", "/api/v1/pods", "", "Authorization: Bearer nonsense").want(t, 401, "none of this cluster")
	f.do("POST", holonPath+"revocations", `{"metadata":{"name":"r"},"spec":{"serial":"`+made.Serial+`","reason":"lost"}}`).want(t, 201)
	f.whoami(eve).want(t, 403, "is revoked: lost")
	f.whoami(f.with(f.credential(CredentialRequest{User: "eve", Token: true}))).want(t, 201)
	long := make([]string, groupsMax)
	for i := range long {
		long[i] = strings.Repeat("g", userNameMax-2) + fmt.Sprintf("%02d", i)
	}
	f.whoami(f.with(f.credential(CredentialRequest{User: strings.Repeat("u", userNameMax), Groups: long, Token: true}))).want(t, 201)
}

// rewritten is a good token with another header or payload, if not empty.
func rewritten(ca *CA, header, body string) string {
	parts := strings.Split(must2(ca.sign(&claims{Issuer: apiAudience, Subject: "eve", Serial: "1"})), ".")
	if header != "" {
		parts[0] = encoding.EncodeToString([]byte(header))
	}
	if body != "" {
		parts[1] = encoding.EncodeToString([]byte(body))
	}
	return strings.Join(parts, ".")
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestForgedTokensOpenNothing: whatever is not signed by the key of the cluster is none.
func TestForgedTokensOpenNothing(t *testing.T) {
	ca, other := must2(NewCA("test")), must2(NewCA("test"))
	masters := `{"iss":"` + apiAudience + `","sub":"eve","aud":["` + apiAudience + `"],"jti":"1","groups":["system:masters"]}`
	good := must2(ca.sign(&claims{Issuer: apiAudience, Subject: "eve", Serial: "1"}))
	if c, err := ca.open(good); err != nil || c.Subject != "eve" {
		t.Fatalf("a good token is %+v, %v", c, err)
	}
	none := encoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + encoding.EncodeToString([]byte(masters)) + "."
	parts := strings.Split(good, ".")
	for why, token := range map[string]string{
		"alg none":                        none,
		"alg none, with a signature":      none + parts[2],
		"our header, no signature":        parts[0] + "." + encoding.EncodeToString([]byte(masters)) + ".",
		"another payload":                 rewritten(ca, "", masters),
		"another header":                  rewritten(ca, `{"alg":"HS256","typ":"JWT"}`, ""),
		"another cluster":                 must2(other.sign(&claims{Issuer: apiAudience, Subject: "eve", Serial: "1"})),
		"another cluster with our header": parts[0] + "." + strings.SplitN(must2(other.sign(&claims{Issuer: apiAudience, Subject: "eve", Serial: "1"})), ".", 2)[1],
		"another issuer":                  must2(ca.sign(&claims{Issuer: "https://elsewhere", Subject: "eve", Serial: "1"})),
		"no user":                         must2(ca.sign(&claims{Issuer: apiAudience, Serial: "1"})),
		"no serial":                       must2(ca.sign(&claims{Issuer: apiAudience, Subject: "eve"})),
		"padding":                         good + "=",
		"a fourth part":                   good + ".",
		"longer than any":                 parts[0] + "." + strings.Repeat("A", tokenBytesMax) + "." + parts[2],
		"zeros":                           parts[0] + "." + parts[1] + "." + encoding.EncodeToString(make([]byte, 2*tokenNumber)),
		"empty":                           "",
	} {
		if c, err := ca.open(token); err == nil {
			t.Errorf("%s: opens as %+v", why, c)
		}
	}
}

// TestNoBitOfATokenIsFree: one that differs anywhere is another, also in those bits of its
// last character that are of no byte, and with characters that base64 passes over.
func TestNoBitOfATokenIsFree(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	ca := must2(NewCA("test"))
	good := must2(ca.sign(&claims{Issuer: apiAudience, Subject: "eve", Groups: []string{"devs"}, Serial: "1"}))
	for at := range good {
		value := strings.IndexByte(alphabet, good[at])
		for bit := 1; value >= 0 && bit < 64; bit <<= 1 {
			if c, err := ca.open(good[:at] + alphabet[value^bit:][:1] + good[at+1:]); err == nil {
				t.Fatalf("with bit %d of its character %d of %d changed it opens as %+v", bit, at, len(good), c)
			}
		}
		if c, err := ca.open(good[:at] + "\n" + good[at:]); err == nil {
			t.Fatalf("with a line break before its character %d it opens as %+v", at, c)
		}
	}
}

// TestAClaimThatIsNotKnownBounds: a later version may say by it what a token is not good for.
func TestAClaimThatIsNotKnownBounds(t *testing.T) {
	for body, good := range map[string]bool{
		`{"iss":"` + apiAudience + `","sub":"eve","aud":["a"],"jti":"1"}`:             true,
		`{"iss":"` + apiAudience + `","sub":"eve","aud":["a"],"jti":"1","only":"n1"}`: false,
		`{"iss":"` + apiAudience + `","sub":"eve","aud":["a"],"jti":"1"}{}`:           false,
	} {
		if _, err := readClaims(encoding.EncodeToString([]byte(body))); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// FuzzToken: no token makes the reader fail otherwise than in words, and what opens says
// whose it is.
func FuzzToken(f *testing.F) {
	ca := must2(NewCA("test"))
	good := must2(ca.sign(&claims{Issuer: apiAudience, Subject: "eve", Serial: "1", Account: &Bound{Namespace: "default"}}))
	parts := strings.Split(good, ".")
	f.Add(good)
	f.Add("." + good)
	f.Add(parts[0] + "." + parts[1])
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := ca.open(token); err == nil && token != good {
			t.Errorf("a forged token opens: %+v", c)
		}
		parts := strings.Split(token, ".")
		if c, err := readClaims(parts[min(1, len(parts)-1)]); err == nil && (c.Subject == "" || c.Serial == "" || c.Issuer != apiAudience) {
			t.Errorf("claims without a user: %+v", c)
		}
	})
}

// TestKubeconfigWithAToken is one that clients read.
func TestKubeconfigWithAToken(t *testing.T) {
	f := serve(t)
	made := f.credential(CredentialRequest{User: "eve", Token: true})
	data, err := Kubeconfig(made, []Endpoint{{"n1", f.url}}, "n1")
	check(t, err)
	if !strings.Contains(string(data), "token: "+made.Token) || strings.Contains(string(data), "client-key") {
		t.Errorf("%s", data)
	}
}
