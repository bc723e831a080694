package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

func ruled(rules []rbacv1.PolicyRule, r Request) bool {
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool { return allows(&rule, r) })
}

func allows(rule *rbacv1.PolicyRule, r Request) bool {
	if !has(rule.Verbs, r.Verb) {
		return false
	}
	if r.Path != "" {
		return slices.ContainsFunc(rule.NonResourceURLs, func(pattern string) bool { return pathMatches(pattern, r.Path) })
	}
	return has(rule.APIGroups, r.Group) && resourceMatches(rule.Resources, r.Resource, r.Subresource) &&
		(len(rule.ResourceNames) == 0 || r.Name != "" && slices.Contains(rule.ResourceNames, r.Name))
}

// has reports whether a list names a thing, or everything.
func has(list []string, thing string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, thing)
}

// resourceMatches: "*" is everything, "pods" no subresource, "*/scale" one of any resource.
func resourceMatches(list []string, resource, sub string) bool {
	if sub == "" {
		return has(list, resource)
	}
	return has(list, resource+"/"+sub) || slices.Contains(list, "*/"+sub)
}

// pathMatches: a star stands at the end only.
func pathMatches(pattern, path string) bool {
	prefix, star := strings.CutSuffix(pattern, "*")
	return pattern == path || star && strings.HasPrefix(path, prefix)
}

// covers reports whether rules allow all that one rule does. Each combination that the
// rule spells is looked for by itself.
func covers(rules []rbacv1.PolicyRule, rule rbacv1.PolicyRule) bool {
	for _, verb := range rule.Verbs {
		for _, path := range rule.NonResourceURLs {
			if !slices.ContainsFunc(rules, func(own rbacv1.PolicyRule) bool {
				return has(own.Verbs, verb) && slices.ContainsFunc(own.NonResourceURLs, func(p string) bool { return pathMatches(p, path) })
			}) {
				return false
			}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				if !coversResource(rules, verb, group, resource, rule.ResourceNames) {
					return false
				}
			}
		}
	}
	return true
}

func coversResource(rules []rbacv1.PolicyRule, verb, group, resource string, names []string) bool {
	resource, sub, _ := strings.Cut(resource, "/")
	within := func(own rbacv1.PolicyRule, name string) bool {
		return has(own.Verbs, verb) && has(own.APIGroups, group) && resourceMatches(own.Resources, resource, sub) &&
			(len(own.ResourceNames) == 0 || name != "" && slices.Contains(own.ResourceNames, name))
	}
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rules, func(own rbacv1.PolicyRule) bool { return within(own, name) }) {
			return false
		}
	}
	return true
}
