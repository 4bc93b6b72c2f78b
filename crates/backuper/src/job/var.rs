//! One variable of a worker's environment, as engines see it.

use secrecy::SecretString;

use crate::child::Environment;

/// One environment variable of a worker.
#[derive(Clone, Debug)]
pub struct Var {
    /// The variable's name, as in the oiler-backup contract.
    pub name: &'static str,
    /// The variable's value.
    pub value: Value,
}

/// A value that tells an engine where it may be written.
#[derive(Clone, Debug)]
pub enum Value {
    /// May stand in a pod's specification.
    Plain(String),
    /// Belongs into a Kubernetes Secret or a child's environment, never anywhere else.
    Secret(SecretString),
}

impl Var {
    /// A variable that may stand in a pod's specification.
    #[must_use]
    pub fn plain(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: Value::Plain(value.into()),
        }
    }

    /// A variable that is never shown.
    #[must_use]
    pub fn secret(name: &'static str, value: &SecretString) -> Self {
        Self {
            name,
            value: Value::Secret(value.clone()),
        }
    }
}

impl Extend<Var> for Environment {
    fn extend<T: IntoIterator<Item = Var>>(&mut self, vars: T) {
        for var in vars {
            match &var.value {
                Value::Plain(value) => self.set(var.name, value),
                Value::Secret(value) => self.set_secret(var.name, value),
            }
        }
    }
}
