package holon_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// decoders are all functions that take apart bytes which came from a peer or a
// disk, and the formats that they read: names of docs/formats.md, each with a file
// in the golden corpus. A new decoder fails TestFormats until it is here. "-"
// stands for what is no format of ours or is not kept, with the reason.
var decoders = map[string]string{
	"crdt decoder.fields":              "record context",
	"crdt decoder.count":               "record context",
	"crdt unpackIntervals":             "context",
	"crdt splitFields":                 "record",
	"crdt/seal KeyOf":                  "sealed",
	"crdt/badger logEntry.timestamp":   "- Badger's own log",
	"crdt/badger parseEntry":           "- Badger's own log",
	"crdt/badger scan":                 "- Badger's own log",
	"crdt/badger unseal":               "stored",
	"node/image/auth Parse":            "- a Secret's value, in Docker's format",
	"crdt/state sealedBytes":           "sealed",
	"crdt/state plainRegister":         "- a register of this process, before it is sealed",
	"crdt/state DecodeStatus":          "status",
	"crdt/state DecodeRegisters":       "registers",
	"crdt/state parse":                 "registers",
	"crdt/state identity":              "registers",
	"crdt/state memberOf":              "registers",
	"crdt/state parseOrder":            "registers",
	"crdt/state Unstructured":          "- between forms of one value, in memory",
	"crdt/state checker.checkHomes":    "registers",
	"crdt/state BindingOf":             "registers",
	"crdt/state checker.checkBinding":  "registers",
	"crdt/state checker.checkTemplate": "registers",
	"crdt/state checker.checkOwners":   "registers",
	"crdt/state Convert":               "- between forms of one value, in memory",
	"node/core decodeMessage":          "put digest pull chunk",
	"node/core Core.loadStore":         "marks",
	"node/core Reserved":               "marks",
	"node/core Core.loadQuarantine":    "stored",
	"node/core decodeNumber":           "stored",
	"crdt Record.Fingerprint":          "- of a hash that was just made",
	"crdt/snapshot NewReader":          "snapshot",
	"crdt/snapshot Reader.payload":     "snapshot",
	"crdt/snapshot Reader.entry":       "snapshot",
	"crdt/snapshot Reader.finish":      "snapshot",
	"crdt/snapshot parseEntry":         "snapshot",
	"node bootStore":                   "stored",
	"node onDisk.read":                 "stored",
	"node decodeMark":                  "mark",
	"node decodeKnown":                 "known",
	"node RVBlock":                     "stored",
	"node tokenBook.load":              "stored",
	"node decodeIdentity":              "identity",
	"node Identity.fields":             "- of what was just encoded",
	"node Node.serveSession":           "session",
	"node Node.feedSession":            "session",
	"node receiveOutput":               "session",
	"node answerPeers":                 "session",
	"node askPeer":                     "session",
	"node/image decodeRequest":         "image",
	"node/image decodeImages":          "image",
	"node/image Store.ask":             "image",
	"node/image Store.order":           "image",
	"node/image archive.begin":         "image",
	"node/image archive.finish":        "image",
	"node/image checkManifest":         "- Docker's own manifest of an archive",
	"p2p ReadPart":                     "session image",
	"p2p/cert decodeBounded":           "chain welcome joinrequest grant refusal token",
	"p2p/cert openToken":               "token",
	"p2p/libp2p Mesh.chooseStanding":   "- bytes of two peer IDs, to choose between connections",
	"p2p/swim reader.number":           "swim-ping swim-ack swim-pingreq swim-vouch swim-nack swim-gossip",
	"p2p/libp2p decodeRecords":         "addrrecords",
	"p2p/libp2p decodeBook":            "peers",
	"p2p/libp2p codec.readMessage":     "message message-zstd",
	"p2p/libp2p openEnvelope":          "envelope",
	"p2p/libp2p readJoin":              "joinframe",
	"p2p/libp2p parseAnnouncement":     "announcement",
	"runtime/process decodeFile":       "pod start state",
	"runtime/process readHidden":       "- memory between a daemon and the shim that it starts",
	"runtime/process Runtime.launch":   "- a pipe between a daemon and the shim that it starts",
	"runtime/process logReader.record": "log",
	"runtime/podman logFile.piece":     "- conmon's own log",
	"runtime/podman Service.load":      "- a testnet's own Podman, gone with it",
}

