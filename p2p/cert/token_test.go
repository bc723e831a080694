package cert

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"holon/p2p"
)

func token() Token {
	return Token{
		Cluster: cluster, KeyHash: KeyHash(pub(0)), ID: "k3x9", Secret: [32]byte{1, 2, 3},
		Addrs: []string{"/ip4/192.168.1.5/tcp/40123/p2p/" + string(PeerIDOf(pub(1)))},
	}
}

func TestTokenIsOneLineThatSurvivesPasting(t *testing.T) {
	want := token()
	line := want.String()
	if !strings.HasPrefix(line, "holon1.") || strings.ContainsAny(line, " \n\t") {
		t.Fatalf("not a line: %q", line)
	}
	for _, s := range []string{line, "  " + line + "\r\n", line[:40] + "\n    " + line[40:]} {
		got, err := ParseToken(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestEveryCutTokenIsCalledTruncated(t *testing.T) {
	line := token().String()
	for n := len("holon1."); n < len(line); n++ {
		if _, err := ParseToken(line[:n]); !errors.Is(err, ErrTokenTruncated) {
			t.Fatalf("cut to %d of %d: %v", n, len(line), err)
		}
	}
}

func TestEveryChangedCharacterIsFound(t *testing.T) {
	line := token().String()
	for i := len("holon1."); i < len(line); i++ {
		for _, c := range "A9_*é" {
			if rune(line[i]) == c {
				continue
			}
			_, err := ParseToken(line[:i] + string(c) + line[i+1:])
			if !errors.Is(err, ErrTokenGarbled) && !errors.Is(err, ErrTokenTruncated) {
				t.Fatalf("%c at %d: %v", c, i, err)
			}
		}
	}
	if _, err := ParseToken(line + "AA"); !errors.Is(err, ErrTokenGarbled) {
		t.Errorf("longer: %v", err)
	}
}

func TestOtherTextIsNamedForWhatItIs(t *testing.T) {
	for s, want := range map[string]error{
		"":            ErrTokenNone,
		"hello":       ErrTokenNone,
		"holonX.abcd": ErrTokenNone,
		"holon2.abcd": ErrTokenVersion,
		"holon1":      ErrTokenTruncated,
		"holon1.":     ErrTokenTruncated,
		"holon1." + strings.Repeat("A", TokenBytesMax): ErrTokenGarbled,
	} {
		if _, err := ParseToken(s); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", s, err, want)
		}
	}
}

func TestSecretIsStoredHashed(t *testing.T) {
	s := token().Secret
	if h := SecretHash(s); h == s || !SecretMatches(s, h) || SecretMatches([32]byte{9}, h) {
		t.Error("secret hash does not tell secrets apart")
	}
}

func messages(t testing.TB) map[string][]byte {
	t.Helper()
	w, err1 := Welcome{Version: Version, Cluster: cluster, ClusterKey: pub(0), Chain: issueTo(t, 1)}.Encode()
	q, err2 := JoinRequest{Version: Version, Cluster: cluster, TokenID: "k3x9", Name: "b", PublicKey: pub(2)}.Encode()
	g, err3 := JoinReply{Grant: &JoinGrant{Version: Version, Cluster: cluster, Chain: issueTo(t, 2), ClusterKey: pub(0)}}.Encode()
	r, err4 := JoinReply{Refused: Refuse(TokenUnknown, "")}.Encode()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"welcome": w, "request": q, "grant": g, "refusal": r}
}

func TestJoinMessagesRoundTrip(t *testing.T) {
	m := messages(t)
	w, err := DecodeWelcome(m["welcome"])
	if err != nil || w.Check(token(), PeerIDOf(pub(1))) != nil {
		t.Errorf("welcome: %v, %v", err, w.Check(token(), PeerIDOf(pub(1))))
	}
	if q, err := DecodeJoinRequest(m["request"]); err != nil || q.Name != "b" {
		t.Errorf("request: %v", err)
	}
	g, err := DecodeJoinReply(m["grant"])
	if err != nil || g.Grant.Check(token(), pub(2)) != nil {
		t.Errorf("grant: %v", err)
	}
	if err := g.Grant.Check(token(), pub(3)); err == nil {
		t.Error("a grant for another key was believed")
	}
	r, err := DecodeJoinReply(m["refusal"])
	if err != nil || !errors.Is(error(r.Refused), Refuse(TokenUnknown, "other words")) || errors.Is(error(r.Refused), Refuse(TokenRevoked, "")) {
		t.Errorf("refusal: %v", err)
	}
}

func TestImpostorsAreRecognisedByTheWelcome(t *testing.T) {
	good := Welcome{Version: Version, Cluster: cluster, ClusterKey: pub(0), Chain: issueTo(t, 1)}
	peer := PeerIDOf(pub(1))
	other := good
	other.ClusterKey = pub(66)
	stolen := good // the true chain, shown by a peer that it does not belong to
	forged := good
	forged.Chain, _ = Issue(key(66), nil, request(1, true))
	for name, c := range map[string]struct {
		w    Welcome
		peer p2p.PeerID
	}{"other key": {other, peer}, "stolen chain": {stolen, PeerIDOf(pub(66))}, "forged chain": {forged, peer}} {
		if err := c.w.Check(token(), c.peer); !errors.Is(err, ErrImpostor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGrantWithTooManyMembersIsTrimmed(t *testing.T) {
	g := &JoinGrant{Version: Version, Cluster: cluster, Chain: issueTo(t, 1), ClusterKey: pub(0)}
	for i := range 3000 {
		g.Members = append(g.Members, p2p.Member{ID: PeerIDOf(pub(byte(i))), Addrs: []string{fmt.Sprintf("/ip4/10.0.0.1/tcp/%d", i)}})
	}
	b, err := JoinReply{Grant: g}.Encode()
	if err != nil || len(b) > JoinBytesMax {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	r, err := DecodeJoinReply(b)
	if err != nil || len(r.Grant.Members) < 100 {
		t.Errorf("%d members left, %v", len(r.Grant.Members), err)
	}
	if len(g.Members) != 3000 {
		t.Error("the caller's grant was changed")
	}
}

func TestEveryReasonHasANextStep(t *testing.T) {
	for r := range nextStep {
		if !strings.Contains(Refuse(r, "x").Error(), nextStep[r]) {
			t.Errorf("%s: %s", r, Refuse(r, "x"))
		}
	}
	if len(nextStep) != 8 {
		t.Errorf("%d reasons", len(nextStep))
	}
}
