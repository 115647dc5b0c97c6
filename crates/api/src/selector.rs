//! Kubernetes' label selectors.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A label selector as in Kubernetes' `meta/v1`; all parts must hold. An empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have this very value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One condition of a [`LabelSelector`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelectorRequirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values, for `In` and `NotIn`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether labels meet the selector. An unknown operator never holds.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.match_expressions.iter().all(|e| e.matches(labels))
    }
}

impl LabelSelectorRequirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|v| self.values.contains(v)),
            // A missing label is not in any list (labels.Requirement of apimachinery).
            "NotIn" => value.is_none_or(|v| !self.values.contains(v)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        for (key, operator, values, expected) in [
            ("env", "In", vec!["prod", "dev"], true),
            ("env", "In", vec!["dev"], false),
            ("x", "In", vec!["prod"], false),
            ("env", "NotIn", vec!["dev"], true),
            ("env", "NotIn", vec!["prod"], false),
            ("x", "NotIn", vec!["prod"], true),
            ("env", "Exists", vec![], true),
            ("x", "Exists", vec![], false),
            ("x", "DoesNotExist", vec![], true),
            ("env", "DoesNotExist", vec![], false),
            ("env", "Like", vec!["prod"], false),
        ] {
            let selector = LabelSelector {
                match_expressions: vec![LabelSelectorRequirement {
                    key: key.into(),
                    operator: operator.into(),
                    values: values.into_iter().map(Into::into).collect(),
                }],
                ..Default::default()
            };
            assert_eq!(selector.matches(&labels), expected, "{key} {operator}");
        }
        assert!(LabelSelector::default().matches(&labels));
        let wrong =
            LabelSelector { match_labels: [("env".into(), "dev".into())].into(), ..Default::default() };
        assert!(!wrong.matches(&labels));
    }
}
