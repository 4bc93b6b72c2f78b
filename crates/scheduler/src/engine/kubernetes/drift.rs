//! Whether an object is still what we want: its digest tells what we rendered, not what others have
//! made of it since.

use k8s_openapi::api::batch::v1::CronJob;
use serde_json::Value;

/// Whether something that we want is missing or otherwise. What is there besides is the cluster's,
/// or somebody's, and an apply would not take it away.
pub(super) fn has_drifted(wanted: &CronJob, found: &CronJob) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(found)) {
        (Ok(wanted), Ok(found)) => !is_within(&wanted, Some(&found)),
        // An apply that was not needed changes nothing.
        (Err(_), _) | (_, Err(_)) => true,
    }
}

fn is_within(wanted: &Value, found: Option<&Value>) -> bool {
    match (wanted, found) {
        (wanted, None) => is_empty(wanted),
        (Value::Object(wanted), Some(Value::Object(found))) => wanted
            .iter()
            .all(|(name, it)| is_within(it, found.get(name))),
        (Value::Array(wanted), Some(Value::Array(found))) => wanted
            .iter()
            .enumerate()
            .all(|(index, it)| is_within(it, like(it, index, found))),
        (wanted, Some(found)) => wanted == found,
    }
}

/// Elements of the cluster's lists that have a name are told apart by it, wherever they are.
fn like<'a>(wanted: &Value, index: usize, found: &'a [Value]) -> Option<&'a Value> {
    match wanted.get("name") {
        Some(name) => found.iter().find(|it| it.get("name") == Some(name)),
        None => found.get(index),
    }
}

/// The API server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(it) => !it,
        Value::Number(it) => it.as_i64() == Some(0),
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.is_empty(),
        Value::Object(it) => it.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_within;

    #[test]
    fn what_others_add_is_no_drift_and_what_they_change_or_remove_is() {
        let wanted = json!({"a": 1, "none": "", "list": [{"name": "x", "v": "1"}, {"name": "y"}]});
        let added = json!({"a": 1, "b": 2,
            "list": [{"name": "new"}, {"name": "x", "v": "1", "default": true}, {"name": "y"}]});
        assert!(is_within(&wanted, Some(&added)));
        for other in [
            json!({"a": 2, "list": [{"name": "x", "v": "1"}, {"name": "y"}]}),
            json!({"list": [{"name": "x", "v": "1"}, {"name": "y"}]}),
            json!({"a": 1, "list": [{"name": "x", "v": "1"}]}),
            json!({"a": 1, "list": [{"name": "x", "v": "2"}, {"name": "y"}]}),
        ] {
            assert!(!is_within(&wanted, Some(&other)), "{other}");
        }
    }
}
