//! Which environment a resource belongs to.
//!
//! Read from `deployment.environment.name`, else the deprecated `deployment.environment`, else the configured
//! rules, else the configured default. A resource that none of these names has no environment: its spans are
//! counted and named in a finding.

/// How a resource's environment is read. `Default` reads the two attributes of the semantic conventions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentRules {
    /// Resource attributes whose value is the environment, the first present one wins.
    pub attributes: Vec<String>,
    /// Tried in order when none of the attributes is present.
    pub rules: Vec<EnvironmentRule>,
    /// What a resource is that no rule names.
    pub default: Option<String>,
}

/// One configured rule: a resource attribute, what its value must look like, and the environment that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentRule {
    /// The resource attribute that is looked at.
    pub attribute: String,
    /// What the value must match, `*` for any run of characters; without it any value does.
    pub value: Option<String>,
    /// The environment's name; `{value}` in it stands for the attribute's value.
    pub environment: String,
}

impl Default for EnvironmentRules {
    fn default() -> Self {
        EnvironmentRules {
            attributes: vec!["deployment.environment.name".into(), "deployment.environment".into()],
            rules: Vec::new(),
            default: None,
        }
    }
}

impl EnvironmentRules {
    /// The environment of a resource whose string attributes `lookup` gives; `None` when nothing names one.
    /// Empty values count as absent.
    pub fn resolve<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let present = |key: &str| lookup(key).filter(|value| !value.is_empty());
        if let Some(value) = self.attributes.iter().find_map(|key| present(key)) {
            return Some(value.to_owned());
        }
        self.rules
            .iter()
            .find_map(|rule| {
                let value = present(&rule.attribute)?;
                let matches = rule.value.as_deref().is_none_or(|pattern| glob(pattern, value));
                matches.then(|| rule.environment.replace("{value}", value))
            })
            .or_else(|| self.default.clone())
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters. Allocates nothing.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, pieces)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let (middle, last) = pieces.rsplit_once('*').unwrap_or(("", pieces));
    for piece in middle.split('*') {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(rules: &EnvironmentRules, attributes: &[(&str, &'static str)]) -> Option<String> {
        rules.resolve(|key| attributes.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
    }

    #[test]
    fn the_current_attribute_beats_the_deprecated_one_and_both_beat_the_rules() {
        let mut rules = EnvironmentRules::default();
        rules.rules.push(EnvironmentRule {
            attribute: "k8s.cluster.name".into(),
            value: Some("eu-*".into()),
            environment: "region-{value}".into(),
        });
        let both = [("deployment.environment", "old"), ("deployment.environment.name", "new")];
        assert_eq!(resolve(&rules, &both).as_deref(), Some("new"));
        assert_eq!(resolve(&rules, &[("deployment.environment", "old")]).as_deref(), Some("old"));
        assert_eq!(resolve(&rules, &[("k8s.cluster.name", "eu-1")]).as_deref(), Some("region-eu-1"));
        assert_eq!(resolve(&rules, &[("k8s.cluster.name", "us-1")]), None);
        rules.default = Some("rest".into());
        assert_eq!(resolve(&rules, &[("deployment.environment.name", "")]).as_deref(), Some("rest"));
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*b*", "abc", true),
            ("ab*b", "ab", false),
            ("a*b*c*d", "a-b-c-d", true),
            ("a*b*c*d", "a-c-b-d", false),
            ("a**", "a", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
