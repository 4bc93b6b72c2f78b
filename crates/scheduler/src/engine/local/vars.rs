//! A worker's variables as the store keeps them.

use backuper::job::{Value, Var};
use secrecy::ExposeSecret as _;

use crate::engine;

/// All of them as JSON, secrets too: workers need them after a restart.
pub(super) fn write(vars: &[Var]) -> String {
    let all = vars.iter().map(|var| {
        let (value, secret) = match &var.value {
            Value::Plain(text) => (text.as_str(), false),
            Value::Secret(text) => (text.expose_secret(), true),
        };
        serde_json::Value::Array(vec![var.name.into(), value.into(), secret.into()])
    });
    serde_json::Value::Array(all.collect()).to_string()
}

/// Name, value, and whether it is a secret.
pub(super) fn read(text: &str) -> Option<Vec<(String, String, bool)>> {
    serde_json::from_str(text).ok()
}

/// Whether both are for the same database and bucket; what cannot be read is nobody's.
pub(super) fn same_places(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (read(one), read(other)) else {
        return true;
    };
    fn pairs(vars: &[(String, String, bool)]) -> impl Iterator<Item = (&str, &str)> {
        vars.iter().map(|it| (it.0.as_str(), it.1.as_str()))
    }
    engine::places(pairs(&one)) == engine::places(pairs(&other))
}

/// Tells restores apart: by neither secrets nor the time of the call.
pub(super) fn request(vars: &[Var]) -> String {
    let mut text = String::new();
    for var in vars
        .iter()
        .filter(|it| !engine::TIMES_OF_CALL.contains(&it.name))
    {
        if let Value::Plain(value) = &var.value {
            // Quoted, so that no value can pass for two variables.
            text.push_str(&format!("{}={value:?}\n", var.name));
        }
    }
    super::digest(&text)
}

/// `host:port/dbname` of a worker's variables.
pub(super) fn database(text: &str) -> Option<String> {
    let vars = read(text)?;
    engine::database(vars.iter().map(|it| (it.0.as_str(), it.1.as_str())))
}
