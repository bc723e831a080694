// Command web is the web server of the examples: each page says which pod
// served it, where, and which run of the program that was.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", ":8080", "`address` to listen on")
	flag.Parse()
	// Drawn once per start, so a page shows whether the program was restarted.
	run := strings.ToLower(rand.Text()[:8])
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		log.Printf("GET / from %s", r.RemoteAddr)
		fmt.Fprintf(w, "hello from %s on %s, host %s, run %s, version %s\n",
			os.Getenv("POD_NAME"), os.Getenv("NODE_NAME"), os.Getenv("HOSTNAME"), run, os.Getenv("VERSION"))
	})
	log.Printf("run %s listens on %s", run, *listen)
	server := &http.Server{Addr: *listen, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
