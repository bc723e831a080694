package runtimetest

import "testing"

// Conformance runs the suite. fixture is called once for each subtest; what
// it needs to tear down it registers with t.Cleanup.
func Conformance(t *testing.T, fixture func(t *testing.T) Fixture) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := fixture(t)
			if f.Simulated && c.real {
				t.Log("not for a simulated host: this needs a real shell")
				return
			}
			c.run(newHarness(t, f))
		})
	}
}

// cases are the subtests; real ones need a real shell, files or a terminal.
var cases = []struct {
	name string
	real bool
	run  func(*harness)
}{
	{"Info", false, testInfo},
	{"EnsureTwiceStartsOnce", false, testEnsureTwice},
	{"PodsListsAll", false, testPodsListsAll},
	{"EnsureGrows", false, testEnsureGrows},
	{"EnsureGrowsAfterCrash", false, testEnsureGrowsAfterCrash},
	{"EnvOrderExpansionPodIP", false, testEnv},
	{"ArgsAndWorkingDir", true, testArgsAndWorkingDir},
	{"ExitCodes", false, testExitCodes},
	{"CommandNotFound", false, testCommandNotFound},
	{"AttemptsAndPreviousLogs", false, testAttempts},
	{"LastEnd", false, testLastEnd},
	{"MessageOfTheEnd", true, testMessage},
	{"MessageFromLog", true, testMessageFromLog},
	{"StopGraceful", false, testStopGraceful},
	{"StopForced", false, testStopForced},
	{"StopIdempotent", false, testStopIdempotent},
	{"StopContainer", false, testStopContainer},
	{"AdoptAfterClose", false, testAdoptAfterClose},
	{"AdoptAfterCrash", false, testAdoptAfterCrash},
	{"KilledBehindOurBack", false, testKilledBehindOurBack},
	{"NotFound", false, testNotFound},
	{"PortTaken", false, testPortTaken},
	{"ManyAtOnce", false, testManyAtOnce},
	{"ChangesFires", false, testChanges},
	{"CloseLeavesPodsAndNoGoroutine", false, testClose},

	{"UsageOfRunning", false, testUsage},
	{"UsageOfMemory", true, testUsageMemory},
	{"DirSize", false, testDirSize},
	{"DirSizeOfFiles", true, testDirSizeOfFiles},

	{"ContainersShareNetwork", true, testSharedNetwork},
	{"PodAnswersOnItsAddress", true, testPodAnswers},
	{"Dial", false, testDial},

	{"LogTailSinceTimestamps", true, testLogSelection},
	{"LogFollow", true, testLogFollow},
	{"LogStreamsAndLongLines", true, testLogLongLines},
	{"LogRotation", true, testLogRotation},

	{"ExecExitCode", true, testExecExitCode},
	{"ExecStreams", true, testExecStreams},
	{"ExecSeesContainer", true, testExecContext},
	{"ExecTTY", true, testExecTTY},
	{"ExecSize", true, testExecSize},
	{"ExecCancelKills", true, testExecCancel},

	{"AttachOutput", true, testAttachOutput},
	{"AttachRefuses", false, testAttachRefuses},
	{"AttachInput", true, testAttachInput},
	{"AttachTTY", true, testAttachTTY},

	{"SecurityUser", true, testSecurityUser},
	{"SecurityNonRoot", true, testSecurityNonRoot},

	{"VolumeFiles", true, testVolumeFiles},
	{"VolumeFilesChange", true, testFilesChange},
	{"VolumeHostPath", true, testVolumeHostPath},
	{"VolumeMemory", true, testVolumeMemory},
	{"VolumeReadOnly", true, testVolumeReadOnly},
	{"VolumeEmptyShared", true, testVolumeShared},
	{"VolumeSurvivesRestart", true, testVolumeSurvivesRestart},
	{"VolumeKept", true, testVolumeKept},
	{"VolumeListAndRemove", false, testVolumeListAndRemove},
}
