package api

// jobRules classify batchv1.JobSpec.
var jobRules = fieldRules{
	honoured: []string{
		"parallelism", "completions", "completionMode", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished",
		"suspend", "template", "template.metadata", "template.spec",
	},
	filled: []string{"selector"},
	warned: map[string]string{
		"podReplacementPolicy": "a pod is replaced once it has failed; one that is stopping is not counted",
	},
	refused: map[string]string{
		"manualSelector":       "holon generates the selector of a Job; remove the field",
		"managedBy":            "holon runs every Job itself; remove the field",
		"podFailurePolicy":     "not honoured yet, and failures would be counted that it does not mean; remove it",
		"successPolicy":        "not honoured yet, and the Job would go on after its success; remove it",
		"backoffLimitPerIndex": "not honoured yet; use backoffLimit, which counts the failures of all indexes",
		"maxFailedIndexes":     "goes with backoffLimitPerIndex, which is not honoured yet",
	},
	harmless: map[string][]any{"podReplacementPolicy": {"TerminatingOrFailed"}},
}

var jobFields = merged(
	typeRules.at(""), metadataRules.at("metadata"), jobRules.at("spec"),
	templateMetadataRules.at("spec.template.metadata"), podSpecTable("spec.template.spec"),
)
