package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"holon/node"
)

const (
	unitPath = "/etc/systemd/system/holon.service"
	unitName = "holon.service"
)

// unit is the systemd service. KillMode=process: stopping the daemon leaves its
// pods running, as a restart of the daemon must. A daemon that ends by itself in
// good order ('holon down', 'holon node leave') stays down.
const unit = `[Unit]
Description=holon, a node of a masterless container cluster
After=network-online.target podman.socket
Wants=network-online.target

[Service]
ExecStart=%s
KillMode=process
Restart=on-failure
RestartSec=1
LimitNOFILE=65536
Delegate=yes

[Install]
WantedBy=multi-user.target
`

// install writes the unit and starts it. The token, if there is one, is used up
// at the first start and harmless afterwards.
func install(out io.Writer, o nodeOptions) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can install a service; run it with sudo")
	}
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		return errors.New("systemd is not here: run 'holon up' under the service manager of this machine")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := node.WriteFile(unitPath, fmt.Appendf(nil, unit, commandLine(self, o)), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", "--now", unitName}} {
		if text, err := exec.Command(systemctl, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(text)))
		}
	}
	_, err = fmt.Fprintf(out, "installed %s; follow it with 'journalctl -fu holon', stop it and its pods with 'holon down'\n", unitPath)
	return err
}

// commandLine repeats the flags for the unit, quoted as systemd wants it.
func commandLine(self string, o nodeOptions) string {
	args := []string{self, "up", "--data-dir", o.dataDir, "--name", o.name, "--api-listen", o.apiListen, "--runtime", o.runtime, "--profile", o.profile}
	for _, l := range o.listen {
		args = append(args, "--listen", l)
	}
	if o.join != "" {
		args = append(args, "--join", o.join)
	}
	if o.noIntroduce {
		args = append(args, "--no-introduce")
	}
	if o.hostIP != hostIP() {
		args = append(args, "--host-ip", o.hostIP)
	}
	if o.verbose {
		args = append(args, "--verbose")
	}
	if o.podmanURL != "" {
		args = append(args, "--podman-url", o.podmanURL)
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(a) + `"`
	}
	return strings.Join(quoted, " ")
}
