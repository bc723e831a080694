package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func (t *testnet) pids(ctx context.Context) ([]int, error) {
	all, err := t.statuses(ctx)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, n := range t.nodes {
		pids = append(pids, all[n].PID)
	}
	return pids, nil
}

func (e *etcd) pids() []int {
	var pids []int
	for _, n := range e.nodes {
		pids = append(pids, n.pid())
	}
	return pids
}

// cpuSeconds is what processes have used of the processor so far, in user and
// kernel mode (proc(5), stat). Unlike wall time it hardly depends on what else
// the machine does.
func cpuSeconds(pids []int) (float64, error) {
	const ticks = 100 // per second: USER_HZ on every architecture that Go runs on
	total := 0.0
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may hold anything.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, field := range fields[11:13] {
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, err
			}
			total += n / ticks
		}
	}
	return total, nil
}

// cpuOf returns the milliseconds of processor that all processes together need
// for each of n things that body does.
func cpuOf(pids []int, n float64, body func() error) (float64, error) {
	before, err := cpuSeconds(pids)
	if err != nil {
		return 0, err
	}
	if err := body(); err != nil {
		return 0, err
	}
	after, err := cpuSeconds(pids)
	return (after - before) * 1000 / n, err
}