// fuzzed are the targets that read each format, by package and name; of the API, which reads
// Kubernetes' formats, one that sends whole requests.
var fuzzed = map[string]string{
	"crdt FuzzDecode":                    "record",
	"crdt FuzzDecodeContext":             "context",
	"crdt/badger FuzzScanLog":            "-",
	"crdt/badger FuzzUnseal":             "stored",
	"crdt/seal FuzzOpen":                 "sealed",
	"crdt/seal FuzzUnwrap":               "wrappedkey",
	"crdt/snapshot FuzzChunk":            "snapshot",
	"crdt/snapshot FuzzReader":           "snapshot",
	"crdt/state FuzzBuild":               "registers",
	"crdt/state FuzzDecode":              "registers",
	"crdt/state FuzzDecodeStatus":        "status",
	"crdt/state FuzzSealedWith":          "sealed",
	"node FuzzDataKeyRecord":             "datakey",
	"node FuzzDecodeMark":                "mark",
	"node FuzzIdentity":                  "identity",
	"node FuzzKnown":                     "known",
	"node FuzzSessionFrame":              "session",
	"node FuzzSessionRequest":            "session",
	"node/api FuzzRequest":               "-",
	"node/api FuzzSizes":                 "-",
	"node/api FuzzToken":                 "-",
	"node/core FuzzLoad":                 "marks stored",
	"node/core FuzzReceive":              "put digest pull chunk floor check gone have fetch tree leaves repair status",
	"node/image FuzzFrame":               "image",
	"node/image FuzzNames":               "image",
	"node/image FuzzRequest":             "image",
	"p2p/cert FuzzDecode":                "token chain welcome joinrequest grant refusal",
	"p2p/cert FuzzPublicKeyOf":           "chain",
	"p2p/libp2p FuzzAnnouncement":        "announcement",
	"p2p/libp2p FuzzBook":                "peers",
	"p2p/libp2p FuzzEnvelope":            "envelope",
	"p2p/libp2p FuzzReadJoin":            "joinframe",
	"p2p/libp2p FuzzReadMessage":         "message message-zstd addrrecords",
	"p2p/swim FuzzDecode":                "swim-ping swim-ack swim-pingreq swim-vouch swim-nack swim-gossip",
	"runtime/podman FuzzLogFile":         "-",
	"runtime/process FuzzFiles":          "pod start state",
	"runtime/process FuzzLog":            "log",
	"crdt/state/valid FuzzParseSchedule": "-",
}

// recordFormats are kept in records and have their shape checked there.
var recordFormats = []string{"registers", "datakey", "wrappedkey"}

// decodes matches the calls that take bytes apart.
var decodes = regexp.MustCompile(`^(Unmarshal|NewDecoder|Consume\w+|Uvarint|ReadUvarint|Uint(16|32|64))$`)

// decoderDirs hold what reads peers and disks. node/api and cmd/holon speak
// Kubernetes' formats, and their own only to themselves.
var decoderDirs = []string{"crdt", "crdt/seal", "crdt/snapshot", "crdt/state", "crdt/badger", "scheduler", "node", "node/core", "node/image", "node/image/auth", "p2p", "p2p/cert", "p2p/swim", "p2p/libp2p", "runtime", "runtime/process", "runtime/podman"}

// findDecoders lists the functions of a directory that call one of decodes.
func findDecoders(fsys fs.FS, dir string) (found []string, err error) {
	files, err := fs.Glob(fsys, dir+"/*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && callsDecoder(fn) {
				found = append(found, dir+" "+funcName(fn))
			}
		}
	}
	return found, nil
}

func callsDecoder(fn *ast.FuncDecl) (found bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && decodes.MatchString(s.Sel.Name) {
				found = true
			}
		}
		return !found
	})
	return found
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	return fmt.Sprintf("%v.%s", t, fn.Name.Name)
}

// tableRow is a row of docs/formats.md: | `name` | `package` | v1 | ...
var tableRow = regexp.MustCompile("(?m)^\\| `([\\w-]+)` \\| `([\\w/]+)` \\| v(\\d+) ")

// checkFormats compares the decoders of a tree, its list of formats and its corpus.
func checkFormats(fsys fs.FS) (problems []string, err error) {
	doc, err := fs.ReadFile(fsys, "docs/formats.md")
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(string(doc), -1) {
		name, pkg, version := row[1], row[2], row[3]
		listed[name] = true
		for _, end := range []string{"", ".want"} {
			file := path.Join(pkg, "testdata/golden", name+".v"+version+end)
			if _, err := fs.Stat(fsys, file); err != nil {
				problems = append(problems, fmt.Sprintf("format %s of docs/formats.md has no %s", name, file))
			}
		}
	}
	seen := map[string]bool{}
	for _, dir := range decoderDirs {
		found, err := findDecoders(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			seen[f] = true
			formats, known := decoders[f]
			switch {
			case !known:
				problems = append(problems, fmt.Sprintf("%s takes bytes apart: say in decoders of formats_test.go which format it reads, and give the format a row in docs/formats.md and a file in the golden corpus", f))
			case !strings.HasPrefix(formats, "-"):
				for name := range strings.FieldsSeq(formats) {
					if !listed[name] {
						problems = append(problems, fmt.Sprintf("format %s, which %s reads, has no row in docs/formats.md", name, f))
					}
				}
			}
		}
	}
	for f, formats := range decoders {
		if !seen[f] && !slices.Contains(outsideScan, f) {
			problems = append(problems, fmt.Sprintf("decoders of formats_test.go names %s (%s), which takes nothing apart", f, formats))
		}
	}
	for _, name := range recordFormats {
		if !listed[name] {
			problems = append(problems, fmt.Sprintf("format %s has no row in docs/formats.md", name))
		}
	}
	unfuzzed, err := checkFuzzed(fsys, listed)
	problems = append(problems, unfuzzed...)
	slices.Sort(problems)
	return problems, err
}

// checkFuzzed compares the formats, and what the tree fuzzes, with fuzzed.
func checkFuzzed(fsys fs.FS, listed map[string]bool) (problems []string, err error) {
	there := map[string]bool{}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		for _, target := range fuzzTarget.FindAllStringSubmatch(string(text), -1) {
			there[path.Dir(name)+" "+target[1]] = true
		}
		return err
	})
	read := map[string]bool{}
	for target, formats := range fuzzed {
		if !there[target] {
			problems = append(problems, fmt.Sprintf("fuzzed of formats_test.go names %s, which is not there", target))
		}
		for name := range strings.FieldsSeq(formats) {
			read[name] = true
		}
	}
	for target := range there {
		if _, known := fuzzed[target]; !known {
			problems = append(problems, fmt.Sprintf("%s is not in fuzzed of formats_test.go: say which format it reads", target))
		}
	}
	for name := range listed {
		if !read[name] {
			problems = append(problems, fmt.Sprintf("nothing fuzzes the reader of format %s", name))
		}
	}
	return problems, err
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// outsideScan read bytes by hand, so no call betrays them.
var outsideScan = []string{"crdt/seal KeyOf", "p2p/libp2p openEnvelope", "p2p/libp2p parseAnnouncement", "runtime/process logReader.record", "runtime/podman logFile.piece"}

func TestFormats(t *testing.T) {
	problems, err := checkFormats(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}
